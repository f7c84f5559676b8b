"""GPTQ: weights are rounded column by column, and what a column loses the columns behind it make good.

Frantar et al. 2022, GPTQ: accurate post-training quantization for generative pre-trained transformers, section 3.
The rows of a layer are independent: each minimises (q s - w)^T H (q s - w) with H = 2 X^T X over the layer's inputs X.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from quant.ptq.layer_data import normal_equations
from quant.ptq.levels import as_levels, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.frontend.floatnet import Weighted
    from quant.ptq.layer_data import LayerData

DAMPING = 0.01
BLOCK = 128


def round_weights(
    layer: Weighted,
    scale: torch.Tensor,
    low: int,
    high: int,
    data: LayerData,
    *,
    levels: Sequence[int] | None = None,
    damping: float = DAMPING,
    block: int = BLOCK,
    order: bool = True,
    compensate: bool = True,
) -> torch.Tensor:
    """int64 weights like layer.weight in steps of the scale.

    layer: FloatConv or FloatDense. scale: float64 [OC]. low, high: outermost integers; levels: the integers allowed
    in between, all by default. data: LayerData. damping: share of the mean diagonal that is added to H's diagonal.
    block: columns whose updates of the columns behind the block are done at once. order: the columns of the largest
    diagonal first ("act order" of the authors' code). compensate: round the weights that come closest to the targets
    with the quantized inputs instead of the float weights, so that errors of earlier layers are made good too.
    Raises DataError where the data do not fit the layer.
    """
    gram, cross = normal_equations(layer, data)
    hessian = damped(gram, damping)
    weight = layer.weight.flatten(1).double()
    if compensate:
        weight = weight + torch.linalg.solve(hessian, cross - gram @ weight.T).T
    columns = torch.argsort(hessian.diagonal(), descending=True, stable=True) if order else torch.arange(len(hessian))
    integers = round_columns(
        weight[:, columns] / scale[:, None], hessian[columns][:, columns], as_levels(levels, low, high), block
    )
    result = torch.empty_like(integers)
    result[:, columns] = integers
    return result.reshape(layer.weight.shape)


def damped(gram: torch.Tensor, damping: float) -> torch.Tensor:
    """gram [K, K] + damping * mean of its diagonal on the diagonal; the identity for inputs that are all zero."""
    mean = gram.diagonal().mean()
    return gram + torch.eye(len(gram), dtype=gram.dtype) * (damping * mean if mean > 0 else 1.0)


def round_columns(
    values: torch.Tensor, hessian: torch.Tensor, levels: torch.Tensor, block: int = BLOCK
) -> torch.Tensor:
    """int64 [R, K] levels for values float64 [R, K] (in steps), columns in the order given (algorithm 1).

    hessian: float64 [K, K], positive definite; a factor on it changes nothing. With U the upper Cholesky factor of
    its inverse, column i's error e = (v_i - q_i) / U_ii goes into the columns behind it as e U_i,i+1... .
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    factor = torch.linalg.cholesky(inverse, upper=True)
    values = values.clone()
    result = torch.empty_like(values, dtype=torch.int64)
    width = values.shape[1]
    for start in range(0, width, block):
        stop = min(start + block, width)
        part, errors = values[:, start:stop], torch.empty_like(values[:, start:stop])
        local = factor[start:stop, start:stop]
        for column in range(stop - start):
            integers = nearest(part[:, column], levels)
            result[:, start + column] = integers.long()
            errors[:, column] = (part[:, column] - integers) / local[column, column]
            part[:, column:] -= errors[:, column, None] * local[column, column:]
        values[:, stop:] -= errors @ factor[start:stop, stop:]
    return result
