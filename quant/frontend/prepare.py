"""A float network together with its input encoding: what quantization starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from accel.errors import RangeError, UnsupportedError
from quant.arithmetic.scales import float32
from quant.frontend.floatnet import has_weights
from quant.frontend.fold import PIXEL_SCALE, fold_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel.types import Array
    from quant.frontend.floatnet import FloatNetwork


@dataclass(frozen=True, eq=False)
class PreparedNetwork:
    """A float network whose input is what the integer graph's input stands for.

    network: FloatNetwork over r. mean, std: tuples of the user's normalization. encoding: 'uint8' or 'float'.
    zero_point: of the uint8 input (None for float, where calibration decides). pixel_scale: what one grey level of it
    stands for.
    """

    network: FloatNetwork
    mean: tuple[float, ...]
    std: tuple[float, ...]
    encoding: str
    zero_point: int | None
    pixel_scale: float = PIXEL_SCALE

    def input_values(self, images: Array) -> torch.Tensor:
        """uint8 [N, H, W, C] (or normalized float32 images) -> float64 [N, C, H, W], the network's real
        input."""
        values = torch.as_tensor(images.copy()).permute(0, 3, 1, 2)
        if self.encoding == "uint8":
            if values.dtype != torch.uint8:
                raise UnsupportedError(
                    f"{self.network.name}: images have dtype {images.dtype} but the input "
                    "encoding is uint8; use --input float"
                )
            return (values.double() - ((self.zero_point or 0) + 128)) * float32(self.pixel_scale)
        if values.dtype != torch.uint8:
            return values.double()
        mean, std = (torch.tensor(item).float().reshape(-1, 1, 1) for item in (self.mean, self.std))
        return ((values.float() / 255 - mean) / std).double()


def with_pixel_scale(prepared: PreparedNetwork, pixel_scale: float) -> PreparedNetwork:
    """The PreparedNetwork over uint8 images with another real value of a grey level: the first layer with weights takes
    the ratio, so its outputs stay (max pools before it scale along). Raises UnsupportedError where there is none."""
    layers = prepared.network.layers
    found = next(((index, layer) for index, layer in enumerate(layers) if has_weights(layer)), None)
    if found is None:
        raise UnsupportedError(f"{prepared.network.name}: no layer has weights that could take the input's scale")
    first, weighted = found
    scaled = replace(weighted, weight=weighted.weight * (prepared.pixel_scale / pixel_scale))
    network = replace(prepared.network, layers=(*layers[:first], scaled, *layers[first + 1 :]))
    return replace(prepared, network=network, pixel_scale=pixel_scale)


def prepare(
    network: FloatNetwork, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,), encoding: str = "uint8"
) -> PreparedNetwork:
    """Fold the input normalization into the network (uint8) or leave it to the quantizer unit (float)."""
    channels = network.input_shape[2]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise UnsupportedError(
                f"{network.name}: {name} has {len(values)} values for {channels} "
                f"channel{'s' * (channels > 1)}; give one, or one per channel"
            )
    if not all(value > 0 for value in std):
        raise RangeError(f"{network.name}: std {tuple(std)} must be positive")
    if encoding == "float":
        return PreparedNetwork(network, tuple(mean), tuple(std), encoding, None)
    folded, zero_point = fold_input(network, mean, std)
    return PreparedNetwork(folded, tuple(mean), tuple(std), encoding, zero_point)
