"""The precision search against every network of a small choice, and its mixed networks against uniform ones.

All choices are made on training images; the test images are classified once, by the integer reference.
"""

from dataclasses import replace
from statistics import median

from accel.compile.choices import roomy
from accel.config import HardwareConfig
from benchmarks.report import Result, Row
from quant.data import datasets
from quant.models.sources import load_float_model
from quant.names import MULTI_BIT_ACTIVATIONS, MULTI_BIT_WEIGHTS, SENSITIVITIES
from quant.ptq.pipeline import Normalization
from quant.ptq.quantize import PtqOptions
from quant.reference import evaluate
from quant.search.budget import Budget
from quant.search.exhaustive import every_network, gaps
from quant.search.quantized import make_probe, quantized
from quant.search.search import Search, SearchOptions, best_uniform, check_cycles, search, with_chosen
from quant.search.sensitivity import sensitivity

PTQ = PtqOptions(calibration="mse", weight_calibration="mse")
ROUNDINGS = ("nearest", "gptq")  # of the final networks; uniform ones gain most from the second
CANDIDATES = (1, 8)
TRACE_SAMPLES = 4
# network, data, options of the 8x8 build, share of the int8 network's cycles
NETWORKS = (("lenet5", "mnist", {}, "72%"), ("fashion-cnn", "fashion_mnist", {"req_lanes": 4}, "60%"))


def measure(progress, folder, quick, data_dir):
    """19,683 LeNets on 1,000 training images, two searches of two networks each (quick: 256 LeNets, 100 images)."""
    rows, details = [], {}
    task = progress.add_task("networks", total=None)

    def advance(count=1):
        progress.advance(task, count)

    row, details["exhaustive"] = _exhaustive(quick, data_dir, advance)
    rows.append(row)
    for model, data, options, share in NETWORKS[: 1 if quick else None]:
        found, details[model] = _against_uniform(model, data, options, share, quick, data_dir, advance)
        rows += found
    return Result("search", tuple(rows), details)


def _build(options, widths):
    return roomy(HardwareConfig(8, 8, precisions=widths, **options))


def _probe(model, data, options, quick, data_dir, advance):
    """(calibration images, Probe on the last training images, 8-bit graph)."""
    module, name, _ = load_float_model(model)
    images, labels = datasets.load(data, data_dir, "train")
    count = 100 if quick else 1000
    probe, graph = make_probe(
        module,
        images[:count],
        images[-count:],
        labels[-count:],
        name=name,
        normalization=Normalization(),
        options=PTQ,
        search_options=options,
        advance=advance,
    )
    return images[:count], probe, graph


