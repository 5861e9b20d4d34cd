"""Answers of several checkpoints on one file, compared: a family with a margin. Light: look-ups import this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def compose(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The evidence of several checkpoints' answers on one file: the best, and how far the next family is behind.

    margin: the best llr less that of the best checkpoint of another family, None with one family. A family is answered
    where the best llr is above 0. None without any answer.
    """
    sound = sorted((one for one in answers if not one["error"]), key=lambda one: (-one["llr"], one["checkpoint"]))
    if not answers:
        return None
    everyone = [dict(one) for one in answers]
    if not sound:
        return {"llr": None, "family": None, "generator": None, "margin": None, "checkpoints": everyone}
    best = sound[0]
    kin = best["family"] or best["generator"]
    others = [one for one in sound if (one["family"] or one["generator"]) != kin]
    speaks = best["llr"] > 0
    return {
        "llr": best["llr"],
        "p_value": best["p_value"],
        "checkpoint": best["checkpoint"],
        "family": best["family"] if speaks else None,
        "generator": best["generator"] if speaks else None,
        "margin": round(best["llr"] - others[0]["llr"], 4) if others else None,
        "runner_up": others[0]["generator"] if others else None,
        "excess": best.get("excess"),
        "drop": best["drop"],
        "bands": best["bands"],
        "grid": best["grid"],
        "cohort": best["cohort"],
        "checkpoints": everyone,
    }
