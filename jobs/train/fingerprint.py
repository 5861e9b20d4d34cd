"""`makersmark train fingerprint`: the learned embedding, contrastive over decoders, on a bench's aligned clips.

A batch holds a few contents. Of each, the same versions are seen twice, at two places or through two codec chains: the
two views of a version are alike and everything else of the content is not, so that neither content nor codec helps, and
only the decoder is left. Decoders of kind B are never trained on: they stay the held-out truth.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from fingerprint_db.embedding import EMBEDDING_DIM, EmbeddingNet, embedding_to_bytes
from jobs.bench.pictures import Picture, load_pictures
from jobs.bench.windows import CAMERA, NEGATIVE
from jobs.errors import BadUsageError
from jobs.evaluate.metrics import auc
from jobs.progress import Meter

_SCORED = 64  # pictures a call when nothing is learned
_TEMPERATURE = 0.1


@dataclass(frozen=True, slots=True)
class FingerprintPlan:
    """How the embedding is trained. minutes or steps: which ends it; with steps the same seed gives the same weights.

    groups: contents in a batch; members: versions of each, the untouched one among them, each in two views. side: of
    the square crops.
    """

    minutes: float = 30.0
    steps: int | None = None
    groups: int = 3
    members: int = 6
    side: int = 144
    learning_rate: float = 1.5e-3
    device: str = "cpu"
    seed: int = 0
    chains: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class _Pool:
    """Pictures of one split. contents: for each, its views (chain and place), and in a view the row of each version.

    A view without the untouched version, or with nothing beside it, is left out.
    """

    pictures: Sequence[Picture]
    contents: list[list[dict[str, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        found: dict[str, dict[tuple[str, int], dict[str, int]]] = {}
        for row, picture in enumerate(self.pictures):
            if _taught(picture):
                views = found.setdefault(picture.content, {})
                views.setdefault((picture.chain, picture.place), {})[picture.decoder] = row
        for views in found.values():
            usable = [rows for rows in views.values() if CAMERA in rows and len(rows) > 1]
            if usable:
                self.contents.append(usable)


def train_fingerprint(benches: Sequence[Path], out: Path, plan: FingerprintPlan, console: Console) -> Mapping[str, Any]:
    """Trains on the benches' train split, checks on their validation split, writes ``out`` and returns the provenance.

    Raises BadUsageError where a bench has no chain, or none a train split with decoders in it.
    """
    torch.manual_seed(plan.seed)
    torch.set_num_threads(1)
    everything = [
        picture
        for bench in benches
        for picture in load_pictures(bench, chains=plan.chains, console=console)
        if picture.kind != "B"
    ]
    pools = {split: _Pool([p for p in everything if p.split == split]) for split in ("train", "validation")}
    classes = sorted({p.decoder for p in pools["train"].pictures if _taught(p) and p.kind not in (CAMERA, NEGATIVE)})
    if not pools["train"].contents or not classes:
        names = ", ".join(str(bench) for bench in benches)
        raise BadUsageError(f"{names}: no sharp decoders of kinds A, C or D on footage of the train split")
    net, heads = EmbeddingNet(), _Heads(len(classes) + 1)
    trained = _fit(net, heads, pools["train"], classes, plan, console)
    provenance: dict[str, Any] = {
        "what": "learned decoder fingerprint",
        "learned_from": {
            "contents": len(pools["train"].contents),
            "windows": sum(_taught(p) for p in pools["train"].pictures),
            "classes": classes,
        },
        "chains": sorted({p.chain for p in pools["train"].pictures}),
        "sources": sorted({p.source for p in pools["train"].pictures}),
        "seed": plan.seed,
        "side": plan.side,
        "validation": _check(net, heads, pools["validation"], plan.device),
        **trained,
        "versions": {"torch": torch.__version__, "makersmark": metadata.version("makersmark")},
    }
    data = embedding_to_bytes(net, {name: value for name, value in provenance.items() if name != "seconds"})
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    part.write_bytes(data)
    os.replace(part, out)
    return provenance


class _Heads(nn.Module):
    """What the training asks of an embedding: which decoder, and decoded or not. Thrown away afterwards."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(EMBEDDING_DIM, classes)
        self.decoded = nn.Linear(EMBEDDING_DIM, 1)


