"""PyTorch front end: captures an nn.Module with torch.export and reads its operators as a chain of float layers.

Every operator has a handler in `quant.frontend.operators`. What has none, or is refused by its own, is listed with its
layer's name; all refusals of a network come in one error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import fx

from accel.errors import UnsupportedError
from quant.frontend.capture import capture
from quant.frontend.floatnet import FloatNetwork
from quant.frontend.unwrap import own_copy, takes_vectors
from quant.frontend.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


def read_module(module: nn.Module, input_shape: Sequence[int], name: str = "network") -> FloatNetwork:
    """Read a trained module as a FloatNetwork.

    module: nn.Module over float [N, C, H, W], or over [N, C] where the input is (1, 1, C); it is copied, never
    changed. input_shape: (H, W, C). Raises UnsupportedError (every layer, attribute or data flow that is not
    supported), RangeError (NaN or infinity in a parameter), ModelError (the module fails on an input of this shape).
    Each message names the layers.
    """
    module = own_copy(module, name)
    height, width, channels = input_shape
    shape = height, width, channels
    captured = capture(module, _input_shapes(module, *shape), name)
    walk = Walk(captured, module, shape)
    result = walk.run(captured.graph)
    if isinstance(captured.output, fx.Node):
        walk.finish(result[-1], name)
    else:
        walk.refusals.add(name, f"{name}: {_output_reason(captured.output)}", UnsupportedError)
    walk.refusals.check(name)
    return FloatNetwork(name, shape, tuple(walk.reader.layers), tuple(walk.reader.notes))


def _input_shapes(module: nn.Module, height: int, width: int, channels: int) -> list[tuple[int, ...]]:
    """Shapes of one image to try, the likelier one first: a vector is given as [N, C] or as a map of one pixel."""
    image, vector = (channels, height, width), (channels,)
    if (height, width) != (1, 1):
        return [image]
    return [vector, image] if takes_vectors(module) else [image, vector]


def _output_reason(output: object) -> str:
    """Why what forward returned is not one tensor."""
    if isinstance(output, dict):
        return f"returns a dictionary with {', '.join(map(str, output))[:80]}; return the last layer's tensor alone"
    if isinstance(output, (tuple, list)):
        return f"returns a {type(output).__name__} of {len(output)}; return the last layer's tensor alone"
    return f"returns a {type(output).__name__}; return the last layer's tensor alone"
