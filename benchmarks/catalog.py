"""The benchmarks in one table: what each measures, its group on the page of figures, and the sources that shape it."""

from dataclasses import dataclass

GROUPS = {"accuracy": "Accuracy", "equality": "Equality", "speed": "Speed", "size": "Size", "robustness": "Robustness"}

TEXT = tuple(
    f"accel/hdl/{name}.py"
    for name in (
        "design",
        "elaborate",
        "expressions",
        "naming",
        "ports",
        "stub",
        "tidy",
        "translate",
        "variables",
        "verilog",
        "widths",
    )
)
HARDWARE = ("accel/rtl", "accel/config.py", "accel/names.py", "accel/descriptor.py", *TEXT)
INTEGERS = ("accel/fixedpoint.py", "accel/names.py", "accel/reference.py")
RUNS = (*HARDWARE, *INTEGERS, "accel/compile", "benchmarks/workload.py")
SYNTHESIS = (*HARDWARE, "benchmarks/yosys.py", "benchmarks/netlist.py")
WHOLE = (*SYNTHESIS, "benchmarks/xc7.py", "accel/compile/place.py")
TORCH = (*INTEGERS, "quant/arithmetic", "quant/models/zoo.py")  # the front end only reads these networks
PTQ, QAT = (*TORCH, "quant/names.py", "quant/ptq"), (*TORCH, "quant/names.py", "quant/qat")
QFX = (*PTQ, "quant/qfx")
LENET, LENETS = (
    ("quant/zoo/lenet5-int8",),
    tuple(f"quant/zoo/lenet5-{name}" for name in ("w8a8", "w6a8", "w4a8", "w4a4", "w2a2", "w1a1", "mixed")),
)


@dataclass(frozen=True)
class Benchmark:
    """text: what it measures. group: of GROUPS. sources: files and folders; its own module is always one of them."""

    text: str
    group: str
    sources: tuple


