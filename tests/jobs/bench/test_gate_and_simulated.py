"""The gate's figures against a slow reference; simulated decoders and hard negatives do what they say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from jobs.bench.cuts import Cut, gather_cuts
from jobs.bench.footage import Split, load_footage
from jobs.bench.gate import LOSSLESS_DB, RoundTrip, round_trip
from jobs.bench.negatives import NEGATIVES
from jobs.bench.simulated import SimulatedDecoder, draw_spec
from jobs.bench.upsamplers import TRACES
from jobs.encode import Rgb


@pytest.fixture(scope="module")
def sample(camera: Path) -> list[Cut]:
    clips, _ = load_footage(camera, frames=9)
    return [cut[:8] for cut in gather_cuts(clips, Split.TRAIN, 0, 2)]


def _slow(before: list[Rgb], after: list[Rgb]) -> tuple[float, float]:
    squared = count = 0
    energy = [0.0, 0.0]
    for old, new in zip(before, after, strict=True):
        for a, b in zip(old.reshape(-1).tolist(), new.reshape(-1).tolist(), strict=True):
            squared += (a - b) ** 2
            count += 1
        for which, frame in enumerate((old, new)):
            grey = [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in line] for line in frame.tolist()]
            for y, line in enumerate(grey):
                for x, value in enumerate(line):
                    if y + 1 < len(grey):
                        energy[which] += (grey[y + 1][x] - value) ** 2
                    if x + 1 < len(line):
                        energy[which] += (line[x + 1] - value) ** 2
    return 10 * math.log10(255**2 / (squared / count)), energy[1] / energy[0]


def test_psnr_and_gradient_energy_are_those_of_a_slow_reference() -> None:
    rng = np.random.default_rng(1)
    before = [rng.integers(0, 256, (7, 5, 3), dtype=np.uint8) for _ in range(3)]
    after = [np.clip(frame + rng.integers(-9, 10, frame.shape), 0, 255).astype(np.uint8) for frame in before]
    found = round_trip(before, after)
    assert (found.psnr_db, found.gradient_ratio) == pytest.approx(_slow(before, after), rel=1e-5)


def test_the_gate_asks_for_fidelity_and_for_the_detail_it_started_with() -> None:
    assert RoundTrip(30.0, 0.85).sharp
    assert RoundTrip(40.0, 1.1).sharp
    assert not RoundTrip(29.9, 1.0).sharp
    assert not RoundTrip(40.0, 0.84).sharp
    assert not RoundTrip(40.0, 1.11).sharp
    same = [np.full((4, 4, 3), 9, np.uint8)]
    assert round_trip(same, same) == RoundTrip(LOSSLESS_DB, 1.0)
    with pytest.raises(ValueError, match="a round trip keeps their number"):
        round_trip(same, same * 2)


def test_simulated_decoders_reach_the_fidelity_that_was_drawn(sample: list[Cut]) -> None:
    for seed in range(4):
        decoder = SimulatedDecoder(draw_spec(seed), sample)
        before = [frame for cut in sample for frame in cut]
        after = [frame for cut in sample for frame in decoder(list(cut))]
        assert round_trip(before, after).psnr_db == pytest.approx(decoder.spec.psnr_db, abs=1.5)


def test_a_simulated_decoder_is_its_seed_and_no_other(sample: list[Cut]) -> None:
    frames = list(sample[0])
    one, again, other = (np.stack(SimulatedDecoder(draw_spec(n), sample)(frames)) for n in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_noise_of_a_latent_is_no_fixed_pattern(sample: list[Cut]) -> None:
    noisy = next(spec for spec in map(draw_spec, range(50)) if spec.loss == "noise" and spec.trace_share < 0.5)
    decoder = SimulatedDecoder(noisy, sample)
    one, other = list(sample[0]), [np.clip(frame.astype(int) + 1, 0, 255).astype(np.uint8) for frame in sample[0]]
    first, second = (np.stack(decoder(cut)).astype(float) - np.stack(cut) for cut in (one, other))
    assert np.corrcoef(first.reshape(-1), second.reshape(-1))[0, 1] < 0.8
    assert np.array_equal(np.stack(decoder(one)), np.stack(decoder(one)))


def test_all_kinds_of_up_samplers_and_losses_occur() -> None:
    specs = [draw_spec(seed) for seed in range(200)]
    assert {name for spec in specs for name in spec.traces} == set(TRACES)
    assert {(spec.stride, spec.period) for spec in specs} == {(s, t) for s in (4, 8, 16) for t in (1, 4, 8)}
    assert len({spec.family for spec in specs}) > 100


def test_a_simulated_decoder_takes_any_number_of_frames(sample: list[Cut]) -> None:
    decoder = SimulatedDecoder(draw_spec(3), sample)
    assert [len(decoder(list(sample[0][:n]))) for n in (1, 3, 8)] == [1, 3, 8]


def test_hard_negatives_take_detail_away_or_give_too_much_of_it(sample: list[Cut]) -> None:
    frames = list(sample[0])
    ratio = {
        name: round_trip(frames, make(frames, np.random.default_rng(2)).frames).gradient_ratio
        for name, make in NEGATIVES.items()
    }
    assert ratio["sharpen"] > 1.1
    assert max(ratio[name] for name in ("blur", "resample", "denoise", "double")) < 1
    assert "sigma" in NEGATIVES["blur"](frames, np.random.default_rng(2)).parameters
