"""What a maker's signatures are worth, in one word and one sentence, from clips of sources that the model had not seen.

This is about how well the maker is known, and stands beside what a verdict may do with it (ClassEntry.grade): a maker
with enough clips from several pages may be nameable in principle and still be weak.
"""

from __future__ import annotations

from dataclasses import dataclass

from fingerprint_db.snapshot import ClassEntry
from fingerprint_db.thresholds import MIN_CLIPS, lower_bound

GOOD = 0.7  # share of unseen clips nearest to their own maker
FAIR = 0.3
TIMES_CHANCE = 3.0  # a share below so many times what guessing reaches tells of nothing


@dataclass(frozen=True, slots=True)
class Quality:
    """grade: good | fair | weak | untested | unmeasured, or ``reference`` for camera footage. why: one sentence."""

    grade: str
    why: str


def quality_of(entry: ClassEntry, makers: int) -> Quality:
    """The grade of one maker among ``makers`` classes, camera footage counted.

    good: at least 70 % of its clips of unseen sources were nearest to it, and the 90 % lower bound of that share is a
    half or more. fair: 30 %, and the bound lies above three times chance. weak: less. untested: fewer than three clips
    could be tried, since one source alone leaves nothing to know the maker from. unmeasured: the snapshot does not say.
    """
    if entry.kind == "camera":
        return Quality("reference", f"{entry.clips} clips of {entry.sources} sources, what everything is held against")
    if entry.tested is None:
        return Quality("unmeasured", "its snapshot was made before this was measured; publishing anew measures it")
    if entry.tested < MIN_CLIPS:
        lacking = (
            "all clips come from one source, so none could be tried on a source unseen"
            if entry.sources < 2
            else f"only {entry.tested} clips could be tried on a source unseen; {MIN_CLIPS} are needed"
        )
        return Quality("untested", lacking)
    share = entry.nearest_right / entry.tested
    bound = lower_bound(entry.nearest_right, entry.tested)
    chance = 1.0 / max(1, makers)
    grade = "weak"
    if share >= GOOD and bound >= 0.5:
        grade = "good"
    elif share >= FAIR and bound > TIMES_CHANCE * chance:
        grade = "fair"
    said = f"{entry.nearest_right} of {entry.tested} clips of sources unseen were nearest to it (chance {chance:.0%})"
    if entry.auc is not None:
        said += f"; against camera footage AUC {entry.auc:.2f}"
    return Quality(grade, said)
