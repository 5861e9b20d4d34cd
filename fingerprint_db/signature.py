"""One enrolled clip: the vectors of its windows, half precision, with where it came from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.window import Quality, WindowFingerprint

FLOAT16_MAX = 65504.0


@dataclass(frozen=True, slots=True, eq=False)
class SignatureRecord:
    """What a snapshot learns from.

    sha256: of the clip's file. generator: slug. source: the page, repository or camera it came from; clips of one
    source share an encoder, so the source is the key by which everything is split.
    origin: ``user``, or the name of the starter pack that brought it.
    decoder: (N, D1), texture: (N, D2) float16, one row a window; burst, crop: (N,) int32.
    Half precision holds for every way in (see ``quantise``), so a packed and a direct enrolment give one snapshot.
    """

    sha256: str
    generator: str
    source: str
    spec_id: str
    quality: Quality
    decoder: NDArray[np.float16]
    texture: NDArray[np.float16]
    burst: NDArray[np.int32]
    crop: NDArray[np.int32]
    origin: str = "user"

    def __post_init__(self) -> None:
        rows = {len(self.decoder), len(self.texture), len(self.burst), len(self.crop)}
        if len(rows) != 1 or self.decoder.ndim != 2 or self.texture.ndim != 2:
            raise ValueError("A signature needs as many decoder vectors, texture vectors, bursts and crops as windows.")
        if self.decoder.dtype != np.float16 or self.texture.dtype != np.float16:
            raise ValueError("Signature vectors are float16; use quantise() so that all ways of enrolling agree.")

    @property
    def key(self) -> tuple[str, str, str]:
        """The natural key: (sha256, generator, spec_id)."""
        return (self.sha256, self.generator, self.spec_id)

    @classmethod
    def from_windows(
        cls,
        windows: Sequence[WindowFingerprint],
        *,
        sha256: str,
        generator: str,
        source: str,
        spec_id: str,
        quality: Quality,
        origin: str = "user",
    ) -> SignatureRecord:
        """The signature of a clip that was just fingerprinted. Raises ValueError when there is no window."""
        if not windows:
            raise ValueError("A clip without a fingerprinted window cannot be enrolled.")
        return cls(
            sha256=sha256,
            generator=generator,
            source=source,
            spec_id=spec_id,
            quality=quality,
            decoder=quantise(np.stack([window.decoder for window in windows])),
            texture=quantise(np.stack([window.texture for window in windows])),
            burst=np.asarray([window.burst for window in windows], dtype=np.int32),
            crop=np.asarray([window.crop for window in windows], dtype=np.int32),
            origin=origin,
        )

    def windows_blob(self) -> bytes:
        """The arrays as one compressed npz, the form in which SQL keeps them."""
        arrays: dict[str, NDArray[Any]] = {"decoder": self.decoder, "texture": self.texture}
        return arrays_to_bytes(arrays | {"burst": self.burst, "crop": self.crop}, compress=True)


def quantise(vectors: NDArray[Any]) -> NDArray[np.float16]:
    """Raw vectors as they are stored and judged: clipped to the range of float16, non-finite values set to 0."""
    finite = np.nan_to_num(np.asarray(vectors, dtype=np.float64), nan=0.0, posinf=FLOAT16_MAX, neginf=-FLOAT16_MAX)
    return np.clip(finite, -FLOAT16_MAX, FLOAT16_MAX).astype(np.float16)


def arrays_to_bytes(arrays: Mapping[str, NDArray[Any]], *, compress: bool) -> bytes:
    """Named arrays as npz bytes, in sorted order with fixed time stamps: equal arrays give equal bytes."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method, compresslevel=6 if compress else None) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # the default date is 1980-01-01: no clock in the bytes
            entry.compress_type = method
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()


def arrays_from_bytes(data: bytes) -> dict[str, NDArray[Any]]:
    """The inverse of arrays_to_bytes. Raises ValueError when the bytes are no such file; never unpickles."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (
        Exception
    ) as error:  # a damaged archive raises whatever its parser meets first, from zlib.error to MemoryError
        raise ValueError("These bytes are not a readable array file.") from error
