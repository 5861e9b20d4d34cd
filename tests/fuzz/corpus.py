"""The healthy files that are mutated: one small video a format, the same bytes for the same libraries."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import footage

# Small pictures, since damage is in the structure; large enough to be fingerprinted (64 pixels, 4 frames).
_SMALL: dict[str, Any] = {"size": (96, 80), "frames": 20, "gop": 8}


def _video(**settings: Any) -> Callable[[Path], object]:
    return lambda path: footage.make_video(path, **{**_SMALL, **settings})


MAKERS: dict[str, Callable[[Path], object]] = {
    "h264.mp4": _video(audio=True),
    "hevc.mp4": _video(codec="libx265"),
    "fragmented.mp4": _video(container_options={"movflags": "frag_keyframe+empty_moov"}),
    "edit list.mp4": lambda path: footage.edit_list(path, footage.make_video(path.with_suffix(".mov"), **_SMALL)),
    "h264.mkv": _video(audio=True),
    "vp9.webm": _video(),
    "mpeg4.avi": _video(bframes=0),
    "h264.ts": _video(audio=True),
    "h264.mov": _video(rotate=90),
    "mjpeg.mov": _video(codec="mjpeg"),
    "prores.mov": _video(codec="prores_ks", frames=8),
    "picture.gif": _video(),
    "mpeg2.mpg": _video(),
    "vp9.ivf": _video(),
    "av1.ivf": _video(codec="libsvtav1"),
    "av1.mp4": _video(codec="libsvtav1"),
    "h264.flv": _video(bframes=0),
    "ffv1.nut": _video(frames=6),
    "h264.h264": _video(),
}


def make_corpus(folder: Path, names: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The bytes of every format (or of those named), in the order of MAKERS."""
    corpus = {}
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder tells its life on stderr otherwise
    for number, (name, make) in enumerate(MAKERS.items()):
        if not names or name in names:
            path = folder / str(number) / name.replace(" ", "-")
            path.parent.mkdir()
            make(path)
            corpus[name] = path.read_bytes()
    return corpus
