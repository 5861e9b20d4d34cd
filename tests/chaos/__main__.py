"""``python -m tests.chaos``: many crash schedules, each compared with an unbroken run.

A failing schedule is reproduced by ``--seed SEED --schedules 1``, an aimed one (``--aimed``) by its negative seed; what
two drivers do at once is up to the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.harness import Harness


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work; kept, and its archive is used again")
    parser.add_argument("--aimed", action="store_true", help="first a kill at every boundary and a sleep where one may")
    parser.add_argument("--sabotage", action="store_true", help="break the product on purpose, in every way in turn")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    # Threads of numeric libraries do not survive a fork; one thread starts none.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import torch

    from tests.chaos.harness import Harness, play_aimed, play_many
    from tests.chaos.sabotage import SABOTAGE
    from tests.chaos.schedule import aimed as aimed_schedules

    torch.set_num_threads(1)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="makersmark-chaos-", dir=_quick_folder()))
    folder.mkdir(parents=True, exist_ok=True)
    harness = Harness(folder)
    if options.sabotage:
        return _see_whether_it_is_seen(harness, SABOTAGE)
    started, last = time.monotonic(), 0.0
    ends: Counter[str] = Counter()
    orphans, failed, played = 0, [], 0
    aimed = len(aimed_schedules(harness.passages)) if options.aimed else 0
    total = aimed + options.schedules
    drawn = play_many(harness, options.seed, options.schedules)
    for verdict in itertools.chain(play_aimed(harness) if aimed else (), drawn):
        played += 1
        ends.update(verdict.ends)
        orphans += verdict.orphans
        if verdict.wrong:
            failed.append(verdict.schedule.seed)
            print(f"FAILED {verdict.schedule}", *verdict.wrong[:8], sep="\n  ", file=sys.stderr)
            print(f"  again: python -m tests.chaos --schedules 1 --seed {verdict.schedule.seed}", file=sys.stderr)
        spent = time.monotonic() - started
        if spent - last > 15:
            last = spent
            left = spent / played * (total - played)
            print(f"{played} schedules, {len(failed)} failed, {spent:.0f} s, {left:.0f} s left", file=sys.stderr)
    hits = harness.tally.read()
    summary = {
        "schedules": played,
        "aimed": aimed,
        "failed": failed,
        "ends": dict(ends),
        "orphans": orphans,
        "wall_s": round(time.monotonic() - started, 1),
        "reachable": sorted({name for counts in harness.passages.values() for name in counts}),
        "boundaries": {name: {"passed": passed, "faults": fired} for name, (passed, fired) in hits.items()},
    }
    if options.json:
        print(json.dumps(summary))
    else:
        for name, (passed, fired) in hits.items():
            print(f"{name:28} passed {passed:8}  faults {fired:6}")
        print(
            ", ".join(
                f"{name} {summary[name]}" for name in ("schedules", "aimed", "failed", "ends", "orphans", "wall_s")
            )
        )
    if options.folder is None and not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


def _see_whether_it_is_seen(harness: Harness, ways: Mapping[str, Callable[[], None]]) -> int:
    """One JSON line a way of breaking the product: after how many schedules it was noticed, by what, in what time."""
    from tests.chaos.harness import noticed_after

    blind = 0
    for name, sabotage in ways.items():
        started = time.monotonic()
        noticed = noticed_after(harness, sabotage)
        after, wrong = noticed or (None, [])
        blind += noticed is None
        told = {"sabotage": name, "after": after, "wrong": wrong[:3], "wall_s": round(time.monotonic() - started, 1)}
        print(json.dumps(told), flush=True)
    return 1 if blind else 0


def _quick_folder() -> str | None:
    """Shared memory where there is some: a killed process loses nothing there either, and fsync costs nothing."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > 512 << 20 else None


if __name__ == "__main__":
    sys.exit(main())
