"""Weights that are no weights: a file that torch cannot unpickle came out as a traceback, not as a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.bench.vae import TINY_DECODER, TINY_ENCODER, load_tiny
from jobs.errors import BadUsageError


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x02}q\x00."])
def test_a_file_that_holds_no_weights_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    for name in (TINY_ENCODER, TINY_DECODER):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadUsageError, match="does not hold the tiny VAE's weights"):
        load_tiny(tmp_path)
