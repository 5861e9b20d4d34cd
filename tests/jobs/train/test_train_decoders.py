"""Training small VAEs: every class runs, a loss falls, weights come back from their file with their provenance."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from jobs.bench.roster import choose
from jobs.bench.vae import TINY_DECODER, TINY_ENCODER, TinyVae, find_checkpoints, load_tiny
from jobs.errors import BadUsageError
from jobs.train.decoders import TrainPlan, instances_of, train_decoders
from jobs.train.fitting import FitPlan, fit, reconstruct
from jobs.train.prototypes import DEFAULT, PROTOTYPES, SEVERAL_SEEDS, build, prototype
from jobs.train.weights import LABEL, find, load, save
from tests.footage import make_video

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("camera")
    for number, source in enumerate(("street", "garden")):
        (folder / source).mkdir()
        make_video(folder / source / "clip.mp4", size=(144, 128), frames=10, seed=number)
    return folder


def test_at_least_twelve_classes_are_trained_and_six_of_them_twice() -> None:
    jobs = instances_of(TrainPlan())
    assert len({one.diffusers_class for one, _ in jobs}) >= 12
    assert sum(seed == 1 for _, seed in jobs) == len(SEVERAL_SEEDS) >= 6
    assert len(DEFAULT) == len({one.diffusers_class for one, _ in jobs})


@pytest.mark.parametrize("name", [one.name for one in PROTOTYPES])
def test_every_class_gives_back_as_many_frames_of_the_same_size(name: str) -> None:
    model = build(prototype(name), 0).eval()
    with torch.no_grad():
        out = model(torch.zeros(1, 3, 3, 32, 32))
    assert out.shape == (1, 3, 3, 32, 32)
    assert torch.isfinite(out).all()


def test_a_few_steps_lower_the_loss_and_the_file_gives_the_same_network_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cut = np.repeat(rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2), 9, axis=0)
    one = prototype("tiny")
    model = build(one, 1)
    done = fit(model, one, [cut], FitPlan(minutes=1, steps=20, side=32), 1, lambda: None)
    assert done.steps == 20
    assert done.losses[1] < 0.9 * done.losses[0]
    facts = {
        "class": one.diffusers_class,
        "config": dict(one.config),
        "stride": one.stride,
        "frames": one.frames,
        "calling": one.calling,
        "seed": 1,
    }
    save(model, tmp_path, "tiny-s1", facts)
    (found,) = find(tmp_path)
    again = load(found)
    model.net.load_state_dict({k: v.half().float() for k, v in model.net.state_dict().items()})
    assert np.array_equal(reconstruct(again, list(cut[:2])), reconstruct(model, list(cut[:2])))


def test_branches_that_stay_silent_are_named_and_not_stored(tmp_path: Path) -> None:
    one = prototype("kl")
    model = build(one, 1)
    cut = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    done = fit(model, one, [cut], FitPlan(minutes=1, steps=1, side=32), 1, lambda: None)
    assert done.silent, "the residual blocks of the coarsest level"
    for name in done.silent:
        assert not any(
            w.any() for conv in ("conv1", "conv2") for w in model.net.get_submodule(f"{name}.{conv}").parameters()
        )
    facts = {key: getattr(one, key) for key in ("config", "stride", "frames", "calling")}
    saved = save(model, tmp_path, "kl-s1", {"class": one.diffusers_class, "seed": 1, **facts})
    assert sum(".conv2." in name for name in saved.provenance["zeros"]) == 2 * len(done.silent)
    assert saved.weights.stat().st_size < 1.5 * sum(w.numel() for w in model.net.parameters())
    model.net.load_state_dict({k: v.half().float() for k, v in model.net.state_dict().items()})
    assert np.array_equal(reconstruct(load(saved), list(cut[:1])), reconstruct(model, list(cut[:1])))
    with pytest.raises(BadUsageError, match=r"does not hold what kl-s1\.json says"):
        load(replace(saved, provenance={**saved.provenance, "zeros": []}))


def test_a_training_writes_provenance_goes_on_after_an_interruption_and_makes_a_decoder_of_the_bench(
    camera: Path, tmp_path: Path
) -> None:
    plan = TrainPlan(classes=("vq", "dc"), seeds=2, steps=2)
    first = train_decoders(camera, tmp_path, plan, QUIET)
    assert [instance.name for instance in first] == ["vq-s0", "dc-s0", "dc-s1"]
    facts = json.loads((tmp_path / "dc-s1.json").read_text())
    assert facts["label"] == LABEL == "architecture prototype"
    assert (facts["class"], facts["seed"], facts["steps"]) == ("AutoencoderDC", 1, 2)
    assert len(facts["footage"]["sha256"]) == 1, "only the source of the train split was learned from"
    assert facts["held_out"].keys() >= {"psnr_db", "gradient_ratio", "sharp"}
    assert not list(tmp_path.glob("*unjudged*"))
    kept = (tmp_path / "vq-s0.safetensors").stat().st_mtime_ns
    (tmp_path / "dc-s0.json").unlink()  # as if the run had been killed before its last write
    train_decoders(camera, tmp_path, plan, QUIET)
    assert (tmp_path / "vq-s0.safetensors").stat().st_mtime_ns == kept
    decoders, _ = choose(("C",), None, tmp_path, 0, 1, [])
    assert [(d.slug, d.cls, d.seed) for d in decoders][:2] == [
        ("proto-dc-s0", "AutoencoderDC", "0"),
        ("proto-dc-s1", "AutoencoderDC", "1"),
    ]
    frames = [np.full((64, 64, 3), 90, np.uint8)] * 5
    assert np.stack(decoders[0].load()(frames)).shape == (5, 64, 64, 3)


def test_the_same_seed_and_steps_train_the_same_weights(camera: Path, tmp_path: Path) -> None:
    plan = TrainPlan(classes=("tiny",), seeds=1, steps=2)
    for folder in ("one", "two"):
        train_decoders(camera, tmp_path / folder, plan, QUIET)
    one, two = ((tmp_path / folder / "tiny-s0.safetensors").read_bytes() for folder in ("one", "two"))
    assert one == two


def test_the_tiny_vae_of_two_files_is_a_decoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = TinyVae()
    torch.save(net.encoder.state_dict(), tmp_path / TINY_ENCODER)
    torch.save(net.decoder.state_dict(), tmp_path / TINY_DECODER)
    # Names and shapes that the published files have.
    assert net.encoder.state_dict()["11.pool.3.weight"].shape == (64, 256, 1, 1)
    assert net.decoder.state_dict()["19.weight"].shape == (3, 64, 3, 3)
    assert (len(net.encoder.state_dict()), len(net.decoder.state_dict())) == (79, 79)
    (found,) = find_checkpoints(tmp_path)
    assert found.slug == "taef2"
    assert np.stack(found.load()([np.zeros((32, 64, 3), np.uint8)] * 5)).shape == (5, 32, 64, 3)
    torch.save({}, tmp_path / TINY_DECODER)
    with pytest.raises(BadUsageError, match="does not hold the tiny VAE's weights"):
        load_tiny(tmp_path)


def test_a_checkpoint_in_the_libraries_own_layout_is_a_decoder(tmp_path: Path) -> None:
    one = prototype("tiny")
    model = build(one, 0).eval()
    model.net.save_pretrained(tmp_path / "vae")
    (found,) = find_checkpoints(tmp_path)
    assert (found.slug, found.cls) == ("vae-vae", "AutoencoderTiny")
    frames = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)] * 2
    assert np.array_equal(found.load()(frames), reconstruct(model, frames))


def test_what_is_missing_is_said_in_a_sentence(camera: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadUsageError, match="no decoder class is called 'sora'; there are tiny, kl"):
        train_decoders(camera, tmp_path, TrainPlan(classes=("sora",)), QUIET)
    with pytest.raises(BadUsageError, match=r"holds no VAE: neither taef2_encoder.pth"):
        find_checkpoints(tmp_path)
    with pytest.raises(BadUsageError, match="on cpu or cuda, not on 'tpu'"):
        train_decoders(camera, tmp_path, TrainPlan(device="tpu"), QUIET)
    if not torch.cuda.is_available():
        with pytest.raises(BadUsageError, match="no CUDA device"):
            train_decoders(camera, tmp_path, TrainPlan(device="cuda"), QUIET)
    with pytest.raises(BadUsageError, match="bring footage of more sources"):
        train_decoders(camera / "street", tmp_path, TrainPlan(classes=("tiny",), steps=1), QUIET)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(BadUsageError, match=r"pip install 'makersmark\[vae\]'"):
        train_decoders(camera, tmp_path, TrainPlan(), QUIET)
