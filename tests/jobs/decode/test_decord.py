"""decord behind the same protocol: the same frames at the same places, as near as RGB and back allows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cluster.outcome import FailureError
from jobs.decode.decord_decoder import to_ycbcr
from jobs.decode.service import decoder_version
from tests import footage
from tests.jobs.decode.reference import decode


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("closed.mp4", {"bframes": 0}),
        ("frames.mp4", {}),
        ("cues.mkv", {}),
        ("vp9.webm", {}),
        ("open_gop.mp4", {"codec": "libx265"}),
        ("no_times.avi", {}),
        ("program.mpg", {}),
        ("turned.mp4", {"rotate": 270}),
        ("odd.mp4", {"size": (201, 131), "pix_fmt": "yuv444p"}),
    ],
)
def test_windows_show_the_frames_that_pyav_shows(tmp_path: Path, name: str, settings: dict[str, object]) -> None:
    path = footage.make_video(tmp_path / name, **settings)  # type: ignore[arg-type]
    theirs, summary = decode(path, decoder="decord")
    ours, expected = decode(path)
    assert summary.coverage == 1.0
    assert (summary.facts.frame_count, summary.facts.codec) == (expected.facts.frame_count, expected.facts.codec)
    assert len(theirs) == len(ours)
    for one, other in zip(theirs, ours, strict=True):
        assert (one.burst, one.crop, one.top, one.left) == (other.burst, other.crop, other.top, other.left)
        assert one.times_s == pytest.approx(other.times_s, abs=1e-6)
        assert one.luma.shape == other.luma.shape
        # Neighbouring frames of the scene differ by more than 8 on average; colour rounding and clipping by under 2.
        assert np.abs(one.luma.astype(int) - other.luma.astype(int)).mean() < 2
        assert one.chroma_b.shape == (one.frames, one.luma.shape[1] // 2, one.luma.shape[2] // 2)
        if other.chroma_b.shape == one.chroma_b.shape:
            assert np.abs(one.chroma_b.astype(int) - other.chroma_b.astype(int)).mean() < 2
            assert np.abs(one.chroma_r.astype(int) - other.chroma_r.astype(int)).mean() < 2


def test_an_edit_list_hides_the_same_frames(tmp_path: Path) -> None:
    source = footage.make_video(tmp_path / "source.mp4")
    path = footage.edit_list(tmp_path / "edited.mp4", source)
    theirs, ours = decode(path, decoder="decord")[0], decode(path)[0]
    for one, other in zip(theirs, ours, strict=True):
        assert np.abs(one.luma.astype(int) - other.luma.astype(int)).mean() < 2


@pytest.mark.parametrize(
    ("name", "settings"),
    [("new.mkv", {"codec": "libsvtav1"}), ("stream.ts", {}), ("moving.gif", {}), ("plain.ivf", {})],
)
def test_what_decord_gets_wrong_is_refused_with_the_remedy(
    tmp_path: Path, name: str, settings: dict[str, object]
) -> None:
    path = footage.make_video(tmp_path / name, **settings)  # type: ignore[arg-type]
    with pytest.raises(FailureError, match="use PyAV") as refusal:
        decode(path, decoder="decord")
    assert refusal.value.failure.kind == "unsupported_codec"


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_a_cut_file_yields_what_is_there_and_says_so(tmp_path: Path, share: float) -> None:
    path = footage.truncate(footage.make_video(tmp_path / "whole.mkv"), tmp_path / "cut.mkv", share)
    windows, summary = decode(path, decoder="decord")
    assert len(windows) == summary.delivered
    assert 0 < summary.coverage < 1
    assert "cut" in summary.reason


def test_a_missing_wheel_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)  # what Python itself does for "not importable"
    with pytest.raises(FailureError, match="not installed") as refusal:
        decode(footage.make_video(tmp_path / "any.mp4", frames=8), decoder="decord")
    assert refusal.value.failure.kind == "unsupported_codec"


def test_the_decoders_never_share_a_version() -> None:
    assert decoder_version("decord").startswith("0.6")
    assert decoder_version("pyav") != decoder_version("decord")


def test_rgb_becomes_bt601_limited_range() -> None:
    colours = {  # ITU-R BT.601 colour bars at 100 %
        (255, 255, 255): (235, 128, 128),
        (0, 0, 0): (16, 128, 128),
        (255, 0, 0): (81, 90, 240),
        (0, 255, 0): (145, 54, 34),
        (0, 0, 255): (41, 240, 110),
        (255, 255, 0): (210, 16, 146),
    }
    for colour, expected in colours.items():
        luma, blue, red = to_ycbcr(np.full((2, 2, 3), colour, np.uint8))
        assert luma.shape == (2, 2)
        assert blue.shape == red.shape == (1, 1)
        assert (luma[0, 0], blue[0, 0], red[0, 0]) == expected
