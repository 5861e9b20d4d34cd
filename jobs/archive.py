"""The one place that talks to stores: listing an archive, fetching a file, reading and writing a home (fsspec)."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import fsspec
from fsspec.core import url_to_fs

from cluster.outcome import FailureError
from jobs.errors import FailureKind

CHUNK = 1 << 20
# What an archive of video holds by suffix. Others are counted and named as passed over, never silently dropped.
VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .ivf .m1v .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpe "
    ".mpeg .mpg .mts .mxf .nut .obu .ogm .ogv .qt .rm .rmvb .ts .vob .webm .webp .wmv .y4m".split()
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One file as the store lists it. etag: the store's change tag; for local files size, mtime and inode."""

    uri: str
    size: int
    etag: str
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file's bytes on this machine. temporary: we made the copy and delete it."""

    path: Path
    sha256: str
    size: int
    temporary: bool


def safe_uri(uri: str) -> str:
    """The URI without user, password or query, for logs, the ledger and results."""
    parts = urlsplit(uri)
    if not parts.scheme or len(parts.scheme) == 1:
        return uri
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.netloc or parts.query else uri


def canonical_uri(uri: str) -> str:
    """Absolute ``file://`` URIs for local paths; remote URIs as they are. Natural key of a location."""
    if is_local(uri):
        return "file://" + str(local_path(uri))
    return uri


def is_local(uri: str) -> bool:
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The absolute path of a local URI. Links are kept: the archive's own naming is what analysts know."""
    return Path(os.path.abspath(uri.removeprefix("file://")))


def list_archive(uri: str, *, all_files: bool = False) -> Iterator[Listed | str]:
    """Every video file under a folder, bucket or prefix, depth first in name order; a single file lists itself.

    Yields Listed, or the bare URI of a file that was passed over because its suffix is not one of video.
    Raises FailureError not_found, access_denied or storage_unavailable with the archive's name in the message.
    """
    if is_local(uri):
        yield from _list_local(local_path(uri), all_files)
    else:
        yield from _list_remote(uri, all_files)


def _wanted(name: str, all_files: bool) -> bool:
    return all_files or PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def _list_local(root: Path, all_files: bool) -> Iterator[Listed | str]:
    def refuse(error: OSError) -> None:
        raise storage_failure(error, str(error.filename)) from error

    if not root.exists():
        raise FailureKind.NOT_FOUND.error(f"there is no file or folder {root}")
    if root.is_file():
        yield _stat(root)
        return
    for folder, folders, names in os.walk(root, onerror=refuse):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if not _wanted(name, all_files):
                yield "file://" + str(path)
                continue
            try:
                yield _stat(path)
            except OSError:  # a dangling link, or gone since the folder was read: listed, so that the ledger names it
                yield Listed("file://" + str(path), 0, "missing", None)


def _stat(path: Path) -> Listed:
    info = path.stat()
    tag = f"{info.st_size:x}-{info.st_mtime_ns:x}-{info.st_ino:x}"
    return Listed("file://" + str(path), info.st_size, tag, datetime.fromtimestamp(info.st_mtime, UTC))


def _list_remote(uri: str, all_files: bool) -> Iterator[Listed | str]:
    try:
        filesystem, root = url_to_fs(uri)
        filesystem.invalidate_cache()
        scheme = uri.split("://", 1)[0]
        found: dict[str, dict[str, Any]] = filesystem.find(root, detail=True)
        if not found and not filesystem.exists(root):
            raise FailureKind.NOT_FOUND.error(f"there is no bucket or prefix {safe_uri(uri)}")
    except FailureError:
        raise
    except Exception as error:  # every store has its own exceptions; storage_failure sorts them
        raise storage_failure(error, safe_uri(uri)) from error
    for name, info in sorted(found.items()):
        full = f"{scheme}://{name}"
        if not _wanted(name, all_files):
            yield full
            continue
        modified = info.get("LastModified") or info.get("mtime") or info.get("last_modified")
        etag = str(info.get("ETag") or info.get("etag") or modified or "").strip('"')
        yield Listed(full, int(info.get("size") or 0), etag, modified if isinstance(modified, datetime) else None)


def fetch(uri: str, scratch: Path | None = None) -> Fetched:
    """Bring one file to this machine, computing its SHA-256 on the way.

    Local files are hashed in place; remote ones are downloaded whole, which hashing needs anyway.
    Raises FailureError not_found, access_denied or storage_unavailable.
    """
    digest = hashlib.sha256()
    size = 0
    if is_local(uri):
        path = local_path(uri)
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
    suffix = PurePosixPath(unquote(urlsplit(uri).path)).suffix
    handle, name = tempfile.mkstemp(suffix=suffix, prefix="makersmark-", dir=scratch)
    target = Path(name)
    try:
        with os.fdopen(handle, "wb") as sink, fsspec.open(uri, "rb").open() as source:
            while block := source.read(CHUNK):
                digest.update(block)
                sink.write(block)
                size += len(block)
    except Exception as error:
        target.unlink(missing_ok=True)
        raise storage_failure(error, safe_uri(uri)) from error
    return Fetched(target, digest.hexdigest(), size, temporary=True)


