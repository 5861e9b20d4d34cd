"""A home's folder on any store: Parquet parts and snapshots by name, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import fsspec

from cluster.outcome import FailureError
from jobs.archive.listing import Listed, list_archive
from jobs.archive.stores import open_store, persist, storage_failure
from jobs.errors import FailureKind, StoreError
from jobs.uris import canonical_uri, is_local, local_path, safe_uri

T = TypeVar("T")


class Folder:
    """A folder on any store, by names relative to it: where a home keeps Parquet parts and snapshots.

    Writes are atomic: local ones by rename, object stores by their nature. Names are never reused.
    Every method raises StoreError, whose message names the file and what is wrong.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            self._fs, self._root = (
                (fsspec.filesystem("file"), str(local_path(uri))) if is_local(uri) else open_store(uri)
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
                return persist(operation, what)
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
