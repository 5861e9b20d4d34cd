"""The coded clips of a bench as fingerprint windows: what a figure about decoders is counted on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.embedding import Embedding
from fingerprint_db.normalise import Floats
from fingerprint_db.scoring import VIEWS, Vectors
from jobs.bench.gate import RoundTrip
from jobs.errors import BadUsageError
from jobs.evaluate.cache import EvaluationCache
from jobs.progress import Meter
from jobs.scan import FileFingerprint, current_spec, fingerprint_files
from jobs.settings import Settings

CAMERA, NEGATIVE = "camera", "hard_negative"
_HIGH_FREQUENCY = "high_frequency_deficit"  # the cue that serves as the one-number null
_NEEDED = frozenset("file content source decoder kind class seed psnr_db gradient_ratio chain".split())


@dataclass(frozen=True, slots=True, eq=False)
class BenchWindows:
    """One row a window, N in all. decoder: (N,) slugs; kind: camera, hard_negative, A, B, C or D.

    design: what two seeds of one architecture share, the decoder's own slug where there is one set of weights.
    vectors: view -> (N, D). detail: (N,) the high-frequency cue in dB. sharp: (N,) whether this decoder's
    median content passes the bench's gate (camera footage always does). left_out: files that gave no window.
    learned: (N, EMBEDDING_DIM) of a learned fingerprint, None where none is asked for.
    """

    content: NDArray[np.str_]
    source: NDArray[np.str_]
    decoder: NDArray[np.str_]
    kind: NDArray[np.str_]
    design: NDArray[np.str_]
    chain: NDArray[np.str_]
    sharp: NDArray[np.bool_]
    vectors: Vectors
    detail: Floats
    left_out: tuple[str, ...]
    learned: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.content)

    def take(self, rows: NDArray[np.bool_]) -> Vectors:
        """The vectors of some rows."""
        return {name: self.vectors[name][rows] for name in VIEWS}

    def by_learned_alone(self) -> BenchWindows:
        """The same windows with nothing but the learned fingerprint in their vectors."""
        empty = np.zeros((len(self), 0), np.float32)
        learned = empty if self.learned is None else self.learned
        return replace(self, vectors={name: learned if name == VIEWS[0] else empty for name in VIEWS}, learned=None)


def load_windows(
    folder: Path,
    settings: Settings,
    *,
    chains: Sequence[str],
    embedding: Embedding | None = None,
    console: Console,
) -> BenchWindows:
    """Fingerprint what has not been yet, keep it in the folder's ``fingerprints``, and return the windows.

    chains: only files that went through these; empty for all but the lossless members. embedding: a learned fingerprint
    to compute as well.
    Raises BadUsageError where the folder holds no bench or none of these chains.
    """
    chosen = chosen_rows(folder, chains)
    with Meter(console, "bench score", len(chosen)) as meter:
        found = _fingerprints(folder, [row["file"] for row in chosen], settings, meter.advance)
    kept = [row for row in chosen if row["file"] in found and found[row["file"]].windows]
    if not kept:
        raise BadUsageError(f"no clip of {folder} could be fingerprinted")
    sharp = sharp_decoders(folder)
    spread = [(row, window) for row in kept for window in found[row["file"]].windows]
    columns = {
        name: np.array([row[name] for row, _ in spread]) for name in ("content", "source", "decoder", "kind", "chain")
    }
    learned = None
    if embedding is not None:
        learned = _embedded(folder, [row["file"] for row in kept], embedding, console)
    return BenchWindows(
        **columns,
        design=np.array([_design(row) for row, _ in spread]),
        sharp=np.array([row["decoder"] in sharp for row, _ in spread]),
        vectors={
            "decoder": np.stack([window.decoder for _, window in spread]),
            "texture": np.stack([window.texture for _, window in spread]),
        },
        detail=np.array([window.cues[_HIGH_FREQUENCY] for _, window in spread]),
        left_out=tuple(row["file"] for row in chosen if row not in kept),
        learned=learned,
    )


def chosen_rows(folder: Path, chains: Sequence[str]) -> list[dict[str, str]]:
    """The manifest's rows of these chains, of every chain where none is named.

    Raises BadUsageError where the folder holds no bench or none of these chains.
    """
    rows = _rows(folder)
    known = sorted({row["chain"] for row in rows if row["chain"] != "raw"})
    wanted = list(chains) or known
    absent = [name for name in wanted if name not in known]
    if absent or not wanted:
        have = ", ".join(known) or "no chain at all"
        raise BadUsageError(f"{folder} has no clips of the chain {', '.join(absent) or '?'}; it has {have}")
    return [row for row in rows if row["chain"] in wanted]


def sharp_decoders(folder: Path) -> set[str]:
    """Decoders whose median content passes the bench's gate, and the camera.

    Medians of both numbers, not the share of contents that pass both: a flat or a noisy picture fails any decoder.
    """
    trips: dict[str, list[tuple[float, float]]] = {}
    for row in _rows(folder):
        if row["chain"] == "raw":
            trips.setdefault(row["decoder"], []).append((float(row["psnr_db"]), float(row["gradient_ratio"])))
    middle = {name: np.median(each, axis=0) for name, each in trips.items()}
    return {name for name, trip in middle.items() if name == CAMERA or RoundTrip(float(trip[0]), float(trip[1])).sharp}


def _rows(folder: Path) -> list[dict[str, str]]:
    try:
        with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise BadUsageError(f"{folder} holds no bench: its manifest.csv cannot be read; make one first") from error
    lacking = _NEEDED - set(rows[0] if rows else ())
    if lacking:
        raise BadUsageError(f"{folder}/manifest.csv is not a bench's: it lacks {', '.join(sorted(lacking))}")
    return rows


def _fingerprints(
    folder: Path, names: Sequence[str], settings: Settings, progress: Callable[[], None]
) -> dict[str, FileFingerprint]:
    """By file name; the bench never writes a file anew, so its name, size and time stand for its content."""
    cache, spec_id = EvaluationCache(folder / "fingerprints"), current_spec(settings).id
    found: dict[str, FileFingerprint] = {}
    waiting: dict[str, str] = {}
    for name in names:
        path = (folder / name).absolute()
        file = cache.fingerprint(_key(path), spec_id)
        if file is not None:
            found[name] = file
            progress()
        elif path.is_file():
            waiting[str(path)] = name
    for uri, result in fingerprint_files(waiting, settings) if waiting else ():
        if isinstance(result, FileFingerprint):
            cache.keep_fingerprint(_key(Path(uri)), spec_id, result)
            found[waiting[uri]] = result
        progress()
    return found


def _embedded(folder: Path, names: Sequence[str], embedding: Embedding, console: Console) -> NDArray[np.float32]:
    """(N, EMBEDDING_DIM), one row a window, in the order of the files and of their windows."""
    from jobs.bench.pictures import windows_of

    rows = []
    with Meter(console, "learned fingerprint", len(names)) as meter:
        for name in names:
            rows += [embedding.embed(planes) for planes in windows_of(folder / name)]
            meter.advance()
    return np.stack(rows)


def _key(path: Path) -> str:
    try:
        info = path.stat()
    except OSError:
        return "absent"
    return f"{'-'.join(path.parts[-3:])}-{info.st_size:x}-{info.st_mtime_ns:x}"


def _design(row: dict[str, str]) -> str:
    if row["kind"] == "C":
        return row["class"]
    return f"{row['class']} {row['seed'].partition('.')[0]}" if row["kind"] == "D" else row["decoder"]
