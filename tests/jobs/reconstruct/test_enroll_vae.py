"""A checkpoint from its folder to the evidence of a file: enrolled, kept, asked by scan and reconstruct, looked up."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.bench.vae import TINY_DECODER, TINY_ENCODER, TinyVae
from jobs.encode import CodecChain, read_frames, write_video
from jobs.errors import BadUsageError, HomeError
from jobs.home import Home
from jobs.reconstruct import calibrate, search
from jobs.reconstruct.evidence import compose
from jobs.reconstruct.network import find_source, network_of, open_network
from jobs.reconstruct.registry import FACTS, kept_checkpoints, opened
from jobs.reconstruct.run import shortlisted
from jobs.reconstruct.trials import round_trip
from jobs.settings import Settings
from jobs.train.classes import calling_of
from jobs.train.prototypes import Prototype, build, prototype
from tests.footage import make_video
from tests.jobs.test_cli import Run, run  # noqa: F401 (a fixture)


def small_checkpoint(folder: Path, seed: int = 0) -> Path:
    """An AutoencoderTiny of 4 channels with weights of a seed, in the library's own layout."""
    narrow = {"latent_channels": 8, "encoder_block_out_channels": [8] * 4, "decoder_block_out_channels": [8] * 4}
    one = prototype("tiny")
    small = Prototype("tiny", one.diffusers_class, {**one.config, **narrow}, one.stride, one.frames, one.calling)
    net: Any = build(small, seed).net
    with torch.no_grad():
        # Fresh weights give one grey for every picture, and equal pictures are one content.
        net.decoder.layers[-1].weight.mul_(40)
        net.encoder.layers[-1].weight.mul_(10)
    net.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("camera")
    for number in range(3):
        (folder / f"source{number}").mkdir()
        make_video(folder / f"source{number}" / "clip.mp4", frames=16, size=(160, 160), seed=number)
    return folder


def test_a_checkpoint_goes_all_the_way_to_the_evidence_of_a_swept_file(
    run: Run,  # noqa: F811
    camera: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "ROUNDS", ((32, 2), (40, 1)))  # every phase is tried, on fewer pixels
    monkeypatch.setattr(search, "SCALES", (1.0, 2.0))
    monkeypatch.setattr(calibrate, "SEARCHED", 1)
    vae = small_checkpoint(tmp_path / "download" / "vae")
    enrolled = run("enroll", "New Maker", "--vae", str(vae.parent), "--footage", str(camera), "--home", "h", "--json")
    assert enrolled.code == 0, enrolled.err
    said = json.loads(enrolled.out)
    assert said["published"]
    assert [(maker["generator"], maker["clips"], maker["sources"]) for maker in said["makers"]] == [("new-maker", 3, 3)]

    frames = list(read_frames(camera / "source0" / "clip.mp4", count=4))
    network = open_network(find_source(vae))
    (tmp_path / "archive").mkdir()
    made = tmp_path / "archive" / "made.mp4"
    write_video(made, round_trip(network, frames), fps=Fraction(25), chain=CodecChain("x264", 18))
    shutil.copy(camera / "source1" / "clip.mp4", tmp_path / "archive" / "camera.mp4")

    scanned = run("scan", str(made), "--home", "h", "--reconstruct-all", "--json")
    evidence = json.loads(scanned.out)["evidence"]["reconstruction"]
    (one,) = evidence["checkpoints"]
    assert (one["generator"], one["class"], one["error"]) == ("new-maker", "AutoencoderTiny", None)
    assert one["checkpoint"] == said["checkpoint"][:16]
    assert set(one["bands"]) == {"flat", "1", "2", "3", "4", "5", "6-7", "blue", "red"}
    assert one["cohort"]["sources"] == 3
    # Plain, softened and made clips at three CRFs; the first two are camera footage.
    counted = [one["cohort"][name] for name in ("clips", "camera_clips", "softened_clips")]
    assert counted == [27, 18, 9]
    assert evidence["margin"] is None  # nothing to compare with
    assert run("sweep", str(tmp_path / "archive"), "--home", "h").code == 0
    done = json.loads(run("reconstruct", "--home", "h", "--all", "--json").out)
    assert (done["measured"], done["known"], done["failures"]) == (2, 0, {})
    again = json.loads(run("reconstruct", "--home", "h", "--all", "--json").out)
    assert (again["measured"], again["known"]) == (0, 2)
    found = json.loads(run("lookup", str(made), "--home", "h", "--json").out)
    assert found["verdicts"][-1]["evidence"]["reconstruction"] == evidence
    assert "of 1 checkpoints)" in run("lookup", str(made), "--home", "h").out

    assert run("backup", "copy", "--home", "h").code == 0
    copy = Home(Settings(home="copy"))
    assert [one.id for one in kept_checkpoints(copy)] == [said["checkpoint"]]
    copy.close()
    home = Home(Settings(home="h"))
    (kept,) = kept_checkpoints(home)
    home.folder.write(f"{kept.folder}/config.json", b"{}")
    with pytest.raises(HomeError, match=r"config.json is not what was enrolled"), opened(home, kept):
        pass
    facts = f"{kept.folder}/{FACTS}"
    home.folder.write(facts, json.dumps(json.loads(home.folder.read(facts)) | {"version": 1}).encode())
    with pytest.raises(HomeError, match="was calibrated by another release, which measured differently; enroll"):
        kept_checkpoints(home)
    home.close()


