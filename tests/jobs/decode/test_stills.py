"""Keyframes from every kind of container, in full, with what is known of their coding; refusals of what is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.outcome import FailureError
from jobs.decode.stills import Still, StillsEnd, StillsRequest, check_still, read_stills
from tests.footage import make_video, text_named_mp4


def stills(path: Path, count: int = 2) -> tuple[list[Still], StillsEnd]:
    replies = list(read_stills(StillsRequest(str(path), count)))
    end = replies[-1]
    assert isinstance(end, StillsEnd)
    return [one for one in replies if isinstance(one, Still)], end


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.webm", "a.mpg", "a.gif", "a.h264", "a.nut"])
def test_every_container_gives_its_keyframes(tmp_path: Path, name: str) -> None:
    found, end = stills(make_video(tmp_path / name, frames=30, gop=10, size=(96, 64)))
    assert found
    for one in found:
        assert one.luma.shape == (64, 96)
        assert check_still(one)
    assert end.keyframes >= 1
    assert (found[0].quantiser.shape == (4, 6)) == (end.facts.codec == "h264")


def test_a_finer_quantiser_is_told(tmp_path: Path) -> None:
    means = []
    for crf in ("16", "30"):
        path = make_video(tmp_path / f"{crf}.mp4", frames=4, options={"crf": crf})
        (one,), _ = stills(path, 1)
        means.append(float(one.quantiser.mean()))
    assert means[1] - means[0] == pytest.approx(14, abs=2)


def test_what_is_no_video_is_refused_by_its_class(tmp_path: Path) -> None:
    text_named_mp4(tmp_path / "letter.mp4")
    with pytest.raises(FailureError) as refused:
        stills(tmp_path / "letter.mp4")
    assert refused.value.failure.kind == "not_a_video"


def test_a_child_that_lies_about_its_pictures_is_not_believed(tmp_path: Path) -> None:
    (one,), _ = stills(make_video(tmp_path / "a.mp4", frames=4), 1)
    assert check_still(one)
    for lie in (
        {"lines": 8},
        {"luma": np.zeros((4, 4, 4), np.uint8)},
        {"chroma_b": np.zeros((400, 4), np.uint8)},
        {"luma": one.luma.astype(np.float32)},
        {"quantiser": np.full((2, 2), np.nan, np.float32)},
        {"bit_depth": 40},
        {"top": -1},
    ):
        assert not check_still(replace(one, **lie))
