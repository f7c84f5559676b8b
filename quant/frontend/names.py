"""What a node of a captured graph is called: in messages by the user's own layer, in the network by a safe name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Container

    from torch.fx import Node

READABLE = (
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.ReLU6,
    nn.Hardtanh,
    nn.Threshold,
    nn.LeakyReLU,
    nn.MaxPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.ZeroPad2d,
    nn.ConstantPad2d,
    nn.Softmax,
    nn.LogSoftmax,
    nn.Sigmoid,
    nn.LogSigmoid,
)
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.DataParallel)
LONGEST = 56
WRAPPERS = re.compile(r"(^|\.)_orig_mod(?=\.|$)")


class Names:
    """Names of the nodes of one captured graph. module: the nn.Module that it was captured from."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def unit(self, node: Node) -> tuple[str, nn.Module] | None:
        """(path, module) of the outermost layer of torch.nn that the node belongs to, or None: what happens inside
        an LSTM is an LSTM."""
        for path, _ in (node.meta.get("nn_module_stack") or {}).values():
            path = path.partition("@")[0]
            module = self._find(path)
            if module is not None and is_torch_layer(module):
                return path, module
        return None

    def label(self, node: Node) -> str:
        """`features.0 (Conv2d)`, or `block.add (function add)` for an operator of the user's own forward."""
        unit = self.unit(node)
        if unit is not None:
            return f"{clean(unit[0]) or 'network'} ({type(unit[1]).__name__})"
        paths = [path.partition("@")[0] for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
        path = clean(paths[-1]) if paths else ""
        return f"{path + '.' if path else ''}{node.name} (function {operator(node)})"

    def base(self, node: Node, source: str) -> str:
        """The name that a layer of this node would like: its module's path, else that of its weight's owner (`source`
        is the weight's dotted name), else the operator's."""
        unit = self.unit(node)
        owner = source.partition(".parametrizations")[0] if ".parametrizations" in source else source.rpartition(".")[0]
        return (clean(unit[0]) if unit else "") or clean(owner) or node.name

    def _find(self, path: str) -> nn.Module | None:
        try:
            return self.module.get_submodule(path)
        except AttributeError:  # a path of an inlined subgraph
            return None


def is_torch_layer(module: nn.Module) -> bool:
    """True for a layer of torch.nn and the user's own subclasses of one; containers are none."""
    kinds = [kind for kind in type(module).__mro__ if kind.__module__.startswith(("torch.nn.", "torch.ao."))]
    return bool(kinds) and kinds[0] is not nn.Module and not isinstance(module, CONTAINERS)


def clean(path: str) -> str:
    """The path without what torch.compile adds to it."""
    return WRAPPERS.sub("", path).strip(".")


def operator(node: Node) -> str:
    """The operator's plain name: relu for aten.relu_.default."""
    schema = getattr(node.target, "_schema", None)
    name = schema.name.partition("::")[2] if schema else getattr(node.target, "__name__", str(node.target))
    return name.rstrip("_") or name


def safe(base: str, used: Container[str]) -> str:
    """A layer name of letters, digits and '_' that begins with a letter and is not among `used`; for file names."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", base)
    if not base[:1].isalpha() or base == "input":
        base = f"layer_{base}"
    name, number = base[:LONGEST], 2
    while name in used:
        name, number = f"{base[:LONGEST]}_{number}", number + 1
    return name
