"""AWQ: input channels that matter are scaled up before the weights are rounded, and down in the layer before.

Lin et al. 2023, AWQ: activation-aware weight quantization, section 3.2: the factors are s_c = m_c^alpha with m_c
the mean |x| of input channel c, and a grid over alpha finds the smallest error of the layer's output. The inverse
factors go into the layer before, so the integer network has no operation more than without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch

from accel.errors import ModelError, UnsupportedError
from quant.arithmetic import scales
from quant.frontend import fold
from quant.frontend.floatnet import NO_CLAMP, FloatConv, FloatNetwork, has_weights, weighted
from quant.ptq.layer_data import unfold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.frontend.floatnet import Weighted

GRID = tuple(step / 20 for step in range(20))
ROWS = 8192  # positions of a layer that the search looks at
SMALLEST = 1e-4
Value = TypeVar("Value", int, int | None)


def scale_inputs(
    network: FloatNetwork,
    samples: torch.Tensor,
    bits: int | Sequence[int],
    *,
    activation_bits: int | Sequence[int | None] | None = None,
    full_range: bool = False,
    per_tensor: bool = False,
    grid: Sequence[float] = GRID,
    seed: int = 0,
) -> FloatNetwork:
    """The network with the same real function whose weights lose less when rounded: a FloatNetwork.

    samples: float64 [N, C, H, W], inputs of the network. bits: of the weights, one value or a list with one per layer
    with weights; 1-bit layers are left as they are. activation_bits: of the layers' inputs, one value or a list of
    the same length: when given, the search also counts the rounding of a layer's scaled input to so many bits; None
    looks at the weights alone, as the paper does. per_tensor: one weight scale for all channels of a layer, as a last
    layer without a clamp, which puts out raw sums, always has. grid: values of alpha; 0 leaves a layer as it is. seed:
    of the positions drawn. The first layer with weights keeps its input, as nothing before it could take the inverse
    factors. Raises UnsupportedError by name for a later layer whose input passes a clamp that is not a ReLU,
    ModelError for a list of another length.
    """
    chosen = [index for index, layer in enumerate(network.layers) if has_weights(layer)]
    widths = _per_layer(bits, chosen, "bits")
    input_widths = _per_layer(activation_bits, chosen, "activation_bits")
    inputs = _layer_inputs(network, samples)
    layers = network.layers
    for place in range(1, len(chosen)):
        before, index = chosen[place - 1], chosen[place]
        if widths[place] == 1:
            continue
        reason = fold.cannot_move_scale(layers, before)
        if reason is not None:
            raise UnsupportedError(
                f"{layers[index].name}: its input scales have no layer to go to, as "
                f"{layers[before].name} {reason}; use another rounding than awq"
            )
        layer = weighted(layers[index])
        raw = index == len(layers) - 1 and layer.clamp == NO_CLAMP
        factors = best_factors(
            layer,
            inputs[index],
            widths[place],
            input_widths[place],
            full_range=full_range,
            per_tensor=per_tensor or raw,
            grid=grid,
            seed=seed,
        )
        layers = fold.move_scale(layers, before, 1 / factors)
    return FloatNetwork(network.name, network.input_shape, tuple(layers))


def best_factors(
    layer: Weighted,
    inputs: torch.Tensor,
    bits: int,
    activation_bits: int | None = None,
    *,
    full_range: bool = False,
    per_tensor: bool = False,
    grid: Sequence[float] = GRID,
    seed: int = 0,
) -> torch.Tensor:
    """float64 [C]: the factors on the layer's input channels that give the smallest squared error of its output.

    layer: FloatConv or FloatDense. inputs: float64 [N, C, H, W]. The largest factor times the smallest is 1 (the
    authors' normalization). All ones where no factors are better.
    """
    magnitude = inputs.abs().mean((0, 2, 3))
    alive = magnitude > SMALLEST * magnitude.max()
    if not alive.any():
        return torch.ones_like(magnitude)
    # What is nearly never on says nothing of its weights: it gets the middle factor.
    middle = (magnitude[alive].max() * magnitude[alive].min()).sqrt()
    magnitude = torch.where(alive, magnitude, middle)
    positions = len(unfold(layer, inputs[:1]))
    rows = unfold(layer, inputs[:: max(len(inputs) * positions // (16 * ROWS), 1)])  # of every so many images
    if len(rows) > ROWS:
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:ROWS]]
    weight = layer.weight.flatten(1)
    wanted = (rows @ weight.T + layer.bias).clamp(*layer.clamp)
    best, lowest = torch.ones_like(magnitude), None
    for alpha in grid:
        factors = magnitude**alpha
        factors = factors / (factors.max() * factors.min()).sqrt()
        columns = _columns(layer, factors)
        given = rows / columns
        if activation_bits is not None:
            given = _rounded_inputs(given, inputs / factors[:, None, None], activation_bits)
        sums = given @ rounded(weight * columns, bits, full_range, per_tensor).T + layer.bias
        error = float((sums.clamp(*layer.clamp) - wanted).square().sum())
        if lowest is None or error < lowest:
            best, lowest = factors, error
    return best


def rounded(weight: torch.Tensor, bits: int, full_range: bool = False, per_tensor: bool = False) -> torch.Tensor:
    """Real weights [OC, K] after rounding to nearest with a scale per output channel, or one for all: max|w| / largest
    integer."""
    low, high = scales.weight_limits(bits, full_range)
    rows = weight.reshape(1, -1) if per_tensor else weight
    scale = torch.tensor([scales.symmetric_scale(float(row.abs().max()), bits) for row in rows]).double()[:, None]
    return scales.to_integers(weight, scale, 0, low, high) * scale


def _rounded_inputs(rows: torch.Tensor, inputs: torch.Tensor, bits: int) -> torch.Tensor:
    """The windows with the inputs rounded to a tensor of so many bits that spans their range."""
    scale, zero_point = scales.affine_scale(float(inputs.min()), float(inputs.max()), bits)
    return (scales.to_integers(rows, scale, zero_point, *scales.integer_range(bits)) - zero_point).double() * scale


def _columns(layer: Weighted, factors: torch.Tensor) -> torch.Tensor:
    """The factor of every column of weight.flatten(1)."""
    if isinstance(layer, FloatConv):
        return factors.repeat_interleave(layer.weight[0, 0].numel())
    return factors.repeat(layer.weight.shape[1] // len(factors))


def _layer_inputs(network: FloatNetwork, samples: torch.Tensor) -> dict[int, torch.Tensor]:
    """{index: float64 [N, C, H, W]} of every layer."""
    inputs = {}
    with torch.no_grad():
        for index, layer in enumerate(network.layers):
            inputs[index] = samples
            samples = layer.forward(samples)
    return inputs


def _per_layer(given: Value | Sequence[Value], chosen: Sequence[int], name: str) -> list[Value]:
    values = [given] * len(chosen) if given is None or isinstance(given, int) else list(given)
    if len(values) != len(chosen):
        raise ModelError(
            f"{name} {tuple(values)} has {len(values)} values for {len(chosen)} layers with weights; give "
            "one, or one per layer"
        )
    return values
