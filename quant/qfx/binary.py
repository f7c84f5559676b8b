"""A LeNet-5 with 1-bit weights whose element-wise layers multiply: by 8-bit numbers, or by sums of two shifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from quant.models.sources import load_float_model
from quant.models.train import to_float
from quant.qat.train import QatOptions, train_qat
from quant.qfx.elementwise import FixedBatchNorm
from quant.qfx.export import export
from quant.qfx.layers import FixedConv2d, FixedInput, FixedLinear

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from accel.ir import Graph
    from accel.types import Bytes, Ints
    from quant.models.loop import OnEpoch

SHAPE = (28, 28, 1)
MULTIPLIER_BITS = 8
EDGE_BITS = 8  # weights of the first and the last layer


def binary_lenet5(float_module: nn.Module, hot: int | None = None, activation: int = 4) -> nn.Sequential:
    """Fixed-point LeNet-5 from the float one: weights of 1 bit but in the first and the last layer, `activation` bits
    in between, a FixedBatchNorm (y = w * (x + b) per channel) behind every layer but the last.

    hot: at most so many powers of two in a multiplier w; None: any of 8 bits.
    """
    weighted = [part for part in float_module.modules() if isinstance(part, (nn.Conv2d, nn.Linear))]
    pixels = FixedInput()
    parts: list[nn.Module] = [pixels]
    for number, layer in enumerate(weighted):
        first, last = number == 0, number == len(weighted) - 1
        widths = {"weight_width": EDGE_BITS if first or last else 1, "input_width": None if first else activation}
        if isinstance(layer, nn.Conv2d):
            fixed: FixedConv2d | FixedLinear = FixedConv2d.of(layer, **widths)
        else:
            fixed = FixedLinear.of(layer, **widths)
            if isinstance(weighted[number - 1], nn.Conv2d):
                parts.append(nn.Flatten())
        parts.append(fixed.reads(pixels) if first else fixed)
        if last:
            break
        parts += [FixedBatchNorm(layer.weight.shape[0], width=MULTIPLIER_BITS, hot=hot, behind=fixed), nn.ReLU()]
        if isinstance(layer, nn.Conv2d):
            parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts)


def trained_graph(
    trained: tuple[Bytes, Ints],
    *,
    hot: int | None,
    activation: int = 4,
    options: Mapping[str, Any] | None = None,
    on_epoch: OnEpoch | None = None,
) -> Graph:
    """The ir.Graph of a trained `binary_lenet5`; with hot=2 for builds with requantizer=khot2.

    trained: (uint8 images [N, 28, 28, 1], int64 labels). options: keywords of QatOptions.
    """
    module, _, shape = load_float_model("lenet5")
    images, labels = trained
    network = binary_lenet5(module, hot, activation)
    train_qat(network, module, to_float(images), labels, QatOptions(**(options or {})), on_epoch)
    kind = "multiplier" if hot is None else f"{hot}-hot"
    return export(
        network.double(),
        f"lenet5-w1a{activation}-{kind}",
        shape or SHAPE,
        requantizer="full" if hot is None else f"khot{hot}",
    )
