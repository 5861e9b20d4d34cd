"""An immutable, checksummed picture of everything a verdict depends on: models, calibration, thresholds, signatures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingerprint_db.calibrate import LogisticCalibration
from fingerprint_db.errors import SnapshotError
from fingerprint_db.index import SignatureIndex
from fingerprint_db.normalise import Normaliser
from fingerprint_db.scoring import VIEWS, ScoringModel
from fingerprint_db.signature import arrays_from_bytes, arrays_to_bytes

FORMAT = 1
MANIFEST = "manifest.json"
MODEL = "model.npz"


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """One maker in the snapshot.

    kind: generator | processor | camera. grade: ``named`` (a verdict may name it), ``family`` (only its family may be
    named), ``witness`` (shown among the nearest, never named); ``why`` says what is missing for more.
    tested: clips that were judged by a model that knew the maker from other sources only; nearest_right: of those, how
    many were nearest to their own maker. auc: their likelihood ratio against that of camera clips, both out of source;
    None without either. tested is
    None in a snapshot from before this was kept. See fingerprint_db.grades for what these are worth.
    """

    generator: str
    kind: str
    family: str | None
    clips: int
    sources: int
    grade: str
    why: str = ""
    tested: int | None = None
    nearest_right: int = 0
    auc: float | None = None

    @property
    def group(self) -> str:
        """What the first level of attribution decides between: the decoder family, or the maker itself without one."""
        return self.family if self.family is not None else f"={self.generator}"


@dataclass(frozen=True, slots=True)
class Gates:
    """Thresholds between the answers; None: this answer is never given, for want of data.

    made_p, made_llr: at most this p-value and at least this llr before "made by some decoder" is said.
    named_p: at most this p-value before a family is named. typicality: at least this share of genuine clips lie farther
    from their class. family_margin, generator_margin: least posterior log-odds above the runner-up.
    """

    made_p: float | None
    made_llr: float
    named_p: float | None
    typicality: float
    family_margin: float | None
    generator_margin: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How scores become likelihood ratios. buckets: own fits of quality buckets with enough data; else ``overall``.

    temperature: factor on the class cosines. overall is None without camera clips (or without made ones).
    report: for ``overall`` and every bucket that a clip fell into, what there was to fit on (made, camera,
    made_sources, camera_sources), the Cllr reached on it, and whose fit serves it: ``own``, ``overall`` or ``none``.
    """

    overall: LogisticCalibration | None
    buckets: Mapping[str, LogisticCalibration]
    temperature: float
    report: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """See the module. Build with fingerprint_db.build, read and write with from_files and to_files.

    cohort: sorted llrs of camera clips whose source the scoring model had not seen. typical: sorted cosines of clips
    with their own class, likewise. rows: (S,) class number of each signature in the indexes. hdr: whether HDR camera
    footage is among the cohort. measured: what the build's own cross-validation found.
    """

    spec_id: str
    notes: tuple[str, ...]
    classes: tuple[ClassEntry, ...]
    model: ScoringModel | None
    calibration: Calibration
    gates: Gates
    cohort: NDArray[np.float64]
    typical: NDArray[np.float64]
    rows: NDArray[np.int32]
    indexes: Mapping[str, SignatureIndex]
    hdr: bool
    measured: Mapping[str, float]
    _files: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def id(self) -> str:
        """32 hex digits that name the content: equal signatures and code give equal ids."""
        return str(json.loads(self.to_files()[MANIFEST])["id"])

    @property
    def counts(self) -> dict[str, Any]:
        """The class table in the form in which SQL keeps it."""
        return {
            entry.generator: {"clips": entry.clips, "sources": entry.sources, "grade": entry.grade}
            for entry in self.classes
        }

    def to_files(self) -> Mapping[str, bytes]:
        """File name to content: manifest.json, model.npz, and for each view its index."""
        if not self._files:
            files = {MODEL: arrays_to_bytes(_arrays(self), compress=False)}
            files |= {f"{name}.faiss": index.to_bytes() for name, index in self.indexes.items()}
            self._files.update(files, **{MANIFEST: _manifest(self, files)})
        return dict(self._files)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Snapshot:
        """Read a snapshot back, verifying every checksum. Raises SnapshotError when damaged, incomplete or newer."""
        try:
            manifest = json.loads(files[MANIFEST])
            version, stated, sums = int(manifest["format"]), str(manifest["id"]), dict(manifest["sha256"])
        except KeyError as error:
            raise SnapshotError("The snapshot has no usable manifest; publish it again.") from error
        except (ValueError, TypeError) as error:
            raise SnapshotError("The snapshot's manifest is damaged; publish the snapshot again.") from error
        if version > FORMAT:
            raise SnapshotError(
                f"The snapshot's format {version} is newer than this version knows; upgrade Makersmark."
            )
        if _content_id(manifest) != stated:
            raise SnapshotError("The snapshot's manifest does not match its id; publish the snapshot again.")
        for name, expected in sums.items():
            if name not in files:
                raise SnapshotError(f"The snapshot lacks its file {name}; publish the snapshot again.")
            if hashlib.sha256(files[name]).hexdigest() != expected:
                raise SnapshotError(f"The snapshot's file {name} is damaged; publish the snapshot again.")
        kept = {name: bytes(files[name]) for name in (*sums, MANIFEST)}
        return _restore(manifest, kept)


