"""x264's settings were cut after 600 characters, where its rate control only begins: crf and bit rate were lost."""

from __future__ import annotations

from pathlib import Path

from jobs.decode.declaration import serve
from jobs.decode.protocol import VideoFacts
from tests import footage


def test_an_encoders_rate_control_is_kept(tmp_path: Path) -> None:
    path = footage.make_video(tmp_path / "film.mp4", frames=6, options={"crf": "31", "preset": "medium"})
    (facts,) = (reply for reply in serve(str(path)) if isinstance(reply, VideoFacts))
    signature = facts.declared["encoder_signature"]
    assert len(signature) > 600
    assert "rc=crf mbtree=1 crf=31.0" in signature
