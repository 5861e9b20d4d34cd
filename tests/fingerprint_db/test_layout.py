"""Known answers for lattices, lines between tiles and rhythms: what is planted is found, what a codec leaves is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fingerprint_db.bursts import Burst, Timeline
from fingerprint_db.layout.findings import Readings, judged, layout, native_fits, read_layout, summary
from fingerprint_db.layout.lattice import CHANCE_MEAN, CHANCE_SPREAD, STRIDES, codec_lines, search, spectrum
from fingerprint_db.layout.profiles import MARGIN, PROFILE_NAMES, measure_profiles
from fingerprint_db.layout.ranges import LayoutRanges, fitted_weights, load_ranges, save_ranges, shipped_ranges
from fingerprint_db.layout.rhythms import first_frame, places, temporal_rhythm
from fingerprint_db.layout.tiles import documented_tilings, free_tilings, steps_of, tile_seams
from fingerprint_db.residual import load_planes
from fingerprint_db.window import FrameWindow
from tests.fingerprint_db.planted import film, through_blocks, windows, with_lattice, with_tiles

TWO = ((0, 0), (32, 288))
SIZE = (544, 288)
BARE = LayoutRanges({s: [0.0] * 5 for s in STRIDES}, dict.fromkeys(STRIDES, 1.0), {}, {}, {})


def _table(**false_alarms: float) -> LayoutRanges:
    """A table of 400 camera files that show nothing."""
    measures = ("scaled_lattice", "unscaled_lattice", "tiles", "free_tiles", "rhythm", "first_frame")
    return replace(BARE, scores={name: list(np.linspace(0, 5, 400)) for name in measures}, false_alarms=false_alarms)


def test_profiles_are_what_their_definitions_say() -> None:
    luma = np.random.default_rng(1).integers(0, 256, (3, 64, 96)).astype(np.uint8)
    none = np.zeros((3, 0, 0), np.uint8)
    window = FrameWindow(0, 0, 0, 0, luma, none, none, 8, False, np.arange(3) / 25, "PPP")
    with torch.inference_mode():
        found = measure_profiles(load_planes(window))
    assert tuple(found) == PROFILE_NAMES
    assert {name: len(profile) for name, profile in found.items()} == {
        "signed_x": 92, "signed_y": 60, "step_x": 92, "step_y": 60
    }  # fmt: skip
    x = luma.astype(np.float64)
    at = 40
    step = (x[:, :, at] - x[:, :, at - 1]) - 0.5 * (
        (x[:, :, at - 1] - x[:, :, at - 2]) + (x[:, :, at + 1] - x[:, :, at])
    )
    assert found["step_x"][at - MARGIN] == pytest.approx(np.log(np.abs(step[:, 2:-2]) + 1).mean(), abs=2e-4)
    step = (x[:, at] - x[:, at - 1]) - 0.5 * ((x[:, at - 1] - x[:, at - 2]) + (x[:, at + 1] - x[:, at]))
    assert found["step_y"][at - MARGIN] == pytest.approx(np.log(np.abs(step[:, 2:-2]) + 1).mean(), abs=2e-4)


def test_the_constants_of_chance_are_those_of_the_lower_of_two_exponentials() -> None:
    z = np.random.default_rng(2).exponential(size=(400_000, 2)).min(axis=1)
    assert np.log1p(z).mean() == pytest.approx(CHANCE_MEAN, abs=2e-3)
    assert np.log1p(z).std() == pytest.approx(CHANCE_SPREAD, abs=2e-3)


def test_a_lattice_of_stride_8_scaled_by_three_quarters_is_found_with_its_scale() -> None:
    seen = spectrum(windows(with_lattice(film(288, 544), 6.0, 0.15), TWO))
    assert seen is not None
    found = search(seen)
    assert found.period == pytest.approx(6.0, rel=0.003)
    assert found.score > 8
    fits = native_fits(found.period, (480, 360))
    assert (fits[0]["stride"], fits[0]["scale"]) == (8, pytest.approx(0.75, rel=0.003))
    assert {fit["stride"] for fit in fits} == {4, 8}  # 16 px at three eighths is out of bounds


def test_a_scale_that_gives_a_generators_own_size_comes_before_one_that_changes_less() -> None:
    # 12 px are stride 8 of a 1280 x 720 film at 1920 x 1080, or stride 16 of one of a size that nothing here makes.
    (first, *_) = native_fits(12.0, (1920, 1080))
    assert (first["stride"], first["scale"]) == (8, 1.5)
    assert first["native"]


def test_windows_at_two_places_add_up_in_phase() -> None:
    frames = with_lattice(film(288, 544), 6.0, 0.08)
    alone, both = (spectrum(windows(frames, crops)) for crops in (TWO[:1], TWO))
    assert alone is not None
    assert both is not None
    assert search(both).score > search(alone).score
    shifted = [replace(window, left=window.left + 3 * (window.crop == 1)) for window in windows(frames, TWO)]
    wrong = spectrum(shifted)
    assert wrong is not None
    assert wrong.at(1 / 6) < both.at(1 / 6)


def test_a_codecs_blocks_are_no_lattice_off_its_grid() -> None:
    frames = through_blocks(film(288, 544, seed=3), 12.0)
    seen = spectrum(windows(frames, TWO))
    assert seen is not None
    assert search(seen).score < 6  # of 400 camera files a few come so far by chance
    assert not layout(windows(frames, TWO), 25.0, SIZE)["spatial_stride"]["said"]  # type: ignore[index]


def test_what_a_codec_leaves_at_one_stride_is_foretold_by_the_others() -> None:
    rng = np.random.default_rng(5)
    quantiser = rng.uniform(0, 3, 200)
    seen = [{s: float(q * (1 + s / 32) + rng.normal() * 0.1) for s in STRIDES} for q in quantiser]
    weights, spread = fitted_weights(seen)
    table = LayoutRanges(weights, spread, {}, {}, {})
    coarse = {s: 3.0 * (1 + s / 32) for s in STRIDES}
    assert abs(table.beyond_codec(coarse)[1]) < 3  # the coarsest quantiser is still a quantiser
    stride, score = table.beyond_codec({**coarse, 4: coarse[4] + 2})
    assert stride == 4
    assert score > 6


def test_hard_lines_between_tiles_are_found_and_named() -> None:
    steps = steps_of(windows(with_tiles(film(288, 544), 192, 2.5), TWO))
    assert steps is not None
    found = tile_seams(steps, documented_tilings())
    assert found is not None
    assert (found.tiling.rows, found.tiling.columns) == (192, 192)
    assert "wan-vae" in found.tiling.families
    assert found.score > 6
    assert {(axis, at) for axis, at, _ in found.strongest} == {("x", 192), ("x", 384), ("y", 192)}
    assert (192, 192) not in {(tiling.rows, tiling.columns) for tiling in free_tilings()}


def test_faded_tiles_are_not_seen() -> None:
    steps = steps_of(windows(with_tiles(film(288, 544), 192, 2.5, fade=64), TWO))
    assert steps is not None
    found = tile_seams(steps, documented_tilings())
    assert found is not None
    assert found.score < 4


def test_one_edge_of_the_scene_at_a_tiles_place_is_no_lattice() -> None:
    frames = film(288, 544)
    frames[:, :, 192:] += 25.0
    steps = steps_of(windows(frames, TWO))
    assert steps is not None
    assert steps.x[192] > 6
    found = tile_seams(steps, [tiling for tiling in documented_tilings() if tiling.columns == 192])
    assert found is not None
    assert found.score == 0


def test_a_codecs_blocks_are_no_tiles() -> None:
    steps = steps_of(windows(through_blocks(film(288, 544, seed=4), 16.0), TWO))
    assert steps is not None
    found = tile_seams(steps, documented_tilings())
    assert found is not None
    assert found.score < 4


def _film_of(detail: NDArray[np.float64], types: str, bursts: int = 3) -> Timeline:
    length = len(detail) // bursts
    made = []
    for number in range(bursts):
        at = np.arange(number * length, (number + 1) * length)
        series = {"detail": detail[None, at], "fine_change": np.zeros((1, length))}
        made.append(Burst(at / 25, at, types[at[0] : at[-1] + 1], series, ((0, 0),)))
    return Timeline(tuple(made), 25.0, True)


def test_a_rhythm_is_told_where_picture_types_do_not_take_it_and_nowhere_else() -> None:
    detail = np.random.default_rng(6).normal(scale=0.1, size=48)
    pulsing = detail + 0.5 * (np.arange(48) % 4 == 1)
    found = temporal_rhythm(_film_of(pulsing, "P" * 48))
    assert found is not None
    assert (found.period, found.series) == (4, "detail")
    assert found.score > 8
    quiet = temporal_rhythm(_film_of(detail, "P" * 48))
    assert quiet is not None
    assert quiet.score < 4
    # Three B-frames between P-frames have the same rhythm: what is left to test has other periods.
    taken = temporal_rhythm(_film_of(pulsing, "PBBB" * 12))
    assert taken is None or taken.score < 4
    assert temporal_rhythm(_film_of(pulsing[:16], "PBBB" * 4, bursts=1)) is None


def test_b_frames_are_told_apart_by_their_place_in_the_run() -> None:
    assert places("IBBBPP") == [("I", 0, 0), ("B", 3, 0), ("B", 3, 1), ("B", 3, 2), ("P", 0, 0), ("P", 0, 0)]


def test_a_first_frame_is_held_against_other_keyframes() -> None:
    detail = np.zeros(48)
    detail[[0, 16, 32]] = 1.0, 0.4, 0.4
    types = "".join("I" if n % 16 == 0 else "P" for n in range(48))
    assert first_frame(_film_of(detail, types)) == pytest.approx(0.6)
    assert first_frame(_film_of(detail, "I" + "P" * 47)) is None  # no other keyframe was looked at


def test_what_is_said_is_plain_and_carries_the_rate_at_which_camera_footage_has_it() -> None:
    read = read_layout(windows(with_tiles(film(288, 544), 192, 2.5), TWO), 25.0)
    assert read is not None
    found = judged(read, SIZE, _table(tiles=0.012, spatial_stride=0.0))
    assert found["tiles"]["said"]
    assert found["tiles"]["step_px"] == [192, 192]
    assert found["tiles"]["p_value"] == pytest.approx(2 / 401, abs=1e-4)
    assert found["temporal_stride"] == {
        "said": False, "not_measurable": "the picture types take every rhythm of 4, 6 and 8 frames"
    }  # fmt: skip
    (sentence,) = found["consistent_with"]
    assert sentence.endswith("(Said of 1.2% of camera files.)")
    assert "consistent with tiles" in sentence
    assert summary(found) == "lines as between tiles every 192 x 192 px (p 0.005)"


def test_a_finding_that_camera_footage_shows_too_often_is_not_put_into_words() -> None:
    read = read_layout(windows(with_tiles(film(288, 544), 192, 2.5), TWO), 25.0)
    assert read is not None
    assert judged(read, SIZE, _table(tiles=0.08))["consistent_with"] == []
    assert judged(read, SIZE, _table())["consistent_with"] == []  # a rate that nobody measured


def test_windows_from_before_profiles_say_nothing() -> None:
    old = [replace(window, profiles={}) for window in windows(film(288, 544), TWO)]
    assert layout(old, 25.0, SIZE) is None


def test_a_table_is_written_and_read_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("table") / "layout_camera.json"
    save_ranges(_table(tiles=0.01), path)
    again = load_ranges(path)
    assert again.p_value("tiles", 4.0) == pytest.approx(_table().p_value("tiles", 4.0))
    assert again.p_value("tiles", 99.0) == 1 / 401
    assert again.p_value("tiles", -1.0) == 1.0
    path.write_text(path.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(ValueError, match="version 9"):
        load_ranges(path)


def test_the_shipped_table_was_made_of_camera_footage_of_many_sources() -> None:
    table = shipped_ranges()
    assert table.provenance["sources"] >= 20
    assert set(table.weights) == set(STRIDES)
    assert len(table.scores["tiles"]) > 200
    assert max(table.false_alarms.values()) <= 0.05


def test_lines_of_strides_are_the_harmonics_that_shorter_ones_have_not() -> None:
    seen = spectrum(windows(with_lattice(film(288, 544), 16.0, 0.2), TWO))
    assert seen is not None
    lines = codec_lines(seen)
    assert min(lines[s] for s in (2, 4, 8, 16)) > 2
    assert lines[32] < 1
    assert isinstance(read_layout(windows(film(288, 544)), 25.0), Readings)
