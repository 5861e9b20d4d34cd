"""Bringing one file to this machine, and with it the identity of its content."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from jobs.archive.stores import open_store, persist, storage_failure
from jobs.errors import FailureKind
from jobs.uris import is_local, local_path, safe_uri

CHUNK = 1 << 20
LARGEST_READ = 16 << 20  # of one request: what a broken connection costs
Parts = tuple[tuple[int, int], ...]  # (first byte, the byte after the last) each, ascending


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file's bytes on this machine. temporary: we made the copy and delete it.

    tag: changes when the store's object does, '' where the store gives none. parts: the only bytes that are there, the
    others being holes; empty for a whole file.
    """

    path: Path
    sha256: str
    size: int
    temporary: bool
    tag: str = ""
    parts: Parts = ()


def fetch(uri: str, scratch: Path | None = None) -> Fetched:
    """Bring one file to this machine, computing its SHA-256 on the way.

    Local files are hashed in place; remote ones are downloaded whole, which hashing needs anyway.
    Raises FailureError not_found, access_denied or storage_unavailable.
    """
    if is_local(uri):
        return _hash_in_place(local_path(uri))
    return persist(lambda: _download(uri, scratch), safe_uri(uri))


def fetch_parts(uri: str, known: Fetched, parts: Parts, scratch: Path | None = None) -> Fetched:
    """Bring some parts of a remote file whose content is known, into a file of its full length with holes.

    known: a fetch of the whole, for size, hash and tag (its path does not matter), or an earlier result of this
    function, whose copy is then given the further parts.
    Raises FailureError as ``fetch`` does, and storage_unavailable when the object is not the one that was hashed; a
    copy that was given is gone then.
    """
    there = known.parts
    target = known.path if there else _new_copy(uri, scratch)
    wanted = list(parts)
    try:
        os.truncate(target, known.size)
        same = persist(lambda: _fill(uri, known, target, wanted), safe_uri(uri))
        if not same:
            raise FailureKind.STORAGE_UNAVAILABLE.error(f"{safe_uri(uri)} changed while it was being read")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Fetched(target, known.sha256, known.size, temporary=True, tag=known.tag, parts=(*there, *parts))


def _fill(uri: str, known: Fetched, target: Path, wanted: list[tuple[int, int]]) -> bool:
    """Write what is wanted to its place, taking it off the list; False when the object is another by now.

    The tag is asked before and after: whatever came in between is of that object. S3 is told with each read, too.
    """
    filesystem, path = open_store(uri)
    filesystem.invalidate_cache()
    if _tag(filesystem.info(path)) != known.tag:
        return False
    # Without a cache one read is one request of just these bytes.
    with open(target, "r+b") as sink, filesystem.open(path, "rb", cache_type="none") as source:
        while wanted:
            start, end = wanted[-1]
            for at in range(start, end, LARGEST_READ):
                size = min(LARGEST_READ, end - at)
                source.seek(at)
                block = source.read(size)
                if len(block) != size:
                    raise OSError(errno.EIO, f"{len(block)} of {size} bytes came")
                sink.seek(at)
                sink.write(block)
            wanted.pop()
    filesystem.invalidate_cache()
    return _tag(filesystem.info(path)) == known.tag


def _tag(info: Mapping[str, Any]) -> str:
    """What the store says of an object that changes with it."""
    told = [info.get(name) for name in ("ETag", "etag", "VersionId", "generation", "LastModified", "mtime")]
    return " ".join(str(value) for value in [info.get("size"), *told] if value) if any(told) else ""


def file_sha256(path: Path) -> str:
    """The SHA-256 of a local file of our own, hex. Raises OSError."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _hash_in_place(path: Path) -> Fetched:
    digest = hashlib.sha256()
    size = 0
    try:
        # O_NONBLOCK: opening a FIFO that somebody left in the archive would otherwise wait for ever.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise FailureKind.NOT_A_VIDEO.error(f"{path} is not a regular file")
            while block := source.read(CHUNK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise storage_failure(error, str(path)) from error
    return Fetched(path, digest.hexdigest(), size, temporary=False)


def _download(uri: str, scratch: Path | None) -> Fetched:
    digest = hashlib.sha256()
    size = 0
    target = _new_copy(uri, scratch)
    try:
        filesystem, path = open_store(uri)
        # A listing that this process kept may be older than the object.
        filesystem.invalidate_cache()
        with target.open("wb") as sink, filesystem.open(path, "rb") as source:
            while block := source.read(CHUNK):
                digest.update(block)
                sink.write(block)
                size += len(block)
            expected = getattr(source, "size", None)
            tag = _tag(getattr(source, "details", None) or {})
        if expected is not None and size != expected:
            # A body that ended early must never pass for the content: its hash would name a file that is nowhere.
            raise OSError(errno.EIO, f"{size} of {expected} bytes came")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Fetched(target, digest.hexdigest(), size, temporary=True, tag=tag)


def _new_copy(uri: str, scratch: Path | None) -> Path:
    suffix = PurePosixPath(unquote(urlsplit(uri).path)).suffix
    try:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=suffix, prefix="makersmark-", dir=scratch)
    except OSError as error:  # this machine's fault, which must not pass for the file being absent
        said = f"no copy of {safe_uri(uri)} can be made in {scratch or tempfile.gettempdir()}: {error.strerror}"
        raise FailureKind.STORAGE_UNAVAILABLE.error(said) from error
    os.close(handle)
    return Path(name)
