"""A broken connection to 127.0.0.1:40327 was sorted as "access denied": the port holds the digits of the status 403.

The words of a store's exception name the address that it spoke to, and so the port, the bucket and the file. None of
them is the store's answer. Seen once in some dozens of runs of the S3 tests, whose server gets a port at random.
"""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from jobs.archive.stores import storage_failure


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:40327/bucket/a.mp4",
        "https://store.example/403/a.mp4",
        "https://store.example/Forbidden/NoSuchKey.mp4",
    ],
)
@pytest.mark.parametrize("kind", [ConnectionClosedError, EndpointConnectionError])
def test_a_connection_that_breaks_is_the_store_being_away_whatever_its_address(
    kind: type[Exception], address: str
) -> None:
    assert storage_failure(kind(endpoint_url=address), "a.mp4").failure.kind == "storage_unavailable"  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("403", "Forbidden", "access_denied"),
        ("403", "", "access_denied"),
        ("AccessDenied", "Access Denied", "access_denied"),
        ("NoSuchBucket", "The specified bucket does not exist", "not_found"),
        ("SlowDown", "Reduce your request rate", "storage_unavailable"),
    ],
)
def test_what_the_store_answers_still_decides(code: str, message: str, kind: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "HeadObject")
    assert storage_failure(error, "a.mp4").failure.kind == kind
