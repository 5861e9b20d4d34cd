"""Everything an evaluation needs to know of its clips, gathered once: fingerprints, packaging, glances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from cluster.outcome import Failure
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import EvaluationChain
from jobs.evaluate.manifest import LeftOut, Manifest
from jobs.evaluate.prepare import Prepared, prepare
from jobs.scan import FileFingerprint, current_spec, fingerprint_files
from jobs.settings import Settings

FingerprintFiles = Callable[[Iterable[str], Settings], Iterator[tuple[str, FileFingerprint | Failure]]]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of one clip: the fingerprint of the judged copy, and what the nulls may see."""

    file: FileFingerprint
    prepared: Prepared


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """evidence: by clip name. left_out: the manifest's own, then what could not be read, each with its reason."""

    evidence: Mapping[str, Evidence]
    left_out: tuple[LeftOut, ...]


def gather(
    manifest: Manifest,
    settings: Settings,
    *,
    chain: EvaluationChain | None,
    cache: EvaluationCache,
    fingerprint: FingerprintFiles = fingerprint_files,
    progress: Callable[[str], None] = lambda _step: None,
) -> Gathered:
    """Encode, glance at and fingerprint every clip of the manifest that the cache does not know yet.

    progress: called once a finished step with ``encoded`` or ``fingerprinted``; there are two steps a clip.
    """
    spec_id = current_spec(settings).id
    left_out = list(manifest.left_out)
    ready: dict[str, Prepared] = {}
    for clip, outcome in prepare(manifest.clips, chain, cache, settings):
        if isinstance(outcome, Prepared):
            ready[clip.name] = outcome
        else:
            left_out.append(LeftOut(clip.name, outcome.kind, outcome.message))
        progress("encoded")
    evidence: dict[str, Evidence] = {}
    waiting: dict[str, str] = {}
    for name, prepared in ready.items():
        file = cache.fingerprint(prepared.key, spec_id)
        if file is not None:
            evidence[name] = Evidence(file, prepared)
            progress("fingerprinted")
        else:
            waiting[str(prepared.path.absolute())] = name
    for path, result in fingerprint(waiting, settings) if waiting else ():
        name = waiting[path]
        if isinstance(result, FileFingerprint):
            cache.keep_fingerprint(ready[name].key, spec_id, result)
            evidence[name] = Evidence(result, ready[name])
        else:
            left_out.append(LeftOut(name, result.kind, result.message))
        progress("fingerprinted")
    ordered = {clip.name: evidence[clip.name] for clip in manifest.clips if clip.name in evidence}
    return Gathered(ordered, tuple(left_out))