def contrastive_loss(vectors: Tensor, labels: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) of (N, D) unit vectors; lone labels are left out."""
    alike = labels[:, None] == labels[None, :]
    alike.fill_diagonal_(False)
    logits = vectors @ vectors.T / _TEMPERATURE
    logits = logits.masked_fill(torch.eye(len(labels), dtype=torch.bool, device=labels.device), -1e9)
    log_share = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    partners = alike.sum(dim=1)
    each = -(log_share * alike).sum(dim=1) / partners.clamp_min(1)
    return each[partners > 0].mean() if bool((partners > 0).any()) else vectors.sum() * 0.0


def _fit(
    net: EmbeddingNet, heads: _Heads, pool: _Pool, classes: Sequence[str], plan: FingerprintPlan, console: Console
) -> dict[str, Any]:
    device = torch.device(plan.device)
    net.to(device).train()
    heads.to(device)
    optimiser = torch.optim.AdamW([*net.parameters(), *heads.parameters()], lr=plan.learning_rate, weight_decay=1e-2)
    number = {name: i + 1 for i, name in enumerate(classes)}
    rng = np.random.default_rng(plan.seed)
    losses: list[float] = []
    started = time.monotonic()
    total = plan.steps or max(1, round(plan.minutes * 60))
    with Meter(console, "train fingerprint", total) as meter:
        for batch in _batches(pool, plan, rng):
            spent = time.monotonic() - started
            done = len(losses) / plan.steps if plan.steps is not None else spent / (plan.minutes * 60)
            if done >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = plan.learning_rate * (min(1.0, done / 0.05) * 0.5 * (1 + np.cos(np.pi * done)) + 0.01)
            rows, crops = batch
            labels = torch.tensor([number.get(pool.pictures[row].decoder, 0) for row in rows], device=device)
            asked = torch.tensor([pool.pictures[row].kind != "A" for row in rows], device=device)
            # Half the time where the processor knows bfloat16; weights and sums stay in single precision.
            with torch.autocast(device.type, torch.bfloat16, enabled=_knows_bfloat16(device)):
                maps = net.body(crops.to(device))
            vectors = net.pooled(maps.float())
            decoded = heads.decoded(vectors)[:, 0]
            loss = contrastive_loss(vectors, labels)
            loss = loss + nn.functional.cross_entropy(heads.decoder(vectors) / _TEMPERATURE, labels)
            wanted = (labels > 0).float()
            binary = nn.functional.binary_cross_entropy_with_logits(decoded / _TEMPERATURE, wanted, reduction="none")
            loss = loss + binary[asked].mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            losses.append(float(loss.detach()))
            meter.advance(1 if plan.steps is not None else 0, note=f"loss {losses[-1]:.2f}")
    tenth = max(1, len(losses) // 10)
    return {
        "steps": len(losses),
        "seconds": round(time.monotonic() - started, 1),
        "losses": [round(float(np.mean(part)), 4) for part in (losses[:tenth], losses[-tenth:])],
    }


def _batches(pool: _Pool, plan: FingerprintPlan, rng: np.random.Generator) -> Iterator[tuple[list[int], Tensor]]:
    """Rows and (N, C, side, side) crops without end; versions of one content share chain, place and turn in a view."""
    while True:
        rows: list[int] = []
        crops: list[NDArray[np.float16]] = []
        for at in rng.integers(len(pool.contents), size=plan.groups):
            views = pool.contents[at]
            one, two = (views[i] for i in rng.integers(len(views), size=2))
            others = sorted(name for name in one if name in two and name != CAMERA)
            if not others:
                two, others = one, sorted(name for name in one if name != CAMERA)
            members = [CAMERA, *(others[i] for i in rng.permutation(len(others))[: plan.members - 1])]
            for view in (one, two):
                _, height, width = pool.pictures[view[CAMERA]].pixels.shape
                side = min(plan.side, height, width) // 2 * 2
                top, left = (int(rng.integers(extent - side + 1)) for extent in (height, width))
                flip, turn = bool(rng.integers(2)), bool(rng.integers(2))
                for name in members:
                    crop = pool.pictures[view[name]].pixels[:, top : top + side, left : left + side]
                    crop = crop[:, :, ::-1] if flip else crop
                    crops.append(crop.transpose(0, 2, 1) if turn else crop)
                    rows.append(view[name])
        least = min(crop.shape[1] for crop in crops)
        stacked = np.stack([crop[:, :least, :least] for crop in crops]).astype(np.float32)
        yield rows, torch.from_numpy(stacked)


def _knows_bfloat16(device: torch.device) -> bool:
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch tells it nowhere else, and may stop
    return device.type == "cuda" or (known is not None and bool(known()))


def _taught(picture: Picture) -> bool:
    """Blur is no fingerprint: a decoder that fails the gate is not learned from, hard negatives are."""
    return picture.sharp or picture.kind == NEGATIVE


def _check(net: EmbeddingNet, heads: _Heads, pool: _Pool, device: str) -> dict[str, float]:
    """AUC of decoded against camera windows of the validation split, by chain, and of hard negatives against camera."""
    found: dict[str, float] = {}
    if not pool.pictures:
        return found
    net.eval()
    scores = np.zeros(len(pool.pictures))
    with torch.inference_mode():
        for row, picture in enumerate(pool.pictures):
            pixels = torch.from_numpy(picture.pixels.astype(np.float32)).to(device)[None]
            scores[row] = float(heads.decoded(net(pixels))[0, 0])
    kinds = np.array([p.kind if _taught(p) else "" for p in pool.pictures])
    chains = np.array([p.chain for p in pool.pictures])
    for chain in sorted(set(chains)):
        camera = scores[(chains == chain) & (kinds == CAMERA)]
        for label, made in (("decoded", np.isin(kinds, ("C", "D"))), ("hard negatives", kinds == NEGATIVE)):
            value = auc(scores[(chains == chain) & made], camera)
            if np.isfinite(value):
                found[f"{label} against camera, {chain}"] = round(value, 4)
    return found
