"""Listing, fetching and storing: local folders and a real S3 server over HTTP behave alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.outcome import FailureError
from jobs.archive import Folder, Listed, canonical_uri, fetch, list_archive, safe_uri, storage_failure

CLIP = os.urandom(300_000)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    archive = tmp_path / "archive"
    (archive / "b").mkdir(parents=True)
    (archive / "a.mp4").write_bytes(CLIP)
    (archive / "b" / "c.MKV").write_bytes(b"short")
    (archive / "notes.txt").write_text("not a video")
    return str(archive)


@pytest.fixture
def bucket(s3_bucket: str) -> str:
    target = Folder(f"{s3_bucket}/archive")
    target.write("a.mp4", CLIP)
    target.write("b/c.MKV", b"short")
    target.write("notes.txt", b"not a video")
    return f"{s3_bucket}/archive"


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def archive(request: pytest.FixtureRequest) -> str:
    uri: str = request.getfixturevalue("folder" if request.param == "local" else "bucket")
    return uri


def names(entries: Iterator[Listed | str]) -> list[str]:
    return [Path(entry.uri).name for entry in entries if isinstance(entry, Listed)]


def test_an_archive_lists_its_videos_and_names_what_it_passes_over(archive: str) -> None:
    assert names(list_archive(archive)) == ["a.mp4", "c.MKV"]
    passed_over = [entry for entry in list_archive(archive) if isinstance(entry, str)]
    assert [Path(uri).name for uri in passed_over] == ["notes.txt"]
    assert sorted(names(list_archive(archive, all_files=True))) == ["a.mp4", "c.MKV", "notes.txt"]


def test_sizes_and_change_tags_come_from_the_listing(archive: str) -> None:
    entries = [entry for entry in list_archive(archive) if isinstance(entry, Listed)]
    assert [entry.size for entry in entries] == [300_000, 5]
    assert all(entry.etag for entry in entries)
    again = [entry for entry in list_archive(archive) if isinstance(entry, Listed)]
    assert [entry.etag for entry in again] == [entry.etag for entry in entries]


def test_a_single_file_lists_itself_whatever_its_suffix(archive: str) -> None:
    assert names(list_archive(f"{archive}/a.mp4")) == ["a.mp4"]


def test_fetching_gives_the_bytes_and_their_hash(archive: str, tmp_path: Path) -> None:
    entry = next(entry for entry in list_archive(archive) if isinstance(entry, Listed))
    fetched = fetch(entry.uri, tmp_path)
    assert fetched.sha256 == hashlib.sha256(CLIP).hexdigest()
    assert fetched.size == len(CLIP)
    assert fetched.path.read_bytes() == CLIP
    assert fetched.temporary == entry.uri.startswith("s3://")


def test_what_is_not_there_is_not_found(archive: str) -> None:
    with pytest.raises(FailureError) as missing:
        fetch(f"{archive}/absent.mp4")
    assert missing.value.failure.kind == "not_found"
    with pytest.raises(FailureError) as missing:
        list(list_archive(f"{archive}/absent/"))
    assert missing.value.failure.kind == "not_found"


@pytest.mark.s3
def test_a_missing_bucket_is_not_found(s3_bucket: str) -> None:
    with pytest.raises(FailureError) as missing:
        list(list_archive("s3://no-such-bucket-here/"))
    assert missing.value.failure.kind == "not_found"


@pytest.mark.s3
def test_a_store_that_does_not_answer_is_unavailable_and_will_be_tried_again(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    nobody = {
        "endpoint_url": "http://127.0.0.1:9",
        "config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 1},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", nobody)
    with pytest.raises(FailureError) as away:
        fetch("s3://some-bucket/clip.mp4")
    assert away.value.failure.kind == "storage_unavailable"
    assert away.value.failure.policy == "retry"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionError(13, "Permission denied"), "access_denied"),
        (OSError(1, "Operation not permitted"), "access_denied"),
        (RuntimeError("An error occurred (AccessDenied) when calling GetObject"), "access_denied"),
        (FileNotFoundError(2, "No such file"), "not_found"),
        (OSError(5, "Input/output error"), "storage_unavailable"),
        (TimeoutError("timed out"), "storage_unavailable"),
        (ValueError("Protocol not known: gopher"), "not_found"),
    ],
)
def test_a_stores_own_exceptions_are_sorted_into_our_classes(error: Exception, kind: str) -> None:
    failure = storage_failure(error, "the file").failure
    assert failure.kind == kind
    assert "the file" in failure.message


def test_a_pipe_in_the_archive_hangs_nobody(folder: str) -> None:
    os.mkfifo(Path(folder, "pipe.mp4"))
    with pytest.raises(FailureError) as pipe:
        fetch(str(Path(folder, "pipe.mp4")))
    assert pipe.value.failure.kind == "not_a_video"


def test_a_dangling_link_is_listed_so_that_the_ledger_can_name_it(folder: str) -> None:
    os.symlink("/nowhere/at/all.mp4", Path(folder, "z.mp4"))
    assert names(list_archive(folder)) == ["a.mp4", "z.mp4", "c.MKV"]
    with pytest.raises(FailureError) as missing:
        fetch(str(Path(folder, "z.mp4")))
    assert missing.value.failure.kind == "not_found"


def test_a_folder_keeps_names_whole(archive: str) -> None:
    home = Folder(archive + "-home")
    home.write("parquet/x/part.parquet", b"first")
    assert home.read("parquet/x/part.parquet") == b"first"
    assert home.names("parquet") == ["parquet/x/part.parquet"]
    home.remove("parquet/x/part.parquet")
    home.remove("parquet/x/part.parquet")
    assert home.names("parquet") == []
    with pytest.raises(FailureError):
        home.read("parquet/x/part.parquet")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://key:secret@bucket/a/b.mp4", "s3://bucket/a/b.mp4"),
        ("https://host/x.mp4?X-Amz-Signature=abc", "https://host/x.mp4"),
        ("/plain/path with space.mp4", "/plain/path with space.mp4"),
        ("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
    ],
)
def test_credentials_never_show(uri: str, shown: str) -> None:
    assert safe_uri(uri) == shown


def test_relative_paths_become_the_same_uri_as_absolute_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert canonical_uri("a/../b.mp4") == canonical_uri(str(tmp_path / "b.mp4")) == f"file://{tmp_path}/b.mp4"
