"""The whole search: cost tables, sensitivities, the integer program, its best choices measured, the Pareto front."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from accel.compile import compile_graph, fit_config
from accel.compile.choices import cost_tables, weighted_layers, with_widths
from accel.errors import FitError, UnsupportedError
from accel.names import WEIGHT_BITS
from quant.names import MULTI_BIT_ACTIVATIONS, MULTI_BIT_WEIGHTS, SENSITIVITIES
from quant.search.budget import METRICS
from quant.search.pareto import front, sweep
from quant.search.sensitivity import sensitivity
from quant.search.solve import Chain, best_choices, choice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from accel.compile.choices import Widths
    from accel.config import HardwareConfig
    from accel.ir import Graph
    from accel.types import Notes
    from quant.ptq.options import PtqOptions
    from quant.search.budget import Budget
    from quant.search.probe import Figures, Probe
    from quant.search.sensitivity import Sensitivity
    from quant.search.solve import Choice

WIDE = 8


@dataclass(frozen=True)
class SearchOptions:
    """weight_bits, activation_bits: the widths to choose from. measure: of sensitivity. budgets: Budgets that hold for
    the chosen point. dsps: most DSPs of the build, or None. axis: metric of the Pareto front. points: budgets that the
    front tries. candidates: how many of the program's best choices are measured, the best of which is taken. samples,
    seed: of the Hessian's trace."""

    weight_bits: tuple[int, ...] = MULTI_BIT_WEIGHTS
    activation_bits: tuple[int, ...] = MULTI_BIT_ACTIVATIONS
    measure: str = "kl"
    budgets: tuple[Budget, ...] = ()
    dsps: int | None = None
    axis: str = "cycles"
    points: int = 16
    candidates: int = 8
    samples: int = 16
    seed: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (("weight_bits", WEIGHT_BITS), ("activation_bits", MULTI_BIT_ACTIVATIONS)):
            values = getattr(self, name)
            if WIDE not in values or any(bits not in allowed for bits in values):
                raise UnsupportedError(
                    f"search: {name} {','.join(map(str, values))} must be of "
                    f"{', '.join(map(str, allowed))} with {WIDE} among them"
                )
        for metric in (self.axis, *(budget.metric for budget in self.budgets)):
            if metric not in METRICS:
                raise UnsupportedError(f"search: metric '{metric}' is unknown; choose one of {', '.join(METRICS)}")
        if self.measure not in SENSITIVITIES:
            raise UnsupportedError(
                f"search: sensitivity '{self.measure}' is unknown; choose one of {', '.join(SENSITIVITIES)}"
            )


@dataclass(frozen=True)
class Point:
    """One network: widths per layer with weights (activations: per layer but the last), costs by metric, the loss that
    the program predicts, and the measured Figures on the images of the search."""

    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    costs: dict[str, float]
    predicted_loss: float
    figures: Figures

    def to_dict(self) -> Notes:
        return {
            "weight_bits": list(self.weight_bits),
            "activation_bits": list(self.activation_bits),
            **self.costs,
            "predicted_loss": self.predicted_loss,
            **vars(self.figures),
        }


@dataclass(frozen=True)
class Result:
    """What a search found on one build.

    chosen: the Point; front: Points that none beats by measured harm; uniform: {(weight bits, activation bits): Point};
    limits: {metric: limit}; layers: names; config: the smallest HardwareConfig on which the chosen network has the
    predicted cycles; sensitivity: the Sensitivity.
    """

    layers: tuple[str, ...]
    chosen: Point
    front: tuple[Point, ...]
    uniform: dict[tuple[int, int], Point]
    limits: dict[str, float]
    config: HardwareConfig
    sensitivity: Sensitivity
    options: SearchOptions = field(repr=False)

    def to_dict(self) -> Notes:
        """Plain values for JSON."""
        harms = [
            {"layer": name, "weights": _text_keys(weights), "outputs": _text_keys(outputs)}
            for name, weights, outputs in zip(
                self.layers, self.sensitivity.weights, self.sensitivity.outputs, strict=True
            )
        ]
        return {
            "layers": list(self.layers),
            "chosen": self.chosen.to_dict(),
            "front": [point.to_dict() for point in self.front],
            "uniform": {f"w{weights}a{outputs}": point.to_dict() for (weights, outputs), point in self.uniform.items()},
            "limits": self.limits,
            "axis": self.options.axis,
            "measure": self.options.measure,
            "build": self.config.to_dict(),
            "dsps": self.config.dsp_estimate,
            "sensitivity": harms,
        }


