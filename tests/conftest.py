"""Shared fixtures: a real S3 server over HTTP, a real PostgreSQL server on a socket."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

# Before numpy is imported: on a busy machine the threads of its linear algebra mostly wait for one another, and
# fitting a small snapshot takes a minute instead of a second. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.faulty_proxy import FaultyProxy
from tests.postgres_server import PostgresServer, find_binaries

# As workers do: several test processes with a thread a core each would only wait for one another.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A moto server in this process, on a free port, spoken to over HTTP."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket; s3:// URIs of this process and its children reach the test server."""
    import boto3
    import fsspec
    import s3fs

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": s3_endpoint})
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def proxy(s3_bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """The S3 server behind a proxy that can be told to misbehave; this process and its children go through it."""
    import fsspec
    import s3fs

    import jobs.archive.stores

    made = FaultyProxy(s3_endpoint)
    for name in ("AWS_ENDPOINT_URL", "FSSPEC_S3_ENDPOINT_URL"):
        monkeypatch.setenv(name, made.url)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": made.url, "config_kwargs": {"read_timeout": 1}})
    monkeypatch.setattr(jobs.archive.stores, "FIRST_PAUSE_S", 0.02)
    s3fs.S3FileSystem.clear_instance_cache()
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this session's own; skipped where the binaries are missing, unless they are required."""
    missing = find_binaries()
    if isinstance(missing, str):
        if os.environ.get("MAKERSMARK_REQUIRE_POSTGRES"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = PostgresServer.create(missing)
    yield server
    server.destroy()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of a new, empty database."""
    postgres_server.start()  # a test before this one may have stopped it
    return postgres_server.new_database()
