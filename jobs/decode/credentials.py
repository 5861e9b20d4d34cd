"""Content credentials (C2PA): is there a manifest, can it be read, is it intact, and what does it claim?

The library of the standard's authors validates (c2pa-python over c2pa-rs; C2PA 2.x, "Validation"). It runs in the
decoding child with everything that would leave the machine switched off: no remote manifest, no revocation request, no
trust list is fetched. Without a trust list no signer can be told from an impostor, so that ``valid`` means: signature
and hashes are intact. Anybody can sign anything; whether the signer is trusted is a field of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobs.decode.container import find_c2pa, more_boxes_than
from jobs.decode.source import MissedError, Source

State = Literal["absent", "unreadable", "invalid", "valid"]

MAX_MANIFEST = 32 << 20  # bytes of the box; thumbnails and ingredients make some megabytes
MAX_FILE = 2 << 30  # bytes; its hash is taken over all of them, at some 500 MB a second
MAX_GIF = 64 << 20  # read in small pieces, at some 18 MB a second
# The validator's time grows with the square of a file's boxes: 20 000 take two seconds, 100 000 a minute. A film in
# fragments of four seconds stays below for two hours.
MAX_BOXES = 20_000
MIME = {"mp4": "video/mp4", "mov": "video/quicktime", "avi": "video/avi", "gif": "image/gif"}
_SETTINGS: Mapping[str, Any] = {
    "core": {"allowed_network_hosts": [], "allow_redirects": False, "max_decompressed_manifest_size_in_mb": 64},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
}
_UNTRUSTED = "signingCredential.untrusted"
_TRUSTED = "signingCredential.trusted"
_LISTED = 6  # actions, failures and agents that are told


@dataclass(frozen=True, slots=True)
class Credentials:
    """state: the answer. why: one sentence for everything but ``absent`` and ``valid``. told: further facts, flat."""

    state: State
    why: str = ""
    told: Mapping[str, str] | None = None

    def flat(self) -> dict[str, str]:
        """As entries of ``VideoFacts.declared``: ``c2pa`` and ``c2pa_*``."""
        said = {"c2pa": self.state, **({"c2pa_why": self.why} if self.why else {})}
        return said | {f"c2pa_{name}": value for name, value in (self.told or {}).items() if value}


def credentials(source: Source, size: int, container: str) -> Credentials | None:
    """What the file's credentials say; None for a container in which C2PA defines no place for them.

    Where there is a manifest the whole file is read, so that a source of parts is missed then. A manifest that crashes
    or starves the validator ends the child, as a damaged picture would.
    """
    if container not in MIME:
        return None
    box = find_c2pa(source, size) if container in ("mp4", "mov") else None
    if container in ("mp4", "mov") and box is None:
        return Credentials("absent")
    if box is None and not _mentions_c2pa(source, container, size):
        return Credentials("absent")
    if box is not None and box.end > size:
        return Credentials("unreadable", f"the manifest's box claims {box.length} bytes, more than the file has")
    if box is not None and box.length > MAX_MANIFEST:
        return Credentials("unreadable", f"the manifest's box of {box.length} bytes is larger than any that is read")
    if size > (MAX_GIF if container == "gif" else MAX_FILE):
        return Credentials("unreadable", "a manifest is present; the file is too large for its hash to be checked here")
    if box is not None and more_boxes_than(source, size, MAX_BOXES):
        return Credentials("unreadable", "a manifest is present; the file has more boxes than are checked here")
    return _validated(source, MIME[container])


def _validated(source: Source, mime: str) -> Credentials:
    try:
        import c2pa
    except Exception as error:  # a wheel for another platform, a library that is missing: the file is not to blame
        return Credentials("unreadable", f"a manifest is present; no validator at hand ({type(error).__name__})")
    try:
        context = c2pa.Context.from_dict(dict(_SETTINGS))
        with source.open() as file, c2pa.Reader(mime, file, context=context) as reader:
            store = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return Credentials("unreadable", "the place of a manifest holds none")
    except MissedError:
        raise
    except Exception as error:
        return Credentials("unreadable", f"a manifest is present and cannot be read: {_first_line(error)}")
    if not isinstance(store, dict):
        return Credentials("unreadable", "a manifest is present and says nothing")
    return judged(store)


def judged(store: Mapping[str, Any]) -> Credentials:
    """The answer in a manifest store as the validator prints it."""
    failures = [code for code in _codes(store, "failure") if code != _UNTRUSTED]
    intact = str(store.get("validation_state")) in ("Valid", "Trusted") and not failures
    trusted = store.get("validation_state") == "Trusted" or _TRUSTED in _codes(store, "success")
    manifest = _mapping(_mapping(store.get("manifests")).get(str(store.get("active_manifest"))))
    told = _claims(manifest) | {"trust": "trusted" if trusted else "unknown (no trust list at hand)"}
    if intact:
        return Credentials("valid", told=told)
    named = ", ".join(dict.fromkeys(failures[:_LISTED])) or "its state is not valid"
    return Credentials("invalid", f"signature or hashes do not hold: {named}", told)


def _claims(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the active manifest claims: who signed, what wrote the claim, what was done with what, from what."""
    signature = _mapping(manifest.get("signature_info"))
    actions = [
        action
        for assertion in _mappings(manifest.get("assertions"))
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in _mappings(_mapping(assertion.get("data")).get("actions"))
    ]
    generators = [_named(info) for info in _mappings(manifest.get("claim_generator_info"))]
    generators += [str(manifest["claim_generator"])] if isinstance(manifest.get("claim_generator"), str) else []
    types = [str(action["digitalSourceType"]) for action in actions if "digitalSourceType" in action]
    ingredients = manifest.get("ingredients")
    return {
        "generator": _listed(generators),
        "agents": _listed([_named(action.get("softwareAgent")) for action in actions]),
        "actions": _listed([str(action.get("action", "")) for action in actions]),
        "source_type": _listed([kind.rstrip("/").rsplit("/", 1)[-1] for kind in types]),
        "signer": _listed([str(signature.get(key, "")) for key in ("common_name", "issuer")]),
        "signed": str(signature.get("time", "")),
        "ingredients": str(len(ingredients)) if isinstance(ingredients, list) and ingredients else "",
    }


