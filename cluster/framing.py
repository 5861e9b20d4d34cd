"""The wire between a sandbox and its child: frames whose array buffers travel without a copy.

A frame is a fixed header (kind, number of parts), the byte length of each part, then the parts. A request is a pickle
and its out-of-band buffers (PEP 574); what comes back is plain data (``cluster.replies``), never a pickle. Only one
end is trusted with time: the child simply blocks, the parent hands in how it waits.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

Wait = Callable[[], None]

_HEADER = struct.Struct("<BI")
# A child whose memory was trampled may send any header; without a bound the parent would allocate what it says.
_MAX_PARTS = 4096


class FrameKind(IntEnum):
    READY = 1  # child, once: the fields of cluster.isolation.Isolation
    CALL = 2  # parent: the request
    REPLY = 3  # child: one reply
    ALIVE = 4  # child: progress without a reply
    END = 5  # child: the call is over, ask again
    FAILED = 6  # child: a Failure that the function raised; the child stays usable
    BROKEN = 7  # child: a Failure made of any other exception; the child is to be replaced


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Yielded by a serving function between replies: "still at work". Never reaches the caller."""


class ClosedError(EOFError):
    """The other end is gone, possibly in the middle of a frame."""


class OversizedError(ValueError):
    """A frame is larger than allowed."""


class GarbledError(ValueError):
    """A header that makes no sense: the child's memory was trampled, or the child is no longer ours."""


def encode(value: Any) -> list[memoryview]:
    """The parts of one request: the pickle, then its buffers in place. Raises what pickling raises."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return [memoryview(data), *(buffer.raw() for buffer in buffers)]


def decode(parts: list[bytearray]) -> Any:
    """The request; for the child alone, which trusts its parent. Raises what unpickling raises."""
    return pickle.loads(parts[0], buffers=parts[1:])


def send(sock: socket.socket, kind: FrameKind, parts: list[memoryview], wait: Wait | None = None) -> None:
    """Write one frame. wait: called when a non-blocking socket is full. Raises ClosedError."""
    lengths = struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts))
    _send_all(sock, memoryview(_HEADER.pack(kind, len(parts)) + lengths), wait)
    for part in parts:
        _send_all(sock, part, wait)


def receive(
    sock: socket.socket, wait: Wait | None = None, limit_bytes: int | None = None
) -> tuple[FrameKind, list[bytearray]]:
    """Read one frame. wait: called when a non-blocking socket is empty.

    Raises ClosedError, OversizedError, GarbledError.
    """
    raw_kind, count = _HEADER.unpack(_receive_exactly(sock, _HEADER.size, wait))
    if count > _MAX_PARTS:
        raise GarbledError(f"a reply has {count} parts, more than the {_MAX_PARTS} that are allowed")
    try:
        kind = FrameKind(raw_kind)
    except ValueError as error:
        raise GarbledError(f"a reply of the unknown kind {raw_kind}") from error
    lengths = struct.unpack(f"<{count}Q", _receive_exactly(sock, 8 * count, wait))
    if limit_bytes is not None and sum(lengths) > limit_bytes:
        size, allowed = sum(lengths) / 2**20, limit_bytes / 2**20
        raise OversizedError(f"a reply of {size:.0f} MiB is larger than the {allowed:.0f} MiB that are allowed")
    return kind, [_receive_exactly(sock, length, wait) for length in lengths]


def _send_all(sock: socket.socket, part: memoryview, wait: Wait | None) -> None:
    sent = 0
    while sent < part.nbytes:
        try:
            sent += sock.send(part[sent:])
        except BlockingIOError:
            if wait is None:
                raise
            wait()
        except OSError as error:
            raise ClosedError("the other end is gone") from error


def _receive_exactly(sock: socket.socket, length: int, wait: Wait | None) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    got = 0
    while got < length:
        try:
            count = sock.recv_into(view[got:])
        except BlockingIOError:
            if wait is None:
                raise
            wait()
            continue
        except OSError as error:
            raise ClosedError("the other end is gone") from error
        if count == 0:
            raise ClosedError("the other end is gone")
        got += count
    return data
