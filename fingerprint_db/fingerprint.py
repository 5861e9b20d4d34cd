"""From a window of pixels to its fingerprint: decoder vector, texture vector and cues.

Deterministic: the same window gives the same bits on the same machine with the same number of threads and library
versions. Another thread count or device changes the order of sums and so the last bits (tests bound it on the CPU).
One thread is fastest for windows of this size: workers call ``torch.set_num_threads(1)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint_db.cues.measure import has_cues, measure_cues
from fingerprint_db.intermediates import Intermediates
from fingerprint_db.layout.profiles import measure_profiles
from fingerprint_db.residual import Planes, load_luma, load_planes
from fingerprint_db.texture import texture_numbers
from fingerprint_db.traces import Series, measure_traces
from fingerprint_db.vae_decoder import decoder_numbers
from fingerprint_db.window import FrameWindow, WindowFingerprint

DECODER_DIM = 248
TEXTURE_DIM = 236
MIN_PX = 64


def fingerprint_window(
    window: FrameWindow, *, device: torch.device | str = "cpu", before: FrameWindow | None = None
) -> WindowFingerprint:
    """The fingerprint of one window, computed on ``device`` (CPU and CUDA run the same code).

    Any crop of at least 64 x 64 luma pixels, one frame or more, 8 to 16 bits, any chroma subsampling or none. before:
    the frame just before it (see Predecessors); only the first frame's series depend on it.
    Raises ValueError for less.
    """
    if window.luma.ndim != 3 or window.luma.shape[0] < 1 or min(window.luma.shape[1:]) < MIN_PX:
        raise ValueError(f"a window needs at least 1 x {MIN_PX} x {MIN_PX} luma, got {window.luma.shape}")
    with torch.inference_mode():
        planes = load_planes(window, device)
        decoder = decoder_numbers(planes).vector().cpu().numpy()
        texture = texture_numbers(planes).vector().cpu().numpy()
        cues, traces, profiles = measure_beside(planes, window, before)
    return WindowFingerprint.of(window, decoder=decoder, texture=texture, cues=cues, traces=traces, profiles=profiles)


def measure_beside(
    planes: Planes, window: FrameWindow, before: FrameWindow | None = None
) -> tuple[dict[str, float], dict[str, Series], dict[str, NDArray[np.float32]]]:
    """What is kept of a window beside its vectors: its cues, where it has its turn, its series and its profiles.

    planes: of the window. before: as for ``fingerprint_window``.
    """
    shared = Intermediates(planes)
    cues = measure_cues(planes, full_range=window.full_range, shared=shared) if has_cues(window) else {}
    earlier = None if before is None else load_luma(before, planes.luma.device)
    return cues, measure_traces(planes, window, earlier, shared), measure_profiles(planes)


def fingerprint_windows(
    windows: Sequence[FrameWindow], *, device: torch.device | str = "cpu"
) -> list[WindowFingerprint]:
    """The fingerprints of several windows, in order."""
    return [fingerprint_window(w, device=device) for w in windows]


@lru_cache(maxsize=1)
def decoder_names() -> tuple[str, ...]:
    """What each of the DECODER_DIM numbers is, in order; see fingerprint_db.vae_decoder for the groups."""
    return _names()[0]


@lru_cache(maxsize=1)
def texture_names() -> tuple[str, ...]:
    """What each of the TEXTURE_DIM numbers is, in order; see fingerprint_db.texture for the groups."""
    return _names()[1]


@lru_cache(maxsize=1)
def _names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    blank = FrameWindow(
        burst=0,
        crop=0,
        top=0,
        left=0,
        luma=np.zeros((1, MIN_PX, MIN_PX), np.uint8),
        chroma_b=np.zeros((1, MIN_PX // 2, MIN_PX // 2), np.uint8),
        chroma_r=np.zeros((1, MIN_PX // 2, MIN_PX // 2), np.uint8),
        bit_depth=8,
        full_range=False,
        times_s=np.zeros(1),
        picture_types="?",
    )
    with torch.inference_mode():
        planes = load_planes(blank)
        return tuple(decoder_numbers(planes).names), tuple(texture_numbers(planes).names)
