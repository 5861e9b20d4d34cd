"""The texture fingerprint (E2): how a generator paints fine structure, as ratios that content and level leave alone.

Groups of numbers, by the first word of their names:

predict     weights with which a pixel is predicted from its 24 neighbours, at scales 1, 2, 4, and what is left over
pattern     frequencies of quantised residual triples (co-occurrence), quantised against the window's own strength
angle       energy by direction in three rings of the spectrum
dct         8 x 8 cosine transform on the frame's grid: size of each band against the trend, and its peakedness
chroma      moments of the colour residual and its strength against luma
contrast    statistics of rich patches against poor ones

Sources: multi-scale self-description after Nguyen et al. (2024); residual co-occurrence after Pevny et al., SPAM (2010)
and Fridrich & Kodovsky, SRM (2012); rich against poor patches after Zhong et al., PatchCraft (2023); DCT statistics
after Frank et al. (2020). Triples of plain second differences were tried and left out: they added only noise.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product

import torch
from torch import Tensor

from fingerprint_db.residual import (
    ROUNDING_VARIANCE,
    Numbers,
    Planes,
    band_weights,
    box_mean,
    frequency_grid,
    halve,
    log_shape,
    mean_product,
    power_spectrum,
    shifted,
    spread,
)

FRAMES = 3  # more frames of a burst repeat the same texture
SCALES = (1, 2, 4)
# Neighbours at (|dy|, |dx|), the up to four mirror images summed: 8 classes of 24 neighbours.
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2))
TRUNCATION = 2
RIDGE = 1e-3


def texture_numbers(planes: Planes) -> Numbers:
    """All texture numbers of a window, named; luma at least 64 x 64."""
    out = Numbers.empty()
    frames = spread(planes.luma.shape[0], FRAMES)
    luma, fine = planes.luma[frames], planes.fine_luma[frames]
    _predictions(out, luma, planes)
    _patterns(out, luma)
    _angles(out, fine)
    _dct(out, luma, planes.top, planes.left)
    _chroma(out, planes, frames)
    _contrast(out, luma, fine)
    return out


def _predictions(out: Numbers, luma: Tensor, planes: Planes) -> None:
    x = luma
    for scale in SCALES:
        if scale > 1:
            x = halve(x)
        weights, left = predict(x)
        out.add([f"predict.s{scale}.{y}_{d}" for y, d in NEIGHBOURS], weights)
        out.add(f"predict.s{scale}.left", left)
    names = [f"predict.chroma.{y}_{d}" for y, d in NEIGHBOURS] + ["predict.chroma.left"]
    if planes.chroma is None:
        out.zeros(names, luma.device)
        return
    weights, left = predict(planes.chroma[:, spread(planes.luma.shape[0], 2)].flatten(0, 1))
    out.add(names, torch.cat([weights, left.reshape(1)]))


def predict(x: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares prediction of a pixel from its neighbourhood's mirror sums; x: (N, H, W), H and W at least 8.

    Returns the eight weights (of the mean over each class of mirror images) and the log of the unpredicted share of the
    local variance. Every pixel counts inversely to the local variance, so that edges do not drown texture.
    """
    h, w = x.shape[-2:]

    def at(dy: int, dx: int) -> Tensor:
        return x[..., 2 + dy : h - 2 + dy, 2 + dx : w - 2 + dx]

    centre = at(0, 0)
    classes = []
    for dy, dx in NEIGHBOURS:
        places = sorted({(sy * dy, sx * dx) for sy in (1, -1) for sx in (1, -1)})
        total = at(*places[0])
        for place in places[1:]:
            total = total + at(*place)
        classes.append(total / len(places))
    # Differences to the centre's surroundings remove the mean without estimating it.
    base = (classes[0] + classes[1]) * 0.5
    target = centre - base
    weight = torch.rsqrt(box_mean((target * target).mean(dim=0), 3) + ROUNDING_VARIANCE)
    regressors = [((c - base) * weight).reshape(-1) for c in classes[1:]]
    stack = torch.stack([*regressors, (target * weight).reshape(-1)])
    gram = (stack @ stack.T).to(torch.float64) / stack.shape[1]
    a, b = gram[:-1, :-1], gram[:-1, -1]
    ridge = RIDGE * torch.eye(a.shape[0], dtype=a.dtype, device=a.device)
    solved = torch.linalg.solve(a + ridge, b)
    left = gram[-1, -1] - 2 * solved @ b + solved @ a @ solved
    # The weights of a prediction with free level sum to 1: the first class carries what the others leave.
    first = 1 - solved.sum()
    full = torch.cat([first.reshape(1), solved])
    return full, 0.5 * torch.log(left.clamp_min(0.0) + 1e-3)


