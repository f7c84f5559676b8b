"""What every choice of widths costs a layer on a build: the tables that a search over precisions reads.

A layer's cycles depend on the widths of its input, its weights and its output, and on nothing else of the network, as
long as every layer gets its fastest walk; so a table per layer over these three gives the cost of every mixed network.
The figures are those of `compile_graph`: the same passes, walks and predictions make them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from accel.compile.energy import stage_energy_pj
from accel.compile.fuse import Stage, fuse_pools
from accel.compile.lower import fits, stage_options
from accel.compile.place import roomiest
from accel.compile.prepare import prepare
from accel.compile.storage import weight_memory
from accel.errors import FitError, ModelError
from accel.tensor import Requantize, TensorType, Threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from accel.config import HardwareConfig
    from accel.ir import Graph, Layer, WeightedLayer

SHIFT = 30
Widths: TypeAlias = tuple[int, int, int]  # bits of a layer's input, weights and output
Choices: TypeAlias = Iterable[int | Iterable[int]]  # for all layers, or one for each
PlacedStage: TypeAlias = tuple[Stage, bool, bool]  # whether it is the first, the last


@dataclass(frozen=True)
class LayerCost:
    """Cost of a layer with weights, the pools behind it and what the compiler inserts before them.

    cycles: from start to start of the next layer. weight_words, bank_bytes: of the weight bank. wire_bytes: what the
    host sends for them. file_bytes: the weights in their own width. energy_pj: the estimate of accel/compile/energy.py.
    """

    cycles: int
    weight_words: int
    bank_bytes: int
    wire_bytes: int
    file_bytes: int
    energy_pj: float

    def __add__(self, other: LayerCost) -> LayerCost:
        return LayerCost(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


ZERO = LayerCost(0, 0, 0, 0, 0, 0.0)


@dataclass(frozen=True)
class CostTables:
    """layers: names of the layers with weights. tables: per layer {(input, weight, output bits): LayerCost}, without
    those that the build cannot run. fixed: cost of what stands before the first layer with weights. input_bits,
    output_bits: widths of the network's ends. refusals: per layer why a combination is missing."""

    config: HardwareConfig
    layers: tuple[str, ...]
    tables: tuple[Mapping[Widths, LayerCost], ...]
    fixed: LayerCost
    input_bits: int
    output_bits: int
    refusals: tuple[Mapping[Widths, str], ...]

    def total(self, weight_bits: Sequence[int], activation_bits: Sequence[int]) -> LayerCost:
        """LayerCost of the network with these widths: one per layer, and per layer but the last.

        Raises FitError where the build cannot run a layer so, or where the weight bank is too small.
        """
        edges = (self.input_bits, *activation_bits, self.output_bits)
        if len(weight_bits) != len(self.layers) or len(edges) != len(self.layers) + 1:
            raise ModelError(
                f"{len(weight_bits)} weight and {len(activation_bits)} activation widths do not fit "
                f"{len(self.layers)} layers; give one per layer, and one per layer but the last"
            )
        cost = self.fixed
        for name, table, refusals, key in zip(
            self.layers, self.tables, self.refusals, zip(edges, weight_bits, edges[1:], strict=False), strict=True
        ):
            if key not in table:
                raise FitError(refusals.get(key, f"{name}: (input, weight, output) bits {key} are not in the tables"))
            cost += table[key]
        if cost.weight_words > self.config.weight_depth:
            raise FitError(
                f"the fastest walks need {cost.weight_words} words of weights but weight_depth is "
                f"{self.config.weight_depth}; raise it"
            )
        return cost


def roomy(config: HardwareConfig, fixed: Iterable[str] = ()) -> HardwareConfig:
    """`config` with the largest depths that can be built, but for the options in `fixed`: no choice is left out for
    want of memory."""
    return replace(roomiest(config), **{name: getattr(config, name) for name in fixed})


def weighted_layers(graph: Graph) -> list[WeightedLayer]:
    """The layers with weights."""
    return [layer for layer in graph.layers if layer.op != "maxpool"]


