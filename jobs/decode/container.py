"""What an MP4 or QuickTime file says of itself beside its pictures: how it was put together, when, by what.

Read by hand, since FFmpeg drops most of it: the order of the boxes, edit lists, both dates, every track's handler, XMP.
ISO/IEC 14496-12 (boxes), XMP part 3 (where XMP lies). Only headers and a few small payloads are read, each of a
bounded size, and at most ``MAX_BOXES`` boxes are looked at; nonsense ends the walk and is no error.
"""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from jobs.decode.source import Source

MAX_BOXES = 2048  # inside moov; a film of many tracks has some hundreds
MAX_PAYLOAD = 1 << 16  # of a small box
MAX_XMP = 1 << 18
TOP_BOXES = 512  # at the outermost level; a fragmented file repeats moof and mdat from there on
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # C2PA 2.1, "Embedding manifests into BMFF"
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_KNOWN_UUIDS = {C2PA_UUID: "c2pa", _XMP_UUID: "xmp"}
_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx", b"uuid", b"meta")
_NESTED = {b"moov", b"trak", b"edts", b"mdia", b"udta"}
# Boxes that hold boxes, and the bytes before the first of them (version and flags, counts).
_HOLDS_BOXES: dict[bytes, int] = dict.fromkeys(
    b"moov trak edts mdia minf dinf stbl udta mvex moof traf mfra tref sinf schi iprp ipco ilst strk strd".split(), 0
) | {b"meta": 4, b"stsd": 8, b"dref": 8, b"iinf": 6}
_DEEPEST = 64
_TYPE = re.compile(rb"[ -~\xa9]{4}")
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_XMP_FIELDS = {
    "xmp_creator_tool": "CreatorTool",
    "xmp_digital_source_type": "DigitalSourceType",
    "xmp_provenance": "provenance",  # dcterms: where a C2PA manifest is kept that is not in the file
    "xmp_ai_system": "AISystemUsed",  # IPTC 2025.1
    "xmp_credit": "Credit",
}


@dataclass(frozen=True, slots=True)
class Box:
    """One box: where it starts, its length with the header, its type, and where its payload starts."""

    start: int
    length: int
    kind: bytes
    body: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(slots=True)
class _Seen:
    boxes: int = 0
    created: set[int] = field(default_factory=set)
    modified: set[int] = field(default_factory=set)
    handlers: list[str] = field(default_factory=list)
    edits: list[str] = field(default_factory=list)
    scale: int = 0


def container_facts(source: Source, size: int) -> dict[str, str]:
    """What the boxes tell, {} for a file that does not consist of them. Errors: OSError, Missed.

    boxes: types at the outermost level in their order, repeats as one. edits: each track's edit list, in seconds of the
    movie and ticks of the media. created, modified: UTC, of the movie and all tracks, where any was written. handlers:
    the tracks' handler names. extensions: uuid boxes by name, or their first bytes. xmp_*: fields of the XMP packet.
    """
    with source.open() as file:
        top = list(boxes(file, 0, size, TOP_BOXES))
        if not top or top[0].kind not in _FIRST:
            return {}
        told = {"boxes": " ".join(_runs([_name(box.kind) for box in top]))}
        extensions = []
        for box in top:
            if box.kind == b"moov":
                told |= _movie(file, box)
            elif box.kind == b"uuid":
                extension = _payload(file, box, 16)
                extensions.append(_KNOWN_UUIDS.get(extension, extension[:4].hex()))
                if extension == _XMP_UUID:
                    told |= xmp_fields(_payload(file, box, MAX_XMP)[16:])
        if extensions:
            told["extensions"] = " ".join(_runs(extensions))
        return told


def find_c2pa(source: Source, size: int) -> Box | None:
    """The first box that claims to hold a C2PA manifest; None where there is none. Errors: OSError, Missed."""
    with source.open() as file:
        for box in boxes(file, 0, size, TOP_BOXES):
            if box.start == 0 and box.kind not in _FIRST:
                return None
            if box.kind == b"uuid" and _payload(file, box, 16) == C2PA_UUID:
                return box
    return None


def more_boxes_than(source: Source, size: int, at_most: int) -> bool:
    """Whether a file has more boxes, nested ones counted, than a validator should be given. Errors: OSError, Missed.

    Types are not looked at, so that no reader which takes any type finds more than were counted.
    """
    counted = 0
    spans = [(0, size, 0)]
    with source.open() as file:
        while spans:
            start, end, depth = spans.pop()
            for box in boxes(file, start, end, at_most + 1, any_type=True):
                counted += 1
                if counted > at_most:
                    return True
                if box.kind in _HOLDS_BOXES and depth < _DEEPEST:
                    spans.append((box.body + _HOLDS_BOXES[box.kind], min(box.end, end), depth + 1))
    return False


