"""Probes, sensitivities and the whole search on small networks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from accel import reference
from accel.compile import compile_graph
from accel.compile.choices import roomy
from accel.config import HardwareConfig
from accel.errors import FitError, ModelError, UnsupportedError
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.ptq.pipeline import quantize_module
from quant.ptq.quantize import PtqOptions
from quant.search.budget import Budget
from quant.search.exhaustive import every_network, gaps
from quant.search.pareto import front
from quant.search.plot import plot_front
from quant.search.probe import Probe
from quant.search.search import Search, SearchOptions, best_uniform, check_cycles, search, with_chosen
from quant.search.sensitivity import hessian_traces, sensitivity
from tests.quant.nets import CHAIN_SHAPE, chain, random_images, randomize

BITS = (8, 4, 2)
SHAPE = (9, 9, 1)


def small():
    """Three layers with weights, two pools: 1 x 9 x 9 -> 4."""
    torch.manual_seed(3)
    return randomize(
        nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 10, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(10, 4),
        )
    )


def graphs_of(module, images, bits=BITS):
    return {width: quantize_module(module, images, options=PtqOptions(width, width)) for width in bits}


def probe_of(module=None, shape=SHAPE, count=40, labels=None):
    module = small() if module is None else module
    images = random_images(count, shape)
    prepared = prepare(read_module(module, shape, "net"))
    return Probe(prepared, images, labels, graphs_of(module, images))


def build(**options):
    return roomy(HardwareConfig(8, 8, precisions=BITS, **options), options)


@pytest.fixture(scope="module")
def probed():
    """(module, images, graphs, Probe, labels) of the small network."""
    torch.manual_seed(0)
    module, images = small(), random_images(60, SHAPE)
    labels = np.random.default_rng(1).integers(0, 4, 60)
    graphs = graphs_of(module, images)
    return module, images, graphs, Probe(prepare(read_module(module, SHAPE, "net")), images, labels, graphs), labels


@pytest.mark.parametrize(("module", "shape"), [(small, SHAPE), (chain, CHAIN_SHAPE)])
@pytest.mark.parametrize("bits", BITS)
def test_a_probe_of_one_width_is_the_integer_network(module, shape, bits):
    """Float32 against integers: logits closer than what one last step of an activation may change."""
    module, images = module(), random_images(20, shape)
    graphs = graphs_of(module, images)
    probe = Probe(prepare(read_module(module, shape, "net")), images, None, graphs)
    graph, x = graphs[bits], probe.inputs[0]
    for index in range(len(probe.layers)):
        x = probe.step(index, x, bits, bits if probe.quantizers[index] else None)
    wanted = reference.run(graph, reference.encode_input(graph, images))[graph.layers[-1].name]
    wanted = torch.tensor(wanted.reshape(len(images), -1) * graph.output.scale)
    error = (x.flatten(1) - wanted).abs()
    assert error.median() <= 1e-4 * wanted.abs().max()
    assert error.max() <= 0.2 * wanted.abs().max()


def test_measuring_all_equals_measuring_each(probed):
    probe = probed[3]
    weights, outputs = ((8, 4), (4, 2), (8, 2)), ((8, 4), (4, 2))
    found = {(bits, acts): figures for bits, acts, figures in probe.measure_all(weights, outputs)}
    assert set(found) == set(itertools.product(itertools.product(*weights), itertools.product(*outputs)))
    for (bits, acts), figures in found.items():
        assert vars(probe.measure(bits, acts)) == pytest.approx(vars(figures), abs=1e-6)


def test_a_network_without_labels_is_measured_against_itself():
    probe = probe_of()
    assert probe.figures(probe.inputs[-1].flatten(1)).accuracy == 1.0
    assert probe.figures(probe.inputs[-1].flatten(1)).kl == pytest.approx(0, abs=1e-7)


def test_graphs_of_another_network_are_refused():
    images = random_images(4, SHAPE)
    prepared = prepare(read_module(small(), SHAPE, "net"))
    other = quantize_module(nn.Sequential(nn.Flatten(), nn.Linear(81, 4)), images)
    with pytest.raises(ModelError, match="are not the float network's"):
        Probe(prepared, images, None, {8: other})


@pytest.mark.parametrize("measure", ["kl", "loss", "hessian"])
def test_narrow_widths_harm_more(probed, measure):
    found = sensitivity(probed[3], measure, samples=8)
    for harms in (*found.weights, *found.outputs[:-1]):
        assert set(harms) == set(BITS)
        if measure != "loss":
            assert 0 <= harms[8] < harms[4] < harms[2]
    assert found.outputs[-1] == {}


def test_sensitivity_is_the_change_that_one_quantizer_makes(probed):
    """The middle layer's weights alone in 2 bits, computed by hand."""
    module, images, graphs, _, labels = probed
    layer = next(item for item in graphs[2].layers if item.op == "conv2d" and item.input.channels == 6)
    changed = small()
    changed.load_state_dict(module.state_dict())
    weight = torch.tensor(layer.weights * layer.weight_scale[:, None, None, None]).permute(0, 3, 1, 2)
    changed[4].weight.data.copy_(weight)
    changed[4].bias.data.copy_(torch.tensor(layer.bias * layer.weight_scale * layer.input.scale))
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        before, after = (nn.functional.log_softmax(one(x), 1) for one in (module, changed))
    kl = float((before.exp() * (before - after)).sum(1).mean())
    loss = float(
        nn.functional.nll_loss(after, torch.tensor(labels)) - nn.functional.nll_loss(before, torch.tensor(labels))
    )
    assert sensitivity(probed[3], "kl").weights[1][2] == pytest.approx(kl, rel=1e-3)
    assert sensitivity(probed[3], "loss").weights[1][2] == pytest.approx(loss, rel=1e-3)


