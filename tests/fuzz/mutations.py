"""Ways of damaging a container, from blind noise to sizes that lie; each is a function of a seeded generator alone."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_EBML_IDS = (
    b"\x1a\x45\xdf\xa3 \x18\x53\x80\x67 \x11\x4d\x9b\x74 \x15\x49\xa9\x66 \x16\x54\xae\x6b \x1f\x43\xb6\x75 "
    b"\x1c\x53\xbb\x6b \xa3 \xae \xe0 \x63\xa2"
).split(b" ")
_FOUR_LETTERS = re.compile(rb"[a-zA-Z][a-zA-Z0-9_ ]{3}")


@dataclass(frozen=True, slots=True)
class Field:
    """A number somewhere in a file."""

    offset: int
    width: int
    big_endian: bool


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes]) -> tuple[str, bytes]:
    """One to three mutations; their names joined by ``+``, and the damaged bytes. others: files to splice with."""
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(list(MUTATIONS))
        out = bytearray(data)
        MUTATIONS[name](out, rng, others)
        data = bytes(out)
        names.append(name)
    return "+".join(names), data


def size_fields(data: bytes) -> list[Field]:
    """Where this container keeps lengths and counts, as far as its look tells."""
    if data[4:8] in (b"ftyp", b"styp", b"moov", b"mdat"):
        return [Field(found.start() - 4, 4, True) for found in _FOUR_LETTERS.finditer(data) if found.start() >= 4]
    if data[:4] == b"RIFF":
        return [Field(found.end(), 4, False) for found in _FOUR_LETTERS.finditer(data) if found.end() + 4 < len(data)]
    if data[:4] == b"\x1a\x45\xdf\xa3":
        found = []
        for identifier in _EBML_IDS:
            start = data.find(identifier)
            while start >= 0 and len(found) < 4000:
                found.append(Field(start + len(identifier), 1, True))
                start = data.find(identifier, start + 1)
        return found
    if data[:4] == b"DKIF":
        fields, offset = [Field(6, 2, False), Field(12, 2, False), Field(14, 2, False)], 32
        while offset + 12 <= len(data):
            fields.append(Field(offset, 4, False))
            offset += 12 + struct.unpack_from("<I", data, offset)[0]
        return fields
    if data[:3] == b"FLV":
        return [Field(offset, 3, True) for offset in _flv_tags(data)]
    if data[:1] == b"\x47" and data[188:189] == b"\x47":
        return [Field(start + at, 1, True) for start in range(0, len(data) - 188, 188) for at in (1, 3, 4, 5, 8)]
    if data[:3] == b"GIF":
        blocks = [found.start() for found in re.finditer(rb"[,!]", data)]
        return [Field(6, 2, False), Field(8, 2, False), *(Field(at + 5, 2, False) for at in blocks)]
    starts = [found.start() for found in re.finditer(rb"\x00\x00\x01", data)]
    return [Field(start + 4, 2, True) for start in starts]


def _flv_tags(data: bytes) -> list[int]:
    offsets, at = [], 13
    while at + 11 <= len(data):
        offsets.append(at + 1)
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
    return offsets


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, but half of the time near the beginning or the end, where headers and indexes are."""
    if not data:
        return 0
    near = min(len(data), 1500)
    match rng.randrange(4):
        case 0:
            return rng.randrange(near)
        case 1:
            return len(data) - 1 - rng.randrange(near)
    return rng.randrange(len(data))


def _span(data: bytearray, rng: random.Random) -> slice:
    start = _place(data, rng)
    return slice(start, start + min(rng.choice((1, 4, 16, 188, 1000, 4000)), len(data) - start))


def _flip(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 2, 8, 64)) if data else 0):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _truncate(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    del data[_place(data, rng) :]


def _behead(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    del data[: rng.choice((1, 3, 8, 32, 100, rng.randrange(len(data) + 1)))]


def _zero(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    span = _span(data, rng)
    data[span] = bytes(span.stop - span.start)


def _noise(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    span = _span(data, rng)
    data[span] = rng.randbytes(span.stop - span.start)


def _insert(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    place = _place(data, rng)
    data[place:place] = rng.randbytes(rng.choice((1, 3, 7, 188, 3000)))


def _remove(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    del data[_span(data, rng)]


def _duplicate(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    span, place = _span(data, rng), _place(data, rng)
    data[place:place] = bytes(data[span]) * rng.choice((1, 1, 2, 40))


def _move(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    span = _span(data, rng)
    block = bytes(data[span])
    del data[span]
    place = _place(data, rng)
    data[place:place] = block


def _splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    data[_place(data, rng) :] = other[rng.randrange(len(other) + 1) :]


def _implant(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    other = bytearray(rng.choice(others))
    data[_span(data, rng)] = other[_span(other, rng)]


def _put(data: bytearray, field: Field, value: int) -> None:
    if field.offset >= 0 and field.offset + field.width <= len(data):
        value &= (1 << 8 * field.width) - 1
        data[field.offset : field.offset + field.width] = value.to_bytes(
            field.width, "big" if field.big_endian else "little"
        )


def _lie_about_size(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    fields = size_fields(bytes(data))
    for _ in range(rng.choice((1, 1, 3)) if fields else 0):
        field = rng.choice(fields)
        raw = data[field.offset : field.offset + field.width]
        true = int.from_bytes(raw, "big" if field.big_endian else "little")
        _put(data, field, rng.choice((*EXTREMES, true + 1, true - 1, true * 2, true // 2, len(data))))


def _extreme_field(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 2, 6))):
        width = rng.choice((1, 2, 4, 8))
        _put(data, Field(_place(data, rng) // width * width, width, rng.random() < 0.5), rng.choice(EXTREMES))


def _rename_chunk(data: bytearray, rng: random.Random, _others: Sequence[bytes]) -> None:
    names = list(_FOUR_LETTERS.finditer(bytes(data)))
    if names:
        start = rng.choice(names).start()
        data[start : start + 4] = rng.choice(
            (b"free", b"moov", b"trak", b"LIST", b"\xff\xff\xff\xff", b"mdat", b"stts")
        )


MUTATIONS: dict[str, Callable[[bytearray, random.Random, Sequence[bytes]], None]] = {
    "flip": _flip,
    "truncate": _truncate,
    "behead": _behead,
    "zero": _zero,
    "noise": _noise,
    "insert": _insert,
    "remove": _remove,
    "duplicate": _duplicate,
    "move": _move,
    "splice": _splice,
    "implant": _implant,
    "size": _lie_about_size,
    "extreme": _extreme_field,
    "rename": _rename_chunk,
}
