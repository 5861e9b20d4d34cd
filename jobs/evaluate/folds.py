"""Which clips are judged by a system that was built from which others; a source is never on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.evaluate.manifest import Clip, Label


@dataclass(frozen=True, slots=True)
class Fold:
    """One split: ``held_out`` clips are judged by what was built from the ``known`` ones. Both are clip numbers."""

    name: str
    known: tuple[int, ...]
    held_out: tuple[int, ...]


def leave_one_source_out(clips: Sequence[Clip], max_folds: int | None = None) -> tuple[Fold, ...]:
    """Every source held out once; every clip judged exactly once.

    max_folds: sources are dealt to at most so many folds (never split), so that a snapshot is built for a group of
    sources at a time; None gives one fold a source. Grouping makes a fold's known side smaller, so the figures can only
    be more pessimistic than one source at a time.
    Raises ValueError with fewer than two sources.
    """
    sizes: dict[str, dict[Label, int]] = {}
    for clip in clips:
        counts = sizes.setdefault(clip.source, {})
        counts[clip.label] = counts.get(clip.label, 0) + 1
    if len(sizes) < 2:
        raise ValueError("leaving one source out takes clips of at least two sources")
    count = len(sizes) if max_folds is None else max(2, min(max_folds, len(sizes)))
    load: list[dict[Label, int]] = [{} for _ in range(count)]
    fold_of: dict[str, int] = {}
    # Largest first, each to the fold that holds least of the source's own main label: spreads both classes evenly.
    for source in sorted(sizes, key=lambda s: (-sum(sizes[s].values()), s)):
        main = max(sizes[source], key=lambda label: (sizes[source][label], label))
        best = min(range(count), key=lambda k: (load[k].get(main, 0), sum(load[k].values()), k))
        fold_of[source] = best
        for label, n in sizes[source].items():
            load[best][label] = load[best].get(label, 0) + n
    used = sorted(set(fold_of.values()))
    return tuple(_split(clips, f"sources {k + 1} of {count}", {s for s, f in fold_of.items() if f == k}) for k in used)


def leave_one_generator_out(clips: Sequence[Clip], max_folds: int | None = None) -> tuple[Fold, ...]:
    """Open set: every generator unknown once. Camera and processed sources are dealt over the folds as well.

    A held-out generator's sources are absent from the known side altogether, also for what else they published, so
    that recognising the page cannot pass for recognising an unknown generator. ``held_out`` lists the generator's
    clips and that fold's share of the camera sources; every clip is judged exactly once.
    """
    generators = sorted({clip.generator for clip in clips if clip.generator and clip.label is Label.GENERATED})
    if not generators:
        raise ValueError("leaving one generator out takes generated clips")
    count = len(generators) if max_folds is None else max(2, min(max_folds, len(generators)))
    sized = sorted(generators, key=lambda g: (-sum(c.generator == g for c in clips), g))
    group = {generator: k % count for k, generator in enumerate(sized)}
    others = sorted({clip.source for clip in clips if clip.label is not Label.GENERATED})
    other_fold = {source: k % count for k, source in enumerate(others)}
    folds = []
    for k in range(count):
        held = [
            i
            for i, clip in enumerate(clips)
            if (group[clip.generator or ""] if clip.label is Label.GENERATED else other_fold[clip.source]) == k
        ]
        gone = {clips[i].source for i in held}
        out = {clips[i].generator for i in held if clips[i].label is Label.GENERATED}
        known = tuple(
            i
            for i, clip in enumerate(clips)
            if clip.source not in gone and not (clip.label is Label.GENERATED and clip.generator in out)
        )
        if held:
            folds.append(Fold(f"generators {k + 1} of {count}", known, tuple(held)))
    return tuple(folds)


def same_page_sets(clips: Sequence[Clip]) -> Mapping[str, tuple[int, ...]]:
    """Clips published side by side on one page, by page; only pages that show at least two different makers.

    The cleanest comparison: one publisher, one encoder, often one prompt, and only the maker differs.
    """
    pages: dict[str, list[int]] = {}
    for i, clip in enumerate(clips):
        if clip.same_page:
            pages.setdefault(clip.same_page, []).append(i)
    return {
        page: tuple(members)
        for page, members in sorted(pages.items())
        if len({(clips[i].label, clips[i].generator) for i in members}) > 1
    }


def _split(clips: Sequence[Clip], name: str, sources: set[str]) -> Fold:
    held = tuple(i for i, clip in enumerate(clips) if clip.source in sources)
    known = tuple(i for i, clip in enumerate(clips) if clip.source not in sources)
    return Fold(name, known, held)
