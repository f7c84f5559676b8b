"""Named ways of post-training quantization, and how far an integer network is from its float network.

The divergence of the outputs needs no labels and no test images, and it is finer than an accuracy: it ranks ways that
classify the same images right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from accel import reference
from accel.errors import ModelError, UnsupportedError
from accel.tensor import RAW_BITS
from quant.models.call import run_module
from quant.models.train import to_float
from quant.ptq.options import PtqOptions
from quant.ptq.pipeline import quantize_module

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from accel.ir import Graph
    from accel.types import Bytes

BATCH = 250
LAYER_IMAGES = 1000

# What differs from the defaults: min-max ranges, rounding to nearest.
METHODS = {
    "nearest": {},
    "least squares": {"calibration": "mse", "weight_calibration": "mse"},
    "bias correction": {"bias_correction": True},
    "equalized": {"equalize": True, "bias_correction": True},
    "AWQ": {"weight_rounding": "awq"},
    "AdaRound": {"weight_rounding": "adaround", "weight_calibration": "mse"},
    "GPTQ": {"weight_rounding": "gptq"},
    "GPTQ, least squares": {"weight_rounding": "gptq", "weight_calibration": "mse"},
    "GPTQ, least squares for activations too": {
        "weight_rounding": "gptq",
        "weight_calibration": "mse",
        "calibration": "mse",
    },
}
OBSERVERS = {
    "min-max": {},
    "99.99 %": {"calibration": "percentile"},
    "99.9 %": {"calibration": "percentile", "percentile": 99.9},
    "KL divergence": {"calibration": "kl"},
    "squared error": {"calibration": "mse"},
}
LEVELS = {
    "uniform": {},
    "powers of two": {"weight_levels": "pow2"},
    "2-hot": {"weight_levels": "khot2"},
}


def quantize_by(
    module: torch.nn.Module,
    images: Bytes,
    widths: tuple[int | tuple[int, ...], int | tuple[int, ...]],
    changes: Mapping[str, Any],
    *,
    name: str = "network",
    layer_images: int = LAYER_IMAGES,
) -> Graph:
    """The ir.Graph of an nn.Module that reads u / 255.

    images: uint8 [N, H, W, C] for calibration. widths: (bits of the weights, of the activations), each one value or a
    tuple. changes: {field of PtqOptions: value}, as METHODS holds them.
    """
    options = PtqOptions(*widths, **{"layer_images": layer_images, **changes})
    return quantize_module(module, images, name=name, options=options)


@torch.no_grad()
def divergence(module: torch.nn.Module, graph: Graph, images: Bytes) -> float:
    """Mean KL divergence in nats from the float network's class probabilities to the integer network's.

    module: nn.Module that reads u / 255. images: uint8 [N, H, W, C]. Raises ModelError without images and
    UnsupportedError for a network that does not put out raw sums of the classes.
    """
    output = graph.layers[-1].output
    if output.bits != RAW_BITS or output.shape[:2] != (1, 1):
        raise UnsupportedError(
            f"{graph.name}: puts out {output.bits} bits of shape {output.shape}; the divergence needs raw int32 logits"
        )
    if not len(images):
        raise ModelError(f"{graph.name}: there are no images to compare on; pass some")
    total = 0.0
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        integers = reference.run(graph, reference.encode_input(graph, part))[graph.layers[-1].name]
        logits = torch.as_tensor(integers[:, 0, 0]).double() * output.scale
        wanted = torch.log_softmax(run_module(module, to_float(part)).double(), 1)
        total += float((wanted.exp() * (wanted - torch.log_softmax(logits, 1))).sum())
    return total / len(images)
