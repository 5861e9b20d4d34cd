"""A file's findings in words and as plain JSON, and nothing where nothing was kept."""

from __future__ import annotations

import json
from dataclasses import replace

from fingerprint_db.assembly import assembly, summary
from tests.fingerprint_db.moving import FPS, camera, halfway, read
from tests.fingerprint_db.test_seams import chunked


def test_interpolated_frames_are_said_to_be_consistent_with_it_and_with_what_else_does_it() -> None:
    found = assembly(read(halfway(60, 2)), FPS)
    assert found is not None
    assert found["interpolation"]["kind"] == "interpolated"
    assert found["interpolation"]["period"] == 2
    assert found["interpolation"]["score"] > 0
    (said, other) = found["consistent_with"]
    assert said.startswith("Keyframes and interpolation")
    assert "television" in said
    assert other.startswith("End-to-end")
    assert summary(found) == "as if interpolated, one frame in 2 original"


def test_a_camera_gives_no_finding_but_says_how_much_was_looked_at() -> None:
    found = assembly(read(camera(60)), FPS)
    assert found is not None
    assert found["interpolation"]["kind"] == "none"
    assert (found["seams"], found["seam_period"], found["cuts"]) == ([], 0, [])
    assert found["looked_at_s"] == round(48 / FPS, 3)
    assert found["joins_looked_at"] > 30
    (said,) = found["consistent_with"]
    assert "and a camera alike" in said
    assert f"{found['joins_looked_at']} joins" in said
    assert summary(found) == ""


def test_seams_on_a_lattice_name_the_documented_ways_that_leave_it() -> None:
    found = assembly(read(chunked(16, 10), bursts=(0, 16, 32, 44)), FPS)
    assert found is not None
    assert [seam["at_s"] for seam in found["seams"]] == [0.4, 1.04, 1.68, 2.32]
    assert found["seam_period"] == 16
    assert any("every 16 frames" in said for said in found["consistent_with"])
    assert summary(found).startswith("seams every 16 frames at 0.40, 1.04")


def test_frozen_and_repeated_frames_are_summed_up() -> None:
    film = camera(60)
    film[22:30] = film[22]
    found = assembly(read(film), FPS)
    assert found is not None
    assert found["interpolation"]["frozen"] == [{"at_s": 0.88, "length_s": 0.28}]
    assert summary(found) == "frozen at 0.88 s"
    doubled = assembly(read(camera(60)[[n // 2 for n in range(60)]]), FPS)
    assert doubled is not None
    assert summary(doubled) == "frames repeated in the pattern 2"


def test_the_findings_are_plain_json_and_the_same_again() -> None:
    for film in (camera(60), halfway(60, 4), chunked(16, 10), camera(3), camera(1)):
        windows = read(film, bursts=range(0, len(film), 16))
        found = assembly(windows, FPS)
        assert found == json.loads(json.dumps(found, allow_nan=False))
        assert found == assembly(list(reversed(windows)), FPS)


def test_windows_that_kept_no_series_have_no_findings() -> None:
    assert assembly([replace(w, traces={}, picture_types="") for w in read(camera(20), bursts=(0,))], FPS) is None
    assert assembly([], FPS) is None


def test_an_unknown_rate_is_taken_from_the_times() -> None:
    found = assembly(read(halfway(60, 2)), 0.0)
    assert found is not None
    assert found["interpolation"]["kind"] == "interpolated"
