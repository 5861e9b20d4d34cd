"""What an archive holds: a folder, a bucket or a prefix, listed with sizes and change tags."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from jobs.archive.stores import open_store, persist, storage_failure
from jobs.errors import FailureKind
from jobs.uris import carries_secret, is_local, local_path, safe_uri

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
        filesystem, root = open_store(uri)
        filesystem.invalidate_cache()
        filesystem.info(root)

    persist(ask, safe_uri(uri))


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
        filesystem, root = open_store(uri)
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
    filesystem, found = persist(find, safe_uri(uri))
    for name, info in sorted(found.items()):
        full = str(filesystem.unstrip_protocol(name))
        if not _wanted(name, all_files):
            yield full
            continue
        modified = info.get("LastModified") or info.get("mtime") or info.get("last_modified")
        etag = str(info.get("ETag") or info.get("etag") or modified or "").strip('"')
        yield Listed(full, int(info.get("size") or 0), etag, modified if isinstance(modified, datetime) else None)
