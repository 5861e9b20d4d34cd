"""Losses by band and what their drop from first to second reconstruction says: arithmetic against plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.fft import dctn

from fingerprint_db.calibrate import auc
from fingerprint_db.reconstruction import (
    BANDS,
    Loss,
    ReconstructionModel,
    band_drops,
    drop,
    fit_reconstruction,
    measure_loss,
)


def slow_loss(residual: np.ndarray) -> tuple[list[float], float]:
    """Block by block, coefficient by coefficient."""
    sums, counts, logs = np.zeros(7), np.zeros(7), []
    for frame in residual.astype(np.float64):
        luma = 0.299 * frame[0] + 0.587 * frame[1] + 0.114 * frame[2]
        for top in range(0, luma.shape[0] - 7, 8):
            for left in range(0, luma.shape[1] - 7, 8):
                block = dctn(luma[top : top + 8, left : left + 8], norm="ortho")
                logs.append(np.log((block**2).sum() + 4.0))
                for down in range(8):
                    for across in range(8):
                        band = min(max(down, across), 6)
                        sums[band] += block[down, across] ** 2
                        counts[band] += 1
    return list(sums / counts), float(np.mean(logs))


def test_bands_and_blocks_are_what_plain_loops_say() -> None:
    residual = np.random.default_rng(0).normal(0, 3, (2, 3, 27, 40)).astype(np.float32)
    found = measure_loss(residual)
    bands, blocks = slow_loss(residual)
    assert np.allclose(found.bands[:7], bands, rtol=1e-5)
    assert found.blocks == pytest.approx(blocks, rel=1e-5)
    part = residual[:, :, :24, :40].astype(np.float64)
    assert found.bands[BANDS.index("blue")] == pytest.approx(np.mean((part[:, 2] - part[:, 1]) ** 2), rel=1e-5)
    assert found.bands[BANDS.index("red")] == pytest.approx(np.mean((part[:, 0] - part[:, 1]) ** 2), rel=1e-5)


def test_a_picture_below_one_block_is_refused() -> None:
    with pytest.raises(ValueError, match="a picture of 7x40 has no block of 8x8"):
        measure_loss(np.zeros((1, 3, 7, 40), np.float32))


def test_the_drop_counts_every_band_alike_and_is_nought_where_nothing_more_was_lost() -> None:
    one, double = Loss(np.full(9, 2.0), 1.0), Loss(np.full(9, 4.0), 1.5)
    assert drop(band_drops(one, one)) == 0
    assert drop(band_drops(double, one)) == pytest.approx(np.log(2), rel=0.01)
    loud = Loss(np.array([2000.0] + [2.0] * 8), 1.0)
    assert drop(band_drops(loud, one)) == pytest.approx(np.log(1000) / 9, rel=0.01)


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