def test_what_cannot_be_enrolled_is_said_in_a_sentence(run: Run, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (("enroll", "x", "--vae", "empty"), "empty holds no VAE"),
        (("enroll", "x", "--vae", "nowhere"), "nowhere is not a folder with a VAE checkpoint"),
        (("enroll", "x", "clip.mp4", "--vae", "empty"), "with --vae give a generator's name, and neither files nor"),
        (("enroll", "x", "clip.mp4", "--footage", "empty"), "--footage goes with --vae"),
        (("enroll", "camera", "--vae", "empty"), "camera footage has no VAE"),
        (("scan", "clip.mp4", "--reconstruct", "--home", "none"), "no checkpoint is enrolled in this home"),
    ):
        answer = run(*arguments)
        assert answer.code == 2
        assert message in answer.err
    (tmp_path / "empty" / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(BadUsageError, match="does not name a VAE class"):
        find_source(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    with pytest.raises(BadUsageError, match=r"a config.json and no weights beside it"):
        find_source(tmp_path / "empty")
    (tmp_path / "empty" / "diffusion_pytorch_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BadUsageError, match="cannot be read as a AutoencoderKL"):
        open_network(find_source(tmp_path / "empty"))


def test_the_tiny_vae_of_two_files_is_a_network_like_any_other(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = TinyVae()
    torch.save(net.encoder.state_dict(), tmp_path / TINY_ENCODER)
    torch.save(net.decoder.state_dict(), tmp_path / TINY_DECODER)
    network = open_network(find_source(tmp_path))
    assert (network.stride, network.frames) == ((8, 1), (1, 0))
    frames = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    found = network.decode(network.encode(frames), 2)
    with torch.inference_mode():
        wanted = net.eval()(frames).clamp(0, 1)
    assert found.shape == (2, 3, 32, 48)
    assert (found - wanted).abs().mean() < 0.02  # bfloat16 where the processor has it


def native(name: str) -> Prototype:
    """A prototype with the class's own stride in time, as published checkpoints have it."""
    strides: dict[str, dict[str, object]] = {
        "wan": {"temperal_downsample": [False, True, True], "scale_factor_temporal": 4},
        "allegro": {
            "temporal_downsample_blocks": [True, True, False, False],
            "temporal_upsample_blocks": [False, True, True, False],
            "temporal_compression_ratio": 4,
        },
    }
    one = prototype(name)
    return replace(one, config={**one.config, **strides.get(name, {})}, frames=calling_of(one.diffusers_class)[0])


@pytest.mark.parametrize(("name", "stride"), [("kl", (8, 1)), ("svd", (8, 1)), ("wan", (8, 4)), ("allegro", (8, 4))])
def test_strides_and_frame_rules_of_classes_are_measured(name: str, stride: tuple[int, int]) -> None:
    one = native(name)
    network = network_of(build(one, 0), one.diffusers_class)
    assert network.stride == stride
    frames = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert network.decode(network.encode(frames), 3).shape == frames.shape


def test_several_checkpoints_answer_with_a_family_and_a_margin() -> None:
    def answer(generator: str, family: str, llr: float, error: str | None = None) -> dict[str, object]:
        said = {"llr": llr, "p_value": 0.1, "drop": 0.0, "bands": {}, "grid": {}}
        said |= {"generator": generator, "family": family, "checkpoint": generator, "cohort": {}, "error": error}
        return said

    three = [answer("a", "f", 2.0), answer("b", "f", 1.5), answer("c", "g", -0.5)]
    found = compose(three)
    assert found is not None
    assert (found["generator"], found["family"], found["margin"], found["runner_up"]) == ("a", "f", 2.5, "c")
    low = compose([answer("a", "f", -1.0), answer("c", "g", -2.0)])
    assert low is not None
    assert (low["generator"], low["family"], low["llr"]) == (None, None, -1.0)
    none = compose([answer("a", "f", 3.0, error="too small")])
    assert none is not None
    assert (none["llr"], none["checkpoints"][0]["error"]) == (None, "too small")
    assert compose([]) is None


def test_the_shortlist_is_what_speaks_of_a_decoder() -> None:
    def record(llr: float | None, verdict: str, family: str | None = None) -> dict[str, object]:
        nearest = [{"generator": "g", "family": family, "score": 0.5}]
        return {"error": None, "llr": llr, "verdict": verdict, "nearest": nearest}

    assert shortlisted(record(0.1, "inconclusive"), set())
    assert shortlisted(record(-1.0, "synthetic"), set())
    assert shortlisted(record(-1.0, "no_known_generator", "wan"), {"wan"})
    assert not shortlisted(record(-1.0, "no_known_generator", "wan"), {"sd-vae"})
    assert not shortlisted(record(None, "inconclusive"), set())
    assert not shortlisted(record(3.0, "attributed") | {"error": {"class": "damaged"}}, set())


def test_volumes_are_asked_at_which_frame_their_stretches_begin(tmp_path: Path) -> None:
    from jobs.reconstruct.frames import FrameReader
    from jobs.reconstruct.temporal import time_lattice, window_frames

    one = native("wan")
    network = network_of(build(one, 0), one.diffusers_class)
    assert window_frames(network) == 9  # two steps of 4k + 1
    make_video(tmp_path / "long.mp4", frames=14, size=(64, 64))
    make_video(tmp_path / "short.mp4", frames=11, size=(64, 64))
    with FrameReader(Settings()) as reader:
        found = time_lattice(reader, tmp_path / "long.mp4", network)
        assert found is not None
        assert len(found["losses"]) == 4
        assert found["shift"] == int(np.argmin(found["losses"]))
        assert time_lattice(reader, tmp_path / "short.mp4", network) is None
