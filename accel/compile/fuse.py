"""Joins each layer with weights and the max pool behind it into one stage of the accelerator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accel.descriptor import FIELDS
from accel.errors import UnsupportedError
from accel.ir import Conv2D, Dense, MaxPool

if TYPE_CHECKING:
    from accel.ir import Graph
    from accel.tensor import TensorType

MAX_POOL_SIDE = 2 ** FIELDS["pool_kh_minus1"].bits
MAX_POOL_PAD = 2 ** FIELDS["pool_pad_top"].bits - 1


@dataclass(frozen=True)
class Stage:
    """One run of the accelerator: a convolution or dense layer, then maybe a max pool."""

    layer: Conv2D | Dense
    pool: MaxPool | None = None

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def output_name(self) -> str:
        """The graph layer whose output this stage puts out."""
        return (self.pool or self.layer).name

    @property
    def output(self) -> TensorType:
        """TensorType that this stage puts out."""
        return (self.pool or self.layer).output

    @property
    def computed_size(self) -> tuple[int, int]:
        """(rows, columns) of the convolution that are needed: a pool that rounds down leaves some out."""
        rows, columns = self.layer.output.shape[:2]
        if self.pool is None:
            return rows, columns
        (kh, kw), (top, _, left, _) = self.pool.kernel, self.pool.pads
        return min(rows, self.output.height * kh - top), min(columns, self.output.width * kw - left)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the outputs that are needed, those on padding included: the work that a utilization
        counts. The graph's `layer.macs` has all outputs."""
        rows, columns = self.computed_size
        return rows * columns * self.layer.weights.size


def fuse_pools(graph: Graph) -> tuple[Stage, ...]:
    """The stages of a prepared graph. Raises UnsupportedError for a pool that the hardware does not have."""
    stages: list[Stage] = []
    for layer in graph.layers:
        if layer.op == "maxpool":
            _check_pool(layer)
            stages[-1] = Stage(stages[-1].layer, layer)
        else:
            stages.append(Stage(layer))
    return tuple(stages)


def _check_pool(pool: MaxPool) -> None:
    sides = zip(("height", "width"), pool.kernel, pool.stride, pool.output.shape[:2], strict=False)
    for side, kernel, stride, outputs in sides:
        if stride != kernel and outputs > 1:
            raise UnsupportedError(
                f"{pool.name}: a max pool of {side} {kernel} with stride {stride} is not "
                "supported; "
                "stride and kernel must be equal; change the pool and train the model again"
            )
        if kernel > MAX_POOL_SIDE:
            raise UnsupportedError(
                f"{pool.name}: a max pool of {side} {kernel} is not supported, at most "
                f"{MAX_POOL_SIDE}; use two pools in a row"
            )
    if max(pool.pads[0], pool.pads[2]) > MAX_POOL_PAD:
        raise UnsupportedError(f"{pool.name}: pads {pool.pads} of a max pool are not supported, at most {MAX_POOL_PAD}")
