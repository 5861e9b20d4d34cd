"""jobs/encode.py: one chain, the same bytes, whole files or none, and a named reason for what cannot be read."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from cluster.outcome import FailureError
from jobs.encode import CodecChain, read_frames, reencode, write_audio, write_gif, write_video

FPS = Fraction(25)


def moving_texture(frames: int = 10, height: int = 96, width: int = 128, seed: int = 3) -> list[NDArray[np.uint8]]:
    """A smooth random field that drifts by two pixels a frame."""
    noise = np.random.default_rng(seed).normal(size=(height + 2 * frames, width + frames, 3))
    for axis in (0, 1):
        for _ in range(3):
            noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)) / 3
    field = np.clip(128 + noise * 160, 0, 255).astype(np.uint8)
    return [field[2 * t : 2 * t + height, t : t + width] for t in range(frames)]


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.mark.parametrize(
    ("codec", "suffix", "decoder"),
    [
        ("x264", ".mp4", "h264"),
        ("x265", ".mkv", "hevc"),
        ("vp9", ".webm", "vp9"),
        ("av1", ".mp4", "av1"),
        ("x264", ".ts", "h264"),
    ],
)
def test_every_codec_and_container_gives_back_the_frames_it_was_given(
    tmp_path: Path, codec: str, suffix: str, decoder: str
) -> None:
    frames = moving_texture()
    path = tmp_path / f"clip{suffix}"
    chain = CodecChain(codec, 12, preset="veryfast")  # type: ignore[arg-type]
    assert write_video(path, frames, fps=FPS, chain=chain) == len(frames)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert decoder in stream.codec_context.name or decoder in stream.codec_context.codec.long_name.lower()
        assert stream.average_rate == FPS
    back = list(read_frames(path))
    assert len(back) == len(frames)
    assert (
        min(psnr(a, b) for a, b in zip(frames, back, strict=True)) > 26
    )  # the texture is rich in colour, and 4:2:0 keeps a quarter of that


@pytest.mark.parametrize(("codec", "suffix"), [("x264", ".mp4"), ("x265", ".mkv"), ("vp9", ".webm"), ("av1", ".mkv")])
def test_the_same_frames_through_the_same_chain_are_the_same_bytes(tmp_path: Path, codec: str, suffix: str) -> None:
    chain = CodecChain(codec, 30, preset="veryfast")  # type: ignore[arg-type]
    for name in ("one", "two"):
        write_video(tmp_path / (name + suffix), moving_texture(), fps=FPS, chain=chain)
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_x264_does_not_depend_on_what_lies_in_memory(tmp_path: Path) -> None:
    # With its macroblock tree, x264 gave up to five different files in 200 encodings on a processor with AVX-512.
    rng = np.random.default_rng(1)
    frames = moving_texture(6, 128, 320)
    seen = set()
    for _ in range(24):
        write_video(tmp_path / "a.mkv", frames, fps=FPS, chain=CodecChain("x264", 18))
        seen.add((tmp_path / "a.mkv").read_bytes())
        litter = [rng.integers(0, 255, 320 * 128 * 3, dtype=np.uint8) for _ in range(rng.integers(1, 5))]
        del litter
    assert len(seen) == 1


def test_encoders_write_nothing_to_the_terminal(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from fractions import Fraction; from pathlib import Path\n"
        "from jobs.encode import CodecChain, write_video\n"
        "frames = [np.full((64, 64, 3), 9 * t, np.uint8) for t in range(8)]\n"
        "for c, s in (('x264', 'mp4'), ('x265', 'mkv'), ('vp9', 'webm'), ('av1', 'mp4')):\n"
        "    write_video(Path(sys.argv[1], c + '.' + s), frames, fps=Fraction(25), chain=CodecChain(c, 30))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_a_name_lists_only_what_differs_from_the_default() -> None:
    assert CodecChain("x264", 23).name == "x264-crf23"
    assert CodecChain("x265", 28, scale=0.75).name == "x265-crf28-x0.75"
    assert CodecChain("vp9", 33, "fast", crop=(0, 2, 64, 64), gop=12, bframes=0).name == (
        "vp9-crf33-fast-crop0.2.64.64-gop12-b0"
    )


@pytest.mark.parametrize(
    "settings",
    [{"codec": "mjpeg"}, {"crf": 70}, {"preset": "placebo"}, {"scale": 0.0}, {"crop": (0, 1, 8, 8)}, {"gop": 0}],
)
def test_a_chain_that_cannot_be_is_refused_when_it_is_built(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        CodecChain(**({"codec": "x264", "crf": 23} | settings))  # type: ignore[arg-type]


def test_reencoding_copies_planes_and_does_not_convert_colours(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    write_video(source, moving_texture(), fps=FPS, chain=CodecChain("x264", 20))
    assert reencode(source, target, CodecChain("x264", 0, preset="ultrafast")) == 10  # crf 0 is lossless in 8 bit
    for before, after in zip(decoded(source), decoded(target), strict=True):
        assert np.array_equal(before.to_ndarray(), after.to_ndarray())


def test_a_centre_crop_keeps_even_sides_and_an_even_offset(tmp_path: Path) -> None:
    source, target = tmp_path / "a.mp4", tmp_path / "b.mp4"
    write_video(source, moving_texture(3, 98, 130), fps=FPS, chain=CodecChain("x264", 20))
    reencode(source, target, CodecChain("x264", 0, preset="ultrafast"), crop_px=65, max_frames=2)
    before, after = decoded(source), decoded(target)
    assert len(after) == 2
    luma = before[0].to_ndarray()[:98]
    assert np.array_equal(after[0].to_ndarray()[:64], luma[16 : 16 + 64, 32 : 32 + 64])


def test_an_odd_sized_source_loses_its_last_row_and_column_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "odd.mkv"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 65, 67, "yuv420p"
        for rgb in moving_texture(3, 67, 65):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        out.mux(stream.encode(None))
    assert reencode(source, tmp_path / "even.mp4", CodecChain("x264", 0, preset="ultrafast")) == 3
    plane = decoded(source)[0].planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:66, :64]
    assert np.array_equal(decoded(tmp_path / "even.mp4")[0].to_ndarray()[:66], luma)


def test_scale_and_crop_of_a_chain_are_applied_in_that_order(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    chain = CodecChain("x264", 20, scale=0.75, crop=(8, 16, 64, 96))
    write_video(path, moving_texture(), fps=FPS, chain=chain)
    frame = decoded(path)[0]
    assert (frame.height, frame.width) == (48, 72)
    wanted = [f[8:72, 16:112] for f in moving_texture()]
    assert psnr(next(read_frames(path, scale=64 / 48)), wanted[0]) > 24


def test_full_range_ten_bit_and_dense_chroma_come_out_as_limited_range_eight_bit_420(tmp_path: Path) -> None:
    for pixel_format, codec in (("yuvj420p", "mjpeg"), ("yuv420p10le", "ffv1"), ("yuv444p", "ffv1"), ("bgr0", "ffv1")):
        source, target = tmp_path / f"{pixel_format}.mkv", tmp_path / "t.mp4"
        with av.open(str(source), "w") as out:
            stream = out.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
            white = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 255, np.uint8), format="rgb24")
            for _ in range(2):
                out.mux(stream.encode(white.reformat(format=pixel_format)))
            out.mux(stream.encode(None))
        reencode(source, target, CodecChain("x264", 5))
        frame = decoded(target)[0]
        assert frame.format.name == "yuv420p"
        assert abs(float(np.median(frame.to_ndarray()[:64])) - 235) <= 1, pixel_format


def test_damage_in_the_middle_costs_frames_and_not_the_file(tmp_path: Path) -> None:
    source = tmp_path / "whole.ts"
    write_video(source, moving_texture(40), fps=FPS, chain=CodecChain("x264", 23, gop=8))
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = b"\xaa" * 400
    (tmp_path / "hurt.ts").write_bytes(data)
    assert 20 <= reencode(tmp_path / "hurt.ts", tmp_path / "out.mp4", CodecChain("x264", 23)) <= 40


def unreadable(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty_file":
        path.write_bytes(b"")
    elif kind == "not_a_video":
        path.write_text("Dear reader, this is a letter.\n" * 40)
    elif kind == "no_video_stream":
        write_audio(path, (np.sin(np.arange(44100) / 16) * 9000).astype(np.int16))
    elif kind == "damaged":
        write_video(path, moving_texture(), fps=FPS, chain=CodecChain("x264", 23))
        data = path.read_bytes()
        start = data.index(b"mdat") + 4
        path.write_bytes(data[:start] + bytes(data.index(b"moov") - 4 - start) + data[data.index(b"moov") - 4 :])
    return path


@pytest.mark.parametrize("kind", ["not_found", "empty_file", "not_a_video", "no_video_stream", "damaged"])
def test_what_cannot_be_read_is_named_and_leaves_no_file(tmp_path: Path, kind: str) -> None:
    source = unreadable(tmp_path, kind)
    with pytest.raises(FailureError) as caught:
        reencode(source, tmp_path / "out" / "target.mp4", CodecChain("x264", 23))
    assert caught.value.failure.kind == kind
    out = tmp_path / "out"
    assert not out.exists() or list(out.iterdir()) == []


def test_text_without_a_video_suffix_is_no_video_either(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, this is a letter.\n" * 40)
    with pytest.raises(FailureError) as caught:
        list(read_frames(path))
    assert caught.value.failure.kind == "not_a_video"


def test_a_picture_below_the_smallest_size_of_the_encoder_is_refused_with_its_size(tmp_path: Path) -> None:
    source = tmp_path / "tiny.mp4"
    write_video(source, moving_texture(3, 32, 32), fps=FPS, chain=CodecChain("x264", 23))
    with pytest.raises(FailureError, match="32x32"):
        reencode(source, tmp_path / "t.mp4", CodecChain("av1", 40))


def test_a_failure_midway_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    frames = [*moving_texture(3), np.zeros((8, 8, 3), np.uint8)]
    with pytest.raises(ValueError, match="8x8"):
        write_video(path, frames, fps=FPS, chain=CodecChain("x264", 23))
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


def test_no_frames_and_unknown_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        write_video(tmp_path / "a.mp4", [], fps=FPS, chain=CodecChain("x264", 23))
    with pytest.raises(ValueError, match="suffix"):
        write_video(tmp_path / "a.xyz", moving_texture(2), fps=FPS, chain=CodecChain("x264", 23))
    assert list(tmp_path.iterdir()) == []


def test_reading_starts_and_stops_where_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, moving_texture(12), fps=FPS, chain=CodecChain("x264", 12))
    everything = list(read_frames(path))
    part = list(read_frames(path, start=4, count=3))
    assert len(part) == 3
    assert all(np.array_equal(a, b) for a, b in zip(part, everything[4:7], strict=True))


def test_a_gif_is_an_animation_of_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    assert write_gif(path, moving_texture(6), fps=Fraction(10)) == 6
    assert path.read_bytes()[:4] == b"GIF8"
    assert len(list(read_frames(path))) == 6