def _text_keys(harms: Mapping[int, float]) -> dict[str, float]:
    return {str(bits): harm for bits, harm in harms.items()}


class Search:
    """A network on one build: its cost tables and its chain for the solver.

    graph: any ir.Graph of the network's shapes. config: HardwareConfig whose depths are limits. probe: Probe.
    found: Sensitivity.
    """

    def __init__(
        self,
        graph: Graph,
        config: HardwareConfig,
        probe: Probe,
        found: Sensitivity,
        options: SearchOptions,
        advance: Callable[[], None] = lambda: None,
    ) -> None:
        self.graph, self.config, self.probe, self.found, self.options = graph, config, probe, found, options
        self.tables = cost_tables(graph, config, options.weight_bits, options.activation_bits, advance)
        costs = {
            name: tuple({key: getattr(cost, item) for key, cost in table.items()} for table in self.tables.tables)
            for name, (item, _, _) in METRICS.items()
        }
        costs["weight_words"] = tuple(
            {key: cost.weight_words for key, cost in table.items()} for table in self.tables.tables
        )
        fixed = {name: getattr(self.tables.fixed, item) for name, (item, _, _) in METRICS.items()}
        fixed["weight_words"] = self.tables.fixed.weight_words
        self.chain = Chain(found.losses(self.tables.tables), costs, fixed)
        self.memory = {"weight_words": config.weight_depth}

    def keys(self, weight_bits: Sequence[int], activation_bits: Sequence[int]) -> tuple[Widths, ...]:
        """One key per layer of the tables."""
        edges = (self.tables.input_bits, *activation_bits, self.tables.output_bits)
        return tuple(zip(edges, weight_bits, edges[1:], strict=False))

    def point(self, found: Choice) -> Point:
        """The Point of a Choice, measured."""
        return Point(
            found.weight_bits,
            found.activation_bits,
            {metric: found.costs[metric] for metric in METRICS},
            found.loss,
            self.probe.measure(found.weight_bits, found.activation_bits),
        )

    def harm(self, point: Point) -> float:
        """The measured harm that decides between points: cross entropy where that was the measure, else KL."""
        return point.figures.loss if self.options.measure == "loss" else point.figures.kl

    def uniform(self) -> dict[tuple[int, int], Point]:
        """{(weight bits, activation bits): Point} of the networks with the same widths everywhere that fit the
        build."""
        found, count = {}, len(self.tables.layers)
        for outputs in self.options.activation_bits:
            for weights in self.options.weight_bits:
                keys = self.keys([weights] * count, [outputs] * (count - 1))
                if all(key in table for key, table in zip(keys, self.tables.tables, strict=True)):
                    found[weights, outputs] = self.point(choice(self.chain, keys))
        return found

    def limits(self) -> dict[str, float]:
        """{metric: limit} of the budgets. Raises FitError where a share is asked of a network that the build lacks."""
        keys = self.keys([WIDE] * len(self.tables.layers), [WIDE] * (len(self.tables.layers) - 1))
        base = None
        if all(key in table for key, table in zip(keys, self.tables.tables, strict=True)):
            base = choice(self.chain, keys).costs
        limits: dict[str, float] = {}
        for budget in self.options.budgets:
            if budget.relative and base is None:
                raise FitError(
                    f"{self.graph.name}: the build cannot run the 8-bit network, of which the budget is a "
                    "share; give the budget as a number, or larger memories"
                )
            limit = budget.limit(1.0 if base is None else base[budget.metric])
            limits[budget.metric] = min(limit, limits.get(budget.metric, limit))
        return limits

    def choose(self, limits: Mapping[str, float]) -> Point:
        """The Point of least measured harm among the program's best choices within the limits."""
        found = best_choices(self.chain, {**limits, **self.memory}, self.options.candidates)
        return min(map(self.point, found), key=self.harm)

    def front(self, also: Iterable[Point] = ()) -> tuple[Point, ...]:
        """Points that none beats in the axis' cost and in measured harm; `also`: more Points to take in."""
        found = [self.point(one) for one in sweep(self.chain, self.options.axis, self.options.points, self.memory)]
        return tuple(front([*found, *also], lambda point: (point.costs[self.options.axis], self.harm(point))))

    def fitted(self, point: Point) -> HardwareConfig:
        """The smallest build on which the network has its predicted cycles; raises FitError where it has not."""
        graph = with_widths(self.graph, point.weight_bits, point.activation_bits)
        config = fit_config(graph, self.config, fastest=True)
        check_cycles(graph, config, point)
        return config


