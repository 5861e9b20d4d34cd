"""The one place that talks to stores: listing an archive, fetching a file, reading and writing a home (fsspec)."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import fsspec
from fsspec.core import url_to_fs

from cluster.outcome import FailureError
from jobs.errors import FailureKind, StoreError
from jobs.uris import canonical_uri, carries_secret, is_local, local_path, safe_uri

__all__ = [
    "VIDEO_SUFFIXES",
    "Fetched",
    "Folder",
    "Listed",
    "ask_archive",
    "canonical_uri",
    "fetch",
    "is_local",
    "list_archive",
    "local_path",
    "safe_uri",
    "storage_failure",
]

T = TypeVar("T")
CHUNK = 1 << 20
# Whole operations are tried so often; below that the S3 client repeats single requests (see _open_store).
ATTEMPTS = 3
FIRST_PAUSE_S = 0.5
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


def list_archive(uri: str, *, all_files: bool = False) -> Iterator[Listed | str]:
    """Every video file under a folder, bucket or prefix, depth first in name order; a single file lists itself.

    Yields Listed, or the bare URI of a file that was passed over because its suffix is not one of video.
    Raises FailureError not_found, access_denied or storage_unavailable with the archive's name in the message.
    """
    if is_local(uri):
        yield from _list_local(local_path(uri), all_files)
    else:
        yield from _list_remote(uri, all_files)


def ask_archive(uri: str) -> None:
    """Look whether the archive itself still answers, without listing it. Raises FailureError as list_archive does."""
    if is_local(uri):
        root = local_path(uri)
        try:
            if root.is_dir():
                os.scandir(root).close()
            else:
                root.stat()
        except OSError as error:
            raise storage_failure(error, str(root)) from error
        return

    def ask() -> None:
        filesystem, root = _open_store(uri)
        filesystem.invalidate_cache()
        filesystem.info(root)

    _persist(ask, safe_uri(uri))


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
    def find() -> tuple[Any, dict[str, dict[str, Any]]]:
        filesystem, root = _open_store(uri)
        filesystem.invalidate_cache()
        found: dict[str, dict[str, Any]] = filesystem.find(root, detail=True)
        if not found and not filesystem.exists(root):
            raise FailureKind.NOT_FOUND.error(f"there is no bucket or prefix {safe_uri(uri)}")
        return filesystem, found

    if carries_secret(uri):
        # What is listed becomes the natural key of the ledger, and a credential must never get there.
        raise FailureKind.NOT_FOUND.error(
            f"{safe_uri(uri)} was given with a user, password or query in its address; an archive is named without "
            "them, and credentials go into the environment or the store's own credentials file"
        )
    filesystem, found = _persist(find, safe_uri(uri))
    for name, info in sorted(found.items()):
        full = str(filesystem.unstrip_protocol(name))
        if not _wanted(name, all_files):
            yield full
            continue
        modified = info.get("LastModified") or info.get("mtime") or info.get("last_modified")
        etag = str(info.get("ETag") or info.get("etag") or modified or "").strip('"')
        yield Listed(full, int(info.get("size") or 0), etag, modified if isinstance(modified, datetime) else None)


def _open_store(uri: str) -> tuple[Any, str]:
    """The filesystem of a remote URI and the path on it, with the retries that a busy store asks for."""
    options: dict[str, Any] = {}
    if uri.startswith(("s3://", "s3a://")):
        # "standard" repeats 500, 502, 503, 504, throttling and broken connections with exponential back-off and full
        # jitter; the default "legacy" mode knows fewer of them. What the site configured for fsspec wins.
        configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        options["config_kwargs"] = {"retries": {"mode": "standard", "max_attempts": 3}, **configured}
    filesystem, path = url_to_fs(uri, **options)
    return filesystem, path


def _persist(operation: Callable[[], T], what: str) -> T:
    """Run one operation on a store, again when the store was unavailable, with full jitter between the attempts.

    Jitter, so that hundreds of workers whose store was away do not all return in the same moment.
    Raises FailureError as storage_failure sorts it.
    """
    for attempt in range(ATTEMPTS):
        try:
            return operation()
        except Exception as error:  # every store has its own exceptions; storage_failure sorts them
            failure = storage_failure(error, what)
            last = attempt == ATTEMPTS - 1
            if last or failure.failure.kind != FailureKind.STORAGE_UNAVAILABLE:
                raise failure from (None if failure is error else error)
        time.sleep(random.uniform(0.1, 1.0) * FIRST_PAUSE_S * 4**attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def fetch(uri: str, scratch: Path | None = None) -> Fetched:
    """Bring one file to this machine, computing its SHA-256 on the way.

    Local files are hashed in place; remote ones are downloaded whole, which hashing needs anyway.
    Raises FailureError not_found, access_denied or storage_unavailable.
    """
    if is_local(uri):
        return _hash_in_place(local_path(uri))
    return _persist(lambda: _download(uri, scratch), safe_uri(uri))


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
        filesystem, path = _open_store(uri)
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
    if number in (errno.ENOSPC, errno.EDQUOT):
        return FailureKind.STORAGE_UNAVAILABLE.error(f"there is no room left on the device for {what}")
    if number == errno.ENAMETOOLONG or number == errno.ELOOP:
        return FailureKind.NOT_FOUND.error(f"{what} cannot be reached: {os.strerror(number)}")
    return FailureKind.STORAGE_UNAVAILABLE.error(f"{what} cannot be read now ({type(error).__name__})")


class Folder:
    """A folder on any store, by names relative to it: where a home keeps Parquet parts and snapshots.

    Writes are atomic: local ones by rename, object stores by their nature. Names are never reused.
    Every method raises StoreError, whose message names the file and what is wrong.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            self._fs, self._root = (
                (fsspec.filesystem("file"), str(local_path(uri))) if is_local(uri) else _open_store(uri)
            )
        except Exception as error:
            raise StoreError(storage_failure(error, safe_uri(uri)).failure) from error

    def write(self, name: str, data: bytes) -> None:
        """Store bytes under a name, whole or not at all."""
        path = f"{self._root}/{name}"
        if is_local(self.uri):
            try:
                _write_whole(path, data)
            except OSError as error:
                said = f"{path} cannot be written: {error.strerror or type(error).__name__}"
                raise StoreError(FailureKind.STORAGE_UNAVAILABLE.failure(said)) from error
            return
        self._try(lambda: self._fs.pipe_file(path, data), name)

    def read(self, name: str) -> bytes:
        """The bytes under a name."""
        return self._try(lambda: bytes(self._fs.cat_file(f"{self._root}/{name}")), name)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A local file to fill: when the block ends well it is stored under the name, whole or not at all.

        For what is too large to be held in memory. Raises StoreError when the store refuses it.
        """
        if not is_local(self.uri):
            handle, copy = tempfile.mkstemp(prefix="makersmark-")
            os.close(handle)
            try:
                yield Path(copy)
                self._try(lambda: self._fs.put_file(copy, f"{self._root}/{name}"), name)
            finally:
                Path(copy).unlink(missing_ok=True)
            return
        path = f"{self._root}/{name}"
        partial = f"{path}.{uuid.uuid4().hex}.partial"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            yield Path(partial)
            with open(partial, "rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
        except OSError as error:
            said = f"{path} cannot be written: {error.strerror or type(error).__name__}"
            raise StoreError(FailureKind.STORAGE_UNAVAILABLE.failure(said)) from error
        finally:
            Path(partial).unlink(missing_ok=True)

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """What lies under a name as a local file, to be read in pieces: itself, or a copy while the block runs.

        Raises FailureError not_found and its kin.
        """
        path = f"{self._root}/{name}"
        if is_local(self.uri):
            self._try(lambda: os.stat(path), name)
            yield Path(path)
            return
        handle, copy = tempfile.mkstemp(prefix="makersmark-")
        os.close(handle)
        try:
            self._try(lambda: self._fs.get_file(path, copy), name)
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

        def find() -> list[str]:
            self._fs.invalidate_cache()  # another machine may have written since this process last looked
            return [str(name) for name in self._fs.find(f"{self._root}/{prefix}")]

        start = len(str(self._root).rstrip("/")) + 1
        try:
            return sorted(name[start:] for name in self._try(find, prefix))
        except StoreError as error:
            if error.failure.kind == FailureKind.NOT_FOUND:
                return []
            raise

    def remove(self, name: str) -> None:
        """Delete one name; absent is fine."""
        try:
            self._try(lambda: self._fs.rm_file(f"{self._root}/{name}"), name)
        except StoreError as error:
            if error.failure.kind != FailureKind.NOT_FOUND:
                raise

    def _try(self, operation: Callable[[], T], name: str) -> T:
        what = f"{safe_uri(self.uri)}/{name}"
        try:
            if not is_local(self.uri):
                return _persist(operation, what)
            return operation()
        except Exception as error:
            raise StoreError(storage_failure(error, what).failure) from error


def _write_whole(path: str, data: bytes) -> None:
    """Write by rename, and make the name itself durable: SQL must never name a part that a power cut took back."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
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
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
