"""libx265 gives films of one or two frames decoding times that it never set: some could not be written at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from jobs.encode import CodecChain, write_video


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_film_shorter_than_the_encoders_delay_is_written_alike_every_time(count: int, tmp_path: Path) -> None:
    frames = [np.random.default_rng(n).integers(0, 256, (64, 96, 3), dtype=np.uint8) for n in range(count)]
    written = set()
    for _ in range(12):  # half of them had a time of their own
        path = tmp_path / "film.mp4"
        write_video(path, frames, fps=Fraction(25), chain=CodecChain("x265", 26, preset="ultrafast"))
        written.add(path.read_bytes())
    assert len(written) == 1
    with av.open(str(path)) as film:
        packets = [packet for packet in film.demux(video=0) if packet.size]
        assert len(packets) == count
        assert all(0 <= packet.pts - packet.dts <= count * packets[0].duration for packet in packets)