def check_cycles(graph: Graph, config: HardwareConfig, point: Point) -> None:
    """Raise FitError unless the compiler says of a graph on a build what the search predicted."""
    cycles = compile_graph(graph, config).steady_cycles
    if cycles != point.costs["cycles"]:
        raise FitError(
            f"{graph.name}: the compiler predicts {cycles} cycles where the search counted on "
            f"{point.costs['cycles']}; a layer runs wider than its widths, see the notes of the conversion"
        )


def search(
    graph: Graph,
    configs: Sequence[HardwareConfig],
    probe: Probe,
    options: SearchOptions,
    advance: Callable[[], None] = lambda: None,
) -> Result:
    """The Result of the build whose chosen point harms least.

    configs: HardwareConfigs to try, those with more DSPs than options.dsps are left out. Raises FitError where no
    build meets the budgets.
    """
    allowed = [config for config in configs if options.dsps is None or config.dsp_estimate <= options.dsps]
    if not allowed:
        least = min(config.dsp_estimate for config in configs)
        raise FitError(
            f"search: no build has at most {options.dsps} DSPs, the smallest has {least}; raise --dsps, or "
            "give a smaller build or a requantizer without multipliers"
        )
    found = sensitivity(probe, options.measure, samples=options.samples, seed=options.seed, advance=advance)
    best: tuple[Search, dict[str, float], Point] | None = None
    refusal = FitError("search: no build is given")
    for config in allowed:
        try:
            one = Search(graph, config, probe, found, options, advance)
            limits = one.limits()
            point = one.choose(limits)
        except FitError as error:
            refusal = error
            continue
        if best is None or one.harm(point) < best[0].harm(best[2]):
            best = one, limits, point
    if best is None:
        raise refusal
    one, limits, point = best
    uniform = one.uniform()
    return Result(
        tuple(layer.name for layer in weighted_layers(graph)),
        point,
        one.front((point, *uniform.values())),
        uniform,
        limits,
        one.fitted(point),
        found,
        options,
    )


def best_uniform(result: Result, metric: str) -> tuple[tuple[int, int], Point] | None:
    """((weight bits, activation bits), Point) of the uniform network of least measured harm that costs no more than
    the chosen one, or None."""
    harm = (
        (lambda item: item[1].figures.loss) if result.options.measure == "loss" else (lambda item: item[1].figures.kl)
    )
    fitting = [item for item in result.uniform.items() if item[1].costs[metric] <= result.chosen.costs[metric]]
    return min(fitting, key=harm, default=None)


def with_chosen(options: PtqOptions, point: Point) -> PtqOptions:
    """PtqOptions with the widths of a Point."""
    return replace(options, weight_bits=tuple(point.weight_bits), activation_bits=tuple(point.activation_bits))
