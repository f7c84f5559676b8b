"""Every network that ships or that the tools write: accelerator = integer reference = PyTorch, every integer.

The accelerator is the converted Verilog in Verilator, 8x8 with all widths; networks for a build without multipliers
in the requantizer run on one of those. All networks of a build run one after the other on one and the same model.
"""

import numpy as np

from accel import model_dir, reference
from accel.names import PRECISIONS
from benchmarks import workload
from benchmarks.report import Result, Row
from quant.data import datasets

SIZE = (8, 8)
IMAGES, LAYER_IMAGES = 1000, 10
BATCH = 250
CALIBRATION = 1000
KHOT = "khot2"  # takes multipliers of one and of two one bits
DATA = {"lenet5": "mnist", "fashion-cnn": "fashion_mnist"}
MIXED = {"weight_bits": (8, 4, 4, 4, 8), "activation_bits": (4, 4, 8, 8)}  # the search's choice for fashion-cnn
PTQ = {  # name: (float network, options of post-training quantization)
    "lenet5 PTQ W8A8": ("lenet5", {}),
    "lenet5 PTQ W6A8, float input": ("lenet5", {"weight_bits": 6, "encoding": "float"}),
    "lenet5 PTQ W4A8 AdaRound": ("lenet5", {"weight_bits": 4, "weight_rounding": "adaround", "layer_images": 64}),
    "lenet5 PTQ W4A4 GPTQ, MSE": (
        "lenet5",
        {
            "weight_bits": 4,
            "activation_bits": 4,
            "weight_rounding": "gptq",
            "calibration": "mse",
            "weight_calibration": "mse",
        },
    ),
    "lenet5 PTQ W4A8 AWQ, KL": ("lenet5", {"weight_bits": 4, "weight_rounding": "awq", "calibration": "kl"}),
    "lenet5 PTQ W2A2": ("lenet5", {"weight_bits": 2, "activation_bits": 2, "full_range": True}),
    "lenet5 PTQ W1A8 per tensor": ("lenet5", {"weight_bits": 1, "granularity": "tensor"}),
    "lenet5 PTQ per layer": ("lenet5", {"weight_bits": (8, 4, 2, 1, 6), "activation_bits": (4, 2, 8, 8)}),
    "lenet5 PTQ gemmlowp, equalized": ("lenet5", {"rule": "gemmlowp", "equalize": True, "bias_correction": True}),
    "lenet5 PTQ half away, percentile": ("lenet5", {"rule": "half_away", "calibration": "percentile"}),
    "lenet5 PTQ pow2 levels": ("lenet5", {"weight_levels": "pow2"}),
    "lenet5 PTQ khot2 levels, symmetric": ("lenet5", {"weight_levels": "khot2", "activation_scheme": "symmetric"}),
    "lenet5 PTQ pow2 scales": ("lenet5", {"scales": "pow2", "requantizer": "pow2"}),
    "lenet5 PTQ khot2 multipliers": ("lenet5", {"requantizer": "khot2"}),
    "fashion-cnn PTQ W8A8": ("fashion-cnn", {}),
    "fashion-cnn PTQ mixed": ("fashion-cnn", MIXED),
}
QFX = {"lenet5 QFX 4 bits": ("lenet5", 4), "lenet5 QFX 5 bits": ("lenet5", 5), "lenet5 QFX 6 bits": ("lenet5", 6)}
QUICK = ("lenet5 PTQ W4A4 GPTQ, MSE", "lenet5 QFX 5 bits")


def shipped():
    """{name: (graph, data set)} of every integer network in the zoo."""
    return {name: (model_dir.load(name), _data(name)) for name in model_dir.zoo_names()}


def _data(name):
    return "fashion_mnist" if name.startswith("fashion") else "mnist"


