"""Where what a file declares and what it is do not go together, and what its container tells of its past.

A contradiction decides nothing: it is said in one sentence, for a person to look at. Forgers forge what is easily
forged, and honest files contradict themselves too (a wrong label, a page that re-encodes): a sentence names both sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fingerprint_db.catalogue import load_catalogue
from fingerprint_db.declared import Declaration
from fingerprint_db.statements import Statement
from fingerprint_db.verdict import Verdict, VerdictKind

STRONG_LLR = 2.0  # natural log; measured evidence below it contradicts nobody
# Rate control: what no encoder with these settings gives. Far outside what 310 published clips show (docs/declared.md).
OVERSHOOT, OVERSHOOT_S = 2.0, 5.0
COARSE_CRF, COARSE_BITS = 32.0, 1.0  # bits a pixel and frame
LOSSLESS_BITS = 0.02
_CODECS = (("x264", "h264"), ("x265", "hevc"), ("SVT-AV1", "av1"))
_OPTION = re.compile(r"([a-z_0-9-]+)=(\S+)")
_MADE = (VerdictKind.ATTRIBUTED, VerdictKind.FAMILY, VerdictKind.SYNTHETIC)


def against_measured(said: Sequence[Statement], fit: tuple[str, str | None] | None, verdict: Verdict) -> Iterator[str]:
    """Sentences where the declared and the measured exclude each other.

    fit: generator and family that the file's habits name, None while they name none.
    """
    strong = verdict.llr is not None and abs(verdict.llr) >= STRONG_LLR
    names = [(one.generator, one.where) for one in said if one.generator]
    if verdict.verdict is VerdictKind.ATTRIBUTED:
        for name, where in dict(names).items():
            if name != verdict.generator:
                yield f"The {where} names {name}; the measured traces fit {verdict.generator}."
        if fit and not names and fit[0] != verdict.generator and (fit[1] is None or fit[1] != verdict.family):
            yield f"Size, rate, length and encoder fit {fit[0]}; the measured traces fit {verdict.generator}."
    elif verdict.verdict is VerdictKind.FAMILY:
        known = load_catalogue().generators
        for name, where in dict(names).items():
            if known[name].family not in (None, verdict.family):
                yield f"The {where} names {name}; the measured traces fit the family {verdict.family}."
        if fit and not names and fit[1] not in (None, verdict.family):
            yield f"Size, rate, length and encoder fit {fit[0]}; the measured traces fit the family {verdict.family}."
    for one in said:
        if one.makes == "camera" and verdict.verdict in _MADE and strong and (verdict.llr or 0) > 0:
            yield f"The {one.where} says camera footage ({one.says}); the measured traces are those of a decoder."
    camera = verdict.verdict is VerdictKind.NO_KNOWN_GENERATOR and strong and (verdict.llr or 0) < 0
    if camera or verdict.verdict is VerdictKind.PROCESSED_CAMERA:
        measured = "camera footage" if camera else "processed camera footage"
        claims = {one.generator or "generated": one.where for one in said if one.generator or one.makes == "generated"}
        for claim, where in claims.items():
            yield f"The {where} says {claim}; the measured traces are those of {measured}."
        if fit and not claims:
            yield f"Size, rate, length and encoder fit {fit[0]}; the measured traces are those of {measured}."


def within(file: Declaration, picture_types: str = "") -> Iterator[str]:
    """Sentences where a file contradicts itself. picture_types: of decoded frames, one of ``I P B ?`` each."""
    signature = file.told.get("encoder_signature", "")
    options = dict(_OPTION.findall(signature))
    for encoder, codec in _CODECS:
        if signature.startswith(encoder) and file.codec and file.codec != codec:
            yield f"The stream is signed by {encoder}, which does not make {file.codec}."
    if options.get("bframes") == "0" and "B" in picture_types:
        yield "The encoder's settings say no B-frames; the stream has some."
    seconds = file.frames / file.fps if file.fps > 0 else 0.0
    declared = _number(options.get("bitrate")) * 1000
    if declared and file.bit_rate > OVERSHOOT * declared and seconds >= OVERSHOOT_S:
        yield f"The encoder's settings say {declared / 1000:.0f} kbit/s; the stream has {file.bit_rate / 1000:.0f}."
    pixels = file.width * file.height * file.fps
    bits = file.bit_rate / pixels if pixels > 0 else 0.0
    quality = _number(options.get("crf")) if options.get("rc") == "crf" else None
    if quality is not None and quality >= COARSE_CRF and bits > COARSE_BITS:
        yield f"The encoder's settings say crf {quality:g}, which is coarse; the stream spends {bits:.2f} bits a pixel."
    if (
        signature.startswith("x264")
        and options.get("rc") == "cqp"
        and options.get("qp") == "0"
        and 0 < bits < LOSSLESS_BITS
    ):
        yield f"The encoder's settings say lossless; the stream spends {bits:.3f} bits a pixel."
    created, modified = file.told.get("created", ""), file.told.get("modified", "")
    if created and modified and modified < created:
        yield f"The container was changed ({modified}) before it was made ({created})."


def history(told: Mapping[str, str]) -> list[str]:
    """What a container's own headers tell of its past, in sentences; [] where nothing does."""
    found = []
    muxer = re.match(r"Lavf(\d+)", told.get("encoder", ""))
    encoder = re.search(r"Lavc(\d+)", told.get("video_encoder", "") or told.get("encoder_signature", ""))
    if muxer and encoder and muxer[1] != encoder[1]:  # both libraries of one FFmpeg release count alike since 2018
        found.append(
            f"encoded with {encoder[0]}, then put into this container by {muxer[0]}: not the encoder's own file"
        )
    if told.get("modified") and told.get("created"):
        found.append(f"made {told['created']}, changed {told['modified']}")
    clock = _number(told.get("clock"))
    late = [int(tick) for tick in re.findall(r" from (\d+)", told.get("edits", ""))]
    # B-frames put the first frame a few frames late; half a second is somebody's cut.
    if clock and late and max(late) > clock / 2:
        found.append(f"an edit list hides the first {max(late) / clock:.2f} s of a track")
    if " empty" in told.get("edits", ""):
        found.append("an edit list delays a track")
    if told.get("boxes", "").startswith("ftyp") and "moof" in told.get("boxes", ""):
        found.append("fragmented for streaming")
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return 0.0
