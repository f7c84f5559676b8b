"""How much each width of each layer's weights and output harms the network, one at a time.

loss: rise of the mean cross entropy. kl: mean KL divergence of the network's classes from the float network's, which
needs no labels and is never negative. hessian: half the mean trace of the loss' Hessian times the squared error of the
quantization, as in HAWQ-V2 (Dong et al., NeurIPS 2020, section 3; for activations section 3.3), the trace estimated by
Hutchinson's method: E[v' H v] for v of random signs. The sum over layers stands for the loss of a mixed network: an
assumption, which the search checks by measuring its best choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from accel.errors import UnsupportedError
from quant.names import SENSITIVITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accel.compile.choices import Widths
    from quant.search.probe import Figures, Probe

TRACE_SAMPLES = 16


@dataclass(frozen=True)
class Sensitivity:
    """weights, outputs: per layer {bits: harm}; outputs of a last layer that stays raw is empty. traces: per layer the
    mean Hessian trace of weights and output, or None."""

    measure: str
    weights: tuple[dict[int, float], ...]
    outputs: tuple[dict[int, float], ...]
    traces: tuple[tuple[float, float], ...] | None = None

    def losses(self, keys: Iterable[Iterable[Widths]]) -> tuple[dict[Widths, float], ...]:
        """Per layer {(input, weight, output bits): harm} for the keys of cost tables; an input's harm is counted
        where it is put out."""
        return tuple(
            {key: self.weights[index][key[1]] + self.outputs[index].get(key[2], 0.0) for key in table}
            for index, table in enumerate(keys)
        )


def sensitivity(
    probe: Probe,
    measure: str = "kl",
    *,
    samples: int = TRACE_SAMPLES,
    seed: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Sensitivity:
    """The Sensitivity of every layer of a Probe to all widths that it holds.

    samples, seed: of Hutchinson's method. advance is called once per layer. Raises UnsupportedError for an unknown
    measure.
    """
    if measure not in SENSITIVITIES:
        raise UnsupportedError(f"sensitivity '{measure}' is unknown; choose one of {', '.join(SENSITIVITIES)}")
    if measure == "hessian":
        return _by_trace(probe, samples, seed, advance)
    start = probe.figures(probe.inputs[-1].flatten(1))
    weights, outputs = [], []
    for index in range(len(probe.layers)):
        weights.append(
            {
                bits: _change(probe, measure, start, index, bits, None)
                for bits in probe.parameters[index]
                if isinstance(bits, int)
            }
        )
        outputs.append({bits: _change(probe, measure, start, index, None, bits) for bits in probe.quantizers[index]})
        advance()
    return Sensitivity(measure, tuple(weights), tuple(outputs))


@torch.no_grad()
def _change(
    probe: Probe, measure: str, start: Figures, index: int, weight_bits: int | None, output_bits: int | None
) -> float:
    """What one quantizer in layer `index` of the float network does."""
    x = probe.step(index, probe.inputs[index], weight_bits, output_bits)
    return getattr(probe.figures(probe.finish(x, index + 1)), measure) - getattr(start, measure)


def _by_trace(probe: Probe, samples: int, seed: int, advance: Callable[[], None]) -> Sensitivity:
    traces = hessian_traces(probe, samples, seed, advance)
    weights, outputs = [], []
    for index, pair in enumerate(traces):
        # An estimate below 0 would make narrow widths the better ones.
        by_weight, by_output = (max(trace, 0.0) for trace in pair)
        found = probe.parameters[index]
        error = {
            bits: float((found[bits][0] - found[None][0]).square().sum()) for bits in found if isinstance(bits, int)
        }
        weights.append({bits: by_weight * value / 2 for bits, value in error.items()})
        x = probe.inputs[index + 1]
        outputs.append(
            {
                bits: by_output * float((probe.quantized(index, x, bits) - x).square().sum()) / len(x) / 2
                for bits in probe.quantizers[index]
            }
        )
    return Sensitivity("hessian", tuple(weights), tuple(outputs), traces)


def hessian_traces(
    probe: Probe, samples: int, seed: int, advance: Callable[[], None] = lambda: None
) -> tuple[tuple[float, float], ...]:
    """Per layer (mean Hessian trace of the weights, of the output): trace / number of elements.

    The Hessian is that of the mean cross entropy; an output's trace is the mean over the images of the trace for one
    image's output (behind the pools).
    """
    generator = torch.Generator().manual_seed(seed)
    traces = []
    for index, layer in enumerate(probe.layers):
        weight, bias = probe.parameters[index][None]
        variable = weight.clone().requires_grad_()

        def by_weight(value: torch.Tensor, index: int = index, bias: torch.Tensor = bias) -> torch.Tensor:
            probe.parameters[index]["variable"] = value, bias
            try:
                return probe.finish(probe.step(index, probe.inputs[index], "variable", None), index + 1)
            finally:
                del probe.parameters[index]["variable"]

        weights = _trace(probe, by_weight, variable, samples, generator) / layer.weight.numel()
        output = probe.inputs[index + 1].clone().requires_grad_()
        # The mean loss weighs an image by 1/N: the sum over the images of these traces is the mean of the images' own.
        found = _trace(probe, partial(probe.finish, start=index + 1), output, samples, generator)
        traces.append((weights, found / output[0].numel()))
        advance()
    return tuple(traces)


def _trace(
    probe: Probe,
    network: Callable[[torch.Tensor], torch.Tensor],
    variable: torch.Tensor,
    samples: int,
    generator: torch.Generator,
) -> float:
    """Hutchinson's estimate of the trace of the Hessian of the mean cross entropy in `variable`."""
    loss = functional.cross_entropy(network(variable), probe.labels)
    (gradient,) = torch.autograd.grad(loss, variable, create_graph=True)
    total = 0.0
    for _ in range(samples):
        signs = torch.randint(0, 2, variable.shape, generator=generator).to(variable.dtype) * 2 - 1
        (product,) = torch.autograd.grad(gradient, variable, signs, retain_graph=True)
        total += float((product * signs).sum())
    return total / samples
