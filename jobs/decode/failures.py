"""FFmpeg's errors as the closed set of failure classes, each with a sentence a person can act on."""

from __future__ import annotations

import builtins

import av

from cluster.outcome import FailureError
from jobs.decode.sniff import Sniffed
from jobs.errors import FailureKind

MAX_SIDE = 16384
MAX_PIXELS = 134_217_728  # 128 Mi: 16K x 8K; four times that in bytes is what a decoder holds at least

_BY_CLASS: tuple[tuple[type[BaseException], FailureKind, str], ...] = (
    (builtins.FileNotFoundError, FailureKind.NOT_FOUND, "the file is not there (any more)"),
    (builtins.PermissionError, FailureKind.ACCESS_DENIED, "the file may not be read; check its permissions"),
    (builtins.IsADirectoryError, FailureKind.NOT_A_VIDEO, "this is a directory, not a file"),
    (av.error.DecoderNotFoundError, FailureKind.UNSUPPORTED_CODEC, "no decoder for this codec is at hand"),
    (av.error.PatchWelcomeError, FailureKind.UNSUPPORTED_CODEC, "the codec uses a feature that FFmpeg does not know"),
    (av.error.ExperimentalError, FailureKind.UNSUPPORTED_CODEC, "FFmpeg's decoder for this codec is experimental"),
    (builtins.NotImplementedError, FailureKind.UNSUPPORTED_CODEC, "FFmpeg does not support this form of the codec"),
    (av.error.DemuxerNotFoundError, FailureKind.NOT_A_VIDEO, "no container format that we read"),
    (av.error.ProtocolNotFoundError, FailureKind.NOT_A_VIDEO, "the file points elsewhere instead of holding a video"),
    (builtins.MemoryError, FailureKind.TOO_LARGE, "decoding asks for more memory than there is"),
)


def failure_of(error: BaseException, sniffed: Sniffed, *, opened: bool) -> FailureError:
    """The failure class of an exception raised while opening (``opened`` False) or decoding a file.

    Invalid data means "no video at all" when the file does not even begin like one, and damage otherwise.
    """
    for kind_of_error, kind, sentence in _BY_CLASS:
        if isinstance(error, kind_of_error):
            return kind.error(_sentence(sentence))
    if isinstance(error, builtins.OSError) and not isinstance(error, av.FFmpegError):
        return FailureKind.STORAGE_UNAVAILABLE.error("The local copy of the file could not be read.")
    if sniffed.unindexed:
        return FailureKind.DAMAGED.error(
            "The file is damaged: an MP4 without its index (moov box), as an interrupted recording or upload leaves it."
        )
    if opened or sniffed.container:
        begins = f"it begins as {sniffed.container}" if sniffed.container else "its streams were found"
        return FailureKind.DAMAGED.error(f"The file is damaged: {begins}, but it cannot be decoded.")
    return not_a_video(sniffed)


def not_a_video(sniffed: Sniffed) -> FailureError:
    """For a file whose content is something else."""
    if sniffed.animated_webp:
        return FailureKind.UNSUPPORTED_CODEC.error("This is an animated WebP picture, which FFmpeg cannot decode.")
    what = f"The file is {sniffed.foreign}." if sniffed.foreign else "The content has no video format that we know."
    return FailureKind.NOT_A_VIDEO.error(f"Not a video: {what[0].lower()}{what[1:]}")


def check_size(width: int, height: int) -> None:
    """Raise too_large when a frame of this claimed size must not be decoded; called before anything is allocated."""
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise FailureKind.TOO_LARGE.error(
            f"The file claims frames of {width}x{height} pixels; the limit is {MAX_SIDE} a side and "
            f"{MAX_PIXELS >> 20} Mi pixels in all."
        )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
