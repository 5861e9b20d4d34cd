"""The trained instances that ship: each is what its provenance says, gives footage back, and is nobody's signature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fingerprint_db
from jobs.bench.gate import round_trip
from jobs.bench.roster import SHIPPED, choose
from jobs.bench.vae import as_decoder
from jobs.encode import read_frames
from jobs.train.prototypes import SEVERAL_SEEDS, prototype
from jobs.train.weights import LABEL, Instance, find, load
from tests.footage import make_video

INSTANCES = find(SHIPPED)


def test_every_shipped_instance_says_how_it_was_made() -> None:
    assert len(INSTANCES) >= 8
    for instance in INSTANCES:
        facts = instance.provenance
        name, _, seed = instance.name.partition("-s")
        assert facts["label"] == LABEL
        assert facts["class"] == prototype(name).diffusers_class
        assert facts["seed"] == int(seed)
        assert facts["footage"]["split"] == "train"
        assert facts["footage"]["sha256"]
        assert facts["steps"] > 100
        assert facts["held_out"]["split"] == "validation"
    several = {instance.name.partition("-s")[0] for instance in INSTANCES if instance.name.endswith("-s1")}
    assert several <= set(SEVERAL_SEEDS)
    assert len(several) >= 4


def test_weights_and_packs_of_the_package_stay_under_25_megabytes() -> None:
    packed = [*SHIPPED.iterdir(), *Path(fingerprint_db.__file__).parent.rglob("*.npz")]
    assert sum(path.stat().st_size for path in packed) < 25e6


@pytest.mark.parametrize("instance", INSTANCES, ids=[instance.name for instance in INSTANCES])
def test_a_shipped_instance_gives_footage_back(instance: Instance, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    make_video(film, size=(128, 96), frames=5, seed=4)
    frames = [np.ascontiguousarray(frame[:64, :96]) for frame in read_frames(film, start=0, count=5)]
    trip = round_trip(frames, as_decoder(load(instance))(frames))
    assert trip.psnr_db > 24, "drawn pictures are not what it was trained on, but no harder"
    assert 0.5 < trip.gradient_ratio < 1.5


def test_they_are_decoders_of_the_bench_unless_others_are_named(tmp_path: Path) -> None:
    decoders, _ = choose(("C",), None, None, 0, 1, [])
    assert [decoder.slug for decoder in decoders] == [f"proto-{instance.name}" for instance in INSTANCES]
    assert {decoder.kind for decoder in decoders} == {"C"}
