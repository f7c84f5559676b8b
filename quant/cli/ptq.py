"""`python -m quant ptq`: post-training quantization of a float network."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, print_json, print_table
from accel.errors import ModelError
from accel.ir import Graph
from accel.names import RULES
from accel.options import option, taking
from accel.outputs import check_outputs
from quant.cli.given import Data, FloatNetwork, Pixels
from quant.cli.options import (
    COUNT,
    NumberList,
    bar,
    bits_options,
    calibration_images_option,
    choice_option,
    code_file,
    data_options,
    float_model_option,
    input_option,
    model_output_options,
    pixel_options,
    requantizer_option,
    warn,
    weight_range_option,
    weights_option,
)
from quant.cli.user_input import check_images, encoding_of, look_at
from quant.data import datasets
from quant.names import CALIBRATIONS, GRANULARITIES, PERCENTILE, SCALES, SCHEMES, WEIGHT_LEVELS, WEIGHT_ROUNDINGS

if TYPE_CHECKING:  # imports torch
    from quant.ptq.options import PtqOptions


@dataclass(frozen=True, kw_only=True)
class Ptq(FloatNetwork, Data, Pixels):
    """The command's options. Those that PtqOptions has too have its names and meanings."""

    bits: int
    weight_bits: tuple[int, ...] | None
    activation_bits: tuple[int, ...] | None
    weight_range: str
    weight_levels: str
    weight_rounding: str
    weight_calibration: str
    granularity: str
    weight_scheme: str
    calibration: str
    percentile: float
    activation_scheme: str
    activation_granularity: str
    scales: str
    equalize: bool
    bias_correction: bool
    layer_images: int
    requantizer: str
    calibration_images: int
    rule: str
    encoding: str | None
    input_shape: tuple[int, ...] | None
    name: str | None
    out: str
    as_json: bool

    def options(self) -> "PtqOptions":
        """What is asked for, before the images say which encoding they need."""
        from quant.ptq.options import PtqOptions

        same = {item.name for item in fields(PtqOptions)} & {item.name for item in fields(self)}
        values = {name: getattr(self, name) for name in same - {"encoding"}}
        for name in ("weight_bits", "activation_bits"):
            values[name] = _one_or_all(values[name], self.bits)
        return PtqOptions(**values, full_range=self.weight_range == "full")


