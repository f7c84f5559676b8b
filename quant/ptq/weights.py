"""Scales and integers of a layer's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from accel.errors import DataError
from quant.arithmetic import khot, scales
from quant.ptq import adaround, gptq
from quant.ptq.grid import Grid
from quant.ptq.histogram import histogram_of
from quant.ptq.ranges import kl_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from quant.frontend.floatnet import Weighted
    from quant.ptq.layer_data import LayerData
    from quant.ptq.options import PtqOptions

DEAD_CHANNEL_BIAS = 2**20
KL_CANDIDATES = 128
MSE_STEPS = 100
LEARNED: dict[str, Callable[..., torch.Tensor]] = {"adaround": adaround.round_weights, "gptq": gptq.round_weights}


def weight_integers(
    layer: Weighted, scale: torch.Tensor, bits: int, options: PtqOptions, data: LayerData | None = None
) -> torch.Tensor:
    """int64 weights like layer.weight in steps of the scale float64 [OC]: signs, or integers of the options' levels
    by their rounding. data: LayerData for a rounding that needs it. Raises DataError where it is missing."""
    weight = layer.weight
    columns = scale.reshape(-1, *(1,) * (weight.dim() - 1))
    if bits == 1:
        return torch.where(weight < 0, -1, 1)
    low, high = scales.weight_limits(bits, options.full_range)
    if options.weight_rounding in LEARNED:
        if data is None:
            raise DataError(
                f"{layer.name}: weight_rounding={options.weight_rounding} needs calibration images; pass images"
            )
        allowed = None if options.weight_levels == "uniform" else khot.levels(options.weight_levels, low, high)
        return LEARNED[options.weight_rounding](layer, scale, low, high, data, levels=allowed)
    if options.weight_levels != "uniform":
        return khot.round_weights(weight / columns, low, high, options.weight_levels)
    return scales.to_integers(weight, columns, 0, low, high)


def weight_scales(
    layer: Weighted, input_scale: float, bits: int, options: PtqOptions, per_tensor: bool
) -> torch.Tensor:
    """float64 [OC] scales (float32 values) of the weights, widened where a large bias would leave int32.

    per_tensor: one scale for all channels, as raw accumulators that are compared with each other need.
    """
    per_tensor = per_tensor or options.granularity == "tensor"
    rows = layer.weight.flatten(1)
    if per_tensor:
        rows = rows.reshape(1, -1)
    by_weight = _by_weight(rows, bits, options)
    if bits > 1:
        by_weight = scales.of_live_channels(by_weight, rows.abs().amax(1))
    by_weight = by_weight.expand(len(layer.weight))
    by_bias = layer.bias.abs() / (input_scale * scales.BIAS_LIMIT)
    if per_tensor:
        by_bias = by_bias.max().expand(len(layer.weight))
    # A channel without weights takes its scale from the bias alone, or the bias would be rounded coarsely.
    dead = (rows == 0).all(1) & (layer.bias != 0)
    by_weight = torch.where(dead, by_bias * (1 if bits == 1 else scales.BIAS_LIMIT / DEAD_CHANNEL_BIAS), by_weight)
    result = torch.maximum(by_weight, by_bias).clamp(min=scales.SMALLEST_SCALE).float().double()
    return scales.power_of_two(result) if options.scales == "pow2" else result


def _by_weight(rows: torch.Tensor, bits: int, options: PtqOptions) -> torch.Tensor:
    """float64 [R] scales of rows of weights [R, K], by the options' calibration."""
    if bits == 1:
        return _sign_scales(rows, options.scales == "pow2")
    largest = torch.tensor([_largest_scale(row, bits, options) for row in rows]).double()
    if options.weight_calibration == "minmax":
        return largest
    if options.weight_calibration == "mse":
        return _least_squares(rows, largest, bits, options)
    top = rows.abs().amax(1)
    if options.weight_calibration == "percentile":
        bound = torch.quantile(rows.abs().double(), options.percentile / 100, dim=1)
    else:
        grid = Grid(bits, symmetric=True)
        bound = torch.tensor(
            [kl_range(histogram_of(row), grid, KL_CANDIDATES)[1] if row.any() else 0.0 for row in rows]
        ).double()
    return torch.where((top > 0) & (bound > 0), largest * (bound / top.clamp(min=1e-300)), largest)


def _sign_scales(rows: torch.Tensor, pow2: bool) -> torch.Tensor:
    """The scale of signs with the smallest squared error: the mean of |w| (Rastegari et al. 2016, XNOR-Net)."""
    means = rows.abs().mean(1).float().double()
    means = means.clamp(min=scales.SMALLEST_SCALE)  # signs cannot be 0, so a channel of zeros needs this scale
    if not pow2:
        return means
    above = scales.power_of_two(means)
    return torch.where(means - above / 2 < above - means, above / 2, above)


def _largest_scale(row: torch.Tensor, bits: int, options: PtqOptions) -> float:
    """Scale at which one row's weights just fit: max|w| / largest level."""
    low, top = scales.integer_range(bits)
    if options.weight_levels == "pow2":
        top = 1 << (bits - 2)
    largest = float(row.abs().max())
    if options.full_range and float(row.max()) < largest:
        largest = max(float(row.max()), -float(row.min()) * top / -low)
    return max(scales.float32(largest / top), scales.SMALLEST_SCALE) if largest else 1.0


def _least_squares(rows: torch.Tensor, largest: torch.Tensor, bits: int, options: PtqOptions) -> torch.Tensor:
    """The share of the largest scale, in hundredths and then tenths of these, with the smallest squared error."""
    low, high = scales.weight_limits(bits, options.full_range)
    allowed = torch.tensor(khot.levels(options.weight_levels, low, high), dtype=torch.float64)
    middles = (allowed[1:] + allowed[:-1]) / 2

    def candidates(shares: torch.Tensor) -> torch.Tensor:
        wanted = shares * largest[:, None]
        return scales.power_of_two(wanted) if options.scales == "pow2" else wanted.float().double()

    def best_of(shares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = candidates(shares)
        errors = []
        for scale in wanted.T:
            steps = rows.double() / scale[:, None]
            errors.append((rows - allowed[torch.bucketize(steps, middles)] * scale[:, None]).square().sum(1))
        choice = torch.stack(errors, 1).argmin(1, keepdim=True)
        return shares.gather(1, choice), wanted.gather(1, choice)[:, 0]

    step = 1 / MSE_STEPS
    shares = torch.arange(MSE_STEPS, 0, -1, dtype=torch.float64) * step
    best, _ = best_of(shares.repeat(len(rows), 1))
    fine = torch.arange(10, -11, -1, dtype=torch.float64) * (step / 10)
    return best_of((best + fine).clamp(step / 10, 1.0))[1]
