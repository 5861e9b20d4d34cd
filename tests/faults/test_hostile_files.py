"""Whatever is called a video ends in windows, a reason or a class of failure: never in a crash, never in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.outcome import FailureError
from jobs.decode.protocol import DecodeRequest
from jobs.decode.service import serve
from jobs.errors import FailureKind
from tests import footage
from tests.jobs.decode.reference import PLAN, assert_exact, decode, reference

MAKERS: dict[str, tuple[FailureKind, str, Callable[[Path], object]]] = {
    "text.mp4": (FailureKind.NOT_A_VIDEO, "text", footage.text_named_mp4),
    "page.mp4": (
        FailureKind.NOT_A_VIDEO,
        "web page",
        lambda path: footage.text_named_mp4(path, "<!DOCTYPE html><html><body>404 not found</body></html>" * 9),
    ),
    "noise.mkv": (FailureKind.NOT_A_VIDEO, "no video format", lambda path: path.write_bytes(bytes(range(1, 256)) * 40)),
    "zip.mp4": (FailureKind.NOT_A_VIDEO, "ZIP", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(3000))),
    "empty.mp4": (FailureKind.EMPTY_FILE, "empty", lambda path: path.write_bytes(b"")),
    "song.mp4": (FailureKind.NO_VIDEO_STREAM, "sound only", footage.audio_only),
    "cover.mp4": (FailureKind.NO_VIDEO_STREAM, "cover picture", lambda path: footage.audio_only(path, cover=True)),
    "still.png": (FailureKind.NOT_A_VIDEO, "still image (PNG)", footage.still_image),
    "png.mp4": (FailureKind.NOT_A_VIDEO, "still image (PNG)", footage.still_image),
    "still.jpg": (FailureKind.NOT_A_VIDEO, "still image (JPEG)", lambda path: footage.still_image(path, "mjpeg")),
    "jpeg.mp4": (FailureKind.NOT_A_VIDEO, "still image (JPEG)", lambda path: footage.still_image(path, "mjpeg")),
    "webp.mp4": (FailureKind.NOT_A_VIDEO, "still image (WebP)", lambda path: footage.still_image(path, "libwebp")),
    "moving.webp": (FailureKind.UNSUPPORTED_CODEC, "animated WebP", footage.animated_webp),
    "huge.avi": (FailureKind.TOO_LARGE, "60000x60000", footage.huge_claimed_dimensions),
    "huge.gif": (FailureKind.TOO_LARGE, "60000x60000", footage.huge_claimed_dimensions),
    "huge.ivf": (FailureKind.TOO_LARGE, "60000x60000", footage.huge_claimed_dimensions),
    "huge.png": (FailureKind.NOT_A_VIDEO, "PNG", footage.huge_claimed_dimensions),
    "wide.gif": (FailureKind.TOO_LARGE, "20000x20000", lambda path: footage.huge_claimed_dimensions(path, 20000)),
}


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_no_video_ends_in_its_class_with_a_sentence(tmp_path: Path, name: str, decoder: str) -> None:
    kind, words, make = MAKERS[name]
    path = tmp_path / name
    make(path)
    failure = failure_of(path, decoder)
    assert failure.kind == kind.value
    assert failure.policy == kind.policy
    assert words in failure.message
    assert failure.message.endswith(".")
    assert "\n" not in failure.message


def test_a_missing_file_and_a_directory_end_in_their_class(tmp_path: Path) -> None:
    assert failure_of(tmp_path / "nowhere.mp4").kind == "not_found"
    assert failure_of(tmp_path).kind == "not_a_video"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read_is_told_apart(tmp_path: Path) -> None:
    path = footage.make_video(tmp_path / "secret.mp4", frames=4)
    path.chmod(0)
    assert failure_of(path).kind == "access_denied"


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {name}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
def test_a_playlist_cannot_make_the_decoder_open_other_files(tmp_path: Path, text: str) -> None:
    other = footage.make_video(tmp_path / "other.ts", frames=12)
    path = footage.text_named_mp4(tmp_path / "list.mp4", text.format(other=other, name=other.name))
    assert failure_of(path).kind == "not_a_video"


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory of a process is read from /proc")
def test_a_huge_claim_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    paths = [str(footage.huge_claimed_dimensions(tmp_path / f"huge{suffix}")) for suffix in (".avi", ".gif", ".ivf")]
    for hidden in (".mkv", ".mp4"):  # where the claim is found only inside the codec's data
        inside = footage.make_video(tmp_path / f"vp9{hidden}", codec="libvpx-vp9", frames=6)
        paths.append(str(_with_vp9_side(inside, 60000)))
    code = (
        "import sys, json, resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from jobs.decode.service import serve\n"
        "from jobs.decode.protocol import DecodeRequest\n"
        "from fingerprint_db.spec import WindowPlan\n"
        "from cluster.outcome import FailureError\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        print(list(serve(DecodeRequest(path, WindowPlan())))[-1].reason)\n"
        "    except FailureError as error:\n"
        "        print(error.failure.kind)\n"
        "peak = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(peak // 1024 < 300)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    *kinds, modest = told.stdout.split()
    assert kinds[:3] == ["too_large"] * 3
    assert set(kinds[3:]) <= {"too_large", "damaged"}
    assert modest == "True"


def test_an_mp4_cut_before_its_index_is_damaged_and_says_which_part_is_gone(tmp_path: Path) -> None:
    path = footage.truncate(footage.make_video(tmp_path / "whole.mp4"), tmp_path / "cut.mp4", 0.6)
    failure = failure_of(path)
    assert (failure.kind, failure.policy) == ("damaged", "quarantine")
    assert "moov" in failure.message


@pytest.mark.parametrize(
    ("suffix", "settings"),
    [
        (".mkv", {}),
        (".webm", {}),
        (".avi", {}),
        (".mp4", {"container_options": {"movflags": "faststart"}}),
        (".mov", {"container_options": {"movflags": "faststart"}, "codec": "mjpeg"}),
    ],
)
def test_a_read_that_ends_short_is_never_silent(tmp_path: Path, suffix: str, settings: dict[str, object]) -> None:
    whole = footage.make_video(tmp_path / f"whole{suffix}", frames=60, **settings)  # type: ignore[arg-type]
    path = footage.truncate(whole, tmp_path / f"cut{suffix}", 0.6)
    windows, summary = decode(path)
    assert 0 < summary.delivered < summary.planned
    assert "cut" in summary.reason
    assert any("bytes before" in note for note in summary.facts.notes)
    assert_exact(windows, reference(whole))


def test_a_cut_transport_stream_gives_what_is_there(tmp_path: Path) -> None:
    whole = footage.make_video(tmp_path / "whole.ts", frames=60)
    path = footage.truncate(whole, tmp_path / "cut.ts", 0.5)
    windows, summary = decode(path)
    assert windows
    assert 0 < summary.facts.frame_count < 60
    assert_exact(windows, reference(whole))


def test_damage_in_the_middle_costs_only_what_it_hit(tmp_path: Path) -> None:
    whole = footage.make_video(tmp_path / "whole.mp4", frames=96, gop=8)
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 1500] = os.urandom(1500)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(data))
    windows, summary = decode(path)
    assert summary.delivered >= 4
    assert "damaged in places" in summary.facts.notes
    assert_exact([window for window in windows if window.burst != 1], reference(whole))


def test_an_intra_only_video_delivers_no_frame_that_was_hit(tmp_path: Path) -> None:
    whole = footage.make_video(tmp_path / "whole.mkv", codec="libx264", frames=40, gop=1, bframes=0)
    damaged = footage.flip_bits(whole, tmp_path / "damaged.mkv", seed=4, n=12, spare=4000)
    windows, summary = decode(damaged)
    assert "damaged in places" in summary.facts.notes
    assert windows
    assert all(window.frames >= PLAN.min_frames for window in windows)


def test_a_file_whose_pictures_are_all_destroyed_is_damaged(tmp_path: Path) -> None:
    whole = footage.make_video(tmp_path / "whole.mp4")
    data = bytearray(whole.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path = tmp_path / "zeros.mp4"
    path.write_bytes(bytes(data))
    assert failure_of(path).kind == "damaged"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".webm", ".gif"])
def test_mutated_files_end_in_windows_a_reason_or_a_class(tmp_path: Path, suffix: str) -> None:
    data = footage.make_video(tmp_path / f"seed{suffix}", frames=30, size=(128, 96)).read_bytes()
    paths = []
    for seed in range(15):
        path = tmp_path / f"mutant{seed}{suffix}"
        path.write_bytes(footage.mutate(data, seed))
        paths.append(str(path))
    code = (
        "import sys, json\n"
        "from jobs.decode.service import serve\n"
        "from jobs.decode.protocol import DecodeRequest\n"
        "from fingerprint_db.spec import WindowPlan\n"
        "from cluster.outcome import FailureError\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        *_, end = serve(DecodeRequest(path, WindowPlan(bursts=3, frames=8, crops=2, crop_px=64)))\n"
        "        print(json.dumps([end.planned, end.delivered, end.reason]))\n"
        "    except FailureError as error:\n"
        "        print(json.dumps([error.failure.kind, error.failure.message]))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True, timeout=120
    ).stdout.splitlines()
    assert len(told) == len(paths)
    for line in map(json.loads, told):
        if len(line) == 3:
            planned, delivered, reason = line
            assert delivered == planned or reason
        else:
            assert line[0] in {kind.value for kind in FailureKind}  # never ``internal``
            assert line[1].endswith(".")


def failure_of(path: Path, decoder: str = "pyav") -> object:
    with pytest.raises(FailureError) as caught:
        list(serve(DecodeRequest(str(path), PLAN, decoder)))  # type: ignore[arg-type]
    return caught.value.failure


def _with_vp9_side(path: Path, side: int) -> Path:
    """Overwrite the frame size in the first VP9 key frame (sync code 49 83 42, then 4 bits, then two 16-bit sizes)."""
    data = bytearray(path.read_bytes())
    first = data.index(b"\x49\x83\x42") + 3
    bits = int.from_bytes(data[first : first + 8], "big")
    for offset in (4, 20):
        shift = 64 - offset - 16
        bits = bits & ~(0xFFFF << shift) | (side - 1) << shift
    data[first : first + 8] = bits.to_bytes(8, "big")
    path.write_bytes(bytes(data))
    return path
