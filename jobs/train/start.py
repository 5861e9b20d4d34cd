"""Weights to start a small VAE from: a linear block codec, written into the layers that every picture passes.

A short training from random weights stays blurred, since nearest-neighbour up-sampling and a convolution must first
learn the places within a cell. So residual branches begin silent, and the layers of the plain chain are solved one
after the other, in the order in which they run, by ridge regression from what arrives there to the principal components
of the blocks that a place of that level stands for (Karhunen-Loeve transform; layer by layer after Bengio et al. 2007,
"Greedy Layer-Wise Training of Deep Networks"). From there gradient descent trains all of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from jobs.train.classes import Autoencoder
from jobs.train.levels import Levels, cells, fill, lay_out, one_after_the_other
from jobs.train.solve import regress, rows_for, rows_of

# The layers of the plain chain, by the names that `diffusers` gives them in all of its VAE classes.
_CHAIN = re.compile(
    r"(^|\.)(conv_in|conv_out|temp_conv_in|temp_conv_out|quant_conv|post_quant_conv|proj_in|proj_out|proj|time_conv"
    r"|time_conv_out|resample\.1|conv_shortcut|shortcut|(down|up)samplers?(\.\d+)?\.conv|layers\.\d+"
    r"|down_blocks\.\d+\.conv_in)(\.conv)?(\.conv)?$"
)
_LATENT = re.compile(r"(encoder\.(conv_out(\.conv)?|proj_out)|quant_conv)$")
_BRANCH_ENDS = ("to_out.0", "attentions.0.proj")
_STRAIGHT = 2.4  # the inflection of SiLU, about which it bends least: the bias of norms in the plain chain
_LEAST_VIDEOS = 8
_LATENT_SCALE_TINY = 0.3  # AutoencoderTiny squashes its latents beyond 3
_RECTIFIED = 4.0  # AutoencoderTiny's blocks end in a ReLU: what passes them must be positive

# What arrived at a layer, call by call, and the shape that left it.
Heard = list[tuple[Tensor, tuple[int, ...]]]


def start(model: Autoencoder, video: Tensor, seed: int) -> list[str]:
    """Writes the codec into ``model`` and names what stays silent: the residual blocks of its coarsest level, which
    would be most of the weights and change little, and attention: what it learns of 36 places goes wrong on 1,024.

    video: (B, T, 3, H, W) of camera footage in -1..1, T frames that the class takes without padding.
    """
    model.eval()
    net = model.net
    tiny = type(net).__name__ == "AutoencoderTiny"
    with torch.no_grad():
        _silence(net)
        levels = Levels(video, model.frames[1] != 0, torch.Generator().manual_seed(seed))
        layers = {name: layer for name, layer in net.named_modules() if _in_chain(name, layer)}
        places = _places(model, layers, video)
        last = [name for name in places if not name.endswith("time_conv_out")][-1]
        for name, count in places.items():
            layer: Any = layers[name]
            if name.endswith("time_conv_out"):
                _pass_through(layer)
                continue
            levels.count = min(len(video), max(_LEAST_VIDEOS, -(-rows_for(layer) // count)))
            with _listening({name: layer}) as heard:
                model(video[: levels.count])
            arrived = torch.cat([rows_of(layer, got, levels.count) for got, _ in heard[name]], dim=1)
            wanted = _wanted(name, layer, net, levels, arrived.shape, name == last, tiny)
            regress(layer, arrived.flatten(0, 3), wanted.flatten(0, 3), levels.rng)
    blocks, attentions = _coarse_blocks(model, video), _attentions(net)
    with torch.no_grad():
        for name in [*attentions, *(f"{block}.conv1" for block in blocks)]:
            _clear(net.get_submodule(name))
    return [*blocks, *attentions]


def _attentions(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if hasattr(module, "to_q") or hasattr(module, "to_qkv")]


def _in_chain(name: str, layer: nn.Module) -> bool:
    known = isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear)
    return known and _CHAIN.search(name) is not None and "norm" not in name and "attentions" not in name


def _silence(net: nn.Module) -> None:
    for name, module in net.named_modules():
        found: Any = module
        if hasattr(module, "conv1") and hasattr(module, "conv2"):
            branch = getattr(found, "conv4", found.conv2)
            _clear(branch[-1] if isinstance(branch, nn.Sequential) else branch)
        elif type(module).__name__ == "AutoencoderTinyBlock":
            _clear(found.conv[-1])
        elif name.endswith((*_BRANCH_ENDS, ".conv_y.conv", ".conv_b.conv")):
            _clear(module)
            if name.endswith(".conv_y.conv"):  # CogVideoX multiplies its norms by something made of the latent
                found.bias.fill_(1.0)
        if re.search(r"norm_out(\.norm_layer)?$", name) and isinstance(getattr(found, "bias", None), nn.Parameter):
            found.bias.fill_(_STRAIGHT)


def _clear(module: nn.Module) -> None:
    for weights in module.parameters():
        weights.zero_()


def _pass_through(layer: Any) -> None:
    _clear(layer)
    for channel in range(layer.out_channels):
        layer.weight[channel, channel, layer.weight.shape[2] // 2] = 1


@contextmanager
def _listening(layers: dict[str, nn.Module]) -> Iterator[dict[str, Heard]]:
    """Hears what arrives at the multiplication itself, after each class's own padding and caching."""
    heard: dict[str, Heard] = {}
    undo: list[Callable[[], object]] = []

    def hear(name: str, got: Tensor, out: Tensor) -> None:
        # Anew at the end: a class that goes through a film in chunks may first run a layer in the second one.
        heard[name] = [*heard.pop(name, []), (got, tuple(out.shape))]

    def attach(name: str, layer: Any) -> Callable[[], object]:
        if isinstance(layer, nn.Linear):
            remove: Callable[[], object] = layer.register_forward_hook(
                lambda _, got, out: hear(name, got[0], out)
            ).remove
            return remove
        plain = layer._conv_forward

        def record(got: Tensor, *rest: Any) -> Any:
            out = plain(got, *rest)
            hear(name, got, out)
            return out

        layer._conv_forward = record
        return lambda: layer.__dict__.pop("_conv_forward")

    try:
        for name, layer in layers.items():
            undo.append(attach(name, layer))
        yield heard
    finally:
        for back in undo:
            back()


