"""Labelled clips whose truth is known: synthetic vectors of classes, wrapped as gathered evidence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fingerprint_db.verdict import Nearest, Verdict, VerdictKind
from fingerprint_db.window import WindowFingerprint
from jobs.decode.protocol import VideoFacts
from jobs.decode.thumbnail import Glance, Packaging
from jobs.evaluate.figures import Judged
from jobs.evaluate.gather import Evidence, Gathered
from jobs.evaluate.manifest import Clip, Label, Manifest
from jobs.evaluate.prepare import Prepared
from jobs.scan import FileFingerprint

SPEC = "0123456789abcdef"
FACTS = VideoFacts("mov", "h264", "yuv420p", 640, 360, 25.0, 100, 4.0, 9e5, 8, 0, False, False, False, False, {})


def packaging(frames: int = 100) -> Packaging:
    return Packaging("mov", "h264", "High", "yuv420p", "", 640, 360, 25.0, frames, 9e5, 48, True, 12800.0, False)


def clip(name: str, label: Label, source: str, generator: str | None = None, family: str | None = None) -> Clip:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return Clip(name, Path(name), label, generator, family, source, "", sha256)


def judged(
    item: Clip,
    kind: VerdictKind,
    *,
    generator: str | None = None,
    family: str | None = None,
    llr: float | None = 0.0,
    nearest: str | None = None,
    nameable: bool = True,
) -> Judged:
    near = (Nearest(nearest, None, 0.9),) if nearest else ()
    verdict = Verdict(kind, "", family, generator, llr, None, None, (), near, {}, SPEC)
    return Judged(item, verdict, generator, nearest, nameable)


class World:
    """Makers with their own mean vector; clips scatter around it, and clips of one source share an offset.

    separation: distance between makers in units of the scatter; 0 makes them indistinguishable.
    """

    def __init__(self, *, separation: float, seed: int = 0, dim: int = 16) -> None:
        self._random = np.random.default_rng(seed)
        self._separation, self._dim = separation, dim
        self._means: dict[str, np.ndarray] = {}
        self.clips: list[Clip] = []
        self.evidence: dict[str, Evidence] = {}

    def add(self, maker: str | None, source: str, *, clips: int, family: str | None = None, windows: int = 4) -> None:
        """clips of one maker (None: a camera) from one source."""
        random = self._random
        if (maker or "camera") not in self._means:
            draw = random.normal(size=2 * self._dim)
            self._means[maker or "camera"] = self._separation * draw / np.linalg.norm(draw)
        offset = 0.3 * random.normal(size=2 * self._dim)
        for _ in range(clips):
            name = f"{len(self.clips)}.mp4"
            label = Label.GENERATED if maker else Label.CAMERA
            self.clips.append(clip(name, label, source, maker, family))
            centre = self._means[maker or "camera"] + offset + random.normal(size=2 * self._dim)
            rows = (centre + 0.3 * random.normal(size=(windows, 2 * self._dim))).astype(np.float32)
            self.evidence[name] = self._evidence(name, rows)

    def manifest(self) -> Manifest:
        return Manifest(Path("manifest.csv"), tuple(self.clips), ())

    def gathered(self) -> Gathered:
        return Gathered(dict(self.evidence), ())

    def _evidence(self, name: str, rows: np.ndarray) -> Evidence:
        windows = tuple(
            WindowFingerprint(i, 0, 0, 0, 256, 256, i, i + 0.6, row[: self._dim], row[self._dim :], {"blur": 1.0})
            for i, row in enumerate(rows)
        )
        file = FileFingerprint(hashlib.sha256(name.encode()).hexdigest(), 1000, FACTS, 1.0, "", windows)
        # Packaging and pictures say nothing of the maker here, so the nulls must find nothing.
        random = self._random
        seen = Glance(random.random((16, 16, 3), dtype=np.float32), float(random.random()))
        return Evidence(file, Prepared(Path(name), name, packaging(int(random.integers(20, 200))), seen))
