"""A module made of fixed-point layers, read as a chain of groups: one layer with weights and what follows it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import fx, nn
from torch.nn import functional

from accel.errors import UnsupportedError
from quant.frontend.floatnet import NO_CLAMP, FloatPool
from quant.qfx.elementwise import FixedBatchNorm, FixedElementwise
from quant.qfx.layers import FixedConv2d, FixedInput, FixedLinear, FixedMaxPool
from quant.qfx.quantizer import FixedQuantizer, SignQuantizer

WEIGHTED = (FixedConv2d, FixedLinear)
AFFINE = (FixedElementwise, FixedBatchNorm)
CASTS = (FixedQuantizer, SignQuantizer)
LEAVES = (*WEIGHTED, *AFFINE, *CASTS, FixedInput, FixedMaxPool)
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
SUPPORTED = (
    "FixedInput, FixedConv2d, FixedLinear, FixedElementwise, FixedBatchNorm, FixedQuantizer (last), ReLU, "
    "ReLU6, Hardtanh, MaxPool2d, Flatten, Dropout"
)


@dataclass(eq=False)
class Group:
    """A layer with weights, its element-wise layer, the clamp of its result and the pools behind it, in order.

    output: the cast of the result (the input cast of the next group), None for exact sums. flattens: whether the
    input is flattened in front of it.
    """

    name: str
    layer: FixedConv2d | FixedLinear
    affine: FixedElementwise | FixedBatchNorm | None = None
    clamp: tuple[float, float] = NO_CLAMP
    pools: list[FloatPool] = field(default_factory=list)
    output: FixedQuantizer | SignQuantizer | None = None
    flattens: bool = False


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def read_chain(module: nn.Module, name: str = "network") -> tuple[FixedInput, list[Group]]:
    """(FixedInput, list of Groups) of a module. Raises UnsupportedError for anything else, by name."""
    try:
        graph = _Tracer().trace(module)
    except Exception as error:  # the user's own forward runs here and may raise anything
        raise UnsupportedError(
            f"{name}: torch.fx cannot trace {type(module).__name__} ({error}); give a plain chain of layers"
        ) from error
    return _Reader(module, name).read(graph)


class _Reader:
    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name
        self.first: FixedInput | None = None
        self.groups: list[Group] = []
        self.flat = self.done = False

    def read(self, graph: fx.Graph) -> tuple[FixedInput, list[Group]]:
        previous = None
        for node in graph.nodes:
            if node.op == "placeholder":
                if previous is not None:
                    raise UnsupportedError(f"{self.name}: has several inputs; give a network with one image input")
                previous = node
                continue
            if node.op == "get_attr" or node.all_input_nodes != [previous]:
                raise UnsupportedError(
                    f"{self.name}: {node} does not read the layer before it alone; only a chain of "
                    "layers is exported, remove branches and free parameters"
                )
            if node.op == "output":
                break
            self._take(node)
            previous = node
        if self.first is None or not self.groups:
            raise UnsupportedError(
                f"{self.name}: starts without FixedInput or holds no layer with weights; put FixedInput() first"
            )
        return self.first, self.groups

    def _take(self, node: fx.Node) -> None:
        is_module = node.op == "call_module"
        label = str(node.target) if is_module else node.name
        part = self.module.get_submodule(label) if is_module else _as_module(node)
        if part is None:
            raise UnsupportedError(f"{self.name}: {label} ({node.op} {node.target}) is not supported; use {SUPPORTED}")
        if self.done:
            raise UnsupportedError(
                f"{label}: stands behind the last cast; a cast that is a layer of its own ends the "
                "network, the others belong to the layers"
            )
        if isinstance(part, FixedInput):
            if self.first is not None or self.groups:
                raise UnsupportedError(f"{label}: FixedInput must be the first layer, once")
            self.first = part
        elif isinstance(part, NOTHING):
            return
        elif isinstance(part, nn.Flatten):
            self.flat = True
        elif isinstance(part, WEIGHTED):
            self._weighted(part, label)
        else:
            if not self.groups:
                raise UnsupportedError(
                    f"{label}: no layer with weights stands in front of it, so the accelerator has no place for it"
                )
            self._behind(part, label, self.groups[-1])

    def _weighted(self, part: FixedConv2d | FixedLinear, label: str) -> None:
        if self.groups:
            if part.input is None:
                raise UnsupportedError(f"{label}: takes exact sums as its input; give it an input_width")
            self.groups[-1].output = part.input
        elif self.first is None or part.input is not None or part.source is None or part.source[0] is not self.first:
            raise UnsupportedError(
                f"{label}: the first layer must read the image as it is; call "
                ".reads(FixedInput) with the network's first layer"
            )
        self.groups.append(
            Group(
                label.replace(".", "_") if label[0].isalpha() else f"layer{label.replace('.', '_')}",
                part,
                flattens=self.flat,
            )
        )

    def _behind(self, part: nn.Module, label: str, group: Group) -> None:
        if isinstance(part, AFFINE):
            if part.before is None or part.before[0] is not group.layer:
                raise UnsupportedError(
                    f"{label}: casts its input; the accelerator multiplies exact sums, so give it behind={group.name}"
                )
            if part.output is not None or group.affine or group.pools or group.clamp != NO_CLAMP:
                raise UnsupportedError(
                    f"{label}: an element-wise layer is exported directly behind its layer, once "
                    "and without an output cast (the next layer's input cast is the accelerator's)"
                )
            group.affine = part
        elif isinstance(part, nn.MaxPool2d):
            group.pools.append(_pool(part, label))
        elif isinstance(part, FixedMaxPool):
            group.pools.append(part.pool)
        elif isinstance(part, CASTS):
            group.output, self.done = part, True
        else:
            low, high = _bounds(part, label)
            group.clamp = max(group.clamp[0], low), min(group.clamp[1], high)


def _bounds(part: nn.Module, label: str) -> tuple[float, float]:
    if isinstance(part, nn.ReLU6):
        return 0.0, 6.0
    if isinstance(part, nn.ReLU):
        return 0.0, math.inf
    if isinstance(part, nn.Hardtanh):
        return float(part.min_val), float(part.max_val)
    raise UnsupportedError(f"{label}: {type(part).__name__} is not supported; use {SUPPORTED}")


def _pool(part: nn.MaxPool2d, label: str) -> FloatPool:
    if part.dilation not in (1, (1, 1)) or part.ceil_mode or part.return_indices:
        raise UnsupportedError(f"{label}: only max pools without dilation, ceil_mode and indices are exported")
    kernel, stride, padding = (
        value if isinstance(value, tuple) else (value, value) for value in (part.kernel_size, part.stride, part.padding)
    )
    name = label.replace(".", "_") if label[0].isalpha() else f"pool{label.replace('.', '_')}"
    return FloatPool(name, kernel, stride, (padding[0], padding[0], padding[1], padding[1]))


def _as_module(node: fx.Node) -> nn.Module | None:
    """The module that a function or method call stands for, None for an unknown one."""
    if node.op == "call_function" and node.target in (functional.relu, torch.relu):
        return nn.ReLU()
    if node.op == "call_function" and node.target is torch.flatten and (*node.args[1:], *node.kwargs.values()) == (1,):
        return nn.Flatten()
    if node.op == "call_method" and node.target == "relu":
        return nn.ReLU()
    if node.op == "call_method" and node.target == "flatten" and node.args[1:] == (1,):
        return nn.Flatten()
    return None
