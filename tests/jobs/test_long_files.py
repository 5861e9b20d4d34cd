"""Long files in ranges: the same bits as in one piece, whatever executor, container or damage; one commit a file."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import ClusterSettings, Done, Failure, LocalExecutor, Sandbox
from jobs.decode.plan import FIRST_BURSTS, cut_ranges
from jobs.decode.replies import REPLIES
from jobs.home import Home
from jobs.scan import (
    FileFingerprint,
    FileTask,
    VideoWorker,
    WorkerSettings,
    current_spec,
    fingerprint_files,
    useful_workers,
    worker_factory,
)
from jobs.settings import Settings
from jobs.split import run_files
from tests.footage import flip_bits, make_video
from tests.jobs import state
from tests.jobs.conftest import run_sweep
from tests.jobs.dying_decoder import FATAL_BURST

WHOLE = Settings(workers=1, split_bursts=0)
SPLIT = Settings(workers=2, split_bursts=16, split_mb=0)
SECONDS = 620  # longer than ten minutes, so that bursts are found by seeking, with the limits that users have
BURSTS = 62


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """One ten-minute film in several containers; each made once, the others copied from the first, frame for frame."""
    room = tmp_path_factory.mktemp("films")
    first = make_video(room / "film.mp4", frames=SECONDS * 3, fps=3, size=(64, 64), gop=10, seed=5)

    def give(name: str) -> Path:
        path = room / name
        if not path.exists():
            with av.open(str(first)) as reader, av.open(str(path), "w") as writer:
                stream = reader.streams.video[0]
                copy = writer.add_stream_from_template(stream)
                for packet in reader.demux(stream):
                    if packet.dts is not None:
                        packet.stream = copy
                        writer.mux(packet)
        return path

    return give


@pytest.fixture(scope="module")
def whole(films: Callable[[str], Path]) -> Callable[[Path], FileFingerprint]:
    """What one worker makes of a file in one piece; each file once."""

    @functools.cache
    def give(path: Path) -> FileFingerprint:
        ((_, file),) = fingerprint_files([str(path)], WHOLE)
        assert isinstance(file, FileFingerprint)
        return file

    return give


def in_ranges(path: Path, factory: Callable[[], VideoWorker] | None = None) -> tuple[Any, list[tuple[int, int]]]:
    """The outcome of a file that may be split, and what was told of the progress."""
    told: list[tuple[int, int]] = []
    (completion,) = run_files(
        LocalExecutor(ClusterSettings(SPLIT.workers)),
        SPLIT,
        factory or worker_factory(SPLIT, current_spec(SPLIT)),
        lambda *_: True,
        [FileTask(str(path), path.stat().st_size)],
        progress=lambda weight, files: told.append((weight, files)),
    )
    assert sum(weight for weight, _ in told) == path.stat().st_size + 1
    assert [files for _, files in told] == [0] * (len(told) - 1) + [1]
    return completion.outcome, told


def assert_same(file: FileFingerprint, other: FileFingerprint) -> None:
    plain = [name for name in FileFingerprint.__slots__ if name != "windows"]
    assert {name: getattr(file, name) for name in plain} == {name: getattr(other, name) for name in plain}
    assert len(file.windows) == len(other.windows)
    for one, two in zip(file.windows, other.windows, strict=True):
        assert (one.burst, one.crop, one.start_s, one.end_s) == (two.burst, two.crop, two.start_s, two.end_s)
        assert np.array_equal(one.decoder, two.decoder)
        assert np.array_equal(one.texture, two.texture)
        assert np.array_equal(list(one.cues.values()), list(two.cues.values()), equal_nan=True)


@given(bursts=st.integers(1, 720), at_most=st.integers(1, 100))
def test_ranges_follow_each_other_without_gap_and_only_the_first_may_be_longer_than_asked(
    bursts: int, at_most: int
) -> None:
    ranges = cut_ranges(bursts, at_most)
    assert ranges[0].first == 0
    assert [each.last for each in ranges] == [*(each.first for each in ranges[1:]), None]
    lengths = [(bursts if each.last is None else each.last) - each.first for each in ranges]
    assert sum(lengths) == bursts
    assert lengths[0] >= min(FIRST_BURSTS, bursts)
    assert 1 <= min(lengths) <= max(lengths) <= max(at_most, FIRST_BURSTS)
    assert max(lengths[1:], default=0) <= at_most


LONGER = pytest.mark.cluster


@pytest.mark.parametrize(
    "name", ["film.mp4", pytest.param("film.mkv", marks=LONGER), pytest.param("film.mov", marks=LONGER)]
)
def test_ranges_add_up_to_the_very_bits_of_one_piece(films: Any, whole: Any, name: str) -> None:
    outcome, told = in_ranges(films(name))
    assert len(told) == 4, "four ranges of at most sixteen bursts"
    assert_same(outcome.result, whole(films(name)))
    assert {window.burst for window in outcome.result.windows} == set(range(BURSTS))


@pytest.mark.parametrize("name", [pytest.param("film.flv", marks=LONGER), "film.ts"])
def test_a_film_in_which_seeks_may_go_wrong_comes_out_the_same_all_the_same(films: Any, whole: Any, name: str) -> None:
    assert_same(in_ranges(films(name))[0].result, whole(films(name)))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=LONGER)])
def test_damage_is_told_and_counted_as_in_one_piece(films: Any, whole: Any, tmp_path: Path, seed: int) -> None:
    source = films("film.mkv")
    hurt = flip_bits(source, tmp_path / "hurt.mkv", seed, 400, spare=source.stat().st_size // 3)
    outcome, _ = in_ranges(hurt)
    assert_same(outcome.result, whole(hurt))
    assert "damaged in places" in outcome.result.facts.notes


class Sabotaged(VideoWorker):
    """Its decoding child crashes in the middle of one range, after some of its windows have come."""

    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(settings)
        self._sandbox = Sandbox("tests.jobs.dying_decoder:serve", settings.limits, replies=REPLIES)


def sabotaged() -> VideoWorker:
    settings: WorkerSettings = worker_factory(SPLIT, current_spec(SPLIT)).args[0]
    return Sabotaged(settings)


def test_a_range_that_crashes_the_decoder_costs_only_itself_and_is_named(films: Any, whole: Any) -> None:
    path = films("film.mp4")
    outcome, _ = in_ranges(path, sabotaged)
    file, sound = outcome.result, whole(path)
    first, last = (cut_ranges(BURSTS, SPLIT.split_bursts)[number].first for number in (2, 3))
    assert first == FATAL_BURST
    kept = [window for window in sound.windows if not first <= window.burst < last]
    assert [window.burst for window in file.windows] == [window.burst for window in kept]
    assert all(np.array_equal(one.decoder, two.decoder) for one, two in zip(file.windows, kept, strict=True))
    assert file.coverage == pytest.approx(len(kept) / len(sound.windows))
    assert f"bursts {first} to {last - 1}: the child process was ended by SIGSEGV" in file.shortfall
    assert file.facts == sound.facts


def test_a_file_that_changes_while_its_ranges_are_read_fails_whole_and_is_tried_again(
    films: Any, tmp_path: Path
) -> None:
    path = tmp_path / "growing.mp4"
    shutil.copy(films("film.mp4"), path)
    size = path.stat().st_size
    asked: list[str] = []

    def gate(task: FileTask, _ticket: object) -> bool:
        asked.append(task.uri)
        with path.open("ab") as sink:
            sink.write(b"more")
        return True

    factory = worker_factory(SPLIT, current_spec(SPLIT))
    executor = LocalExecutor(ClusterSettings(1))
    (completion,) = run_files(executor, SPLIT, factory, gate, [FileTask(str(path), size)])
    assert isinstance(completion.outcome, Failure)
    assert (completion.outcome.kind, completion.outcome.policy.value) == ("storage_unavailable", "retry")
    assert "changed while it was being read" in completion.outcome.message
    assert asked == [str(path)], "the gate is asked once a file, not once a range"


def test_short_files_are_neither_split_nor_held_up_by_a_long_one(films: Any, tmp_path: Path) -> None:
    short = [make_video(tmp_path / f"{n}.mp4", seed=n) for n in range(3)]
    found = list(fingerprint_files([str(films("film.mp4")), *map(str, short)], SPLIT))
    assert sorted(uri for uri, _ in found) == sorted(map(str, [films("film.mp4"), *short]))
    assert all(isinstance(file, FileFingerprint) for _, file in found)


def test_files_below_the_size_are_not_asked_for_their_length(films: Any, whole: Any) -> None:
    path = films("film.mp4")
    settings = Settings(workers=1, split_bursts=16, split_mb=16)
    gates: list[Any] = []

    def gate(task: FileTask, ticket: Any) -> bool:
        gates.append((task, ticket))
        return True

    executor = LocalExecutor(ClusterSettings(1))
    factory = worker_factory(settings, current_spec(settings))
    (completion,) = run_files(executor, settings, factory, gate, [FileTask(str(path), path.stat().st_size)])
    assert isinstance(completion.outcome, Done)
    assert_same(completion.outcome.result, whole(path))
    assert [(task.split_bursts, ticket.bursts) for task, ticket in gates] == [(0, 0)]


def test_one_film_is_work_for_several_workers() -> None:
    tasks = [FileTask("film", 100 << 20), FileTask("clip", 1 << 20)]
    assert useful_workers(tasks, Settings(split_mb=16)) == 2 + 100 // 16
    assert useful_workers(tasks, Settings(split_bursts=0)) == 2


@pytest.fixture(scope="module")
def archive(films: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film under two names, and a clip."""
    folder = tmp_path_factory.mktemp("long archive")
    shutil.copy(films("film.mkv"), folder / "film.mkv")
    shutil.copy(films("film.mkv"), folder / "the same film.mkv")
    make_video(folder / "clip.mp4", seed=3)
    return folder


