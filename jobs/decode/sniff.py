"""What the first bytes and the outer structure of a file say, read without a decoder: cheap, bounded, never fatal."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from jobs.decode.source import Source

HEAD_BYTES = 4096
MP4 = "MP4/QuickTime"
MAX_BOXES = 4096  # top-level boxes looked at; a fragmented mp4 has one pair a fragment

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)
_STILL_BRANDS = {b"avif": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF"}
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx", b"uuid", b"meta"}
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_CONTAINERS = (
    (b"\x1aE\xdf\xa3", "Matroska"),
    (b"OggS", "Ogg"),
    (b"FLV\x01", "FLV"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "ASF"),
    (b"\x00\x00\x01\xba", "MPEG program stream"),
    (b"\x00\x00\x01\xb3", "MPEG video"),
    (b"DKIF", "IVF"),
    (b"GIF8", "GIF"),
    (b"nut/multimedia container", "NUT"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", "MXF"),
)


@dataclass(frozen=True, slots=True)
class Sniffed:
    """container: the video container it begins as, '' if none. foreign: what it is instead, as a noun, '' if unknown.

    still: a still image. animated_webp: a form that FFmpeg cannot read. size: claimed (width, height) or None.
    unindexed: an MP4 without its index.
    """

    container: str = ""
    foreign: str = ""
    still: bool = False
    animated_webp: bool = False
    unindexed: bool = False
    size: tuple[int, int] | None = None


def sniff(path: str | Source) -> Sniffed:
    """Look at the head of a local file. Errors: OSError when it cannot be opened."""
    with _opened(path) as file:
        seen = sniff_head(file.read(HEAD_BYTES))
        if seen.container == MP4:
            kinds = {kind for _, _, kind in _boxes(file, Path(path).stat().st_size)}
            return replace(seen, unindexed=not kinds & {b"moov", b"moof"})
        return seen


def sniff_head(head: bytes) -> Sniffed:
    """The same for bytes in hand."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        moving = head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 0x02)
        return Sniffed(
            foreign="an animated WebP picture" if moving else "a still image (WebP)",
            still=not moving,
            animated_webp=moving,
        )
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return Sniffed(container="AVI", size=_avi_size(head))
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        size = struct.unpack(">II", head[16:24]) if len(head) >= 24 else None
        moving = b"acTL" in head
        return Sniffed("APNG" if moving else "", "" if moving else "a still image (PNG)", still=not moving, size=size)
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        return Sniffed(foreign=f"a still image ({_STILL_BRANDS[head[8:12]]})", still=True)
    if head[4:8] in _BOXES:
        return Sniffed(container=MP4)
    for magic, name in _CONTAINERS:
        if head.startswith(magic):
            return Sniffed(container=name, size=_small_header_size(head))
    if head[0:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        return Sniffed(container="MPEG transport stream")
    if head.startswith(b"\xff\xd8\xff"):
        return Sniffed(foreign="a still image (JPEG)")  # or Motion JPEG: the demuxer decides, so not ``still``
    for magic, name in _IMAGES:
        if head.startswith(magic):
            return Sniffed(foreign=f"a still image ({name})", still=True)
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return Sniffed(foreign=name)
    return Sniffed(foreign=_text(head))


def missing_bytes(path: str | Source) -> int:
    """Bytes a file lacks by its own outer structure (MP4 boxes, Matroska segment, RIFF); 0 if whole or unknown."""
    size = Path(path).stat().st_size
    with _opened(path) as file:
        head = file.read(12)
        if head[4:8] in _BOXES:
            end = max((start + length for start, length, _ in _boxes(file, size)), default=0)
            return max(0, end - size)
        if head.startswith(b"RIFF"):
            return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
        if head.startswith(b"\x1aE\xdf\xa3"):
            return max(0, _matroska_end(file) - size)
    return 0


def _opened(path: str | Source) -> BinaryIO:
    return path.open() if isinstance(path, Source) else open(path, "rb")


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[int, int, bytes]]:
    """(start, length, type) of top-level boxes, ISO/IEC 14496-12; stops at nonsense."""
    start = 0
    for _ in range(MAX_BOXES):
        file.seek(start)
        head = file.read(16)
        if len(head) < 8 or not re.fullmatch(rb"[ -~\xa9]{4}", head[4:8]):
            return
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:16], "big")
        elif length == 0:
            length = size - start
        if length < 8:
            return
        yield start, length, head[4:8]
        start += length


def _matroska_end(file: BinaryIO) -> int:
    """Where the first Segment ends by its own size field (RFC 8794); 0 when it gives none."""
    file.seek(0)
    head = file.read(256)
    header, at = _vint(head, 4)
    at += max(header, 0)
    if header < 0 or head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, at = _vint(head, at + 4)
    return at + length if length >= 0 else 0


def _vint(data: bytes, at: int) -> tuple[int, int]:
    """An EBML size and the offset after it; -1 for "unknown" or nonsense."""
    if at >= len(data) or not data[at]:
        return -1, at
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (-1 if value == (1 << 7 * width) - 1 else value), at + width


def _avi_size(head: bytes) -> tuple[int, int] | None:
    at = head.find(b"strf")
    if at < 0 or b"vids" not in head[:at] or at + 20 > len(head):
        return None
    width, height = struct.unpack("<ii", head[at + 12 : at + 20])
    return abs(width), abs(height)


def _small_header_size(head: bytes) -> tuple[int, int] | None:
    if head.startswith(b"GIF8") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return width, height
    if head.startswith(b"DKIF") and len(head) >= 16:
        width, height = struct.unpack("<HH", head[12:16])
        return width, height
    return None


def _text(head: bytes) -> str:
    if not head or b"\x00" in head:
        return ""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page"
    if start.startswith((b"#extm3u", b"ffconcat", b"<?xml", b"<mpd", b"[playlist]")):
        return "a playlist or a manifest, not a recording"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if printable >= 0.9 * len(head) else ""
