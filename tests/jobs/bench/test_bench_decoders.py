"""The bench as ground truth: members of a content differ in their decoder and in nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from jobs.bench.chain import shared_chain
from jobs.bench.contents import TRIM, Content
from jobs.bench.decoders import Member, bench_decoders
from jobs.bench.footage import load_footage, split_of
from jobs.bench.negatives import NEGATIVES
from jobs.bench.table import COLUMNS, Row, write_labelled
from jobs.encode import read_frames, write_lossless
from jobs.errors import BadUsageError
from jobs.evaluate.manifest import Label, load_manifest
from tests.jobs.bench.conftest import QUIET, SMALL_D, SOURCES, rows


def _digests(folder: Path) -> dict[str, str]:
    """Every file but the measurements, which hold times."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".json", ".csv")
    }


def test_every_content_is_there_untouched_and_through_every_decoder_and_hard_negative(bench: Path) -> None:
    members = defaultdict(set)
    for row in rows(bench):
        members[row["content"], row["chain"]].add((row["kind"], row["decoder"]))
    assert len(members) == 3 * 3
    for found in members.values():
        assert ("camera", "camera") in found
        assert {name for kind, name in found if kind == "hard_negative"} == set(NEGATIVES)
        assert sum(kind == "D" for kind, _ in found) == 2


def test_members_of_a_content_share_its_cut_and_its_chain_to_the_last_parameter(bench: Path) -> None:
    shared = [name for name in COLUMNS if name not in _OF_A_MEMBER]
    groups = defaultdict(set)
    for row in rows(bench):
        groups[row["content"], row["chain"]].add(tuple(row[name] for name in shared))
    assert all(len(group) == 1 for group in groups.values())
    random = {group for (_, chain), found in groups.items() if chain == "random" for group in found}
    assert len(random) == 3, "contents draw their own chains"


_OF_A_MEMBER = "file decoder kind class seed psnr_db gradient_ratio sharp ms_a_frame parameters".split()


def test_the_untouched_member_shows_the_very_pixels_of_the_footage(bench: Path, camera: Path, tmp_path: Path) -> None:
    for row in rows(bench):
        if row["decoder"] != "camera" or row["chain"] != "raw":
            continue
        top, left = int(row["top"]) + TRIM, int(row["left"]) + TRIM
        height, width = int(row["height"]), int(row["width"])
        film = read_frames(camera / row["clip"], start=int(row["start"]), count=9)
        cut = [frame[top : top + height, left : left + width] for frame in film]
        write_lossless(tmp_path / "cut.mkv", cut, fps=load_footage(camera, frames=9)[0][0].fps)
        assert (tmp_path / "cut.mkv").read_bytes() == (bench / row["file"]).read_bytes()


def test_coded_members_lie_on_each_other(bench: Path) -> None:
    by_content = defaultdict(dict)
    for row in rows(bench):
        if row["chain"] == "x264-crf28" and row["kind"] in ("camera", "D"):
            by_content[row["content"]][row["decoder"]] = np.stack(list(read_frames(bench / row["file"]))).astype(float)
    for members in by_content.values():
        camera = members.pop("camera")
        for decoded in members.values():
            still = np.square(camera - decoded).mean()
            moved = np.square(camera[:, 2:, 2:] - decoded[:, :-2, :-2]).mean()
            assert still < moved / 2


def test_a_source_lies_in_one_split_and_always_the_same(bench: Path) -> None:
    assert {row["source"]: row["split"] for row in rows(bench)} == SOURCES
    assert {name: split_of(name).value for name in SOURCES} == SOURCES


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_cuts(
    bench: Path, camera: Path, tmp_path: Path
) -> None:
    bench_decoders(camera, tmp_path / "again", SMALL_D, QUIET)
    assert _digests(tmp_path / "again") == _digests(bench)
    other = replace(SMALL_D, seed=4, contents=1, chains=(), simulated_each=0, negatives=False)
    bench_decoders(camera, tmp_path / "other", other, QUIET)
    assert not {row["content"] for row in rows(tmp_path / "other")} & {row["content"] for row in rows(bench)}


