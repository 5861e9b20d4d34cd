"""Declared evidence beside a verdict, through the command line: what files say, fit, and contradict."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from fingerprint_db.overlays import FACT
from fingerprint_db.verdict import Verdict, VerdictKind
from fingerprint_db.window import WindowFingerprint
from jobs import show
from jobs.cli import main
from jobs.declared import marks_of
from jobs.decode.protocol import VideoFacts
from jobs.evidence import evidence_of
from jobs.scan import FileFingerprint
from tests.footage import make_video, scene
from tests.signed import CAPTURED, box_at, sign

FACTS = VideoFacts("mp4", "h264", "yuv420p", 720, 480, 8.0, 49, 6.125, 9e5, 8, 0, False, False, False, False, {})
SIGNATURE = "x264 - core 159 r2991 1771b55 - H.264/MPEG-4 AVC codec - options: cabac=1 bframes=3 rc=crf crf=23.0"


def with_logo(pictures: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    strokes = np.kron(np.random.default_rng(3).random((5, 12)) < 0.5, np.ones((5, 5), bool))
    for picture in pictures:
        picture[0, 160:185, 250:310][strokes] = 225
        yield picture


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """One real scan of files with the four states of content credentials, and one with a node graph; by name."""
    folder = tmp_path_factory.mktemp("declared")
    plain = make_video(folder / "absent.mp4", frames=24)
    signed = sign(plain, folder / "valid.mp4", tool="OpenAI API", agent="Sora")
    sign(plain, folder / "captured.mp4", agent="Phone", kind=CAPTURED)
    data = signed.read_bytes()
    start, length = box_at(data)
    invalid = bytearray(data)
    invalid[start + length + 600] ^= 1
    (folder / "invalid.mp4").write_bytes(invalid)
    (folder / "unreadable.mp4").write_bytes(data[: start + 60] + bytes(length - 60) + data[start + length :])
    graph = json.dumps({"1": {"class_type": "HyVideoSampler", "inputs": {"model": "hunyuan_video_720.safetensors"}}})
    make_video(folder / "logo.mp4", pictures=with_logo(scene(32, (320, 192))), size=(320, 192))
    make_video(folder / "graph.mp4", frames=24, metadata={"comment": graph})
    names = [*sorted(folder.glob("*.mp4"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        out = folder / "out.jsonl"
        patch.setattr(sys, "argv", ["makersmark", "scan", *map(str, names), "--json", "-j", "1"])
        with out.open("w") as stream:
            patch.setattr(sys, "stdout", stream)
            with contextlib.suppress(SystemExit):
                main()
    records = [json.loads(line) for line in out.read_text().splitlines()]
    return {Path(record["uri"]).stem: record for record in records}


@pytest.mark.parametrize("state", ["absent", "unreadable", "invalid", "valid"])
def test_a_scan_gives_the_four_answers_about_content_credentials(
    scanned: dict[str, dict[str, Any]], state: str
) -> None:
    record = scanned[state]
    assert record["error"] is None
    assert record["declared"]["c2pa"] == state
    assert record["evidence"]["declared"]["c2pa"]["state"] == state
    assert record["evidence"]["declared"]["label"] == "declared, easily forged"


def test_a_scan_tells_a_still_overlay_beside_the_verdict_and_to_people(scanned: dict[str, dict[str, Any]]) -> None:
    (one,) = scanned["logo"]["evidence"]["declared"]["marks"]["overlays"]
    assert one["place"] == "bottom right"
    assert one["says"].startswith("a still overlay at the bottom right")
    assert one["says"] in " ".join(show.declared_lines(scanned["logo"]["evidence"]["declared"]))
    assert scanned["logo"]["evidence"]["declared"]["speaks"] is False, "an overlay names nobody"
    plain = scanned["absent"]["evidence"]["declared"]["marks"]
    assert (plain["measurable"], plain["overlays"]) == (True, [])


def test_what_is_no_account_of_overlays_is_passed_over_in_what_older_homes_keep() -> None:
    assert marks_of({FACT: "a tag of that name"}) is None
    assert marks_of({}) is None


def test_a_scan_says_what_the_credentials_say_and_whether_they_hold(scanned: dict[str, dict[str, Any]]) -> None:
    for name, checked in (("valid", True), ("invalid", False)):
        said = scanned[name]["evidence"]["declared"]["says_itself"]
        assert {one["generator"] for one in said} == {None, "sora"}
        assert said[0]["makes"] == "generated"
        assert all(one["checked"] is checked for one in said)
    assert scanned["absent"]["evidence"]["declared"]["says_itself"] == []


def test_a_scan_reads_the_node_graph_of_a_download(scanned: dict[str, dict[str, Any]]) -> None:
    said = scanned["graph"]["evidence"]["declared"]["says_itself"]
    assert {one["generator"] for one in said} == {None, "hunyuanvideo"}


def test_what_is_declared_changes_no_verdict(scanned: dict[str, dict[str, Any]]) -> None:
    fields = ("verdict", "family", "generator", "llr", "p_value", "margin")
    first, *others = ([record[name] for name in fields] for stem, record in scanned.items() if stem != "logo")
    assert all(other == first for other in others)  # the same pictures in all of them


def fingerprint(facts: VideoFacts, types: str = "IPBP") -> FileFingerprint:
    vector = np.zeros(8, np.float32)
    window = WindowFingerprint(
        burst=0,
        crop=0,
        top=0,
        left=0,
        height=256,
        width=256,
        start_s=0.0,
        end_s=1.0,
        decoder=vector,
        texture=vector,
        cues={},
        picture_types=types,
    )
    return FileFingerprint("0" * 64, 1, facts, 1.0, "", (window,))


def verdict(kind: VerdictKind, generator: str | None = None, family: str | None = None, llr: float = 5.0) -> Verdict:
    return Verdict(kind, "", family, generator, llr, None, None, (), (), {}, "spec")


def found(facts: VideoFacts, of: Verdict, types: str = "IPBP") -> dict[str, Any]:
    said: dict[str, Any] = evidence_of(fingerprint(facts, types), of)["declared"]
    json.dumps(said, allow_nan=False)
    return said


def test_an_untouched_download_fits_its_generator_and_says_which_signs_spoke() -> None:
    facts = replace(FACTS, declared={"encoder_signature": SIGNATURE, "c2pa": "absent"})
    said = found(facts, verdict(VerdictKind.INCONCLUSIVE))
    assert (said["speaks"], said["names"], said["family"]) == (True, "cogvideox", "cogvideox-vae")
    frames = next(sign for sign in said["signs"] if sign["sign"] == "frames")
    assert (frames["value"], frames["catalogue"], frames["of"]) == ("49", "fits", "cogvideox")
    assert frames["share"] > 0.4
    assert frames["camera_share"] < 0.05
    assert said["contradiction"] is None


def test_it_abstains_on_what_any_camera_makes_and_on_nothing() -> None:
    phone = replace(FACTS, width=1920, height=1080, fps=30.0, frame_count=412)
    for facts in (phone, replace(FACTS, width=0, height=0, fps=0.0, frame_count=0, container="ogg")):
        said = found(facts, verdict(VerdictKind.NO_KNOWN_GENERATOR, llr=-3.0))
        assert (said["speaks"], said["names"]) == (False, None)
        assert said["c2pa"] is None


def test_a_contradiction_is_said_and_shown() -> None:
    facts = replace(
        FACTS,
        declared={
            "c2pa": "valid",
            "c2pa_source_type": "digitalCapture",
            "encoder_signature": SIGNATURE.replace("bframes=3", "bframes=0"),
        },
    )
    said = found(facts, verdict(VerdictKind.ATTRIBUTED, "hunyuanvideo", "hunyuan-vae"))
    assert "says camera footage" in said["contradiction"]
    assert "no B-frames" in said["contradiction"]
    lines = show.declared_lines(said)
    assert lines[0].startswith("declared, easily forged: content credentials valid")
    assert lines[1].startswith("declared against measured: ")


def test_a_person_sees_the_declared_evidence(
    scanned: dict[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    show.file_verdict(Console(width=200), scanned["valid"])
    shown = capsys.readouterr().out
    assert "declared, easily forged: content credentials valid" in shown
    assert "software agent of the content credentials: sora" in shown
    show.file_verdict(Console(width=200), scanned["absent"])
    assert "content credentials" not in capsys.readouterr().out


def test_a_claimed_capture_is_stated_as_camera(scanned: dict[str, dict[str, Any]]) -> None:
    said = scanned["captured"]["evidence"]["declared"]["says_itself"]
    assert [(one["makes"], one["checked"]) for one in said] == [("camera", True)]
