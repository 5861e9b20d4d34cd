"""Training the learned fingerprint: a contrastive loss as the paper has it, and a training that learns a trace."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import jobs.train.fingerprint as training
from fingerprint_db.embedding import CHANNELS, embedding_from_bytes
from jobs.bench.pictures import Picture
from jobs.cli import main
from jobs.train.fingerprint import FingerprintPlan, contrastive_loss, train_fingerprint
from tests.jobs.bench.conftest import QUIET, bench, camera  # noqa: F401


def test_the_contrastive_loss_equals_its_definition_written_out() -> None:
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(7, 5), dim=1)
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3])
    expected = []
    for i in range(7):
        partners = [p for p in range(7) if p != i and labels[p] == labels[i]]
        if not partners:
            continue
        shares = {a: torch.exp(vectors[i] @ vectors[a] / 0.1) for a in range(7) if a != i}
        whole = sum(shares.values())
        expected.append(-sum(float(torch.log(shares[p] / whole)) for p in partners) / len(partners))
    assert float(contrastive_loss(vectors, labels)) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(contrastive_loss(vectors, torch.arange(7))) == 0.0


def pictures(split: str, contents: range) -> list[Picture]:
    """Contents with a camera version, a blurred one that is no decoder, and two decoders with a faint lattice each."""
    made = []
    side = 64
    rows, columns = np.indices((side, side))
    traces = {"comb": (rows % 4 == 0) * 1.0, "stripe": (columns % 4 == 0) * 1.0}
    for number in contents:
        rng = np.random.default_rng(number)
        base = rng.normal(size=(CHANNELS, side, side))
        for name, kind in (("camera", "camera"), ("blur", "hard_negative"), ("comb", "D"), ("stripe", "D")):
            pixels = base + 0.2 * rng.normal(size=base.shape) + 0.7 * traces.get(name, 0.0)
            told = (f"c{number}", f"s{number}", split, name, kind, "x264-crf23", True, 0)
            made.append(Picture(*told, pixels.astype(np.float16)))
    return made


def test_a_faint_lattice_is_learned_from_aligned_groups_and_found_on_other_footage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, other = pictures("train", range(12)), pictures("validation", range(100, 112))
    unseen = [Picture("c1", "s1", "train", "vae", "B", "x264-crf23", True, 0, known[0].pixels)]
    monkeypatch.setattr(training, "load_pictures", lambda *_, **__: [*known, *other, *unseen])
    plan = FingerprintPlan(steps=40, groups=4, members=4, side=48, seed=3)
    said = train_fingerprint([tmp_path], tmp_path / "one.npz", plan, QUIET)
    assert said["learned_from"]["classes"] == ["comb", "stripe"], "kind B is never trained on"
    assert said["losses"][1] < said["losses"][0]
    assert said["validation"]["decoded against camera, x264-crf23"] > 0.9
    train_fingerprint([tmp_path], tmp_path / "two.npz", plan, QUIET)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes(), "one seed, one file"


@pytest.mark.slow
def test_a_real_bench_trains_and_is_scored_with_what_it_trained(
    bench: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    weights = tmp_path / "learned.npz"

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["makersmark", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        said = capfd.readouterr()
        return int(left.value.code or 0), said.out, said.err

    chain = ["--chain", "x264-crf28"]
    code, out, _ = run("train", "fingerprint", str(bench), "--out", str(weights), "--steps", "3", *chain)
    assert code == 0
    assert json.loads(out)["sources"] == ["street"], "the train split alone"
    learned = embedding_from_bytes(weights.read_bytes())
    code, out, _ = run("bench", "score", str(bench), *chain, "--embedding", str(weights), "--json", "-j", "1")
    assert code == 0
    assert any(learned.id in note for note in json.loads(out)["notes"])
    (tmp_path / "wrong.npz").write_bytes(b"nothing")
    code, _, err = run("bench", "score", str(bench), *chain, "--embedding", str(tmp_path / "wrong.npz"))
    assert code == 2
    assert "holds no weights" in " ".join(err.split())
