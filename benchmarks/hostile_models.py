"""Damaged model directories: one from a seed, and the doors that must answer it with a result or with one sentence."""

import json
import os
import shutil
import zlib
from functools import cache

import numpy as np

from accel import model_dir, model_json, reference
from accel.compile import compile_graph, fit_config, precisions_for
from accel.config import HardwareConfig
from accel.errors import BitloomError, FitError
from accel.fixedpoint import INT32_MAX, INT32_MIN, packed_bytes
from accel.names import WEIGHT_BITS
from benchmarks.hostile_graphs import side, small_graph
from quant.export.files import contents

ZOO = ("lenet5-int8", "lenet5-mixed", "lenet5-w1a1")
SIZES = ((4, 4), (8, 8), (16, 16), (64, 64))
MODEL = model_dir.MODEL_FILE
RUN_MACS, RUN_WINDOWS, TEXT_WEIGHTS = 2**28, 2**23, 2**16  # what is more is left out, to try more models
_NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    31,
    32,
    62,
    63,
    64,
    127,
    128,
    -128,
    -129,
    255,
    256,
    1023,
    1024,
    65535,
    65536,
    2**20,
    2**26,
    INT32_MAX,
    INT32_MIN,
    2**31,
    2**32,
    2**53 + 1,
    2**63,
    -(2**63),
    10**30,
    10**63,
    10**400,
    0.5,
    -0.0,
    1e-320,
    5e-324,
    1e-40,
    1e38,
    1e308,
    1e999,
    -1e999,
    1.0,
    1e-300,
)
_TEXTS = (
    "",
    "input",
    "conv2d",
    "dense",
    "maxpool",
    "threshold",
    "gemmlowp",
    "half_up",
    "float",
    "..",
    "../x",
    MODEL,
    "/etc/passwd",
    "a" * 64,
    "a" * 65,
    "a" * 20_000,
    "\0",
    "\n",
    "\ud800",
    "\u202e",
    "\x1b[2J",
    "ä",
    "%s%n",
    "*/",
)
_RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "0." + "1" * 5000,
    "01",
    "'x'",
    "[1,]",
    "{}{}",
    "\ufeff",
    "[" * 70 + "]" * 70,
    "[" * 3000 + "]" * 3000,
    '{"a":' * 100 + "1" + "}" * 100,
    '{"a":1,"a":2}',
    "1e-999",
    "-0",
    '"\\ud83d"',
    '"\\u0000"',
    "[" + "0," * 3000 + "0]",
    "[" + "[]," * 2000 + "[]]",
)


def damaged_model(rng, folder):
    """A new damaged model directory `folder`; equal states of the numpy Generator give equal bytes."""
    files = _extreme(rng) if rng.random() < 0.2 else dict(_good(int(rng.integers(60))))
    for _ in range(rng.choice(4, p=[0.1, 0.6, 0.2, 0.1])):
        _DAMAGES[rng.integers(len(_DAMAGES))](rng, files)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    if rng.random() < 0.05:
        _replace_file(rng, folder)


def try_model(rng, folder):
    """Load a model directory, then all that is done with one: compile, run, export, save. Raises BitloomError where it
    is refused at the door; what later passes refuse by a BitloomError is fine, what is saved must load."""
    graph = model_dir.load(folder)
    steps = [
        lambda: _compile(rng, graph),
        lambda: _run(rng, graph),
        lambda: contents(graph) if graph.work.weights <= TEXT_WEIGHTS else None,
    ]
    for step in steps:
        try:
            step()
        except BitloomError:
            continue
    again = folder.with_name("again")
    shutil.rmtree(again, ignore_errors=True)
    model_dir.save(graph, again)
    if model_dir.contents(model_dir.load(again)) != model_dir.contents(graph):
        raise AssertionError("saved and loaded again the model has other bytes")


def _compile(rng, graph):
    size = SIZES[rng.integers(len(SIZES))]
    config = HardwareConfig(*size, precisions=precisions_for(graph))
    try:
        compile_graph(graph, fit_config(graph, config))
    except FitError:
        compile_graph(graph, config)


