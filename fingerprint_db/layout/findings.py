"""What lies fixed in a film's frames and in its time: lattices, lines between tiles, rhythms; one file's findings.

Everything is held against camera footage (``ranges``) and said only where at most one camera file in a hundred
has as much. What is said is "consistent with": up-scalers and earlier encodings at another size leave lattices too, and
an editor's split picture has lines. Nothing is claimed about positional encodings: no method is known that reads them
from pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fingerprint_db.bursts import timeline
from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.layout.lattice import STRIDES, Found, codec_lines, search, spectrum
from fingerprint_db.layout.ranges import MEASURES, LayoutRanges, shipped_ranges
from fingerprint_db.layout.rhythms import Rhythm, first_frame, temporal_rhythm
from fingerprint_db.layout.tiles import TileSeams, documented_tilings, free_tilings, steps_of, tile_seams
from fingerprint_db.window import WindowFingerprint

ALPHA = 0.01  # of camera files may have as much
MOST_FALSE = 0.05  # of camera files of unseen sources; a finding that came oftener is not put into words
SCALES = (0.4, 2.5)
_LATENT = 4  # px: the shortest stride of a latent lattice; a shorter period is named for what it is
_NATIVE = 0.01  # of a side: how near a frame, scaled back, must come to a generator's native size


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What was measured of a file, before it is held against anything; None for what could not be.

    lines: by stride (lattice.codec_lines). columns, rows: how many the windows cover.
    """

    lattice: Found
    lines: Mapping[int, float]
    tiles: TileSeams | None
    free_tiles: TileSeams | None
    rhythm: Rhythm | None
    first_frame: float | None
    columns: int
    rows: int

    def scores(self, ranges: LayoutRanges) -> dict[str, float]:
        """The score of every measure that there is, higher for more of it."""
        found = {
            "scaled_lattice": self.lattice.score,
            "unscaled_lattice": ranges.beyond_codec(self.lines)[1],
            "tiles": self.tiles.score if self.tiles else None,
            "free_tiles": self.free_tiles.score if self.free_tiles else None,
            "rhythm": self.rhythm.score if self.rhythm else None,
            "first_frame": self.first_frame,
        }
        return {name: score for name in MEASURES if (score := found[name]) is not None}


def read_layout(windows: Sequence[WindowFingerprint], fps: float) -> Readings | None:
    """All measurements of a file's stored windows; None where none kept profiles. fps: 0 when unknown."""
    seen, steps = spectrum(windows), steps_of(windows)
    if seen is None or steps is None:
        return None
    film = timeline(windows, fps)
    return Readings(
        lattice=search(seen),
        lines=codec_lines(seen),
        tiles=tile_seams(steps, documented_tilings()),
        free_tiles=tile_seams(steps, free_tilings()),
        rhythm=None if film is None else temporal_rhythm(film),
        first_frame=None if film is None else first_frame(film),
        columns=len(steps.x),
        rows=len(steps.y),
    )


def layout(
    windows: Sequence[WindowFingerprint], fps: float, size: tuple[int, int], ranges: LayoutRanges | None = None
) -> dict[str, Any] | None:
    """The findings as plain JSON; None where windows kept no profiles. size: of the frame, width and height, pixels.

    ``spatial_stride``, ``temporal_stride``, ``tiles``, ``first_frame``: each with ``said`` (whether it stands out from
    camera footage), its strength and ``p_value``, or ``not_measurable`` with the reason. ``consistent_with``:
    sentences. ``looked_at``: columns and rows of the frame that windows cover, of how many.
    """
    read = read_layout(windows, fps)
    return None if read is None else judged(read, size, ranges or shipped_ranges())


def judged(read: Readings, size: tuple[int, int], held: LayoutRanges) -> dict[str, Any]:
    """The findings of ``layout`` for what was measured, held against a table."""
    p = {name: held.p_value(name, score) for name, score in read.scores(held).items()}
    findings = {
        "spatial_stride": _spatial(read, held, p, size),
        "temporal_stride": _temporal(read, p),
        "tiles": _tiles(read, p),
        "first_frame": _first(read, p),
    }
    return {
        **findings,
        "consistent_with": _sentences(findings, held),
        "looked_at": {"columns": [read.columns, size[0]], "rows": [read.rows, size[1]]},
    }


def summary(found: Mapping[str, Any]) -> str:
    """One line for people, '' where there is nothing to point at."""
    parts = []
    if found["spatial_stride"].get("said"):
        spatial = found["spatial_stride"]
        parts.append(f"a lattice of {spatial['period_px']:g} px (p {spatial['p_value']:.3f})")
    if found["tiles"].get("said"):
        tiles = found["tiles"]
        columns, rows = tiles["step_px"]
        parts.append(f"lines as between tiles every {columns} x {rows} px (p {tiles['p_value']:.3f})")
    if found["temporal_stride"].get("said"):
        parts.append(f"a rhythm of {found['temporal_stride']['period']} frames")
    if found["first_frame"].get("said"):
        parts.append("a first frame unlike other keyframes")
    return "; ".join(parts)


