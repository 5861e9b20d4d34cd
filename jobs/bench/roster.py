"""Which decoders a bench runs: published nets (A), VAE checkpoints (B), trained instances (C), simulated ones (D)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.bench.cuts import Cut
from jobs.bench.published import INSTALL, NETS
from jobs.bench.published import load as load_net
from jobs.bench.simulated import SimulatedDecoder, draw_spec
from jobs.bench.vae import as_decoder, find_checkpoints
from jobs.encode import Rgb
from jobs.errors import BadUsageError
from jobs.train.weights import Instance
from jobs.train.weights import find as find_instances
from jobs.train.weights import load as load_instance

Decode = Callable[[Sequence[Rgb]], list[Rgb]]
KINDS = ("A", "B", "C", "D")
# Trained instances that ship with the package: architecture prototypes all of them.
SHIPPED = Path(__file__).resolve().parent.parent / "train" / "instances"


@dataclass(frozen=True, slots=True)
class BenchDecoder:
    """One decoder. slug: unique; kind: A, B, C or D; cls: diffusers class, net or simulated family; seed: of its
    weights, empty where nobody knows it. load: makes it ready, at its first use.
    """

    slug: str
    kind: str
    cls: str
    seed: str
    load: Callable[[], Decode]


def choose(
    wanted: Sequence[str],
    vae: Path | None,
    instances: Path | None,
    simulated: int,
    trainings: int,
    sample: Sequence[Cut],
) -> tuple[list[BenchDecoder], list[str]]:
    """The decoders of the named kinds and slugs (where none is named: all there are), and remarks on what is missing.

    instances: a folder of trained ones; None takes those that the package ships.
    simulated, trainings: structures of kind D, and how often each is drawn with other weights.
    sample: footage of the train split that simulated decoders are calibrated on; empty leaves them out.
    Raises BadUsageError for a name nobody has, and for a kind that was named and has nothing to run.
    """
    remarks: list[str] = []
    missing = [net.slug for net in NETS if not net.available]
    if missing:
        remarks.append(
            f"{len(missing)} of {len(NETS)} published nets are not installed ({', '.join(missing)}): {INSTALL}"
        )
    everything = [BenchDecoder(n.slug, "A", n.net, "", partial(load_net, n.slug)) for n in NETS if n.available]
    if vae is not None:
        everything += [BenchDecoder(c.slug, "B", c.cls, "", c.load) for c in find_checkpoints(vae)]
    if importlib.util.find_spec("diffusers") is not None:
        everything += [_instance(instance) for instance in find_instances(instances or SHIPPED)]
    elif instances is not None or SHIPPED.is_dir():
        remarks.append("trained instances are left out: diffusers is missing; pip install 'makersmark[vae]'")
    if sample:
        everything += [_simulated(seed, weights, sample) for seed in range(simulated) for weights in range(trainings)]
    elif simulated:
        remarks.append("no footage of the train split to calibrate simulated decoders on: they are left out")
    if not wanted:
        return everything, remarks
    names = {decoder.slug for decoder in everything}
    for name in wanted:
        if name in KINDS:
            if not any(decoder.kind == name for decoder in everything):
                raise BadUsageError(f"there is no decoder of kind {name} to run: {_remedy(name)}")
        elif name not in names:
            raise BadUsageError(f"no decoder is called {name!r}; there are the kinds A, B, C, D and {_some(names)}")
    return [decoder for decoder in everything if decoder.kind in wanted or decoder.slug in wanted], remarks


def _instance(instance: Instance) -> BenchDecoder:
    facts = instance.provenance
    slug = f"proto-{instance.name}"
    return BenchDecoder(slug, "C", str(facts["class"]), str(facts["seed"]), lambda: as_decoder(load_instance(instance)))


def _simulated(seed: int, weights: int, sample: Sequence[Cut]) -> BenchDecoder:
    spec = draw_spec(seed, weights)
    return BenchDecoder(spec.name, "D", spec.family, f"{seed}.{weights}", lambda: SimulatedDecoder(spec, sample))


def _remedy(kind: str) -> str:
    return {
        "A": f"install the packages that ship networks: {INSTALL}",
        "B": "name a VAE's folder with --vae",
        "C": "it needs diffusers, and weights of `makersmark train decoders` in the folder of --instances",
        "D": "bring footage of the train split, and --simulated above 0",
    }[kind]


def _some(names: set[str]) -> str:
    shown = sorted(name for name in names if not name.startswith("sim"))
    return ", ".join([*shown, f"{draw_spec(0).name} and on"])
