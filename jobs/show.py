"""What a person sees: tables and sentences on the terminal. Everything shown here is in the JSON too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fingerprint_db.overlays import FACT as OVERLAYS
from jobs.archive import safe_uri
from jobs.artefacts import sentences as artefact_sentences
from jobs.record import describe_verdict

if TYPE_CHECKING:  # the verbs import torch and faiss, which help and look-ups need not wait for
    from fingerprint_db.catalogue import GeneratorRow
    from jobs.bench.speed import Measurement
    from jobs.generators import EnrolledOnly, Listing
    from jobs.quarantine import SetAside
    from jobs.reconstruct.run import ReconstructSummary
    from jobs.rematch import RematchSummary
    from jobs.sweep import SweepSummary

MEANING = {
    "attributed": "consistent with this generator's decoder and texture",
    "family": "consistent with this decoder family; the generator within it stays open",
    "synthetic": "traces of some decoder, of no known one",
    "processed_camera": "camera footage through a known neural processor",
    "no_known_generator": "consistent with camera footage; no known generator fits",
    "inconclusive": "cannot be judged",
}


def sweep_summary(console: Console, summary: SweepSummary, stale: int) -> None:
    """The closing table of a sweep."""
    inventory = summary.inventory
    table = _two_columns(f"Sweep {summary.sweep_id[:8]}")
    row = table.add_row
    row("files in the archive", f"{inventory.listed}  (new {inventory.new}, changed {inventory.changed})")
    row("unchanged, not opened", str(inventory.known))
    row("fingerprinted", str(summary.fingerprinted))
    if summary.duplicates:
        row("same content under another name", str(summary.duplicates))
    if summary.held:
        row("done by another sweep meanwhile", str(summary.held))
    waiting = inventory.listed - inventory.known - len(inventory.to_open)
    if waiting:
        row("left for a later sweep (--limit, --since)", str(waiting))
    if inventory.gone:
        row("no longer in the archive", str(inventory.gone))
    if inventory.passed_over:
        row("other files, passed over", f"{inventory.passed_over}  (--all-files opens them)")
    if summary.freed:
        row("taken over from a sweep that died", str(summary.freed))
    row("hours of video", f"{summary.video_s / 3600:.3f}")
    if summary.fingerprinted:
        speed = summary.video_s / summary.wall_s if summary.wall_s > 0 else 0.0
        row("throughput", f"{speed:.1f} s of video per second  ({summary.wall_s:.0f} s in all)")
    for verdict, count in summary.verdicts.most_common():
        row(f"  {verdict}", str(count))
    for name, count in summary.generators.most_common():
        row(f"    {name}", str(count))
    kinds = Counter(failure.kind for failure in summary.failures.values())
    row("could not be read", str(sum(kinds.values())))
    for kind, count in kinds.most_common():
        row(f"  {kind}", str(count))
    row("spec, snapshot", f"{summary.spec_id}, {summary.snapshot_id[:16]}")
    console.print(table)
    if not inventory.to_open:
        unchanged = "the archive holds no video file" if not inventory.listed else "nothing is new: no file was opened"
        console.print(unchanged)
    if stale:
        console.print(
            f"{stale} contents were judged by an older snapshot only; `makersmark rematch` judges them again",
            highlight=False,
        )


def file_verdict(console: Console, record: Mapping[str, Any], *, heading: bool = True) -> None:
    """One scanned file: the answer, what it means, the seconds that carry it, the neighbours."""
    if heading:
        console.print(f"[bold]{escape(record['uri'])}[/bold]", highlight=False, soft_wrap=True)
    console.print(f"  {escape(describe_verdict(record))}", highlight=False, soft_wrap=True)
    if record["error"]:
        return
    console.print(f"  {MEANING[record['verdict']]}", style="dim")
    length = f"{record['duration_s']:.1f} s" if record["duration_s"] else "unknown length"
    console.print(f"  {length}, coverage {record['coverage']:.0%}", style="dim", highlight=False)
    for segment in record["segments"]:
        name = segment["generator"] or segment["family"] or ""
        times = f"{segment['start_s']:.1f}-{segment['end_s']:.1f} s"
        console.print(f"  {times}: {segment['verdict']} {name} (llr {segment['llr']:.2f})", highlight=False)
    put_together = _put_together((record.get("evidence") or {}).get("assembly"))
    if put_together:
        console.print(f"  put together: {escape(put_together)}", highlight=False, soft_wrap=True)
    fixed = _laid_out((record.get("evidence") or {}).get("layout"))
    if fixed:
        console.print(f"  fixed to the frame: {escape(fixed)}", highlight=False, soft_wrap=True)
    if record["nearest"]:
        near = ", ".join(f"{n['generator']} {n['score']:.2f}" for n in record["nearest"][:3])
        console.print(f"  nearest signatures: {near}", style="dim", highlight=False)
    if given_back := record.get("evidence", {}).get("reconstruction"):
        console.print(f"  {escape(reconstruction_line(given_back))}", highlight=False, soft_wrap=True)
    for sentence in artefact_sentences(record.get("evidence", {}).get("artefacts", {})):
        console.print(f"  {escape(sentence)}", style="dim", highlight=False, soft_wrap=True)
    if found := record.get("evidence", {}).get("declared"):
        for line in declared_lines(found):
            console.print(f"  {escape(line)}", style="dim", highlight=False, soft_wrap=True)
    said = "; ".join(f"{name}: {value}" for name, value in record["declared"].items() if name != OVERLAYS)
    if said:
        console.print(f"  in the file's own words: {escape(said[:200])}", style="dim", highlight=False, soft_wrap=True)


def declared_lines(found: Mapping[str, Any]) -> list[str]:
    """The declared evidence in a line or two: what the file says outright, what it fits, what contradicts."""
    parts = [f"{one['where']}: {one['generator'] or one['makes'] or one['maker']}" for one in found["says_itself"]]
    if found["c2pa"] and found["c2pa"]["state"] != "absent":
        parts.insert(0, f"content credentials {found['c2pa']['state']}")
    if found["speaks"]:
        first = found["fits"][0]
        parts.append(f"fits {first['generator']} (posterior {first['posterior']:.2f})")
    if (marks := found.get("marks")) and marks["overlays"]:
        parts.append(marks["overlays"][0]["says"])
    lines = [f"{found['label']}: {'; '.join(parts[:4])}"] if parts else []
    return lines + ([f"declared against measured: {found['contradiction']}"] if found["contradiction"] else [])


def reconstruction_line(said: Mapping[str, Any]) -> str:
    """One line on what VAE checkpoints gave back of a file."""
    if said.get("error"):
        return f"reconstruction: {said['error']['message']}"
    if said["llr"] is None:
        return f"reconstruction: {said['checkpoints'][0]['error']}"
    name = said["generator"]
    what = f"consistent with the VAE of {name}" if name else "no checkpoint gives it back as its own"
    margin = f", margin {said['margin']:.2f} to {said['runner_up']}" if said["margin"] is not None else ""
    return f"reconstruction: {what} (llr {said['llr']:.2f}{margin}; of {len(said['checkpoints'])} checkpoints)"


def reconstruct_summary(console: Console, summary: ReconstructSummary) -> None:
    table = _two_columns("Reconstruct")
    table.add_row("checkpoints", str(summary.checkpoints))
    table.add_row("contents measured now", str(summary.measured))
    table.add_row("measured before", str(summary.known))
    table.add_row("not on the shortlist", str(summary.passed_over))
    for name, count in sorted(summary.speaking.items()):
        table.add_row(f"  speak for {name}", str(count))
    table.add_row("could not be read", str(len(summary.failures)))
    console.print(table)


def rematch_summary(console: Console, summary: RematchSummary) -> None:
    table = _two_columns("Rematch")
    table.add_row("judged now, without decoding", str(summary.judged))
    table.add_row("judged by this snapshot before", str(summary.known))
    table.add_row("answers that changed", str(summary.changed))
    for verdict, count in summary.verdicts.most_common():
        table.add_row(f"  {verdict}", str(count))
    table.add_row("snapshot", summary.snapshot_id[:16])
    console.print(table)


def lookup(console: Console, found: Mapping[str, Any]) -> None:
    """Everything known of one content."""
    console.print(f"[bold]{escape(found['uri'])}[/bold]", highlight=False, soft_wrap=True)
    console.print(f"  sha256 {found['sha256'] or 'unknown'}, {found['size']} bytes, {found['state']}", highlight=False)
    others = [place for place in found["locations"] if place != found["uri"]]
    for place in others:
        console.print(f"  the same content: {escape(place)}", highlight=False, soft_wrap=True)
    if found["error"]:
        said = f"{found['error']['class']}: {found['error']['message']}"
        console.print(f"  {escape(said)}", style="red", highlight=False, soft_wrap=True)
    if not found["verdicts"] and not found["error"]:
        console.print("  no verdict yet")
    for record in found["verdicts"]:
        standing = "" if record["current"] else "  (not the snapshot that judges now)"
        console.print(
            f"{record['decided_at']}  snapshot {record['snapshot'][:16]}{standing}", style="dim", highlight=False
        )
        file_verdict(console, record, heading=False)


def generator_table(console: Console, listing: Listing, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(listing.as_dict()))
        return
    table = Table(title="Generators and processors", title_justify="left", title_style="bold", box=None)
    names, more = console.width >= 130, console.width >= 100
    columns = (
        "slug",
        *(("name", "maker") if names else ()),
        "decoder family",
        *(("paradigm", "stride") if more else ()),
    )
    for column in columns:
        table.add_column(column, no_wrap=not names)
    for column in ("clips", "sources", "grade", "rank-1", "AUC"):
        table.add_column(column, justify="left" if column == "grade" else "right", no_wrap=True)

    def add(row: GeneratorRow | EnrolledOnly, maker: str, paradigm: str, stride: str) -> None:
        standing = listing.standing.get(row.slug)
        grade, rank1, auc = ("", None, None) if standing is None else (standing.grade, standing.rank1, standing.auc)
        facts = (*((row.name, maker) if names else ()), row.family or "", *((paradigm, stride) if more else ()))
        shown = ("" if value is None else f"{value:.2f}" for value in (rank1, auc))
        table.add_row(row.slug, *facts, str(row.clips), str(row.sources), grade, *shown)

    for known in listing.rows:
        add(known, known.maker, known.paradigm or "", known.stride or "")
    for entry in listing.own:
        add(entry, "", entry.kind, "")
    console.print(table)
    console.print(
        "clips and sources: enrolled signatures, and how many places they came from. rank-1: share of its clips "
        "nearest to it when their source was unseen; AUC: their likelihood ratio against camera footage, likewise. "
        "grade: good, fair, weak by rank-1, untested where too few clips could be tried. `makersmark generators NAME` "
        "says why",
        style="dim",
        highlight=False,
    )


def facts(console: Console, described: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dict(described)))
        return
    table = _two_columns("")
    for label, value in described:
        table.add_row(label, escape(value))
    console.print(table)


def bench(console: Console, measured: Sequence[Measurement], as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(entry) for entry in measured]))
        return
    table = Table(title="Cost on this machine, one thread", title_justify="left", title_style="bold", box=None)
    for column in ("what", "median", "lowest", "highest", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for entry in measured:
        numbers = (f"{value:.3g} {entry.unit}" for value in (entry.median, entry.low, entry.high))
        table.add_row(entry.name, *numbers, f"{entry.ratio:.2f}" if entry.ratio is not None else "")
    console.print(table)
    console.print(
        "ratio: to the planned windows by pyav, paired within a round; compare ratios, not times", style="dim"
    )


def set_aside(console: Console, entries: Sequence[SetAside], *, as_json: bool) -> None:
    if as_json:
        for entry in entries:
            print(json.dumps(entry.as_dict()))
        return
    if not entries:
        console.print("nothing is set aside")
        return
    for entry in entries:
        console.print(f"[bold]{escape(entry.uri)}[/bold]", highlight=False, soft_wrap=True)
        tries = f"{entry.attempts} attempt{'' if entry.attempts == 1 else 's'}"
        content = f" {entry.sha256[:16]}" if entry.sha256 else ""
        console.print(f"  {entry.state}{content}, {tries}, since {entry.since}", style="dim", highlight=False)
        console.print(f"  {entry.kind}: {escape(entry.message)}", highlight=False, soft_wrap=True)


def set_aside_entry(console: Console, entry: SetAside) -> None:
    """Everything known of one set-aside content or location."""
    table = _two_columns("Set aside")
    for label, value in (
        ("file", safe_uri(entry.uri) or "under no name any more"),
        *(("also", f"{safe_uri(uri)} ({state})") for uri, state in entry.locations if uri != entry.uri),
        ("content", entry.sha256 or "could not be read"),
        ("bytes", "" if entry.size is None else str(entry.size)),
        ("state", f"{entry.state} since {entry.since}"),
        ("class", f"{entry.kind} (policy: {entry.policy or 'none'})"),
        ("attempts", str(entry.attempts)),
        ("reason", entry.message),
        ("what to do", entry.next_step),
        ("spec", entry.spec or ""),
    ):
        if value:
            table.add_row(label, escape(value))
    console.print(table)


def _put_together(found: Mapping[str, Any] | None) -> str:
    from fingerprint_db.assembly import summary

    return summary(found) if found else ""


def _laid_out(found: Mapping[str, Any] | None) -> str:
    from fingerprint_db.layout.findings import summary

    return summary(found) if found else ""


def _two_columns(title: str) -> Table:
    table = Table(title=title or None, box=None, show_header=False, title_justify="left", title_style="bold")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