@pytest.fixture(scope="module")
def in_one_piece(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(Settings(home=str(tmp_path_factory.mktemp("whole") / "home"), workers=1, split_bursts=0))
    run_sweep(home, archive)
    yield home
    home.close()


def test_a_sweep_with_ranges_leaves_the_same_home(archive: Path, in_one_piece: Home, home_at: Any) -> None:
    home = home_at(workers=2, split_bursts=8, split_mb=0)
    summary = run_sweep(home, archive)
    assert (summary.fingerprinted, summary.duplicates, summary.failures) == (2, 1, {})
    assert state.verdicts(home) == state.verdicts(in_one_piece)
    assert state.items(home) == state.items(in_one_piece)
    for kind in ("fingerprints", "provenance"):
        assert state.rows(home, kind) == state.rows(in_one_piece, kind)
    assert run_sweep(home, archive).inventory.to_open == []


@pytest.mark.s3
def test_a_film_from_a_remote_store_leaves_no_copy_behind(
    films: Any, whole: Any, s3_bucket: str, tmp_path: Path
) -> None:
    from jobs.archive import Folder

    path = films("film.mp4")
    Folder(s3_bucket).write("film.mp4", path.read_bytes())
    settings = Settings(workers=2, split_bursts=16, split_mb=0, scratch=str(tmp_path))
    ((_, file),) = fingerprint_files([f"{s3_bucket}/film.mp4"], settings)
    assert isinstance(file, FileFingerprint)
    assert_same(file, whole(path))
    assert list(tmp_path.iterdir()) == []
