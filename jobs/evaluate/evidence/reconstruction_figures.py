"""The figures of reconstruction evidence: AUCs with bounds and nulls, what moving costs, which checkpoint is first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.reconstruction import fit_reconstruction
from jobs.bench.contents import Content
from jobs.evaluate.evidence.reconstruction_negatives import negatives_figures
from jobs.evaluate.metrics import auc, bootstrap_by_source, cllr, clopper_pearson
from jobs.measured import Figure, MeasuredReport
from jobs.reconstruct.calibrate import BUCKETS
from jobs.reconstruct.measure import PARTS, SIDE, Finding
from jobs.reconstruct.network import Network
from jobs.reconstruct.trials import CAMERA, CRFS, FRAMES, Trial, cropped

GOALS = {18: ">= .95", 23: ">= .88", 28: ">= .75"}
MIDDLE = 23

Found = Mapping[tuple[str, str, int], Finding]  # (content, member, crf)


def report(
    networks: Mapping[str, tuple[str, Network]],
    contents: Sequence[Content],
    aligned: Found,
    processed: Found,
    moved: Found,
    choices: Mapping[tuple[str, str], Mapping[str, Finding]],
    seed: int,
) -> MeasuredReport:
    """All figures. aligned, processed, moved: of the first checkpoint. choices: by content, member and judge."""
    first = next(iter(networks))
    figures: list[Figure] = []
    for crf in CRFS:
        figures += _against_camera(f"CRF {crf}", first, contents, aligned, crf, GOALS[crf], seed)
    figures.append(_calibrated(first, contents, aligned))
    figures += negatives_figures(first, contents, aligned, processed, MIDDLE, seed)
    some = [content for content in contents if (content.id, first, MIDDLE) in moved]
    if some:
        where = f"CRF {MIDDLE}, cropped and trimmed by unknown offsets"
        figures += _against_camera(where, first, some, moved, MIDDLE, "", seed)[:1]
        figures += _against_camera(f"CRF {MIDDLE}, the same clips aligned", first, some, aligned, MIDDLE, "", seed)[:1]
        figures.append(_lost(first, some, aligned, moved, seed))
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
            f"a clip: {FRAMES} frames of camera footage, of which the one keyframe is measured, on up to {PARTS} "
            f"squares of about {SIDE} pixels; a clip of 2 s has the same single keyframe at x264's defaults",
            *(_size_note(contents, aligned, first)),
        ),
        {
            "clips": [
                {"content": content, "member": member, "crf": crf, "excess": one.excess, "drop": one.drop}
                | {"gain": one.gain, "quality": one.quality, "blocks": one.losses.blocks}
                for (content, member, crf), one in (*aligned.items(), *processed.items())
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

    right = sum(a.excess < b.excess for a, b in zip(made, camera, strict=True))
    return [
        figure(
            f"AUC, {what}",
            lambda one: -one.excess,
            goal,
            "what the checkpoint made against camera footage, by the drop less half the gain, unpaired",
        ),
        figure(
            f"drop alone, {what}",
            lambda one: -one.drop,
            "",
            "the same by the drop from the first to the second loss, whatever refining took off",
        ),
        figure(
            f"null: one reconstruction, {what}",
            lambda one: one.gain,
            "",
            "the same by the gain, the plain loss over the refined one, for which the codec is not gone through again",
        ),
        Figure(
            f"pairs ordered, {what}",
            right / len(made),
            *clopper_pearson(right, len(made)),
            f"{len(made)} pairs",
            "",
            "share of contents whose decoded clip has the smaller excess than its own original",
        ),
    ]


def _calibrated(member: str, contents: Sequence[Content], found: Found) -> Figure:
    rows = [(content, who, crf) for content in contents for who in (CAMERA, member) for crf in CRFS]
    excess = np.array([found[content.id, who, crf].excess for content, who, crf in rows])
    quality = np.array([found[content.id, who, crf].quality for content, who, crf in rows])
    made = np.array([who != CAMERA for _, who, _ in rows])
    sources = [content.clip.source for content, _, _ in rows]
    _, llrs = fit_reconstruction(excess, made, sources, quality, buckets=BUCKETS)
    return Figure(
        "Cllr, all CRFs",
        cllr(llrs[made], llrs[~made]),
        n=f"{len(rows)} clips of {len(set(sources))} sources",
        how="cost of the likelihood ratios in bits, calibrated by bucket on plain camera and decoded clips of other "
        "sources: 0 perfect, 1 says nothing",
    )


def _lost(member: str, contents: Sequence[Content], aligned: Found, moved: Found, seed: int) -> Figure:
    """The AUC of the aligned clips less that of the same clips moved, resampled together."""
    sources = [content.clip.source for content in contents]

    def values(found: Found, who: str) -> NDArray[np.float64]:
        return np.array([-found[content.id, who, MIDDLE].excess for content in contents])

    pairs = [(values(found, member), values(found, CAMERA)) for found in (aligned, moved)]

    def again(rows: NDArray[np.intp]) -> Mapping[str, float]:
        before, after = (auc(made[rows], camera[rows]) for made, camera in pairs)
        return {"lost": before - after}

    low, high = bootstrap_by_source(sources, ["pair"] * len(sources), again, seed=seed)["lost"] or (None, None)
    return Figure(
        f"AUC lost by crop and trim, CRF {MIDDLE}",
        again(np.arange(len(contents)))["lost"],
        low,
        high,
        f"{len(contents)} + {len(contents)} clips of {len(set(sources))} sources",
        "<= .03",
        "AUC of the aligned clips less that of the same clips moved, whose phase is searched on both sides",
    )


def _size_note(contents: Sequence[Content], aligned: Found, member: str) -> list[str]:
    blocks = [aligned[content.id, member, MIDDLE].losses.blocks for content in contents]
    return [f"8 x 8 blocks counted in a clip: {min(blocks)} to {max(blocks)}, median {int(np.median(blocks))}"]


def _phases_found(contents: Sequence[Content], moved: Found, member: str, stride: int, seed: int) -> Figure:
    """Of decoded clips. The lattice of a clip cut by c pixels begins at -c."""
    hits = 0
    for content in contents:
        crop = cropped(Trial(content.id, content.clip.source, member, member, MIDDLE), seed).crop or (0, 0)
        grid = moved[content.id, member, MIDDLE].grid
        hits += ((grid.down + crop[0]) % stride, (grid.across + crop[1]) % stride) == (0, 0)
    return Figure(
        f"phase found, CRF {MIDDLE}",
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

    def standing(content: str, judge: str, one: Finding, value: Callable[[Finding], float]) -> float:
        """How far a value lies from the judge's camera footage towards its own clips, both of other sources."""
        known = [other for other in source_of if source_of[other] != source_of[content]]
        camera = float(np.mean([value(choices[other, CAMERA][judge]) for other in known]))
        own = float(np.mean([value(choices[other, judge][judge]) for other in known]))
        return (camera - value(one)) / max(camera - own, 1e-6)

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
            lambda content, judge, one: standing(content, judge, one, lambda each: each.excess),
            "by the excess, scaled from each checkpoint's camera footage (0) to what it made (1), of other sources",
        ),
        (
            "right checkpoint first, drop alone",
            lambda content, judge, one: standing(content, judge, one, lambda each: each.drop),
            "by the drop, scaled likewise: without the gain",
        ),
        ("right checkpoint first, plain excess", lambda _content, _judge, one: -one.excess, "by the smallest excess"),
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
                f"{name}, CRF {MIDDLE}",
                hits / of,
                *clopper_pearson(hits, of),
                f"{of} clips of {len(set(source_of.values()))} sources, {len(networks)} checkpoints",
                "" if number else ">= 95 % of four",
                f"{how}; chance {1 / len(networks):.2f}",
            )
        )
    return found
