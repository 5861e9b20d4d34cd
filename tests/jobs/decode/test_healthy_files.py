"""Every common container and codec: windows equal a slow full decode, whichever way they were reached."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fingerprint_db.spec import WindowPlan
from jobs.decode.harvest import Harvest
from jobs.decode.packets import index_packets
from jobs.decode.passes import Clock, decode_pass
from jobs.decode.plan import plan_bursts
from jobs.decode.reader import Reader
from jobs.decode.sniff import Sniffed
from jobs.decode.source import Source
from tests import footage
from tests.jobs.decode.reference import PLAN, assert_exact, decode, reference

ZOO: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "h264.mov": {},
    "h264.mkv": {},
    "h264.ts": {"codec": "libx264"},
    "h264.flv": {},
    "h264.avi": {"codec": "libx264"},
    "raw.h264": {},
    "one_gop.mp4": {"gop": 250},
    "sound.mp4": {"audio": True},
    "sound.ts": {"audio": True},
    "sound.webm": {"audio": True},
    "hevc.mp4": {"codec": "libx265"},
    "vp9.webm": {},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.ivf": {},
    "av1.mkv": {"codec": "libsvtav1"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg4.avi": {},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "mpeg2.mpg": {},
    "mpeg2.ts": {"codec": "mpeg2video"},
    "mjpeg.mov": {"codec": "mjpeg"},
    "mjpeg.avi": {"codec": "mjpeg"},
    "prores.mov": {"codec": "prores_ks"},
    "ffv1.mkv": {"codec": "ffv1"},
    "ffv1.nut": {},
    "png.mov": {"codec": "png", "pix_fmt": "rgb24"},
    "ffv1_rgb.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "animation.gif": {},
    "h264_422.mkv": {"pix_fmt": "yuv422p"},
    "h264_444.mp4": {"pix_fmt": "yuv444p"},
    "h264_10bit.mp4": {"pix_fmt": "yuv420p10le"},
    "hevc_10bit.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "hevc_422_12bit.mkv": {"codec": "libx265", "pix_fmt": "yuv422p12le"},
    "gray.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
    "gray16.mkv": {"codec": "ffv1", "pix_fmt": "gray16le"},
    "ffv1_411.mkv": {"codec": "ffv1", "pix_fmt": "yuv411p"},
    "interlaced.mp4": {"interlaced": True},
    "uneven.mp4": {"vfr": True},
    "rotated.mp4": {"rotate": 90},
    "late.mp4": {"start_pts": 40},
    "odd.mp4": {"size": (201, 131), "pix_fmt": "yuv444p"},
    "odd_420.mkv": {"size": (201, 131), "codec": "ffv1"},
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files of the zoo by name, each made once."""
    room = tmp_path_factory.mktemp("zoo")

    def give(name: str) -> Path:
        path = room / name
        return path if path.exists() else footage.make_video(path, **ZOO[name])

    return give


@pytest.mark.parametrize("name", ZOO)
def test_windows_are_exactly_the_frames_of_a_full_decode(zoo: Callable[[str], Path], name: str) -> None:
    path = zoo(name)
    windows, summary = decode(path)
    truth = reference(path)
    starts = assert_exact(windows, truth)
    assert summary.reason == ""
    assert summary.coverage == 1.0
    assert summary.planned == PLAN.bursts * PLAN.crops
    assert [window.burst for window in windows] == sorted(window.burst for window in windows)
    assert {window.frames for window in windows} == {PLAN.frames}
    length = len(truth.planes)
    assert summary.facts.frame_count == length
    for window, start in zip(windows, starts, strict=True):
        assert window.burst * length // PLAN.bursts <= start <= (window.burst + 1) * length // PLAN.bursts - PLAN.frames


@pytest.mark.parametrize(
    "name", [name for name in ZOO if name.startswith(("h264.", "hevc.", "av1.", "vp9.w", "mjpeg."))]
)
def test_files_counted_as_long_give_the_same_frames_by_seeking(zoo: Callable[[str], Path], name: str) -> None:
    path = zoo(name)
    windows, summary = decode(path, long_s=0.5)
    assert windows
    assert_exact(windows, reference(path))
    assert (summary.reason == "") == (summary.coverage == 1.0)


