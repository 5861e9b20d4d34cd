"""Enrolling in two steps: what the new signatures would change, told before anything is stored; then storing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from rich.console import Console

from cluster.outcome import Failure
from fingerprint_db.build import Built
from fingerprint_db.build import build as build_model
from fingerprint_db.separation import Separation, separation
from fingerprint_db.signature import SignatureRecord
from fingerprint_db.snapshot import Snapshot
from fingerprint_db.spec import FingerprintSpec
from fingerprint_db.store import GeneratorKind
from fingerprint_db.thresholds import MIN_CLIPS
from jobs.archive import safe_uri
from jobs.decode.protocol import VideoFacts
from jobs.enroll import POSTERISED, Clip, Maker, Wanted
from jobs.home import Home
from jobs.progress import Meter
from jobs.scan import FileFingerprint, current_spec, fingerprint_files
from jobs.snapshots import CAMERA, Known, build, home_known, put, seed_catalogue

# Below these a new signature hardly stands apart, and whoever enrolls it is told so.
LOW_RANK1 = 0.5
LOW_AUC = 0.7
# Holding out single clips costs several models a maker; a long list of makers is judged by source alone.
SINGLY_AT_MOST = 5


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What an enrollment would do; nothing is stored yet.

    records: signatures to store. new, repeated: usable clips a maker that are new to the home, or known to it or given
    twice. unusable: files that gave no signature, with the reason. refused: makers that stay out, with the reason.
    separations: of every maker that would be enrolled. built: the candidate snapshot; None when nothing is left.
    """

    spec: FingerprintSpec
    records: tuple[SignatureRecord, ...]
    makers: Mapping[str, Maker]
    new: Counter[str]
    repeated: Counter[str]
    unusable: Mapping[str, Failure | str]
    refused: Mapping[str, str]
    warnings: tuple[str, ...]
    separations: tuple[Separation, ...]
    built: Built | None
    notes: str = ""
    known: Known = field(default_factory=lambda: Known({}, {}))

    def as_dict(self) -> dict[str, Any]:
        return {
            "makers": [
                asdict(each) | {"new": self.new[each.generator], "repeated": self.repeated[each.generator]}
                for each in self.separations
            ],
            "warnings": list(self.warnings),
            "refused": dict(self.refused),
            "unusable": {
                safe_uri(uri): why.message if isinstance(why, Failure) else why for uri, why in self.unusable.items()
            },
        }


def propose(home: Home, wanted: Wanted, *, console: Console, notes: str = "") -> Proposal:
    """Fingerprint the clips and build, without storing anything, the snapshot that would know them.

    A maker that would have fewer than three usable clips in all is refused: usable is a clip that gave windows, is not
    a GIF and was not given before under the same content.
    """
    spec = current_spec(home.settings)
    seed_catalogue(home.store)
    unusable: dict[str, Failure | str] = dict(wanted.failed)
    files, repeated = _fingerprints(home, wanted, unusable, spec.id, console)
    standing = {record.key: record for record in home.store.signatures(spec.id)}
    refused = _refused(wanted.makers, files, standing)
    kept = {key: pair for key, pair in files.items() if key[1] not in refused}
    new = Counter(key[1] for key in kept if key not in standing)
    repeated = Counter({slug: count for slug, count in repeated.items() if slug not in refused})
    repeated.update(key[1] for key in kept if key in standing)
    records = {key: record for key, (record, _) in sorted(kept.items())}
    slugs = sorted({key[1] for key in kept})
    makers = {slug: _as_known(home, wanted.makers[slug]) for slug in slugs}
    known = home_known(home)
    known.families.update({maker.slug: maker.family for maker in makers.values()})
    known.kinds.update({maker.slug: maker.kind for maker in makers.values()})
    built = None
    told: list[Separation] = []
    if records:
        # As the store would hold them: what is enrolled again is brought up to date.
        candidate = list({**standing, **records}.values())
        built = build_model(candidate, spec_id=spec.id, families=known.families, kinds=known.kinds, notes=notes)
        told = [separation(built, slug, singly=len(slugs) <= SINGLY_AT_MOST) for slug in slugs]
    facts = {slug: [f for key, (_, f) in kept.items() if key[1] == slug] for slug in slugs}
    warnings = [] if built is None else _warnings(told, built, facts, one_chain=wanted.one_chain)
    return Proposal(
        spec,
        tuple(records.values()),
        makers,
        new,
        repeated,
        unusable,
        refused,
        tuple(warnings),
        tuple(told),
        built,
        notes,
        known,
    )


def carry_out(home: Home, proposal: Proposal) -> Snapshot | None:
    """Store the proposal's signatures, publish the snapshot that knows them; None when there is nothing to store.

    Where another job has enrolled meanwhile, the snapshot is built again with what that one added.
    """
    if proposal.built is None:
        return None
    for maker in proposal.makers.values():
        if not maker.listed:
            home.store.register_generator(
                maker.slug, name=maker.name, kind=maker.kind, family=maker.family, origin="enrolled"
            )
    home.store.add_signatures(proposal.records)
    records = home.store.signatures(proposal.spec.id)
    known = home_known(home)
    snapshot = proposal.built.snapshot
    if known != proposal.known or len(records) != len(proposal.built.clips):
        snapshot = build(records, proposal.spec, known, notes=proposal.notes)
    put(home, snapshot, proposal.spec, notes=proposal.notes, built_from=records)
    for slug in sorted(proposal.makers):
        home.ledger.audit("enroll", slug, clips=proposal.new[slug], snapshot=snapshot.id)
    return snapshot


