"""Decoding in tiles: what does nothing changes nothing, and what does something shows it at the lines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from jobs.bench.tiled import decoded_in_tiles, joins, model_decoder
from jobs.encode import Rgb


def _frames(count: int = 2, height: int = 96, width: int = 160) -> list[Rgb]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(count)]


def _same(frames: Sequence[Rgb]) -> list[Rgb]:
    return list(frames)


def _by_place(frames: Sequence[Rgb]) -> list[Rgb]:
    """Each call gives one level, the next higher than the last: what a pixel shows tells of which tile it came."""
    _by_place.calls += 10  # type: ignore[attr-defined]
    return [np.full_like(frame, _by_place.calls) for frame in frames]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("tile", "step"), [(64, 64), (64, 48), (96, 64)])
def test_a_decoder_that_changes_nothing_leaves_no_line(tile: int, step: int) -> None:
    frames = _frames()
    assert all(np.array_equal(a, b) for a, b in zip(decoded_in_tiles(_same, frames, tile=tile, step=step), frames,
                                                    strict=True))  # fmt: skip


def test_tiles_meet_at_hard_lines_and_fade_where_they_overlap() -> None:
    _by_place.calls = 0  # type: ignore[attr-defined]
    (hard,) = decoded_in_tiles(_by_place, _frames(1), tile=64, step=64)
    assert joins(160, 64) == [64, 128]
    assert hard[0, [0, 63, 64, 127, 128, 159], 0].tolist() == [10, 10, 20, 20, 30, 30]
    assert hard[[63, 64], 0, 0].tolist() == [10, 40]
    _by_place.calls = 0  # type: ignore[attr-defined]
    (faded,) = decoded_in_tiles(_by_place, _frames(1, 64, 112), tile=64, step=48)
    row = faded[0, :, 0].astype(int)
    assert row[47] == row[48] == 10  # a fade begins with nothing of the next tile
    assert row[56] == 15
    assert row[64] == 20
    assert (np.diff(row[40:72]) >= 0).all()


def test_tiles_that_leave_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be joined"):
        decoded_in_tiles(_same, _frames(1), tile=48, step=64)
    with pytest.raises(ValueError, match="cannot be joined"):
        decoded_in_tiles(_same, _frames(1), tile=160, step=64)


def test_the_model_loses_what_it_is_asked_to_and_depends_on_what_it_is_given() -> None:
    frames = [np.clip(frame // 4 + 90, 0, 255).astype(np.uint8) for frame in _frames(2, 96, 96)]
    decode = model_decoder(0, frames)
    loss = np.mean([(a.astype(float) - b) ** 2 for a, b in zip(decode(frames), frames, strict=True)])
    assert 10 * np.log10(255**2 / loss) == pytest.approx(34, abs=0.5)
    part = decode([frame[:64, :64] for frame in frames])
    assert not np.array_equal(part[0][8:40, 8:40], decode(frames)[0][8:40, 8:40])  # it normalises over its tile
