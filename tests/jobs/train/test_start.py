"""The weights that a training starts from: against slow references, and as the picture codec they are meant to be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.train.levels import Levels, cells, lay_out, one_after_the_other
from jobs.train.prototypes import build, prototype
from jobs.train.start import start


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def footage(count: int, frames: int, side: int) -> Tensor:
    """Smooth pictures with edges that move, (B, T, 3, H, W) in -1..1."""
    rng = np.random.default_rng(3)
    across = np.arange(side)
    made = np.zeros((count, frames, 3, side, side), np.float32)
    for one in made:
        slope, phase, edge = rng.normal(size=(3, 2)), rng.uniform(0, 6, 3), rng.integers(1, side - 2)
        for number, frame in enumerate(one):
            for colour in range(3):
                wave = np.sin(across[:, None] * slope[colour, 0] / 6 + across * slope[colour, 1] / 6 + phase[colour])
                frame[colour] = 0.5 * wave + 0.3 * (across > edge + number)
    return torch.from_numpy(made)


def test_blocks_and_components_against_slow_references() -> None:
    video = footage(4, 5, 8)
    levels = Levels(video, True, torch.Generator().manual_seed(0), count=3)
    blocks = levels.blocks(4, 3)
    assert blocks.shape == (3, 3, 2, 2, 2 * 4 * 4 * 3)
    shown = [[0, 0], [1, 2], [3, 4]]  # the first frame of a causal class stands for itself
    for place in np.ndindex(3, 3, 2, 2):
        clip, step, row, column = place
        values = [
            float(video[clip, frame, colour, 4 * row + y, 4 * column + x])
            for frame in shown[step]
            for y in range(4)
            for x in range(4)
            for colour in range(3)
        ]
        assert blocks[place].tolist() == values
    levels.count = 4
    found = levels.components(4, 3).flatten(0, 3)
    spread = found.var(0)
    assert spread[0] == pytest.approx(1, abs=0.02)
    assert (spread < 1.02).all()
    alike = torch.corrcoef(found[:, :6].T) - torch.eye(6)
    assert alike.abs().max() < 1e-3


def test_frames_of_a_class_that_is_not_causal_are_dealt_evenly() -> None:
    video = footage(2, 8, 4)
    blocks = Levels(video, False, torch.Generator().manual_seed(0), count=2).blocks(4, 4)
    assert torch.equal(blocks[0, 1, 0, 0], video[0, 2:4].permute(0, 2, 3, 1).flatten())


def test_layouts_of_channels() -> None:
    components = torch.arange(1.0, 5.0).expand(1, 2, 2, 4, 4)
    laid = lay_out(components, 8)
    assert laid[0, 0, 0, 0].tolist() == [1 + 6, -1 + 6, 2 - 6, -2 - 6, 3 + 6, -3 + 6, 4 - 6, 0 - 6]
    numbered = torch.arange(2.0 * 2 * 4 * 3).reshape(1, 2, 2, 4, 3)
    assert one_after_the_other(numbered, 1)[0, 0, 1, 2].tolist() == [
        *numbered[0, 0, 1, 2].tolist(),
        *numbered[0, 1, 1, 2].tolist(),
    ]
    unfolded = cells(numbered, 1, 2)
    for channel, time, row, column in np.ndindex(3, 2, 2, 2):
        place = channel * 8 + time * 4 + row * 2 + column
        assert unfolded[0, 0, 0, 1, place] == numbered[0, time, row, 2 + column, channel]


@pytest.mark.parametrize("name", ["tiny", "kl", "wan", "mochi"])
def test_the_start_gives_its_own_footage_back_where_random_weights_give_grey(name: str) -> None:
    one = prototype(name)
    frames = 1 if not one.volumetric else 5
    video = footage(12, frames, 32)
    model = build(one, 0).eval()
    with torch.no_grad():
        before = (model(video) - video).square().mean()
        silent = start(model, video, 0)
        after = (model(video) - video).square().mean()
    assert after < 0.1 * before
    assert after < 0.05 * video.var()
    assert all("conv1" not in branch for branch in silent)
    assert (len(silent) > 0) == (name != "tiny"), "the blocks of the coarsest level are named, tiny's have other parts"
