"""What may end a classifier: softmax and the like keep the order of the classes, so they are left out with a note."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accel.errors import UnsupportedError

if TYPE_CHECKING:
    from quant.frontend.reader import Reader
    from quant.frontend.values import Handler, Value


def _end(reader: Reader, x: Value) -> Value:
    if x.ended is None:
        reader.need_images(x)
        reader.need_last(x)
        reader.notes.append(
            f"{reader.label} is left out: the network puts out the values before it, whose largest one "
            "is the same class"
        )
    return replace(x, ended=x.ended or reader.label)


def over_classes(reader: Reader, x: Value, dim: int | None = None, **_options: object) -> Value:
    """softmax, log_softmax, argmax over the axis of the classes."""
    axes = reader.node.all_input_nodes[0].meta["val"].dim()  # behind another end `dims` is no longer followed
    is_class = dim is not None and (
        dim % axes == 1 and (x.is_map() or x.dims[1:] == (x.elements,)) if x.ended is None else dim % axes != 0
    )
    if not is_class:
        reader.refuse(
            f"runs over axis {dim} of [N, {', '.join(map(str, x.dims[1:]))}]; only the axis of the classes, "
            "dim=1, is supported"
        )
    return _end(reader, x)


def per_value(reader: Reader, x: Value, **_options: object) -> Value:
    """sigmoid of a vector: logits keep their order, and 0.5 is where they are 0."""
    if x.shape[:2] != (1, 1) and x.ended is None:
        raise UnsupportedError(f"{reader.label} is not supported")
    return _end(reader, x)


def maximum_of(reader: Reader, x: Value, dim: int, keepdim: bool = False) -> tuple[None, Value]:
    """max over the classes: (their largest value, which cannot be put out; the class)."""
    if any(user.args[1] != 1 for user in reader.node.users):
        reader.refuse("puts out the largest value; only the class, max(1)[1], is supported")
    return None, over_classes(reader, x, dim)


def log(reader: Reader, x: Value) -> Value:
    """The logarithm of what was a softmax."""
    if x.ended is None:
        reader.refuse("is not supported; leave out the logarithm")
    return x


OPERATORS: dict[str, Handler] = {
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax", "argmax"), over_classes),
    **dict.fromkeys(("sigmoid", "log_sigmoid"), per_value),
    "max.dim": maximum_of,
    "log": log,
}
