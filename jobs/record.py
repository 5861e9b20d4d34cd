"""The shape in which one file's answer is shown: the JSON object of ``scan``, ``lookup`` and ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from cluster.outcome import Failure
from fingerprint_db.verdict import Verdict
from jobs.evidence import evidence_of

if TYPE_CHECKING:
    from fingerprint_db.matcher import Matcher
    from jobs.scan import FileFingerprint


def judge_file(matcher: Matcher, file: FileFingerprint, spec_id: str) -> Verdict:
    """The matcher's verdict on a fingerprinted file, with the evidence beside it."""
    verdict = verdict_on(matcher, file, spec_id)
    return replace(verdict, evidence=evidence_of(file, verdict))


def verdict_on(matcher: Matcher, file: FileFingerprint, spec_id: str) -> Verdict:
    """The verdict alone; a file that brought no window carries the decoder's own words as the reason."""
    verdict = matcher.judge(file.windows, file.facts.quality(file.coverage), spec_id=spec_id)
    return replace(verdict, reason=file.shortfall) if not file.windows and file.shortfall else verdict


def file_record(
    uri: str,
    *,
    file: FileFingerprint | None = None,
    verdict: Verdict | None = None,
    failure: Failure | None = None,
    spec_id: str,
    snapshot_id: str | None,
) -> dict[str, Any]:
    """One JSON object for one file: a verdict, or an error with its class. Absent numbers are null."""
    record = empty_record(uri, spec_id, snapshot_id)
    if failure is not None:
        record["error"] = {"class": failure.kind, "message": failure.message}
    if file is not None:
        record |= {
            "sha256": file.sha256,
            "duration_s": file.facts.duration_s,
            "coverage": file.coverage,
            "declared": dict(file.facts.declared),
            "facts": facts_record(file.facts_json()),
        }
    if verdict is not None:
        record |= {
            "verdict": verdict.verdict.value,
            "reason": verdict.reason,
            "family": verdict.family,
            "generator": verdict.generator,
            "llr": verdict.llr,
            "p_value": verdict.p_value,
            "margin": verdict.margin,
            "segments": [asdict(segment) | {"verdict": segment.verdict.value} for segment in verdict.segments],
            "nearest": [asdict(neighbour) for neighbour in verdict.nearest],
            "cues": dict(verdict.cues),
            "evidence": dict(verdict.evidence),
            "spec": verdict.spec,
            "snapshot": verdict.snapshot,
        }
    return record


def empty_record(uri: str, spec_id: str, snapshot_id: str | None) -> dict[str, Any]:
    """Every field of the contract, empty."""
    return {
        "uri": uri,
        "sha256": None,
        "duration_s": None,
        "coverage": None,
        "verdict": None,
        "reason": "",
        "family": None,
        "generator": None,
        "llr": None,
        "p_value": None,
        "margin": None,
        "segments": [],
        "nearest": [],
        "cues": {},
        "evidence": {},
        "declared": {},
        "facts": {},
        "spec": spec_id,
        "snapshot": snapshot_id,
        "error": None,
    }


def facts_record(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The file's facts without what the record already shows apart (declared)."""
    return {name: value for name, value in facts.items() if name != "declared"}


def describe_verdict(record: Mapping[str, Any]) -> str:
    """One line for a person: what it is, how sure, and why not more."""
    if record["error"]:
        return f"{record['error']['class']}: {record['error']['message']}"
    name = record["generator"] or record["family"]
    head = f"{record['verdict']}{f' {name}' if name else ''}"
    numbers: Sequence[tuple[str, float | None]] = (
        ("llr", record["llr"]),
        ("p", record["p_value"]),
        ("margin", record["margin"]),
    )
    shown = ", ".join(f"{label} {value:.3g}" for label, value in numbers if value is not None)
    reason = record["reason"]
    return head + (f" ({shown})" if shown else "") + (f": {reason}" if reason else "")
