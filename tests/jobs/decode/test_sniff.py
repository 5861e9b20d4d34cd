"""What a file's first bytes and outer structure give away without a decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.decode.sniff import missing_bytes, sniff, sniff_head
from tests import footage


@given(st.binary(max_size=600))
def test_no_bytes_whatsoever_upset_it(head: bytes) -> None:
    found = sniff_head(head)
    assert not (found.container and found.still)


@given(head=st.sampled_from([b"\x1aE\xdf\xa3", b"RIFF", b"\x00\x00\x00\x20ftyp"]), tail=st.binary(max_size=300))
def test_a_broken_structure_is_never_an_error(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("odd") / "odd"
    path.write_bytes(head + tail)
    sniff(str(path))
    assert missing_bytes(str(path)) >= 0


@pytest.mark.parametrize(
    "suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".gif", ".flv", ".ivf", ".nut"]
)
def test_containers_are_known_by_their_first_bytes_and_are_whole(tmp_path: Path, suffix: str) -> None:
    path = footage.make_video(tmp_path / f"any{suffix}", frames=4)
    assert sniff(str(path)).container
    assert missing_bytes(str(path)) == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
def test_the_bytes_that_a_cut_file_lacks_are_counted(tmp_path: Path, suffix: str) -> None:
    whole = footage.make_video(tmp_path / f"whole{suffix}", container_options={"movflags": "faststart"})
    size = whole.stat().st_size
    cut = footage.truncate(whole, tmp_path / f"cut{suffix}", 0.7)
    assert missing_bytes(str(cut)) == size - int(size * 0.7)


def test_an_mp4_without_its_index_is_known(tmp_path: Path) -> None:
    whole = footage.make_video(tmp_path / "whole.mp4")
    assert not sniff(str(whole)).unindexed
    assert sniff(str(footage.truncate(whole, tmp_path / "cut.mp4", 0.5))).unindexed


def test_claimed_sizes_are_read_from_the_headers(tmp_path: Path) -> None:
    for suffix in (".avi", ".gif", ".ivf"):
        path = footage.make_video(tmp_path / f"any{suffix}", size=(160, 96), frames=3)
        assert sniff(str(path)).size == (160, 96)
