"""Only what a file declares, as a service of a decoding child: nothing is decoded, the packets are counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cluster.outcome import FailureError
from jobs.decode.failures import failure_of
from jobs.decode.packets import index_packets
from jobs.decode.probe import credential_facts, declared_facts, first_look
from jobs.decode.protocol import VideoFacts
from jobs.decode.pyav import measured_facts
from jobs.decode.reader import Reader
from jobs.decode.source import Source
from jobs.decode.thumbnail import Packaging, read_packaging


def serve(path: str) -> Iterator[VideoFacts | None]:
    """The facts of one local file, as a sweep would store them but for what only pixels show.

    None in between as a sign of life. Errors: those of opening the file (jobs.errors).
    """
    yield None
    source = Source(path)
    sniffed = first_look(source)
    try:
        reader = Reader(source, sniffed)
        try:
            facts = credential_facts(source, declared_facts(source, reader.container, reader.stream))
            index = yield from index_packets(reader.container, reader.stream)
        finally:
            reader.close()
    except FailureError:
        raise
    except Exception as error:
        raise failure_of(error, sniffed, opened=True) from error
    yield measured_facts(facts, index) if index is not None and index.count else facts


def serve_packaging(path: str) -> Iterator[VideoFacts | Packaging | None]:
    """The facts, then what the evaluation's null sees of the same file. Errors: as ``serve``."""
    yield from serve(path)
    yield read_packaging(Path(path))
