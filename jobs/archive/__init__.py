"""The one place that talks to stores: listing an archive, fetching a file, reading and writing a home (fsspec)."""

from __future__ import annotations

from jobs.archive.fetching import CHUNK, Fetched, fetch, fetch_parts, file_sha256
from jobs.archive.folder import Folder
from jobs.archive.listing import VIDEO_SUFFIXES, Listed, ask_archive, list_archive
from jobs.archive.stores import storage_failure
from jobs.uris import canonical_uri, is_local, local_path, safe_uri

__all__ = [
    "CHUNK",
    "VIDEO_SUFFIXES",
    "Fetched",
    "Folder",
    "Listed",
    "ask_archive",
    "canonical_uri",
    "fetch",
    "fetch_parts",
    "file_sha256",
    "is_local",
    "list_archive",
    "local_path",
    "safe_uri",
    "storage_failure",
]
