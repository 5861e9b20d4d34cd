"""Replies of a child as plain data: JSON and raw array buffers, because a pickle from a hijacked child would be code.

What may travel: None, bool, int, float, str, bytes, list, tuple, dict, numpy numbers and arrays of numbers, and
instances of the dataclasses and enums that the receiver names. A name in a reply is only looked up among those, never
imported; every field is checked against its annotation before an object is made of it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

_PLAIN = (bool, int, str, float)
_NUMBERS = "biufc"
# Longer than any reply of ours is in objects; the bytes of arrays are not in the JSON.
_MAX_TEXT = 8 * 2**20


class MalformedError(ValueError):
    """Bytes that no child of ours in its right mind sends."""


def pack(value: Any) -> list[memoryview]:
    """The parts of one reply: JSON, then the buffers of its arrays. Raises TypeError for what cannot travel."""
    buffers: list[memoryview] = []
    text = json.dumps(_pack(value, buffers), separators=(",", ":"))
    return [memoryview(text.encode("ascii")), *buffers]


def unpack(parts: list[bytearray], allowed: Mapping[str, type]) -> Any:
    """The value; arrays lie in ``parts`` and may be written to. allowed: from ``allowed_types``.

    Raises MalformedError, whatever the bytes are.
    """
    if not parts or len(parts[0]) > _MAX_TEXT:
        raise MalformedError("a reply without text, or with too much of it")
    try:
        return _unpack(json.loads(parts[0]), parts, allowed)
    except (MalformedError, MemoryError):
        raise
    except Exception as error:  # RecursionError too: nesting without end
        raise MalformedError(f"a reply that is no reply ({type(error).__name__})") from error


def allowed_types(kinds: Iterable[type]) -> dict[str, type]:
    """Dataclasses and enums by the name that replies give them.

    Raises TypeError for a class that is neither, or whose annotations cannot be checked.
    """
    for kind in kinds:
        if dataclasses.is_dataclass(kind):
            for hint in _hints(kind).values():
                _check_hint(hint)
        elif not issubclass(kind, Enum):
            raise TypeError(f"{kind.__name__} is neither a dataclass nor an enum, so it cannot be a reply")
    return {_name(kind): kind for kind in kinds}


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _pack(value: Any, buffers: list[memoryview]) -> Any:
    kind = type(value)
    if value is None or kind in _PLAIN:
        return value
    if kind is list:
        return [_pack(item, buffers) for item in value]
    if kind is tuple:
        return {"tuple": [_pack(item, buffers) for item in value]}
    if isinstance(value, Mapping):
        return {"map": [[_pack(key, buffers), _pack(item, buffers)] for key, item in value.items()]}
    if kind in (bytes, bytearray):
        buffers.append(memoryview(value))
        return {"bytes": len(buffers)}
    if isinstance(value, Enum):
        return {"enum": _name(kind), "value": _pack(value.value, buffers)}
    np = sys.modules.get("numpy")  # who has no numpy loaded has no arrays either, and need not wait for it
    if np is not None and isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _NUMBERS:
        buffers.append(memoryview(np.ascontiguousarray(value).reshape(-1).view(np.uint8)))
        entry = {"array": len(buffers), "dtype": value.dtype.str, "shape": list(value.shape)}
        return entry if isinstance(value, np.ndarray) else {**entry, "shape": None}
    if dataclasses.is_dataclass(kind):
        return {
            "object": _name(kind),
            "fields": {field.name: _pack(getattr(value, field.name), buffers) for field in dataclasses.fields(kind)},
        }
    raise TypeError(f"a reply of the type {kind.__name__} cannot be sent")


def _unpack(value: Any, parts: list[bytearray], allowed: Mapping[str, type]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, parts, allowed) for item in value]
    if isinstance(value, str):
        value.encode()  # half a surrogate pair would fail later, in Parquet or in the database
        return value
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_unpack(item, parts, allowed) for item in value["tuple"])
    if "map" in value:
        return {_unpack(key, parts, allowed): _unpack(item, parts, allowed) for key, item in value["map"]}
    if "bytes" in value:
        return bytes(_part(value["bytes"], parts))
    if "array" in value:
        return _array(value, _part(value["array"], parts))
    if "enum" in value:
        return _known(value["enum"], allowed)(_unpack(value["value"], parts, allowed))
    if "object" in value:
        kind = _known(value["object"], allowed)
        fields = {name: _unpack(item, parts, allowed) for name, item in value["fields"].items()}
        hints = _hints(kind)
        if fields.keys() != hints.keys():
            raise MalformedError(f"a {kind.__name__} with other fields than it has")
        for name, item in fields.items():
            if not _fits(item, hints[name]):
                raise MalformedError(f"a {kind.__name__} whose {name} is of the wrong type")
        return kind(**fields)
    raise MalformedError("a reply with an entry of no kind")


def _known(name: Any, allowed: Mapping[str, type]) -> type:
    kind = allowed.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MalformedError("a reply of a class that was not agreed on")
    return kind


def _part(number: Any, parts: list[bytearray]) -> bytearray:
    if type(number) is not int or not 0 < number < len(parts):
        raise MalformedError("a reply that points outside itself")
    return parts[number]


def _array(entry: Mapping[str, Any], buffer: bytearray) -> Any:
    import numpy as np

    dtype = np.dtype(str(entry["dtype"]))
    if dtype.kind not in _NUMBERS or dtype.hasobject:
        raise MalformedError("an array of something else than numbers")
    flat = np.frombuffer(buffer, dtype)
    if entry["shape"] is None:
        return flat.reshape(()).copy()[()]
    shape = [int(side) for side in entry["shape"]]
    if any(side < 0 for side in shape):  # -1 would let numpy guess
        raise MalformedError("an array with a negative side")
    return flat.reshape(shape)


@functools.lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    if not dataclasses.is_dataclass(kind):
        raise MalformedError(f"{kind.__name__} has no fields")
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _check_hint(hint: Any) -> None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal or _is_array(origin) or hint in (Any, None, type(None), ...):
        return
    if origin is None and isinstance(hint, type):
        return
    if origin in (tuple, list, dict, types.UnionType, typing.Union) or (
        isinstance(origin, type) and issubclass(origin, Mapping)
    ):
        for argument in arguments:
            _check_hint(argument)
        return
    raise TypeError(f"a field of the type {hint} cannot be checked, so it cannot be part of a reply")


def _is_array(origin: Any) -> bool:
    np = sys.modules.get("numpy")
    return np is not None and origin is np.ndarray


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; an int does for a float, a bool for neither."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if _is_array(origin):
        numbers = typing.get_args(arguments[1])[0]
        return isinstance(value, origin) and (numbers is Any or issubclass(value.dtype.type, numbers))
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is ...:
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if origin is list:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is not None:
        return isinstance(value, Mapping) and all(
            _fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in value.items()
        )
    if hint is float:
        return type(value) in (int, float)
    if hint in (int, bool, str):
        return type(value) is hint
    return isinstance(value, hint)
