"""A local file as a decoder reads it: whole, watched for what is read of it, or present in parts and guarded."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Extents = tuple[tuple[int, int], ...]  # (first byte, the byte after the last) each; ascending, none touches the next


class MissedError(Exception):
    """A read of bytes that are not there. No OSError: those are the file's damage, and are worked around."""


class Source(os.PathLike[str]):
    """One file. Its name works wherever a path does; what reads it for a decoder asks here, so that nothing is unseen.

    present: the bytes that are there; the others of the file's length are holes. Empty: the file is whole.
    noting: keep account of what is read.
    missed: somebody asked for a byte that is not there. It stays set, since libraries swallow errors of reading;
    whatever was made of the file from then on counts for nothing.
    """

    def __init__(self, path: str, present: Extents = (), *, noting: bool = False) -> None:
        self.path = path
        self.missed = False
        self.size = 0
        self._present, self._starts = present, [start for start, _ in present]
        self._noting = noting
        self._read: list[tuple[int, int]] = []
        self._handle: int | None = None

    def __fspath__(self) -> str:
        return self.path

    def open(self) -> BinaryIO:
        """For reading by hand. Reads are as long as asked for, or to the end of the file. Errors: OSError, Missed."""
        return cast(BinaryIO, io.BufferedReader(self._view())) if self._watched else open(self.path, "rb")

    def medium(self) -> str | _View:
        """What FFmpeg opens: the file by its name, unless its reads are watched."""
        return self._view() if self._watched else self.name

    @property
    def name(self) -> str:
        """With the protocol, so that no file name passes for the address of something else."""
        return "file:" + os.path.abspath(self.path)

    def noted(self) -> Extents:
        """What was read since this was last asked."""
        read, self._read = self._read, []
        return merged(read)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def _watched(self) -> bool:
        return self._noting or bool(self._present)

    def _view(self) -> _View:
        if self._handle is None:
            self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._handle).st_size
        return _View(self)

    def read_into(self, buffer: memoryview, at: int) -> int:
        """Bytes read at a place: fewer than asked for at the end of what is present; none at the end of the file.

        Raises MissedError for a place that is not there.
        """
        if at >= self.size or self._handle is None:
            return 0
        end = self.size
        if self._present:
            number = bisect_right(self._starts, at) - 1
            end = self._present[number][1] if number >= 0 else 0
            if at >= end:
                self.missed = True
                raise MissedError(f"byte {at} of the file is not here")
        read = os.preadv(self._handle, [buffer[: end - at]], at)
        if self._noting:
            self._read.append((at, at + read))
        return read


class _View(io.RawIOBase):
    """One position in a watched source."""

    def __init__(self, source: Source) -> None:
        self.name = source.name  # FFmpeg judges formats by the suffix too
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        read = self._source.read_into(memoryview(buffer).cast("B"), self._at)
        self._at += read
        return read

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the file's first byte")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at


def merged(parts: Iterable[tuple[int, int]], gap: int = 0) -> Extents:
    """The same bytes in ascending order, those that overlap, touch or lie at most ``gap`` bytes apart as one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(part for part in parts if part[0] < part[1]):
        if out and start <= out[-1][1] + gap:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return tuple(out)


def without(parts: Extents, present: Extents) -> Extents:
    """What of ``parts`` is not ``present``."""
    out: list[tuple[int, int]] = []
    for start, end in parts:
        for other_start, other_end in present:
            if other_end <= start or end <= other_start:
                continue
            if start < other_start:
                out.append((start, other_start))
            start = min(other_end, end)
        if start < end:
            out.append((start, end))
    return tuple(out)


def length(parts: Extents) -> int:
    """Bytes in all."""
    return sum(end - start for start, end in parts)
