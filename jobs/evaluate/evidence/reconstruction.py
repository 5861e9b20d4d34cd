"""How well checkpoints tell what they made from camera footage, and from what other checkpoints made.

`makersmark evaluate MANIFEST --evidence reconstruction --vae DIR [--vae DIR ...]`: the manifest's camera clips, one of
every source before any source gives a second, pass through each checkpoint; members are coded alike at each CRF and
measured on their keyframe. Nothing is fitted to the statistic, so sources need no folds for the AUC; likelihood ratios
are calibrated leaving the source out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.reconstruction import fit_reconstruction
from jobs.bench.contents import Content
from jobs.errors import BadUsageError
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluate.metrics import auc, bootstrap_by_source, cllr, clopper_pearson
from jobs.measured import Figure, MeasuredReport
from jobs.progress import Meter
from jobs.reconstruct.calibrate import BUCKETS, footage_for, searched_finding
from jobs.reconstruct.measure import Finding
from jobs.reconstruct.network import Network, find_source, open_network
from jobs.reconstruct.registry import checkpoint_id
from jobs.reconstruct.trials import CAMERA, CRFS, FRAMES, Trial, Trials, cropped
from jobs.settings import Settings

GOALS = {18: ">= .95", 23: ">= .88", 28: ">= .75"}
_MIDDLE = 23
# Searching every phase takes as long as fifty plain measurements: on so many contents.
SEARCHED = 8
# Rival checkpoints are told apart on so many contents: each is a member and a judge, so that costs grow as the square.
COMPARED = 10

Found = Mapping[tuple[str, str, int], Finding]  # (content, member, crf)


def measure(manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console) -> MeasuredReport:
    """All figures of reconstruction evidence. Raises BadUsageError without a checkpoint or enough camera footage."""
    if not options.checkpoints:
        raise BadUsageError("reconstruction is measured with a checkpoint; name one with --vae DIR")
    torch.set_num_threads(1)
    networks: dict[str, tuple[str, Network]] = {}
    for folder in options.checkpoints:
        source = find_source(folder)
        name = folder.resolve().name
        networks[name] = (checkpoint_id(source.sha256()), open_network(source, device=settings.device))
    contents = footage_for(manifest, options.limit, options.seed)
    trials = Trials(networks, options.cache / "reconstruction")
    first, *others = networks
    compared = contents[:COMPARED] if others else []
    searched = contents[:SEARCHED]
    steps = 2 * len(contents) * len(CRFS) + 2 * len(searched) + len(compared) * len(networks) * (len(networks) + 1)
    with Meter(console, "reconstruction", steps) as meter:

        def ask(content: Content, member: str, judge: str, crf: int, *, crop: bool = False) -> Finding:
            trial = Trial(content.id, content.clip.source, member, judge, crf)
            meter.advance()
            if crop:
                return trials.run(content, cropped(trial, options.seed), searched_finding)
            return trials.run(content, trial)

        aligned = {
            (content.id, member, crf): ask(content, member, first, crf)
            for crf in (_MIDDLE, *(crf for crf in CRFS if crf != _MIDDLE))
            for content in contents
            for member in (CAMERA, first)
        }
        choices = {
            (content.id, member): {judge: ask(content, member, judge, _MIDDLE) for judge in networks}
            for content in compared
            for member in (CAMERA, *networks)
        }
        moved = {
            (content.id, member, _MIDDLE): ask(content, member, first, _MIDDLE, crop=True)
            for content in searched
            for member in (CAMERA, first)
        }
    return _report(networks, contents, aligned, moved, choices, options.seed)


def _report(
    networks: Mapping[str, tuple[str, Network]],
    contents: Sequence[Content],
    aligned: Found,
    moved: Found,
    choices: Mapping[tuple[str, str], Mapping[str, Finding]],
    seed: int,
) -> MeasuredReport:
    first = next(iter(networks))
    figures: list[Figure] = []
    for crf in CRFS:
        figures += _against_camera(f"CRF {crf}", first, contents, aligned, crf, GOALS[crf], seed)
    figures.append(_calibrated(first, contents, aligned))
    some = [content for content in contents if (content.id, first, _MIDDLE) in moved]
    if some:
        figures += _against_camera(
            f"CRF {_MIDDLE}, cropped by unknown offsets", first, some, moved, _MIDDLE, "within .03 of aligned", seed
        )[:1]
        figures += _against_camera(f"CRF {_MIDDLE}, the same clips aligned", first, some, aligned, _MIDDLE, "", seed)[
            :1
        ]
        figures.append(_phases_found(some, moved, first, networks[first][1].stride[0], seed))
    compared = [content for content in contents if (content.id, CAMERA) in choices]
    if len({content.clip.source for content in compared}) > 1:
        figures += _right_one(networks, compared, choices)
    classes = ", ".join(f"{name} ({net.cls}, {net.precision})" for name, (_, net) in networks.items())
    return MeasuredReport(
        "reconstruction",
        "Reconstruction by VAE checkpoints",
        tuple(figures),
        (
            f"checkpoints: {classes}; the first is held against camera footage",
            f"a clip: {FRAMES} frames of at most 256 x 256 pixels, of which the one keyframe is measured; a clip of 2 "
            "s has the same single keyframe at this encoder's distance of 48",
        ),
        {
            "clips": [
                {"content": content, "member": member, "crf": crf, "drop": one.drop, "blocks": one.blocks}
                | {"gain": one.gain, "quality": one.quality}
                for (content, member, crf), one in aligned.items()
            ]
        },
    )


def _against_camera(
    what: str, member: str, contents: Sequence[Content], found: Found, crf: int, goal: str, seed: int
) -> list[Figure]:
    """AUC of the statistic with bounds, its null, and the share of pairs ordered rightly."""
    sources = [content.clip.source for content in contents]
    made = [found[content.id, member, crf] for content in contents]
    camera = [found[content.id, CAMERA, crf] for content in contents]
    n = f"{len(contents)} + {len(contents)} clips of {len(set(sources))} sources"

    def figure(name: str, value: Callable[[Finding], float], goal: str, how: str) -> Figure:
        positives, negatives = (np.array([value(one) for one in side]) for side in (made, camera))

        def again(rows: NDArray[np.intp]) -> Mapping[str, float]:
            return {"auc": auc(positives[rows], negatives[rows])}

        low, high = bootstrap_by_source(sources, ["pair"] * len(sources), again, seed=seed)["auc"] or (None, None)
        return Figure(name, auc(positives, negatives), low, high, n, goal, how)

    right = sum(a.drop < b.drop for a, b in zip(made, camera, strict=True))
    return [
        figure(
            f"AUC, {what}",
            lambda one: -one.drop,
            goal,
            "what the checkpoint made against camera footage, by the drop from the first to the second loss, unpaired",
        ),
        figure(
            f"null: one reconstruction, {what}",
            lambda one: one.gain,
            "",
            "the same by the plain loss over the refined one, for which the codec is not gone through again",
        ),
        Figure(
            f"pairs ordered, {what}",
            right / len(made),
            *clopper_pearson(right, len(made)),
            f"{len(made)} pairs",
            "",
            "share of contents whose decoded clip has the smaller drop than its own original",
        ),
    ]


def _calibrated(member: str, contents: Sequence[Content], found: Found) -> Figure:
    rows = [(content, who, crf) for content in contents for who in (CAMERA, member) for crf in CRFS]
    drops = np.array([found[content.id, who, crf].drop for content, who, crf in rows])
    quality = np.array([found[content.id, who, crf].quality for content, who, crf in rows])
    made = np.array([who != CAMERA for _, who, _ in rows])
    sources = [content.clip.source for content, _, _ in rows]
    _, llrs = fit_reconstruction(drops, made, sources, quality, buckets=BUCKETS)
    return Figure(
        "Cllr, all CRFs",
        cllr(llrs[made], llrs[~made]),
        n=f"{len(rows)} clips of {len(set(sources))} sources",
        how="cost of the likelihood ratios in bits, calibrated by bucket on other sources: 0 perfect, 1 says nothing",
    )


def _phases_found(contents: Sequence[Content], moved: Found, member: str, stride: int, seed: int) -> Figure:
    """Of decoded clips. The lattice of a clip cut by c pixels begins at -c."""
    hits = 0
    for content in contents:
        crop = cropped(Trial(content.id, content.clip.source, member, member, _MIDDLE), seed).crop or (0, 0)
        grid = moved[content.id, member, _MIDDLE].grid
        hits += ((grid.down + crop[0]) % stride, (grid.across + crop[1]) % stride) == (0, 0)
    return Figure(
        f"phase found, CRF {_MIDDLE}",
        hits / len(contents),
        *clopper_pearson(hits, len(contents)),
        f"{len(contents)} decoded clip{'s' * (len(contents) > 1)}",
        how=f"share whose lattice was found exactly, of {stride * stride} phases",
    )


def _right_one(
    networks: Mapping[str, tuple[str, Network]],
    contents: Sequence[Content],
    choices: Mapping[tuple[str, str], Mapping[str, Finding]],
) -> list[Figure]:
    """Share of decoded clips whose own checkpoint answers highest, by what is known of each from other sources."""
    source_of = {content.id: content.clip.source for content in contents}

    def standing(content: str, judge: str, drop: float) -> float:
        """How far a drop lies from the judge's camera footage towards its own clips, both of other sources."""
        known = [one for one in source_of if source_of[one] != source_of[content]]
        camera = float(np.mean([choices[one, CAMERA][judge].drop for one in known]))
        own = float(np.mean([choices[one, judge][judge].drop for one in known]))
        return (camera - drop) / max(camera - own, 1e-6)

    made = [key for key in choices if key[1] != CAMERA]

    def share(value: Callable[[str, str, Finding], float]) -> tuple[int, int]:
        hits = 0
        for content, member in made:
            judged = choices[content, member]
            hits += max(judged, key=lambda name: value(content, name, judged[name])) == member
        return hits, len(made)

    ways: tuple[tuple[str, Callable[[str, str, Finding], float], str], ...] = (
        (
            "right checkpoint first",
            lambda content, judge, one: standing(content, judge, one.drop),
            "by the drop, on each checkpoint's own scale from camera footage (0) to what it made (1), of other sources",
        ),
        ("right checkpoint first, plain drop", lambda _content, _judge, one: -one.drop, "by the smallest drop"),
        (
            "right checkpoint first, null",
            lambda _content, _judge, one: one.gain,
            "by one reconstruction alone: plain over refined loss",
        ),
    )
    found: list[Figure] = []
    for number, (name, value, how) in enumerate(ways):
        hits, of = share(value)
        found.append(
            Figure(
                f"{name}, CRF {_MIDDLE}",
                hits / of,
                *clopper_pearson(hits, of),
                f"{of} clips of {len(set(source_of.values()))} sources, {len(networks)} checkpoints",
                "" if number else ">= 95 % of four",
                f"{how}; chance {1 / len(networks):.2f}",
            )
        )
    return found
