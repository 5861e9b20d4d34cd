"""Content credentials: absent, unreadable, invalid and valid are four answers, given by the confined child."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.sandbox import Limits, Sandbox
from fingerprint_db.spec import WindowPlan
from jobs.decode.credentials import MAX_BOXES, MAX_MANIFEST, credentials, judged
from jobs.decode.protocol import BurstRange, DecodeRequest, Missed
from jobs.decode.pyav import PyAVDecoder
from jobs.decode.replies import REPLIES, described
from jobs.decode.source import Source
from jobs.decode.tally import Tally
from tests import footage
from tests.signed import CAPTURED, box_at, sign

Declared = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return footage.make_video(tmp_path_factory.mktemp("plain") / "plain.mp4", frames=12)


@pytest.fixture(scope="module")
def signed(plain: Path) -> Path:
    return sign(plain, plain.with_name("signed.mp4"), tool="OpenAI API", agent="Sora")


@pytest.fixture(scope="module")
def declared() -> Any:
    """What the confined child says of a file's making."""
    with Sandbox("jobs.decode.declaration:serve", Limits(), replies=REPLIES) as child:
        yield lambda path: dict(described(child.call(str(path))).declared)
        assert child.isolation is not None


def changed(signed: Path, name: str, change: Callable[[bytearray, int, int], bytes]) -> Path:
    data = bytearray(signed.read_bytes())
    return _written(signed.with_name(name), change(data, *box_at(bytes(data))))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_file_without_a_manifest_says_so(declared: Declared, plain: Path) -> None:
    said = declared(plain)
    assert said["c2pa"] == "absent"
    assert not [name for name in said if name.startswith("c2pa_")]


def test_an_intact_manifest_is_valid_and_its_signer_unknown(declared: Declared, signed: Path) -> None:
    said = declared(signed)
    assert said["c2pa"] == "valid"
    assert said["c2pa_trust"].startswith("unknown")
    assert said["c2pa_agents"] == "Sora"
    assert said["c2pa_generator"].startswith("OpenAI API 1.0")
    assert said["c2pa_source_type"] == "trainedAlgorithmicMedia"
    assert said["c2pa_actions"] == "c2pa.created"
    assert "Test signer" in said["c2pa_signer"]
    assert "c2pa" in said["extensions"]


def test_changed_pictures_make_it_invalid(declared: Declared, signed: Path) -> None:
    def change(data: bytearray, start: int, length: int) -> bytes:
        data[start + length + 600] ^= 1
        return bytes(data)

    said = declared(changed(signed, "pictures.mp4", change))
    assert said["c2pa"] == "invalid"
    assert "bmffHash.mismatch" in said["c2pa_why"]


def test_a_changed_claim_makes_it_invalid(declared: Declared, signed: Path) -> None:
    def change(data: bytearray, start: int, length: int) -> bytes:
        at = data.index(b"trainedAlgorithmicMedia")
        data[at : at + 7] = b"utterly"
        return bytes(data)

    said = declared(changed(signed, "claim.mp4", change))
    assert said["c2pa"] == "invalid"
    assert "hashedURI.mismatch" in said["c2pa_why"]


def test_a_garbled_manifest_is_unreadable(declared: Declared, signed: Path) -> None:
    def change(data: bytearray, start: int, length: int) -> bytes:
        data[start + 60 : start + length] = b"\xff" * (length - 60)
        return bytes(data)

    said = declared(changed(signed, "garbled.mp4", change))
    assert said["c2pa"] == "unreadable"
    assert said["c2pa_why"]


def test_a_box_that_claims_ten_gigabytes_is_unreadable_and_nothing_is_reserved_for_it(signed: Path) -> None:
    def change(data: bytearray, start: int, length: int) -> bytes:
        head = (1).to_bytes(4, "big") + b"uuid" + (10 << 30).to_bytes(8, "big")
        return bytes(data[:start] + head + data[start + 8 :])

    path = changed(signed, "huge.mp4", change)
    said = credentials(Source(str(path)), path.stat().st_size, "mp4")
    assert said is not None
    assert said.state == "unreadable"
    assert str(10 << 30) in said.why


def test_a_manifest_beyond_the_bound_is_not_given_to_the_validator(plain: Path) -> None:
    path = plain.with_name("sparse.mp4")
    size = MAX_MANIFEST + 4096
    with path.open("wb") as file:
        file.write(plain.read_bytes())
        file.write((8 + size).to_bytes(4, "big") + b"uuid" + bytes.fromhex("d8fec3d61b0e483c92975828877ec481"))
        file.truncate(plain.stat().st_size + 8 + size)
    said = credentials(Source(str(path)), path.stat().st_size, "mp4")
    assert said is not None
    assert said.state == "unreadable"
    assert "larger than any that is read" in said.why


