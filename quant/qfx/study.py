"""The two measurements of learned fixed point: against post-training quantization, and where binary points end up
from other starts and at other learning rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.sources import load_float_model
from quant.models.train import accuracy, to_float
from quant.qat.train import QatOptions
from quant.qfx.baseline import float_scale_ptq
from quant.qfx.conversion import FixedOptions
from quant.qfx.layers import binary_points
from quant.qfx.learn import fine_tune, fixed_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    import torch

    from accel.types import Bytes, Ints, Notes
    from quant.qfx.conversion import FixedNetwork


@dataclass(frozen=True)
class Recipe:
    """How QFX trains at one width: on the first `images`, the points at `rate` times the learning rate; options:
    keywords of QatOptions."""

    images: int
    rate: float
    options: dict[str, Any]


def against_ptq(
    source: str,
    trained: tuple[Bytes, Ints],
    counted: tuple[Bytes, Ints],
    *,
    recipes: Mapping[int, Recipe],
    seeds: Sequence[int],
    gptq_images: int = 256,
    advance: Callable[[], None] = lambda: None,
) -> dict[int | str, Any]:
    """{width: {method: accuracy, 'qfx': [accuracy per seed]}} and the accuracy of the float network, which is a zoo
    name, under 'float'.

    trained, counted: (uint8 images [N, H, W, C], int64 labels). Weights and activations have the same width. Methods
    of post-training quantization: fixed-point formats with a binary point 'per tensor' or 'per channel' of the weights,
    of the maximum ('max') or of the least squared error ('mse'); 'float scales' per channel, rounded to 'nearest' or
    by 'gptq' with `gptq_images` images. QFX starts at 'per channel, mse' and trains. recipes: {width: Recipe}.
    advance() is called after each figure.
    """
    module, _, shape = load_float_model(source)
    images, labels = to_float(counted[0]), counted[1]
    prepared = prepare(read_module(module, shape or trained[0].shape[1:], source))

    def formats(width: int, per_channel: bool, start: str, rate: float = 1.0) -> FixedNetwork:
        chosen = FixedOptions(width, width, per_channel=per_channel, start=start, rate=rate)
        return fixed_network(module, trained[0], chosen)

    def share(network: Any) -> float:
        found = accuracy(network, images, labels)
        advance()
        return found

    figures: dict[int | str, Any] = {"float": share(module)}
    for width, recipe in recipes.items():
        found: dict[str, Any] = {}
        figures[width] = found
        for where, per_channel in (("tensor", False), ("channel", True)):
            for start in ("max", "mse"):
                found[f"per {where}, {start}"] = share(formats(width, per_channel, start))
        for rounding in ("nearest", "gptq"):
            network = float_scale_ptq(prepared, to_float(trained[0][:gptq_images]), width, rounding)
            found[f"float scales, {rounding}"] = share(network)
        found["qfx"] = []
        for seed in seeds:
            fixed = formats(width, True, "mse", recipe.rate)
            part = trained[0][: recipe.images], trained[1][: recipe.images]
            fine_tune(fixed, module, *part, QatOptions(seed=seed, **recipe.options))
            found["qfx"].append(share(fixed))
    return figures


def ablation(
    source: str,
    trained: tuple[Bytes, Ints],
    counted: tuple[Bytes, Ints],
    *,
    width: int,
    starts: Iterable[str | int],
    rates: Iterable[float],
    options: Mapping[str, Any],
    advance: Callable[[], None] = lambda: None,
) -> list[Notes]:
    """[{'start', 'rate', 'before', 'after': accuracy, 'points': {cast: (integer bits at the start, at the end)}}] for
    every start of the binary points ('max', 'mse' or integer bits for all) and every rate at which they learn.

    rates: multiples of the learning rate; 0 keeps the points. options: keywords of QatOptions. Other arguments as in
    `against_ptq`.
    """
    module, _, _ = load_float_model(source)
    images, labels = to_float(counted[0]), counted[1]
    runs = []
    for start in starts:
        for rate in rates:
            chosen = FixedOptions(width, width, start=start, rate=rate or 1.0, learn=rate > 0)
            fixed = fixed_network(module, trained[0], chosen)
            first, before = _integer_bits(fixed), accuracy(fixed, images, labels)
            fine_tune(fixed, module, *trained, QatOptions(**options))
            last = _integer_bits(fixed)
            runs.append(
                {
                    "start": start,
                    "rate": rate,
                    "before": before,
                    "after": accuracy(fixed, images, labels),
                    "points": {name: (bits, last[name]) for name, bits in first.items()},
                }
            )
            advance()
    return runs


def _integer_bits(fixed: torch.nn.Module) -> dict[str, int]:
    """{name of a cast: its integer bits} of a network with one binary point per tensor."""
    casts = dict(fixed.named_modules())
    return {name: casts[name].format.integer_bits for name in binary_points(fixed)}