def written(data_dir, names=None, advance=lambda: None):
    """{name: (graph, data set, requantizer)} of what PTQ and QFX write; names: only these."""
    from quant.models.sources import load_float_model
    from quant.ptq.pipeline import quantize_module
    from quant.ptq.quantize import PtqOptions
    from quant.qfx.conversion import FixedOptions
    from quant.qfx.export import export
    from quant.qfx.learn import fixed_network

    found, images = {}, {}
    for name, (source, choice) in {**PTQ, **QFX}.items():
        if names is not None and name not in names:
            continue
        data = DATA[source]
        if data not in images:
            images[data] = datasets.load(data, data_dir, "train")[0][:CALIBRATION]
        module, _, shape = load_float_model(source)
        if name in PTQ:
            graph = quantize_module(module, images[data], name=source, options=PtqOptions(**choice))
            found[name] = graph, data, choice.get("requantizer", "full")
        else:
            fixed = fixed_network(module, images[data], FixedOptions(choice, choice))
            found[name] = export(fixed.double(), source, shape, requantizer="pow2"), data, "pow2"
        advance()
    return found


def measure(progress, folder, quick, data_dir):
    """Outputs of 1,000 test images and every layer of 10 (quick: 4 and 1 of three networks)."""
    names = QUICK if quick else None
    task = progress.add_task("quantize", total=len(QUICK if quick else {**PTQ, **QFX}))
    networks = {name: (*found, "full") for name, found in shipped().items() if not quick or name == "lenet5-mixed"}
    networks |= written(data_dir, names, lambda: progress.advance(task))
    task = progress.add_task("run", total=len(networks))
    builds = {"full": networks, KHOT: {name: one for name, one in networks.items() if one[2] != "full"}}
    images = {
        data: datasets.load(data, data_dir)[0][: 4 if quick else IMAGES]
        for data in {one[1] for one in networks.values()}
    }
    figures = {}
    for requantizer, chosen in builds.items():
        own = {name: one for name, one in chosen.items() if (one[2] != "full") == (requantizer != "full")}
        if own:
            figures |= run_build(requantizer, own, images, 1 if quick else LAYER_IMAGES, lambda: progress.advance(task))
    return summarize(figures, 4 if quick else IMAGES, 1 if quick else LAYER_IMAGES)


def run_build(requantizer, networks, images, by_layer, advance):
    """{name: figures} of networks that run one after the other on one model."""
    config = workload.one_build([graph for graph, *_ in networks.values()], SIZE, PRECISIONS, requantizer=requantizer)
    figures = {}
    with workload.accelerator(config) as accelerator:
        for name, (graph, data, _) in networks.items():
            q = reference.encode_input(graph, images[data])
            _, layers = workload.compare(accelerator, graph, q[:by_layer], layers=True)
            program, run = workload.compare(accelerator, graph, q)
            figures[name] = {
                "build": requantizer,
                "images": len(q),
                "rtl_layers": len(layers.mismatches),
                "rtl_outputs": len(run.mismatches),
                "torch": torch_mismatches(graph, q),
                "cycles": run.cycles_per_image,
                "predicted_cycles": program.predicted_cycles,
            }
            advance()
    return figures


def torch_mismatches(graph, q):
    """Integers of any layer in which PyTorch's quantized execution differs from the reference."""
    from quant.reference.integer import IntegerNetwork

    network, wrong = IntegerNetwork(graph), 0
    for at in range(0, len(q), BATCH):
        expected, actual = reference.run(graph, q[at : at + BATCH]), network.run(q[at : at + BATCH])
        wrong += sum(
            int(np.count_nonzero(expected[layer.name] != actual[layer.name].numpy())) for layer in graph.layers
        )
    return wrong


def summarize(figures, count, by_layer):
    """The Result of {network: figures}."""
    wrong = [name for name, found in figures.items() if found["rtl_layers"] or found["rtl_outputs"] or found["torch"]]
    inexact = [name for name, found in figures.items() if found["cycles"] != found["predicted_cycles"]]
    khot = sum(found["build"] == KHOT for found in figures.values())
    size = "x".join(map(str, SIZE))
    rows = (
        Row(
            f"{len(figures)} networks that ship or that the tools write: RTL at {size} = reference = PyTorch",
            "equal",
            "",
            "equal" if not wrong else f"different: {', '.join(wrong)}",
            not wrong,
            f"PTQ, search and QFX; outputs of {count:,} test images, every layer of {by_layer} (PyTorch: of all); "
            f"{khot} of them on a build with requantizer={KHOT}",
        ),
        Row(
            "their cycles an image",
            "as predicted",
            "",
            "as predicted" if not inexact else f"not as predicted: {', '.join(inexact)}",
            not inexact,
        ),
    )
    return Result("exported_networks", rows, figures)
