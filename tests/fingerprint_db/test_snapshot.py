"""Snapshots: named by content, verified on reading."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint_db.build import build_snapshot
from fingerprint_db.errors import SnapshotError
from fingerprint_db.matcher import Matcher
from fingerprint_db.snapshot import MANIFEST, Snapshot
from tests.fingerprint_db.signatures import QUALITY, SPEC, World


def build(records):
    return build_snapshot(records, spec_id=SPEC, families={"wan": "wan-vae"}, kinds={"camera": "camera"})


@pytest.fixture(scope="module")
def world():
    return World(seed=3)


@pytest.fixture(scope="module")
def records(world):
    made = [record for name in ("wan", "mochi") for record in world.records(name, sources=3, clips=2)]
    return made + world.records("camera", sources=6, clips=2)


@pytest.fixture(scope="module")
def snapshot(records):
    return build(records)


def test_the_same_signatures_give_the_same_snapshot_in_any_order(records, snapshot):
    again = build(records[::-1])
    assert again.id == snapshot.id
    assert again.to_files() == snapshot.to_files()


def test_one_more_signature_gives_another_snapshot(world, records, snapshot):
    assert build([*records, world.record("wan", "wan/new-page")]).id != snapshot.id


def test_a_snapshot_read_back_gives_the_same_files_and_the_same_verdicts(world, snapshot):
    back = Snapshot.from_files(snapshot.to_files())
    assert back.id == snapshot.id
    assert back.to_files() == snapshot.to_files()
    assert back.classes == snapshot.classes
    assert back.gates == snapshot.gates
    assert back.calibration.report == snapshot.calibration.report
    windows = world.windows_of("wan", "elsewhere")
    judged = [Matcher(each).judge(windows, QUALITY, spec_id=SPEC) for each in (snapshot, back)]
    assert judged[0] == judged[1]


def test_a_snapshot_whose_parts_were_rebuilt_from_their_arrays_has_the_same_id(snapshot):
    back = Snapshot.from_files(snapshot.to_files())
    back._files.clear()
    assert back.id == snapshot.id


def test_the_manifest_tells_classes_checksums_and_parameters(snapshot):
    manifest = json.loads(snapshot.to_files()[MANIFEST])
    assert manifest["spec"] == SPEC
    assert set(manifest["sha256"]) == {"model.npz", "decoder.faiss", "texture.faiss"}
    [wan] = [entry for entry in manifest["classes"] if entry["generator"] == "wan"]
    assert (wan["clips"], wan["sources"], wan["family"], wan["grade"]) == (6, 3, "wan-vae", "named")
    assert snapshot.counts["camera"] == {"clips": 12, "sources": 6, "grade": "witness"}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_changed_byte_is_noticed(snapshot, data):
    files = dict(snapshot.to_files())
    name = data.draw(st.sampled_from(sorted(files)))
    place = data.draw(st.integers(0, len(files[name]) - 1))
    hurt = bytearray(files[name])
    hurt[place] ^= 1 << data.draw(st.integers(0, 7))
    files[name] = bytes(hurt)
    try:
        back = Snapshot.from_files(files)
    except SnapshotError:
        return
    # White space of the manifest may change without changing what it says.
    assert name == MANIFEST
    assert back.id == snapshot.id


@pytest.mark.parametrize("name", ["manifest.json", "model.npz", "texture.faiss"])
def test_a_missing_file_is_named(snapshot, name):
    files = {key: value for key, value in snapshot.to_files().items() if key != name}
    with pytest.raises(SnapshotError, match="manifest" if name == MANIFEST else name):
        Snapshot.from_files(files)


def test_a_snapshot_of_a_newer_format_is_refused_with_the_remedy(snapshot):
    files = dict(snapshot.to_files())
    files[MANIFEST] = files[MANIFEST].replace(b'"format": 1', b'"format": 2')
    with pytest.raises(SnapshotError, match=r"newer.*upgrade"):
        Snapshot.from_files(files)


def test_a_swapped_checksum_does_not_pass_for_the_original(snapshot):
    files = dict(snapshot.to_files())
    manifest = json.loads(files[MANIFEST])
    manifest["gates"]["family_margin"] = 0.0
    files[MANIFEST] = json.dumps(manifest).encode()
    with pytest.raises(SnapshotError, match="does not match its id"):
        Snapshot.from_files(files)


def test_an_empty_snapshot_can_be_written_and_read():
    empty = build([])
    back = Snapshot.from_files(empty.to_files())
    assert back.id == empty.id
    assert back.model is None
    assert "No signature" in back.notes[0]


def test_extra_files_beside_a_snapshot_do_not_matter(snapshot):
    assert Snapshot.from_files({**snapshot.to_files(), "notes.txt": b"mine"}).id == snapshot.id


def test_nothing_in_a_snapshot_is_pickled(snapshot):
    files = snapshot.to_files()
    with np.load(io.BytesIO(files["model.npz"]), allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind in "fi" for name in arrays.files)
