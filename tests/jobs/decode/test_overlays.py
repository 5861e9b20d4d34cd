"""A burnt-in mark in a corner is told while the picture moves behind it; bars and still films are no marks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint_db.overlays import FACT, GRID_COLS, GRID_ROWS, Looked, is_sound, likeness, read
from fingerprint_db.spec import WindowPlan
from jobs.decode.decord_decoder import DecordDecoder
from jobs.decode.overlays import OverlayWatch
from jobs.decode.plan import FIRST_BURSTS
from jobs.decode.protocol import BurstRange, Decoder, DecodeRequest, DecodeSummary
from jobs.decode.pyav import PyAVDecoder
from jobs.decode.tally import added_up
from tests.footage import make_video, scene

SIZE = (320, 192)
FRAMES = 32
SMALL = (256, 144)
Picture = NDArray[np.uint8]
GLYPHS = ("101101", "111001", "110111", "010110", "111010")  # rows of a mark's strokes, five pixels each


@cache
def _pictures(seed: int) -> list[Picture]:
    return list(scene(FRAMES, SIZE, seed))


def moving(seed: int = 0) -> Iterator[Picture]:
    return (picture.copy() for picture in _pictures(seed))


def glyphs(seed: int = 0) -> NDArray[np.bool_]:
    """A mark of 60 x 25 pixels; another seed, another mark."""
    cells = np.array([[digit == "1" for digit in row * 2] for row in GLYPHS])
    if seed:
        cells = np.random.default_rng(seed).random(cells.shape) < 0.5
    return np.kron(cells, np.ones((5, 5), bool))


def marked(
    pictures: Iterator[Picture], left: int, top: int, *, opacity: float = 0.8, seed: int = 0
) -> Iterator[Picture]:
    mask = glyphs(seed)
    height, width = mask.shape
    for picture in pictures:
        luma = picture[0].astype(np.float64)
        part = luma[top : top + height, left : left + width]
        part[mask] = (1 - opacity) * part[mask] + opacity * 235
        picture[0] = luma.astype(np.uint8)
        yield picture


def boxed(pictures: Iterator[Picture], rows: int, cols: int) -> Iterator[Picture]:
    """Black bars of so many rows above and below, and columns on both sides."""
    for picture in pictures:
        for plane, black in zip(picture, (16, 128, 128), strict=True):
            for bar in (np.s_[:rows], np.s_[plane.shape[0] - rows :]):
                plane[bar] = black
            for bar in (np.s_[:, :cols], np.s_[:, plane.shape[1] - cols :]):
                plane[bar] = black
        yield picture


def standing(frames: int) -> Iterator[Picture]:
    """One picture with a mark of its own, and sensor noise."""
    first = next(marked(scene(1, SIZE), 250, 160))
    rng = np.random.default_rng(5)
    for _ in range(frames):
        yield (first + rng.normal(0, 2, first.shape)).clip(16, 235).astype(np.uint8)


def encode(path: Path, pictures: Iterator[Picture], size: tuple[int, int], **settings: Any) -> Path:
    return make_video(path, pictures=pictures, size=size, **settings)


def told(path: Path, decoder: Decoder | None = None) -> Looked:
    *_, end = (decoder or PyAVDecoder()).decode(DecodeRequest(str(path), WindowPlan()))
    assert isinstance(end, DecodeSummary)
    return read(end.facts.declared[FACT])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("marks") / "marked.mp4"
    return encode(path, marked(moving(), 250, 160), SIZE)


@pytest.mark.parametrize("decoder", [PyAVDecoder, DecordDecoder])
def test_a_mark_over_moving_footage_is_told_with_its_place(film: Path, decoder: Callable[[], Decoder]) -> None:
    looked = told(film, decoder())
    assert looked.measurable
    (one,) = looked.overlays
    assert one.place == "bottom right"
    assert abs(one.x * SIZE[0] - 250) <= 3
    assert abs(one.y * SIZE[1] - 160) <= 3
    assert abs(one.width * SIZE[0] - 60) <= 6
    assert abs(one.height * SIZE[1] - 25) <= 6
    assert one.persistence > 0.8
    assert re.fullmatch(
        "a still overlay at the bottom right, (19|20) % of the width; easily .* removed", one.sentence()
    )


def test_footage_without_a_mark_has_none(tmp_path: Path) -> None:
    looked = told(encode(tmp_path / "plain.mp4", moving(), SIZE))
    assert looked.measurable
    assert looked.overlays == ()


@pytest.mark.parametrize(("rows", "cols"), [(28, 0), (0, 40), (20, 24)])
def test_black_bars_are_not_marks(tmp_path: Path, rows: int, cols: int) -> None:
    path = encode(tmp_path / "boxed.mp4", boxed(moving(), rows, cols), SIZE)
    assert told(path).overlays == ()


def test_a_mark_beside_a_bar_and_one_within_it_are_marks(tmp_path: Path) -> None:
    inside = encode(tmp_path / "inside.mp4", marked(boxed(moving(), 14, 0), 12, 18), SIZE)
    assert [one.place for one in told(inside).overlays] == ["top left"]
    upon = encode(tmp_path / "upon.mp4", marked(boxed(moving(), 36, 0), 12, 6), SIZE)
    assert [one.place for one in told(upon).overlays] == ["top left"]


def test_a_film_that_stands_still_is_not_measurable(tmp_path: Path) -> None:
    looked = told(encode(tmp_path / "still.mp4", standing(FRAMES), SIZE))
    assert not looked.measurable
    assert looked.overlays == ()


def test_a_picture_shown_turned_has_its_mark_where_people_see_it(tmp_path: Path) -> None:
    path = encode(tmp_path / "turned.mp4", marked(moving(), 250, 160), SIZE, rotate=90)
    (one,) = told(path).overlays
    (by_decord,) = told(path, DecordDecoder()).overlays
    assert one.place == by_decord.place != "bottom right"
    assert one.height > one.width


def test_the_same_mark_over_other_footage_looks_alike_and_another_mark_does_not(film: Path, tmp_path: Path) -> None:
    (one,) = told(film).overlays
    again = encode(tmp_path / "again.mp4", marked(moving(seed=8), 250, 160), SIZE)
    other = encode(tmp_path / "other.mp4", marked(moving(), 250, 160, seed=3), SIZE)
    same, different = (likeness(one.pattern, told(path).overlays[0].pattern) for path in (again, other))
    assert same > 0.5 > different + 0.1


def test_a_file_cannot_pass_its_own_tag_for_what_was_seen(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "tag.mkv", scene(24, (96, 64)), (96, 64), metadata={FACT: '{"frames":9,"moving":1,"overlays":[]}'}
    )
    *_, end = PyAVDecoder().decode(DecodeRequest(str(path), WindowPlan()))
    assert isinstance(end, DecodeSummary)
    assert end.facts.declared[f"tag_{FACT}"].startswith('{"frames":9')
    assert read(end.facts.declared[FACT]).frames != 9


def test_only_the_first_bursts_are_looked_at_so_that_ranges_agree_with_the_whole(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", marked(scene(160, SMALL), 190, 112), SMALL, gop=16)
    long = PyAVDecoder(long_s=0.5)
    plan = WindowPlan(every_s=0.64)
    *_, whole = long.decode(DecodeRequest(str(path), plan))
    assert (whole.facts.notes, whole.planned) == ((), 10)
    assert [one.place for one in read(whole.facts.declared[FACT]).overlays] == ["bottom right"]
    parts = [
        list(long.decode(DecodeRequest(str(path), plan, bursts=bursts)))[-1]
        for bursts in (BurstRange(0, FIRST_BURSTS), BurstRange(FIRST_BURSTS))
    ]
    assert FACT not in parts[1].facts.declared
    assert added_up(parts).facts.declared == whole.facts.declared


def test_a_frame_that_is_decoded_twice_is_looked_at_once(film: Path) -> None:
    astray = PyAVDecoder(long_s=0.5)  # its first keyframes are not where seeking looks for them: read from the start
    *_, end = astray.decode(DecodeRequest(str(film), WindowPlan()))
    assert "seeking led astray; read from the start" in end.facts.notes
    assert read(end.facts.declared[FACT]).frames <= 4 + 3 * 2


def test_ten_bits_give_the_mark_that_eight_give() -> None:
    watches = OverlayWatch(), OverlayWatch()
    for number, picture in enumerate(marked(scene(12, SIZE), 250, 160)):
        watches[0].see(picture[0], 8, 0, number)
        watches[1].see(picture[0].astype(np.uint16) << 2, 10, 0, number)
    one, two = (watch.looked() for watch in watches)
    assert one is not None
    assert one.overlays
    assert one == two


BLANK = "0" * GRID_ROWS * GRID_COLS
GOOD = {"frames": 9, "moving": 0.5, "overlays": [[0.8, 0.9, 0.1, 0.05, 40.0, 0.97, BLANK]]}


def test_an_account_of_overlays_comes_back_as_it_was() -> None:
    looked = read(json.dumps(GOOD))
    assert read(looked.text()) == looked
    assert len(looked.text()) < 1200


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "[]",
        "null",
        "{" * 5000,
        json.dumps({**GOOD, "frames": -1}),
        json.dumps({**GOOD, "moving": 2}),
        json.dumps({**GOOD, "moving": float("nan")}),
        json.dumps({**GOOD, "overlays": GOOD["overlays"] * 5}),
        json.dumps({**GOOD, "overlays": [[0.8, 0.9, 0.3, 0.05, 40.0, 0.97, BLANK]]}),
        json.dumps({**GOOD, "overlays": [[0.8, 0.9, 0.1, 0.05, 1e9, 0.97, BLANK]]}),
        json.dumps({**GOOD, "overlays": [[0.8, 0.9, 0.1, 0.05, 40.0, 0.97, BLANK[1:] + "x"]]}),
        json.dumps({**GOOD, "overlays": [[0.8, 0.9, 0.1, 0.05, 40.0, 0.97, 7]]}),
        json.dumps({**GOOD, "overlays": [[0.8, 0.9]]}),
        json.dumps({**GOOD, "overlays": [["a"] * 7]}),
        json.dumps({**GOOD, "overlays": 3}),
    ],
)
def test_nonsense_is_no_account_of_overlays(nonsense: str) -> None:
    assert not is_sound(nonsense)
