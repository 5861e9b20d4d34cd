"""What long tags tell of a file's making, picked out before they are cut: node graphs.

ComfyUI writes the graph that made a video into its comment, as JSON of any length: the node classes and model files in
it name the generator better than anything else an untouched download has. It is not parsed as JSON, which may be cut,
nested to exhaustion, or escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MAX_SCANNED = 1 << 20  # characters of one tag
MOST = 24  # names that are told
_NODE = re.compile(r'"class_type\\*"\s*:\s*\\*"([^"\\]{1,80})')
_MODEL = re.compile(r'"([^"\n]{1,160}?\.(?:safetensors|ckpt|pth|pt|gguf|bin|onnx))\\*"')
_GRAPH_KEYS = ("comment", "prompt", "workflow", "description", "parameters", "synopsis", "title")


def tag_facts(tags: Mapping[str, str]) -> dict[str, str]:
    """workflow_nodes, workflow_models: of a node graph; {} where no tag holds one. Keys of ``tags``: lower case."""
    nodes: list[str] = []
    models: list[str] = []
    for key in _GRAPH_KEYS:
        text = tags.get(key, "")[:MAX_SCANNED]
        if "class_type" in text:
            nodes += _NODE.findall(text)
            models += (re.split(r"[\\/]", found)[-1] for found in _MODEL.findall(text))
    told = {"workflow_nodes": _once(nodes), "workflow_models": _once(models)}
    return {name: value for name, value in told.items() if value}


def _once(names: Iterable[str]) -> str:
    return ", ".join(list(dict.fromkeys(names))[:MOST])
