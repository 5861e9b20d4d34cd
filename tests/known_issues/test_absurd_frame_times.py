"""A damaged IVF frame header put a frame 2**63 ticks away: the span overflowed, and the length came out negative."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from fingerprint_db.spec import WindowPlan
from jobs.decode.protocol import DecodeRequest, DecodeSummary
from jobs.decode.replies import checked
from jobs.decode.service import serve
from tests import footage


@pytest.mark.parametrize("stamp", [2**63 - 1, 2**63, 2**64 - 1, 2**62, 2**40])
def test_a_frame_that_claims_an_absurd_time_leaves_length_and_rate_sane(tmp_path: Path, stamp: int) -> None:
    path = footage.make_video(tmp_path / "film.ivf", size=(96, 80), frames=20)
    data = bytearray(path.read_bytes())
    frames, offset = [], 32
    while offset + 12 <= len(data):
        frames.append(offset)
        offset += 12 + struct.unpack_from("<I", data, offset)[0]
    struct.pack_into("<Q", data, frames[5] + 4, stamp)
    path.write_bytes(bytes(data))
    plan = WindowPlan()
    replies = list(checked(serve(DecodeRequest(str(path), plan)), plan))
    summary = replies[-1]
    assert isinstance(summary, DecodeSummary)
    assert 0 <= summary.facts.duration_s < 60
    assert 0 <= summary.facts.fps < 1000
    assert summary.delivered > 0
