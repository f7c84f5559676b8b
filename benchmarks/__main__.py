"""`python -m benchmarks`: run measurements, keep their results, fill the README's table."""

if __name__ == "__main__":  # before the imports below: run() says which package is missing
    from accel.start import run
    run("benchmarks.__main__", "python -m benchmarks")

import importlib
import time
from pathlib import Path

import click

from accel.atomic import write_file
from accel.cli import EXIT_MISMATCH, EXIT_OK, handle_errors, print_json, progress
from accel.outputs import check_named, check_outputs
from benchmarks import report
from scripts.pages import fill

# In the order of the README's table: name -> what it measures.
BENCHMARKS = {
    "accuracy": "FP32 and int8 accuracy on the 10,000 MNIST test images",
    "equality": "PyTorch quantized reference = integer reference; plain fake-quant beside it",
    "verilog": "converted Verilog = reference: all layers on 100 images, logits on 10,000",
    "cycles": "cycles per image, alone and back to back; cost model against measured cycles, per layer",
    "utilization": "3x3 convolution 64->64 on a 16x16 array",
    "precision_speed": "cycles of a convolution and a dense layer in every width, one 16x16 build",
    "precision_networks": "LeNet-5 in every precision on one 16x16 build: every integer, cycles",
    "precision_accuracy": "LeNet-5's accuracy in every precision, shipped networks and mean of the seeds",
    "qat_estimators": "gradient estimator (clipped, identity) at 8, 6, 4, 2 bits, short trainings",
    "ptq_accuracy": "post-training quantization of three LeNet-5 by every method, W8A8 to W4A4",
    "fashion": "Fashion-MNIST network in float32, int8 and mixed: accuracy, weight bytes, cycles",
    "search": "precision search against all of 19,683 LeNets; mixed networks against uniform ones of equal cycles",
    "qfx_vs_ptq": "learned fixed point against post-training quantization at 4, 5, 6 bits, Fashion-MNIST",
    "qfx_ablation": "start and learning rate of the binary points against where they end up",
    "exported_networks": "every exported network on the RTL = reference = PyTorch, 1,000 images",
    "khot_accuracy": "element-wise layers of a 1-bit LeNet-5: 8-bit multipliers against two shifts, and on the RTL",
    "khot_synthesis": "element-wise layers without multipliers: DSPs and LUTs in three families of FPGAs",
    "weight_memory": "bytes of weights of every width against int8",
    "array32": "32x32 build with all modes: lint, one layer in every mode, GOPS",
    "upsets": "single bits of descriptors flipped: every program ends, LeNet-5 is right afterwards",
    "speed": "images per second of the Verilator engine at 16x16",
    "array": "xc7 synthesis of the array alone: int8, int8 + int4, all modes",
    "packing": "every operand of the packed multipliers; SAT proofs",
    "requantizer": "xc7 synthesis of one requantizer lane: full multiplier, sums of shifts",
    "xc7": "xc7 synthesis of the whole 8x8 accelerator, longest logic path",
    "ecp5": "place and route of the 8x8 accelerator on an ECP5 85k",
    "hostile": "damaged models and files, bad option values: result or one sentence, in time, within memory",
}
COUNTED = ("upsets", "hostile")  # take --count and --seed

EPILOG = """\b
Examples:
  python -m benchmarks                     all of them (an hour)
  python -m benchmarks cycles utilization  two of them
  python -m benchmarks --quick             small counts, to see that they run
  python -m benchmarks --save xc7          keep the figures and put them into README.md
  python -m benchmarks upsets hostile --count 2000 --seed 7 --json"""


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, type=click.Choice(tuple(BENCHMARKS)), metavar="[NAME]...")
@click.option("--list", "show_list", is_flag=True, help="Name the benchmarks and stop.")
@click.option("--quick", is_flag=True, help="Small counts: shows that it runs, gives no figure to quote.")
@click.option("--count", type=click.IntRange(min=1), help=f"Cases, of {', '.join(COUNTED)}.")
@click.option("--seed", type=click.IntRange(min=0), help=f"Other cases, of {', '.join(COUNTED)}.")
@click.option("--data-dir", type=click.Path(), help="Folder of the data sets (mnist/ in it).")
@click.option("--out", type=click.Path(), default="build/out/benchmarks", show_default=True,
              help="Folder for results, netlists and logs.")
@click.option("--save", is_flag=True, help="Keep the results in benchmarks/results, fill the README's table.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@handle_errors
def main(names, show_list, quick, count, seed, data_dir, out, save, as_json):
    """Measure accuracy, equality, cycles, size and speed. NAME chooses benchmarks; none means all.

    Each writes OUT/NAME.json; the table goes to stdout, progress to stderr. With --json the object holds the
    keys `results` (name, rows, details, met) and `met`. The exit code is 1 when a required figure is missed.
    """
    if show_list:
        for name, text in BENCHMARKS.items():
            click.echo(f"{name:18} {text}")
        return EXIT_OK
    if save and quick:
        raise click.UsageError("--save keeps figures to quote; --quick gives none: use one of them")
    cases = {key: value for key, value in (("count", count), ("seed", seed)) if value is not None}
    if cases and not set(names) & set(COUNTED):
        raise click.UsageError(f"--count and --seed are of {', '.join(COUNTED)}: name it, or leave them out")
    check_named(out)
    for folder in (out, report.RESULTS) if save else (out,):
        check_outputs(*(report.output(name, folder) for name in names or BENCHMARKS))
    results = []
    for name in names or BENCHMARKS:
        started = time.monotonic()
        click.echo(f"{name}: {BENCHMARKS[name]}", err=True)
        with progress() as bar:
            measure = importlib.import_module(f"benchmarks.{name}").measure
            result = measure(bar, Path(out), quick, data_dir, **(cases if name in COUNTED else {}))
        click.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)
        report.save(result, out)
        if save:
            report.save(result, report.RESULTS)
        results.append(result)
    if save:
        table = report.markdown(report.load_all(BENCHMARKS))
        write_file(report.README, fill(report.README.read_text(), "figures", table))
    if as_json:
        print_json({"results": [result.to_dict() for result in results], "met": all(r.met for r in results)})
    else:
        click.echo(report.markdown(results))
    return EXIT_OK if all(result.met for result in results) else EXIT_MISMATCH
