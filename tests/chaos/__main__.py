"""``python -m tests.chaos``: many crash schedules, each compared with an unbroken run.

A failing schedule is reproduced by ``--seed SEED --schedules 1``; what two drivers do at once is up to the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work; kept, and its archive is used again")
    parser.add_argument("--sabotage", help="break the product on purpose: the run must fail")
    parser.add_argument("--stop", action="store_true", help="stop at the first failing schedule")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    # Threads of numeric libraries do not survive a fork; one thread starts none.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import torch

    from tests.chaos.harness import Harness, play_many
    from tests.chaos.sabotage import SABOTAGE

    torch.set_num_threads(1)
    folder = Path(options.folder or tempfile.mkdtemp(prefix="makersmark-chaos-", dir=_quick_folder()))
    folder.mkdir(parents=True, exist_ok=True)
    harness = Harness(folder, sabotage=SABOTAGE[options.sabotage] if options.sabotage else None)
    started, last = time.monotonic(), 0.0
    ends: Counter[str] = Counter()
    orphans, failed, played = 0, [], 0
    for verdict in play_many(harness, options.seed, options.schedules):
        played += 1
        ends.update(verdict.ends)
        orphans += verdict.orphans
        if verdict.wrong:
            failed.append(verdict.schedule.seed)
            print(f"FAILED {verdict.schedule}", *verdict.wrong[:8], sep="\n  ", file=sys.stderr)
            print(f"  again: python -m tests.chaos --schedules 1 --seed {verdict.schedule.seed}", file=sys.stderr)
            if options.stop:
                break
        spent = time.monotonic() - started
        if spent - last > 15:
            last = spent
            left = spent / played * (options.schedules - played)
            print(f"{played} schedules, {len(failed)} failed, {spent:.0f} s, {left:.0f} s left", file=sys.stderr)
    hits = harness.tally.read()
    summary = {
        "schedules": played,
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
        print(", ".join(f"{name} {summary[name]}" for name in ("schedules", "failed", "ends", "orphans", "wall_s")))
    if options.folder is None and not failed:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


def _quick_folder() -> str | None:
    """Shared memory where there is some: a killed process loses nothing there either, and fsync costs nothing."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > 512 << 20 else None


if __name__ == "__main__":
    sys.exit(main())
