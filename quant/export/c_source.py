"""A quantized network as constant tables in C99: a header and a source, nothing but data.

The header declares the types `bitloom_tensor` and `bitloom_layer`, one array per table, and the chain of layers as an
array of structures. Names are those of the graph, with '_' for what C does not allow. `bitloom_run.h` beside them
computes a layer from its structure.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from accel.errors import RangeError
from accel.model_dir import packed_weights
from accel.tensor import Threshold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from numpy.typing import NDArray

    from accel.ir import Graph, Layer
    from accel.tensor import TensorType

RUN_HEADER = "bitloom_run.h"
# Names that `#include` finds elsewhere: a graph's own header must not stand in their place.
TAKEN = (
    "assert bitloom_run complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg "
    "stdbool stddef stdint stdio stdlib string tgmath time wchar wctype"
).split()
COLUMNS = 120
_OPERATIONS = {"conv2d": "BITLOOM_CONV2D", "dense": "BITLOOM_DENSE", "maxpool": "BITLOOM_MAXPOOL"}
_RULES = {"half_up": "BITLOOM_HALF_UP", "half_away": "BITLOOM_HALF_AWAY", "gemmlowp": "BITLOOM_GEMMLOWP"}

TYPES = """\
#ifndef BITLOOM_TYPES
#define BITLOOM_TYPES

enum { BITLOOM_CONV2D, BITLOOM_DENSE, BITLOOM_MAXPOOL };
enum { BITLOOM_RAW, BITLOOM_HALF_UP, BITLOOM_HALF_AWAY, BITLOOM_GEMMLOWP, BITLOOM_THRESHOLD };

/* real = scale * (q - zero_point); bits 8, 4, 2, 1 (-1 and +1), 32: raw accumulators; NHWC. */
typedef struct {
    int32_t height, width, channels, bits, zero_point;
    float scale;
} bitloom_tensor;

/* Weights are rows of row_bytes bytes, [output channel][kernel y][kernel x] (dense: [output channel]). Of 8 bits they
   are int8_t, one a channel. Narrower ones are packed in uint8_t: within a row the weight of channel c lies at bits
   c * weight_bits upwards, two's complement; 1 bit: set means +1. */
typedef struct {
    const char *name;
    int32_t op, rule;
    bitloom_tensor input, output;
    int32_t kernel_height, kernel_width, stride_y, stride_x;
    int32_t pad_top, pad_bottom, pad_left, pad_right;
    int32_t weight_bits, row_bytes;
    const void *weight;          /* int8_t, or uint8_t where they are packed */
    const float *weight_scale;   /* one per output channel, as the following */
    const int32_t *bias;         /* in steps of input.scale * weight_scale */
    const int32_t *multiplier;   /* 0 for raw accumulators and thresholds */
    const int8_t *shift;
    int32_t qmin, qmax;
    const int64_t *threshold;    /* of 1-bit outputs, else 0 */
    const uint8_t *invert;
} bitloom_layer;

#endif
"""


Arrays: TypeAlias = dict[str, tuple[str, str, NDArray[Any]]]  # {field: (C type, full name, 1-d values)}


def c_files(graph: Graph) -> dict[str, str]:
    """{file name: text} of a graph: header, source and the header with functions.

    Raises RangeError for a scale that float does not hold.
    """
    prefix = c_name(graph.name)
    names = _layer_names(graph)
    arrays = [_arrays(f"{prefix}_{names[layer.name]}", layer) for layer in graph.layers]
    run = (Path(__file__).parent / RUN_HEADER).read_text(encoding="utf-8")
    texts = _header(graph, prefix, arrays), _source(graph, prefix, arrays), run
    return dict(zip((f"{prefix}.h", f"{prefix}.c", RUN_HEADER), texts, strict=True))


def c_name(text: str) -> str:
    """A name of the graph as a C identifier and the name of a header of its own."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    if name in TAKEN:
        return f"net_{name}"
    return f"net{name}" if name[:1] in "_0123456789" else name


def _layer_names(graph: Graph) -> dict[str, str]:
    """{layer name: C name}; where '_' makes two alike, the later one gets a number."""
    taken: set[str] = set()
    names: dict[str, str] = {}
    for layer in graph.layers:
        base = name = re.sub(r"[^A-Za-z0-9_]", "_", layer.name)
        number = 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        names[layer.name] = name
    return names


def _arrays(prefix: str, layer: Layer) -> Arrays:
    """{field: (C type, full name, 1-d values)} of a layer's tables."""
    if layer.op == "maxpool":
        return {}
    packed = packed_weights(layer)
    found: dict[str, tuple[str, NDArray[Any]]] = {
        "weight": ("int8_t", packed.view(np.int8)) if layer.weight_bits == 8 else ("uint8_t", packed),
        "weight_scale": ("float", layer.weight_scale),
        "bias": ("int32_t", layer.bias),
    }
    rule = layer.requantize
    if isinstance(rule, Threshold):
        found |= {"threshold": ("int64_t", rule.threshold), "invert": ("uint8_t", rule.invert.astype(int))}
    elif rule is not None:
        found |= {"multiplier": ("int32_t", rule.multiplier), "shift": ("int8_t", rule.shift)}
    return {field: (kind, f"{prefix}_{field}", np.ravel(values)) for field, (kind, values) in found.items()}


