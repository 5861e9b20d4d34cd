"""How a video was put together, as far as its frames show it: one file's findings, in words that claim no more.

What is said is "consistent with". Interpolation, repeats and joins are made by editors, phones and televisions too, and
several ways of generating leave none of them; a seed paradigm is named only together with what else fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fingerprint_db.bursts import Timeline, timeline
from fingerprint_db.interpolation import Cadence, cadence
from fingerprint_db.seams import Joins, joins
from fingerprint_db.window import WindowFingerprint

# Strides of documented ways to decode in chunks (diffusers): what a lattice of seams may come from.
_DOCUMENTED: Mapping[int, str] = {
    8: "batches of 8 frames, as CogVideoX is decoded",
    12: "temporal tiles of 16 frames every 12, as HunyuanVideo is decoded, joined without their blend",
    16: "chunks of 16 frames",
    24: "chunks of 24 frames, as Allegro is decoded",
    32: "chunks of 32 frames",
}


def assembly(windows: Sequence[WindowFingerprint], fps: float) -> dict[str, Any] | None:
    """What the stored windows of one file say, as plain JSON; None where they kept no series a frame.

    fps: of the container, 0 when unknown. ``interpolation``: kind (none, interpolated, repeated),
    period in frames, pattern of repeats, strength (dB of acceleration), score (above 0 passes the threshold), share
    of bursts that show it alone, share of repeated frames, frozen stretches. ``seams``: seconds and dB; ``seam_period``
    in frames, 0 without a lattice; ``cuts`` in seconds; ``consistent_with``: sentences. ``looked_at_s``,
    ``joins_looked_at``: how much of the film all this was read from.
    """
    film = timeline(windows, fps)
    if film is None:
        return None
    frames, found = cadence(film), joins(film)
    return {
        "interpolation": {
            "kind": frames.kind,
            "period": frames.period,
            "pattern": frames.pattern,
            "strength": round(frames.contrast, 2),
            "score": round(frames.score, 2),
            "share_of_bursts": round(frames.share, 3),
            "repeated_frames": round(frames.repeated, 3),
            "frozen": [{"at_s": round(at, 3), "length_s": round(length, 3)} for at, length in frames.frozen],
        },
        "seams": [{"at_s": round(seam.at_s, 3), "strength": round(seam.strength, 2)} for seam in found.seams],
        "seam_period": found.period,
        "cuts": [round(at, 3) for at in found.cuts],
        "consistent_with": _sentences(film, frames, found),
        "looked_at_s": round(film.seconds, 3),
        "joins_looked_at": found.boundaries,
    }


def summary(found: Mapping[str, Any]) -> str:
    """One line for people, '' where there is nothing to point at."""
    frames = found["interpolation"]
    parts = []
    if frames["kind"] == "interpolated":
        parts.append(f"as if interpolated, one frame in {frames['period']} original")
    elif frames["pattern"]:
        parts.append(f"frames repeated in the pattern {frames['pattern']}")
    if frames["frozen"]:
        parts.append("frozen at " + _times(stretch["at_s"] for stretch in frames["frozen"]))
    if found["seams"]:
        every = f" every {found['seam_period']} frames" if found["seam_period"] else ""
        parts.append(f"seams{every} at " + _times(seam["at_s"] for seam in found["seams"]))
    return "; ".join(parts)


def _times(seconds: Any) -> str:
    listed = [f"{at:.2f}" for at in seconds]
    return ", ".join(listed[:6]) + (" ..." if len(listed) > 6 else "") + " s"


def _sentences(film: Timeline, frames: Cadence, found: Joins) -> list[str]:
    said = []
    if frames.kind == "interpolated":
        said.append(
            f"Keyframes and interpolation: one frame in {frames.period} was there before, and the motion of the others "
            "has no acceleration of its own. Interpolation in a television, a phone or an editor does the same, and a "
            "decoder whose latents stand for several frames may."
        )
    elif frames.pattern:
        said.append(
            f"Repeated frames in the pattern {frames.pattern}: a rate raised by showing frames again, as pulldown "
            "does; not interpolation."
        )
    if frames.frozen:
        said.append("A picture held still while the film goes on: a stalled source, or a freeze made in an editor.")
    if found.period:
        said.append(f"Chunks and stitching: joins every {found.period} frames, which fits {_DOCUMENTED[found.period]}.")
    elif found.seams:
        said.append("A join in time at single places, which fits chunks and stitching, and an editor's join as well.")
    elif found.boundaries:
        said.append(
            f"End-to-end spatio-temporal generation, blended chunks and a camera alike: no seam at {found.boundaries} "
            f"joins of frames ({film.seconds:.1f} s looked at)."
        )
    return said