def encoder_of(facts: VideoFacts) -> str:
    """Who encoded a file, as far as it says; a file that names no encoder is told by codec, size and frame rate."""
    for name in ("encoder_signature", "video_encoder", "encoder"):
        if facts.declared.get(name):
            return f"{facts.codec} by {facts.declared[name]}"
    return f"{facts.codec}, {facts.width} x {facts.height} at {facts.fps:.4g} frames a second, no encoder named"


Key = tuple[str, str, str]


def _fingerprints(
    home: Home, wanted: Wanted, unusable: dict[str, Failure | str], spec_id: str, console: Console
) -> tuple[dict[Key, tuple[SignatureRecord, VideoFacts]], Counter[str]]:
    """A signature for every usable content of every maker, and how often a maker's content was given again."""
    by_uri: dict[str, list[Clip]] = {}
    for clip in wanted.clips:
        by_uri.setdefault(clip.uri, []).append(clip)
    found: dict[Key, tuple[SignatureRecord, VideoFacts]] = {}
    repeated: Counter[str] = Counter()
    with Meter(console, "enroll", len(by_uri)) as meter:
        for uri, result in fingerprint_files(by_uri, home.settings):
            meter.advance()
            if isinstance(result, Failure):
                unusable[uri] = result
            elif result.facts.container == "gif":
                unusable[uri] = POSTERISED
            elif not result.windows:
                unusable[uri] = result.shortfall or "no window could be fingerprinted"
            else:
                for clip in by_uri[uri]:
                    record = _record(result, clip, spec_id)
                    before = found.get(record.key)
                    repeated[clip.generator] += before is not None
                    # The order in which workers finish leaves no trace: of two sources of a content the first by name.
                    if before is None or record.source < before[0].source:
                        found[record.key] = (record, result.facts)
    return found, +repeated


def _record(file: FileFingerprint, clip: Clip, spec_id: str) -> SignatureRecord:
    return SignatureRecord.from_windows(
        file.windows,
        sha256=file.sha256,
        generator=clip.generator,
        source=clip.source,
        spec_id=spec_id,
        quality=file.facts.quality(file.coverage),
    )


def _refused(
    makers: Mapping[str, Maker], files: Mapping[Key, object], standing: Mapping[Key, SignatureRecord]
) -> dict[str, str]:
    refused = {}
    for slug in sorted(makers):
        total = len({key for key in (*files, *standing) if key[1] == slug})
        if total < MIN_CLIPS:
            clips = f"{total} usable clip{'' if total == 1 else 's'}"
            refused[slug] = (
                f"{slug} would have {clips} in all, and {MIN_CLIPS} are needed to know a maker; nothing of it is "
                "enrolled (usable: it gave windows, is no GIF, and is not the same content twice)"
            )
    return refused


def _as_known(home: Home, maker: Maker) -> Maker:
    """A maker that was enrolled before keeps what was said of it then and is not said now."""
    before = {entry.slug: entry for entry in home.store.generators()}.get(maker.slug)
    if maker.listed or before is None:
        return maker
    kind = before.kind if maker.kind == "generator" else maker.kind  # what it is when nothing is said
    return Maker(maker.slug, maker.name, maker.family or before.family, cast(GeneratorKind, kind), listed=False)


def _warnings(
    told: Sequence[Separation], built: Built, facts: Mapping[str, Sequence[VideoFacts]], *, one_chain: bool
) -> list[str]:
    found = []
    camera = any(entry.kind == "camera" for entry in built.snapshot.classes)
    kinds = {entry.generator: entry.kind for entry in built.snapshot.classes}
    for each in told:
        slug = each.generator
        if each.sources < 2:
            found.append(
                f"all clips of {slug} come from one source, so its encoder may be learned instead, and it is never "
                "named; add another source"
            )
        encoders = {encoder_of(one) for one in facts[slug]}
        if len(encoders) == 1 and len(facts[slug]) > 1 and not one_chain:
            (encoder,) = encoders
            found.append(
                f"all {len(facts[slug])} clips of {slug} given now share one encoder ({encoder}), which may be learned "
                "instead of the maker"
            )
        if kinds[slug] == "camera":
            continue
        if each.rank1 is not None and each.rank1 < LOW_RANK1:
            right = round(each.rank1 * each.tested)
            found.append(f"only {right} of {each.tested} held-out clips of {slug} are nearest to it")
        for rival in each.rivals:
            if rival.auc is not None and rival.auc < LOW_AUC:
                found.append(f"{slug} is hardly told from {rival.generator} (AUC {rival.auc:.2f})")
        if each.camera_auc is not None and each.camera_auc < LOW_AUC:
            found.append(f"{slug} is hardly told from camera footage (AUC {each.camera_auc:.2f})")
    if not camera:
        found.append(f"no {CAMERA} footage is enrolled, so likelihood ratios cannot be calibrated against it")
    return found
