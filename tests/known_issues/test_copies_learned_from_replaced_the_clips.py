"""Copies through a second chain carried the clip's own checksum, and so replaced the clip instead of joining it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import jobs.evaluate.judging
from jobs.evaluate.run import EvaluationOptions, evaluate
from tests.jobs.evaluate.labelled import SPEC, World


def test_folds_learn_from_the_clips_and_from_their_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(separation=10.0)
    for page in range(2):
        world.add("alpha", f"alpha/{page}", clips=3)
        world.add(None, f"camera/{page}", clips=3)
    copies = {
        name: replace(seen, file=replace(seen.file, sha256=f"{number:064x}"))
        for number, (name, seen) in enumerate(world.evidence.items())
    }
    real, sizes = jobs.evaluate.judging.build_snapshot, []

    def spy(records: Any, **more: Any) -> Any:
        sizes.append(len({record.key for record in records}))
        return real(records, **more)

    monkeypatch.setattr(jobs.evaluate.judging, "build_snapshot", spy)
    options = EvaluationOptions(max_folds=2, replicates=10, trees=5, open_set=False, shuffled=False)
    evaluate(world.manifest(), world.gathered(), spec_id=SPEC, also=[copies], options=options)
    assert sizes == [12, 12]