def storage_failure(error: BaseException, what: str) -> FailureError:
    """Sort a store's exception into not_found, access_denied or storage_unavailable."""
    if isinstance(error, FailureError):
        return error
    number = getattr(error, "errno", None)
    text = f"{type(error).__name__} {error}"
    if isinstance(error, FileNotFoundError) or number in (errno.ENOENT, errno.ENOTDIR) or "NoSuch" in text:
        return FailureKind.NOT_FOUND.error(f"{what} does not exist")
    denied = ("AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoCredentials", "403")
    if isinstance(error, PermissionError) or any(word in text for word in denied):
        return FailureKind.ACCESS_DENIED.error(f"access to {what} is denied; check its permissions or credentials")
    if isinstance(error, IsADirectoryError):
        return FailureKind.NOT_FOUND.error(f"{what} is a folder, not a file")
    if isinstance(error, (ImportError, ValueError)) and "rotocol" in text:
        return FailureKind.NOT_FOUND.error(f"{what} has a scheme that no installed store understands")
    if number in (errno.EACCES, errno.EPERM):
        return FailureKind.ACCESS_DENIED.error(f"access to {what} is denied; check its permissions")
    if number == errno.ENAMETOOLONG or number == errno.ELOOP:
        return FailureKind.NOT_FOUND.error(f"{what} cannot be reached: {os.strerror(number)}")
    return FailureKind.STORAGE_UNAVAILABLE.error(f"{what} cannot be read now ({type(error).__name__})")


class Folder:
    """A folder on any store, by names relative to it: where a home keeps Parquet parts and snapshots.

    Writes are atomic: local ones by rename, object stores by their nature. Names are never reused.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        if is_local(uri):
            self._fs, self._root = fsspec.filesystem("file"), str(local_path(uri))
        else:
            self._fs, self._root = url_to_fs(uri)

    def write(self, name: str, data: bytes) -> None:
        """Store bytes under a name, whole or not at all."""
        path = f"{self._root}/{name}"
        if not is_local(self.uri):
            self._fs.pipe_file(path, data)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        partial = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            with open(partial, "wb") as sink:
                sink.write(data)
                sink.flush()
                os.fsync(sink.fileno())
            os.replace(partial, path)
        except OSError:
            Path(partial).unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        """The bytes under a name. Raises FailureError not_found and its kin."""
        try:
            return bytes(self._fs.cat_file(f"{self._root}/{name}"))
        except Exception as error:
            raise storage_failure(error, safe_uri(f"{self.uri}/{name}")) from error

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A local file to fill: when the block ends well it is stored under the name, whole or not at all.

        For what is too large to be held in memory. Raises FailureError when a remote store refuses it.
        """
        if not is_local(self.uri):
            handle, copy = tempfile.mkstemp(prefix="makersmark-")
            os.close(handle)
            try:
                yield Path(copy)
                try:
                    self._fs.put_file(copy, f"{self._root}/{name}")
                except Exception as error:
                    raise storage_failure(error, safe_uri(f"{self.uri}/{name}")) from error
            finally:
                Path(copy).unlink(missing_ok=True)
            return
        path = f"{self._root}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        partial = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            yield Path(partial)
            with open(partial, "rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """What lies under a name as a local file, to be read in pieces: itself, or a copy while the block runs.

        Raises FailureError not_found and its kin.
        """
        path = f"{self._root}/{name}"
        if is_local(self.uri):
            try:
                os.stat(path)
            except OSError as error:
                raise storage_failure(error, path) from error
            yield Path(path)
            return
        handle, copy = tempfile.mkstemp(prefix="makersmark-")
        os.close(handle)
        try:
            try:
                self._fs.get_file(path, copy)
            except Exception as error:
                raise storage_failure(error, safe_uri(f"{self.uri}/{name}")) from error
            yield Path(copy)
        finally:
            Path(copy).unlink(missing_ok=True)

    def listing(self, prefix: str) -> list[Listed]:
        """Every file below a prefix with its size and time, ``uri`` being the name; empty when there is none."""
        start = len(canonical_uri(self.uri).rstrip("/")) + 1
        try:
            found = list(list_archive(f"{self.uri.rstrip('/')}/{prefix}", all_files=True))
        except FailureError as error:
            if error.failure.kind == FailureKind.NOT_FOUND:
                return []
            raise
        return [replace(entry, uri=entry.uri[start:]) for entry in found if isinstance(entry, Listed)]

    def names(self, prefix: str) -> list[str]:
        """Every name below a prefix, sorted; empty when there is none."""
        root = f"{self._root}/{prefix}"
        try:
            found = self._fs.find(root)
        except FileNotFoundError:
            return []
        start = len(str(self._root).rstrip("/")) + 1
        return sorted(str(name)[start:] for name in found)

    def remove(self, name: str) -> None:
        """Delete one name; absent is fine."""
        try:
            self._fs.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return
