"""``python -m tests.chaos.real_memory``: resident memory of driver and decoding child over thousands of real decodes.

A real sweep over small clips of several codecs and containers, each file of its own content, then the same requests to
one child that is never replaced: what recycling hides, that one shows.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import struct
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

import jobs.sweep
from cluster.outcome import FailureError
from cluster.sandbox import Limits, Sandbox
from fingerprint_db.spec import WindowPlan
from jobs.decode.protocol import DecodeRequest
from jobs.decode.replies import REPLIES, REPLY_MB
from jobs.home import Home
from jobs.scan import (
    DECODE_SERVICE,
    ContentTicket,
    FileFingerprint,
    FileTask,
    VideoWorker,
    WorkerSettings,
    worker_factory,
)
from jobs.settings import Settings
from jobs.split import FileRange
from jobs.sweep import sweep
from tests.footage import make_video, truncate

CLIPS = {
    "h264.mp4": "libx264",
    "h264.ts": "libx264",
    "h265.mkv": "libx265",
    "vp9.webm": "libvpx-vp9",
    "av1.mp4": "libsvtav1",
    "mpeg2.mpg": "mpeg2video",
    "mpeg4.avi": "mpeg4",
    "prores.mov": "prores_ks",
}
MIB = 1 << 20


def make_clips(folder: Path) -> list[Path]:
    """One sound clip a codec, and one that ends early."""
    folder.mkdir(parents=True)
    clips = [
        make_video(folder / name, codec=codec, frames=40, size=(192, 128), seed=number)
        for number, (name, codec) in enumerate(CLIPS.items())
    ]
    return [*clips, truncate(folder / "h264.ts", folder / "cut.ts", 0.6)]


def padding(suffix: str, number: int) -> bytes:
    """Bytes at a file's end that its demuxer passes over, different for every number."""
    if suffix in (".mp4", ".mov"):
        return struct.pack(">I4sQ", 16, b"free", number)
    if suffix in (".mkv", ".webm"):
        return b"\xec\x88" + struct.pack(">Q", number)  # EBML Void
    if suffix == ".avi":
        return b"JUNK" + struct.pack("<IQ", 8, number)
    if suffix == ".ts":
        return b"\x47\x1f\xff\x10" + struct.pack(">Q", number) + b"\xff" * 176  # a null packet
    return b"\x00\x00\x01\xbe" + struct.pack(">HQ", 8, number)  # an MPEG padding stream


class Watched(VideoWorker):
    """The product's worker, which notes how large its child is after each file."""

    def __init__(self, settings: WorkerSettings, noted: dict[int, list[float]]) -> None:
        super().__init__(settings)
        self._noted = noted

    def perform(self, task: FileTask, ticket: ContentTicket) -> FileFingerprint | FileRange:
        try:
            return super().perform(task, ticket)
        finally:
            pid = self._sandbox.pid
            if pid is not None:  # None after the last call of a child's life
                self._noted[pid].append(psutil.Process(pid).memory_info().rss / MIB)


def sweep_really(folder: Path, clips: list[Path], files: int) -> None:
    """One sweep with one worker: the driver's memory along it, and that of each child it has had."""
    archive = folder / "archive"
    archive.mkdir()
    for number in range(files):
        clip = clips[number % len(clips)]
        target = archive / f"{number:05}{clip.suffix}"
        target.write_bytes(clip.read_bytes() + padding(clip.suffix, number))
    noted: dict[int, list[float]] = defaultdict(list)

    def factory(settings: Settings, spec: Any) -> Any:
        return functools.partial(Watched, *worker_factory(settings, spec).args, noted=noted)

    process, driver = psutil.Process(), list[float]()
    commit = jobs.sweep._Run._commit
    jobs.sweep.worker_factory = factory

    def sampled(self: Any) -> None:
        commit(self)
        driver.append(process.memory_info().rss / MIB)
        if len(driver) % 8 == 0:
            print(f"{sum(map(len, noted.values())):6} files decoded, driver {driver[-1]:7.1f} MiB", flush=True)

    jobs.sweep._Run._commit = sampled  # type: ignore[method-assign]
    home = Home(Settings(home=str(folder / "home"), workers=1))
    summary = sweep(home, str(archive), console=Console(quiet=True))
    home.close()
    assert summary.fingerprinted == files, summary.as_dict()
    quarter = len(driver) // 4
    print("driver, means of the quarters:", *(f"{mean(driver[n * quarter : (n + 1) * quarter]):.1f}" for n in range(4)))
    for number, sizes in enumerate(noted.values()):
        print(
            f"child {number:2}: {len(sizes):3} files, after the 20th {sizes[min(19, len(sizes) - 1)]:6.1f} MiB, "
            f"last {sizes[-1]:6.1f} MiB, peak {max(sizes):6.1f} MiB"
        )
    shutil.rmtree(archive)


def one_child(clips: list[Path], calls: int) -> None:
    """The same requests to a child that is not replaced."""
    limits = Limits(max_calls=calls + 1, reply_mb=REPLY_MB)
    sizes = []
    with Sandbox(DECODE_SERVICE, limits, replies=REPLIES) as sandbox:
        first = None
        for number in range(calls):
            try:
                for _ in sandbox.call(DecodeRequest(str(clips[number % len(clips)]), WindowPlan())):
                    pass
            except FailureError as error:
                raise AssertionError(f"{clips[number % len(clips)].name} was not decoded") from error
            first = first or sandbox.pid
            assert sandbox.pid == first, "the child was replaced"
            assert first is not None
            sizes.append(psutil.Process(first).memory_info().rss / MIB)
            if (number + 1) % 100 == 0:
                print(f"one child, {number + 1:5} calls {sizes[-1]:7.1f} MiB", flush=True)
    settled = sizes[len(sizes) // 4 :]
    growth = (settled[-1] - settled[0]) / len(settled) * 1024
    print(f"one child: {sizes[19]:.1f} MiB after 20 calls, {sizes[-1]:.1f} MiB at the end, {growth:+.2f} KiB a call")


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.real_memory", description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=600, help="to one child that is not replaced")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="makersmark-real-memory-"))
    clips = make_clips(folder / "clips")
    if options.calls:
        one_child(clips, options.calls)
    if options.files:
        sweep_really(folder, clips, options.files)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
