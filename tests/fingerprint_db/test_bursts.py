"""Windows on one time line: frame numbers across gaps, rates that containers round, crops side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingerprint_db.bursts import timeline
from fingerprint_db.window import WindowFingerprint

EMPTY = np.zeros(0, np.float32)


def window(burst: int, numbers: range, rate: float, *, crop: int = 0, tick: float = 0.0, value: float = 1.0):
    times = np.array([n / rate for n in numbers])
    if tick:
        times = np.round(times / tick) * tick
    traces = {
        "time": (times - times[0]).astype(np.float32),
        "level": np.full(len(times), value, np.float32),
        "change": np.array([np.nan, *([value] * (len(times) - 1))], np.float32),
    }
    return WindowFingerprint(
        burst, crop, 0, 32 * crop, 64, 64, float(times[0]), float(times[-1]), EMPTY, EMPTY, {}, traces, "P" * len(times)
    )


@pytest.mark.parametrize("rate", [24000 / 1001, 25.0, 30000 / 1001, 50.0, 60.0, 8.0])
@pytest.mark.parametrize("tick", [0.0, 0.001])
def test_frames_keep_their_numbers_over_an_hour_between_bursts(rate: float, tick: float) -> None:
    far = round(3600 * rate)
    film = timeline([window(0, range(16), rate, tick=tick), window(1, range(far, far + 16), rate, tick=tick)], rate)
    assert film is not None
    assert film.steady
    assert film.bursts[1].numbers.tolist() == list(range(far, far + 16))
    assert film.rate == pytest.approx(rate, rel=1e-6)


def test_a_rate_that_the_container_states_wrongly_is_taken_from_the_times() -> None:
    film = timeline([window(0, range(16), 25.0), window(1, range(500, 516), 25.0)], 30.0)
    assert film is not None
    assert film.rate == pytest.approx(25.0)
    assert film.bursts[1].numbers[0] == 500


def test_bursts_that_lie_on_no_common_grid_are_not_steady() -> None:
    loose = replace(window(1, range(500, 516), 25.0), start_s=20.017)
    film = timeline([window(0, range(16), 25.0), loose], 25.0)
    assert film is not None
    assert not film.steady


def test_crops_of_a_burst_lie_side_by_side_and_are_averaged_where_they_are_known() -> None:
    film = timeline(
        [window(3, range(16), 25.0, crop=1, value=3.0), window(3, range(16), 25.0, crop=0, value=1.0)], 25.0
    )
    assert film is not None
    (burst,) = film.bursts
    assert sorted(burst.crops) == [(0, 0), (0, 32)]
    assert burst.mean("level").tolist() == [2.0] * 16
    assert np.isnan(burst.mean("change")[0])
    assert film.frames == 16
    assert film.seconds == pytest.approx(16 / 25)


def test_a_single_frame_and_windows_without_series_do_no_harm() -> None:
    film = timeline([window(0, range(1), 25.0)], 0.0)
    assert film is not None
    assert film.frames == 1
    assert timeline([replace(window(0, range(4), 25.0), traces={})], 25.0) is None
    assert timeline([], 25.0) is None


def test_bursts_that_follow_each_other_are_one_and_a_gap_parts_them() -> None:
    def linked(number: int, frames: range, first: float) -> WindowFingerprint:
        made = window(number, frames, 25.0)
        return replace(made, traces={**made.traces, "fine_change": np.array([first, *[2.0] * 15], np.float32)})

    film = timeline(
        [linked(0, range(16), np.nan), linked(1, range(16, 32), 3.0), linked(2, range(40, 56), np.nan)], 25.0
    )
    assert film is not None
    assert [burst.numbers.tolist() for burst in film.bursts] == [list(range(32)), list(range(40, 56))]
    assert film.bursts[0].series["fine_change"][0, 16] == 3.0
    assert film.bursts[0].picture_types == "P" * 32
    assert film.frames == 48
