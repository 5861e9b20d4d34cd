"""Snapshots as a person sees them on the terminal; everything shown here is in the JSON too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from jobs.rollback import Published, RollbackSummary


def table(console: Console, found: Sequence[Published]) -> None:
    """One line a snapshot."""
    if not found:
        console.print("no snapshot is published yet")
        return
    shown = Table(title="Snapshots", title_justify="left", title_style="bold", box=None)
    for column in ("", "id", "published (UTC)", "makers", "signatures", "notes"):
        shown.add_column(column, justify="right" if column in ("makers", "signatures") else "left")
    for one in found:
        facts = one.as_dict()
        published = (facts["published_at"] or "")[:19].replace("T", " ")
        notes = facts["notes"] if one.usable else f"{facts['notes']} (of another fingerprint specification)".strip()
        mark = "*" if one.current else ""
        shown.add_row(mark, facts["id"][:16], published, str(facts["makers"]), str(facts["signatures"]), escape(notes))
    console.print(shown)
    console.print("`makersmark snapshots rollback ID` makes an earlier one judge again", style="dim")


def one(console: Console, facts: Mapping[str, Any]) -> None:
    """Everything that a snapshot says of itself."""
    now = ", judging now" if facts["current"] else ""
    console.print(f"[bold]Snapshot {facts['id']}[/bold]{now}", highlight=False)
    console.print(f"  spec {facts['spec']}, published {facts['published_at']}", style="dim", highlight=False)
    console.print(f"  {facts['signatures']} signatures of {facts['makers']} makers in this home", highlight=False)
    for remark in facts["remarks"]:
        console.print(f"  {escape(remark)}", highlight=False)
    gates = ", ".join(
        f"{name} {'never' if value is None else f'{value:.3g}'}" for name, value in facts["gates"].items()
    )
    console.print(f"  gates: {gates}", highlight=False)
    if facts["measured"]:
        measured = ", ".join(f"{name} {value:.3g}" for name, value in facts["measured"].items())
        console.print(f"  on sources unseen in the rehearsal: {measured}", highlight=False)
    if facts["calibration"]:
        shown = Table(box=None, title="Calibration", title_justify="left", title_style="bold")
        for column in ("bucket", "made clips", "sources", "camera clips", "sources", "Cllr", "used"):
            shown.add_column(column, justify="left" if column in ("bucket", "used") else "right")
        for name, row in facts["calibration"].items():
            cost = "" if row["cllr"] is None else f"{row['cllr']:.3f}"
            counts = (row["made"], row["made_sources"], row["camera"], row["camera_sources"])
            shown.add_row(name, *map(str, counts), cost, row["fit"])
        console.print(shown)


def rolled_back(console: Console, summary: RollbackSummary) -> None:
    """What a rollback changed, and what to do next."""
    done = summary.restored
    console.print(f"snapshot {summary.now[:16]} judges from now on", highlight=False)
    if summary.before == summary.now:
        console.print("it was the current one already")
    console.print(
        f"{done.withdrawn} signatures enrolled apart from it are withdrawn, {done.reinstated} brought back; none is "
        "deleted, and the next enrollment builds on what is in use",
        highlight=False,
    )
    if done.forgotten:
        console.print(
            f"{done.forgotten} signatures it was built from were removed since: it still judges by them, a new "
            "snapshot will not",
            style="yellow",
            highlight=False,
        )
    console.print("`makersmark rematch` judges by it what it has not judged yet", style="dim")
