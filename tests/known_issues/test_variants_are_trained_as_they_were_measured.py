"""A term for fine detail of trained instances had entered the loss that a checkpoint's rivals are trained by."""

from __future__ import annotations

import pytest
import torch

from jobs.train.fitting import detail_loss, reconstruction_loss


def test_the_loss_shared_with_variants_is_of_pixels_and_their_differences_alone() -> None:
    rng = torch.Generator().manual_seed(0)
    out, wanted = torch.rand(2, 3, 24, 24, generator=rng), torch.rand(2, 3, 24, 24, generator=rng)
    apart = out - wanted
    expected = apart.abs().mean() + 0.5 * (apart.diff(dim=-2).abs().mean() + apart.diff(dim=-1).abs().mean())
    assert float(reconstruction_loss(out, wanted)) == pytest.approx(float(expected), rel=1e-6)
    # Other pixels of the same energy: nothing for the term of fine detail, everything for the other.
    assert float(detail_loss(-wanted, wanted)) < 1e-7
    assert float(reconstruction_loss(-wanted, wanted)) > 0.5
    assert float(detail_loss(0.5 * wanted, wanted)) > 0.01
