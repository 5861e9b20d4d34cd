"""``python -m tests.fuzz``: counts by outcome; exit status 1 when a mutant crashed, hung or met an unforeseen error."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.fuzz.corpus import MAKERS, make_corpus
from tests.fuzz.run import Report, again, mutants, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutations", type=int, default=2000, help="how many files to damage (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed damages the same way (default %(default)s)")
    parser.add_argument("--formats", nargs="*", choices=[*MAKERS], default=[], help="only these (default: all)")
    parser.add_argument("--again", nargs=2, metavar=("FORMAT", "SEED"), help="one mutant that a run has named")
    parser.add_argument("--keep", type=Path, help="a folder for the files that ended as none should")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="makersmark-fuzz-") as name:
        # All formats even for one of them: a splice takes from the others, and must take the same.
        corpus = make_corpus(Path(name))
        if chosen.again:
            made = iter([(chosen.again[0], *again(corpus, *chosen.again))])
        else:
            made = mutants(corpus, chosen.mutations, chosen.seed, chosen.formats)
        said = time.monotonic()
        for report in run(corpus, made, Path(name), keep=chosen.keep):
            if time.monotonic() - said > 60:
                said = time.monotonic()
                print(f"{report.mutants} mutants, {len(report.finds)} finds", flush=True)
    _print(report)
    return 1 if report.finds or report.unaccounted else 0


def _print(report: Report) -> None:
    formats = len(report.by_format)
    print(f"{report.mutants} mutants of {formats} formats in {report.wall_s:.0f} s, slowest {report.slowest_s:.1f} s")
    for outcome, count in report.outcomes.most_common():
        print(f"  {count:6} {outcome}")
    print(f"  {report.unaccounted:6} unaccounted for")
    for find in report.finds:
        print(f"FOUND {find.outcome} after {find.wall_s:.1f} s: {find.message}")
        print(f"      {find.mutations}; again: python -m tests.fuzz --again {find.name!r} {find.seed}")


if __name__ == "__main__":
    sys.exit(main())
