"""Compiles a graph: prepare, fuse, choose walks, fold, pack, place, emit, predict; one pass a file."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from accel.compile.cost import stage_cycles
from accel.compile.emit import descriptor_values, emit, pool_values, too_large, walk_values
from accel.compile.fuse import Stage, fuse_pools
from accel.compile.pack import pack_weights
from accel.compile.parameters import Parameters, parameters
from accel.compile.place import LARGEST, Needs, check_buildable, check_fit, fitted, place, roomiest, smallest_depth
from accel.compile.prepare import is_trivial_pool, prepare
from accel.compile.program import LayerPlan, Program
from accel.compile.storage import weight_memory
from accel.compile.walks import Walk, walks
from accel.errors import FitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from accel.config import HardwareConfig
    from accel.ir import Graph
    from accel.tensor import TensorType


@dataclass(frozen=True)
class Lowered:
    """A stage with a walk. params: of one of the stage's walks; other walks differ in the bias only."""

    stage: Stage
    walk: Walk
    params: Parameters
    cycles: int
    needs: Needs


def compile_graph(graph: Graph, config: HardwareConfig) -> Program:
    """The Program that runs `graph` on a build of `config`.

    Raises UnsupportedError for a layer that the hardware does not have, RangeError for an accumulator that
    may overflow, FitError for a memory that is too small (with the option that helps). The result is
    deterministic.
    """
    return _assemble(graph, _choose(_candidates(graph, config), config), config)


def fit_config(graph: Graph, config: HardwareConfig, *, fastest: bool = False) -> HardwareConfig:
    """`config` with the smallest memory depths that hold `graph`.

    The weight bank gets the smallest depth at all, every layer's walk the fastest that this leaves room for; with
    `fastest` every layer gets its fastest walk that the descriptor can hold, and the memories what that takes.
    """
    candidates = _candidates(graph, config)
    if fastest:
        roomy = roomiest(config)
        chosen = [next((item for item in options if fits(item, roomy)), options[0]) for options in candidates]
        with _network_named(graph):
            return fitted([item.needs for item in chosen], config)
    least = sum(min(item.needs.weights for item in options) for options in candidates)
    weight_depth = min(smallest_depth("weight_depth", least), LARGEST["weight_depth"])
    roomy = replace(roomiest(config), weight_depth=weight_depth)
    with _network_named(graph):
        return fitted([item.needs for item in _choose(candidates, roomy)], config)


@contextmanager
def _network_named(graph: Graph) -> Iterator[None]:
    """A FitError inside gets the network's name."""
    try:
        yield
    except FitError as error:
        raise FitError(f"{graph.name}: {error}") from None


