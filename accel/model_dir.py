"""Model directories: `model.json` and one bit-packed binary per layer with weights. `docs/formats.md`
describes them.

A directory may come from a stranger: nothing in it is executed, file names are plain, every size is checked
before it is used, every file has a CRC-32. A layer's file holds the packed weights, each kernel position
padded to whole bytes, then the bias as little-endian int32.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accel import checks, limits, model_json
from accel.atomic import atomic_directory
from accel.errors import BitloomError, ModelError
from accel.fixedpoint import pack, packed_bytes, unpack
from accel.ir import INPUT_NAME, Graph
from accel.names import WEIGHT_BITS
from accel.outputs import Folder
from accel.synthetic import NAMES, NAMES_TEXT, synthetic_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accel.ir import WeightedLayer
    from accel.types import Bytes, Ints, Notes, StrPath

MODEL_FILE = "model.json"
ZOO = Path(__file__).resolve().parent.parent / "quant" / "zoo"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_CRC_KEY = '  "crc32": "'
_GRAPH_KEYS = ("name", "input", "encoding", "class_names", "notes", "layers")
_ALL_KEYS = ("format", "format_version", *_GRAPH_KEYS, "crc32")


def zoo_names() -> list[str]:
    """Names of the models that ship with Bitloom."""
    return sorted(path.parent.name for path in ZOO.glob(f"*/{MODEL_FILE}"))


def _generated(name: StrPath) -> bool:
    """Whether a name means a generated network: no directory and no model of the zoo has it."""
    return str(name) in NAMES and not os.path.isdir(name) and not (ZOO / str(name) / MODEL_FILE).is_file()


def resolve(name: StrPath) -> Path:
    """Folder of a model: an existing directory, else a model of the zoo; ModelError where neither exists."""
    path = Path(name)
    if os.path.isdir(path):  # False for what is no path at all
        return path
    if checks.NAME.fullmatch(str(name)) and (ZOO / str(name) / MODEL_FILE).is_file():
        return ZOO / str(name)
    shipped = ", ".join(zoo_names()) or "none"
    raise ModelError(
        f"model {checks.shorten(str(name))}: is neither a model directory nor a model that ships (these "
        f"ship: {shipped}; these are generated: {NAMES_TEXT})"
    )


def folder_of(name: StrPath) -> Path | None:
    """Folder of a model, or None where it is generated; ModelError where there is none."""
    return None if _generated(name) else resolve(name)


def save(graph: Graph, path: StrPath) -> None:
    """Write `graph` to the directory `path`, complete or not at all; equal graphs give equal bytes.

    An existing model directory is replaced where nothing in it was added or changed since it was written. Raises
    OutputError where it cannot be written.
    """
    files = contents(graph)
    with atomic_directory(output(path)) as folder:
        for file_name, data in files.items():
            (folder / file_name).write_bytes(data)


def output(path: StrPath | None, label: str = "--out") -> Folder:
    """The model directory `path` as something to write (accel.outputs), for a check before the work."""
    return Folder(path, _owned, label)


def _owned(folder: Path) -> set[str]:
    """Names of the files of a model directory; ModelError where it is none, or one is not as it was written."""
    reader = _WeightReader(folder)
    _load(folder, reader)
    return {MODEL_FILE, *reader.used}


def digest(name: StrPath) -> str:
    """SHA-256 of a model's model.json, which holds the checksums of its other files."""
    data = contents(load(name))[MODEL_FILE] if _generated(name) else (resolve(name) / MODEL_FILE).read_bytes()
    return hashlib.sha256(data).hexdigest()


def packed_weights(layer: WeightedLayer) -> Bytes:
    """The weights of a layer as uint8 [OC, KH, KW, bytes] (dense: [OC, bytes]), packed as in its binary file."""
    return pack(layer.weights, layer.weight_bits)


def contents(graph: Graph) -> dict[str, bytes]:
    """{file name: bytes} of a model directory, model.json last."""
    files: dict[str, Notes] = {}
    binaries: dict[str, bytes] = {}
    for index, layer in enumerate(graph.layers):
        if layer.op == "maxpool":
            continue
        data = packed_weights(layer).tobytes() + layer.bias.astype("<i4").tobytes()
        file_name = f"{index:02d}_{layer.name}.bin"
        files[layer.name] = {"file": file_name, "bytes": len(data), "crc32": f"{zlib.crc32(data):08x}"}
        binaries[file_name] = data
    body = model_json.dump(model_json.graph_to_dict(graph, files)).removesuffix("\n}") + ",\n"
    text = f'{body}{_CRC_KEY}{zlib.crc32(body.encode()):08x}"\n}}\n'
    if len(text) > limits.MAX_JSON_BYTES:  # ASCII
        raise ModelError(
            f"{graph.name}: its {MODEL_FILE} would have {len(text)} bytes, at most "
            f"{limits.MAX_JSON_BYTES} are allowed; use fewer channels or shorter notes"
        )
    model_json.parse(text)  # what is written can be read
    return binaries | {MODEL_FILE: text.encode()}


