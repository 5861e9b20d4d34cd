"""Long remote films by range: far fewer bytes, the very same bits, and never a mixture of two objects."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import ClusterSettings, Done, LocalExecutor
from cluster.outcome import FailureError
from fingerprint_db.spec import WindowPlan
from jobs.archive import Fetched, Folder, fetch, fetch_parts
from jobs.decode.plan import cut_ranges
from jobs.decode.protocol import DecodeRequest, LengthRequest, Missed, Outline
from jobs.decode.replies import outlined
from jobs.decode.service import serve
from jobs.decode.source import MissedError, Source, length, merged, without
from jobs.scan import (
    ContentTicket,
    FileFingerprint,
    FileTask,
    VideoWorker,
    current_spec,
    worker_factory,
)
from jobs.settings import Settings
from jobs.split import FileRange, run_files
from tests.faulty_proxy import FaultyProxy
from tests.footage import make_video, repeated
from tests.jobs.test_long_files import assert_same

SECONDS, FPS = 660, 12  # long enough for bursts to be found by seeking, with the limits that users have
PLAN = WindowPlan(every_s=60.0)
AT_MOST = 3  # of eleven bursts: four ranges
SPEC = replace(current_spec(Settings()), plan=PLAN)  # 68 bursts: four ranges
BY_RANGE = Settings(workers=2, split_bursts=AT_MOST, split_mb=0, range_mb=1)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """One film of eleven minutes: ten coded seconds shown over and over, copied into several containers."""
    room = tmp_path_factory.mktemp("range films")
    reel = make_video(room / "reel.mp4", frames=10 * FPS, fps=FPS, size=(96, 64), gop=48, seed=9, options={"crf": "18"})

    def give(name: str) -> Path:
        path = room / name
        if not path.exists():
            front = {"movflags": "faststart"} if "front" in name else {}
            repeated(path, reel, SECONDS // 10, container_options=front)
        return path

    return give


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Callable[..., VideoWorker]]:
    """Makes workers with a scratch folder each, which must be empty when they are closed."""
    made: list[tuple[VideoWorker, Path]] = []

    def make(**settings: Any) -> VideoWorker:
        scratch = tmp_path / f"scratch{len(made)}"
        chosen = replace(BY_RANGE, scratch=str(scratch), **settings)
        spec = replace(current_spec(chosen), plan=PLAN)
        made.append((worker_factory(chosen, spec)(), scratch))
        return made[-1][0]

    yield make
    for one, scratch in made:
        one.close()
        assert list(scratch.glob("*")) == []


def stored(film: Path, bucket: str) -> str:
    Folder(bucket).write(film.name, film.read_bytes())
    return f"{bucket}/{film.name}"


def first_look(one: VideoWorker, uri: str, size: int) -> tuple[FileTask, ContentTicket]:
    task = FileTask(uri, size, split_bursts=AT_MOST)
    return task, one.admit(task)


def in_one_piece(one: VideoWorker, film: Path) -> FileFingerprint:
    task = FileTask(str(film), film.stat().st_size)
    found = one.perform(task, one.admit(task))
    assert isinstance(found, FileFingerprint)
    return found


def in_ranges(uri: str, size: int, gate: Callable[[FileTask, ContentTicket], bool], scratch: Path) -> Any:
    """What becomes of one film on two workers."""
    settings = replace(BY_RANGE, scratch=str(scratch))
    factory, executor = worker_factory(settings, SPEC), LocalExecutor(ClusterSettings(2))
    (completion,) = run_files(executor, settings, factory, gate, [FileTask(uri, size)])
    return completion.outcome


def parts_of(task: FileTask, ticket: ContentTicket) -> list[FileTask]:
    """The tasks of all ranges, as jobs.split hands them out."""
    ranges = cut_ranges(ticket.bursts, AT_MOST)
    known = replace(ticket, extents=())
    extents = ticket.extents or ((),) * len(ranges)
    return [
        replace(task, split_bursts=0, bursts=bursts, known=known, extents=needed)
        for bursts, needed in zip(ranges, extents, strict=True)
    ]


def done(one: VideoWorker, task: FileTask) -> FileRange:
    ticket = one.admit(task)
    found = one.perform(task, ticket)
    assert isinstance(found, FileRange)
    return found


def assert_same_range(one: FileRange, other: Any) -> None:
    assert (one.bursts, one.tally) == (other.bursts, other.tally)
    assert len(one.windows) == len(other.windows) > 0
    for mine, theirs in zip(one.windows, other.windows, strict=True):
        assert (mine.burst, mine.crop, mine.start_s, mine.end_s) == (
            theirs.burst,
            theirs.crop,
            theirs.start_s,
            theirs.end_s,
        )
        for name in ("decoder", "texture"):
            assert np.array_equal(getattr(mine, name), getattr(theirs, name), equal_nan=True)
        assert mine.cues == theirs.cues


@pytest.mark.s3
@pytest.mark.parametrize("name", ["end.mp4", "front.mp4", "film.mkv"])
def test_ranges_read_by_parts_are_the_very_bits_of_ranges_of_a_whole_file(
    films: Any, proxy: FaultyProxy, s3_bucket: str, worker: Any, name: str
) -> None:
    film = films(name)
    size = film.stat().st_size
    uri = stored(film, s3_bucket)
    one, other = worker(), worker()
    task, ticket = first_look(one, uri, size)
    assert proxy.sent >= size
    assert 0 < ticket.bursts > AT_MOST
    ranges = parts_of(task, ticket)
    assert all(0 < length(part.extents) < 0.2 * size for part in ranges)
    whole = [one.perform(task, ticket), *(done(one, part) for part in ranges[1:])]
    proxy.sent = 0
    found = [done(other, part) for part in ranges]
    for mine, theirs in zip(found, whole, strict=True):
        assert_same_range(mine, theirs)
    needed = merged(piece for part in ranges for piece in part.extents)
    assert 0 < proxy.sent <= length(needed), "a part was brought twice, or bytes that nobody had foreseen"
    assert proxy.sent < 0.5 * size


@pytest.mark.s3
def test_a_transport_stream_is_downloaded_whole(films: Any, proxy: FaultyProxy, s3_bucket: str, worker: Any) -> None:
    film = films("film.ts")
    _, ticket = first_look(worker(), stored(film, s3_bucket), film.stat().st_size)
    assert ticket.bursts > AT_MOST
    assert ticket.extents == ()


@pytest.mark.s3
@pytest.mark.parametrize("settings", [{"range_mb": 0}, {"decoder": "decord"}])
def test_ranges_are_read_by_parts_only_where_that_is_wanted(
    films: Any, proxy: FaultyProxy, s3_bucket: str, worker: Any, settings: dict[str, Any]
) -> None:
    film = films("end.mp4")
    _, ticket = first_look(worker(**settings), stored(film, s3_bucket), film.stat().st_size)
    assert ticket.bursts > AT_MOST
    assert ticket.extents == ()


def test_a_local_film_is_read_where_it_lies(films: Any, worker: Any) -> None:
    film = films("end.mp4")
    _, ticket = first_look(worker(), str(film), film.stat().st_size)
    assert (ticket.bursts > AT_MOST, ticket.extents) == (True, ())


@pytest.mark.s3
def test_a_film_in_ranges_comes_out_as_in_one_piece_through_a_store_that_stumbles(
    films: Any, proxy: FaultyProxy, s3_bucket: str, worker: Any, tmp_path: Path
) -> None:
    film = films("end.mp4")
    uri = stored(film, s3_bucket)
    whole = in_one_piece(worker(), film)
    seen: list[str] = []

    def now_and_then(method: str, path: str) -> bool:
        if method != "GET" or film.name not in path:
            return False
        seen.append(path)
        return len(seen) % 4 == 3

    proxy.spoil("slow_down", times=10_000, chosen=now_and_then)
    outcome = in_ranges(uri, film.stat().st_size, lambda *_: True, tmp_path / "two")
    assert isinstance(outcome, Done)
    assert_same(outcome.result, whole)
    assert list((tmp_path / "two").iterdir()) == []
    one, other = worker(), worker()
    task, ticket = first_look(one, uri, film.stat().st_size)
    spoiled = proxy.spoiled
    assert_same_range(done(other, parts_of(task, ticket)[0]), one.perform(task, ticket))
    assert proxy.spoiled > spoiled


@pytest.mark.s3
def test_a_range_whose_parts_were_foreseen_wrongly_is_read_from_a_whole_download(
    films: Any, proxy: FaultyProxy, s3_bucket: str, worker: Any
) -> None:
    film = films("film.mkv")
    size = film.stat().st_size
    one, other = worker(), worker()
    task, ticket = first_look(one, stored(film, s3_bucket), size)
    second = parts_of(task, ticket)[1]
    one.perform(task, ticket)
    proxy.sent = 0
    found = done(other, replace(second, extents=(*second.extents[:2], *second.extents[3:])))
    assert proxy.sent > size
    assert_same_range(found, done(one, second))


@pytest.mark.s3
def test_an_object_that_is_replaced_before_its_ranges_are_read_fails_whole_and_is_tried_again(
    films: Any, proxy: FaultyProxy, s3_bucket: str, worker: Any, tmp_path: Path
) -> None:
    film, other = films("end.mp4"), films("front.mp4")
    uri = stored(film, s3_bucket)

    def gate(_task: FileTask, ticket: Any) -> bool:
        assert ticket.extents
        Folder(s3_bucket).write(film.name, other.read_bytes())
        return True

    outcome = in_ranges(uri, film.stat().st_size, gate, tmp_path / "two")
    if isinstance(outcome, Done):  # one worker was quick enough to do all ranges from its own copy
        assert_same(outcome.result, in_one_piece(worker(), film))
    else:
        assert (outcome.kind, outcome.policy.value) == ("storage_unavailable", "retry")
        assert "changed while it was being read" in outcome.message
    one, late = worker(), worker()
    task, ticket = first_look(one, stored(film, s3_bucket), film.stat().st_size)
    gate(task, ticket)
    with pytest.raises(FailureError, match="changed while it was being read"):
        late.admit(parts_of(task, ticket)[1])


CLIP = os.urandom(3_000_000)
PARTS = ((0, 40_000), (900_000, 900_001), (1_500_000, 2_600_000))


@pytest.fixture
def known(proxy: FaultyProxy, s3_bucket: str, tmp_path: Path) -> tuple[str, Fetched]:
    Folder(s3_bucket).write("a.mp4", CLIP)
    first = fetch(f"{s3_bucket}/a.mp4", tmp_path / "first")
    assert (first.parts, first.sha256) == ((), hashlib.sha256(CLIP).hexdigest())
    assert first.tag
    return f"{s3_bucket}/a.mp4", first


def body(method: str, path: str) -> bool:
    return method == "GET" and "a.mp4" in path


@pytest.mark.s3
@pytest.mark.parametrize("fault", ["slow_down", "reset", "truncate", "short"])
def test_parts_come_whole_through_a_passing_fault(
    proxy: FaultyProxy, known: tuple[str, Fetched], tmp_path: Path, fault: str
) -> None:
    uri, first = known
    proxy.spoil(fault, times=2, chosen=body)
    proxy.sent = 0
    parted = fetch_parts(uri, first, PARTS, tmp_path / "parts")
    assert proxy.spoiled == 2
    assert proxy.sent < 3 * length(PARTS)
    data = parted.path.read_bytes()
    assert (parted.parts, parted.size, len(data)) == (PARTS, len(CLIP), len(CLIP))
    for start, end in PARTS:
        assert data[start:end] == CLIP[start:end]
    further = fetch_parts(uri, parted, ((50_000, 60_000),), tmp_path / "parts")
    assert further.path == parted.path
    assert further.path.read_bytes()[50_000:60_000] == CLIP[50_000:60_000]
    assert further.path.read_bytes()[900_000:900_001] == CLIP[900_000:900_001]
    assert list((tmp_path / "parts").iterdir()) == [parted.path]


@pytest.mark.s3
@pytest.mark.parametrize("at", [0, 2, 3])
def test_an_object_that_is_replaced_while_its_parts_come_gives_no_mixture(
    proxy: FaultyProxy, known: tuple[str, Fetched], s3_bucket: str, s3_endpoint: str, tmp_path: Path, at: int
) -> None:
    import boto3

    uri, first = known
    asked: list[str] = []

    def replacing(method: str, path: str) -> bool:
        if method == ("HEAD" if at == len(PARTS) else "GET") and "a.mp4" in path:
            asked.append(path)
            if len(asked) == (at if at < len(PARTS) else 1) + 1:
                client = boto3.client("s3", endpoint_url=s3_endpoint)
                client.put_object(Bucket=s3_bucket.removeprefix("s3://"), Key="a.mp4", Body=os.urandom(len(CLIP)))
        return False

    proxy.spoil("none", times=1, chosen=replacing)
    with pytest.raises(FailureError, match="changed while it was being read") as refused:
        fetch_parts(uri, first, PARTS, tmp_path / "parts")
    assert (refused.value.failure.kind, refused.value.failure.policy) == ("storage_unavailable", "retry")
    assert list((tmp_path / "parts").iterdir()) == []


def test_a_source_in_parts_gives_what_is_there_and_remembers_what_was_missed(tmp_path: Path) -> None:
    path = tmp_path / "parted"
    path.write_bytes(CLIP)
    source = Source(str(path), PARTS)
    with source.open() as file:
        file.seek(1_500_000)
        assert file.read(1_000) == CLIP[1_500_000:1_501_000]
        file.seek(900_000)
        assert not source.missed
        with pytest.raises(MissedError):
            file.read(2)
    assert source.missed
    source.close()


def test_a_decoder_that_misses_bytes_says_so_and_ends(films: Any) -> None:
    """The file is whole here: only the guard stands between the decoder and the rest of it."""
    film, plan = str(films("end.mp4")), PLAN
    (said,) = (reply for reply in serve(LengthRequest(film, plan, AT_MOST)) if reply is not None)
    assert isinstance(said, Outline)
    bursts = cut_ranges(said.bursts, AT_MOST)[0]
    sound = list(serve(DecodeRequest(film, plan, bursts=bursts, present=said.extents[0])))
    assert not any(isinstance(reply, Missed) for reply in sound)
    for left_out in range(len(said.extents[0])):
        present = tuple(part for number, part in enumerate(said.extents[0]) if number != left_out)
        replies = [reply for reply in serve(DecodeRequest(film, plan, bursts=bursts, present=present)) if reply]
        assert isinstance(replies[-1], Missed)
        assert not any(isinstance(reply, Missed) for reply in replies[:-1])


@pytest.mark.parametrize(
    "said",
    [
        7,
        Outline(-1),
        Outline(10**6),
        Outline(40, (((0, 10),),)),  # three ranges, and parts for one
        Outline(40, (((0, 10),), ((5, 3),), ())),
        Outline(40, (((0, 10),), ((0, 10), (10, 20)), ())),
        Outline(40, (((0, 10),), ((-1, 10),), ())),
        Outline(40, (((0, 10),), ((0, 1001),), ())),
    ],
)
def test_an_outline_that_makes_no_sense_is_refused(said: object) -> None:
    with pytest.raises(FailureError) as refused:
        outlined([None, said], WindowPlan(), 1000, 17)
    assert refused.value.failure.kind == "crashed"


def test_an_outline_that_makes_sense_is_taken() -> None:
    said = Outline(40, (((0, 10),), ((0, 10), (20, 1000)), ()))
    assert outlined([None, said], WindowPlan(), 1000, 17) == said


PIECES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))), max_size=8
)


def members(parts: Any) -> set[int]:
    return {place for start, end in parts for place in range(start, end)}


@given(PIECES, PIECES)
def test_parts_add_up_and_subtract_as_sets_of_bytes_do(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    mine, theirs = merged(one), merged(other)
    assert members(mine) == members(one)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(mine))
    assert members(without(mine, theirs)) == members(one) - members(other)
    assert length(mine) == len(members(one))
