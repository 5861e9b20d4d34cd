"""What a decoder made is given back by that decoder, at its own lattice, through the file's own compression."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.encode import CodecChain, Rgb, write_lossless, write_video
from jobs.reconstruct.frames import FrameReader, Picture, own_keyframes, to_rgb
from jobs.reconstruct.measure import NATIVE, Finding, Grid, Part, inner_box, measure, parts_of, pooled, refined
from jobs.reconstruct.network import Network
from jobs.reconstruct.recompress import compression_of
from jobs.reconstruct.search import search_phase, search_scale
from jobs.reconstruct.trials import round_trip
from jobs.settings import Settings
from tests.footage import make_video, scene
from tests.jobs.reconstruct.block_decoder import block_network

FPS = Fraction(25)


def camera(frames: int = 2, side: int = 176, seed: int = 5) -> list[Rgb]:
    """Filmed frames as RGB."""
    found = []
    for luma, blue, red in scene(frames, (side, side), seed):
        planes = (plane[None] for plane in (luma, blue, red))
        rgb = to_rgb(*planes, 8, False, lines=side)[0]
        found.append((rgb * 255).round().byte().permute(1, 2, 0).numpy())
    return found


@pytest.fixture(scope="module")
def network() -> Network:
    return block_network()


def finding(network: Network, path: Path, grid: Grid = NATIVE) -> Finding:
    pictures, facts = own_keyframes(path, 1)
    return pooled([measure(network, part, facts.codec, grid) for part in parts_of(pictures, count=1)], grid)


def write(path: Path, frames: list[Rgb], crf: float | None) -> Path:
    if crf is None:
        write_lossless(path, frames, fps=FPS)
    else:
        write_video(path, frames, fps=FPS, chain=CodecChain("x264", crf))
    return path


@pytest.mark.parametrize("crf", [None, 18, 28])
def test_camera_footage_loses_more_the_first_time_and_what_the_decoder_made_does_not(
    network: Network, tmp_path: Path, crf: int | None
) -> None:
    suffix = ".mkv" if crf is None else ".mp4"
    filmed = finding(network, write(tmp_path / f"camera{suffix}", camera(), crf))
    made = finding(network, write(tmp_path / f"made{suffix}", round_trip(network, camera()), crf))
    assert abs(made.drop) < 0.35 * filmed.drop
    assert filmed.drop > 0.2


def test_the_lattice_of_a_cropped_clip_is_found(network: Network, tmp_path: Path) -> None:
    made = [np.ascontiguousarray(frame[2:-6, 4:-4]) for frame in round_trip(network, camera())]
    path = write(tmp_path / "cropped.mkv", made, None)
    pictures, _ = own_keyframes(path, 1)
    sought = search_phase(network, parts_of(pictures, count=1))
    assert (sought.grid, sought.tried) == (Grid(6, 4), 64)
    assert abs(finding(network, path, sought.grid).drop) < 0.5 * finding(network, path).drop


def test_an_uncropped_clip_keeps_its_own_lattice(network: Network, tmp_path: Path) -> None:
    path = write(tmp_path / "made.mp4", round_trip(network, camera()), 18)
    pictures, _ = own_keyframes(path, 1)
    assert search_phase(network, parts_of(pictures, count=1)).grid == NATIVE


def test_a_rescaled_clip_is_found_by_its_scale(network: Network, tmp_path: Path) -> None:
    made = torch.from_numpy(np.stack(round_trip(network, camera(1)))).permute(0, 3, 1, 2).float() / 255
    larger = torch.nn.functional.interpolate(made, scale_factor=1.5, mode="bicubic", antialias=True).clamp(0, 1)
    frames = [(larger[0] * 255).round().byte().permute(1, 2, 0).numpy()]
    pictures, _ = own_keyframes(write(tmp_path / "larger.mkv", frames, None), 1)
    parts = parts_of(pictures, count=1)
    assert search_scale(network, parts, (1.0, 1.5, 2.0)).grid == Grid(0, 0, 1.5)
    plain, _ = own_keyframes(write(tmp_path / "plain.mkv", round_trip(network, camera(1)), None), 1)
    assert search_scale(network, parts_of(plain, count=1), (1.0, 1.5, 2.0)).grid == NATIVE


def test_squares_share_no_pixel_and_the_most_detailed_comes_first() -> None:
    rgb = torch.full((1, 3, 300, 700), 0.5)
    rgb[..., 40:260, 300:420] += torch.rand(120, generator=torch.Generator().manual_seed(0))
    picture = Picture(rgb, 0, 0, 0.0, np.zeros((0, 0), np.float32))
    parts = parts_of([picture], count=4)
    assert [part.box for part in parts] == [(0, 224, 288, 224), (0, 0, 288, 224), (0, 448, 288, 224)]
    (wide,) = parts_of([Picture(rgb[..., :200], 0, 0, 0.0, np.zeros((0, 0), np.float32))], count=4, side=512)
    assert wide.box == (0, 0, 288, 192)
    assert parts_of([Picture(rgb[..., :60], 0, 0, 0.0, np.zeros((0, 0), np.float32))], count=4) == []
    again = parts_of([picture, picture], count=4)
    assert [part.box for part in again] == [part.box for part in (parts[0], parts[0], parts[1], parts[1])]


def test_a_finding_survives_json(network: Network, tmp_path: Path) -> None:
    found = finding(network, write(tmp_path / "camera.mp4", camera(), 23))
    again = Finding.from_json(json.loads(json.dumps(found.to_json())))
    assert (again.excess, again.grid, again.quality) == (found.excess, found.grid, found.quality)
    assert found.excess == pytest.approx(found.drop - found.gain / 2)


def test_a_refined_reconstruction_loses_less_where_encoder_and_decoder_do_not_match(network: Network) -> None:
    bent = Network("bent", network.stride, network.frames, lambda x: 0.9 * network.encode(x), network.decode, "float32")
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) / 4 + 0.4
    picture = network.decode(network.encode(picture), 1)
    plain, better = refined(bent, picture)
    assert (picture - better).abs().mean() < 0.2 * (picture - plain).abs().mean()


def test_every_phase_is_given_equally_many_pixels_that_begin_on_its_lattice() -> None:
    picture = Picture(torch.zeros(1, 3, 128, 144), 64, 0, 0.0, np.zeros((0, 0), np.float32))
    part = Part(picture, (32, 16, 96, 128))
    boxes = {(d, a): inner_box(part, Grid(d, a), 8) for d in range(8) for a in range(8) if (d, a) != (0, 0)}
    assert {box[2:] for box in boxes.values()} == {(88, 120)}
    assert all((64 + 32 + top - d) % 8 == 0 and (16 + left - a) % 8 == 0 for (d, a), (top, left, _, _) in boxes.items())
    assert inner_box(part, NATIVE, 8) == (0, 0, 96, 128)
    assert inner_box(part, NATIVE, 8, room=True) == (0, 0, 88, 120)
    with pytest.raises(ValueError, match="too small for a lattice of 64"):
        inner_box(part, NATIVE, 64)


def test_an_h264_file_tells_its_quantiser_and_others_are_met_by_size(tmp_path: Path) -> None:
    frames = camera(2)
    for crf in (18, 28):
        pictures, facts = own_keyframes(write(tmp_path / f"{crf}.mp4", frames, crf), 1)
        said = compression_of(pictures[0], facts.codec, (0, 0, 176, 176))
        assert said.how == "quantiser"
        assert said.quantiser == pytest.approx(crf - 4, abs=4)
    write_video(tmp_path / "h.mkv", frames, fps=FPS, chain=CodecChain("x265", 26, preset="ultrafast"))
    pictures, facts = own_keyframes(tmp_path / "h.mkv", 1)
    said = compression_of(pictures[0], facts.codec, (0, 0, 176, 176))
    assert (said.codec, said.quantiser, said.how) == ("x265", None, "size of the coded frame")
    assert 18 <= said.crf <= 34


def test_keyframes_come_from_a_killable_child_spread_over_the_file(tmp_path: Path) -> None:
    make_video(tmp_path / "film.mp4", frames=60, gop=12, size=(160, 128))
    with FrameReader(Settings()) as reader:
        pictures, facts = reader.keyframes(tmp_path / "film.mp4", 3)
        assert [round(picture.time_s, 2) for picture in pictures] == [0.0, 0.96, 1.92]
        assert pictures[0].rgb.shape == (1, 3, 128, 160)
        assert pictures[0].quantiser.shape == (8, 10)
        assert facts.codec == "h264"


def test_grey_in_every_range_and_matrix_is_grey() -> None:
    chroma = np.full((1, 4, 4), 128, np.uint8)
    limited = to_rgb(np.full((1, 8, 8), 126, np.uint8), chroma, chroma, 8, False, lines=480)
    assert limited.flatten().tolist() == pytest.approx([110 / 219] * limited.numel())
    deep = to_rgb(
        np.full((1, 8, 8), 504, np.uint16), chroma.astype(np.uint16) * 4, chroma * np.uint16(4), 10, False, lines=1080
    )
    assert deep.mean().item() == pytest.approx(110 / 219)
    none = np.zeros((0, 0), np.uint8)
    white = to_rgb(np.full((1, 8, 8), 255, np.uint8), none, none, 8, True, lines=480)
    assert white.min().item() == pytest.approx(1)
