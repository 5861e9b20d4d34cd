"""What a child that a file has taken over sends is read as data: no code runs here, and the call ends as a crash."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import Failure, FailureError, Limits, Policy, Sandbox
from cluster.replies import MalformedError, allowed_types, pack, unpack
from tests.faults.hostile import HERE, Note

ALLOWED = allowed_types([Note, Failure, Policy])
NOTE = "tests.faults.hostile:Note"


def refused(target: str, request: Any, **options: Any) -> Failure:
    with Sandbox(f"{HERE}:{target}", Limits(total_s=60.0, stall_s=20.0, reply_mb=16), **options) as sandbox:
        with pytest.raises(FailureError) as caught:
            list(sandbox.call(request))
        assert sandbox.pid is None, "a child that lied is not used again"
        return caught.value.failure


@pytest.mark.parametrize("name", ["pickle", "pickled failure"])
def test_a_malicious_pickle_is_never_loaded(tmp_path: Path, name: str) -> None:
    failure = refused("write_on_the_wire", (name, str(tmp_path / "taken over")))
    assert (failure.kind, failure.policy) == ("crashed", Policy.QUARANTINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "request_",
    [
        ("no parts", None),
        ("kind", None),
        ("call", None),
        ("many parts", None),
        ("text", "{"),
        ("text", "[" * 200_000),
        ("text", '{"object":"os:mkdir","fields":{"path":"/tmp/x"}}'),
        ("text", '{"object":"builtins:eval","fields":{}}'),
        ("text", '{"enum":"cluster.outcome:Policy","value":"run"}'),
        ("text", '{"object":"cluster.outcome:Failure","fields":{"kind":"damaged"}}'),
        ("text", '{"bytes":7}'),
        ("text", '{"bytes":-1}'),
        ("text", '{"map":[[{"map":[]},1]]}'),
        ("text", '"\\ud800"'),
        ("array", '{"array":1,"dtype":"|O","shape":[2]}'),
        ("array", '{"array":1,"dtype":"|V16","shape":[1]}'),
        ("array", '{"array":1,"dtype":"<f8","shape":[-1]}'),
        ("array", '{"array":1,"dtype":"<f8","shape":[99]}'),
        ("failure", '"nothing went wrong"'),
        ("failure", "null"),
    ],
    ids=lambda request: f"{request[0]} {str(request[1])[:40]}",
)
def test_bytes_that_are_no_reply_end_the_call_as_a_crash(request_: tuple[str, Any]) -> None:
    failure = refused("write_on_the_wire", request_)
    assert (failure.kind, failure.policy) == ("crashed", Policy.QUARANTINE)
    assert "not to be trusted" in failure.message


def test_a_part_larger_than_allowed_is_not_waited_for() -> None:
    assert refused("write_on_the_wire", ("large part", None)).kind == "internal"


@pytest.mark.parametrize("what", ["stranger", "wrong type", "wrong item", "bool for int"])
def test_objects_that_were_not_agreed_on_are_refused(what: str) -> None:
    assert refused("say", what, replies=[Note]).kind == "crashed"


@pytest.mark.parametrize("what", ["lock", "objects"])
def test_a_reply_that_cannot_travel_is_internal_with_its_type(what: str) -> None:
    failure = refused("say", what)
    assert failure.kind == "internal"
    assert "cannot be sent" in failure.message


def test_a_class_that_was_agreed_on_comes_back_equal() -> None:
    with Sandbox(f"{HERE}:say", replies=[Note]) as sandbox:
        assert list(sandbox.call("note")) == [Note("fine", 1, (1.0, 2.5))]


def test_a_class_that_cannot_be_checked_is_the_callers_error() -> None:
    with pytest.raises(TypeError, match="neither a dataclass nor an enum"):
        Sandbox(f"{HERE}:say", replies=[Path])


def test_a_failure_in_the_childs_words_is_fit_for_tables_and_terminals() -> None:
    with Sandbox(f"{HERE}:say") as sandbox, pytest.raises(FailureError) as caught:
        list(sandbox.call("loud failure"))
    message = caught.value.failure.message
    assert message.isprintable()
    assert len(message) <= 500
    assert "all gone" in message
    assert refused("say", "long kind").kind == "crashed"


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=12,
)


@given(plain)
def test_plain_data_comes_back_as_it_went(value: Any) -> None:
    assert unpack([bytearray(part) for part in pack(value)], ALLOWED) == value


def test_arrays_and_numbers_of_numpy_come_back_as_they_went() -> None:
    sent = [np.arange(12, dtype=np.uint16).reshape(3, 4)[:, ::2], np.zeros((0, 3)), np.float32(2.5), np.array(3)]
    got = unpack([bytearray(part) for part in pack(sent)], ALLOWED)
    for one, other in zip(sent, got, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_but_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        unpack([bytearray(data), bytearray(16)], ALLOWED)


json_like = st.recursive(
    st.none() | st.integers() | st.text(max_size=9) | st.floats() | st.sampled_from([NOTE, "<f8", "|O", 1, -1, 0]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["tuple", "map", "bytes", "array", "dtype", "shape", "enum", "value", "object", "fields", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_like)
def test_no_structure_whatever_raises_anything_but_malformed(value: Any) -> None:
    with contextlib.suppress(MalformedError):
        unpack([bytearray(json.dumps(value).encode()), bytearray(16)], ALLOWED)
