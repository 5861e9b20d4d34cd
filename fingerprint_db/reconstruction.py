"""How well a decoder gives a picture back, in numbers that compare: losses by band, and what they say of its making.

The idea is that of detectors by reconstruction (DIRE, Wang et al. 2023; AEROBLADE, Ricker et al. 2024; first against
second loss): what a decoder made, that decoder gives back with less loss. Two things stand in the way and are dealt
with here and in ``jobs.reconstruct``:

- A VAE's encoder is not the inverse of its decoder, and that mismatch is most of the loss. One step of a fixed-point
  iteration on the latent, z + (E(x) - E(D(z))), takes most of it away: a *refined* reconstruction.
- What is left is the codec's noise, whose level is the content's and the quantiser's. So the clip is its own control:
  the reconstruction itself goes through the same quantiser and is reconstructed again. What the decoder made loses the
  same both times; camera footage loses more the first time than the second. The *drop* is the difference of logs.

Pure arithmetic on arrays; no network and no file is known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from fingerprint_db.calibrate import Floats, LogisticCalibration, conformal_p, fit_logistic
from fingerprint_db.normalise import source_weights

# Luma by the larger of the two frequencies of an 8 x 8 cosine transform, then two colour differences.
BANDS = ("flat", "1", "2", "3", "4", "5", "6-7", "blue", "red")
BLOCK = 8
_BAND_FLOOR = 0.01  # squared grey levels: a loss below it is rounding
_BLOCK_FLOOR = 4.0  # the same over the 64 pixels of a block, so that flat blocks do not speak loudest
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_FEW = 3  # sources of either kind below which a quality bucket borrows from all


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """What one reconstruction lost of a picture or stretch.

    bands: (len(BANDS),) mean energy in squared grey levels. blocks: mean natural logarithm of the luma energy of 8 x 8
    blocks: every place counts alike, the busiest do not drown the others.
    """

    bands: Floats
    blocks: float


def measure_loss(residual: NDArray[np.float32]) -> Loss:
    """Of a (T, 3, H, W) residual in grey levels (0..255); what does not fill a block at the right and below is left.

    Raises ValueError below one block of 8 x 8.
    """
    count, _, height, width = residual.shape
    rows, cols = height // BLOCK, width // BLOCK
    if not rows or not cols:
        raise ValueError(f"a picture of {height}x{width} has no block of {BLOCK}x{BLOCK}")
    part = residual[:, :, : rows * BLOCK, : cols * BLOCK]
    luma = np.einsum("c,tchw->thw", _LUMA, part)
    blocks = luma.reshape(count, rows, BLOCK, cols, BLOCK).transpose(0, 1, 3, 2, 4)
    energy = np.square(fft.dctn(blocks, axes=(3, 4), norm="ortho"), dtype=np.float64)
    down, across = np.mgrid[:BLOCK, :BLOCK]
    band = np.minimum(np.maximum(down, across), 6)
    mean = energy.mean(axis=(0, 1, 2))
    bands = [float(mean[band == number].mean()) for number in range(7)]
    bands += [float(np.mean(np.square(part[:, c] - part[:, 1], dtype=np.float64))) for c in (2, 0)]
    return Loss(np.array(bands), float(np.mean(np.log(energy.sum(axis=(3, 4)) + _BLOCK_FLOOR))))


def band_drops(first: Loss, second: Loss) -> dict[str, float]:
    """By band, the natural logarithm of the first loss over the second: 0 where nothing more was lost at first."""
    ratio = np.log(first.bands + _BAND_FLOOR) - np.log(second.bands + _BAND_FLOOR)
    return {name: float(value) for name, value in zip(BANDS, ratio, strict=True)}


def drop(bands: Mapping[str, float]) -> float:
    """The statistic: the mean of ``band_drops`` over all bands, each counting alike.

    About 0 for what the decoder made, above for other footage.
    """
    return float(np.mean([bands[name] for name in BANDS]))


@dataclass(frozen=True, slots=True, eq=False)
class ReconstructionModel:
    """What a drop under one checkpoint says, learned on camera footage untouched and through the checkpoint.

    buckets: upper edges of the quality number (the quantiser), ascending; calibrations: one a bucket and one beyond the
    last edge. camera: drops of the camera clips, for the p-value. cohort: what it was learned on, plain JSON.
    """

    buckets: tuple[float, ...]
    calibrations: tuple[LogisticCalibration, ...]
    camera: Floats
    cohort: Mapping[str, Any]

    def llr(self, drops: NDArray[Any], quality: NDArray[Any]) -> Floats:
        """(N,) drops and (N,) quality numbers to natural-log likelihood ratios, "made by it" against camera footage."""
        which = np.searchsorted(np.asarray(self.buckets), np.atleast_1d(np.asarray(quality, dtype=np.float64)))
        values = np.atleast_1d(np.asarray(drops, dtype=np.float64))
        return np.array(
            [float(self.calibrations[int(w)].llr([[-v]])[0]) for v, w in zip(values, which, strict=True)]  # type: ignore[arg-type]
        )

    def p_value(self, drops: NDArray[Any]) -> Floats:
        """(N,) conformal p-values of "camera footage": small where hardly any of the cohort has so small a drop."""
        return conformal_p(-np.atleast_1d(np.asarray(drops, dtype=np.float64)), -self.camera)

    def to_json(self) -> dict[str, Any]:
        return {
            "buckets": list(self.buckets),
            "calibrations": [
                {
                    "centre": each.centre.tolist(),
                    "scale": each.scale.tolist(),
                    "weights": each.weights.tolist(),
                    "bias": each.bias,
                    "limit": each.limit,
                }
                for each in self.calibrations
            ],
            "camera": self.camera.tolist(),
            "cohort": dict(self.cohort),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ReconstructionModel:
        """The inverse of to_json. Raises KeyError, TypeError or ValueError for something else."""
        calibrations = tuple(
            LogisticCalibration(
                np.array(each["centre"], dtype=np.float64),
                np.array(each["scale"], dtype=np.float64),
                np.array(each["weights"], dtype=np.float64),
                float(each["bias"]),
                float(each["limit"]),
            )
            for each in raw["calibrations"]
        )
        buckets = tuple(float(edge) for edge in raw["buckets"])
        if len(calibrations) != len(buckets) + 1:
            raise ValueError(f"{len(calibrations)} calibrations do not go with {len(buckets)} edges")
        return cls(buckets, calibrations, np.array(raw["camera"], dtype=np.float64), dict(raw["cohort"]))


def fit_reconstruction(
    drops: NDArray[Any],
    made: NDArray[np.bool_],
    sources: Sequence[str],
    quality: NDArray[Any],
    *,
    buckets: Sequence[float] = (),
    cohort: Mapping[str, Any] | None = None,
) -> tuple[ReconstructionModel, Floats]:
    """A model of (N,) drops of made and camera clips, and every clip's llr by what never saw its source.

    A bucket with fewer than three sources of either kind is calibrated with all clips.
    Raises ValueError with fewer than three sources, or none of either kind.
    """
    scores = -np.asarray(drops, dtype=np.float64)
    names = sorted(set(sources))
    which = np.array([names.index(source) for source in sources])
    if len(names) < _FEW or not made.any() or made.all():
        raise ValueError(f"a calibration needs camera and made clips of {_FEW} sources, and has {len(names)}")
    bucket = np.searchsorted(np.asarray(buckets, dtype=np.float64), np.asarray(quality, dtype=np.float64))
    calibrations: list[LogisticCalibration] = []
    llrs = np.zeros(len(scores))
    for number in range(len(buckets) + 1):
        inside = bucket == number
        few = min(len(set(which[inside & side].tolist())) for side in (made, ~made)) < _FEW
        chosen = np.ones(len(scores), dtype=bool) if few else inside
        calibrations.append(_calibrated(scores, made, which, chosen))
        for group in sorted(set(which[inside].tolist())):
            others = chosen & (which != group)
            judged = inside & (which == group)
            both = made[others].any() and not made[others].all()
            fitted = _calibrated(scores, made, which, others) if both else calibrations[-1]
            llrs[judged] = fitted.llr(scores[judged][:, None])
    said = {
        "clips": len(scores),
        "camera_clips": int((~made).sum()),
        "sources": len(names),
        "quality": [float(np.min(quality)), float(np.max(quality))],
        **(cohort or {}),
    }
    edges = tuple(float(edge) for edge in buckets)
    return ReconstructionModel(edges, tuple(calibrations), -scores[~made], said), llrs


def _calibrated(
    scores: Floats, made: NDArray[np.bool_], which: NDArray[Any], chosen: NDArray[np.bool_]
) -> LogisticCalibration:
    kinds = ["made" if one else "camera" for one in made[chosen]]
    weights = source_weights(kinds, [str(one) for one in which[chosen]])
    return fit_logistic(scores[chosen][:, None], made[chosen], weights)