@lru_cache(maxsize=8)
def _orbits(length: int, device: torch.device) -> tuple[Tensor, tuple[str, ...]]:
    """Index of each triple's class under reversal and change of sign, and each class's name."""
    symbols = range(-TRUNCATION, TRUNCATION + 1)
    classes: dict[tuple[int, ...], int] = {}
    index = []
    for word in product(symbols, repeat=length):
        images = (word, word[::-1], tuple(-s for s in word), tuple(-s for s in word[::-1]))
        index.append(classes.setdefault(min(images), len(classes)))
    names = tuple("".join(f"{s:+d}" for s in word) for word in classes)
    return torch.tensor(index, device=device), names


def _patterns(out: Numbers, luma: Tensor) -> None:
    across = luma[..., 1:] - luma[..., :-1]
    down = luma[..., 1:, :] - luma[..., :-1, :]
    second = across[..., 1:] - across[..., :-1]
    square = second[..., 2:, :] - 2 * second[..., 1:-1, :] + second[..., :-2, :]
    for kind, (along_x, along_y) in {"first": (across, down), "square": (square, square)}.items():
        names, counts = cooccurrence(along_x, along_y)
        out.add([f"pattern.{kind}.{n}" for n in names], torch.sqrt(counts))


def cooccurrence(along_x: Tensor, along_y: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """Relative frequencies of triples of the quantised residual, read along rows of the first, columns of the second.

    The quantiser's step is the mean absolute residual plus a quarter level. A triple, its reverse and its negative are
    one class.
    """
    step = 0.5 * (along_x.abs().mean() + along_y.abs().mean()) + 0.25
    symbols = 2 * TRUNCATION + 1
    index, names = _orbits(3, along_x.device)
    total = torch.zeros(len(names), dtype=torch.float64, device=along_x.device)
    for x, axis in ((along_x, -1), (along_y, -2)):
        q = torch.round(x / step).clamp(-TRUNCATION, TRUNCATION) + TRUNCATION
        n = q.shape[axis] - 2
        code = (q.narrow(axis, 0, n) * symbols + q.narrow(axis, 1, n)) * symbols + q.narrow(axis, 2, n)
        counts = torch.bincount(index[code.to(torch.int64).reshape(-1)], minlength=len(names)).to(torch.float64)
        total += counts / counts.sum()
    return names, total / 2


@lru_cache(maxsize=3)
def _angle_weights(h: int, w: int, device: torch.device) -> Tensor:
    """(bins, 15) weights of five directions (0 to 90 degrees, mirror images together) in three rings."""
    fy, fx = frequency_grid(h, w, device)
    radius = torch.sqrt(fx * fx + fy * fy)
    direction = (torch.atan2(fy, fx.clamp_min(1e-9)) / (math.pi / 2) * 4 + 0.5).long().clamp(0, 4)
    ring = (
        torch.bucketize(radius, torch.tensor([0.0625, 0.125, 0.25, 0.5], dtype=radius.dtype, device=device), right=True)
        - 1
    )
    index = torch.where((ring >= 0) & (ring < 3), ring * 5 + direction, -1)
    return band_weights(index, 15)


def _angles(out: Numbers, fine: Tensor) -> None:
    power = power_spectrum(fine).to(torch.float64)
    power = power / (power.mean() + 1e-6)
    means = power.reshape(-1) @ _angle_weights(fine.shape[-2], fine.shape[-1], fine.device)
    for ring in range(3):
        part = log_shape(means[5 * ring : 5 * ring + 5], 1e-2)
        out.add([f"angle.ring{ring}.{a}" for a in ("0", "22", "45", "67", "90")], part)


@lru_cache(maxsize=8)
def _cosines(device: torch.device) -> Tensor:
    """(64, 64) orthonormal 8 x 8 DCT-II: rows are pixels, columns coefficients (vertical frequency major)."""
    n = torch.arange(8, dtype=torch.float64)
    c = torch.cos((2 * n[:, None] + 1) * n[None, :] * math.pi / 16) * 0.5
    c[:, 0] = math.sqrt(1 / 8)
    return torch.einsum("iu,jv->ijuv", c, c).reshape(64, 64).to(torch.float32).to(device)


def _dct(out: Numbers, luma: Tensor, top: int, left: int) -> None:
    for grid, offset in (("on", 0), ("off", 4)):
        y, x = (offset - top) % 8, (offset - left) % 8
        part = luma[:, y:, x:]
        h, w = part.shape[-2] // 8 * 8, part.shape[-1] // 8 * 8
        blocks = part[:, :h, :w].reshape(-1, h // 8, 8, w // 8, 8).transpose(2, 3).reshape(-1, 64)
        coefficients = (blocks - blocks.mean(dim=1, keepdim=True)) @ _cosines(luma.device)
        size = coefficients.abs().mean(dim=0).to(torch.float64)
        square = (coefficients * coefficients).mean(dim=0).to(torch.float64)
        size, square = size.reshape(8, 8), square.reshape(8, 8)
        names, picked = [], []
        for u in range(8):
            for v in range(u, 8):
                if v:
                    names.append(f"{u}{v}")
                    picked.append((u, v))
        level = torch.stack([0.5 * (size[u, v] + size[v, u]) for u, v in picked])
        if grid == "on":
            out.add([f"dct.size.{n}" for n in names], log_shape(level, 0.05))
            skew = torch.stack(
                [torch.log((size[u, v] + 0.05) / (size[v, u] + 0.05)) for u, v in picked if u != v and u + v < 8]
            )
            out.add([f"dct.tilt.{n}" for n, (u, v) in zip(names, picked, strict=True) if u != v and u + v < 8], skew)
        ratio = torch.log((square + 0.02) / (size * size + 0.01))
        diagonals = torch.stack(
            [torch.stack([ratio[u, d - u] for u in range(max(0, d - 7), min(7, d) + 1)]).mean() for d in range(1, 15)]
        )
        out.add([f"dct.peaked_{grid}.{d}" for d in range(1, 15)], diagonals)


def _chroma(out: Numbers, planes: Planes, frames: list[int]) -> None:
    names = [f"chroma.{p}.{m}" for p in ("cb", "cr") for m in ("strength", "skew", "peaked", "spread", "flat")] + [
        "chroma.cb_cr"
    ]
    if planes.chroma is None or planes.fine_chroma is None:
        out.zeros(names, planes.luma.device)
        return
    half = planes.fine_half[frames]
    strength = torch.sqrt(mean_product(half, half) + ROUNDING_VARIANCE)
    contrast = planes.half[frames].to(torch.float64).std()
    some = planes.chroma[:, frames]
    values = []
    for plane, r in zip(some, planes.fine_chroma[:, frames], strict=True):
        square = r * r
        variance = mean_product(r, r)
        sigma = torch.sqrt(variance + 0.01)
        values += [
            torch.log(sigma / strength),
            mean_product(square, r) / sigma**3,
            torch.log((mean_product(square, square) + 0.01) / (variance + 0.01) ** 2 + 0.1),
            torch.log((plane.to(torch.float64).std() + 0.5) / (contrast + 0.5)),
            (r.abs() < 0.3).to(torch.float64).mean(),
        ]
    a, b = (p - p.mean() for p in (some[0], some[1]))
    values.append(mean_product(a, b) / torch.sqrt(mean_product(a, a) * mean_product(b, b) + 0.01))
    out.add(names, torch.stack(values))


def _contrast(out: Numbers, luma: Tensor, fine: Tensor, side: int = 16) -> None:
    """Patches ranked by their diagonal gradient: statistics of the richest third minus those of the poorest."""
    gradient = (luma[..., 1:, 1:] - luma[..., :-1, :-1]).abs()
    n, h, w = luma.shape
    rows, columns = (h - 4) // side, (w - 4) // side

    def patches(x: Tensor) -> Tensor:
        cut = x[..., : rows * side, : columns * side]
        return cut.reshape(n, rows, side, columns, side).transpose(2, 3).reshape(-1, side * side)

    rank = patches(gradient).mean(dim=1)
    order = torch.argsort(rank, stable=True)
    third = max(1, order.shape[0] // 3)
    cells = patches(fine).reshape(-1, side, side)
    statistics = []
    for part in (order[:third], order[-third:]):
        x = cells[part]
        energy = mean_product(x, x) + 0.01
        lags = [mean_product(*shifted(x, dy, dx)) / energy for dy, dx in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))]
        per_patch = (x * x).mean(dim=(1, 2)).to(torch.float64) + 0.01
        size = x.abs().mean(dtype=torch.float64)
        statistics.append(
            torch.stack(
                [
                    *lags,
                    torch.log((mean_product(x * x, x * x) + 0.01) / (energy * energy) + 0.1),
                    torch.log(size * size + 0.01) - torch.log(energy),
                    torch.log(per_patch).std(correction=0),
                    torch.log(energy),
                ]
            )
        )
    names = ("acf0_1", "acf1_0", "acf1_1", "acf0_2", "acf2_0", "peaked", "sparse", "uneven", "energy")
    poor, rich = statistics
    out.add([f"contrast.rich_poor.{m}" for m in names], rich - poor)
    out.add([f"contrast.poor.{m}" for m in names[:-1]], poor[:-1])