@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mp4", "vp9.webm", "h264.ts", "mpeg2.mpg"])
def test_the_sequential_way_gives_the_same_frames(zoo: Callable[[str], Path], name: str) -> None:
    path = zoo(name)
    harvest = Harvest(PLAN)
    index = _index(path)
    places = plan_bursts(index.count, index.keys, PLAN)
    reader = Reader(Source(str(path)), Sniffed())
    clock = Clock(index, reader, 25.0)
    windows, done = _drained(decode_pass(harvest, reader, clock, places, 0, skipping=False))
    assert done == PLAN.bursts
    fast, _ = decode(path)
    assert len(fast) == len(windows)
    for one, other in zip(fast, windows, strict=True):
        assert other is not None
        assert np.array_equal(one.luma, other.luma)
        assert np.array_equal(one.times_s, other.times_s)


def test_a_burst_that_is_not_what_the_index_announced_stops_the_fast_way(zoo: Callable[[str], Path]) -> None:
    path = zoo("h264.mp4")
    index = _index(path)
    wrong = replace(index, pts=index.pts + np.arange(index.count))  # times that no frame has
    reader = Reader(Source(str(path)), Sniffed())
    steps = decode_pass(
        Harvest(PLAN), reader, Clock(wrong, reader, 25.0), plan_bursts(index.count, index.keys, PLAN), 1, skipping=True
    )
    windows, done = _drained(steps)
    assert (windows, done) == ([], 1)


def test_intra_refresh_without_keyframes_falls_back_to_decoding_from_the_start(tmp_path: Path) -> None:
    path = footage.make_video(
        tmp_path / "refresh.mp4", frames=72, bframes=0, options={"x264-params": "intra-refresh=1:keyint=12"}
    )
    windows, summary = decode(path)
    assert_exact(windows, reference(path))
    assert summary.coverage == 1.0


def test_frames_hidden_by_an_edit_list_are_not_shown_and_not_counted(
    tmp_path: Path, zoo: Callable[[str], Path]
) -> None:
    path = footage.edit_list(tmp_path / "edited.mp4", zoo("h264.mp4"), skipped=5)
    truth = reference(path)
    assert len(truth.planes) == 43
    windows, summary = decode(path)
    assert_exact(windows, truth)
    assert summary.facts.frame_count == 43
    assert summary.coverage == 1.0


def test_a_transport_stream_cut_in_the_middle_of_a_gop_gives_its_whole_frames(tmp_path: Path) -> None:
    whole = footage.mpegts_no_index(tmp_path / "whole.ts", frames=72)
    data = whole.read_bytes()
    start = len(data) // 3 // 188 * 188
    path = tmp_path / "joined_late.ts"
    path.write_bytes(data[: 188 * 3] + data[start:])  # tables kept, first GOPs gone
    windows, _ = decode(path)
    assert windows
    healthy = reference(whole)
    assert_exact(windows, healthy)


@pytest.mark.parametrize("packets", range(38, 44))
def test_frames_with_gaps_between_them_at_a_cut_are_not_called_consecutive(
    tmp_path: Path, zoo: Callable[[str], Path], packets: int
) -> None:
    path = footage.cut_by_copying(zoo("h264.mp4"), tmp_path / "copied.mp4", packets)
    windows, summary = decode(path)
    assert summary.coverage == 1.0
    assert not summary.facts.variable_frame_rate
    assert_exact(windows, reference(zoo("h264.mp4")))
    for window in windows:
        assert np.diff(window.times_s) == pytest.approx(0.04, abs=1e-6)


def test_times_begin_at_zero_whatever_the_container_counts_from(zoo: Callable[[str], Path]) -> None:
    for name in ("h264.ts", "late.mp4", "mpeg2.mpg", "h264.mp4"):
        first = decode(zoo(name))[0][0]
        assert first.times_s[0] == pytest.approx(0.0, abs=1e-6)
        assert np.diff(first.times_s) == pytest.approx(0.04, abs=1e-6)