def _places(model: Autoencoder, layers: dict[str, nn.Module], video: Tensor) -> dict[str, int]:
    """How many places of its output one video gives each layer, in the order in which they run."""
    with _listening(layers) as heard:
        model(video[:1])
    found = {}
    for name, answers in heard.items():
        channels = -1 if isinstance(layers[name], nn.Linear) else 1
        found[name] = sum(math.prod(shape) // shape[channels] for _, shape in answers)
    return found


def _wanted(
    name: str, layer: Any, net: nn.Module, levels: Levels, arrived: tuple[int, ...], last: bool, tiny: bool
) -> Tensor:
    """(B, T, H, W, outputs): what the layer shall answer at every place."""
    outputs: int = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    frames, reach = arrived[1], levels.height // arrived[2]
    if last:
        pixels = levels.blocks(reach, frames)[..., :outputs]
        return (pixels + 1) / 2 if tiny else pixels
    if name.endswith("time_conv"):
        # Wan's first frame goes past it; in the decoder the answer is two frames, one after the other in the channels.
        times = 2 if "decoder" in name else 1
        later = levels.components(reach, 1 + times * frames)[:, 1:]
        return one_after_the_other(lay_out(later, outputs // times), frames)
    if name.endswith(".proj"):
        block: Any = net.get_submodule(name.rpartition(".")[0])
        times = int(block.temporal_expansion)
        finer = levels.components(reach // 2, frames * times)
        return cells(lay_out(finer, outputs // (4 * times)), frames, times)
    components = levels.components(reach, frames)
    if tiny:
        # The encoder's last layer keeps the size; its first takes three channels, the others halve it.
        latent = name.startswith("encoder") and layer.stride == (1, 1) and layer.in_channels != 3
        return fill(components, outputs) * _LATENT_SCALE_TINY if latent else fill(components, outputs) + _RECTIFIED
    return fill(components, outputs) if _LATENT.search(name) else lay_out(components, outputs)


def _coarse_blocks(model: Autoencoder, video: Tensor) -> list[str]:
    coarsest = video.shape[-1] // model.stride[0]
    found: set[str] = set()

    def note(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            if (out[0] if isinstance(out, tuple) else out).shape[-1] <= coarsest:
                found.add(name)

        return hook

    blocks = (
        (name, module)
        for name, module in model.net.named_modules()
        if hasattr(module, "conv1") and hasattr(module, "conv2") and not hasattr(module, "conv4")
    )
    hooks = [module.register_forward_hook(note(name)) for name, module in blocks]
    with torch.no_grad():
        model(video[:1])
    for hook in hooks:
        hook.remove()
    return sorted(found)
