"""From files to evidence: one chain for all, kept by content, and nothing unreadable lost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from cluster.outcome import Failure
from jobs.encode import CodecChain
from jobs.evaluate.cache import EvaluationCache
from jobs.evaluate.chain import EvaluationChain, parse_chain
from jobs.evaluate.gather import Gathered, gather
from jobs.evaluate.manifest import load_manifest
from jobs.scan import FileFingerprint, current_spec, fingerprint_files
from jobs.settings import Settings
from tests import footage

SETTINGS = Settings(workers=1)
CHAIN = EvaluationChain(CodecChain("x264", 30, preset="ultrafast"), crop_px=160, max_frames=12)


def collection(folder: Path) -> Path:
    """Two videos of different size and codec, and a text file, with their manifest."""
    footage.make_video(folder / "wide.mp4", size=(192, 128), frames=30)
    footage.make_video(folder / "tall.avi", size=(128, 192), frames=20, seed=1)
    footage.text_named_mp4(folder / "letter.mp4")
    rows = "path,label,generator,source\nwide.mp4,camera,,a\ntall.avi,generated,Sora,b\nletter.mp4,camera,,c\n"
    (folder / "manifest.csv").write_text(rows)
    return folder / "manifest.csv"


def run(folder: Path, chain: EvaluationChain | None, seen: list[str], cache: Path | None = None) -> Gathered:
    """Gather, noting in ``seen`` the files that had to be fingerprinted."""

    def counting(uris: Iterable[str], settings: Settings) -> Iterator[tuple[str, FileFingerprint | Failure]]:
        wanted = list(uris)
        seen.extend(wanted)
        return fingerprint_files(wanted, settings)

    kept = EvaluationCache(cache or folder / "cache")
    return gather(load_manifest(folder / "manifest.csv"), SETTINGS, chain=chain, cache=kept, fingerprint=counting)


def test_every_clip_goes_through_one_chain_and_a_rerun_decodes_nothing(tmp_path: Path) -> None:
    collection(tmp_path)
    fingerprinted: list[str] = []
    first = run(tmp_path, CHAIN, fingerprinted)
    assert list(first.evidence) == ["wide.mp4", "tall.avi"]
    assert len(fingerprinted) == 2
    for seen in first.evidence.values():
        with av.open(str(seen.prepared.path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.frames) == ("h264", 12)
            assert max(stream.codec_context.width, stream.codec_context.height) == 160
    # The nulls see the packaging of the original, not that of the copy.
    assert [seen.prepared.packaging.codec for seen in first.evidence.values()] == ["h264", "mpeg4"]
    assert [seen.prepared.packaging.frames for seen in first.evidence.values()] == [30, 20]
    assert [(row.name, row.kind) for row in first.left_out] == [("letter.mp4", "not_a_video")]

    copies = {seen.prepared.path: seen.prepared.path.stat().st_mtime_ns for seen in first.evidence.values()}
    again = run(tmp_path, CHAIN, fingerprinted)
    assert len(fingerprinted) == 2
    assert {path: path.stat().st_mtime_ns for path in copies} == copies
    for name, seen in first.evidence.items():
        kept = again.evidence[name]
        assert kept.prepared.packaging == seen.prepared.packaging
        assert np.array_equal(kept.prepared.glance.thumbnail, seen.prepared.glance.thumbnail)
        assert kept.file.facts == seen.file.facts
        assert (kept.file.sha256, kept.file.coverage) == (seen.file.sha256, seen.file.coverage)
        for a, b in zip(kept.file.windows, seen.file.windows, strict=True):
            assert np.array_equal(a.decoder, b.decoder)
            assert np.array_equal(a.texture, b.texture)
            assert np.array_equal(list(a.cues.values()), list(b.cues.values()), equal_nan=True)
            assert (a.burst, a.crop, a.top, a.left, a.start_s, a.end_s) == (
                b.burst,
                b.crop,
                b.top,
                b.left,
                b.start_s,
                b.end_s,
            )


def test_without_a_chain_the_files_themselves_are_judged(tmp_path: Path) -> None:
    collection(tmp_path)
    found = run(tmp_path, None, [])
    assert [seen.prepared.path.name for seen in found.evidence.values()] == ["wide.mp4", "tall.avi"]
    assert [seen.file.facts.codec for seen in found.evidence.values()] == ["h264", "mpeg4"]
    assert not list((tmp_path / "cache").rglob("*.mp4"))


def test_a_damaged_cache_entry_is_made_again(tmp_path: Path) -> None:
    collection(tmp_path)
    first = run(tmp_path, CHAIN, [])
    for entry in (tmp_path / "cache").rglob("*.npz"):
        entry.write_bytes(entry.read_bytes()[:100])
    fingerprinted: list[str] = []
    again = run(tmp_path, CHAIN, fingerprinted)
    assert len(fingerprinted) == 2
    spec = current_spec(SETTINGS).id
    cache = EvaluationCache(tmp_path / "cache")
    for name, seen in again.evidence.items():
        assert np.array_equal(seen.file.windows[0].texture, first.evidence[name].file.windows[0].texture)
        assert cache.fingerprint(seen.prepared.key, spec) is not None
        assert cache.fingerprint(seen.prepared.key, "ffffffffffffffff") is None


@pytest.mark.parametrize(
    ("text", "codec", "crf", "preset", "scale"),
    [
        ("x264-crf23", "x264", 23, "medium", 1.0),
        ("x265-crf28-fast", "x265", 28, "fast", 1.0),
        ("vp9-crf33-x0.75", "vp9", 33, "medium", 0.75),
        ("x264-crf18-fast-x0.5", "x264", 18, "fast", 0.5),
    ],
)
def test_a_chain_is_spelt_as_it_is_shown(text: str, codec: str, crf: int, preset: str, scale: float) -> None:
    chain = parse_chain(text)
    assert chain is not None
    assert (chain.codec.codec, chain.codec.crf, chain.codec.preset, chain.codec.scale) == (codec, crf, preset, scale)
    assert chain.name == f"{text}, centre 512 px, 64 frames"
    assert parse_chain("none") is None


@pytest.mark.parametrize("text", ["h264-crf23", "x264", "x264-crf23-warp", "x264-crf99", ""])
def test_an_unknown_chain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"chain|preset|crf"):
        parse_chain(text)
