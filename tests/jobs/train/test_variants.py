"""Variants of a checkpoint: other weights of one architecture, made again alike from their seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from jobs.bench.vae import TINY_DECODER, TINY_ENCODER, TinyVae, load_tiny
from jobs.train.variants import Variant, make_variants
from tests.footage import make_video
from tests.jobs.conftest import QUIET


def test_a_variant_differs_from_its_origin_and_is_the_same_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    origin, net = tmp_path / "vae", TinyVae()
    origin.mkdir()
    torch.save(net.encoder.state_dict(), origin / TINY_ENCODER)
    torch.save(net.decoder.state_dict(), origin / TINY_DECODER)
    for source in ("m1", "c"):  # of the validation and the train split
        (tmp_path / "camera" / source).mkdir(parents=True)
        make_video(tmp_path / "camera" / source / "clip.mp4", frames=9, size=(128, 128), seed=ord(source[0]))
    one = Variant(3, steps=1)
    (made,) = make_variants(origin, tmp_path / "camera", tmp_path / "out", QUIET, (one,))
    (again,) = make_variants(origin, tmp_path / "camera", tmp_path / "more", QUIET, (one,))
    facts = json.loads((made / "provenance.json").read_text())
    assert facts["label"] == "architecture prototype"
    assert facts["variant"]["steps"] == 1
    assert (made / TINY_DECODER).read_bytes() == (again / TINY_DECODER).read_bytes()
    kept = torch.load(made / TINY_ENCODER, weights_only=True)
    assert all(torch.equal(kept[name], value) for name, value in net.encoder.state_dict().items())
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert not np.array_equal(load_tiny(made)([frame])[0], load_tiny(origin)([frame])[0])
