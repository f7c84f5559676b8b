"""AdaRound: for every weight, learn whether it is rounded down or up.

Nagel et al. 2020, Up or down? Adaptive rounding for post-training quantization, section 3: the soft weights
s (below + h(V) (above - below)) with the rectified sigmoid h minimise the squared error of the layer's output behind
its ReLU, from the quantized network's inputs to the float network's outputs ("asymmetric reconstruction",
equation 25), while a regularizer whose exponent falls drives every h to 0 or 1 (equations 21 to 24).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from quant.ptq.layer_data import linear_problem
from quant.ptq.levels import as_levels, neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quant.frontend.floatnet import Weighted
    from quant.ptq.layer_data import LayerData

ZETA, GAMMA = 1.1, -0.1
ITERATIONS = 1000
ELEMENTS = 1 << 25  # of the unfolded inputs, at most


def round_weights(
    layer: Weighted,
    scale: torch.Tensor,
    low: int,
    high: int,
    data: LayerData,
    *,
    levels: Sequence[int] | None = None,
    iterations: int = ITERATIONS,
    batch: int = 256,
    rate: float = 0.05,
    strength: float = 0.1,
    warm_up: float = 0.2,
    exponents: tuple[float, float] = (20.0, 2.0),
    seed: int = 0,
    advance: Callable[[int], None] = lambda count: None,
) -> torch.Tensor:
    """int64 weights like layer.weight in steps of the scale, each beside its real value.

    layer: FloatConv or FloatDense. scale: float64 [OC]. low, high: outermost integers; levels: the integers allowed
    in between, all by default. data: LayerData. batch: positions per step. rate: of Adam. strength: weight of the
    regularizer beside the error, which counts in units of the error of rounding to nearest, so that no layer's
    magnitude matters (the paper takes the plain error). warm_up: share of the iterations without the regularizer; then
    its exponent falls along a cosine from exponents[0] to exponents[1]. seed: of the batches. advance(1) is called per
    iteration. Raises DataError where the data do not fit the layer.
    """
    width = layer.weight.flatten(1).shape[1]
    rows, targets = linear_problem(layer, data, limit=max(ELEMENTS // width, 1), seed=seed)
    values = layer.weight.flatten(1).double() / scale[:, None]
    below, above = neighbours(values, as_levels(levels, low, high))
    problem = _Reconstruction(rows, targets, layer, scale)
    share = ((values - below) / (above - below).clamp(min=1)).clamp(0, 1)
    unit = problem.error(torch.where(share > 0.5, above, below), slice(None)).clamp(min=1e-30)
    variables = torch.log((share - GAMMA) / (ZETA - share)).float().requires_grad_()
    step, base = (above - below).float(), below.float()
    optimizer = torch.optim.Adam([variables], lr=rate)
    generator = torch.Generator().manual_seed(seed)
    for iteration in range(iterations):
        chosen = torch.randint(len(rows), (min(batch, len(rows)),), generator=generator)
        soft = rectified_sigmoid(variables)
        loss = problem.error(base + soft * step, chosen) / unit
        exponent = annealed(iteration / iterations, warm_up, exponents)
        if exponent is not None:
            loss = loss + strength * rounding_penalty(soft, exponent).sum() / len(values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        advance(1)
    with torch.no_grad():
        up = rectified_sigmoid(variables) > 0.5
    return torch.where(up, above, below).long().reshape(layer.weight.shape)


class _Reconstruction:
    """The squared error of a layer's clamped outputs, a mean over positions and a sum over channels, in float32."""

    def __init__(self, rows: torch.Tensor, targets: torch.Tensor, layer: Weighted, scale: torch.Tensor) -> None:
        self.rows, self.scale, self.clamp = rows.float(), scale.float()[:, None], layer.clamp
        self.bias = layer.bias.float()
        self.wanted = (targets + layer.bias).clamp(*layer.clamp).float()

    def error(self, steps: torch.Tensor, chosen: torch.Tensor | slice) -> torch.Tensor:
        """steps: [OC, K] weights in steps of the scale. chosen: positions to count."""
        outputs = (self.rows[chosen] @ (steps.float() * self.scale).T + self.bias).clamp(*self.clamp)
        return (outputs - self.wanted[chosen]).square().sum(1).mean()


def rectified_sigmoid(variables: torch.Tensor) -> torch.Tensor:
    """h(V) = clamp(sigmoid(V) (zeta - gamma) + gamma, 0, 1), zeta = 1.1, gamma = -0.1 (equation 23)."""
    return (torch.sigmoid(variables) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def rounding_penalty(soft: torch.Tensor, exponent: float) -> torch.Tensor:
    """1 - |2 h - 1|^beta, element by element: 0 at h = 0 and 1, 1 at h = 1/2 (equation 24)."""
    return 1 - (2 * soft - 1).abs() ** exponent


def annealed(progress: float, warm_up: float, exponents: tuple[float, float]) -> float | None:
    """Exponent beta at a progress of 0..1: None during the warm-up, then along half a cosine from the first to the
    second."""
    if progress < warm_up:
        return None
    start, end = exponents
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))