def with_widths(graph: Graph, weight_bits: Sequence[int], activation_bits: Sequence[int]) -> Graph:
    """A graph of the same shapes with other widths and without meaning: for the compiler's figures only.

    weight_bits: one per layer with weights; activation_bits: one per such layer but the last. Weights are 0 (1 bit:
    -1 and +1 in turn). The network's input and output keep their widths, zero points that are not 0 stay so.
    """
    layers: list[Layer] = []
    tensor, index = graph.input, 0
    count = len(weighted_layers(graph))
    if len(weight_bits) != count or len(activation_bits) != count - 1:
        raise ModelError(
            f"{graph.name}: {len(weight_bits)} weight and {len(activation_bits)} activation widths do "
            f"not fit {count} layers with weights; give one per layer, and one per layer but the last"
        )
    for layer in graph.layers:
        if layer.op == "maxpool":
            output = replace(layer.output, bits=tensor.bits, scale=tensor.scale, zero_point=tensor.zero_point)
            layers.append(replace(layer, input=tensor, output=output))
        else:
            bits = layer.output.bits if index == count - 1 else activation_bits[index]
            layers.append(_stand_in(layer, tensor, bits, weight_bits[index]))
            index += 1
        tensor = layers[-1].output
    return replace(graph, layers=tuple(layers), notes={})


def _stand_in(layer: WeightedLayer, source: TensorType, output_bits: int, weight_bits: int) -> WeightedLayer:
    channels = layer.output.channels
    nothing = np.zeros(channels, dtype=np.int64)
    weights = np.zeros(layer.weights.shape, dtype=np.int64)
    if weight_bits == 1:
        weights = (np.arange(weights.size) % 2 * 2 - 1).reshape(weights.shape)
    output = _output(layer.output, output_bits)
    rule: Requantize | Threshold | None = None
    if output.bits == 1:
        rule = Threshold(nothing, nothing.astype(bool))
    elif layer.requantize is not None:
        rule = Requantize("half_up", nothing + 2**SHIFT, nothing + SHIFT, *output.qrange)
    return replace(
        layer,
        input=source,
        output=output,
        weights=weights,
        weight_bits=weight_bits,
        bias=nothing,
        requantize=rule,
        notes={},
    )


def _output(tensor: TensorType, bits: int) -> TensorType:
    """The tensor type with other bits; the smallest zero point stays the smallest, others stay not 0."""
    if bits == tensor.bits:
        return tensor
    if bits == 1:
        return replace(tensor, bits=1, scale=1.0, zero_point=0)
    low = TensorType(1, 1, 1, bits, 1.0, 0).qrange[0]
    smallest = tensor.bits > 1 and tensor.zero_point == tensor.qrange[0]
    zero_point = low if smallest else -1 if tensor.zero_point else 0
    return replace(tensor, bits=bits, scale=tensor.scale, zero_point=zero_point)


def cost_tables(
    graph: Graph,
    config: HardwareConfig,
    weight_bits: Choices,
    activation_bits: Choices,
    advance: Callable[[], None] = lambda: None,
) -> CostTables:
    """The CostTables of a network's shapes on a build.

    graph: any graph of these shapes. weight_bits, activation_bits: the widths to choose from, or one such list per
    layer (per layer but the last). advance is called once per graph that is looked at. Raises FitError where a layer
    has no choice left.
    """
    names = [layer.name for layer in weighted_layers(graph)]
    weights, activations = _per_layer(weight_bits, len(names)), _per_layer(activation_bits, len(names) - 1)
    input_bits, output_bits = graph.input.bits, graph.output.bits
    edges = [(input_bits,), *activations, (output_bits,)]
    wanted = [set(product(edges[index], weights[index], edges[index + 1])) for index in range(len(names))]
    tables: list[dict[Widths, LayerCost]] = [{} for _ in names]
    refusals: list[dict[Widths, str]] = [{} for _ in names]
    fixed = ZERO
    while any(wanted):
        chosen = _cover(wanted)
        candidate = with_widths(graph, [key[1] for key in chosen], [key[2] for key in chosen[:-1]])
        groups = _groups(candidate, names)
        fixed = _group_cost(groups[0], config) if groups[0] else ZERO
        for index, key in enumerate(chosen):
            if key in wanted[index]:
                wanted[index].remove(key)
                try:
                    tables[index][key] = _group_cost(groups[index + 1], config)
                except FitError as error:
                    refusals[index][key] = str(error)
        advance()
    for name, table, reasons in zip(names, tables, refusals, strict=True):
        if not table:
            raise FitError(f"{graph.name}: no choice of widths is left for {name}: {next(iter(reasons.values()))}")
    return CostTables(config, tuple(names), tuple(tables), fixed, input_bits, output_bits, tuple(refusals))


