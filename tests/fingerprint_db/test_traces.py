"""Series a frame: known motion in known units, arithmetic against slow references, and what short windows lack."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingerprint_db.fingerprint import fingerprint_window
from fingerprint_db.residual import halve, load_planes
from fingerprint_db.traces import CALM, TRACE_NAMES, block_motion, explained_change, measure_traces
from fingerprint_db.window import FrameWindow
from tests.fingerprint_db.moving import SIDE, camera, moved, read, texture


def window(frames: np.ndarray, *, chroma: bool = True) -> FrameWindow:
    luma = np.clip(np.round(frames), 0, 255).astype(np.uint8)
    height, width = (luma.shape[1] // 2, luma.shape[2] // 2) if chroma else (0, 0)
    grey = np.full((len(luma), height, width), 128, np.uint8)
    return FrameWindow(0, 0, 0, 0, luma, grey, grey, 8, False, np.arange(len(luma)) / 25 + 3, "P" * len(luma))


def traces_of(frames: np.ndarray, *, chroma: bool = True) -> dict[str, np.ndarray]:
    made = window(frames, chroma=chroma)
    with torch.inference_mode():
        return measure_traces(load_planes(made), made)


def test_block_motion_finds_a_known_shift_with_its_signs() -> None:
    picture = texture(1)
    two = torch.tensor(np.stack([picture, moved(picture, 0.3, -0.4)]), dtype=torch.float32)
    motion, _ = block_motion(two, 16)
    assert np.median(motion[0], axis=0).tolist() == pytest.approx([-0.4, 0.3], abs=0.05)


def test_block_motion_is_the_least_squares_solution_of_every_block() -> None:
    rng = np.random.default_rng(5)
    frames = rng.uniform(0, 255, size=(3, 34, 50))
    got, weights = block_motion(torch.tensor(frames, dtype=torch.float64), 16)
    gx = (frames[:, 1:-1, 2:] - frames[:, 1:-1, :-2]) / 2
    gy = (frames[:, 2:, 1:-1] - frames[:, :-2, 1:-1]) / 2
    for t in range(2):
        for number, (row, column) in enumerate([(0, 0), (0, 16), (0, 32), (16, 0), (16, 16), (16, 32)]):
            block = np.s_[row : row + 16, column : column + 16]
            x, y = ((g[t] + g[t + 1])[block].ravel() / 2 for g in (gx, gy))
            change = (frames[t + 1, 1:-1, 1:-1] - frames[t, 1:-1, 1:-1])[block].ravel()
            matrix = np.array([[x @ x, x @ y], [x @ y, y @ y]]) / 256 + 0.5 * np.eye(2)
            expected = -np.linalg.solve(matrix, np.array([x @ change, y @ change]) / 256)
            assert got[t, number].tolist() == pytest.approx(expected.tolist(), rel=1e-6)
            assert weights[t, number].tolist() == pytest.approx([matrix[0, 0], matrix[1, 1], matrix[0, 1]], rel=1e-6)


def test_steady_motion_has_far_less_acceleration_than_a_jerk() -> None:
    where = np.cumsum([[0, 0], [0.7, 0.9], [0.7, 0.9], [0.7, 0.9], [0.1, -0.6], [0.1, -0.6], [0.1, -0.6]], axis=0)
    found = traces_of(camera(7, where=where, noise=0.2))["acceleration"]
    assert np.isnan(found[[0, -1]]).all()
    # The jerk stands at frame 3: it is reached at one speed and left at another.
    assert int(np.nanargmax(found)) == 3
    assert found[3] > np.nanmax(np.delete(found, 3)) + 10


def test_explained_change_is_the_mean_quadratic_form_in_decibels() -> None:
    rng = np.random.default_rng(2)
    motion = rng.normal(size=(4, 3, 2))
    weights = rng.uniform(1, 2, size=(4, 3, 3))
    got = explained_change(motion, weights).tolist()
    for t in (0, 1, 2):
        powers = []
        for block in range(3):
            dx, dy = (motion[t + 1, block] - motion[t, block]).tolist()
            xx, yy, xy = weights[t + 1, block].tolist()
            powers.append(xx * dx * dx + yy * dy * dy + 2 * xy * dx * dy)
        assert got[t] == pytest.approx(10 * np.log10(np.mean(powers) + 0.01))


def test_change_of_calm_parts_and_likeness_against_slow_references() -> None:
    frames = np.round(camera(3, 7, noise=3))
    found = traces_of(frames)
    planes = load_planes(window(frames))
    fine, eighth = planes.fine_luma.numpy().astype(np.float64), halve(halve(planes.half)).numpy().astype(np.float64)
    for t in (1, 2):
        power = (fine[t] - fine[t - 1]) ** 2
        side = range(0, power.shape[0] - 30, 31)
        blocks = [power[r : r + 31, c : c + 31].mean() for r in side for c in side]
        calm = np.mean([10 * np.log10(np.quantile(blocks, q) + 0.1) for q in CALM])
        assert found["fine_change"][t] == pytest.approx(calm, abs=1e-3)
        a, b = (eighth[n] - eighth[n].mean() for n in (t - 1, t))
        alike = ((a * b).mean() + 1) / np.sqrt(((a * a).mean() + 1) * ((b * b).mean() + 1))
        assert found["alike"][t] == pytest.approx(alike, abs=1e-4)
    assert found["change"][1] == pytest.approx((planes.half[1] - planes.half[0]).abs().mean().item(), rel=1e-5)
    assert found["level"][0] == pytest.approx(frames[0].mean(), abs=0.6)
    assert found["time"].tolist() == pytest.approx([0, 0.04, 0.08])


@pytest.mark.parametrize("frames", [1, 2, 3, 16])
def test_every_series_has_a_value_a_frame_or_says_that_it_has_none(frames: int) -> None:
    found = traces_of(camera(frames))
    assert tuple(found) == TRACE_NAMES
    for name, series in found.items():
        assert series.shape == (frames,)
        assert series.dtype == np.float32
        first = {"time": 0, "level": 0, "level_b": 0, "level_r": 0, "detail": 0}.get(name, 1)
        last = frames - 1 if name in ("middle", "acceleration", "acceleration_coarse") else frames
        assert np.isfinite(series[first:last]).all(), name
        assert np.isnan(series[:first]).all(), name
        assert np.isnan(series[last:]).all(), name


def test_a_window_without_chroma_and_one_of_the_smallest_size_are_read() -> None:
    found = traces_of(camera(5)[:, :64, :64], chroma=False)
    assert np.isnan(found["level_b"]).all()
    assert np.isfinite(found["acceleration"][1:-1]).all()


def test_a_flat_picture_gives_finite_series() -> None:
    found = traces_of(np.full((6, SIDE, SIDE), 90.0))
    assert all(np.isfinite(found[name][1:-1]).all() for name in TRACE_NAMES)
    assert found["alike"][1:].tolist() == pytest.approx([1] * 5)


def test_a_window_keeps_its_series_and_picture_types_in_its_fingerprint() -> None:
    made = window(camera(5))
    kept = fingerprint_window(made)
    assert kept.picture_types == "PPPPP"
    assert tuple(kept.traces) == TRACE_NAMES
    assert kept.traces["acceleration"].tolist()[1:4] == traces_of(camera(5))["acceleration"].tolist()[1:4]
    assert len(read(camera(5), bursts=(0,))) == 1
