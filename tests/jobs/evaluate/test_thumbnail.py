"""A glance at real files: packaging without decoding, a tiny picture, one number for fine detail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluster.outcome import FailureError
from jobs.decode.thumbnail import glance, high_frequency_share, read_packaging
from tests import footage


def test_packaging_counts_packets_and_reads_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    footage.make_video(path, size=(192, 128), frames=30, fps=24, gop=10, bframes=2)
    found = read_packaging(path)
    assert (found.codec, found.width, found.height, found.frames, found.fps) == ("h264", 192, 128, 30, 24.0)
    assert (found.keyframe_gap, found.reordered, found.has_audio) == (10, True, False)
    assert found.bit_rate == pytest.approx(8 * path.stat().st_size * 24 / 30, rel=0.25)  # the rest is the container


def test_a_gif_has_frames_and_a_rate_though_its_header_counts_none(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    footage.gif(path, frames=20)
    found = read_packaging(path)
    assert (found.frames, found.reordered) == (20, False)
    assert found.fps > 0


def test_a_thumbnail_is_the_mean_of_each_block_of_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    footage.make_video(path, size=(192, 128), frames=1)
    look = glance(path)
    planes = next(footage.scene(1, (192, 128))).astype(float)
    blocks = planes.reshape(3, 16, 8, 16, 12).mean(axis=(2, 4)).transpose(1, 2, 0) / 255
    assert look.thumbnail.shape == (16, 16, 3)
    assert np.abs(look.thumbnail - blocks).mean() < 0.01  # what the encoder lost


def test_blur_lowers_the_one_number_and_brightness_does_not() -> None:
    picture = next(footage.scene(1, (192, 128)))[0].astype(np.float32)
    blurred = (picture[:-1, :-1] + picture[1:, :-1] + picture[:-1, 1:] + picture[1:, 1:]) / 4
    sharp = high_frequency_share(picture.astype(np.uint8))
    assert high_frequency_share(blurred.astype(np.uint8)) < 0.7 * sharp
    assert high_frequency_share((picture / 2 + 60).astype(np.uint8)) == pytest.approx(sharp, rel=0.15)
    assert high_frequency_share(np.full((8, 8), 7, np.uint8)) == 0.0
    assert high_frequency_share(np.zeros((2, 9), np.uint8)) == 0.0


def test_a_damaged_file_is_looked_at_as_far_as_it_goes(tmp_path: Path) -> None:
    whole, cut = tmp_path / "a.ts", tmp_path / "cut.ts"
    footage.make_video(whole, frames=40)
    footage.truncate(whole, cut, 0.5)
    assert 0 < read_packaging(cut).frames < 40
    assert glance(cut).hf_energy > 0


@pytest.mark.parametrize("kind", ["missing", "text", "audio"])
def test_what_is_no_video_is_a_classed_failure(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("a.m4a" if kind == "audio" else "a.mp4")
    if kind == "text":
        footage.text_named_mp4(path)
    if kind == "audio":
        footage.audio_only(path)
    expected = {"missing": "not_found", "text": "not_a_video", "audio": "no_video_stream"}[kind]
    for look in (glance, read_packaging):
        with pytest.raises(FailureError) as caught:
            look(path)
        assert caught.value.failure.kind == expected