def test_a_capture_says_camera(declared: Declared, plain: Path) -> None:
    said = declared(sign(plain, plain.with_name("captured.mp4"), tool="Camera", agent="Camera", kind=CAPTURED))
    assert (said["c2pa"], said["c2pa_source_type"]) == ("valid", "digitalCapture")


def test_without_the_validator_the_answer_is_unreadable_and_says_why(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    said = credentials(Source(str(signed)), signed.stat().st_size, "mp4")
    assert said is not None
    assert said.state == "unreadable"
    assert "no validator at hand" in said.why


def test_an_untrusted_signer_alone_is_no_failure_and_any_other_code_is() -> None:
    def store(*codes: str) -> dict[str, Any]:
        failures = [{"code": code} for code in codes]
        return {"validation_state": "Valid", "validation_results": {"activeManifest": {"failure": failures}}}

    assert judged(store("signingCredential.untrusted")).state == "valid"
    assert judged(store("signingCredential.untrusted", "timeStamp.mismatch")).state == "invalid"
    assert judged({}).state == "invalid"
    assert judged({"manifests": [], "validation_results": 3, "active_manifest": {}}).state == "invalid"


@pytest.mark.parametrize("suffix", [".mov", ".avi", ".gif"])
def test_other_containers_that_carry_manifests_get_the_same_answers(
    tmp_path: Path, declared: Declared, suffix: str
) -> None:
    path = footage.make_video(tmp_path / f"plain{suffix}", frames=6, size=(64, 48))
    assert declared(path)["c2pa"] == "absent"
    assert declared(sign(path, tmp_path / f"signed{suffix}"))["c2pa"] == "valid"


def test_a_range_of_a_long_film_asks_for_the_whole_file_only_where_there_is_a_manifest(tmp_path: Path) -> None:
    film = footage.make_video(tmp_path / "film.mp4", size=(64, 48), frames=400, gop=12)
    plan = WindowPlan()
    for path, ends in ((film, Tally), (sign(film, tmp_path / "signed.mp4"), Missed)):
        size = path.stat().st_size
        hole = (int(size * 0.7), int(size * 0.75))  # pictures that the first range does not read
        request = DecodeRequest(str(path), plan, bursts=BurstRange(0, 1), present=((0, hole[0]), (hole[1], size)))
        *_, end = PyAVDecoder(long_s=5.0).decode(request)
        assert isinstance(end, ends)
        whole = replace(request, present=())
        *_, end = PyAVDecoder(long_s=5.0).decode(whole)
        assert isinstance(end, Tally)
        assert end.facts.declared["c2pa"] == ("absent" if path == film else "valid")


def test_whatever_is_done_to_a_manifest_the_child_answers_and_lives_on(
    declared: Declared, plain: Path, signed: Path
) -> None:
    """1500 such mutants were tried when this was written; none ended the child."""
    data = signed.read_bytes()
    start, length = box_at(data)
    answers = set()
    for seed in range(60):
        mutant, chance = bytearray(data), random.Random(seed)
        for _ in range(chance.randrange(1, 30)):
            at = chance.randrange(start + 24, start + length - 4)
            if chance.random() < 0.7:
                mutant[at] = chance.randrange(256)
            else:
                mutant[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x9b\xff\xff\xff"))
        said = declared(_written(plain.with_name("mutant.mp4"), bytes(mutant)))
        assert all(len(value) <= 2000 for value in said.values())
        answers.add(said["c2pa"])
    assert answers <= {"unreadable", "invalid", "valid"}
    assert "unreadable" in answers


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("kind", [b"trak", b"\x01\x02\x03\x04"])
def test_a_file_of_countless_boxes_does_not_keep_the_validator_busy(signed: Path, nested: bool, kind: bytes) -> None:
    """The validator takes a minute for 100 000 boxes of 8 bytes, and the square of that for more."""
    small = ((8).to_bytes(4, "big") + kind) * (MAX_BOXES + 1)
    more = (8 + len(small)).to_bytes(4, "big") + b"moov" + small if nested else small
    path = _written(signed.with_name("countless.mp4"), signed.read_bytes() + more)
    said = credentials(Source(str(path)), path.stat().st_size, "mp4")
    assert said is not None
    assert (said.state, "more boxes" in said.why) == ("unreadable", True)