@click.command()
@float_model_option(required=True)
@weights_option()
@data_options("mnist")
@click.option("--bits", type=int, default=8, show_default=True, help="Bits of weights and activations.")
@bits_options(
    "8, 4 or 2",
    "output that is quantized. The input keeps 8, a last layer without a clamp puts out int32.  [default: --bits]",
    "--bits",
)
@weight_range_option(default="symmetric")
@choice_option(
    "--weight-levels",
    WEIGHT_LEVELS,
    "What weights may be: every integer, zero and powers of two, or sums and "
    "differences of two powers (for a shift-add array).",
)
@choice_option(
    "--weight-rounding",
    WEIGHT_ROUNDINGS,
    "How weights become integers: to the nearest one, or learned from calibration "
    "images (AdaRound, GPTQ), or to the nearest one after scaling salient channels (AWQ).",
)
@choice_option("--weight-calibration", CALIBRATIONS, "How the weights' ranges are found.")
@choice_option("--granularity", GRANULARITIES, "One weight scale per output channel, or per layer.")
@choice_option("--weight-scheme", SCHEMES, "affine is refused: the accelerator's weights have no zero point.")
@choice_option("--calibration", CALIBRATIONS, "How the activations' ranges are found.")
@click.option(
    "--percentile",
    type=float,
    default=PERCENTILE,
    show_default=True,
    help="Share of the values inside the range, in per cent, where percentile is chosen.",
)
@choice_option("--activation-scheme", SCHEMES[::-1], "symmetric: zero point 0, half of the range for a ReLU.")
@choice_option(
    "--activation-granularity",
    GRANULARITIES[::-1],
    "channel is refused: the accelerator has one scale per tensor.",
)
@choice_option("--scales", SCALES, "pow2: every scale is a power of two, so every multiplier is a shift.")
@click.option("--equalize", is_flag=True, help="Cross-layer equalization of the channels' weight ranges first.")
@click.option("--bias-correction", is_flag=True, help="Biases take the mean error of their channel.")
@click.option(
    "--layer-images",
    type=COUNT,
    default=256,
    show_default=True,
    help="Calibration images that bias correction and learned rounding look at.",
)
@requantizer_option
@calibration_images_option("Number of images for the ranges, taken from the training split.")
@option(
    "--rounding-rule",
    "rule",
    old="--rounding",
    type=click.Choice(RULES),
    default=RULES[0],
    show_default=True,
    help="Rounding of the requantization, in the hardware.",
)
@input_option
@pixel_options
@click.option("--input-shape", type=NumberList(int), default=None, help="Shape C,H,W of an image; default: the data's.")
@model_output_options("the model's")
@json_option
@taking(Ptq)
def ptq(given: Ptq) -> int:
    """Quantize a trained float network to integers (post-training) and export a model directory.

    A factory is executed: it is your own code, a function or class that gives a torch.nn.Module.
    JSON keys: model, data, weight_bits, activation_bits (a number, or a list per layer), calibration,
    calibration_images, out, layers (name, op, snr_db, range_coverage).

    Example: python -m quant ptq --model lenet5 --data mnist --bits 8 --calibration minmax --out my-lenet5
    """
    check_outputs(model_dir.output(given.out), model=code_file(given.model), weights=given.weights)
    from quant.ptq.pipeline import quantize_module, work

    options = given.options()
    module, own_name, shape = given.load()
    images, _ = given.split("train", given.calibration_images)
    if given.input_shape is not None:
        shape = _height_width_channels(given.input_shape)
    check_images(given.model, shape, given.data, images)
    options = replace(options, encoding=encoding_of(given.encoding, images))
    look_at(module, images, own_name)
    texts: list[str] = []
    with bar("calibrating", work(options, len(images)), given.as_json) as advance:
        graph = quantize_module(
            module,
            images,
            name=given.name or f"{own_name}-{_widths(options)}",
            options=options,
            normalization=given.normalization(),
            class_names=datasets.CLASS_NAMES.get(given.data, ()),
            advance=advance,
            warn=texts.append,
        )
    for text in texts:
        warn(text)
    model_dir.save(graph, given.out)
    _print(graph, options, len(images), given)
    return EXIT_OK


def _print(graph: Graph, options: "PtqOptions", images: int, given: Ptq) -> None:
    layers = [{"name": layer.name, "op": layer.op, **layer.notes} for layer in graph.layers]
    if given.as_json:
        print_json(
            {
                "model": given.model,
                "data": given.data,
                "weight_bits": options.weight_bits,
                "activation_bits": options.activation_bits,
                "calibration": options.calibration,
                "calibration_images": images,
                "out": given.out,
                "layers": layers,
            }
        )
    else:
        rows = [(layer["name"], layer["op"], layer["snr_db"], layer["range_coverage"]) for layer in layers]
        print_table(f"{graph.name} -> {given.out}", ("layer", "operation", "SNR dB", "range coverage"), rows)


def _one_or_all(given: tuple[int, ...] | None, default: int) -> int | tuple[int, ...]:
    """A width, or a tuple of several, one per layer."""
    if given is None:
        return default
    return given[0] if len(given) == 1 else given


def _widths(options: "PtqOptions") -> str:
    """int8 where weights and activations have 8 bits, else w4a8 and the like; mixed where layers differ."""
    pair = options.weight_bits, options.activation_bits
    if any(isinstance(bits, tuple) for bits in pair):
        return "mixed"
    return f"int{pair[0]}" if pair[0] == pair[1] else f"w{pair[0]}a{pair[1]}"


def _height_width_channels(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ModelError(f"--input-shape {input_shape} must be three positive numbers C,H,W")
    channels, height, width = input_shape
    return height, width, channels