def test_facts_tell_container_codec_size_rate_and_length(zoo: Callable[[str], Path]) -> None:
    facts = decode(zoo("sound.mp4"))[1].facts
    assert (facts.container, facts.codec, facts.pixel_format) == ("mp4", "h264", "yuv420p")
    assert (facts.width, facts.height, facts.fps, facts.frame_count) == (192, 128, 25.0, 48)
    assert facts.duration_s == pytest.approx(1.92)
    assert facts.bit_rate == pytest.approx(_video_bytes(zoo("sound.mp4")) * 8 / 1.92)
    assert facts.has_audio
    assert not decode(zoo("h264.mp4"))[1].facts.has_audio
    assert decode(zoo("h264.mov"))[1].facts.container == "mov"
    assert decode(zoo("h264.mkv"))[1].facts.container == "matroska"
    assert decode(zoo("vp9.webm"))[1].facts.container == "webm"
    assert decode(zoo("av1.mp4"))[1].facts.codec == "av1"


def test_interlaced_footage_is_left_as_it_is_and_noted(zoo: Callable[[str], Path]) -> None:
    facts = decode(zoo("interlaced.mp4"))[1].facts
    assert facts.interlaced
    assert "interlaced" in facts.notes
    assert not decode(zoo("h264.mp4"))[1].facts.interlaced


def test_a_variable_frame_rate_is_measured_and_noted(zoo: Callable[[str], Path]) -> None:
    facts = decode(zoo("uneven.mp4"))[1].facts
    assert facts.variable_frame_rate
    assert "variable frame rate" in facts.notes
    for steady in ("h264.mp4", "h264.mkv", "vp9.webm", "h264.ts"):
        assert not decode(zoo(steady))[1].facts.variable_frame_rate


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_told_clockwise_and_pixels_stay_as_coded(tmp_path: Path, degrees: int) -> None:
    windows, summary = decode(footage.make_video(tmp_path / "turned.mp4", rotate=degrees))
    assert summary.facts.rotation == degrees
    assert (summary.facts.width, summary.facts.height) == (192, 128)
    plain, _ = decode(footage.make_video(tmp_path / "plain.mp4"))
    assert all(np.array_equal(one.luma, other.luma) for one, other in zip(windows, plain, strict=True))


def test_deep_footage_keeps_its_depth(zoo: Callable[[str], Path]) -> None:
    for name, depth in (("h264_10bit.mp4", 10), ("prores.mov", 10), ("hevc_422_12bit.mkv", 12), ("gray16.mkv", 16)):
        windows, summary = decode(zoo(name))
        assert summary.facts.bit_depth == depth == windows[0].bit_depth
        assert windows[0].luma.dtype == np.uint16
        assert windows[0].luma.max() > 1 << (depth - 2)
        assert windows[0].luma.max() < 1 << depth


def test_chroma_keeps_its_subsampling_and_grey_has_none(zoo: Callable[[str], Path]) -> None:
    for name, shape in (
        ("h264.mp4", (8, 32, 32)),
        ("h264_422.mkv", (8, 64, 32)),
        ("h264_444.mp4", (8, 64, 64)),
        ("ffv1_411.mkv", (8, 64, 16)),
    ):
        assert decode(zoo(name))[0][0].chroma_b.shape == shape
    assert decode(zoo("gray.mkv"))[0][0].chroma_r.size == 0


def test_full_range_and_hdr_are_told(zoo: Callable[[str], Path], tmp_path: Path) -> None:
    assert decode(zoo("mjpeg.mov"))[0][0].full_range
    assert not decode(zoo("h264.mp4"))[0][0].full_range
    bright = footage.make_video(tmp_path / "hlg.mkv", codec="libx265", pix_fmt="yuv420p10le", color_trc=18)
    assert decode(bright)[1].facts.hdr
    assert not decode(zoo("hevc_10bit.mp4"))[1].facts.hdr