def test_the_estimated_trace_is_that_of_the_hessian():
    """Against the whole second derivative of every layer's weights and of every image's output."""
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    probe = probe_of(module, (3, 3, 1), count=5, labels=np.array([0, 1, 2, 1, 0]))
    traces = hessian_traces(probe, 4000, seed=1)

    def loss(logits, labels):
        return nn.functional.cross_entropy(logits, labels)

    for index in (0, 1):
        weight, bias = probe.parameters[index][None]

        def by_weight(value, index=index, bias=bias):
            probe.parameters[index]["x"] = value, bias
            return loss(probe.finish(probe.step(index, probe.inputs[index], "x", None), index + 1), probe.labels)

        exact = torch.autograd.functional.hessian(by_weight, weight).reshape(weight.numel(), -1)
        assert traces[index][0] == pytest.approx(float(exact.trace()) / weight.numel(), rel=0.1)
        output, total = probe.inputs[index + 1], 0.0
        for image, label in zip(output, probe.labels, strict=True):
            exact = torch.autograd.functional.hessian(
                lambda x, index=index, label=label: loss(probe.finish(x[None], index + 1), label[None]), image
            )
            total += float(exact.reshape(image.numel(), -1).trace())
        assert traces[index][1] == pytest.approx(total / len(output) / output[0].numel(), rel=0.1)


def test_an_unknown_measure_is_refused(probed):
    with pytest.raises(UnsupportedError, match="sensitivity 'fisher' is unknown; choose one of kl, loss, hessian"):
        sensitivity(probed[3], "fisher")


def options(**given):
    return SearchOptions(**{"weight_bits": BITS, "activation_bits": BITS, "points": 6, "candidates": 3, **given})


def test_the_chosen_network_costs_what_the_compiler_says_and_keeps_the_budgets(probed):
    module, images, graphs, probe, _ = probed
    wanted = options(budgets=(Budget.parse("cycles", "93%"), Budget.parse("weight_bytes", "60%")))
    result = search(graphs[8], [build()], probe, wanted)
    graph = quantize_module(module, images, options=with_chosen(PtqOptions(), result.chosen))
    program = compile_graph(graph, result.config)
    assert program.steady_cycles == result.chosen.costs["cycles"] <= result.limits["cycles"]
    assert program.weights.size == result.chosen.costs["weight_bytes"] <= result.limits["weight_bytes"]
    eight = result.uniform[8, 8].costs
    assert result.limits == pytest.approx(
        {"cycles": 0.93 * eight["cycles"], "weight_bytes": 0.6 * eight["weight_bytes"]}
    )
    with pytest.raises(FitError, match="the compiler predicts .* cycles where the search counted on"):
        check_cycles(graphs[8], build(), result.chosen)


def test_enough_candidates_find_the_best_of_all_networks(probed):
    """Every network measured: the search that measures many candidates takes the best within the budget."""
    _, _, graphs, probe, _ = probed
    one = Search(graphs[8], build(), probe, sensitivity(probe), options(candidates=40))
    everything = [
        (weights, outputs, figures) for weights, outputs, figures in probe.measure_all([BITS] * 3, [BITS] * 2)
    ]
    for share in (0.9, 0.93, 0.96, 1.0):
        limit = share * one.tables.total([8] * 3, [8] * 2).cycles
        fitting = [
            (figures.kl, weights, outputs)
            for weights, outputs, figures in everything
            if one.tables.total(weights, outputs).cycles <= limit
        ]
        chosen = one.choose({"cycles": limit})
        assert chosen.figures.kl == pytest.approx(min(fitting)[0], abs=1e-6)


def test_the_front_is_not_beaten_by_its_own_points_or_uniform_ones(probed):
    _, _, graphs, probe, _ = probed
    result = search(graphs[8], [build()], probe, options(budgets=(Budget("cycles", 1.0, relative=True),)))
    points = [(point.costs["cycles"], point.figures.kl) for point in result.front]
    assert points == front(points, lambda point: point) and len(points) > 2
    for point in (*result.uniform.values(), result.chosen):
        assert any(cycles <= point.costs["cycles"] and kl <= point.figures.kl for cycles, kl in points)
    assert best_uniform(result, "cycles")[1].figures.kl >= result.chosen.figures.kl


