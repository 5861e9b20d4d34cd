"""Opens a file with FFmpeg, safely, and says what container and codec declare about it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from fingerprint_db.overlays import FACT as OVERLAYS
from jobs.decode import sniff
from jobs.decode.container import container_facts
from jobs.decode.credentials import credentials
from jobs.decode.failures import MAX_PIXELS, check_size, failure_of, not_a_video
from jobs.decode.protocol import VideoFacts
from jobs.decode.source import Source
from jobs.decode.tags import tag_facts
from jobs.errors import FailureKind

# Demuxers that read one recording from one local file. Playlists and scripts (hls, dash, concat, ...) are left out on
# purpose: a hostile "video" could make FFmpeg open other files through them. Audio formats stay in, so that a song
# is told apart from damage.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2|matroska,webm|avi|mpegts|mpeg|mpegvideo|gif|apng|flv|kux|live_flv|ogg|asf|asf_o|h261|h263|"
    "h264|hevc|vvc|evc|m4v|mjpeg|mpjpeg|mjpeg_2000|ivf|obu|av1|dv|mxf|gxf|nut|nuv|nsv|yuv4mpegpipe|rm|wtv|vc1|vc1test|"
    "cavsvideo|avs2|avs3|dirac|dnxhd|swf|smk|bink|roq|flic|film_cpk|pva|ty|ipu|thp|vob|lvf|dhav|apv|avr|aac|ac3|eac3|"
    "aiff|amr|amrnb|amrwb|ape|au|caf|dts|dtshd|flac|loas|mp3|mpc|mpc8|oma|truehd|mlp|tak|tta|w64|wav|wv|dsf|voc|qoa"
)
FIRST_PACKETS = 6
SEI_BYTES = 65536  # of each of the first packets; encoders put their signature before the first slice
LONGEST_S = 10 * 365.25 * 86400  # a length of more than ten years is a damaged number, not a recording
LOWEST_FPS, HIGHEST_FPS = 1e-6, 1e6  # rates outside are reckoned from damaged times
MAX_DECLARED = 48
MAX_VALUE = 600
MAX_SIGNATURE = 1900  # x265 lists every setting it has; x264's quality is past the first 600 characters
MP4 = ("mp4", "mov")
# Names that only this module gives. A file may carry a tag of any name, and none may pass for what was found out here.
OWN_PREFIXES = ("c2pa", "xmp_", "workflow_")
OWN_NAMES = frozenset(
    "boxes edits created modified handlers extensions colour clock profile usual_rate encoder_signature".split()
) | {OVERLAYS}
_COLOUR_UNSAID = 2
_ENCODER_MARKS = re.compile(
    rb"x264 - core[ -~]+|x265 \(build[ -~]+|SVT-AV1[ -~]{0,200}|Lavc[0-9.]{2,20}|XviD[0-9]{2,6}|DivX[0-9A-Za-z]{2,12}"
)
_HDR = {16: "smpte2084", 18: "arib-std-b67"}  # transfer characteristics, ITU-T H.273
_PROGRESSIVE_OR_UNKNOWN = (0, 1)  # AVFieldOrder


def open_container(source: Source, sniffed: sniff.Sniffed) -> InputContainer:
    """Open one local file. Errors: FailureError of the class that fits."""
    options = {
        "format_whitelist": FORMATS.replace("|", ","),
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),
        "threads": "1",
    }
    try:
        return av.open(source.medium(), mode="r", options=options, metadata_errors="replace")
    except Exception as error:
        raise failure_of(error, sniffed, opened=False) from error


def first_look(path: Source) -> sniff.Sniffed:
    """Refuse what needs no decoder to be refused: nothing there, empty, a still image, absurd claims of size."""
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(path.path)
        if os.path.getsize(path) == 0:
            raise FailureKind.EMPTY_FILE.error("The file is empty (0 bytes).")
        sniffed = sniff.sniff(path)
    except OSError as error:
        raise failure_of(error, sniff.Sniffed(), opened=False) from error
    if sniffed.still or sniffed.animated_webp:
        raise not_a_video(sniffed)
    if sniffed.size:
        check_size(*sniffed.size)
    return sniffed


def pick_stream(container: InputContainer, sniffed: sniff.Sniffed) -> VideoStream:
    """The video stream with the largest frames; cover pictures and thumbnails do not count.

    Errors: no_video_stream, unsupported_codec, too_large, not_a_video.
    """
    pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    videos = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not videos:
        raise _without_video(container)
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise not_a_video(sniffed)
    stream = max(videos, key=lambda video: (_area(video), -video.index))
    if stream.codec_context is None:
        raise FailureKind.UNSUPPORTED_CODEC.error("The video is coded in a way for which no decoder is at hand.")
    check_size(stream.codec_context.width, stream.codec_context.height)
    stream.codec_context.thread_count = 1
    stream.codec_context.thread_type = "NONE"
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def declared_facts(path: Source, container: InputContainer, stream: VideoStream) -> VideoFacts:
    """Everything the container says before a frame is decoded; the decoder's measurements replace it later."""
    context = stream.codec_context
    duration = stream.duration * float(stream.time_base) if stream.duration and stream.time_base else 0.0
    if duration <= 0 and container.duration:
        duration = container.duration / av.time_base
    rate = stream.average_rate or stream.guessed_rate
    if rate and not LOWEST_FPS <= rate <= HIGHEST_FPS:
        rate = None
    if duration > LONGEST_S:
        duration = 0.0
    bit_rate = context.bit_rate or container.bit_rate or 0
    kind = _container_name(path, container)
    return VideoFacts(
        container=kind,
        codec={"libdav1d": "av1", "libaom-av1": "av1"}.get(context.name, context.name),
        pixel_format=context.pix_fmt or "",
        width=context.width,
        height=context.height,
        fps=float(rate) if rate else 0.0,
        frame_count=stream.frames,
        duration_s=max(duration, 0.0),
        bit_rate=float(bit_rate),
        bit_depth=8,
        rotation=0,
        interlaced=context.field_order not in _PROGRESSIVE_OR_UNKNOWN,
        variable_frame_rate=False,
        hdr=context.color_trc in _HDR,
        has_audio=bool(container.streams.audio),
        declared=_declared(path, container, stream, kind),
    )


