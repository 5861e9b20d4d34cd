"""Nearest signatures by inner product; the one place that knows FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fingerprint_db.errors import SnapshotError


class SignatureIndex:
    """An exact (flat) inner-product index over unit vectors, so a score is a cosine.

    Exact search answers a thousand queries over 1e5 signatures in well under a second, and unlike graph indexes it
    needs no training, is deterministic, and can be rebuilt from SQL at any time.
    """

    def __init__(self, dim: int) -> None:
        self._index: Any = faiss.IndexFlatIP(dim)

    @property
    def dim(self) -> int:
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: NDArray[np.floating[Any]]) -> None:
        """Append (N, dim) vectors, scaled to unit length; rows are numbered in order of addition."""
        self._index.add(unit_rows(vectors, self.dim))

    def search(self, queries: NDArray[np.floating[Any]], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The best k rows for each of (Q, dim) queries.

        Returns cosines (Q, k') and row numbers (Q, k'), best first, with k' = min(k, rows); equal scores come in the
        order of their rows.
        """
        k = min(k, len(self))
        unit = unit_rows(queries, self.dim)
        if k <= 0 or not len(unit):
            return np.zeros((len(unit), 0), np.float32), np.zeros((len(unit), 0), np.int64)
        scores, rows = self._index.search(unit, k)
        order = np.lexsort((rows, -scores), axis=-1)
        return np.take_along_axis(scores, order, -1), np.take_along_axis(rows, order, -1)

    def cosines(self, query: NDArray[np.floating[Any]], rows: Sequence[int]) -> NDArray[np.float64]:
        """(R,) cosines of one (dim,) query with the named rows."""
        if not len(rows):
            return np.zeros(0)
        found = self._index.reconstruct_batch(np.asarray(rows, dtype=np.int64)).astype(np.float64)
        result: NDArray[np.float64] = found @ unit_rows(query, self.dim)[0].astype(np.float64)
        return result

    def to_bytes(self) -> bytes:
        """FAISS' own serialisation."""
        return bytes(faiss.serialize_index(self._index).tobytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> SignatureIndex:
        """The inverse of to_bytes. Raises SnapshotError when FAISS cannot read the bytes as a flat index.

        FAISS trusts what it reads, so the caller verifies a checksum first.
        """
        try:
            index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
        except RuntimeError as error:
            raise SnapshotError("The snapshot's index is damaged; rebuild the snapshot from the signatures.") from error
        if not isinstance(index, faiss.IndexFlatIP):
            raise SnapshotError("The snapshot's index is of a kind unknown to this version; upgrade Makersmark.")
        made = cls(index.d)
        made._index = index
        return made


def unit_rows(vectors: NDArray[np.floating[Any]], dim: int) -> NDArray[np.float32]:
    """(N, dim) rows scaled to unit length, float32, contiguous; a zero row stays zero. Raises ValueError on the dim."""
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    if rows.shape[1] != dim:
        raise ValueError(f"Vectors have {rows.shape[1]} dimensions; this index holds {dim}.")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(norms > 0, norms, 1.0), dtype=np.float32)
