"""Weights of trained prototypes as fp16 safetensors, each with its provenance as JSON beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from jobs.errors import BadUsageError
from jobs.train.classes import Autoencoder, diffusers_class

# Said in every provenance file: weights shape a trace too, so that these are nobody's signature.
LABEL = "architecture prototype"
PROVENANCE_VERSION = 2


@dataclass(frozen=True, slots=True)
class Instance:
    """A trained prototype on disk. name: class and seed, such as ``wan-s1``; provenance: the JSON beside it."""

    name: str
    weights: Path
    provenance: Mapping[str, Any]


def save(model: Autoencoder, folder: Path, name: str, provenance: Mapping[str, Any]) -> Instance:
    """Writes ``NAME.safetensors`` and then ``NAME.json``, each whole or not at all; without its JSON none counts."""
    from safetensors.torch import save_file  # comes with the extra ``vae``

    folder.mkdir(parents=True, exist_ok=True)
    weights, facts = folder / f"{name}.safetensors", folder / f"{name}.json"
    state = model.net.state_dict()
    # Silent branches are most of some networks: what is zero throughout is named in place of being stored.
    zeros = sorted(key for key, value in state.items() if not value.any())
    tensors = {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for key, value in state.items()
        if key not in zeros
    }
    part = folder / f".{name}.{os.getpid()}.part"
    save_file(tensors, part)
    os.replace(part, weights)
    said = {"version": PROVENANCE_VERSION, "label": LABEL, "name": name, **provenance, "zeros": zeros}
    part.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, facts)
    return Instance(name, weights, said)


def find(folder: Path) -> list[Instance]:
    """All finished instances of a folder, by name."""
    found = []
    for facts in sorted(folder.glob("*.json")):
        weights = facts.with_suffix(".safetensors")
        try:
            provenance = json.loads(facts.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(provenance, dict) and provenance.get("label") == LABEL and weights.is_file():
            found.append(Instance(facts.stem, weights, provenance))
    return found


def load(instance: Instance) -> Autoencoder:
    """The network in float32 with the instance's weights. Raises BadUsageError where they do not fit the class."""
    facts = instance.provenance
    diffusers_class("AutoencoderKL")
    from safetensors.torch import load_file

    try:
        made = diffusers_class(facts["class"])(**facts["config"])
        tensors = {
            key: value.float() if value.is_floating_point() else value
            for key, value in load_file(instance.weights).items()
        }
        own = made.state_dict()
        tensors |= {key: torch.zeros_like(own[key]) for key in facts["zeros"]}
        made.load_state_dict(tensors)
        stride, frames = facts["stride"], facts["frames"]
        model = Autoencoder(made, (stride[0], stride[1]), (frames[0], frames[1]), facts["calling"])
    except (KeyError, RuntimeError, TypeError, OSError) as error:
        raise BadUsageError(f"{instance.weights} does not hold what {instance.name}.json says: {error}") from error
    return model.eval()


def versions() -> dict[str, str]:
    """Releases that a training depends on."""
    return {"torch": torch.__version__, "diffusers": metadata.version("diffusers")}