def is_hdr(transfer: int) -> bool:
    """Whether a transfer characteristic (H.273 number) is PQ or HLG."""
    return transfer in _HDR


def encoder_marks(start: bytes) -> dict[str, str]:
    """The encoder's own signature in the first coded bytes (x264 and x265 write their settings there)."""
    found = _ENCODER_MARKS.search(start)
    return {"encoder_signature": _clip(found.group().decode("ascii"), MAX_SIGNATURE)} if found else {}


def _area(video: VideoStream) -> int:
    return video.codec_context.width * video.codec_context.height if video.codec_context else 0


def _without_video(container: InputContainer) -> Exception:
    if container.streams.video:
        return FailureKind.NO_VIDEO_STREAM.error("The file has sound and a cover picture, but no video.")
    if container.streams.audio:
        return FailureKind.NO_VIDEO_STREAM.error("The file has sound only, no video.")
    return FailureKind.NO_VIDEO_STREAM.error("The file has no video stream.")


def _container_name(path: Source, container: InputContainer) -> str:
    name = container.format.name
    if name.startswith("mov,"):
        return "mov" if container.metadata.get("major_brand", "").startswith("qt") else "mp4"
    if name.startswith("matroska"):
        with path.open() as file:
            return "webm" if b"webm" in file.read(64) else "matroska"
    return name.split(",")[0]


def _declared(path: Source, container: InputContainer, stream: VideoStream, kind: str) -> Mapping[str, str]:
    """Tags of the container, then of the video stream (prefixed where both have one), then what was read here.

    Bounded in number and size. What is read here has names of its own, which no tag of the file can take.
    """
    told: dict[str, str] = {}
    for prefix, tags in (("", container.metadata), ("video_", stream.metadata)):
        for key, value in tags.items():
            if len(told) >= MAX_DECLARED:
                break
            name = _clip(key.lower(), 60)
            name = f"tag_{name}" if name in OWN_NAMES or name.startswith(OWN_PREFIXES) else name
            told[name if not prefix or name not in told else prefix + name] = _clip(str(value))
    found = container_facts(path, os.path.getsize(path)) if kind in MP4 else {}
    found |= tag_facts({key.lower(): str(value) for key, value in container.metadata.items()})
    found |= _stream_facts(stream)
    told.update({name: _clip(value) for name, value in found.items() if value})
    told.update(encoder_marks(stream.codec_context.extradata or b""))
    return told


def _stream_facts(stream: VideoStream) -> dict[str, str]:
    """The stream's own headers, by the numbers of ITU-T H.273 for colour. clock: ticks of its time base a second."""
    context = stream.codec_context
    colour = (context.color_primaries, context.color_trc, context.colorspace)
    told = {"profile": str(context.profile or ""), "clock": str(1 / stream.time_base) if stream.time_base else ""}
    if any(number not in (0, _COLOUR_UNSAID) for number in colour) or context.color_range:
        ranges = {1: "limited", 2: "full"}
        told["colour"] = "/".join(str(int(number)) for number in colour)
        told["colour"] += f" {ranges.get(int(context.color_range), 'range unsaid')}"
    return told


def credential_facts(path: Source, facts: VideoFacts) -> VideoFacts:
    """The facts with what the file's content credentials say, which takes the whole file to be read."""
    found = credentials(path, os.path.getsize(path), facts.container)
    if found is None:
        return facts
    said = {name: _clip(value) for name, value in found.flat().items()}
    return replace(facts, declared={**facts.declared, **said})


def _clip(text: str, limit: int = MAX_VALUE) -> str:
    clean = "".join(character if character.isprintable() else " " for character in text).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
