"""Bringing one file to this machine, and with it the identity of its content."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from jobs.archive.stores import open_store, persist, storage_failure
from jobs.errors import FailureKind
from jobs.uris import is_local, local_path, safe_uri

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file's bytes on this machine. temporary: we made the copy and delete it."""

    path: Path
    sha256: str
    size: int
    temporary: bool


def fetch(uri: str, scratch: Path | None = None) -> Fetched:
    """Bring one file to this machine, computing its SHA-256 on the way.

    Local files are hashed in place; remote ones are downloaded whole, which hashing needs anyway.
    Raises FailureError not_found, access_denied or storage_unavailable.
    """
    if is_local(uri):
        return _hash_in_place(local_path(uri))
    return persist(lambda: _download(uri, scratch), safe_uri(uri))


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
    suffix = PurePosixPath(unquote(urlsplit(uri).path)).suffix
    try:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=suffix, prefix="makersmark-", dir=scratch)
    except OSError as error:  # this machine's fault, which must not pass for the file being absent
        said = f"no copy of {safe_uri(uri)} can be made in {scratch or tempfile.gettempdir()}: {error.strerror}"
        raise FailureKind.STORAGE_UNAVAILABLE.error(said) from error
    target = Path(name)
    try:
        filesystem, path = open_store(uri)
        # A listing that this process kept may be older than the object.
        filesystem.invalidate_cache()
        with os.fdopen(handle, "wb") as sink, filesystem.open(path, "rb") as source:
            while block := source.read(CHUNK):
                digest.update(block)
                sink.write(block)
                size += len(block)
            expected = getattr(source, "size", None)
        if expected is not None and size != expected:
            # A body that ended early must never pass for the content: its hash would name a file that is nowhere.
            raise OSError(errno.EIO, f"{size} of {expected} bytes came")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Fetched(target, digest.hexdigest(), size, temporary=True)