def load(name: StrPath) -> Graph:
    """The Graph of a model directory, or by its name of a model of the zoo or a generated one (accel/synthetic.py).

    Raises ModelError or RangeError, one sentence that names the directory and what is wrong.
    """
    if _generated(name):
        return synthetic_graph(str(name))
    folder = resolve(name)
    try:
        return _load(folder, _WeightReader(folder))
    except BitloomError as error:
        raise type(error)(f"{folder}: {error}") from None


def _load(folder: Path, reader: _WeightReader) -> Graph:
    data = read_file(folder / MODEL_FILE, None, limits.MAX_JSON_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ModelError(f"{MODEL_FILE}: is not UTF-8 text") from None
    values = model_json.parse(text)
    model_json.check_format(values)
    _check_own_crc(text)
    _, _, graph_name, tensor, encoding, class_names, notes, layers, _ = model_json.take(values, _ALL_KEYS, MODEL_FILE)
    if not isinstance(class_names, list) or not isinstance(notes, dict):
        raise ModelError(f"{MODEL_FILE}: class_names must be a list and notes an object")
    graph_input = tensor = model_json.tensor_from_dict(tensor, INPUT_NAME)
    built = []
    for index, layer in enumerate(model_json.layer_list(layers)):
        built.append(model_json.layer_from_dict(layer, index, tensor, reader.read))
        tensor = built[-1].output
    reader.check_strangers()
    return Graph(
        graph_name, graph_input, model_json.encoding_from_dict(encoding), tuple(built), tuple(class_names), notes
    )


def _check_own_crc(text: str) -> None:
    """model.json ends with the CRC-32 of all text before that entry."""
    body, key, tail = text.rpartition(_CRC_KEY)
    expected = f'{zlib.crc32(body.encode()):08x}"\n}}\n'
    if not key or tail != expected:
        raise ModelError(f"{MODEL_FILE}: its CRC-32 does not match; the file is damaged or was edited, export it again")


class _WeightReader:
    """Reads the binaries of one directory and remembers which were named."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: set[str] = set()
        self.elements = 0

    def read(self, name: str, entry: Notes, shape: Sequence[int]) -> tuple[Ints, Ints]:
        """(weights, bias) of the layer `name`; all sizes are checked before memory is taken."""
        bits, file_name = entry["weight_bits"], entry["file"]
        if type(bits) is not int or bits not in WEIGHT_BITS:
            raise ModelError(
                f"{name}: weight_bits must be one of {', '.join(map(str, WEIGHT_BITS))}, not {checks.shorten(bits)}"
            )
        if not isinstance(file_name, str) or not _FILE_NAME.fullmatch(file_name):
            raise ModelError(f"{name}: file name {checks.shorten(file_name)} must be a plain name without folders")
        if file_name in self.used:
            raise ModelError(f"{name}: file name {checks.shorten(file_name)} is used twice")
        self.used.add(file_name)
        elements = math.prod(shape)
        self.elements += elements
        if self.elements > limits.MAX_WEIGHTS:
            raise ModelError(
                f"{name}: weights of shape {shape} are too large, at most {limits.MAX_WEIGHTS} are "
                "allowed in all layers together"
            )
        inner = packed_bytes(shape[-1], bits)
        weight_bytes = elements // shape[-1] * inner
        expected = weight_bytes + 4 * shape[0]
        checks.integer(entry["bytes"], f"{name}: bytes", expected, expected)
        data = read_file(self.folder / file_name, expected, expected)
        crc = f"{zlib.crc32(data):08x}"
        if crc != entry["crc32"]:
            raise ModelError(
                f"{file_name}: CRC-32 is {crc}, not {checks.shorten(entry['crc32'])} as "
                f"{MODEL_FILE} says; "
                "the file is damaged, copy or export it again"
            )
        packed = np.frombuffer(data, dtype=np.uint8, count=weight_bytes).reshape(*shape[:-1], inner)
        bias = np.frombuffer(data, dtype="<i4", offset=weight_bytes)
        return unpack(packed, bits, shape[-1]), bias.astype(np.int64)

    def check_strangers(self) -> None:
        """A binary that nobody names is a sign of a mixed-up directory."""
        extra = []
        with os.scandir(self.folder) as entries:
            for count, entry in enumerate(entries):
                if count >= limits.MAX_FILES:
                    raise ModelError(f"holds more than {limits.MAX_FILES} files; give a folder of its own to the model")
                if entry.name.endswith(".bin") and entry.name not in self.used:
                    extra.append(entry.name)
        extra.sort()
        if extra:
            raise ModelError(f"{checks.shorten(extra[0])}: is not named in {MODEL_FILE}; remove the file")


def read_file(path: Path, size: int | None, limit: int) -> bytes:
    """Bytes of a regular file of exactly `size` (if given), at most `limit`, checked before reading."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path.name}: is not a regular file")
            if size is not None and status.st_size != size:
                raise ModelError(
                    f"{path.name}: has {status.st_size} bytes, not {size}; the file is truncated or damaged"
                )
            if status.st_size > limit:
                raise ModelError(f"{path.name}: has {status.st_size} bytes, at most {limit} are allowed")
            data = stream.read(limit + 1)
            if len(data) != status.st_size:
                raise ModelError(f"{path.name}: changes while it is read; try again")
            return data
    except FileNotFoundError:
        raise ModelError(f"{path.name}: is missing") from None
    except OSError as error:
        raise ModelError(f"{path.name}: cannot be read ({error.strerror})") from None
