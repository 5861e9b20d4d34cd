"""A gradient that overflowed once left no weight of a training a number: Allegro's class came out black."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.train import fitting
from jobs.train.fitting import FitPlan, fit
from jobs.train.prototypes import build, prototype


def test_a_step_whose_gradient_overflowed_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = fitting.reconstruction_loss, list[int]()

    def overflowing(out: Tensor, wanted: Tensor) -> Tensor:
        calls.append(1)
        return plain(out, wanted) * (float("inf") if len(calls) == 2 else 1.0)

    monkeypatch.setattr(fitting, "reconstruction_loss", overflowing)
    one = prototype("dc")
    model = build(one, 0)
    before = [weights.detach().clone() for weights in model.parameters()]
    cut = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    done = fit(model, one, [cut], FitPlan(minutes=1, steps=4, side=32), 0, lambda: None)
    assert (done.steps, done.left_out) == (4, 1)
    assert np.isfinite(done.losses).all()
    assert all(torch.isfinite(weights).all() for weights in model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
