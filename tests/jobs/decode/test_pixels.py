"""Planes come out as the decoder holds them: no padding, no rounding, whatever the pixel format."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.decode.pixels import cut, layout_of
from tests.footage import scene

SIZE = (200, 136)
PLACES = [(0, 0, 64, 64), (64, 128, 64, 64), (32, 96, 96, 96)]


def picture(pixel_format: str) -> av.VideoFrame:
    start = av.VideoFrame.from_ndarray(next(scene(1, SIZE, seed=3)), format="yuv444p")
    return converted(start, pixel_format)


def converted(frame: av.VideoFrame, pixel_format: str) -> av.VideoFrame:
    """One thread: with several the scaler left a few samples of yuyv422 unwritten in 3 of 400 conversions."""
    return frame.reformat(format=pixel_format, threads=1)


@pytest.mark.parametrize(
    ("packed", "planar"),
    [
        ("nv12", "yuv420p"),
        ("nv16", "yuv422p"),
        ("nv24", "yuv444p"),
        ("p010le", "yuv420p10le"),
        ("p210le", "yuv422p10le"),
        ("p410le", "yuv444p10le"),
        ("p016le", "yuv420p16le"),
        ("yuyv422", "yuv422p"),
        ("uyvy422", "yuv422p"),
        ("yuva420p", "yuv420p"),
        ("yuvj420p", "yuvj420p"),
    ],
)
def test_interleaved_and_packed_forms_hold_the_same_samples_as_planar_ones(packed: str, planar: str) -> None:
    source = picture(planar)
    mine = cut(converted(source, packed), layout_of(packed), PLACES)
    plain = cut(source, layout_of(planar), PLACES)
    for one, other in zip(mine, plain, strict=True):
        for plane, expected in zip(one, other, strict=True):
            assert plane.dtype == expected.dtype
            assert np.array_equal(plane, expected)


@given(top=st.integers(0, 2), left=st.integers(0, 4), tall=st.integers(1, 2), wide=st.integers(1, 2))
def test_a_crop_is_the_slice_of_the_whole_plane(top: int, left: int, tall: int, wide: int) -> None:
    frame = picture("yuv420p")
    whole = frame.to_ndarray()
    width, height = SIZE
    luma = whole[:height]
    blue = whole[height : height + height // 4].reshape(height // 2, width // 2)
    place = (top * 32, left * 32, tall * 32, wide * 16)
    ((mine, mine_blue, _),) = cut(frame, layout_of("yuv420p"), [place])
    assert np.array_equal(mine, luma[place[0] : place[0] + place[2], place[1] : place[1] + place[3]])
    half = [value // 2 for value in place]
    assert np.array_equal(mine_blue, blue[half[0] : half[0] + half[2], half[1] : half[1] + half[3]])


def test_crops_are_copies_that_outlive_the_frame() -> None:
    frame = picture("yuv420p")
    ((luma, blue, red),) = cut(frame, layout_of("yuv420p"), [(0, 0, 64, 64)])
    assert all(plane.flags.owndata for plane in (luma, blue, red))


@pytest.mark.parametrize("colour", ["rgb24", "bgra", "gbrp", "pal8", "rgb565le"])
def test_rgb_forms_become_full_resolution_ycbcr(colour: str) -> None:
    layout = layout_of(colour)
    assert (layout.convert, layout.depth, layout.shifts) == ("yuv444p", 8, (0, 0))


def test_deep_rgb_keeps_its_depth() -> None:
    assert layout_of("gbrp10le").depth == 10
    assert layout_of("rgb48le").depth == 12


def test_big_endian_samples_are_turned_round() -> None:
    source = picture("yuv420p10le")
    # Turned round here: the scaler's own conversion leaves a few samples of a row as they were, one time in ten.
    turned = av.VideoFrame(source.width, source.height, "yuv420p10be")
    for theirs, ours in zip(source.planes, turned.planes, strict=True):
        assert theirs.line_size == ours.line_size
        ours.update(np.frombuffer(bytes(theirs), "<u2").byteswap().tobytes())
    mine = cut(turned, layout_of("yuv420p10be"), PLACES)
    assert int(mine[0][0].max()) < 1024
    assert np.array_equal(mine[0][0], cut(source, layout_of("yuv420p10le"), PLACES)[0][0])