def _manifest(snapshot: Snapshot, files: Mapping[str, bytes]) -> bytes:
    overall = snapshot.calibration.overall
    body: dict[str, Any] = {
        "format": FORMAT,
        "spec": snapshot.spec_id,
        "notes": list(snapshot.notes),
        "classes": [asdict(entry) for entry in snapshot.classes],
        "gates": asdict(snapshot.gates),
        "temperature": snapshot.calibration.temperature,
        "calibrated": overall is not None,
        "buckets": sorted(snapshot.calibration.buckets),
        "calibration": {name: dict(facts) for name, facts in snapshot.calibration.report.items()},
        "fitted": snapshot.model is not None,
        "hdr": snapshot.hdr,
        "measured": dict(snapshot.measured),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    body["id"] = _content_id(body)
    return json.dumps(body, sort_keys=True, indent=1).encode()


def _content_id(manifest: Mapping[str, Any]) -> str:
    """The hash of the manifest without its id; it holds the checksums of all other files."""
    rest = {name: value for name, value in manifest.items() if name != "id"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def _arrays(snapshot: Snapshot) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "cohort": snapshot.cohort,
        "typical": snapshot.typical,
        "rows": snapshot.rows,
    }
    if snapshot.model is not None:
        model = snapshot.model
        for name, normaliser in {**model.views, "joint": model.joint}.items():
            arrays |= {f"{name}.{part}": getattr(normaliser, part) for part in Normaliser.__slots__}
        arrays |= {"direction": model.direction, "offset": np.array(model.offset), "means": model.means}
    fits = dict(snapshot.calibration.buckets)
    if snapshot.calibration.overall is not None:
        fits["overall"] = snapshot.calibration.overall
    for name, fit in fits.items():
        arrays[f"fit.{name}"] = np.concatenate([fit.centre, fit.scale, fit.weights, [fit.bias, fit.limit]])
    return arrays


def _restore(manifest: dict[str, Any], files: dict[str, bytes]) -> Snapshot:
    try:
        arrays = arrays_from_bytes(files[MODEL])
        classes = tuple(ClassEntry(**entry) for entry in manifest["classes"])
        model = None
        if manifest["fitted"]:
            model = ScoringModel(
                classes=tuple(entry.generator for entry in classes),
                views={name: _normaliser(name, arrays) for name in VIEWS},
                joint=_normaliser("joint", arrays),
                direction=arrays["direction"],
                offset=float(arrays["offset"]),
                means=arrays["means"],
            )
        return Snapshot(
            spec_id=manifest["spec"],
            notes=tuple(manifest["notes"]),
            classes=classes,
            model=model,
            calibration=Calibration(
                overall=_fit(arrays["fit.overall"]) if manifest["calibrated"] else None,
                buckets={name: _fit(arrays[f"fit.{name}"]) for name in manifest["buckets"]},
                temperature=float(manifest["temperature"]),
                report=manifest.get("calibration", {}),
            ),
            gates=Gates(**manifest["gates"]),
            cohort=arrays["cohort"],
            typical=arrays["typical"],
            rows=arrays["rows"],
            indexes={name: SignatureIndex.from_bytes(files[f"{name}.faiss"]) for name in VIEWS if model is not None},
            hdr=bool(manifest["hdr"]),
            measured=manifest["measured"],
            _files=files,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError("The snapshot's parts do not fit together; publish it again.") from error


def _normaliser(name: str, arrays: Mapping[str, NDArray[Any]]) -> Normaliser:
    return Normaliser(**{part: arrays[f"{name}.{part}"] for part in Normaliser.__slots__})


def _fit(flat: NDArray[Any]) -> LogisticCalibration:
    features = (len(flat) - 2) // 3
    parts = flat[:-2].reshape(3, features)
    return LogisticCalibration(parts[0], parts[1], parts[2], float(flat[-2]), float(flat[-1]))
