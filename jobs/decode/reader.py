"""One open file whose packets are decoded one by one, so that damage costs the frames it hit and no more."""

from __future__ import annotations

from dataclasses import dataclass

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from jobs.decode.packets import Packets
from jobs.decode.probe import open_container, pick_stream
from jobs.decode.sniff import Sniffed
from jobs.decode.source import Source

Geometry = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A decoded frame; clean: neither it nor what it is predicted from was damaged, and it has the video's size."""

    frame: VideoFrame
    clean: bool


class Reader:
    """A container, its video stream and the decoder's state of health.

    After damage every frame counts as unclean until the next key frame, since prediction carries the damage on.
    FFmpeg conceals damage silently in some codecs (HEVC, VP9): such frames cannot be told from clean ones.
    """

    def __init__(self, source: Source, sniffed: Sniffed) -> None:
        self.container = open_container(source, sniffed)
        try:
            self.stream: VideoStream = pick_stream(self.container, sniffed)
        except BaseException:
            self.container.close()
            raise
        self.packets = Packets(self.container, self.stream)
        self.geometry: Geometry | None = None
        self.damaged = 0  # packets that failed and frames marked corrupt
        self.resized = 0  # frames of another size or format
        self.last_error: Exception | None = None
        self._damaged_at: int | None = None
        self._dirty = False
        self._key_times: set[int] = set()

    def close(self) -> None:
        self.container.close()

    def restart(self) -> None:
        """Forget all pictures; what follows must begin with a keyframe."""
        self.stream.codec_context.flush_buffers()
        self._dirty = False
        self._key_times.clear()

    def feed(self, packet: Packet[VideoStream]) -> list[Shown]:
        """Decode one packet (size 0 drains the decoder)."""
        if packet.is_keyframe and packet.pts is not None:
            self._key_times.add(packet.pts)
        try:
            if packet.size and packet.is_corrupt:
                self._damage(packet.pts)
            frames = self.stream.decode(packet if packet.size else None)
        except av.error.EOFError:
            return []
        except (av.FFmpegError, ValueError) as error:
            self.last_error = error
            self._damage(packet.pts)
            return []
        return [Shown(frame, self._clean(frame)) for frame in frames]

    def _damage(self, pts: int | None) -> None:
        self.damaged += 1
        self._dirty = True
        self._damaged_at = pts

    def _clean(self, frame: VideoFrame) -> bool:
        geometry = (frame.width, frame.height, frame.format.name)
        if self.geometry is None:
            self.geometry = geometry
        if geometry != self.geometry:
            self.resized += 1
            return False
        if frame.is_corrupt:
            self._damage(frame.pts)
            return False
        if self._dirty and (frame.key_frame or frame.pts in self._key_times):
            later = self._damaged_at is None or frame.pts is None or frame.pts > self._damaged_at
            self._dirty = not later
        return not self._dirty
