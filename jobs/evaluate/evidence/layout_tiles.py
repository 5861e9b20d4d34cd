"""Camera clips decoded in tiles, so that it is known where lines lie: with a hard line, with a fade, and untouched."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from rich.console import Console

from cluster.outcome import FailureError
from fingerprint_db.layout.findings import read_layout
from jobs.bench.tiled import Decode, decoded_in_tiles, model_decoder
from jobs.bench.vae import find_checkpoints
from jobs.encode import CodecChain, Rgb, read_frames, write_video
from jobs.evaluate.evidence import EvidenceOptions
from jobs.evaluate.evidence.layout_files import Seen, energy_comb
from jobs.evaluate.manifest import Clip, Label
from jobs.evaluate.part_worker import measure_files, window_layout
from jobs.scan import FileFingerprint
from jobs.settings import Settings

TILE_CRFS = (18, 23, 28)
TILE_CLIPS, TILE_FRAMES, TILE_SIDES = 8, 16, (384, 512)
TILINGS = {"hard": (192, 192), "faded": (256, 192)}  # tile and step, px


def made_tiles(
    camera: Sequence[Clip], options: EvidenceOptions, settings: Settings, console: Console, notes: list[str]
) -> list[Seen]:
    """One camera clip of every source, in tiles with hard lines and with faded ones, and not; kept in the cache."""
    decoder, name = _tile_decoder(options)
    folder = options.cache / "layout" / "tiles"
    folder.mkdir(parents=True, exist_ok=True)
    first = {clip.source: clip for clip in reversed(camera)}
    made: dict[str, tuple[Clip, str, str]] = {}
    for clip in list(first.values())[::-1]:
        if len({one.name for one, _, _ in made.values()}) == TILE_CLIPS:
            break
        try:
            for kind, crf, path in _tile_files(clip, folder, decoder, name):
                made[str(path.absolute())] = (clip, kind, f"x264-crf{crf}")
        except (FailureError, ValueError) as error:
            notes.append(f"no tiles were made of {clip.name}: {error}")
        console.print(f"tiles: {len(made)} files so far", style="dim", highlight=False)
    out = []
    for uri, file in measure_files(made, settings, measure=window_layout):
        clip, kind, form = made[uri]
        if isinstance(file, FileFingerprint) and (read := read_layout(file.windows, file.facts.fps)) is not None:
            label = Label.CAMERA if kind == "none" else Label.PROCESSED
            shown = f"{name}, tiles {kind}" if kind != "none" else "camera"
            size = (file.facts.width, file.facts.height)
            out.append(Seen(clip.name, label, shown, clip.source, form, size, read, energy_comb(file)))
    return out


def _tile_decoder(options: EvidenceOptions) -> tuple[Callable[[Sequence[Rgb]], Decode], str]:
    """From a clip's frames to the decoder that they go through."""
    if options.checkpoints:
        checkpoint = find_checkpoints(options.checkpoints[0])[0]
        decode = checkpoint.load()
        return lambda _frames: decode, checkpoint.slug
    return lambda frames: model_decoder(options.seed, frames), "model"


def _tile_files(
    clip: Clip, folder: Path, decoder: Callable[[Sequence[Rgb]], Decode], name: str
) -> Iterable[tuple[str, int, Path]]:
    stem = f"{zlib.crc32(clip.name.encode()):08x}"
    frames: list[Rgb] | None = None
    for kind in ("none", *TILINGS):
        paths = {crf: folder / f"{stem}-{name}-{kind}-crf{crf}.mp4" for crf in TILE_CRFS}
        if not all(path.is_file() for path in paths.values()):
            frames = frames or _cropped(clip.path)
            tile, step = TILINGS.get(kind, (0, 0))
            shown = frames if kind == "none" else decoded_in_tiles(decoder(frames), frames, tile=tile, step=step)
            for crf, target in paths.items():
                write_video(target, shown, fps=Fraction(24), chain=CodecChain("x264", crf))
        yield from ((kind, crf, path) for crf, path in paths.items())


def _cropped(path: Path) -> list[Rgb]:
    """The middle of the first frames. Raises ValueError for a picture that has no line of a tiling in it."""
    frames = list(read_frames(path, count=TILE_FRAMES))
    height, width = (min(have, most) // 32 * 32 for have, most in zip(frames[0].shape[:2], TILE_SIDES, strict=True))
    if min(height, width) < TILE_SIDES[0]:
        raise ValueError("its picture is smaller than two tiles")
    top, left = ((have - used) // 4 * 2 for have, used in zip(frames[0].shape[:2], (height, width), strict=True))
    return [np.ascontiguousarray(frame[top : top + height, left : left + width]) for frame in frames]