BENCHMARKS = {
    "accuracy": Benchmark(
        "FP32 and int8 accuracy on the 10,000 MNIST test images",
        "accuracy",
        (*INTEGERS, *LENET, "quant/zoo/lenet5", "quant/models/zoo.py"),
    ),
    "precision_accuracy": Benchmark(
        "LeNet-5's accuracy in every precision, shipped networks and mean of the seeds",
        "accuracy",
        (*INTEGERS, *LENETS, "benchmarks/results/seeds.json"),
    ),
    "int6_approximate": Benchmark(
        "LeNet-5 W6A8 with exact and with approximate products of 6-bit weights",
        "accuracy",
        (*INTEGERS, "quant/zoo/lenet5-w6a8"),
    ),
    "ptq_accuracy": Benchmark(
        "post-training quantization of three LeNet-5 by every method, W8A8 to W4A4",
        "accuracy",
        (*PTQ, "benchmarks/seeds"),
    ),
    "qat_estimators": Benchmark(
        "gradient estimator (clipped, identity) at 8, 6, 4, 2 bits, short trainings", "accuracy", QAT
    ),
    "qfx_vs_ptq": Benchmark(
        "learned fixed point against post-training quantization at 4, 5, 6 bits, Fashion-MNIST", "accuracy", QFX
    ),
    "qfx_ablation": Benchmark(
        "start and learning rate of the binary points against where they end up", "accuracy", QFX
    ),
    "khot_accuracy": Benchmark(
        "element-wise layers of a 1-bit LeNet-5: 8-bit multipliers against two shifts", "accuracy", (*QFX, *RUNS)
    ),
    "search": Benchmark(
        "precision search against all of 19,683 LeNets; mixed networks against uniform ones",
        "accuracy",
        (*PTQ, "quant/search", "accel/compile"),
    ),
    "fashion": Benchmark(
        "Fashion-MNIST network in float32, int8 and mixed: accuracy, weight bytes, cycles",
        "accuracy",
        (*RUNS, "quant/zoo/fashion-cnn-int8", "quant/zoo/fashion-cnn-mixed"),
    ),
    "equality": Benchmark(
        "PyTorch quantized reference = integer reference; plain fake-quant beside it",
        "equality",
        (*TORCH, "quant/reference", *LENET),
    ),
    "verilog": Benchmark(
        "converted Verilog = reference: all layers on 100 images, logits on 10,000", "equality", (*RUNS, *LENET)
    ),
    "precision_networks": Benchmark(
        "LeNet-5 in every precision on one 16x16 build: every integer, cycles", "equality", (*RUNS, *LENETS)
    ),
    "exported_networks": Benchmark(
        "every exported network on the RTL = reference = PyTorch, 1,000 images",
        "equality",
        (*QFX, *QAT, *RUNS, "quant/reference", "quant/zoo"),
    ),
    "packing": Benchmark(
        "every operand of the packed multipliers; SAT proofs",
        "equality",
        (
            "accel/rtl/array/packed_multiplier.py",
            "accel/rtl/array/packing.py",
            "accel/rtl/array/mode_operands.py",
            *TEXT,
            "sim/packing_proof.py",
        ),
    ),
    "cycles": Benchmark(
        "cycles per image, alone and back to back; cost model against measured cycles, per layer",
        "speed",
        (*RUNS, *LENET),
    ),
    "utilization": Benchmark("3x3 convolution 64->64 on a 16x16 array", "speed", RUNS),
    "precision_speed": Benchmark(
        "cycles of a convolution and a dense layer in every width, one 16x16 build",
        "speed",
        (*RUNS, "accel/synthetic.py"),
    ),
    "array32": Benchmark(
        "32x32 build with all modes: lint, one layer in every mode, GOPS",
        "speed",
        (*RUNS, "benchmarks/precision_speed.py"),
    ),
    "ecp5": Benchmark(
        "place and route of the 8x8 accelerator on an ECP5 85k", "speed", (*WHOLE, "benchmarks/nextpnr.py")
    ),
    "speed": Benchmark(
        "images per second of the Verilator engine at 16x16",
        "speed",
        (*RUNS, *LENET, "sim/accelerator.py", "sim/batch.py", "sim/driver.py", "sim/engines"),
    ),
    "xc7": Benchmark("xc7 synthesis of the whole 8x8 accelerator, longest logic path", "size", WHOLE),
    "sizes": Benchmark(
        "xc7 synthesis of four whole accelerators against the estimates of accel.convert",
        "size",
        (*WHOLE, "accel/hdl/resources.py"),
    ),
    "array": Benchmark("xc7 synthesis of the array alone: int8, int8 + int4, all modes", "size", SYNTHESIS),
    "requantizer": Benchmark(
        "xc7 synthesis of one requantizer lane: full multiplier, sums of shifts", "size", SYNTHESIS
    ),
    "khot_synthesis": Benchmark(
        "element-wise layers without multipliers: DSPs and LUTs in three families of FPGAs",
        "size",
        (*WHOLE, "benchmarks/families.py"),
    ),
    "weight_memory": Benchmark(
        "bytes of weights of every width against int8",
        "size",
        ("accel/compile", "accel/model_dir.py", "accel/synthetic.py", *LENETS),
    ),
    "upsets": Benchmark(
        "single bits of descriptors flipped: every program ends, LeNet-5 is right afterwards", "robustness", RUNS
    ),
    "hostile": Benchmark(
        "damaged models and files, bad option values: result or one sentence, in time, within memory",
        "robustness",
        (
            "accel/checks.py",
            "accel/limits.py",
            "accel/model_dir.py",
            "accel/model_json.py",
            "accel/compile",
            "quant/files",
            "benchmarks/hostile_files.py",
            "benchmarks/hostile_models.py",
            "benchmarks/hostile_options.py",
        ),
    ),
}
