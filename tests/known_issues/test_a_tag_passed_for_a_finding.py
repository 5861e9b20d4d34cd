"""A tag named ``c2pa`` in a file without a manifest was passed on as if the reader had found one."""

from __future__ import annotations

from pathlib import Path

from jobs.decode.declaration import serve
from jobs.decode.protocol import VideoFacts
from tests import footage


def declared(path: Path) -> dict[str, str]:
    (facts,) = (reply for reply in serve(str(path)) if isinstance(reply, VideoFacts))
    return dict(facts.declared)


def test_matroska_has_no_place_for_a_manifest_and_a_tag_cannot_pretend_one(tmp_path: Path) -> None:
    said = declared(
        footage.make_video(tmp_path / "told.mkv", frames=6, metadata={"c2pa": "valid", "c2pa_trust": "trusted"})
    )
    assert "c2pa" not in said
    assert said["tag_c2pa"] == "valid"


def test_a_tag_overrules_neither_the_answer_nor_the_encoders_signature(tmp_path: Path) -> None:
    path = footage.make_video(
        tmp_path / "told.mp4",
        frames=6,
        metadata={"c2pa": "valid", "encoder_signature": "x264 - core 1", "workflow_models": "sora"},
        container_options={"movflags": "use_metadata_tags"},
    )
    said = declared(path)
    assert said["c2pa"] == "absent"
    assert said["tag_c2pa"] == "valid"
    assert not said["encoder_signature"].startswith("x264 - core 1 ")
    assert "workflow_models" not in said
