"""Camera footage of three sources, one a split, and a small bench made of it once."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rich.console import Console

from jobs.bench.decoders import BenchPlan, bench_decoders
from tests.footage import make_video

QUIET = Console(quiet=True)
SOURCES = {"street": "train", "garden": "validation", "meadow": "test"}
SMALL = BenchPlan(
    seed=3, crop=128, frames=9, contents=3, chains=("random", "x264-crf28"), simulated=3, simulated_each=2
)


@pytest.fixture(scope="session")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("camera")
    for number, source in enumerate(SOURCES):
        (folder / source).mkdir()
        make_video(folder / source / "clip.mp4", size=(176, 144), frames=14, seed=number, options={"crf": "18"})
    return folder


@pytest.fixture(scope="session")
def bench(camera: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bench") / "made"
    bench_decoders(camera, out, SMALL_D, QUIET)
    return out


SMALL_D = BenchPlan(**{name: getattr(SMALL, name) for name in SMALL.__slots__} | {"decoders": ("D",)})


def rows(bench: Path) -> list[dict[str, str]]:
    with (bench / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
