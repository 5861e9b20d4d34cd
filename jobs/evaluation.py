"""The verb ``evaluate``: opens what the evaluation needs, runs it with progress, hands back its report."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from rich.console import Console

from fingerprint_db.pack import load_starter
from fingerprint_db.spec import FingerprintSpec
from jobs.archive import is_local, local_path
from jobs.errors import BadUsageError
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import EvaluationChain, parse_chain
from jobs.evaluate.evidence import EvidenceOptions, measure_evidence
from jobs.evaluate.gather import gather
from jobs.evaluate.grid import grid_chains
from jobs.evaluate.judging import Known
from jobs.evaluate.manifest import ManifestError, load_manifest, resolve_by_catalogue
from jobs.evaluate.report import EvaluationReport
from jobs.evaluate.run import EvaluationOptions, Protocol, evaluate
from jobs.home import Home
from jobs.measured import MeasuredReport
from jobs.progress import Meter
from jobs.scan import current_spec
from jobs.settings import Settings
from jobs.snapshots import starter_snapshot

DEFAULT_GRID = grid_chains()


def run_evaluation(
    manifest: Path,
    settings: Settings,
    *,
    protocol: str,
    chain: str,
    learn_from: Sequence[str] = (),
    learn_with: Sequence[Path] = (),
    grid: Sequence[str] = (),
    cache: Path | None,
    console: Console,
) -> EvaluationReport:
    """Bring the clips through the chain, fingerprint them, judge them by the protocol, measure.

    learn_from: chains whose copies the folds also learn from. learn_with: manifests of further clips, as they are, that
    the folds also learn from where these share no source with what is judged. grid: chains whose copies are judged
    besides, by what was learned without them. cache: None keeps the work inside a local home that exists, else in a
    folder that is removed afterwards.
    Raises BadUsageError with one sentence for a manifest, protocol or chain that cannot be used.
    """
    wanted = protocol.replace("-", "_")
    if wanted not in get_args(Protocol):
        known = ", ".join(name.replace("_", "-") for name in get_args(Protocol))
        raise BadUsageError(f"no protocol is called {protocol!r}; choose one of {known}")
    try:
        codec = parse_chain(chain)
        labelled = load_manifest(manifest, resolve_by_catalogue)
        spec = current_spec(settings)
        with tempfile.TemporaryDirectory(prefix="makersmark-evaluate-") as passing:
            kept = cache or (_inside_home(settings) or Path(passing))
            others = [parse_chain(name) for name in learn_from]
            lessons = [load_manifest(other, resolve_by_catalogue) for other in learn_with]
            cells = {name: parse_chain(name) for name in dict.fromkeys(grid)}
            through_chains = [codec, *others, *cells.values()]
            work = [(labelled, one) for one in through_chains] + [(other, None) for other in lessons]
            with Meter(console, "evaluate", 2 * sum(len(one.clips) for one, _ in work)) as meter:
                gathered, *more = [
                    gather(
                        clips,
                        settings,
                        chain=one,
                        cache=EvaluationCache(kept),
                        progress=lambda step: meter.advance(note=step),
                    )
                    for clips, one in work
                ]
            also, through = more[: len(others)], more[len(others) : len(through_chains) - 1]
            taught = more[len(through_chains) - 1 :]
            return evaluate(
                labelled,
                gathered,
                spec_id=spec.id,
                known=_known(settings, spec),
                also=[each.evidence for each in also],
                beside=[
                    (clip, seen.evidence[clip.name])
                    for other, seen in zip(lessons, taught, strict=True)
                    for clip in other.clips
                    if clip.name in seen.evidence
                ],
                grid={name: each.evidence for name, each in zip(cells, through, strict=True)},
                options=EvaluationOptions(
                    protocol=cast(Protocol, wanted),
                    chain=_described(codec, others, len(lessons)),
                    learned=tuple(name for name, one in cells.items() if one in (codec, *others)),
                ),
                progress=lambda step: console.print(f"judging: {step}", style="dim", highlight=False),
            )
    except (ManifestError, ValueError) as error:
        raise BadUsageError(str(error)) from error


def evaluate_evidence(
    kind: str,
    manifest: Path,
    settings: Settings,
    *,
    cache: Path | None,
    limit: int,
    seed: int,
    checkpoints: Sequence[Path],
    out: Path | None,
    console: Console,
) -> MeasuredReport:
    """Measure one kind of the evidence beside verdicts (jobs.evaluate.evidence). cache: as in ``run_evaluation``.

    Raises BadUsageError with one sentence for a kind, manifest or folder that cannot be used.
    """
    if out is not None:
        try:  # before anything is measured: minutes of work would be lost at the last step
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadUsageError(f"nothing can be written to {out}: {error.strerror}") from error
    try:
        with tempfile.TemporaryDirectory(prefix="makersmark-evaluate-") as passing:
            kept = (cache or _inside_home(settings) or Path(passing)) / "evidence"
            kept.mkdir(parents=True, exist_ok=True)
            options = EvidenceOptions(kept, limit=limit, seed=seed, checkpoints=tuple(checkpoints), out=out)
            return measure_evidence(kind, manifest, settings, options=options, console=console)
    except (ManifestError, ValueError) as error:
        raise BadUsageError(str(error)) from error


def _described(chain: EvaluationChain | None, others: Sequence[EvaluationChain | None], manifests: int) -> str:
    names = [each.name if each else "none" for each in (chain, *others)]
    names += [f"{manifests} further manifest{'s' if manifests > 1 else ''}"] if manifests else []
    return names[0] + (f"; learned also from {'; '.join(names[1:])}" if names[1:] else "")


def _inside_home(settings: Settings) -> Path | None:
    if is_local(settings.home) and local_path(settings.home).is_dir():
        return local_path(settings.home) / "evaluation"
    return None


def _known(settings: Settings, spec: FingerprintSpec) -> Known:
    """What the ``snapshot`` protocol judges by: the home's snapshot with its signatures, else the starter."""
    if Home.exists(settings):
        home = Home(settings)
        try:
            entry = home.store.current_snapshot(spec.id)
            if entry is not None:
                return Known(home.load_snapshot(entry.id), home.store.signatures(spec.id))
        finally:
            home.close()
    return Known(starter_snapshot(spec), load_starter(spec.id))
