"""Names of files and folders, local and remote, without touching any of them: canonical, local, and fit to be shown."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


def safe_uri(uri: str) -> str:
    """The URI without user, password, query or fragment, for logs, the ledger and results."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))


def carries_secret(uri: str) -> bool:
    """Whether a remote URI holds what may be a credential: a user part, or a query such as a signed link has."""
    return not is_local(uri) and safe_uri(uri) != uri


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