def test_what_a_killed_run_had_made_is_kept_and_the_rest_is_made(bench: Path, camera: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    options = "--seed 3 --crop 128 --frames 9 --limit 3 --simulated 3 --simulated-each 2 --decoders D".split()
    chains = "--chain random --chain x264-crf28".split()
    command = [sys.executable, "-m", "jobs", "bench", "decoders", "--footage", str(camera), "--out", str(out)]
    with subprocess.Popen([*command, *options, *chains], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        patience = time.monotonic() + 120
        while not list(out.glob("raw/*/blur.json")) and child.poll() is None and time.monotonic() < patience:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*.json")}
    assert 2 < len(made) < len(list(bench.rglob("*.json")))
    bench_decoders(camera, out, SMALL_D, QUIET)
    assert _digests(out).items() >= _digests(bench).items()
    assert {path: path.stat().st_mtime_ns for path in made} == made
    same = [{k: v for k, v in row.items() if k != "ms_a_frame"} for row in rows(out)]
    assert same == [{k: v for k, v in row.items() if k != "ms_a_frame"} for row in rows(bench)]


def test_contents_and_chains_can_be_added_to_a_bench_and_only_they_are_made(
    bench: Path, camera: Path, tmp_path: Path
) -> None:
    out = tmp_path / "grown"
    shutil.copytree(bench, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.mkv")}
    bench_decoders(camera, out, replace(SMALL_D, chains=("vp9-crf40",), contents=4), QUIET)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len({row["content"] for row in rows(out)}) == 4
    assert {row["chain"] for row in rows(out)} == {"raw", "vp9-crf40"}


def test_a_folder_of_another_bench_is_refused(bench: Path, camera: Path) -> None:
    with pytest.raises(BadUsageError, match="another seed, crop or number of frames; name a new folder"):
        bench_decoders(camera, bench, replace(SMALL_D, frames=12), QUIET)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"decoders": ("sim2-9999",)}, "no decoder is called 'sim2-9999'"),
        ({"decoders": ("B",)}, "name a VAE's folder with --vae"),
        ({"decoders": ("C",), "instances": Path("nowhere")}, "makersmark train decoders"),
        ({"chains": ("h264",)}, "no chain is called 'h264'"),
        ({"splits": ("final",)}, "no camera clip is of the split final"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(
    camera: Path, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BadUsageError, match=sentence):
        bench_decoders(camera, tmp_path / "out", replace(SMALL_D, **change), QUIET)


def test_no_footage_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadUsageError, match="holds no video file"):
        load_footage(tmp_path / "empty", frames=9)
    with pytest.raises(BadUsageError, match="neither a folder of camera clips nor a manifest"):
        load_footage(tmp_path / "absent", frames=9)


def test_only_the_camera_rows_of_a_manifest_are_footage(camera: Path, tmp_path: Path) -> None:
    lines = ["path,label,generator,source"]
    for source, label in zip(SOURCES, ("camera", "generated", "camera"), strict=True):
        clip = os.path.relpath(camera / source / "clip.mp4", tmp_path)
        lines.append(f"{clip},{label},{'Sora' if label == 'generated' else ''},{source}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    found, _ = load_footage(tmp_path / "manifest.csv", frames=9)
    assert {clip.source for clip in found} == {"street", "meadow"}
    with pytest.raises(BadUsageError, match="14 frames, 99 are needed"):
        load_footage(tmp_path / "manifest.csv", frames=99)


def _member(kind: str) -> Member:
    return Member(f"net-{kind.lower()}", kind, "", "")


def test_what_can_be_enrolled_is_listed_as_a_labelled_manifest(bench: Path, camera: Path, tmp_path: Path) -> None:
    listed = load_manifest(bench / "labelled.csv")
    untouched = {row["file"]: row["source"] for row in rows(bench) if row["kind"] == "camera" and row["chain"] != "raw"}
    assert {clip.name: clip.source for clip in listed.clips} == untouched, "simulated decoders are nobody's signature"
    assert {clip.label for clip in listed.clips} == {Label.CAMERA}
    (clip, *_), _left = load_footage(camera, frames=9)
    content = Content("c", replace(clip, source="street"), 0, 9, (0, 0, 128, 128))
    chain = shared_chain("x264-crf23-aligned", "c", 0, 96, 96, Fraction(25))
    made = [
        Row(
            f"{kind}-{n}.mp4",
            content,
            Member(f"net-{kind.lower()}", kind, "", ""),
            one,
            30.0,
            1.0,
            True,
            1.0,
            "",
            9,
            96,
            96,
        )
        for kind in ("A", "B", "C", "D", "hard_negative")
        for n, one in enumerate((None, chain))
    ]
    for row in made:
        (tmp_path / row.file).write_bytes(row.file.encode())
    write_labelled(tmp_path / "labelled.csv", made)
    found = load_manifest(tmp_path / "labelled.csv").clips
    assert {(clip.label, clip.generator, clip.source) for clip in found} == {
        (Label.PROCESSED, "net-a", "street"),
        (Label.PROCESSED, "net-b", "street"),
    }
