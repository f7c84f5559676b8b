"""The text part of a model directory: a graph without its weights and biases <-> plain JSON values.

Reading trusts nothing: keys, types and ranges are checked before a value is used, `accel.ir` checks the rest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from accel import checks, limits
from accel.errors import BitloomError, ModelError
from accel.fixedpoint import INT32_MAX, INT32_MIN
from accel.ir import LAYER_CLASSES, Conv2D, Dense, InputEncoding, MaxPool
from accel.tensor import Requantize, TensorType, Threshold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from accel.ir import Graph, Layer
    from accel.types import Ints, Json, Notes

FORMAT = "bitloom-model"
FORMAT_VERSION = 1
_TENSOR_KEYS = ("height", "width", "channels", "bits", "scale", "zero_point")
_REQUANTIZE_KEYS = ("rule", "multiplier", "shift", "qmin", "qmax")
THRESHOLD = "threshold"  # the rule of 1-bit outputs
_THRESHOLD_KEYS = ("rule", "threshold", "invert")
_WEIGHT_KEYS = ("weight_bits", "weight_scale", "requantize", "file", "bytes", "crc32")
_LAYER_KEYS = {
    "conv2d": ("kernel", "stride", "pads", *_WEIGHT_KEYS),
    "dense": _WEIGHT_KEYS,
    "maxpool": ("kernel", "stride", "pads"),
}


ReadWeights: TypeAlias = "Callable[[str, Notes, tuple[int, ...]], tuple[Ints, Ints]]"


def graph_to_dict(graph: Graph, files: Mapping[str, Notes]) -> Notes:
    """Plain values of a graph; `files` maps a layer's name to its {"file", "bytes", "crc32"}."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": graph.name,
        "input": _tensor_to_dict(graph.input),
        "encoding": {"kind": graph.encoding.kind, "mean": list(graph.encoding.mean), "std": list(graph.encoding.std)},
        "class_names": list(graph.class_names),
        "notes": plain_notes(graph.notes, graph.name),
        "layers": [_layer_to_dict(layer, files.get(layer.name, {})) for layer in graph.layers],
    }


def _tensor_to_dict(tensor: TensorType) -> Notes:
    return {key: getattr(tensor, key) for key in _TENSOR_KEYS}


def _layer_to_dict(layer: Layer, file_entry: Notes) -> Notes:
    values: Notes = {
        "op": layer.op,
        "name": layer.name,
        "input": layer.input_name,
        "output": _tensor_to_dict(layer.output),
    }
    if layer.op != "dense":
        values.update(kernel=[int(side) for side in layer.kernel], stride=list(layer.stride), pads=list(layer.pads))
    if layer.op != "maxpool":
        values.update(weight_bits=layer.weight_bits, weight_scale=layer.weight_scale.tolist(), requantize=None)
        if layer.requantize is not None:
            values["requantize"] = _requantize_to_dict(layer.requantize)
        values.update(file_entry)
    values["notes"] = plain_notes(layer.notes, layer.name)
    return values


def _requantize_to_dict(rule: Requantize | Threshold) -> Notes:
    if isinstance(rule, Threshold):
        return {"rule": THRESHOLD, "threshold": rule.threshold.tolist(), "invert": rule.invert.astype(int).tolist()}
    return {
        "rule": rule.rule,
        "multiplier": rule.multiplier.tolist(),
        "shift": rule.shift.tolist(),
        "qmin": rule.qmin,
        "qmax": rule.qmax,
    }


def plain_notes(notes: Notes, owner: str) -> Notes:
    """Notes as they come back from JSON; raises ModelError for values that JSON cannot hold."""
    limits.check_values(notes, f"{owner}: notes")
    return json.loads(json.dumps(notes))


def take(values: object, keys: Sequence[str], what: str) -> list[Any]:
    """The values of exactly these keys, in order; a missing or unknown key raises ModelError."""
    if not isinstance(values, dict):
        raise ModelError(f"{what} must be an object, not {checks.shorten(values)}")
    missing = [key for key in keys if key not in values]
    unknown = [key for key in values if key not in keys]
    if missing or unknown:
        problem = f"lacks {missing[0]!r}" if missing else f"has the unknown key {checks.shorten(unknown[0])}"
        raise ModelError(f"{what} {problem}; its keys are {', '.join(keys)}")
    return [values[key] for key in keys]


def check_format(values: object) -> None:
    """Raise ModelError unless the top-level object is a model of the version that is read here."""
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ModelError(f"model.json: is not a {FORMAT} file; its key 'format' must say so")
    version = values.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise ModelError(
            f"model.json: format version {checks.shorten(version)} is not supported, only "
            f"{FORMAT_VERSION}; export the model again with this version"
        )


def tensor_from_dict(values: object, what: str) -> TensorType:
    items = take(values, _TENSOR_KEYS, what)
    try:
        return TensorType(*items)
    except BitloomError as error:
        raise type(error)(f"{what}: {error}") from None


def encoding_from_dict(values: object) -> InputEncoding:
    return InputEncoding(*take(values, ("kind", "mean", "std"), "encoding"))


