"""Opening a store and asking it again: the retries that busy stores want, and their exceptions sorted (fsspec)."""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
from fsspec.core import url_to_fs

from cluster.outcome import FailureError
from jobs.errors import FailureKind

T = TypeVar("T")
# Whole operations are tried so often; below that the S3 client repeats single requests (see open_store).
ATTEMPTS = 3
FIRST_PAUSE_S = 0.5
ADDRESS = re.compile(r"\w+://\S*")


def open_store(uri: str) -> tuple[Any, str]:
    """The filesystem of a remote URI and the path on it, with the retries that a busy store asks for."""
    options: dict[str, Any] = {}
    if uri.startswith(("s3://", "s3a://")):
        # "standard" repeats 500, 502, 503, 504, throttling and broken connections with exponential back-off and full
        # jitter; the default "legacy" mode knows fewer of them. What the site configured for fsspec wins.
        configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        options["config_kwargs"] = {"retries": {"mode": "standard", "max_attempts": 3}, **configured}
    filesystem, path = url_to_fs(uri, **options)
    return filesystem, path


def persist(operation: Callable[[], T], what: str) -> T:
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


def storage_failure(error: BaseException, what: str) -> FailureError:
    """Sort a store's exception into not_found, access_denied or storage_unavailable."""
    if isinstance(error, FailureError):
        return error
    number = getattr(error, "errno", None)
    # Without addresses: a port such as 40327, or a file's name, would pass for the store's answer.
    text = ADDRESS.sub("", f"{type(error).__name__} {error}")
    if isinstance(error, FileNotFoundError) or number in (errno.ENOENT, errno.ENOTDIR) or "NoSuch" in text:
        return FailureKind.NOT_FOUND.error(f"{what} does not exist")
    denied = ("AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoCredentials", "(403)")
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
