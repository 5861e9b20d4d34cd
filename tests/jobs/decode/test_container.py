"""What boxes, dates, edit lists, XMP and long tags tell, read from real files and from hostile ones."""

from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint_db.spec import WindowPlan
from jobs.decode.container import MAX_BOXES, boxes, container_facts, xmp_fields
from jobs.decode.protocol import DecodeRequest, DecodeSummary, VideoFacts
from jobs.decode.pyav import PyAVDecoder
from jobs.decode.replies import checked
from jobs.decode.source import Source
from jobs.decode.tags import tag_facts
from tests import footage

XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def told(path: Path) -> dict[str, str]:
    return container_facts(Source(str(path)), path.stat().st_size)


def decoded(path: Path) -> VideoFacts:
    """The facts as they come out of a whole decode, past the checks of the parent."""
    plan = WindowPlan()
    *_, end = checked(PyAVDecoder().decode(DecodeRequest(str(path), plan)), plan)
    assert isinstance(end, DecodeSummary)
    return end.facts


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage.make_video(tmp_path_factory.mktemp("boxes") / "plain.mp4", frames=24)


def test_the_order_of_boxes_tells_whether_a_file_was_made_for_streaming(plain: Path, tmp_path: Path) -> None:
    assert told(plain)["boxes"] == "ftyp free mdat moov"
    fast = footage.make_video(tmp_path / "fast.mp4", frames=6, container_options={"movflags": "faststart"})
    assert told(fast)["boxes"] == "ftyp moov free mdat"
    parts = footage.make_video(
        tmp_path / "parts.mp4", frames=24, container_options={"movflags": "frag_keyframe+empty_moov"}
    )
    assert told(parts)["boxes"].startswith("ftyp moov moof mdat")
    assert len(told(parts)["boxes"].split()) <= 6


def test_an_edit_list_is_told_in_seconds_and_ticks(plain: Path, tmp_path: Path) -> None:
    hidden = footage.edit_list(tmp_path / "edited.mp4", plain, skipped=5)
    assert " from " in told(hidden)["edits"]
    first = int(told(hidden)["edits"].rsplit(" ", 1)[1])
    with av.open(str(hidden)) as file:
        ticks = 1 / float(file.streams.video[0].time_base or 1)
    assert first / ticks == pytest.approx(5 / 25, abs=2.1 / 25)  # the hidden frames, and B-frames that come before


def test_both_dates_of_a_container_are_told(plain: Path, tmp_path: Path) -> None:
    assert "created" not in told(plain)
    dated = footage.make_video(
        tmp_path / "dated.mp4", frames=6, metadata={"creation_time": "2026-01-02T03:04:05.000000Z"}
    )
    assert told(dated)["created"] == "2026-01-02T03:04:05+00:00"
    assert "modified" not in told(dated)
    data = bytearray(dated.read_bytes())
    at = data.index(b"mvhd") + 12
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + 86400).to_bytes(4, "big")
    dated.write_bytes(data)
    assert told(dated)["modified"] == "2026-01-03T03:04:05+00:00"