def layer_list(values: object) -> list[Json]:
    if not isinstance(values, list) or not 1 <= len(values) <= limits.MAX_LAYERS:
        raise ModelError(f"model.json: layers must be a list of 1..{limits.MAX_LAYERS} layers")
    return values


def layer_from_dict(values: object, index: int, tensor: TensorType, read_weights: ReadWeights) -> Layer:
    """One layer; `tensor` is its input's type.

    read_weights(what, file entry, weights shape, weight_bits) returns (weights, bias) of a layer that has
    them.
    """
    what = f"layers[{index}]"
    op = values.get("op") if isinstance(values, dict) else None
    if not isinstance(op, str) or op not in LAYER_CLASSES:
        raise ModelError(f"{what}: op must be one of {', '.join(LAYER_CLASSES)}, not {checks.shorten(op)}")
    keys = ("op", "name", "input", "output", *_LAYER_KEYS[op], "notes")
    entry = dict(zip(keys, take(values, keys, what), strict=True))
    name = checks.name(entry["name"], f"{what} name")
    output = tensor_from_dict(entry["output"], f"{name} output")
    input_name = checks.name(entry["input"], f"{name} input")
    if not isinstance(entry["notes"], dict):
        raise ModelError(f"{name}: notes must be an object")
    if op == "maxpool":
        return MaxPool(
            name, input_name, tensor, output, entry["kernel"], entry["stride"], entry["pads"], entry["notes"]
        )
    requantize = _requantize(entry["requantize"], output.channels, name)
    scales = _list(entry["weight_scale"], output.channels, f"{name}: weight_scale")
    scale = np.array([checks.real(value, f"{name}: weight_scale") for value in scales])
    if op == "dense":
        shape: tuple[int, ...] = (output.channels, tensor.elements)
    else:
        kernel = checks.integers(entry["kernel"], f"{name}: kernel", 2, 1, limits.MAX_SIDE)
        shape = (output.channels, *kernel, tensor.channels)
    weights, bias = read_weights(name, entry, shape)
    common = (name, input_name, tensor, output, weights, entry["weight_bits"], scale, bias)
    if op == "dense":
        return Dense(*common, requantize, entry["notes"])
    return Conv2D(*common, entry["stride"], entry["pads"], requantize, entry["notes"])


def _list(values: object, count: int, what: str) -> list[object]:
    if not isinstance(values, list) or len(values) != count:
        raise ModelError(f"{what} must be a list of {count} numbers, one per output channel")
    return values


def _requantize(values: object, channels: int, name: str) -> Requantize | Threshold | None:
    if values is None:
        return None
    if isinstance(values, dict) and values.get("rule") == THRESHOLD:
        return _threshold(values, channels, name)
    rule, multiplier, shift, qmin, qmax = take(values, _REQUANTIZE_KEYS, f"{name}: requantize")
    multiplier = _integer_list(multiplier, channels, f"{name}: multiplier", 0, 2**31 - 1)
    shift = _integer_list(shift, channels, f"{name}: shift", -31, 62)
    try:
        return Requantize(rule, multiplier, shift, qmin, qmax)
    except BitloomError as error:
        raise type(error)(f"{name}: {error}") from None


def _threshold(values: object, channels: int, name: str) -> Threshold:
    _, threshold, invert = take(values, _THRESHOLD_KEYS, f"{name}: requantize")
    return Threshold(
        _integer_list(threshold, channels, f"{name}: threshold", INT32_MIN, INT32_MAX + 1),
        _integer_list(invert, channels, f"{name}: invert", 0, 1).astype(bool),
    )


def _integer_list(values: object, count: int, what: str, low: int, high: int) -> Ints:
    return np.array([checks.integer(item, what, low, high) for item in _list(values, count, what)])


def dump(value: Json, indent: int = 0) -> str:
    """Deterministic JSON text: objects over several lines, lists of numbers and of texts on one line."""
    pad = "  " * (indent + 1)
    if isinstance(value, dict) and value:
        items = [f"{pad}{json.dumps(key)}: {dump(item, indent + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + "\n" + "  " * indent + "}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        items = [pad + dump(item, indent + 1) for item in value]
        return "[\n" + ",\n".join(items) + "\n" + "  " * indent + "]"
    return json.dumps(value, allow_nan=False)


def parse(text: str) -> Any:
    """JSON text -> values. Refused: NaN, infinity, repeated keys, and what is beyond the bounds of accel/limits.py."""
    if sum(map(text.count, ",:[{")) > limits.MAX_VALUES:  # before a value is made
        raise ModelError(f"model.json: holds more than {limits.MAX_VALUES} values")

    def pairs(items: list[tuple[str, Json]]) -> Notes:
        values = dict(items)
        if len(values) != len(items):
            raise ValueError("a key is used twice")
        return values

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not allowed")

    try:
        values = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_int=lambda digits: int(limits.check_number_text(digits)),
            parse_float=lambda digits: float(limits.check_number_text(digits)),
        )
    except RecursionError:
        raise ModelError(f"model.json: is nested too deeply, at most {limits.MAX_DEPTH} levels are allowed") from None
    except ValueError as error:
        raise ModelError(f"model.json: is not valid JSON ({checks.shorten(str(error), 100)})") from None
    limits.check_values(values, "model.json")
    return values
