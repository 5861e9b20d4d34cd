"""How well a maker's new signature stands apart from its neighbours and from camera footage, before it is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.build import Built, rehearse
from fingerprint_db.calibrate import auc
from fingerprint_db.normalise import Floats
from fingerprint_db.thresholds import Rehearsal

RIVALS = 3
MOST_FOLDS = 8


@dataclass(frozen=True, slots=True)
class Rival:
    """A neighbouring maker. cosine: median of the new maker's clips with the neighbour's mean, -1..1.

    auc: probability that a clip of the new maker leans further from the neighbour towards its own maker than a clip of
    the neighbour does; .5 is no separation. None where the neighbour's clips could not be held out.
    """

    generator: str
    family: str | None
    cosine: float
    auc: float | None


@dataclass(frozen=True, slots=True)
class Separation:
    """What held-out clips of one maker say of it.

    held_out: ``source`` when every clip was judged by a model that saw none of its source, ``clip`` when all clips come
    from one source and only the clip itself was held out: then the page may be what is recognised.
    tested: clips that could be tried; rank1: share of them nearest to their own maker. own_cosine: median cosine with
    their own maker's mean. camera_auc: detection score against camera clips. None where nothing could be tried.
    rivals: makers nearest to its clips, the nearest first.
    """

    generator: str
    clips: int
    sources: int
    held_out: Literal["source", "clip"]
    tested: int
    rank1: float | None
    own_cosine: float | None
    camera_auc: float | None
    rivals: tuple[Rival, ...]


def separation(built: Built, generator: str, *, singly: bool = True) -> Separation:
    """Judge one maker of a snapshot that was just built; raises ValueError when it has no class there.

    singly: where all clips come from one source, hold out single clips; it takes a model for each, eight at most.
    """
    classes = built.snapshot.classes
    columns = {entry.generator: i for i, entry in enumerate(classes)}
    if generator not in columns:
        raise ValueError(f"There is no signature of {generator} in this snapshot.")
    number = columns[generator]
    mine = built.rehearsal.truth == number
    alone = classes[number].sources < 2
    rehearsal = _clip_by_clip(built, mine) if alone and singly else built.rehearsal
    own = rehearsal.cosines[:, number]
    rows = np.flatnonzero(mine & np.isfinite(own) & (np.isfinite(rehearsal.cosines).sum(axis=1) > 1))
    tried = rehearsal.cosines[rows]
    camera = np.array([entry.kind == "camera" for entry in classes])
    rivals = []
    for column, entry in enumerate(classes):
        if column == number or camera[column] or not len(rows):
            continue
        cosines = tried[:, column][np.isfinite(tried[:, column])]
        if len(cosines):
            between = _between(rehearsal, number, column)
            rivals.append(Rival(entry.generator, entry.family, float(np.median(cosines)), between))
    rivals.sort(key=lambda rival: (-rival.cosine, rival.generator))
    return Separation(
        generator=generator,
        clips=classes[number].clips,
        sources=classes[number].sources,
        held_out="clip" if alone else "source",
        tested=len(rows),
        rank1=float((tried.argmax(axis=1) == number).mean()) if len(rows) else None,
        own_cosine=float(np.median(own[rows])) if len(rows) else None,
        camera_auc=_against_camera(rehearsal, mine, camera[rehearsal.truth]),
        rivals=tuple(rivals[:RIVALS]),
    )


def _clip_by_clip(built: Built, mine: NDArray[np.bool_]) -> Rehearsal:
    """The rehearsal with this maker's clips held out one by one (in eight groups when there are more)."""
    rows = np.flatnonzero(mine)
    groups = [rows[start::MOST_FOLDS] for start in range(min(MOST_FOLDS, len(rows)))]
    masks = []
    for group in groups:
        mask = np.zeros(len(mine), dtype=bool)
        mask[group] = True
        masks.append(mask)
    anew = rehearse(built.clips, built.snapshot.classes, masks)
    before = built.rehearsal
    return Rehearsal(
        np.where(mine[:, None], anew.detection, before.detection),
        np.where(mine[:, None], anew.cosines, before.cosines),
        before.truth,
    )


def _between(rehearsal: Rehearsal, number: int, rival: int) -> float | None:
    """How far the two makers' clips lie apart along the difference of their cosines."""
    own, other = rehearsal.cosines[:, number], rehearsal.cosines[:, rival]
    both = np.isfinite(own) & np.isfinite(other) & np.isin(rehearsal.truth, (number, rival))
    ours = rehearsal.truth[both] == number
    if not ours.any() or ours.all():
        return None
    lean: Floats = own[both] - other[both]
    return auc(lean, ours)


def _against_camera(rehearsal: Rehearsal, mine: NDArray[np.bool_], camera: NDArray[np.bool_]) -> float | None:
    scores = rehearsal.detection[:, 0]
    rows = (mine | camera) & ~np.isnan(scores)
    if camera[mine].any() or not (rows & mine).any() or not (rows & camera).any():
        return None
    return auc(scores[rows], mine[rows])
