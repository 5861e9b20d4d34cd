"""Stores that are busy, slow, cut off or closed: what passes is survived, what stays has a class and a sentence."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

import jobs.archive.stores
from cluster.outcome import FailureError
from jobs.archive import Folder, Listed, fetch, list_archive
from jobs.errors import HomeError, StoreError
from tests.faulty_proxy import FaultyProxy

pytestmark = pytest.mark.s3

CLIP = os.urandom(400_000)
PASSING = ["slow_down", "unavailable", "reset", "truncate", "short", "stall"]


@pytest.fixture
def archive(proxy: FaultyProxy, s3_bucket: str) -> str:
    Folder(f"{s3_bucket}/archive").write("a.mp4", CLIP)
    return f"{s3_bucket}/archive"


def body(method: str, path: str) -> bool:
    return method == "GET" and "a.mp4" in path


def listing(method: str, path: str) -> bool:
    return method == "GET" and "list-type" in path


@pytest.mark.parametrize("fault", PASSING)
def test_a_file_is_fetched_whole_through_a_passing_fault(
    proxy: FaultyProxy, archive: str, tmp_path: Path, fault: str
) -> None:
    proxy.spoil(fault, times=2, chosen=body)
    fetched = fetch(f"{archive}/a.mp4", tmp_path)
    assert proxy.spoiled == 2
    assert (fetched.size, fetched.sha256) == (len(CLIP), hashlib.sha256(CLIP).hexdigest())
    assert fetched.path.read_bytes() == CLIP
    assert list(tmp_path.iterdir()) == [fetched.path], "an attempt that failed left its copy behind"


@pytest.mark.parametrize("fault", ["slow_down", "unavailable", "reset", "stall"])
def test_a_listing_and_a_homes_files_survive_a_passing_fault(proxy: FaultyProxy, archive: str, fault: str) -> None:
    proxy.spoil(fault, times=1, chosen=listing)
    assert [entry.size for entry in list_archive(archive) if isinstance(entry, Listed)] == [len(CLIP)]
    assert proxy.spoiled == 1
    folder = Folder(f"{archive}-home")
    proxy.spoil(fault, times=1, chosen=lambda method, _path: method == "PUT")
    folder.write("parquet/part", CLIP)
    assert proxy.spoiled == 1
    proxy.spoil(fault, times=1, chosen=lambda method, path: method == "GET" and "parquet" in path)
    assert folder.read("parquet/part") == CLIP
    assert proxy.spoiled == 1


def test_a_body_that_is_cut_every_time_never_passes_for_the_content(
    proxy: FaultyProxy, archive: str, tmp_path: Path
) -> None:
    # Every range comes short: an end of file is claimed where there is none.
    proxy.spoil("short", times=10_000, chosen=body)
    with pytest.raises(FailureError) as refused:
        fetch(f"{archive}/a.mp4", tmp_path)
    assert refused.value.failure.kind == "storage_unavailable"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["unavailable", "reset", "truncate"])
def test_a_fault_that_stays_is_storage_unavailable_and_leaves_nothing(
    proxy: FaultyProxy, archive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    once_each(proxy, monkeypatch)
    proxy.spoil(fault, times=10_000, chosen=body)
    with pytest.raises(FailureError) as away:
        fetch(f"{archive}/a.mp4", tmp_path)
    assert (away.value.failure.kind, away.value.failure.policy) == ("storage_unavailable", "retry")
    assert proxy.spoiled >= jobs.archive.stores.ATTEMPTS
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_stays_away_or_closed_is_the_systems_failure(
    proxy: FaultyProxy, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once_each(proxy, monkeypatch)
    for fault, kind in (("unavailable", "storage_unavailable"), ("denied", "access_denied")):
        proxy.spoil(fault, times=10_000, chosen=lambda _method, path: "home" in path)
        with pytest.raises(StoreError) as refused:
            Folder(f"{archive}-home").write("parquet/part", b"data")
        assert refused.value.failure.kind == kind
        assert isinstance(refused.value, HomeError)
        with pytest.raises(StoreError, match="parquet/part"):
            Folder(f"{archive}-home").read("parquet/part")


def test_a_denied_bucket_is_not_asked_over_and_over(proxy: FaultyProxy, archive: str) -> None:
    proxy.spoil("denied", times=10_000, chosen=lambda _method, _path: True)
    with pytest.raises(FailureError) as refused:
        list(list_archive(archive))
    assert refused.value.failure.kind == "access_denied"
    assert proxy.spoiled <= 3


def test_an_object_that_changed_after_it_was_listed_is_fetched_as_it_is_now(
    proxy: FaultyProxy, archive: str, tmp_path: Path
) -> None:
    assert len(list(list_archive(archive))) == 1
    newer = os.urandom(500_000)
    Folder(archive).write("a.mp4", newer)
    assert fetch(f"{archive}/a.mp4", tmp_path).sha256 == hashlib.sha256(newer).hexdigest()


def once_each(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The S3 client's own repetitions off, by the site's configuration, which wins: ours are what is looked at."""
    import fsspec
    import s3fs

    quick = {"retries": {"max_attempts": 0}, "read_timeout": 1}
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": proxy.url, "config_kwargs": quick})
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
