"""``python -m jobs.demo``: makes the archive, runs the real command line over it, and says who made what."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.demo.archive import DemoPlan, DemoTruth, TruthRow, make_archive
from jobs.demo.packages import DemoPackageMissing
from jobs.demo.score import Answer, Mark, mark, tally, zero_bound
from jobs.progress import Meter

OK, SOME_UNREADABLE = 0, 1  # exit codes of the command line


class DemoStopped(Exception):
    """A step of the demo failed; the message names it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the whole demo; returns the exit code: 0 done, 2 bad usage or something to install, 3 a step failed."""
    parser = argparse.ArgumentParser(prog="python -m jobs.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo-run"), help="where everything goes (demo-run)")
    parser.add_argument("--seed", type=int, default=7, help="of everything random (7)")
    parser.add_argument("--frames", type=int, default=DemoPlan().frames, help="of a clip, at most (32)")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        run(console, chosen.folder, seed=chosen.seed, plan=DemoPlan(frames=chosen.frames))
    except (DemoPackageMissing, ValueError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except DemoStopped as error:
        print(f"demo: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("demo: interrupted; start it again to begin anew", file=sys.stderr)
        return 130
    return 0


def run(console: Console, folder: Path, *, seed: int, plan: DemoPlan) -> None:
    """The six steps, each said before it is done."""
    started = time.monotonic()
    truth = _make(console, folder, seed, plan)
    home, archive = folder / "home", folder / "archive"
    shutil.rmtree(home, ignore_errors=True)

    _say(console, 2, "Enroll what is known: camera footage first, then each decoder, from sources of their own.")
    for slug, files in truth.known_files().items():
        shown = f"{folder / 'known' / slug}/*/*"
        _makersmark(console, home, ["enroll", "--yes", slug, *map(str, files)], shown=["enroll", slug, shown])

    _say(console, 3, "Sweep the archive. Bad files are named on stderr and set aside; they stop nothing.")
    _makersmark(console, home, ["sweep", str(archive)], allowed=(OK, SOME_UNREADABLE))

    _say(console, 4, "Who made what? The truth, which the system never saw, beside its verdict.")
    _compare(console, truth, home)

    _say(console, 5, "Sweep again. Nothing has changed, so no file is opened and nothing is done twice.")
    _makersmark(console, home, ["sweep", str(archive)], allowed=(OK, SOME_UNREADABLE))

    example = next(row for row in truth.archive if row.generator == truth.decoders[0].slug)
    _say(console, 6, f"Look one file up: in truth, {example.generator} made it from {example.source}.")
    _makersmark(console, home, ["lookup", str(folder / example.path)])

    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    console.print(f"\nDone in {minutes} min {seconds:02d} s. The truth is in {folder / 'truth.csv'}; ask on with, say,")
    console.print(f"  makersmark --home {home} lookup {folder / example.path} --json", soft_wrap=True)


def _make(console: Console, folder: Path, seed: int, plan: DemoPlan) -> DemoTruth:
    _say(
        console, 1, "Make an archive whose truth is known: real footage, and the same footage through neural networks."
    )
    meter: Meter | None = None
    before = 0

    def progress(done: int, total: int, what: str) -> None:
        nonlocal meter, before
        if meter is None:
            meter = Meter(console, "making clips", total)
            meter.__enter__()
        for _ in range(done - before):
            meter.advance(note=what)
        before = done

    began = time.monotonic()
    try:
        truth = make_archive(folder, seed=seed, progress=progress, plan=plan)
    finally:
        if meter is not None:
            meter.__exit__(None, None, None)
    names = ", ".join(decoder.title for decoder in truth.decoders)
    console.print(f"  {len(truth.known)} clips to learn from and {len(truth.archive) + len(truth.bad)} files to judge,")
    console.print(f"  of {len({c.source for c in truth.known})} and {len({r.source for r in truth.archive})} sources,")
    console.print(f"  none of them in both; networks: {names}")
    if truth.held_out is not None:
        console.print(f"  and one that nobody enrolls: {truth.held_out.title}")
    console.print(f"  in {folder} ({time.monotonic() - began:.0f} s)", soft_wrap=True)
    return truth


def _say(console: Console, step: int, words: str) -> None:
    console.print(f"\n[bold]{step}/6[/bold] {escape(words)}", soft_wrap=True)


def _makersmark(
    console: Console,
    home: Path,
    arguments: Sequence[str],
    *,
    shown: Sequence[str] | None = None,
    allowed: tuple[int, ...] = (OK,),
) -> None:
    """Runs one verb of the real command line in a process of its own, its output passing straight through."""
    script = Path(sys.executable).with_name("makersmark")
    start = [str(script)] if script.is_file() else [sys.executable, "-c", "from jobs.cli import main; main()"]
    pretty = f"makersmark --home {home} " + " ".join(shown or map(shlex.quote, arguments))
    console.print(f"[dim]$ {escape(pretty)}[/dim]", soft_wrap=True)
    sys.stdout.flush()
    code = subprocess.run([*start, "--home", str(home), *arguments], check=False).returncode
    if code not in allowed:
        raise DemoStopped(f"`makersmark {arguments[0]}` ended with exit code {code}; what it said stands above")


def _compare(console: Console, truth: DemoTruth, home: Path) -> None:
    """The table of files, the table of counts, and what they prove."""
    paths = [row.path for row in truth.archive] + [bad.path for bad in truth.bad]
    answers = _answers(home, {path: truth.folder / path for path in paths})
    enrolled = [decoder.slug for decoder in truth.decoders]
    marks = [(row, mark(row, answers[row.path], enrolled)) for row in truth.archive]
    table = Table("file", "in truth", "verdict", "llr", "p", "", box=None, header_style="bold", pad_edge=False)
    for row, judged in sorted(marks, key=lambda pair: (pair[0].label, pair[0].generator, pair[0].path)):
        answer = answers[row.path]
        llr, p_value = _number(answer.llr, "+.1f"), _number(answer.p_value, ".3f")
        table.add_row(_short(row.path), _in_truth(row), answer.words, llr, p_value, _coloured(judged))
    console.print(table)
    console.print("\nFiles that are no video, or no whole one:")
    for bad in truth.bad:
        said = answers[bad.path]
        as_it_should = said.verdict is None and said.error in bad.reasons
        given = "named rightly" if as_it_should else f"[red]expected {' or '.join(bad.reasons)}[/red]"
        console.print(f"  {_short(bad.path)}: {bad.notes}: {escape(said.words)} ({given})", soft_wrap=True)
    _count(console, marks, enrolled)


def _count(console: Console, marks: Sequence[tuple[TruthRow, Mark]], enrolled: Sequence[str]) -> None:
    counts = Table("made by", "files", "sources", *map(str, Mark), box=None, header_style="bold", pad_edge=False)
    groups = tally(marks, enrolled)
    for group in groups:
        given = (str(group.marks.get(kind, 0)) for kind in Mark)
        counts.add_row(group.group, str(group.files), str(group.sources), *given)
    console.print()
    console.print(counts)
    camera = next(group for group in groups if group.group == "camera")
    alarms, files = camera.marks.get(Mark.WRONG, 0), camera.files
    bound = f"{zero_bound(files):.0%}" if alarms == 0 else "more"
    console.print(
        f"\n{alarms} false alarms on {files} camera files; so few files leave a true rate of up to {bound} possible.\n"
        "The demo shows that the parts work together on real video; how well, `makersmark evaluate` measures."
    )


def _answers(home: Path, files: Mapping[str, Path]) -> dict[str, Answer]:
    """The objects that ``makersmark lookup FILE --json`` prints, read in one process instead of one a file."""
    from jobs.home import Home
    from jobs.lookup import UnknownTargetError, look_up
    from jobs.settings import load_settings

    opened = Home(load_settings({"home": str(home)}))
    answers: dict[str, Answer] = {}
    try:
        for name, path in files.items():
            found: Mapping[str, Any]
            try:
                found = look_up(opened, os.fspath(path))
            except UnknownTargetError:
                found = {"verdicts": [], "error": {"class": "never swept"}}
            answers[name] = Answer.from_lookup(found)
    finally:
        opened.close()
    return answers


def _in_truth(row: TruthRow) -> str:
    return f"{row.generator or row.label} ({row.source}, {row.codec})"


def _short(path: str) -> str:
    return path.removeprefix("archive/")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _coloured(given: Mark) -> str:
    colour = {Mark.RIGHT: "green", Mark.WRONG: "red", Mark.MISSED: "red", Mark.UNREAD: "red"}.get(given, "yellow")
    return f"[{colour}]{given}[/{colour}]"


if __name__ == "__main__":
    sys.exit(main())