def _exhaustive(quick, data_dir, advance):
    """(Row, details): the search at every budget of the front of all LeNets."""
    bits = MULTI_BIT_ACTIVATIONS[:2] if quick else MULTI_BIT_ACTIVATIONS
    options = SearchOptions(bits, bits)
    _, probe, graph = _probe("lenet5", "mnist", options, quick, data_dir, advance)
    config = _build({}, options.weight_bits)
    points, details, texts, notes = None, {}, [], []
    for name in SENSITIVITIES:
        found = sensitivity(probe, name, samples=TRACE_SAMPLES, advance=advance)
        one = Search(graph, config, probe, found, options)
        points = points or every_network(one, advance)
        for candidates, result in gaps(one, points, CANDIDATES).items():
            details[f"{name}, {candidates} measured"] = {
                "on_the_front": sum(gap.better == 0 for gap in result),
                "budgets": len(result),
                "largest_share_of_better_networks": max(gap.better / gap.within for gap in result),
                "median_kl_ratio": median(gap.chosen.figures.kl / gap.best.figures.kl for gap in result),
                "largest_kl_ratio": max(gap.chosen.figures.kl / gap.best.figures.kl for gap in result),
                "largest_accuracy_gap": max(gap.best.figures.accuracy - gap.chosen.figures.accuracy for gap in result),
                "points": [
                    {
                        "limit": gap.limit,
                        "better": gap.better,
                        "within": gap.within,
                        "weight_bits": list(gap.chosen.weight_bits),
                        "activation_bits": list(gap.chosen.activation_bits),
                        "kl": gap.chosen.figures.kl,
                        "best_kl": gap.best.figures.kl,
                    }
                    for gap in result
                ],
            }
        best = details[f"{name}, {CANDIDATES[-1]} measured"]
        texts.append(
            f"{name} "
            + ", ".join(f"{details[f'{name}, {count} measured']['on_the_front']} with {count}" for count in CANDIDATES)
        )
        notes.append(
            f"{name}: at most {best['largest_share_of_better_networks']:.2%} of the networks within a budget "
            f"are better, KL at most {best['largest_kl_ratio']:.2f} times the best"
        )
    total = details[f"kl, {CANDIDATES[0]} measured"]["budgets"]
    row = Row(
        f"search over LeNet-5: chosen on the front of all {len(points):,}",
        "",
        f"{total} of {total}",
        "; ".join(texts),
        None,
        f"8x8, widths 8, 4, 2; at the {total} budgets of cycles where the front has a point, by sensitivity and "
        f"number of candidates that are measured; {'; '.join(notes)}",
    )
    return row, {"networks": len(points), **details}


def _against_uniform(model, data, build, share, quick, data_dir, advance):
    """([Row], details): the chosen network and the best uniform one within equal cycles, on the test images."""
    options = SearchOptions(budgets=(Budget.parse("cycles", share),), points=4)
    calibration, probe, graph = _probe(model, data, options, quick, data_dir, advance)
    images, labels = datasets.load(data, data_dir)
    if quick:
        images, labels = images[:100], labels[:100]
    rows, details, known = [], {}, {}

    def accuracy(point, rounding):
        key = point.weight_bits, point.activation_bits, rounding
        if key not in known:
            network = quantized(probe.prepared, calibration, replace(with_chosen(PTQ, point), weight_rounding=rounding))
            check_cycles(network, config, point)
            known[key] = evaluate.accuracy(network, images, labels, advance)
        return known[key]

    config = _build(build, MULTI_BIT_WEIGHTS)
    first = search(graph, [config], probe, options, advance)
    equal = first.uniform[4, 4].costs["cycles"]
    for text, limit in ((f"{share} of int8's cycles", first.limits["cycles"]), ("the cycles of W4A4", equal)):
        result = search(graph, [config], probe, SearchOptions(budgets=(Budget("cycles", limit),), points=2), advance)
        widths, uniform = best_uniform(result, "cycles")
        pairs = {rounding: (accuracy(result.chosen, rounding), accuracy(uniform, rounding)) for rounding in ROUNDINGS}
        figures = "; ".join(f"{rounding} {mixed:.2%} against {plain:.2%}" for rounding, (mixed, plain) in pairs.items())
        rows.append(
            Row(
                f"{model}, mixed against uniform within {text}",
                "better accuracy",
                "",
                figures,
                quick or all(mixed > plain for mixed, plain in pairs.values()),
                f"{data}, 8x8, both chosen by their KL on training images, integers after training on test images; "
                f"mixed: weights {_text(result.chosen.weight_bits)}, "
                f"activations {_text(result.chosen.activation_bits)}, "
                f"{result.chosen.costs['cycles']:,} cycles; uniform: W{widths[0]}A{widths[1]}, "
                f"{uniform.costs['cycles']:,} cycles",
            )
        )
        details[text] = {
            "limit": limit,
            "chosen": result.chosen.to_dict(),
            "uniform": uniform.to_dict(),
            "test_accuracy": {
                rounding: {"chosen": mixed, "uniform": plain} for rounding, (mixed, plain) in pairs.items()
            },
            "test_images": len(images),
        }
    return rows, details


def _text(bits):
    return ",".join(map(str, bits))
