"""A decoder's own planes as arrays, at native resolution and depth: no colour conversion where none is needed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

from fingerprint_db.window import Plane

_PLANAR = re.compile(r"yuva?j?(?P<sampling>4\d\d)p(?P<depth>\d+)?(?:le)?$")
_SEMI_PLANAR = re.compile(r"(?P<name>nv12|nv16|nv24|p[024](?P<depth>10|12|16)le)$")
_GRAY = re.compile(r"gray(?P<depth>\d+)?(?:le)?$")
_SHIFTS = {"420": (1, 1), "422": (0, 1), "444": (0, 0), "440": (1, 0), "411": (0, 2), "410": (2, 2)}  # (rows, columns)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where luma and chroma lie in a frame of one pixel format.

    shifts: log2 subsampling of rows and columns; None for grey. depth: significant bits. lift: bits below them.
    interleaved: both chroma in one plane.
    big_endian: of samples deeper than 8 bits. convert: the planar format it is converted to first, '' if none.
    """

    shifts: tuple[int, int] | None
    depth: int
    interleaved: bool = False
    lift: int = 0
    convert: str = ""
    big_endian: bool = False


@lru_cache(maxsize=64)
def layout_of(pixel_format: str) -> Layout:
    """The layout of an FFmpeg pixel format; RGB, palettes and packed forms become planar YCbCr by swscale."""
    if match := _PLANAR.match(pixel_format):
        return Layout(_SHIFTS[match["sampling"]], int(match["depth"] or 8))
    if match := _GRAY.match(pixel_format):
        return Layout(None, int(match["depth"] or 8))
    if match := _SEMI_PLANAR.match(pixel_format):
        depth = int(match["depth"] or 8)
        sampling = {"nv12": "420", "nv16": "422", "nv24": "444"}.get(match["name"]) or f"4{match['name'][1]}"
        shifts = _SHIFTS[{"40": "420", "42": "422", "44": "444"}.get(sampling, sampling)]
        return Layout(shifts, depth, interleaved=True, lift=16 - depth if depth > 8 else 0)
    if pixel_format.endswith("be"):
        little = layout_of(pixel_format[:-2] + "le")
        if not little.convert:
            return replace(little, big_endian=True)
    target = _planar_target(pixel_format)
    planar = layout_of(target)
    return Layout(planar.shifts, planar.depth, convert=target)


def _planar_target(pixel_format: str) -> str:
    """The planar format that loses least: packed YCbCr keeps its sampling, everything else becomes 4:4:4."""
    if pixel_format in ("yuyv422", "uyvy422", "yvyu422"):
        return "yuv422p"
    if pixel_format == "uyyvyy411":
        return "yuv411p"
    if pixel_format in ("monow", "monob", "ya8"):
        return "gray"
    components = av.VideoFormat(pixel_format).components
    deepest = max((component.bits for component in components), default=8)
    return "yuv444p" if deepest <= 8 else "yuv444p10le" if deepest <= 10 else "yuv444p12le"


def cut(
    frame: av.VideoFrame, layout: Layout, places: list[tuple[int, int, int, int]]
) -> list[tuple[Plane, Plane, Plane]]:
    """Copies of (luma, Cb, Cr) for each (top, left, height, width) in luma pixels; line padding left behind.

    Conversions of RGB follow swscale's default, BT.601 limited range. Errors: ValueError on a frame whose planes are
    not laid out as its format says.
    """
    if layout.convert:
        # One thread: with several the scaler was seen to leave samples unwritten (planar to packed, 3 of 400).
        frame = frame.reformat(format=layout.convert, threads=1)
        layout = layout_of(layout.convert)
    luma = _lines(frame.planes[0], layout)
    blue, red = _chroma(frame, layout)
    down, across = layout.shifts or (0, 0)
    crops = []
    for top, left, height, width in places:
        rows = slice(top >> down, (top >> down) + (height >> down))
        cols = slice(left >> across, (left >> across) + (width >> across))
        picture = luma[top : top + height, left : left + width]
        parts = (picture, blue[rows, cols], red[rows, cols]) if layout.shifts else (picture, blue, red)
        crops.append(tuple(part >> layout.lift if layout.lift else part.copy() for part in parts))
    return crops  # type: ignore[return-value]


def whole_luma(frame: av.VideoFrame, layout: Layout) -> Plane:
    """The luma of a whole picture, (H, W), as ``cut`` would cut it; a view of the decoder's memory where it can be."""
    if layout.convert:
        frame = frame.reformat(format=layout.convert, threads=1)
        layout = layout_of(layout.convert)
    picture = _lines(frame.planes[0], layout)[: frame.height, : frame.width]
    if layout.lift:
        picture = picture.astype(np.uint16) >> np.uint16(layout.lift)
    return picture


def _chroma(frame: av.VideoFrame, layout: Layout) -> tuple[Plane, Plane]:
    if layout.shifts is None:
        none: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
        return (none, none) if layout.depth <= 8 else (none.astype(np.uint16), none.astype(np.uint16))
    if layout.interleaved:
        both = _lines(frame.planes[1], layout)
        return both[:, 0::2], both[:, 1::2]
    return _lines(frame.planes[1], layout), _lines(frame.planes[2], layout)


def _lines(plane: av.video.plane.VideoPlane, layout: Layout) -> Plane:
    """A plane as (rows, samples with padding), a view of the decoder's memory: valid until the next frame."""
    if plane.line_size <= 0:
        raise ValueError("the decoder returned a picture stored bottom up")
    if layout.depth <= 8:
        return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    lines = np.frombuffer(memoryview(plane), np.dtype("<u2")).reshape(plane.height, plane.line_size // 2)
    # Turned round here, not by swscale: its conversion leaves samples of a row unwritten now and then.
    return lines.byteswap() if layout.big_endian else lines