def _per_layer(values: Choices, count: int) -> list[tuple[int, ...]]:
    """One tuple of widths per layer; a plain list stands for all of them."""
    values = tuple(values)
    shared = tuple(value for value in values if isinstance(value, int))
    if len(shared) == len(values):
        return [shared] * count
    lists = [tuple(value) for value in values if not isinstance(value, int)]
    if len(lists) != count:
        raise ModelError(f"{len(lists)} lists of widths do not fit {count} layers; give one list, or one per layer")
    return lists


def _cover(wanted: Sequence[set[Widths]]) -> list[Widths]:
    """One key per layer, neighbours agreeing on the edge between them, with at least one key that is wanted."""
    start = next(index for index, keys in enumerate(wanted) if keys)
    chosen = {start: min(wanted[start], key=_order)}
    for index in range(start + 1, len(wanted)):
        chosen[index] = _matching(wanted[index], 0, chosen[index - 1][2])
    for index in range(start - 1, -1, -1):
        chosen[index] = _matching(wanted[index], 2, chosen[index + 1][0])
    return [chosen[index] for index in range(len(wanted))]


def _order(key: Widths) -> tuple[int, ...]:
    return tuple(-bits for bits in key)


def _matching(keys: set[Widths], side: int, bits: int) -> Widths:
    """A wanted key with these bits on a side; where none is left one of 8 bits that has them."""
    found = [key for key in keys if key[side] == bits]
    return min(found, key=_order) if found else ((bits, 8, 8) if side == 0 else (8, 8, bits))


def _groups(graph: Graph, names: Collection[str]) -> list[list[PlacedStage]]:
    """Stages by layer with weights: those before the first one, then each one's; with first, last."""
    stages = fuse_pools(prepare(graph))
    groups: list[list[PlacedStage]] = [[]]
    for index, stage in enumerate(stages):
        if stage.name in names:
            groups.append([])
        groups[-1].append((stage, index == 0, index == len(stages) - 1))
    return groups


def _group_cost(stages: Iterable[PlacedStage], config: HardwareConfig) -> LayerCost:
    cost = ZERO
    for stage, first, last in stages:
        cost += stage_cost(stage, config, first=first, last=last)
    return cost


def stage_cost(stage: Stage, config: HardwareConfig, *, first: bool, last: bool) -> LayerCost:
    """LayerCost of a stage with its fastest walk that fits the line buffer.

    Raises FitError where the build has no such walk, or where the activation or pooling memory is too small.
    """
    options = [item for item in stage_options(stage, config, first=first, last=last) if fits(item, config)]
    if not options:
        raise FitError(f"{stage.name}: no walk fits line_depth={config.line_depth}; raise it")
    best = options[0]
    for need, option in ((best.needs.in_words + best.needs.out_words, "act_depth"), (best.needs.pool, "pool_depth")):
        if need > getattr(config, option):
            raise FitError(f"{stage.name}: needs {need} of {option} but it is {getattr(config, option)}; raise it")
    memory = weight_memory(stage.layer, best.walk, config)
    bits = stage.layer.weights.size * stage.layer.weight_bits
    in_words, out_words = (-(-tensor.stream_bytes // config.lanes) for tensor in (stage.layer.input, stage.output))
    return LayerCost(
        best.cycles,
        best.needs.weights,
        memory.bank_bytes,
        memory.wire_bytes,
        -(-bits // 8),
        stage_energy_pj(stage, best.walk, in_words, out_words, config),
    )
