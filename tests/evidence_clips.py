"""A manifest of small real clips in which three classes keep habits of size, rate and length in two sources each."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.footage import make_video

CLASSES = (
    # generator, size, frames a second, frames, cut
    ("CogVideoX", (96, 64), 8, 17, True),
    ("SVD", (128, 72), 7, 25, False),
    ("Veo3", (80, 144), 24, 24, False),
)


def write_manifest(folder: Path) -> Path:
    """Two clips of each class in each of two sources, and four of cameras, each another size and rate."""
    rows = []
    for name, size, fps, frames, cut in CLASSES:
        for source in ("one", "two"):
            for number in range(2):
                path = f"{name}-{source}-{number}.mp4"
                make_video(folder / path, size=size, fps=fps, frames=frames, seed=len(rows))
                rows.append((path, "generated", name, f"{name}/{source}", str(cut)))
    for number, (size, fps) in enumerate((((160, 90), 25), ((176, 144), 30), ((128, 96), 50), ((120, 68), 15))):
        path = f"camera-{number}.mp4"
        make_video(folder / path, size=size, fps=fps, frames=20 + number, seed=number)
        rows.append((path, "camera", "", f"camera/{number % 2}", "False"))
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "label", "generator", "source", "trimmed"))
        writer.writerows(rows)
    return manifest
