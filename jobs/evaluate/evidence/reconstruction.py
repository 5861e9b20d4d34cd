"""How well checkpoints tell what they made from camera footage, and from what other checkpoints made.

`makersmark evaluate MANIFEST --evidence reconstruction --vae DIR [--vae DIR ...]`: the manifest's camera clips, one of
every source before any source gives a second, pass through each checkpoint; members are coded alike at each CRF and
measured on their keyframe, on as many pixels as a file is asked about. Nothing is fitted to the statistic, so sources
need no folds for the AUC; likelihood ratios are calibrated leaving the source out.
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from jobs.bench.contents import Content
from jobs.bench.negatives import NEGATIVES
from jobs.errors import BadUsageError
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluate.evidence.reconstruction_figures import MIDDLE, report
from jobs.measured import MeasuredReport
from jobs.progress import Meter
from jobs.reconstruct.calibrate import footage_for, searched_finding
from jobs.reconstruct.measure import Finding
from jobs.reconstruct.network import Network, find_source, open_network
from jobs.reconstruct.registry import checkpoint_id
from jobs.reconstruct.trials import CAMERA, CRFS, WIDE, Trial, Trials, cropped
from jobs.settings import Settings

# Searching every phase takes as long as many plain measurements: on so many contents.
SEARCHED = 10
# Rival checkpoints are told apart on so many contents: each is a member and a judge, so that costs grow as the square.
COMPARED = 8
# Camera footage is blurred, denoised and so on, five ways, on so many contents.
PROCESSED = 40


def measure(manifest: Path, settings: Settings, *, options: EvidenceOptions, console: Console) -> MeasuredReport:
    """All figures of reconstruction evidence. Raises BadUsageError without a checkpoint or enough camera footage."""
    if not options.checkpoints:
        raise BadUsageError("reconstruction is measured with a checkpoint; name one with --vae DIR")
    torch.set_num_threads(1)
    networks: dict[str, tuple[str, Network]] = {}
    for folder in options.checkpoints:
        source = find_source(folder)
        name = folder.resolve().name
        networks[name] = (checkpoint_id(source.sha256()), open_network(source, device=settings.device))
    contents = footage_for(manifest, options.limit, options.seed, side=WIDE)
    trials = Trials(networks, options.cache / "reconstruction")
    first, *others = networks
    compared = contents[:COMPARED] if others else []
    searched = contents[:SEARCHED]
    worked_on = contents[:PROCESSED]
    steps = 2 * len(contents) * len(CRFS) + 2 * len(searched) + len(compared) * len(networks) * (len(networks) + 1)
    steps += len(worked_on) * len(NEGATIVES)
    with Meter(console, "reconstruction", steps) as meter:

        def ask(content: Content, member: str, judge: str, crf: int, *, moved: bool = False) -> Finding:
            trial = Trial(content.id, content.clip.source, member, judge, crf)
            meter.advance()
            if moved:
                return trials.run(content, cropped(trial, options.seed), searched_finding)
            return trials.run(content, trial)

        aligned = {
            (content.id, member, crf): ask(content, member, first, crf)
            for content in contents
            for member in (CAMERA, first)
            for crf in CRFS
        }
        moved = {
            (content.id, member, MIDDLE): ask(content, member, first, MIDDLE, moved=True)
            for content in searched
            for member in (CAMERA, first)
        }
        processed = {
            (content.id, kind, MIDDLE): ask(content, kind, first, MIDDLE) for content in worked_on for kind in NEGATIVES
        }
        choices = {
            (content.id, member): {judge: ask(content, member, judge, MIDDLE) for judge in networks}
            for content in compared
            for member in (CAMERA, *networks)
        }
    return report(networks, contents, aligned, processed, moved, choices, options.seed)