def _run(rng, graph):
    if graph.work.macs > RUN_MACS or graph.work.windows > RUN_WINDOWS:
        return
    low, high = graph.input.qrange
    q = rng.integers(low, high + 1, (1, *graph.input.shape))
    reference.run(graph, np.where(q < 0, -1, 1) if graph.input.bits == 1 else q)


@cache
def _good(number):
    """The files of one of the models that are damaged: small ones of random widths, now and then one of the zoo."""
    graph = model_dir.load(ZOO[number]) if number < len(ZOO) else small_graph(np.random.default_rng(number))
    return model_dir.contents(graph)


def _extreme(rng):
    """A layer of any size whose shapes agree and whose file has at most a megabyte: what the checks must weigh."""
    height, width, channels, outputs = (side(rng) for _ in range(4))
    kernel, stride = [(side(rng), side(rng)) for _ in range(2)]
    pads = [0 if rng.random() < 0.5 else side(rng) for _ in range(4)]
    kind = str(rng.choice(["conv2d", "dense", "maxpool"], p=[0.6, 0.15, 0.25]))
    bits = int(rng.choice(WEIGHT_BITS))
    while True:  # shrink what is largest until the file is small
        kernel = (min(kernel[0], height + pads[0] + pads[1]), min(kernel[1], width + pads[2] + pads[3]))
        inner = channels if kind == "conv2d" else height * width * channels
        size = outputs * packed_bytes(inner, bits) * (kernel[0] * kernel[1] if kind == "conv2d" else 1)
        size = 0 if kind == "maxpool" else size
        if size <= 2**20 and outputs <= 20_000:
            break
        height, width, channels, outputs = (max(1, side * 3 // 4) for side in (height, width, channels, outputs))
        kernel = tuple(max(1, side * 3 // 4) for side in kernel)
    rows = (height + pads[0] + pads[1] - kernel[0]) // stride[0] + 1
    columns = (width + pads[2] + pads[3] - kernel[1]) // stride[1] + 1
    outputs = channels if kind == "maxpool" else outputs
    rows, columns = (1, 1) if kind == "dense" else (rows, columns)
    tensor = {"height": height, "width": width, "channels": channels, "bits": 8, "scale": 0.01, "zero_point": 0}
    output = tensor | {"height": rows, "width": columns, "channels": outputs}
    layer = {"op": kind, "name": "a", "input": "input", "output": output}
    files = {}
    if kind != "dense":
        layer |= {"kernel": list(kernel), "stride": list(stride), "pads": pads}
    if kind != "maxpool":
        layer["output"] = output | {"bits": 32}
        files["a.bin"] = rng.bytes(size) + bytes(4 * outputs)
        layer |= {
            "weight_bits": bits,
            "weight_scale": [0.01] * outputs,
            "requantize": None,
            "file": "a.bin",
            "bytes": 0,
            "crc32": "",
        }
    layer["notes"] = {}
    values = {
        "format": model_json.FORMAT,
        "format_version": 1,
        "name": "extreme",
        "input": tensor,
        "encoding": {"kind": "uint8", "mean": [0.0], "std": [1.0]},
        "class_names": [],
        "notes": {},
        "layers": [layer],
    }
    files[MODEL] = _text(values, files)
    return files


def _text(values, files):
    """model.json with right checksums."""
    for layer in values.get("layers", []) if isinstance(values.get("layers"), list) else []:
        if isinstance(layer, dict) and isinstance(layer.get("file"), str) and layer["file"] in files:
            data = files[layer["file"]]
            layer |= {"bytes": len(data), "crc32": f"{zlib.crc32(data):08x}"}
    values.pop("crc32", None)
    return _checked(json.dumps(values))


def _checked(text):
    """Text of a JSON object with the CRC-32 entry that belongs to it."""
    body = text.removesuffix("}").encode(errors="surrogatepass") + b",\n"
    return body + f'  "crc32": "{zlib.crc32(body):08x}"\n}}\n'.encode()


def _body(files):
    """The text of model.json up to its own checksum, without the last comma."""
    return files[MODEL].decode(errors="replace").rpartition('  "crc32"')[0].rstrip().removesuffix(",")


def _values(files):
    try:
        values = json.loads(files[MODEL])
    except (ValueError, RecursionError, UnicodeDecodeError):
        return None
    return values if isinstance(values, dict) else None


def _nodes(values):
    """(container, key) of everything in a JSON value."""
    found, pending = [], [values]
    while pending:
        item = pending.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item))
        found += [(item, key) for key in keys]
        pending += [item[key] for key in keys if isinstance(item[key], (dict, list))]
    return found


def _pick(rng, nodes):
    return nodes[rng.integers(len(nodes))]


def _change_value(rng, files):
    """A value of model.json becomes another one, is left out, doubled or swapped; checksums are right again."""
    values = _values(files)
    if not values:
        return
    nodes = _nodes(values)
    nodes = [node for node in nodes if not isinstance(node[1], int)] if rng.random() < 0.7 else nodes
    container, key = _pick(rng, nodes)
    choice = rng.integers(8)
    if choice == 0:
        del container[key]
    elif choice == 1:
        other, name = _pick(rng, nodes)
        if not any(isinstance(value, (dict, list)) for value in (container[key], other[name])):
            container[key], other[name] = other[name], container[key]
    elif choice == 2 and isinstance(container[key], int):
        container[key] += int(rng.integers(-2, 3))
    elif choice == 3:
        container[key] = _pick(rng, _TEXTS)
    elif choice == 4:
        container[key] = _pick(rng, ([], {}, None, True, [1, 2], [[0] * 50] * 3, {"a": {"b": []}}, "1", [None]))
    elif choice == 5 and isinstance(container, list):
        container[key:key] = [container[key]] * int(rng.choice([1, 2, 100]))
    elif choice == 6 and isinstance(container, dict):
        container[_pick(rng, _TEXTS)] = container[key]
    else:
        container[key] = _pick(rng, _NUMBERS)
    files[MODEL] = _text(values, files) if rng.random() < 0.8 else _checked(json.dumps(values))


def _change_text(rng, files):
    """A value in the text of model.json becomes something that JSON libraries do not write."""
    text = _body(files)
    marks = [index for index, letter in enumerate(text) if letter in ":[,"]
    if marks:
        at = _pick(rng, marks) + 1
        end = next((index for index in range(at, len(text)) if text[index] in ",]}\n"), at)
        text = text[:at] + _pick(rng, _RAW) + text[end if rng.random() < 0.8 else at :]
    files[MODEL] = _checked(text.removesuffix("}") + "}")


def _change_bytes(rng, files):
    """Bits are flipped, ends cut, runs put in; half the time the checksums are made right again."""
    name = _pick(rng, sorted(files))
    data = bytearray(files[name])
    kind = rng.integers(4)
    if kind == 0 and data:
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        del data[int(rng.integers(len(data) + 1)) :]
    elif kind == 2:
        at = int(rng.integers(len(data) + 1))
        data[at:at] = rng.bytes(int(rng.integers(1, 40)))
    else:
        data[:] = rng.bytes(len(data))
    files[name] = bytes(data)
    values = _values(files)
    if values and name != MODEL and rng.random() < 0.7:
        files[MODEL] = _text(values, files)
    elif name == MODEL and rng.random() < 0.5:
        files[MODEL] = _checked(_body(files) + "}")


def _change_files(rng, files):
    """A file is missing, has another name, another one's content, or is one too many."""
    names = sorted(files)
    name, kind = _pick(rng, names), rng.integers(4)
    if kind == 0 and len(files) > 1:
        del files[name]
        files.setdefault(MODEL, b"")
    elif kind == 1:
        files["99_more.bin"] = files[name]
    elif kind == 2:
        files[name] = files[_pick(rng, names)]
    else:
        files[name] = b""


def _replace_file(rng, folder):
    """A file becomes a link, a pipe, a folder, a link to itself."""
    path = folder / _pick(rng, sorted(os.listdir(folder)))
    path.unlink()
    kind = rng.integers(4)
    if kind == 0:
        path.symlink_to("/etc/passwd")
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.mkdir()
    else:
        path.symlink_to(path)


_DAMAGES = (_change_value, _change_value, _change_value, _change_text, _change_bytes, _change_files)
