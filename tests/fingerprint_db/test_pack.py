"""Signature packs: exact, reproducible, and refused when damaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingerprint_db.errors import PackError
from fingerprint_db.pack import load_starter, read_pack, write_pack
from fingerprint_db.signature import SignatureRecord, quantise
from tests.fingerprint_db.signatures import QUALITY, SPEC, World


@pytest.fixture
def records():
    world = World()
    return world.records("wan", sources=2, clips=2) + world.records("camera", sources=2, clips=1)


def test_a_pack_gives_back_the_signatures_with_their_provenance(records):
    pack = read_pack(write_pack(records, name="starter-2026", spec_id=SPEC))
    assert (pack.name, pack.spec_id) == ("starter-2026", SPEC)
    assert [record.key for record in pack.records] == sorted(record.key for record in records)
    by_key = {record.key: record for record in records}
    for record in pack.records:
        twin = by_key[record.key]
        assert (record.source, record.quality, record.origin) == (twin.source, twin.quality, "starter-2026")
        for name in ("decoder", "texture", "burst", "crop"):
            assert np.array_equal(getattr(record, name), getattr(twin, name))


def test_the_same_signatures_give_the_same_bytes_in_any_order(records):
    first = write_pack(records, name="p", spec_id=SPEC)
    assert write_pack(records[::-1], name="p", spec_id=SPEC) == first
    assert write_pack(read_pack(first).records, name="p", spec_id=SPEC) == first


def test_an_empty_pack_is_a_pack():
    assert read_pack(write_pack([], name="empty", spec_id=SPEC)).records == ()


def test_a_pack_refuses_what_could_not_be_compared(records):
    with pytest.raises(PackError, match="once"):
        write_pack([*records, records[0]], name="p", spec_id=SPEC)
    with pytest.raises(PackError, match="specification"):
        write_pack(records, name="p", spec_id="another")
    with pytest.raises(PackError, match="same length"):
        write_pack([*records, World(decoder_dim=9).record("wan", "x")], name="p", spec_id=SPEC)


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_pack_is_refused(records, where):
    data = write_pack(records, name="p", spec_id=SPEC)
    with pytest.raises(PackError, match="damaged"):
        read_pack(data[: int(len(data) * where)])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_flipped_byte_is_refused_or_changes_nothing(data):
    whole = write_pack(World().records("wan", sources=1, clips=2), name="p", spec_id=SPEC)
    place = data.draw(st.integers(0, len(whole) - 1))
    hurt = bytearray(whole)
    hurt[place] ^= 0xFF
    try:
        pack = read_pack(bytes(hurt))
    except PackError:
        return
    assert write_pack(pack.records, name="p", spec_id=SPEC) == whole


def test_a_pack_of_a_newer_format_is_refused_with_the_remedy(records, monkeypatch):
    monkeypatch.setattr("fingerprint_db.pack.FORMAT", 2)
    data = write_pack(records, name="p", spec_id=SPEC)
    monkeypatch.undo()
    with pytest.raises(PackError, match=r"format 2.*upgrade"):
        read_pack(data)


def test_there_is_no_starter_for_an_unknown_specification():
    assert load_starter("no-such-spec") == []


def test_half_precision_is_the_same_on_every_way_in():
    world = World()
    windows = world.windows_of("wan", "page")
    direct = SignatureRecord.from_windows(
        windows, sha256="a" * 64, generator="wan", source="page", spec_id=SPEC, quality=QUALITY
    )
    [packed] = read_pack(write_pack([direct], name="p", spec_id=SPEC)).records
    assert np.array_equal(packed.decoder, direct.decoder)
    assert np.array_equal(direct.decoder, quantise(np.stack([window.decoder for window in windows])))
    assert packed.burst.tolist() == [window.burst for window in windows]


def test_values_that_half_precision_cannot_hold_become_finite():
    wild = np.array([[np.nan, np.inf, -np.inf, 1e9, -1e9, 0.1]], dtype=np.float32)
    assert quantise(wild).tolist() == [[0.0, 65504.0, -65504.0, 65504.0, -65504.0, float(np.float16(0.1))]]


def test_a_signature_without_windows_or_with_ragged_parts_is_refused():
    record = World().record("wan", "page")
    with pytest.raises(ValueError, match="without a fingerprinted window"):
        SignatureRecord.from_windows([], sha256="a", generator="wan", source="s", spec_id=SPEC, quality=QUALITY)
    with pytest.raises(ValueError, match="as many"):
        replace(record, burst=record.burst[:-1])
    with pytest.raises(ValueError, match="float16"):
        replace(record, decoder=record.decoder.astype(np.float32))