def _header(graph: Graph, prefix: str, arrays: Iterable[Arrays]) -> str:
    guard = f"BITLOOM_{prefix.upper()}_H"
    lines = [
        f"/* {graph.name}: tables of a quantized network, written by Bitloom. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
        TYPES,
    ]
    for layer, own in zip(graph.layers, arrays, strict=True):
        lines.append(f"/* {layer.name}: {_describe(layer)} */")
        lines += [f"extern const {kind} {name}[{values.size}];" for kind, name, values in own.values()]
        lines.append("")
    lines += [
        f"#define {prefix.upper()}_LAYERS {len(graph.layers)}",
        f"extern const bitloom_tensor {prefix}_input;",
        f"extern const bitloom_layer {prefix}_layers[{prefix.upper()}_LAYERS];",
    ]
    if graph.class_names:
        lines.append(f"extern const char *const {prefix}_class_names[{len(graph.class_names)}];")
    return "\n".join([*lines, "", "#endif", ""])


def _describe(layer: Layer) -> str:
    sides = " -> ".join(
        f"{tensor.height}x{tensor.width}x{tensor.channels} of {_bits(tensor.bits)}"
        for tensor in (layer.input, layer.output)
    )
    if layer.op == "maxpool":
        return f"{layer.op}, {sides}"
    shape = "x".join(map(str, layer.weights.shape))
    return f"{layer.op}, {sides}; weights {shape} of {_bits(layer.weight_bits)}"


def _bits(bits: int) -> str:
    return "1 bit" if bits == 1 else f"{bits} bits"


def _source(graph: Graph, prefix: str, arrays: Iterable[Arrays]) -> str:
    lines = [f"/* {graph.name}: tables of a quantized network, written by Bitloom. */", f'#include "{prefix}.h"', ""]
    for own in arrays:
        for kind, name, values in own.values():
            lines += [f"const {kind} {name}[{values.size}] = {{", *_wrapped(_numbers(name, kind, values)), "};", ""]
    lines += [
        f"const bitloom_tensor {prefix}_input = {_tensor(graph.input, 'input')};",
        "",
        f"const bitloom_layer {prefix}_layers[{prefix.upper()}_LAYERS] = {{",
    ]
    for layer, own in zip(graph.layers, arrays, strict=True):
        lines += ["    {", *(f"        {line}," for line in _fields(layer, own)), "    },"]
    lines.append("};")
    if graph.class_names:
        lines += [
            "",
            f"const char *const {prefix}_class_names[{len(graph.class_names)}] = {{",
            *(f"    {_string(name)}," for name in graph.class_names),
            "};",
        ]
    return "\n".join([*lines, ""])


def _fields(layer: Layer, own: Arrays) -> list[str]:
    """Initializers of a bitloom_layer, in the order of its members."""
    kernel = (layer.input.height, layer.input.width) if layer.op == "dense" else layer.kernel
    stride, pads = getattr(layer, "stride", (1, 1)), getattr(layer, "pads", (0, 0, 0, 0))
    rule, limits, weight_bits, row_bytes = "BITLOOM_RAW", layer.output.qrange, 0, 0
    if layer.op != "maxpool":
        weight_bits, row_bytes = layer.weight_bits, packed_weights(layer).shape[-1]
        if isinstance(layer.requantize, Threshold):
            rule = "BITLOOM_THRESHOLD"
        elif layer.requantize is not None:
            rule, limits = _RULES[layer.requantize.rule], (layer.requantize.qmin, layer.requantize.qmax)
    if layer.output.bits == 32:
        limits = 0, 0
    tables = {field: name for field, (_, name, _) in own.items()}
    return [
        _string(layer.name),
        f"{_OPERATIONS[layer.op]}, {rule}",
        _tensor(layer.input, layer.name),
        _tensor(layer.output, layer.name),
        ", ".join(map(str, (*kernel, *stride))),
        ", ".join(map(str, pads)),
        f"{weight_bits}, {row_bytes}",
        ", ".join(tables.get(field, "0") for field in ("weight", "weight_scale", "bias")),
        ", ".join(tables.get(field, "0") for field in ("multiplier", "shift")),
        ", ".join(map(str, limits)),
        ", ".join(tables.get(field, "0") for field in ("threshold", "invert")),
    ]


def _tensor(tensor: TensorType, owner: str) -> str:
    sides = tensor.height, tensor.width, tensor.channels, tensor.bits, tensor.zero_point
    return f"{{{', '.join(map(str, sides))}, {_float(tensor.scale, owner)}}}"


def _numbers(name: str, kind: str, values: NDArray[Any]) -> list[str]:
    if kind == "float":
        return [_float(value, name) for value in values.tolist()]
    return [str(value) if value > -(2**31) else "(-2147483647 - 1)" for value in values.tolist()]


def _float(value: float, owner: str) -> str:
    """A float literal; nine digits bring every float32 back. Raises RangeError where float has no such number."""
    with np.errstate(over="ignore", under="ignore"):
        single = np.float32(value)
    if not np.isfinite(single) or single < np.finfo(np.float32).tiny:
        raise RangeError(
            f"{owner}: scale {value!r} is outside C's normal float numbers; export --npz, or quantize with other scales"
        )
    text = f"{single:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _string(text: str) -> str:
    """A C string literal; everything but plain characters as octal escapes of UTF-8."""
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _.,:;+-*/()[]<>=")
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _wrapped(numbers: Iterable[str]) -> Iterator[str]:
    """The numbers in lines of at most COLUMNS characters."""
    line = "   "
    for number in numbers:
        if len(line) + len(number) + 2 > COLUMNS:
            yield line
            line = "   "
        line += f" {number},"
    yield line