def test_rgb_footage_is_converted_and_that_is_noted(zoo: Callable[[str], Path]) -> None:
    for name in ("png.mov", "ffv1_rgb.mkv", "animation.gif"):
        windows, summary = decode(zoo(name))
        assert "converted from rgb" in summary.facts.notes
        assert windows[0].chroma_b.shape == windows[0].luma.shape
        assert not windows[0].full_range


def test_what_the_file_declares_is_passed_on(tmp_path: Path) -> None:
    path = footage.make_video(tmp_path / "told.mp4", metadata={"comment": "made by a model", "encoder": "x"})
    declared = decode(path)[1].facts.declared
    assert declared["comment"] == "made by a model"
    assert declared["major_brand"] == "isom"
    assert declared["handler_name"] == "VideoHandler"
    assert declared["encoder_signature"].startswith("x264 - core")
    assert "crf" in declared["encoder_signature"]


def test_a_manifest_that_is_none_is_unreadable_and_its_absence_is_an_answer_too(
    tmp_path: Path, zoo: Callable[[str], Path]
) -> None:
    box = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + bytes(20)
    path = tmp_path / "signed.mp4"
    path.write_bytes(zoo("h264.mp4").read_bytes() + (8 + len(box)).to_bytes(4, "big") + b"uuid" + box)
    assert decode(path)[1].facts.declared["c2pa"] == "unreadable"
    assert decode(zoo("h264.mp4"))[1].facts.declared["c2pa"] == "absent"


def test_the_same_file_gives_the_same_windows_every_time(zoo: Callable[[str], Path]) -> None:
    one, other = decode(zoo("hevc.mp4"))[0], decode(zoo("hevc.mp4"))[0]
    assert all(np.array_equal(a.luma, b.luma) for a, b in zip(one, other, strict=True))


def test_a_video_shorter_than_a_burst_gives_one_short_burst(tmp_path: Path) -> None:
    windows, summary = decode(footage.make_video(tmp_path / "short.mp4", frames=6))
    assert [window.frames for window in windows] == [6, 6]
    assert (summary.planned, summary.delivered, summary.reason) == (2, 2, "")


def test_a_single_frame_ends_without_windows_and_with_a_reason(tmp_path: Path) -> None:
    windows, summary = decode(footage.one_frame(tmp_path / "one.mp4"))
    assert not windows
    assert summary.delivered == 0 < summary.planned
    assert summary.reason == "the video has 1 frame, a fingerprint needs 4"


def test_frames_too_small_for_a_fingerprint_end_with_a_reason(tmp_path: Path) -> None:
    windows, summary = decode(footage.make_video(tmp_path / "tiny.mp4", size=(96, 48)))
    assert not windows
    assert summary.delivered == 0 < summary.planned
    assert "96x48" in summary.reason


def test_a_frame_smaller_than_a_crop_is_used_whole(tmp_path: Path) -> None:
    windows, _ = decode(footage.make_video(tmp_path / "small.mp4", size=(202, 118)), WindowPlan(bursts=1))
    assert [window.luma.shape for window in windows] == [(16, 112, 192)]


def test_frames_of_another_size_are_left_out_and_told(tmp_path: Path) -> None:
    first = footage.make_video(tmp_path / "first.h264", frames=30, size=(192, 128))
    second = footage.make_video(tmp_path / "second.h264", frames=30, size=(128, 96))
    windows, summary = decode(footage.size_change(tmp_path / "both.h264", first, second))
    assert 0 < summary.delivered < summary.planned
    assert "another size" in summary.reason
    assert_exact(windows, reference(first))


def _index(path: Path) -> Any:
    reader = Reader(Source(str(path)), Sniffed())
    _, index = _drained(index_packets(reader.container, reader.stream))
    reader.close()
    return index


def _drained(steps: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
    """What a generator yields besides signs of life, and what it returns."""
    seen = []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return seen, end.value
        if step is not None:
            seen.append(step)


def _video_bytes(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(packet.size for packet in container.demux(video=0))
