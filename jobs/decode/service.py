"""Decoding as a service of a child process: one request in, windows and one summary out; light to import."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import TypeVar

from cluster.outcome import ClusterFault, FailureError
from fingerprint_db.window import FrameWindow
from jobs.decode.protocol import Decoder, DecodeRequest, DecoderName, DecodeSummary, LengthRequest, Missed, Outline
from jobs.decode.tally import Tally

Reply = TypeVar("Reply")


def serve(
    request: DecodeRequest | LengthRequest,
) -> Iterator[FrameWindow | DecodeSummary | Tally | Missed | Outline | None]:
    """Decode one file: windows in order of time, then the summary; None in between as a sign of life.

    A range of a file ends in a Tally, or in Missed; a LengthRequest is answered by an Outline.

    Errors: FailureError only, of a class in jobs.errors or ``internal`` for a fault of ours.
    """
    yield None  # the child is up, the decoder may still be loading
    yield from guarded(_answers(request))


def guarded(replies: Iterator[Reply]) -> Iterator[Reply]:
    """What a decoding child answers, with its unforeseen exceptions as failures of class ``internal``."""
    try:
        yield from replies
    except FailureError:
        raise
    except Exception as error:
        told = (str(error).splitlines() or [""])[0][:200]
        raise FailureError(
            ClusterFault.INTERNAL.failure(f"The decoder met an unforeseen {type(error).__name__}: {told}")
        ) from error


def _answers(
    request: DecodeRequest | LengthRequest,
) -> Iterator[FrameWindow | DecodeSummary | Tally | Missed | Outline | None]:
    if isinstance(request, LengthRequest):
        from jobs.decode.pyav import PyAVDecoder

        yield from PyAVDecoder().outline(request)  # container claims only, for decord too
    else:
        yield from _decoder(request.decoder).decode(request)


def decoder_version(name: DecoderName) -> str:
    """The version that goes into the fingerprint spec; the decoder's library is not loaded for decord."""
    if name == "decord":
        from jobs.decode.decord_decoder import WINDOWS_VERSION

        return f"{metadata.version('decord')}-w{WINDOWS_VERSION}"
    return _decoder(name).version


def _decoder(name: DecoderName) -> Decoder:
    if name == "decord":
        from jobs.decode.decord_decoder import DecordDecoder

        return DecordDecoder()
    from jobs.decode.pyav import PyAVDecoder

    return PyAVDecoder()