def _candidates(graph: Graph, config: HardwareConfig) -> list[list[Lowered]]:
    """The options of every stage."""
    layers = sum(not is_trivial_pool(layer) for layer in graph.layers)
    with _network_named(graph):  # a stage takes up a layer with weights and a pool
        check_buildable("max_layers", -(-layers // 2), "the layers of the program need")
    stages = fuse_pools(prepare(graph))
    with _network_named(graph):
        check_buildable("max_layers", len(stages), "the layers of the program need")
    return [
        stage_options(stage, config, first=index == 0, last=index == len(stages) - 1)
        for index, stage in enumerate(stages)
    ]


def stage_options(stage: Stage, config: HardwareConfig, *, first: bool, last: bool) -> list[Lowered]:
    """The possible lowerings of a stage, fastest first, fewer words among equals.

    first: it reads the input stream; last: it writes the output stream. Raises FitError where a field of the descriptor
    is too small for the stage on every build of this size.
    """
    in_words = words(stage.layer.input, config)
    _check_fields(stage, {"in_words": in_words} | pool_values(stage.pool), roomiest(config))
    possible = _possible(stage, walks(stage, config, from_stream=first), config)
    params = parameters(stage, possible[0], config)
    options = [_lower(stage, walk, params, config, first, last) for walk in possible]
    return sorted(options, key=lambda item: (item.cycles, item.needs.weights, item.needs.line))


def _check_fields(stage: Stage, values: Mapping[str, int], config: HardwareConfig) -> None:
    problem = too_large(values, config)
    if problem:
        raise FitError(f"{stage.name}: descriptor: {problem}; choose a larger array (rows, lanes) or a smaller layer")


def _possible(stage: Stage, options: Sequence[Walk], config: HardwareConfig) -> list[Walk]:
    """The walks that the largest build of this size holds; FitError that names the least that is needed."""
    largest = roomiest(config)
    possible = [walk for walk in options if _holds(walk, largest)]
    if not possible:
        least = min(options, key=lambda walk: walk.line_words)
        check_buildable("line_depth", least.line_words, f"{stage.name}: its rows in the line buffer need")
        _check_fields(stage, walk_values(least), largest)
    return possible


def _holds(walk: Walk, config: HardwareConfig) -> bool:
    return walk.line_words <= config.line_depth and too_large(walk_values(walk), config) is None


def _lower(stage: Stage, walk: Walk, params: Parameters, config: HardwareConfig, first: bool, last: bool) -> Lowered:
    in_words = words(stage.layer.input, config)
    cycles = stage_cycles(walk, params, in_words, config)
    pool = stage.output.width * params.pixel_groups if stage.pool is not None else 0
    needs = Needs(
        stage.name,
        walk.weight_words,
        params.pixel_groups,
        0 if first else in_words,
        0 if last else words(stage.output, config),
        walk.line_words,
        pool,
    )
    return Lowered(stage, walk, params, cycles, needs)


def words(tensor: TensorType, config: HardwareConfig) -> int:
    """Words of `lanes` bytes that a tensor takes."""
    return -(-tensor.stream_bytes // config.lanes)


def _choose(candidates: Sequence[Sequence[Lowered]], config: HardwareConfig) -> list[Lowered]:
    """The fastest lowering of every stage that fits the line buffer.

    While the weight bank is too small the stage that loses the fewest cycles by it takes fewer weights.
    Where nothing fits the smallest is taken, so that the error names the least that is needed.
    """
    usable = [
        [item for item in options if fits(item, config)] or [min(options, key=lambda item: item.needs.line)]
        for options in candidates
    ]
    chosen = [options[0] for options in usable]
    while sum(item.needs.weights for item in chosen) > config.weight_depth:
        savings = []
        for index, options in enumerate(usable):
            smaller = [item for item in options if item.needs.weights < chosen[index].needs.weights]
            if smaller:
                savings.append((smaller[0].cycles - chosen[index].cycles, index, smaller[0]))
        if not savings:
            break
        _, index, item = min(savings, key=lambda saving: saving[:2])
        chosen[index] = item
    return chosen


def fits(item: Lowered, config: HardwareConfig) -> bool:
    """The line buffer holds it, and so do the descriptor's fields."""
    return _holds(item.walk, config)


def _assemble(graph: Graph, lowered: Sequence[Lowered], config: HardwareConfig) -> Program:
    needs = [item.needs for item in lowered]
    with _network_named(graph):
        check_fit(needs, config)
    plans, descriptors = [], []
    table = [parameters(item.stage, item.walk, config) for item in lowered]
    for index, (item, where) in enumerate(zip(lowered, place(needs, config), strict=True)):
        first, last = index == 0, index == len(lowered) - 1
        stage, walk = item.stage, item.walk
        in_words = words(stage.layer.input, config)
        values = descriptor_values(stage, walk, item.params, where, in_words, config, first=first, last=last)
        descriptors.append(emit(stage, values, config))
        plans.append(
            LayerPlan(
                name=stage.name,
                output_name=stage.output_name,
                op=stage.layer.op,
                walk=walk.kind,
                predicted_cycles=item.cycles,
                mac_count=stage.macs,
                weight_base=where.weight_base,
                weight_words=walk.weight_words,
                param_base=where.param_base,
                param_groups=item.params.pixel_groups,
                in_base=where.in_base,
                in_words=in_words,
                out_base=where.out_base,
                out_words=words(stage.output, config),
                line_words=walk.line_words,
                pool_entries=item.needs.pool,
                input=stage.layer.input,
                output=stage.output,
                precision=walk.precision,
                weight_memory=weight_memory(stage.layer, walk, config),
            )
        )
    columns = [np.concatenate([getattr(params, name) for params in table]) for name in ("bias", "multiplier", "shifts")]
    return Program(
        config=config,
        graph_name=graph.name,
        layers=tuple(plans),
        descriptors=np.stack(descriptors),
        weights=np.concatenate([pack_weights(item.walk, config) for item in lowered]),
        bias=columns[0].astype(np.int32),
        multiplier=columns[1].astype(np.uint32),
        shifts=columns[2].astype(np.uint32),
    )
