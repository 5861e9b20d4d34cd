"""Losses by band, and what their drop less the gain says of the making: arithmetic against plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.fft import dctn

from fingerprint_db.calibrate import auc
from fingerprint_db.reconstruction import (
    BANDS,
    LEFT_OUT,
    Losses,
    ReconstructionModel,
    fit_reconstruction,
    measure_losses,
    pooled_losses,
    refined_loss,
)


def slow_blocks(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Block by block, coefficient by coefficient: energies by band, and of luma in all."""
    rows, wholes = [], []
    for frame in residual.astype(np.float64):
        luma = 0.299 * frame[0] + 0.587 * frame[1] + 0.114 * frame[2]
        for top in range(0, luma.shape[0] - 7, 8):
            for left in range(0, luma.shape[1] - 7, 8):
                here = (slice(top, top + 8), slice(left, left + 8))
                block = dctn(luma[here], norm="ortho") ** 2
                bands: list[list[float]] = [[] for _ in range(7)]
                for down in range(8):
                    for across in range(8):
                        bands[min(max(down, across), 6)].append(block[down, across])
                colours = [np.mean((frame[c][here] - frame[1][here]) ** 2) for c in (2, 0)]
                rows.append([float(np.mean(band)) for band in bands] + colours)
                wholes.append(block.sum())
    return np.array(rows), np.array(wholes)


def three(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, scale, (2, 3, 27, 40)).astype(np.float32) for scale in (5, 3, 2)]


def test_bands_are_what_plain_loops_say_of_all_but_the_blocks_that_lose_most() -> None:
    plain, first, second = three()
    found = measure_losses(plain, first, second)
    (before, _), (once, lost), (twice, again) = (slow_blocks(one) for one in (plain, first, second))
    order = np.argsort(lost + again)
    kept = order[: round(len(order) * (1 - LEFT_OUT))]
    assert found.blocks == len(kept) == 28  # of 30
    for bands, rows in ((found.plain, before), (found.first, once), (found.second, twice)):
        assert np.allclose(bands, rows[kept].mean(axis=0), rtol=1e-5)
    logs = [np.log(rows.mean(axis=0) + 0.01) for rows in (before, once)]
    assert refined_loss(plain, first) == pytest.approx(float(np.mean(2 * logs[1] - logs[0])), rel=1e-5)


def test_a_picture_below_one_block_is_refused() -> None:
    small = np.zeros((1, 3, 7, 40), np.float32)
    with pytest.raises(ValueError, match="a picture of 7x40 has no block of 8x8"):
        measure_losses(small, small, small)


def test_excess_is_drop_less_half_the_gain_of_the_coarse_bands() -> None:
    one, two, eight = (np.full(9, value) for value in (1.0, 2.0, 8.0))
    losses = Losses(eight, two, one, 10)
    assert losses.drop == pytest.approx(np.log(2), abs=0.01)
    assert losses.gain == pytest.approx(np.log(4), abs=0.01)
    assert losses.excess == pytest.approx(0, abs=0.02)
    fine = Losses(np.array([2.0] * 4 + [2000.0] * 5), two, two, 10)
    assert (fine.gain, fine.excess) == (0, 0)
    loud = Losses(two, np.array([2000.0] + [2.0] * 8), two, 10)
    assert loud.drop == pytest.approx(np.log(1000) / 9, rel=0.01)
    assert dict(zip(BANDS, loud.drops, strict=True))["flat"] == pytest.approx(np.log(1000), rel=0.01)


def test_parts_are_pooled_by_their_blocks() -> None:
    one, two = (Losses(np.full(9, v), np.full(9, v), np.full(9, v), blocks) for v, blocks in ((1.0, 30), (5.0, 10)))
    both = pooled_losses([one, two])
    assert (both.blocks, both.first[0], both.plain[3], both.second[8]) == (40, 2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="no part of a picture was reconstructed"):
        pooled_losses([])


def cohort(seed: int, apart: float, sources: int = 8) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Drops of camera clips about ``apart`` and of made clips about 0, two of each a source and quality."""
    rng = np.random.default_rng(seed)
    rows = [(s, made, q) for s in range(sources) for made in (False, True) for q in (12.0, 18.0, 23.0)]
    drops = np.array([rng.normal(0 if made else apart, 0.1) for _, made, _ in rows])
    return (
        drops,
        np.array([made for _, made, _ in rows]),
        [f"s{s}" for s, _, _ in rows],
        np.array([q for _, _, q in rows]),
    )


def test_likelihood_ratios_order_made_above_camera_and_survive_json() -> None:
    drops, made, sources, quality = cohort(1, apart=0.4)
    model, llrs = fit_reconstruction(drops, made, sources, quality, buckets=(15.0, 20.0), cohort={"crfs": [18]})
    assert auc(llrs, made) > 0.97
    assert llrs[made].mean() > 1 > -1 > llrs[~made].mean()
    low, high = model.llr(np.array([0.5, -0.1]), np.array([18.0, 18.0]))
    assert low < 0 < high
    assert model.p_value(np.array([-0.3]))[0] == pytest.approx(1 / 25)  # lower than each of 24 camera clips
    again = ReconstructionModel.from_json(json.loads(json.dumps(model.to_json())))
    assert np.array_equal(again.llr(drops, quality), model.llr(drops, quality))
    assert again.cohort["sources"] == 8
    assert again.cohort["camera_clips"] == 24


def test_drops_that_say_nothing_give_likelihood_ratios_near_one() -> None:
    drops, made, sources, quality = cohort(2, apart=0.0)
    _, llrs = fit_reconstruction(drops, made, sources, quality)
    assert np.abs(llrs).max() < 0.7


def test_a_bucket_with_few_sources_borrows_from_all() -> None:
    drops, made, sources, quality = cohort(3, apart=0.4)
    quality[np.array(sources) == "s0"] = 40.0
    model, _ = fit_reconstruction(drops, made, sources, quality, buckets=(30.0,))
    below, beyond = model.calibrations
    assert beyond.weights[0] > 0
    assert beyond.centre[0] != below.centre[0]


def test_two_sources_are_too_few() -> None:
    drops, made, sources, quality = cohort(4, apart=0.4, sources=2)
    with pytest.raises(ValueError, match="of 3 sources, and has 2"):
        fit_reconstruction(drops, made, sources, quality)


def test_calibrations_that_do_not_go_with_their_buckets_are_refused() -> None:
    drops, made, sources, quality = cohort(5, apart=0.4)
    model, _ = fit_reconstruction(drops, made, sources, quality, buckets=(15.0,))
    raw = model.to_json() | {"buckets": []}
    with pytest.raises(ValueError, match="2 calibrations do not go with 0 edges"):
        ReconstructionModel.from_json(raw)
