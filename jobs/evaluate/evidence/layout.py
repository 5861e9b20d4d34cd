"""How often lattices, tile lines and rhythms are found where they are, and how often in camera footage.

Camera footage is the manifest's, as it is and through x264 at three qualities and once at three quarters of the size;
each file is held against what files of all *other* sources show. Strides are counted on the manifest's other clips
whose decoder the catalogue knows. Tiles are made: camera clips through a decoder that runs tile by tile, the tiny VAE
where ``--vae`` gives its folder, a random network that normalises over its tile otherwise.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from fingerprint_db.layout.ranges import save_ranges
from jobs.encode import CodecChain
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import EvaluationChain
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluate.evidence.layout_files import Held, Seen, seen_of
from jobs.evaluate.evidence.layout_tiles import made_tiles
from jobs.evaluate.gather import gather
from jobs.evaluate.manifest import Clip, Label, load_manifest
from jobs.evaluate.metrics import clopper_pearson
from jobs.evaluate.part_worker import measure_files, window_layout
from jobs.measured import Figure, MeasuredReport
from jobs.progress import Meter
from jobs.scan import current_spec
from jobs.settings import Settings

FRAMES, WHOLE_PX = 32, 8192
FORMS = (*(CodecChain("x264", crf) for crf in (18, 23, 28)), CodecChain("x264", 23, scale=0.75))
FINDINGS = ("spatial_stride", "temporal_stride", "tiles", "first_frame")
FEWEST = 100  # camera files of a rate that is shown beside a sentence
_TOLERANCE = 0.02  # of a period


def measure(manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console) -> MeasuredReport:
    """All figures of the layout evidence; ``options.out`` gets ``layout_camera.json``."""
    found = load_manifest(manifest)
    clips = found.clips[: options.limit] if options.limit else found.clips
    camera = tuple(clip for clip in clips if clip.label is Label.CAMERA)
    cache = EvaluationCache(options.cache / "layout")
    notes: list[str] = []
    seen: list[Seen] = []
    chains = [EvaluationChain(form, crop_px=WHOLE_PX, max_frames=FRAMES) for form in FORMS]
    with Meter(console, "layout", 2 * (len(clips) + len(chains) * len(camera))) as meter:

        def gathered(of: Sequence[Clip], chain: EvaluationChain | None) -> None:
            several = gather(
                replace(found, clips=tuple(of)), settings, chain=chain, cache=cache,
                fingerprint=partial(measure_files, measure=window_layout), progress=lambda _step: meter.advance(),
            )  # fmt: skip
            files = {
                clip.name: (clip, several.evidence[clip.name].file) for clip in of if clip.name in several.evidence
            }
            seen.extend(seen_of(files.values(), "as it is" if chain is None else chain.codec.name))
            notes.extend(f"{out.name} was left out: {out.message}" for out in several.left_out)

        gathered(clips, None)
        for chain in chains:
            gathered(camera, chain)
    tiles = made_tiles(camera, options, settings, console, notes)
    ranges = Held(seen)
    figures = [*_false_alarms(seen, ranges), *_strides(seen, ranges), *_tiled(tiles, ranges)]
    table = ranges.without("")
    rates = {name: share for name in FINDINGS if (share := rate(seen, ranges, name)) is not None}
    shown = replace(table, false_alarms=rates, provenance=_provenance(seen, settings))
    if options.out is not None:
        save_ranges(shown, options.out / "layout_camera.json")
    detail = {"files": [_line(one, ranges) for one in (*seen, *tiles)], "provenance": dict(shown.provenance)}
    return MeasuredReport("layout", "Strides and tiles", tuple(figures), tuple(dict.fromkeys(notes)), detail)


def rate(seen: Sequence[Seen], ranges: Held, name: str) -> float | None:
    """Share of camera files of which this was said, each held against other sources; None where too few could be
    measured for a rate of one in a hundred.
    """
    found = [ranges.findings(one)[name] for one in seen if one.label is Label.CAMERA]
    known = [bool(said["said"]) for said in found if "not_measurable" not in said]
    return sum(known) / len(known) if len(known) >= FEWEST else None


def _share(name: str, hits: Sequence[bool], of: Sequence[Seen], goal: str = "", how: str = "") -> Figure:
    low, high = clopper_pearson(sum(hits), len(hits))
    counted = f"{len(of)} files of {len({one.source for one in of})} sources"
    return Figure(name, sum(hits) / len(hits) if hits else None, low, high, counted, goal, how)


def _false_alarms(seen: Sequence[Seen], ranges: Held) -> list[Figure]:
    camera = [one for one in seen if one.label is Label.CAMERA]
    out = []
    for name in FINDINGS:
        known = [one for one in camera if "not_measurable" not in ranges.findings(one)[name]]
        hits = [bool(ranges.findings(one)[name]["said"]) for one in known]
        how = "of the files where it could be measured; each held against camera files of other sources"
        out.append(_share(f"{name} said of camera footage", hits, known, "<= 1 %", how))
    any_ = [any(ranges.findings(one)[name]["said"] for name in FINDINGS) for one in camera]
    return [*out, _share("anything said of camera footage", any_, camera, "<= 5 %")]


def right(found: Mapping[str, Any], stride: int, *, exactly: bool = False) -> bool:
    """Whether a lattice was said whose period is the stride's, or one of its harmonics (not ``exactly``)."""
    ratio = stride / found["period_px"]
    harmonic = 1 if exactly else max(1, round(ratio))
    return bool(found["said"]) and abs(ratio / harmonic - 1) < _TOLERANCE


