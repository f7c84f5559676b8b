"""Operators that compute nothing: other shapes and orders of the same values, copies, casts between floats, dropout."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from quant.frontend.values import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from quant.frontend.reader import Reader
    from quant.frontend.values import Handler


def unchanged(reader: Reader, x: Value, **_options: object) -> Value:
    """Copies and marks: the same values."""
    return x


def cast(reader: Reader, x: Value, dtype: torch.dtype | None = None, **_options: object) -> Value:
    """A cast between floating types changes nothing that quantization would keep; one to integers does."""
    if dtype is not None and not dtype.is_floating_point and x.ended is None:
        reader.refuse(f"casts to {dtype}; only floating types are supported inside a network")
    return x


def dropout(reader: Reader, x: Value, p: float = 0.5, train: bool = False) -> Value:
    """Nothing at inference."""
    if train and p:
        reader.refuse("drops values at inference too; pass training=self.training or use nn.Dropout")
    return x


def rearranged(reader: Reader, x: Value, view: Callable[[torch.Tensor], torch.Tensor]) -> Value:
    """The Value after a view, which `view` makes of an index tensor."""
    if x.ended:
        return x
    before = x.order()
    after = view(before)
    if x.padding and after.shape != before.shape:
        reader.no_padding(x)
    natural = torch.equal(after.reshape(-1), torch.arange(after.numel()))
    return replace(x, dims=tuple(after.shape), index=None if natural else after)


def reader_of_views(function: Callable[..., torch.Tensor]) -> Handler:
    """The handler of an operator that only moves values: it is run on their positions."""

    def handler(reader: Reader, x: Value, **arguments: Any) -> Value:
        plain = {key: list(value.dims) if isinstance(value, Value) else value for key, value in arguments.items()}
        return rearranged(reader, x, lambda index: function(index, **plain))

    return handler


def _transpose(
    places: torch.Tensor,
    dim0: int | None = None,
    dim1: int | None = None,
    axis0: int | None = None,
    axis1: int | None = None,
) -> torch.Tensor:
    first, second = (dim if dim is not None else axis for dim, axis in ((dim0, axis0), (dim1, axis1)))
    return places.transpose(first or 0, second or 0)


def _squeeze(places: torch.Tensor, dim: int | Sequence[int] | None = None) -> torch.Tensor:
    if dim is None:
        return places.squeeze()
    return places.squeeze(dim) if isinstance(dim, int) else places.squeeze(tuple(dim))


def _slice(
    places: torch.Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> torch.Tensor:
    return places[(slice(None),) * (dim % places.dim()) + (slice(start, end, step),)]


VIEWS: dict[str, Callable[..., torch.Tensor]] = {
    "view": lambda places, size: places.reshape(size),
    "reshape": lambda places, shape: places.reshape(shape),
    "_unsafe_view": lambda places, size: places.reshape(size),
    "view_as": lambda places, other: places.reshape(other),
    "reshape_as": lambda places, other: places.reshape(other),
    "flatten": lambda places, start_dim=0, end_dim=-1, **_names: places.flatten(start_dim, end_dim),
    "unflatten": lambda places, dim, sizes, **_names: places.unflatten(dim, sizes),
    "squeeze": _squeeze,
    "unsqueeze": lambda places, dim: places.unsqueeze(dim),
    "permute": lambda places, dims: places.permute(dims),
    "movedim": lambda places, source, destination: places.movedim(source, destination),
    "moveaxis": lambda places, source, destination: places.movedim(source, destination),
    "transpose": _transpose,
    "swapaxes": _transpose,
    "swapdims": lambda places, dim0, dim1: places.transpose(dim0, dim1),
    "t": lambda places: places.t(),
    "numpy_T": lambda places: places.permute(*reversed(range(places.dim()))),
    "ravel": lambda places: places.reshape(-1),
    "expand": lambda places, size, implicit=False: places.expand(size),
    "select": lambda places, dim, index: places.select(dim, index),
    "slice": _slice,
    "narrow": lambda places, dim, start, length: places.narrow(dim, start, length),
    "flip": lambda places, dims: places.flip(dims),
}
OPERATORS: dict[str, Handler] = {
    **{name: reader_of_views(function) for name, function in VIEWS.items()},
    **dict.fromkeys(
        ("detach", "clone", "contiguous", "alias", "lift_fresh_copy", "lift_fresh", "positive", "requires_grad"),
        unchanged,
    ),
    **dict.fromkeys(("to", "_to_copy", "type_as"), cast),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), dropout),
}