def _codes(store: Mapping[str, Any], kind: str) -> Iterator[str]:
    """Status codes of the active manifest and of what changed in its ingredients."""
    results = _mapping(store.get("validation_results"))
    deltas = [_mapping(delta.get("validationDeltas")) for delta in _mappings(results.get("ingredientDeltas"))]
    for part in (_mapping(results.get("activeManifest")), *deltas):
        for status in _mappings(part.get(kind)):
            yield str(status.get("code", "unnamed"))


def _mentions_c2pa(source: Source, container: str, size: int) -> bool:
    """Whether an AVI has a C2PA chunk after its own lists, or a GIF the application block, near its start."""
    with source.open() as file:
        if container == "gif":
            return b"C2PA_GIF" in file.read(1 << 16)
        at = 12
        for _ in range(1024):
            file.seek(at)
            head = file.read(8)
            if len(head) < 8 or at >= size:
                return False
            if head[:4] == b"C2PA":
                return True
            at += 8 + int.from_bytes(head[4:8], "little") + (head[4] & 1)
    return False


def _named(agent: object) -> str:
    """A product as the standard writes it: a string, or a mapping with name and version."""
    if isinstance(agent, Mapping):
        return " ".join(str(agent[key]) for key in ("name", "version") if agent.get(key))
    return agent if isinstance(agent, str) else ""


def _listed(values: Sequence[str]) -> str:
    return "; ".join(list(dict.fromkeys(value for value in values if value))[:_LISTED])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
