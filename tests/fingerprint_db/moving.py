"""Moving textures whose motion is known to the hundredth of a pixel, as windows with their series a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fingerprint_db.bursts import Timeline, timeline
from fingerprint_db.residual import load_planes
from fingerprint_db.traces import measure_traces
from fingerprint_db.window import FrameWindow, Predecessors, WindowFingerprint

Film = NDArray[np.float64]  # (T, SIDE, SIDE) luma
SIDE = 128
FPS = 25.0


def texture(seed: int) -> NDArray[np.float64]:
    """A periodic picture, smooth enough to be moved by any part of a pixel: (SIDE, SIDE), mean 120."""
    rng = np.random.default_rng([seed, 1])
    z = np.fft.fft2(rng.normal(size=(SIDE, SIDE)))
    f = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :])
    picture = np.fft.ifft2(z * np.exp(-((f / 0.12) ** 2)) / (f + 0.02)).real
    return 120 + 30 * (picture - picture.mean()) / picture.std()


def moved(picture: NDArray[np.float64], dy: float, dx: float) -> NDArray[np.float64]:
    """The picture moved by (dy, dx) pixels, exactly."""
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :]
    return np.fft.ifft2(np.fft.fft2(picture) * np.exp(-2j * np.pi * (fy * dy + fx * dx))).real


def path(frames: int, seed: int) -> NDArray[np.float64]:
    """Positions (frames, 2) of a hand-held camera: a drift, and a speed that changes at every frame."""
    rng = np.random.default_rng([seed, 2])
    speed = np.array([0.8, -1.2]) + rng.normal(scale=0.6, size=(frames, 2))
    return np.cumsum(speed, axis=0)


def camera(frames: int, seed: int = 0, *, noise: float = 1.0, where: NDArray[np.float64] | None = None) -> Film:
    """A film of the texture along the path, with sensor noise."""
    rng = np.random.default_rng([seed, 3])
    picture = texture(seed)
    places = path(frames, seed) if where is None else where
    return np.stack([moved(picture, *place) for place in places]) + rng.normal(scale=noise, size=(frames, SIDE, SIDE))


def halfway(frames: int, factor: int, seed: int = 0) -> Film:
    """As the camera's, but every ``factor``-th frame was there and the others lie evenly between."""
    places = path(frames, seed)
    for n in range(frames):
        first = n // factor * factor
        if n % factor and first + factor < frames:
            share = (n - first) / factor
            places[n] = (1 - share) * places[first] + share * places[first + factor]
    return camera(frames, seed, where=places)


def read(
    film: Film,
    *,
    bursts: Sequence[int] = (0, 20, 40),
    length: int = 16,
    types: Callable[[int], str] = lambda n: "P" if n % 4 == 0 else "B",
    fps: float = FPS,
) -> list[WindowFingerprint]:
    """Windows of ``length`` frames beginning at the frames ``bursts``, one crop each, with their series."""
    out = []
    earlier = Predecessors(len(bursts))
    for number, start in enumerate(bursts):
        numbers = range(start, min(start + length, len(film)))
        luma = np.clip(np.round(film[list(numbers)]), 0, 255).astype(np.uint8)
        grey = np.full((len(luma), SIDE // 2, SIDE // 2), 128, np.uint8)
        times = np.array([n / fps for n in numbers])
        letters = "".join(types(n) for n in numbers)
        window = FrameWindow(number, 0, 0, 0, luma, grey, grey, 8, False, times, letters)
        with torch.inference_mode():
            before = earlier.of(window)
            traces = measure_traces(load_planes(window), window, None if before is None else load_planes(before))
        empty = np.zeros(0, np.float32)
        ends = float(times[0]), float(times[-1])
        out.append(WindowFingerprint(number, 0, 0, 0, SIDE, SIDE, *ends, empty, empty, {}, traces, letters))
    return out


def line(film: Film, *, fps: float = FPS, **how: object) -> Timeline:
    """The film's time line."""
    found = timeline(read(film, fps=fps, **how), fps)  # type: ignore[arg-type]
    assert found is not None
    return found