def boxes(file: BinaryIO, start: int, end: int, at_most: int, *, any_type: bool = False) -> Iterator[Box]:
    """The boxes that follow each other from ``start``; ends at ``end``, at nonsense, or after ``at_most``.

    A box may claim to reach beyond ``end``: it is the last one then, and its length is what it claims. any_type: types
    that cannot be printed are no nonsense.
    """
    for _ in range(at_most):
        if start + 8 > end:
            return
        file.seek(start)
        head = file.read(16)
        if len(head) < 8 or not (any_type or _TYPE.fullmatch(head[4:8])):
            return
        length, header = int.from_bytes(head[:4], "big"), 8
        if length == 1 and len(head) == 16:
            length, header = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = end - start
        if length < header:
            return
        yield Box(start, length, head[4:8], start + header)
        start += length


def xmp_fields(packet: bytes) -> dict[str, str]:
    """The few fields of an XMP packet that tell of a file's making, as attributes or elements; no XML is parsed."""
    text = packet.decode("utf-8", "replace")
    told = {}
    for name, wanted in _XMP_FIELDS.items():
        found = re.search(rf"\b\w{{1,20}}:{wanted}\s*(?:=\s*[\"']([^\"'<>]{{1,400}})|>\s*([^<>]{{1,400}})<)", text)
        if found:
            told[name] = html.unescape(found[1] or found[2])
    return told


def _movie(file: BinaryIO, moov: Box) -> dict[str, str]:
    seen = _Seen()
    _walk(file, moov, seen)
    told = {}
    if seen.created:
        told["created"] = _date(min(seen.created))
    if seen.modified - seen.created:
        told["modified"] = _date(max(seen.modified))
    if seen.handlers:
        told["handlers"] = ", ".join(seen.handlers[:8])
    if seen.edits:
        told["edits"] = "; ".join(seen.edits[:8])
    return told


def _walk(file: BinaryIO, parent: Box, seen: _Seen, depth: int = 0) -> None:
    for box in boxes(file, parent.body, parent.end, MAX_BOXES):
        seen.boxes += 1
        if seen.boxes > MAX_BOXES:
            return
        if box.kind in _NESTED and depth < 4:
            _walk(file, box, seen, depth + 1)
        elif box.kind in (b"mvhd", b"tkhd", b"mdhd"):
            _dates(_payload(file, box, 32), seen, movie=box.kind == b"mvhd")
        elif box.kind == b"hdlr" and parent.kind == b"mdia":
            name = _payload(file, box, 24 + 80)[24:].split(b"\0")[0].decode("utf-8", "replace")
            seen.handlers.append(name[1:] if name and ord(name[0]) == len(name) - 1 else name)  # QuickTime counts it
        elif box.kind == b"elst":
            seen.edits.append(_edits(_payload(file, box, MAX_PAYLOAD), seen.scale))


def _dates(body: bytes, seen: _Seen, *, movie: bool) -> None:
    if len(body) < 24:
        return
    if body[0] == 1:
        created, modified = struct.unpack(">QQ", body[4:20])
        scale = body[20:24]
    else:
        created, modified = struct.unpack(">II", body[4:12])
        scale = body[12:16]
    if movie:
        seen.scale = int.from_bytes(scale, "big")
    # The formats' way of saying "not recorded" is 0, which is 1904.
    seen.created |= {created} - {0}
    seen.modified |= {modified} - {0}


def _edits(body: bytes, scale: int) -> str:
    """``2 s from 1024``: each stretch of the track with its first tick; an empty one is a delay."""
    if len(body) < 8:
        return "unreadable"
    wide = body[0] == 1
    layout = struct.Struct(">QqHH" if wide else ">IiHH")
    entries = []
    for at in range(8, min(len(body), 8 + 8 * layout.size) - layout.size + 1, layout.size):
        length, first, rate, _ = layout.unpack_from(body, at)
        lasting = f"{length / scale:.3f}".rstrip("0").rstrip(".") + " s" if scale else f"{length} ticks"
        speed = "" if rate == 1 else f" at rate {rate}"
        entries.append(f"{lasting} empty" if first == -1 else f"{lasting} from {first}{speed}")
    count = int.from_bytes(body[4:8], "big")
    more = f" and {count - len(entries)} more" if count > len(entries) else ""
    return (", ".join(entries) or "none") + more


def _payload(file: BinaryIO, box: Box, limit: int) -> bytes:
    file.seek(box.body)
    return file.read(max(0, min(limit, box.end - box.body)))


def _date(seconds: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return "not a date"


def _name(kind: bytes) -> str:
    return kind.decode("latin-1").strip()


def _runs(names: list[str]) -> list[str]:
    """Without immediate repeats, and without the repeats of a fragmented file's pattern; at most sixteen."""
    kept: list[str] = []
    for name in names:
        if kept[-1:] != [name] and not (kept[-2:-1] == [name] and kept[-1:] in (["mdat"], ["moof"])):
            kept.append(name)
    return kept[:16]
