"""A seeded sample of what ``make fuzz`` does at length: no worker crashes, nothing hangs, every file has its end."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.corpus import MAKERS, make_corpus
from tests.fuzz.mutations import MUTATIONS, mutate, size_fields
from tests.fuzz.run import again, mutants, run

FORMATS = (
    "h264.mp4",
    "hevc.mp4",
    "h264.mkv",
    "vp9.webm",
    "mpeg4.avi",
    "h264.ts",
    "mjpeg.mov",
    "picture.gif",
    "mpeg2.mpg",
    "vp9.ivf",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return make_corpus(tmp_path_factory.mktemp("corpus"), FORMATS)


def test_mutants_end_in_a_verdict_or_a_class_and_none_is_lost(corpus: dict[str, bytes], tmp_path: Path) -> None:
    *_, report = run(corpus, mutants(corpus, 120, seed=20), tmp_path)
    assert report.finds == []
    assert (report.mutants, report.unaccounted) == (120, 0)
    assert set(report.by_format) == set(FORMATS)
    assert any(outcome.startswith("verdict ") for outcome in report.outcomes)
    assert report.outcomes["damaged"] > 0


def test_healthy_files_of_every_format_get_a_verdict(corpus: dict[str, bytes], tmp_path: Path) -> None:
    *_, report = run(corpus, [(name, "", "", data) for name, data in corpus.items()], tmp_path)
    assert {outcome.split()[0] for outcome in report.outcomes} == {"verdict"}


def test_what_ends_as_none_should_is_found_and_kept(
    corpus: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.scan.DECODE_SERVICE", "tests.cluster.behaviours:environment")
    made = list(mutants(corpus, 2, seed=1))
    *_, report = run(corpus, made, tmp_path, keep=tmp_path / "kept")
    assert [find.outcome for find in report.finds] == ["crashed", "crashed"]
    assert {path.read_bytes() for path in (tmp_path / "kept").iterdir()} == {data for *_, data in made}


def test_a_mutant_is_made_again_by_its_format_and_seed(corpus: dict[str, bytes]) -> None:
    made = list(mutants(corpus, 30, seed=3))
    assert made == list(mutants(corpus, 30, seed=3)) != list(mutants(corpus, 30, seed=4))
    for name, seed, mutations, data in made:
        assert again(corpus, name, seed) == (seed, mutations, data)
    assert len({data for *_, data in made}) == 30


def test_every_mutation_changes_files_of_every_format(corpus: dict[str, bytes]) -> None:
    for name, change in MUTATIONS.items():
        changed = 0
        for data in corpus.values():
            for seed in range(6):
                out = bytearray(data)
                change(out, random.Random(seed), list(corpus.values()))
                changed += bytes(out) != data
        assert changed > 3 * len(corpus), name


def test_sizes_are_found_in_every_container_and_nothing_can_stop_a_mutation(corpus: dict[str, bytes]) -> None:
    for name, data in corpus.items():
        fields = size_fields(data)
        assert fields, name
        assert all(0 <= field.offset < len(data) for field in fields)
    for seed in range(200):
        for data in (b"", b"\0", b"\x47" * 200, b"RIFF", b"DKIF" + bytes(40), b"FLV\x01" + bytes(20)):
            mutate(data, random.Random(seed), [b"", b"x"])


def test_the_command_prints_counts_and_says_by_its_status_that_nothing_was_found() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--mutations", "12", "--seed", "2", "--formats", "picture.gif"],
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("12 mutants of 1 formats")
    assert "0 unaccounted for" in told.stdout


def test_the_whole_corpus_has_more_than_eight_formats() -> None:
    assert len(MAKERS) >= 8
    assert len({Path(name).suffix for name in MAKERS}) >= 8