def test_xmp_tells_the_tool_and_the_kind_of_source(plain: Path) -> None:
    packet = (
        b'<x:xmpmeta><rdf:Description xmp:CreatorTool="Veo &amp; friends" '
        b'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia">'
        b"<dcterms:provenance>elsewhere.example/manifest</dcterms:provenance></rdf:Description></x:xmpmeta>"
    )
    path = plain.with_name("xmp.mp4")
    path.write_bytes(plain.read_bytes() + (24 + len(packet)).to_bytes(4, "big") + b"uuid" + XMP + packet)
    found = told(path)
    assert found["xmp_creator_tool"] == "Veo & friends"
    assert found["xmp_digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert found["xmp_provenance"] == "elsewhere.example/manifest"
    assert found["extensions"] == "xmp"


def test_the_whole_of_an_encoders_settings_is_kept_past_the_bound_of_other_texts(plain: Path) -> None:
    facts = decoded(plain)
    assert "aq=" in facts.declared["encoder_signature"]  # the last of x264's settings
    assert facts.declared["profile"] == "Main"
    assert facts.declared["usual_rate"] == "25"
    assert facts.declared["clock"] == "12800"


def test_a_cut_moves_the_average_rate_and_not_the_usual_one(tmp_path: Path) -> None:
    whole = footage.make_video(tmp_path / "whole.mp4", frames=48, fps=24, bframes=3)
    cut = footage.cut_by_copying(whole, tmp_path / "cut.mp4", 22)
    assert decoded(cut).declared["usual_rate"] == "24"


def test_a_node_graph_of_any_length_gives_its_nodes_and_models(tmp_path: Path) -> None:
    graph = {
        str(number): {"class_type": kind, "inputs": {"model": model, "text": "x" * 400}}
        for number, (kind, model) in enumerate(
            [("HyVideoModelLoader", "hyvideo\\hunyuan_video_720.safetensors"), ("HyVideoSampler", 3)]
        )
    }
    once, twice = json.dumps({"prompt": graph}), json.dumps({"prompt": json.dumps(graph)})
    for comment in (once, twice):
        path = footage.make_video(tmp_path / "graph.mp4", frames=6, metadata={"comment": comment})
        declared = decoded(path).declared
        assert declared["workflow_nodes"] == "HyVideoModelLoader, HyVideoSampler"
        assert declared["workflow_models"] == "hunyuan_video_720.safetensors"
    assert tag_facts({"comment": "class_type is a word"}) == {}


def test_no_number_of_boxes_and_no_claim_of_size_keeps_the_reader_busy(tmp_path: Path) -> None:
    small = (8).to_bytes(4, "big") + b"free"
    moov = (8 + 8 * 100_000).to_bytes(4, "big") + b"moov" + small * 100_000
    path = tmp_path / "many.mp4"
    path.write_bytes((8).to_bytes(4, "big") + b"ftyp" + moov + small * 100_000)
    assert told(path)["boxes"] == "ftyp moov free"
    assert len(list(boxes(io.BytesIO(moov), 8, len(moov), MAX_BOXES))) == MAX_BOXES
    endless = struct.pack(">I4sI", 0xFFFFFFF0, b"moov", 0)
    path.write_bytes((8).to_bytes(4, "big") + b"ftyp" + endless)
    assert told(path)["boxes"] == "ftyp moov"


def test_nested_boxes_without_end_are_left_after_a_few(tmp_path: Path) -> None:
    inner = b""
    for _ in range(2000):
        inner = (8 + len(inner)).to_bytes(4, "big") + b"trak" + inner
    path = tmp_path / "deep.mp4"
    path.write_bytes((8).to_bytes(4, "big") + b"ftyp" + (8 + len(inner)).to_bytes(4, "big") + b"moov" + inner)
    assert told(path) == {"boxes": "ftyp moov"}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_is_done_to_the_boxes_the_facts_stay_small_texts(plain: Path, seed: int) -> None:
    data, chance = bytearray(plain.read_bytes()), random.Random(seed)
    start = data.index(b"moov") - 4
    for _ in range(chance.randrange(1, 12)):
        at = chance.randrange(start, len(data) - 8)
        data[at : at + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"elst", b"\0\0\0\x08"))
    path = plain.with_name("mutant.mp4")
    path.write_bytes(data)
    found = told(path)
    assert len(found) <= 12
    assert all(len(value) <= 4096 for value in found.values())


@settings(max_examples=80, deadline=None)
@given(packet=st.binary(max_size=400))
def test_any_bytes_are_an_xmp_packet_without_fields_or_with_short_ones(packet: bytes) -> None:
    assert all(0 < len(value) <= 400 for value in xmp_fields(b'xmp:CreatorTool="' + packet + b'"').values())


def test_tags_of_every_size_leave_facts_that_the_parent_accepts(tmp_path: Path) -> None:
    tags = {f"key{number}": "\x07" + "x" * 5000 for number in range(120)} | {"comment": "\u202e" * 3000}
    path = footage.make_video(
        tmp_path / "tags.mp4", frames=6, metadata=tags, container_options={"movflags": "use_metadata_tags"}
    )
    declared = decoded(path).declared
    assert len(declared) < 90
    assert all(len(value) <= 2000 and value.isprintable() for value in declared.values())
