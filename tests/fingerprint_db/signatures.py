"""Synthetic signatures whose truth is known: Gaussian classes in a space with source nuisance."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.signature import SignatureRecord, quantise
from fingerprint_db.window import Quality, WindowFingerprint

SPEC = "0123456789abcdef"
QUALITY = Quality(width=640, height=360, fps=25.0, duration_s=4.0, bits_per_pixel=0.12)


@dataclass
class World:
    """Clips of a class scatter around its mean; clips of one source share an offset that says nothing of the class.

    separation: distance between class means in units of the noise that stays after pooling a clip's windows.
    nuisance: size of the offsets of sources, in a few directions that are the same for all classes.
    """

    seed: int = 0
    decoder_dim: int = 24
    texture_dim: int = 16
    separation: float = 6.0
    nuisance: float = 3.0
    windows: int = 6
    scale: float = 5.0
    _means: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        dim = self.decoder_dim + self.texture_dim
        self.nuisance_axes = np.linalg.qr(self.rng.normal(size=(dim, 3)))[0].T
        self._sources: dict[str, NDArray[np.float64]] = {}

    def mean(self, name: str) -> NDArray[np.float64]:
        """The class mean, drawn at first use."""
        if name not in self._means:
            draw = self.rng.normal(size=self.decoder_dim + self.texture_dim)
            self._means[name] = self.separation * draw / np.linalg.norm(draw)
        return self._means[name]

    def vectors(self, name: str, source: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(windows, D1) and (windows, D2) of one new clip."""
        if source not in self._sources:
            self._sources[source] = self.nuisance * self.rng.normal(size=3) @ self.nuisance_axes
        dim = self.decoder_dim + self.texture_dim
        clip = self.mean(name) + self._sources[source] + self.rng.normal(size=dim)
        rows = self.scale * (clip + 0.5 * self.rng.normal(size=(self.windows, dim))) + 3.0
        return rows[:, : self.decoder_dim].astype(np.float32), rows[:, self.decoder_dim :].astype(np.float32)

    def record(self, name: str, source: str, *, spec_id: str = SPEC) -> SignatureRecord:
        """One enrolled clip."""
        decoder, texture = self.vectors(name, source)
        sha = hashlib.sha256(decoder.tobytes() + texture.tobytes()).hexdigest()
        rows = np.arange(self.windows, dtype=np.int32)
        return SignatureRecord(
            sha, name, source, spec_id, QUALITY, quantise(decoder), quantise(texture), rows // 2, rows % 2
        )

    def records(self, name: str, *, sources: int, clips: int) -> list[SignatureRecord]:
        """`clips` clips from each of `sources` sources; sources are named for the class, so they are disjoint."""
        return [self.record(name, f"{name}/page-{page}") for page in range(sources) for _ in range(clips)]

    def windows_of(self, name: str, source: str) -> list[WindowFingerprint]:
        """A clip as the extractor would hand it over: two crops a burst, one burst a second."""
        decoder, texture = self.vectors(name, source)
        return [as_window(d, t, i // 2, i % 2) for i, (d, t) in enumerate(zip(decoder, texture, strict=True))]


def as_window(
    decoder: NDArray[np.float32], texture: NDArray[np.float32], burst: int, crop: int = 0, size: int = 256
) -> WindowFingerprint:
    """A window's fingerprint at a given place in time: burst b covers [b, b + 0.6) seconds, 16 frames."""
    return WindowFingerprint(
        burst=burst,
        crop=crop,
        top=0,
        left=0,
        height=size,
        width=size,
        start_s=float(burst),
        end_s=burst + 0.6,
        decoder=decoder,
        texture=texture,
        cues={"flicker": float(burst), "banding": 0.5},
    )
