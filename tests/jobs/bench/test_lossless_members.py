"""Lossless members hold the planes that an encoder would be given, and codings of them state the chain's rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from jobs.bench.chain import check_chain, shared_chain
from jobs.encode import CodecChain, read_frames, reencode, write_lossless, write_video
from jobs.errors import BadUsageError

RGB = [np.random.default_rng(n).integers(0, 256, (48, 64, 3), dtype=np.uint8) for n in range(5)]


def _planes(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def test_nothing_is_lost_and_coding_the_member_is_coding_the_frames(tmp_path: Path) -> None:
    assert write_lossless(tmp_path / "a.mkv", RGB, fps=Fraction(25)) == 5
    again = tmp_path / "b.mkv"
    chain = CodecChain("x264", 0)  # quality 0 of x264 at 8 bits is lossless
    reencode(tmp_path / "a.mkv", again, chain)
    assert _planes(again) == _planes(tmp_path / "a.mkv")
    coded, direct = tmp_path / "coded.mp4", tmp_path / "direct.mp4"
    reencode(tmp_path / "a.mkv", coded, CodecChain("x264", 30))
    write_video(direct, RGB, fps=Fraction(25), chain=CodecChain("x264", 30))
    assert coded.read_bytes() == direct.read_bytes()


def test_a_member_without_frames_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no frames for none\.mkv"):
        write_lossless(tmp_path / "none.mkv", [], fps=Fraction(25))
    assert not list(tmp_path.iterdir())


def test_a_coding_states_the_rate_it_was_told(tmp_path: Path) -> None:
    write_lossless(tmp_path / "a.mkv", RGB, fps=Fraction(25))
    assert reencode(tmp_path / "a.mkv", tmp_path / "b.mp4", CodecChain("x264", 30), fps=Fraction(12)) == 5
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].average_rate == 12
    assert len(list(read_frames(tmp_path / "b.mp4"))) == 5


def test_random_chains_cover_what_they_promise_and_share_one_crop_phase_a_content() -> None:
    drawn = [shared_chain("random", f"content-{n}", 1, 288, 288, Fraction(25)) for n in range(300)]
    codecs = [chain.codec for chain in drawn]
    assert {codec.codec for codec in codecs} == {"x264", "x265", "vp9"}
    assert (min(c.crf for c in codecs), max(c.crf for c in codecs)) == (15, 35)
    assert 0.5 <= min(c.scale for c in codecs) < 0.6
    assert 1.15 < max(c.scale for c in codecs) <= 1.25
    assert {c.bframes for c in codecs} == {None, 0, 1, 2, 3}
    assert {c.crop[:2] for c in codecs if c.crop} == {(y, x) for y in range(0, 16, 2) for x in range(0, 16, 2)}
    for n, chain in enumerate(drawn):
        named = shared_chain("vp9-crf33-x0.75", f"content-{n}", 1, 288, 288, Fraction(25))
        assert (named.codec.crop, named.codec.crf, named.codec.scale) == (chain.codec.crop, 33, 0.75)


def test_an_aligned_chain_leaves_the_lattice_at_the_corner_and_the_size_as_it_was() -> None:
    for n in range(20):
        moved = shared_chain("x264-crf23", f"content-{n}", 1, 288, 288, Fraction(25)).codec
        aligned = shared_chain("x264-crf23-aligned", f"content-{n}", 1, 288, 288, Fraction(25)).codec
        assert moved.crop is not None
        assert aligned.crop == (0, 0, *moved.crop[2:])
        assert (aligned.codec, aligned.crf, aligned.scale) == (moved.codec, moved.crf, moved.scale)


@pytest.mark.parametrize("name", ["", "x264", "x264-crf", "mpeg2-crf20", "random-", "random2"])
def test_a_chain_that_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(BadUsageError, match="no chain is called"):
        check_chain(name)
