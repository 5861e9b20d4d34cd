"""A long file that failed while its first range was still being decoded came out twice, the second time as a fault."""

from __future__ import annotations

import threading
from pathlib import Path

from cluster import ClusterSettings, Failure, LocalExecutor
from jobs.decode.protocol import BurstRange
from jobs.decode.source import Extents
from jobs.scan import FileTask, VideoWorker, WorkerSettings, current_spec, worker_factory
from jobs.settings import Settings
from jobs.split import FileRange, run_files
from tests.footage import make_video, repeated

SETTINGS = Settings(workers=2, split_bursts=16, split_mb=0)


def test_a_long_file_that_fails_while_its_first_range_is_out_is_told_of_once(tmp_path: Path) -> None:
    reel = make_video(tmp_path / "reel.mp4", frames=30, fps=3, size=(64, 64), gop=10)
    film = repeated(tmp_path / "film.mp4", reel, 65)
    told = threading.Event()

    class Slow(VideoWorker):
        """Takes its time with the first range, until the file's end has been told."""

        def _range(self, path: str, bursts: BurstRange, parts: Extents = ()) -> FileRange | None:
            if bursts.first == 0:
                assert told.wait(60)
            return super()._range(path, bursts, parts)

    def factory() -> VideoWorker:
        settings: WorkerSettings = worker_factory(SETTINGS, current_spec(SETTINGS)).args[0]
        return Slow(settings)

    def gate(_task: object, _ticket: object) -> bool:
        with film.open("ab") as sink:
            sink.write(b"more")
        return True

    files = run_files(
        LocalExecutor(ClusterSettings(2)), SETTINGS, factory, gate, [FileTask(str(film), film.stat().st_size)]
    )
    completion = next(files)
    told.set()
    assert isinstance(completion.outcome, Failure)
    assert "changed while it was being read" in completion.outcome.message
    assert list(files) == []
