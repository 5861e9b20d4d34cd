"""What an evaluation keeps between runs: glances and fingerprints, by content. A rerun then decodes nothing.

Entries are npz files without pickles. A missing, damaged or foreign entry is simply computed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.signature import arrays_from_bytes, arrays_to_bytes
from fingerprint_db.window import WindowFingerprint
from jobs.decode.protocol import VideoFacts
from jobs.decode.thumbnail import Glance, Packaging
from jobs.scan import FileFingerprint

_PLACES = ("burst", "crop", "top", "left", "height", "width")


class EvaluationCache:
    """A folder of entries, two levels deep; several runs may share it, since entries appear whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def file(self, key: str, suffix: str) -> Path:
        """Where the entry of this key lies or would lie."""
        return self._folder / key[:2] / f"{key}{suffix}"

    def keep_glance(self, key: str, packaging: Packaging, seen: Glance) -> None:
        """Remember what a look at a clip gave."""
        header = {"packaging": asdict(packaging), "hf_energy": seen.hf_energy}
        self._write(key, ".glance.npz", header, {"thumbnail": seen.thumbnail})

    def glance(self, key: str) -> tuple[Packaging, Glance] | None:
        """What was remembered, None when there is nothing usable."""
        try:
            header, arrays = self._read(key, ".glance.npz")
            return Packaging(**header["packaging"]), Glance(arrays["thumbnail"], float(header["hf_energy"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_fingerprint(self, key: str, spec_id: str, file: FileFingerprint) -> None:
        """Remember a file's fingerprint under one spec."""
        header = {
            "sha256": file.sha256,
            "size": file.size,
            "facts": asdict(file.facts) | {"declared": dict(file.facts.declared)},
            "coverage": file.coverage,
            "shortfall": file.shortfall,
            "cues": [dict(window.cues) for window in file.windows],
            "traces": [{name: trace.tolist() for name, trace in w.traces.items()} for w in file.windows],
            "picture_types": [window.picture_types for window in file.windows],
            "profiles": [{name: line.tolist() for name, line in w.profiles.items()} for w in file.windows],
        }
        places = [[getattr(window, name) for name in _PLACES] for window in file.windows]
        arrays: dict[str, NDArray[Any]] = {
            "places": np.array(places, dtype=np.int64).reshape(-1, len(_PLACES)),
            "times": np.array([[w.start_s, w.end_s] for w in file.windows], dtype=np.float64).reshape(-1, 2),
        }
        if file.windows:
            arrays["decoder"] = np.stack([window.decoder for window in file.windows])
            arrays["texture"] = np.stack([window.texture for window in file.windows])
        self._write(key, f".{spec_id}.npz", header, arrays)

    def fingerprint(self, key: str, spec_id: str) -> FileFingerprint | None:
        """What was remembered, None when there is nothing usable."""
        try:
            header, arrays = self._read(key, f".{spec_id}.npz")
            facts = header["facts"] | {"notes": tuple(header["facts"]["notes"])}
            windows = tuple(
                WindowFingerprint(
                    **dict(zip(_PLACES, map(int, arrays["places"][i]), strict=True)),
                    start_s=float(arrays["times"][i, 0]),
                    end_s=float(arrays["times"][i, 1]),
                    decoder=arrays["decoder"][i],
                    texture=arrays["texture"][i],
                    cues=cues,
                    traces={name: np.asarray(trace, np.float32) for name, trace in header["traces"][i].items()},
                    picture_types=header["picture_types"][i],
                    profiles={name: np.asarray(line, np.float32) for name, line in header["profiles"][i].items()},
                )
                for i, cues in enumerate(header["cues"])
            )
            return FileFingerprint(
                sha256=header["sha256"],
                size=header["size"],
                facts=VideoFacts(**facts),
                coverage=header["coverage"],
                shortfall=header["shortfall"],
                windows=windows,
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None

    def _write(self, key: str, suffix: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        path = self.file(key, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_bytes(arrays_to_bytes({**arrays, "header": text}, compress=False))
        os.replace(part, path)

    def _read(self, key: str, suffix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = arrays_from_bytes(self.file(key, suffix).read_bytes())
        header: dict[str, Any] = json.loads(arrays.pop("header").tobytes().decode())
        return header, arrays
