"""How well a decoder gives a picture back, in numbers that compare: losses by band, and what they say of its making.

The idea is that of detectors by reconstruction (DIRE, Wang et al. 2023; AEROBLADE, Ricker et al. 2024; first against
second loss): what a decoder made, that decoder gives back with less loss. Two things stand in the way and are dealt
with here and in ``jobs.reconstruct``:

- A VAE's encoder is not the inverse of its decoder, and that mismatch is most of the loss. One step of a fixed-point
  iteration on the latent, z + (E(x) - E(D(z))), takes most of it away: a *refined* reconstruction.
- What is left is the codec's noise, whose level is the content's and the quantiser's. So the clip is its own control:
  the reconstruction itself goes through the same quantiser and is reconstructed again. What the decoder made loses the
  same both times; camera footage loses more the first time than the second. The *drop* is the difference of logs.

How large a drop is on camera footage depends on how hard its content is for the VAE, and so does what refining takes
off (the *gain*). The statistic is the one less half of the other, the *excess*; and the few blocks that lose most,
lettering as a rule, are left out, since no step of the iteration gives them back.

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
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# What refining takes off is coarse; in the finer bands of luma and in colour the codec's noise drowns it.
_COARSE = 4
GAIN_COUNTS = 0.5
# Of the blocks of a part, the share that is left out: those that lose most, the first and second time together.
LEFT_OUT = 0.05
_FEW = 3  # sources of either kind below which a quality bucket borrows from all


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """What three reconstructions of the same places lost, by band: (len(BANDS),) mean energies in squared grey levels.

    plain: before it was refined. first: refined. second: of the first, compressed likewise and reconstructed again.
    blocks: how many of 8 x 8 pixels were counted.
    """

    plain: Floats
    first: Floats
    second: Floats
    blocks: int

    @property
    def drops(self) -> Floats:
        """(len(BANDS),) natural logs of the first loss over the second: 0 where nothing more was lost at first."""
        return _logs(self.first) - _logs(self.second)

    @property
    def drop(self) -> float:
        """The mean of drops, every band counting alike."""
        return float(self.drops.mean())

    @property
    def gain(self) -> float:
        """The natural logarithm of the plain loss over the refined one, mean over the coarse bands; needs no codec."""
        return float((_logs(self.plain) - _logs(self.first))[:_COARSE].mean())

    @property
    def excess(self) -> float:
        """The statistic: the drop less a share of the gain. Low for what the decoder made."""
        return self.drop - GAIN_COUNTS * self.gain


def refined_loss(plain: NDArray[np.float32], first: NDArray[np.float32]) -> float:
    """One number for grids to be compared by: twice the log of the refined loss less that of the plain one, by bands.

    Of two (T, 3, H, W) residuals of the same places in grey levels. Low where the decoder's lattice lies.
    Raises ValueError below one block of 8 x 8.
    """
    before, once = (_energies(one)[0].mean(axis=0) for one in (plain, first))
    return float(np.mean(2 * _logs(once) - _logs(before)))


def measure_losses(plain: NDArray[np.float32], first: NDArray[np.float32], second: NDArray[np.float32]) -> Losses:
    """Of three (T, 3, H, W) residuals of the same places in grey levels, without the LEFT_OUT that lose most.

    Raises ValueError below one block of 8 x 8.
    """
    (before, _), (once, lost), (twice, again) = (_energies(one) for one in (plain, first, second))
    whole = lost + again
    kept = whole <= np.quantile(whole, 1 - LEFT_OUT)
    return Losses(before[kept].mean(axis=0), once[kept].mean(axis=0), twice[kept].mean(axis=0), int(kept.sum()))


def pooled_losses(parts: Sequence[Losses]) -> Losses:
    """Parts of one file as one, every block counting alike. Raises ValueError without any."""
    if not parts:
        raise ValueError("no part of a picture was reconstructed")
    weights = [one.blocks for one in parts]
    return Losses(
        np.average([one.plain for one in parts], axis=0, weights=weights),
        np.average([one.first for one in parts], axis=0, weights=weights),
        np.average([one.second for one in parts], axis=0, weights=weights),
        sum(weights),
    )


def _logs(bands: Floats) -> Floats:
    return np.asarray(np.log(bands + _BAND_FLOOR), dtype=np.float64)


def _energies(residual: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """(N, len(BANDS)) mean energies of N blocks by band, and (N,) their luma energy summed over all 64 coefficients."""
    _, _, height, width = residual.shape
    rows, cols = height // BLOCK, width // BLOCK
    if not rows or not cols:
        raise ValueError(f"a picture of {height}x{width} has no block of {BLOCK}x{BLOCK}")
    part = residual[:, :, : rows * BLOCK, : cols * BLOCK]
    luma = _blocks(np.einsum("c,tchw->thw", _LUMA, part))
    energy = np.square(fft.dctn(luma, axes=(1, 2), norm="ortho"), dtype=np.float64)
    down, across = np.mgrid[:BLOCK, :BLOCK]
    band = np.minimum(np.maximum(down, across), 6)
    bands = [energy[:, band == number].mean(axis=1) for number in range(7)]
    for colour in (2, 0):
        difference = _blocks(part[:, colour] - part[:, 1])
        bands.append(np.square(difference, dtype=np.float64).mean(axis=(1, 2)))
    return np.stack(bands, axis=1), energy.sum(axis=(1, 2))


def _blocks(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, H, W), whole blocks, to (N, BLOCK, BLOCK)."""
    count, height, width = planes.shape
    split = planes.reshape(count, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return split.transpose(0, 1, 3, 2, 4).reshape(-1, BLOCK, BLOCK)


@dataclass(frozen=True, slots=True, eq=False)
class ReconstructionModel:
    """What an excess under one checkpoint says, learned on camera footage and on what the checkpoint made of it.

    buckets: upper edges of the quality number (the quantiser), ascending; calibrations: one a bucket and one beyond the
    last edge. camera: excesses of the camera clips, for the p-value. cohort: what it was learned on, plain JSON.
    """

    buckets: tuple[float, ...]
    calibrations: tuple[LogisticCalibration, ...]
    camera: Floats
    cohort: Mapping[str, Any]

    def llr(self, excess: NDArray[Any], quality: NDArray[Any]) -> Floats:
        """(N,) excesses and quality numbers to natural-log likelihood ratios, "made by it" against camera footage."""
        which = np.searchsorted(np.asarray(self.buckets), np.atleast_1d(np.asarray(quality, dtype=np.float64)))
        values = np.atleast_1d(np.asarray(excess, dtype=np.float64))
        return np.array(
            [float(self.calibrations[int(w)].llr([[-v]])[0]) for v, w in zip(values, which, strict=True)]  # type: ignore[arg-type]
        )

    def p_value(self, excess: NDArray[Any]) -> Floats:
        """(N,) conformal p-values of "camera footage": small where hardly any of the cohort has so small an excess."""
        return conformal_p(-np.atleast_1d(np.asarray(excess, dtype=np.float64)), -self.camera)

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
    excess: NDArray[Any],
    made: NDArray[np.bool_],
    sources: Sequence[str],
    quality: NDArray[Any],
    *,
    buckets: Sequence[float] = (),
    cohort: Mapping[str, Any] | None = None,
) -> tuple[ReconstructionModel, Floats]:
    """A model of (N,) excesses of made and camera clips, and every clip's llr by what never saw its source.

    A bucket with fewer than three sources of either kind is calibrated with all clips.
    Raises ValueError with fewer than three sources, or none of either kind.
    """
    scores = -np.asarray(excess, dtype=np.float64)
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
