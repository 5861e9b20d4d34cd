"""What an enrollment tells before it publishes, and what it did; everything shown here is in the JSON too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from fingerprint_db.separation import Separation
    from fingerprint_db.snapshot import Snapshot
    from jobs.bench.gate import RoundTrip
    from jobs.enrollment import Proposal
    from jobs.reconstruct.registry import Checkpoint


def proposal(console: Console, proposed: Proposal) -> None:
    """How each new signature stands apart from its neighbours, and what to mind."""
    for each in proposed.separations:
        _separation(console, each, proposed.new[each.generator])
    for warning in proposed.warnings:
        console.print(f"note: {escape(warning)}", style="yellow", highlight=False, soft_wrap=True)


def outcome(console: Console, proposed: Proposal, snapshot: Snapshot | None, *, dry_run: bool) -> None:
    """What was stored and published, or why nothing was."""
    if dry_run:
        console.print("a dry run: nothing was stored or published")
        return
    if snapshot is None:
        console.print("nothing was stored or published", style="red")
        return
    for slug in sorted(proposed.makers):
        again = f", {proposed.repeated[slug]} known before" if proposed.repeated[slug] else ""
        console.print(f"{slug}: {proposed.new[slug]} signatures added{again}", highlight=False)
    console.print(f"snapshot {snapshot.id[:16]} is published", highlight=False)


def checkpoint(console: Console, kept: Checkpoint, fidelity: RoundTrip, auc: Mapping[int, float]) -> None:
    """A kept checkpoint: how faithful it is, and how well its reconstructions tell its own from camera footage."""
    cohort = kept.model.cohort
    console.print(
        f"checkpoint {kept.id[:16]} ({kept.cls}) is kept: round trips of {fidelity.psnr_db:.1f} dB, "
        f"gradient energy x{fidelity.gradient_ratio:.2f}",
        highlight=False,
    )
    shown = ", ".join(f"{value:.2f} at CRF {crf}" for crf, value in sorted(auc.items()))
    console.print(
        f"  reconstruction against camera footage: AUC {shown} ({cohort['camera_clips']} clips of "
        f"{cohort['sources']} sources, compressed once)",
        highlight=False,
    )


def _separation(console: Console, each: Separation, new: int) -> None:
    console.print(
        f"[bold]{each.generator}[/bold]: {each.clips} clips of {each.sources} sources with these, {new} of them new",
        highlight=False,
    )
    if each.rank1 is None:
        why = "all come from one source" if each.sources < 2 else "nothing else is enrolled"
        console.print(f"  no clip could be tried against the others: {why}", highlight=False)
    else:
        how = "clips of sources unseen" if each.held_out == "source" else "held-out clips (of the one source)"
        right = round(each.rank1 * each.tested)
        console.print(f"  {right} of {each.tested} {how} are nearest to it", highlight=False)
    for rival in each.rivals:
        apart = "" if rival.auc is None else f", told apart with AUC {rival.auc:.2f}"
        family = f" ({rival.family})" if rival.family else ""
        own = "" if each.own_cosine is None else f", its own {each.own_cosine:.2f}"
        console.print(f"  near it: {rival.generator}{family}, cosine {rival.cosine:.2f}{own}{apart}", highlight=False)
    if each.camera_auc is not None:
        console.print(f"  against camera footage: AUC {each.camera_auc:.2f}", highlight=False)
