"""All numbers of an integer graph as named arrays, and these as one NumPy or safetensors file.

Arrays are named `layer.what`; `docs/export.md` lists them. Equal graphs give equal bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from accel import model_json
from accel.model_dir import packed_weights
from accel.start import need
from accel.tensor import Threshold

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from accel.ir import Graph, WeightedLayer
    from accel.types import Ints

METADATA = "bitloom"
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def tables(graph: Graph) -> dict[str, NDArray[Any]]:
    """{name: array} of a graph's input, weights, biases, scales, zero points and requantizations."""
    found = {"input.scale": np.float64(graph.input.scale), "input.zero_point": np.int32(graph.input.zero_point)}
    for layer in graph.layers:
        own = {"output_scale": np.float64(layer.output.scale), "output_zero_point": np.int32(layer.output.zero_point)}
        if layer.op != "maxpool":
            own |= _weighted(layer)
        found |= {f"{layer.name}.{what}": value for what, value in own.items()}
    return {name: np.array(value, order="C") for name, value in found.items()}


def folded_bias(layer: WeightedLayer) -> Ints:
    """int64 [OC]: the bias of a sum over the stored integers themselves, bias - zero point * sum of the weights.

    Padding must then insert the input's zero point (-1 in a 1-bit tensor).
    """
    sums = layer.weights.reshape(len(layer.weights), -1).sum(axis=1)
    return layer.bias - layer.input.zero_point * sums


def _weighted(layer: WeightedLayer) -> dict[str, Any]:
    own = {
        "weight": layer.weights.astype(np.int8),
        "weight_packed": packed_weights(layer),
        "weight_scale": layer.weight_scale,
        "bias": layer.bias.astype(np.int32),
        "bias_folded": folded_bias(layer),
        "input_scale": np.float64(layer.input.scale),
        "input_zero_point": np.int32(layer.input.zero_point),
    }
    rule = layer.requantize
    if isinstance(rule, Threshold):
        own |= {"threshold": rule.threshold, "invert": rule.invert.astype(np.uint8)}
    elif rule is not None:
        own |= {
            "multiplier": rule.multiplier.astype(np.int32),
            "shift": rule.shift.astype(np.int8),
            "qmin": np.int32(rule.qmin),
            "qmax": np.int32(rule.qmax),
        }
    return own


def description(graph: Graph) -> str:
    """Shapes, widths, rules and notes of a graph as JSON text: model.json without files and checksums."""
    return json.dumps(model_json.graph_to_dict(graph, {}), allow_nan=False)


def npz_bytes(graph: Graph) -> bytes:
    """The tables as an .npz file; the array `bitloom` holds the description as text."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in {METADATA: np.array(description(graph)), **tables(graph)}.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, value, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data.getvalue())
    return stream.getvalue()


def safetensors_bytes(graph: Graph) -> bytes:
    """The tables as a .safetensors file; its metadata holds the description under `bitloom`.

    Raises TargetError where the package is missing.
    """
    need("safetensors", alone=True)
    from safetensors.numpy import save

    return save(tables(graph), metadata={METADATA: description(graph)})  # one key: several come in any order
