"""`python -m quant ptq`: post-training quantization of a float network."""

from dataclasses import replace

import click

from accel import model_dir
from accel.cli import EXIT_OK, json_option, print_json, print_table
from accel.errors import ModelError
from accel.names import RULES
from accel.outputs import check_outputs
from quant.cli.options import (
    COUNT,
    MODEL_HELP,
    NumberList,
    bar,
    code_file,
    data_options,
    input_option,
    load_data,
    requantizer_option,
    warn,
    weight_range_option,
)
from quant.cli.user_input import check_images, encoding_of, look_at
from quant.data import datasets
from quant.names import CALIBRATIONS, GRANULARITIES, PERCENTILE, SCALES, SCHEMES, WEIGHT_LEVELS, WEIGHT_ROUNDINGS


def _choice(name, values, text):
    """An option with the values of a PtqOptions field; the first one is the default."""
    return click.option(name, type=click.Choice(values), default=values[0], show_default=True, help=text)


@click.command()
@click.option("--model", required=True, help=f"{MODEL_HELP[:1].upper()}{MODEL_HELP[1:]}.")
@click.option("--weights", type=click.Path(), default=None, help="Weights: .npz, .pt, .pth, .ckpt or .safetensors.")
@data_options("mnist")
@click.option("--bits", type=int, default=8, show_default=True, help="Bits of weights and activations.")
@click.option(
    "--weight-bits",
    type=NumberList(int),
    default=None,
    help="8, 6, 4, 2 or 1: one value, or one per layer with weights; default: --bits.",
)
@click.option(
    "--activation-bits",
    type=NumberList(int),
    default=None,
    help="8, 4 or 2 of the layers' outputs: one value, or one per output that is quantized; default: --bits. "
    "The input keeps 8, a last layer without a clamp puts out int32.",
)
@weight_range_option(default="symmetric")
@_choice(
    "--weight-levels",
    WEIGHT_LEVELS,
    "What weights may be: every integer, zero and powers of two, or sums and "
    "differences of two powers (for a shift-add array).",
)
@_choice(
    "--weight-rounding",
    WEIGHT_ROUNDINGS,
    "How weights become integers: to the nearest one, or learned from calibration "
    "images (AdaRound, GPTQ), or to the nearest one after scaling salient channels (AWQ).",
)
@_choice("--weight-calibration", CALIBRATIONS, "How the weights' ranges are found.")
@_choice("--granularity", GRANULARITIES, "One weight scale per output channel, or per layer.")
@_choice("--weight-scheme", SCHEMES, "affine is refused: the accelerator's weights have no zero point.")
@click.option(
    "--calibration",
    default="minmax",
    show_default=True,
    help=f"How the activations' ranges are found: {', '.join(CALIBRATIONS)}.",
)
@click.option(
    "--percentile",
    type=float,
    default=PERCENTILE,
    show_default=True,
    help="Share of the values inside the range, in per cent, where percentile is chosen.",
)
@_choice("--activation-scheme", SCHEMES[::-1], "symmetric: zero point 0, half of the range for a ReLU.")
@_choice(
    "--activation-granularity", GRANULARITIES[::-1], "channel is refused: the accelerator has one scale per tensor."
)
@_choice("--scales", SCALES, "pow2: every scale is a power of two, so every multiplier is a shift.")
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
@click.option(
    "--calibration-images",
    type=COUNT,
    default=1000,
    show_default=True,
    help="Number of images, taken from the training split.",
)
@click.option(
    "--rounding",
    "rule",
    type=click.Choice(RULES),
    default="half_up",
    show_default=True,
    help="Rounding of the requantization, in the hardware.",
)
@input_option
@click.option("--mean", type=NumberList(float), default="0", help="Mean of u/255, one or per channel.")
@click.option("--std", type=NumberList(float), default="1", help="Deviation of u/255, one or per channel.")
@click.option("--input-shape", type=NumberList(int), default=None, help="C,H,W; default: that of the images.")
@click.option("--name", default=None, help="Name written into the model; default: the model's.")
@click.option("--out", type=click.Path(), required=True, help="Model directory to write.")
@json_option
def ptq(
    model,
    weights,
    data,
    data_dir,
    bits,
    weight_bits,
    activation_bits,
    weight_range,
    weight_rounding,
    calibration_images,
    encoding,
    mean,
    std,
    input_shape,
    name,
    out,
    as_json,
    **choices,
):
    """Quantize a trained float network to integers (post-training) and export a model directory.

    A factory is executed: it is your own code, a function or class that gives a torch.nn.Module.
    JSON keys: model, data, weight_bits, activation_bits (a number, or a list per layer), calibration,
    calibration_images, out, layers (name, op, snr_db, range_coverage).

    Example: python -m quant ptq --model lenet5 --data mnist --bits 8 --calibration minmax --out my-lenet5
    """
    check_outputs(model_dir.output(out), model=code_file(model), weights=weights)
    from quant.models.sources import load_float_model
    from quant.ptq.pipeline import Normalization, quantize_module, work
    from quant.ptq.quantize import PtqOptions

    weight_bits, activation_bits = [_one_or_all(given, bits) for given in (weight_bits, activation_bits)]
    options = PtqOptions(
        weight_bits, activation_bits, full_range=weight_range == "full", weight_rounding=weight_rounding, **choices
    )
    module, own_name, shape = load_float_model(model, weights)
    images, _ = load_data(data, data_dir, "train", calibration_images)
    if input_shape is not None:
        shape = _height_width_channels(input_shape)
    check_images(model, shape, data, images)
    options = replace(options, encoding=encoding_of(encoding, images))
    look_at(module, images, own_name)
    texts = []
    with bar("calibrating", work(options, len(images)), as_json) as advance:
        graph = quantize_module(
            module,
            images,
            name=name or f"{own_name}-{_widths(options)}",
            options=options,
            normalization=Normalization(mean, std),
            class_names=datasets.CLASS_NAMES.get(data, ()),
            advance=advance,
            warn=texts.append,
        )
    for text in texts:
        warn(text)
    model_dir.save(graph, out)
    layers = [{"name": layer.name, "op": layer.op, **layer.notes} for layer in graph.layers]
    if as_json:
        print_json(
            {
                "model": model,
                "data": data,
                "weight_bits": options.weight_bits,
                "activation_bits": options.activation_bits,
                "calibration": options.calibration,
                "calibration_images": len(images),
                "out": out,
                "layers": layers,
            }
        )
    else:
        rows = [(layer["name"], layer["op"], layer["snr_db"], layer["range_coverage"]) for layer in layers]
        print_table(f"{graph.name} -> {out}", ("layer", "operation", "SNR dB", "range coverage"), rows)
    return EXIT_OK


def _one_or_all(given, default):
    """A width, or a tuple of several, one per layer."""
    if given is None:
        return default
    return given[0] if len(given) == 1 else given


def _widths(options):
    """int8 where weights and activations have 8 bits, else w4a8 and the like; mixed where layers differ."""
    pair = options.weight_bits, options.activation_bits
    if any(isinstance(bits, tuple) for bits in pair):
        return "mixed"
    return f"int{pair[0]}" if pair[0] == pair[1] else f"w{pair[0]}a{pair[1]}"


def _height_width_channels(input_shape):
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ModelError(f"--input-shape {input_shape} must be three positive numbers C,H,W")
    channels, height, width = input_shape
    return height, width, channels