def test_a_budget_of_dsps_chooses_among_builds(probed):
    _, _, graphs, probe, _ = probed
    large = roomy(HardwareConfig(16, 16, precisions=BITS))
    budget = options(budgets=(Budget("cycles", 1e9),))
    assert search(graphs[8], [large, build()], probe, replace(budget, dsps=100)).config.rows == 8
    with pytest.raises(FitError, match="no build has at most 20 DSPs, the smallest has 40"):
        search(graphs[8], [large, build()], probe, replace(budget, dsps=20))
    cycles = [search(graphs[8], [one], probe, budget).chosen.costs["cycles"] for one in (build(), large)]
    limit = options(budgets=(Budget("cycles", (cycles[1] + min(cycles)) / 2),))
    assert search(graphs[8], [build(), large], probe, limit).config.rows == (16 if cycles[1] <= cycles[0] else 8)


def test_a_small_weight_bank_is_a_budget_too(probed):
    _, _, graphs, probe, _ = probed
    wanted = options(budgets=(Budget("cycles", 1e9),))
    words = build(weight_depth=16)
    chosen = search(graphs[8], [words], probe, wanted).chosen
    assert (
        sum(
            layer.weight_words
            for layer in compile_graph(
                quantize_module(small(), random_images(4, SHAPE), options=with_chosen(PtqOptions(), chosen)), words
            ).layers
        )
        <= 16
    )
    assert chosen.weight_bits != (8, 8, 8)


@pytest.mark.parametrize("measure", ["loss", "hessian"])
def test_every_sensitivity_gives_a_network_within_the_budget(probed, measure):
    _, _, graphs, probe, _ = probed
    result = search(
        graphs[8], [build()], probe, options(measure=measure, samples=4, budgets=(Budget.parse("energy", "70%"),))
    )
    assert result.chosen.costs["energy"] <= result.limits["energy"]
    assert result.to_dict()["measure"] == measure


def test_impossible_budgets_name_the_least(probed):
    with pytest.raises(FitError, match=r"no choice of widths has cycles of at most 10; the least is \d+"):
        search(probed[2][8], [build()], probed[3], options(budgets=(Budget("cycles", 10),)))


@pytest.mark.parametrize("text", ["", "60%%", "-5", "nan", "0", "x"])
def test_budgets_are_positive_numbers(text):
    with pytest.raises(UnsupportedError, match="give a positive number, or a percentage"):
        Budget.parse("cycles", text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight_bits": (4, 2)}, "weight_bits 4,2 must be of 8, 6, 4, 2, 1 with 8 among them"),
        ({"activation_bits": (8, 1)}, "activation_bits 8,1 must be of 8, 4, 2"),
        ({"axis": "luts"}, "metric 'luts' is unknown"),
        ({"measure": "x"}, "sensitivity 'x' is unknown"),
    ],
)
def test_options_are_checked(given, message):
    with pytest.raises(UnsupportedError, match=message):
        SearchOptions(**given)


def test_the_front_is_drawn_with_equal_bytes(probed, tmp_path):
    result = search(probed[2][8], [build()], probed[3], options(budgets=(Budget.parse("cycles", "93%"),)))
    for ending, start in ((".svg", b"<?xml"), (".png", b"\x89PNG")):
        for name in ("a", "b"):
            plot_front(result, tmp_path / f"{name}{ending}")
        first, second = ((tmp_path / f"{name}{ending}").read_bytes() for name in ("a", "b"))
        assert first == second and first.startswith(start)
    assert b"chosen" in (tmp_path / "a.svg").read_bytes()


def test_gaps_say_how_many_networks_beat_the_chosen_one(probed):
    """Against a plain count over all networks."""
    _, _, graphs, probe, _ = probed
    one = Search(graphs[8], build(), probe, sensitivity(probe), options())
    points = every_network(one)
    assert len(points) == 3**3 * 3**2
    limits = [share * max(point.costs["cycles"] for point in points) for share in (0.9, 0.95)]
    found = gaps(one, points, (1, 40), budgets=limits)
    on_front = front(points, lambda point: (point.costs["cycles"], point.figures.kl))
    assert len(gaps(one, points, (1,))[1]) == len(on_front)
    for few, many in zip(found[1], found[40], strict=True):
        within = [point for point in points if point.costs["cycles"] <= few.limit]
        assert few.within == many.within == len(within)
        assert few.better == sum(point.figures.kl < few.chosen.figures.kl for point in within)
        assert many.better == 0 and many.chosen.figures.kl == many.best.figures.kl
        assert few.chosen.costs["cycles"] <= few.limit
