"""Whatever lies in an archive ends in a verdict, an inconclusive one with its reason, or a class: one row each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.home import Home
from jobs.lookup import look_up
from tests import footage
from tests.jobs.conftest import run_sweep

MAKERS: dict[str, Callable[[Path], object]] = {
    "one frame.mp4": footage.one_frame,
    "animation.gif": footage.gif,
    "odd.mkv": lambda path: footage.make_video(path, size=(173, 131), pix_fmt="yuv444p"),
    "444.mp4": lambda path: footage.make_video(path, pix_fmt="yuv444p"),
    "10 bit.mp4": lambda path: footage.make_video(path, codec="libx265", pix_fmt="yuv420p10le"),
    "hdr.mp4": lambda path: footage.make_video(path, codec="libx265", pix_fmt="yuv420p10le", color_trc=16),
    "interlaced.mp4": lambda path: footage.make_video(path, interlaced=True),
    "variable rate.mp4": lambda path: footage.make_video(path, vfr=True),
    "rotated.mov": lambda path: footage.make_video(path, rotate=90),
    "no index.ts": footage.mpegts_no_index,
    "edit list.mp4": lambda path: footage.edit_list(path, footage.make_video(path.with_suffix(".source.mp4"))),
    "old.avi": lambda path: footage.make_video(path, codec="mpeg4"),
    "older.mpg": lambda path: footage.make_video(path),
    "tiny.mp4": lambda path: footage.make_video(path, size=(32, 32)),
    "huge.avi": footage.huge_claimed_dimensions,
    "picture.mp4": lambda path: footage.still_image(path.with_suffix(".png")).rename(path),
    "sound.mp4": footage.audio_only,
    "text.mp4": footage.text_named_mp4,
    "moving.webp": footage.animated_webp,
    "cut.mkv": lambda path: footage.truncate(footage.make_video(path.with_suffix(".whole.mkv")), path, 0.6),
    "flipped.mp4": lambda path: footage.flip_bits(
        footage.make_video(path.with_suffix(".source.mp4"), seed=9), path, seed=1, n=40, spare=4000
    ),
}
CLASSED = {
    "huge.avi": "too_large",
    "picture.mp4": "not_a_video",
    "sound.mp4": "no_video_stream",
    "text.mp4": "not_a_video",
    "moving.webp": "unsupported_codec",
}
TOO_LITTLE = {"one frame.mp4", "tiny.mp4"}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Home]:
    from jobs.settings import Settings

    folder = tmp_path_factory.mktemp("zoo")
    for name, make in MAKERS.items():
        make(folder / name)
    home = Home(Settings(home=str(tmp_path_factory.mktemp("zoo-home") / "home"), workers=1))
    summary = run_sweep(home, folder)
    everything = summary.fingerprinted + summary.duplicates + len(summary.failures)
    assert everything == summary.inventory.listed == sum(1 for path in folder.iterdir())
    return folder, home


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_file_ends_in_one_answer(swept: tuple[Path, Home], name: str) -> None:
    folder, home = swept
    found = look_up(home, str(folder / name))
    if name in CLASSED:
        assert (found["error"]["class"], found["verdicts"]) == (CLASSED[name], [])
        assert found["error"]["message"]
        return
    assert found["error"] is None or found["error"]["class"] == "damaged"
    if found["error"] is None:
        (verdict,) = found["verdicts"]
        assert verdict["verdict"]
        if name in TOO_LITTLE:
            assert (verdict["verdict"], verdict["coverage"]) == ("inconclusive", 0.0)
            assert verdict["reason"]
        else:
            assert verdict["coverage"] > 0.0
            assert isinstance(verdict["llr"], float)


@pytest.mark.parametrize(
    ("name", "fact", "value"),
    [
        ("10 bit.mp4", "bit_depth", 10),
        ("hdr.mp4", "hdr", True),
        ("interlaced.mp4", "interlaced", True),
        ("variable rate.mp4", "variable_frame_rate", True),
        ("rotated.mov", "rotation", 90),
        ("444.mp4", "pixel_format", "yuv444p"),
    ],
)
def test_what_is_special_about_a_file_is_kept_with_it(
    swept: tuple[Path, Home], name: str, fact: str, value: object
) -> None:
    folder, home = swept
    assert look_up(home, str(folder / name))["facts"][fact] == value