def native_fits(period: float, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Which strides, at which scale of the whole frame, make a lattice of this period; the likeliest first.

    native: generators whose published size the frame has when it is scaled back. Those come first, then the scale that
    changes least. A lattice may also belong to any multiple of the stride, of which it shows one harmonic.
    """
    out = []
    for stride in STRIDES:
        scale = period / stride
        if stride >= _LATENT and SCALES[0] <= scale <= SCALES[1]:
            native = [
                generator.slug
                for generator in load_catalogue().generators.values()
                if any(
                    all(abs(have / scale / side - 1) < _NATIVE for have, side in zip(size, sides, strict=True))
                    for sides in generator.native_sizes
                )
            ]
            out.append({"stride": stride, "scale": round(scale, 4), "native": native})
    return sorted(out, key=lambda fit: (not fit["native"], max(fit["scale"], 1 / fit["scale"])))


def _spatial(read: Readings, held: LayoutRanges, p: Mapping[str, float], size: tuple[int, int]) -> dict[str, Any]:
    stride, excess = held.beyond_codec(read.lines)
    # Of the two searches, which are both paid for below, the one that camera footage shows less of. Where both are
    # beyond all camera footage a scaled lattice explains more: some of its harmonics may lie on the codec's grid.
    scaled = p["scaled_lattice"] <= p["unscaled_lattice"]
    period = read.lattice.period if scaled else float(stride)
    fits = native_fits(period, size)
    own = min(1.0, 2 * min(p["scaled_lattice"], p["unscaled_lattice"]))
    fit = fits[0] if fits and scaled else {"stride": stride, "scale": 1.0}
    return {
        "said": own <= ALPHA,
        "period_px": round(period, 3),
        "stride": fit["stride"],
        "scale": fit["scale"],
        "fits": fits,
        "on_codec_grid": not scaled,
        "strength": round(read.lattice.score if scaled else excess, 2),
        "p_value": round(own, 4),
    }


def _temporal(read: Readings, p: Mapping[str, float]) -> dict[str, Any]:
    if read.rhythm is None:
        return {"said": False, "not_measurable": "the picture types take every rhythm of 4, 6 and 8 frames"}
    return {
        "said": p["rhythm"] <= ALPHA,
        "period": read.rhythm.period,
        "series": read.rhythm.series,
        "strength_db": round(read.rhythm.strength, 3),
        "score": round(read.rhythm.score, 2),
        "p_value": round(p["rhythm"], 4),
    }


def _tiles(read: Readings, p: Mapping[str, float]) -> dict[str, Any]:
    known = [(p[name], seams) for name, seams in (("tiles", read.tiles), ("free_tiles", read.free_tiles)) if seams]
    if not known:
        return {"said": False, "not_measurable": "no line of any lattice of tiles crosses a window"}
    lowest, seams = min(known, key=lambda one: one[0])
    own = min(1.0, lowest * len(known))
    return {
        "said": own <= ALPHA,
        "step_px": [seams.tiling.columns, seams.tiling.rows],
        "documented_for": list(seams.tiling.families),
        "lines": [{"axis": axis, "at_px": at, "strength": round(value, 2)} for axis, at, value in seams.strongest],
        "lines_looked_at": seams.lines,
        "strength": round(seams.score, 2),
        "p_value": round(own, 4),
    }


def _first(read: Readings, p: Mapping[str, float]) -> dict[str, Any]:
    if read.first_frame is None:
        why = "the first frame was not looked at, or no other stretch that was begins on a keyframe"
        return {"said": False, "not_measurable": why}
    return {
        "said": p["first_frame"] <= ALPHA,
        "sharper_db": round(read.first_frame, 3),
        "p_value": round(p["first_frame"], 4),
    }


def _sentences(findings: Mapping[str, Mapping[str, Any]], held: LayoutRanges) -> list[str]:
    said = []
    for name, words in _WORDS.items():
        rate = held.false_alarms.get(name)
        if findings[name]["said"] and rate is not None and rate <= MOST_FALSE:
            said.append(f"{words(findings[name])} (Said of {rate:.1%} of camera files.)")
    return said


def _spatial_words(found: Mapping[str, Any]) -> str:
    at = f"scaled by {found['scale']:g}" if found["scale"] != 1 else "unscaled"
    return (
        f"A lattice of {found['period_px']:g} px along both axes beyond what the codec leaves: consistent with a "
        f"latent or token decoder of stride {found['stride']} or a multiple, {at}; an up-scaler, or an earlier "
        "encoding at another size, leaves one too."
    )


def _temporal_words(found: Mapping[str, Any]) -> str:
    return (
        f"A rhythm of {found['period']} frames that the picture types do not explain: consistent with latents that "
        "stand for as many frames, with interpolation and with a conversion of rates."
    )


def _tiles_words(found: Mapping[str, Any]) -> str:
    columns, rows = found["step_px"]
    names = ", ".join(found["documented_for"])
    known = f" (such steps are documented for {names})" if names else ""
    return (
        f"Lines across the picture every {columns} px and {rows} px: consistent with tiles that were decoded apart and "
        f"joined without a fade{known}; a picture put together in an editor has lines as well."
    )


def _first_words(found: Mapping[str, Any]) -> str:
    return (
        f"The first frame is {found['sharper_db']:.1f} dB sharper against those after it than other keyframes are: "
        "consistent with a causal decoder, which makes it alone, and with an encoder that favours it."
    )


_WORDS = {
    "spatial_stride": _spatial_words,
    "temporal_stride": _temporal_words,
    "tiles": _tiles_words,
    "first_frame": _first_words,
}
