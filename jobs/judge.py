"""Verdicts now, nothing stored: the verb ``scan``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from cluster.outcome import Failure
from fingerprint_db.matcher import Matcher
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.spec import FingerprintSpec
from jobs.archive import local_path, safe_uri
from jobs.enroll import expand
from jobs.errors import FailureKind
from jobs.home import Home
from jobs.progress import Meter
from jobs.record import file_record, judge_file
from jobs.scan import current_spec, fingerprint_files
from jobs.settings import Settings
from jobs.snapshots import starter_snapshot


def scan_files(files: Sequence[str], settings: Settings, *, console: Console) -> Iterator[dict[str, Any]]:
    """One record a file (jobs.record.file_record), in the order they finish.

    Judges by the home's snapshot when there is a home with one, else by the starter pack. A folder without any video
    yields one record with an error.
    """
    spec = current_spec(settings)
    snapshot = _snapshot(settings, spec)
    matcher = Matcher(snapshot)
    for name in files:
        if not expand([name]):
            failure = FailureKind.NOT_FOUND.failure(f"there is no video file in {local_path(name)}")
            yield file_record(name, failure=failure, spec_id=spec.id, snapshot_id=snapshot.id)
    uris = expand(files)
    with Meter(console, "scan", len(uris)) as meter:
        for uri, result in fingerprint_files(uris, settings):
            meter.advance()
            shown = safe_uri(uri)
            if isinstance(result, Failure):
                yield file_record(shown, failure=result, spec_id=spec.id, snapshot_id=snapshot.id)
                continue
            verdict = judge_file(matcher, result, spec.id)
            yield file_record(shown, file=result, verdict=verdict, spec_id=spec.id, snapshot_id=snapshot.id)


def _snapshot(settings: Settings, spec: FingerprintSpec) -> Snapshot:
    if Home.exists(settings):
        home = Home(settings)
        try:
            entry = home.store.current_snapshot(spec.id)
            if entry is not None:
                return home.load_snapshot(entry.id)
        finally:
            home.close()
    return starter_snapshot(spec)
