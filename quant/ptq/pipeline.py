"""The whole way of post-training quantization: float module -> integer graph with its feasibility figures."""

from dataclasses import dataclass

from quant.check.feasibility import FeasibilityCheck, annotate
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.ptq import observe
from quant.ptq.quantize import PtqOptions, quantize

BATCH = 100


@dataclass(frozen=True)
class Normalization:
    """The network reads x = (u / 255 - mean) / std of an image u; one value, or one per channel, each."""

    mean: tuple = (0.0,)
    std: tuple = (1.0,)


def batches(images, size=BATCH):
    """Consecutive parts of [N, H, W, C], at most `size` images each."""
    return (images[start:start + size] for start in range(0, len(images), size))


def quantize_module(module, images, *, name="network", normalization=None, options=None, calibration="minmax",
                    class_names=(), input_shape=None, advance=lambda count: None):
    """Post-training quantization of an nn.Module: an ir.Graph whose notes carry SNR and range coverage.

    images: calibration images [N, H, W, C], uint8 (or float32, already normalized, for the float input
    encoding).
    advance(count) is called per batch, twice per image. Raises the errors of the front end, calibration and
    quantizer.
    """
    options, normalization = options or PtqOptions(), normalization or Normalization()
    network = read_module(module, input_shape or images.shape[1:], name)
    prepared = prepare(network, normalization.mean, normalization.std, options.encoding)

    def observed():
        for batch in batches(images):
            yield prepared.input_values(batch)
            advance(len(batch))

    ranges = observe.calibrate(prepared.network, observed(), calibration)
    graph = quantize(prepared, ranges, options, class_names)
    check = FeasibilityCheck(prepared, graph)
    for batch in batches(images):
        check.add(batch)
        advance(len(batch))
    notes = {"calibration": calibration, "calibration_images": len(images), "rounding": options.rule}
    return annotate(graph, check.figures(), notes)