def _strides(seen: Sequence[Seen], ranges: Held) -> list[Figure]:
    out = []
    known = [one for one in seen if one.stride is not None and one.label is not Label.CAMERA]
    groups = {"all": known} | {
        name: [o for o in known if o.decoder == name] for name in sorted({o.decoder for o in known})
    }
    for name, group in groups.items():
        found = [(one, ranges.findings(one)["spatial_stride"]) for one in group]
        hits = [one.stride is not None and right(said, one.stride) for one, said in found]
        out.append(_share(f"stride found or a harmonic of it, {name}", hits, group))
        if name == "all":
            exact = [one.stride is not None and right(said, one.stride, exactly=True) for one, said in found]
            out.append(_share("stride found itself, all", exact, group))
            null = [one.energy > ranges.energy_limit(one.source) for one in group]
            out.append(_share("null: energy comb above that of 99 % of camera files, all", null, group))
    others = [one for one in seen if one.label is not Label.CAMERA]
    for finding in ("temporal_stride", "tiles", "first_frame"):
        hits = [bool(ranges.findings(one)[finding]["said"]) for one in others]
        out.append(_share(f"{finding} said of generated and processed clips", hits, others))
    return out


def _tiled(tiles: Sequence[Seen], ranges: Held) -> list[Figure]:
    out = []
    for decoder in sorted({one.decoder for one in tiles}):
        for form in sorted({one.form for one in tiles}):
            group = [one for one in tiles if (one.decoder, one.form) == (decoder, form)]
            found = [ranges.findings(one)["tiles"] for one in group]
            if decoder == "camera":
                hits = [bool(said["said"]) for said in found]
            else:
                hits = [bool(said["said"]) and said["step_px"] == [192, 192] for said in found]
            out.append(_share(f"tiles found, {decoder}, {form}", hits, group))
    return out


def _provenance(seen: Sequence[Seen], settings: Settings) -> dict[str, Any]:
    camera = [one for one in seen if one.label is Label.CAMERA]
    return {
        "spec": current_spec(settings).id,
        "made": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "files": len(camera),
        "clips": len({one.name for one in camera}),
        "sources": len({one.source for one in camera}),
        "forms": sorted({one.form for one in camera}),
        "command": "makersmark evaluate MANIFEST --evidence layout --out fingerprint_db",
    }


def _line(one: Seen, ranges: Held) -> dict[str, Any]:
    found = ranges.findings(one)
    return {
        "name": one.name,
        "decoder": one.decoder,
        "source": one.source,
        "form": one.form,
        "stride": one.stride,
        "energy": round(one.energy, 3),
        "scores": {name: round(score, 3) for name, score in one.read.scores(ranges.without(one.source)).items()},
        **{name: found[name] for name in FINDINGS},
    }
