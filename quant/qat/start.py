"""Warm starts: a QatNetwork takes over what another quantized network has learned."""

from __future__ import annotations

import zlib
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import torch

from accel import model_dir
from accel.errors import DataError, ModelError, UnsupportedError
from quant.files.door import guarded
from quant.models import loop
from quant.names import MULTI_BIT_ACTIVATIONS
from quant.qat.method import Method
from quant.qat.norm import FoldedNorm
from quant.qat.qat_network import QatNetwork, Widths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from accel.ir import Graph
    from accel.types import StrPath
    from quant.qat.qat_network import QatLayer


def identity(network: QatNetwork) -> dict[str, Any]:
    """Widths and Method of a QatNetwork as plain values: what a checkpoint says of it."""
    return {**asdict(network.widths), **asdict(network.method)}


def digest(network: torch.nn.Module) -> str:
    """CRC-32 of a module's parameters and buffers, hexadecimal."""
    value = 0
    for tensor in network.state_dict().values():
        value = zlib.crc32(tensor.numpy().tobytes(), value)
    return f"{value:08x}"


def start_from(network: QatNetwork, path: StrPath) -> None:
    """Start the training of a QatNetwork from a model directory (of `ptq`, or of `qat` without 1-bit outputs), by name
    of the zoo or path, or from a checkpoint of `qat`.

    Weights, biases and batch norms are taken over, scales where both networks have the same number of bits. Raises
    DataError, ModelError where the layers differ, UnsupportedError for a directory with 1-bit outputs or another input.
    """
    if str(path).endswith(loop.SUFFIX):
        state = loop.read(path)
        with guarded(path, loop.WHAT, loop.REMEDY):
            _from_state(network, state, path)
    else:
        _from_graph(network, model_dir.load(path), path)


def _check(network: QatNetwork, shapes: Sequence[tuple[int, ...]], path: StrPath) -> None:
    own = [tuple(layer.weight.shape) for layer in network.layers]
    if own != shapes:
        raise ModelError(
            f"{path}: holds layers with weights of {_text(shapes)}, the network has {_text(own)}; start "
            "from a quantized form of this network"
        )


def _text(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)


@torch.no_grad()
def _take(layer: QatLayer, weight: torch.Tensor, bits: int, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Weights float (latent ones for the same `bits`, real ones else), their scale and bias into a QatLayer."""
    quantizer = layer.quantizer
    layer.weight.copy_(weight if quantizer.bits == bits else quantizer.latent(weight))
    shape = quantizer.learned.value.shape
    if quantizer.bits == bits and scale.numel() == quantizer.learned.value.numel():
        quantizer.learned.set(scale.reshape(shape))
    else:
        quantizer.learned.set(quantizer.best(weight).reshape(shape))
    if bias is not None and layer.bias is not None:
        layer.bias.copy_(bias)
    elif bias is not None and isinstance(layer.norm, FoldedNorm):
        layer.norm.offset.copy_(bias)


def _from_graph(network: QatNetwork, graph: Graph, path: StrPath) -> None:
    layers = [layer for layer in graph.layers if layer.op != "maxpool"]
    weights = [torch.from_numpy(layer.weights.copy()) for layer in layers]
    weights = [value.permute(0, 3, 1, 2) if value.dim() == 4 else value for value in weights]
    _check(network, [tuple(value.shape) for value in weights], path)
    scale, zero_point = float(network.source.scale()), network.source.zero_point
    if (graph.input.scale, graph.input.zero_point) != (scale, zero_point):
        raise UnsupportedError(
            f"{path}: its input has scale {graph.input.scale} and zero point "
            f"{graph.input.zero_point}, training reads images at {scale} and {zero_point}; quantize "
            "it with the scales of `ptq --scales float` and the same normalization"
        )
    if any(layer.output.bits == 1 for layer in layers):
        raise UnsupportedError(
            f"{path}: has outputs of 1 bit, whose batch norms a model directory no longer holds; "
            "start from the checkpoint of its training"
        )
    for own, layer, integers in zip(network.layers, layers, weights, strict=True):
        steps = torch.from_numpy(layer.weight_scale.copy())
        real = (integers * steps.reshape(-1, *(1,) * (integers.dim() - 1))).float()
        bias = (torch.from_numpy(layer.bias.copy()) * steps * layer.input.scale).float()
        if own.quantizer.bits == 1 == layer.weight_bits:
            real = own.quantizer.latent(real)
        _take(own, real, layer.weight_bits, steps[: own.quantizer.learned.value.numel()].float(), bias)
        same_bits = own.output_bits == layer.output.bits
        if same_bits and own.activation is not None and own.activation.zero_point == layer.output.zero_point:
            own.activation.learned.set(torch.tensor(layer.output.scale))


def _from_state(network: QatNetwork, state: Mapping[str, Any], path: StrPath) -> None:
    known = state["identity"]
    try:
        widths = Widths(**{item.name: known[item.name] for item in fields(Widths)})
        method = Method(**{item.name: known[item.name] for item in fields(Method)})
    except KeyError as error:
        raise DataError(f"{path}: does not say {error}; give a checkpoint of `python -m quant qat`") from error
    _check(
        network,
        [
            tuple(value.shape)
            for name, value in state["model"].items()
            if name.endswith(".weight") and ".norm." not in name
        ],
        path,
    )
    other = QatNetwork(network.prepared, widths, method).eval()
    other.load_state_dict(state["model"])
    for own, layer in zip(network.layers, other.layers, strict=True):
        bits, source_bits = own.quantizer.bits, layer.quantizer.bits
        scale = layer.quantizer.scale(layer.weight)
        weight = layer.quantizer(layer.weight, scale) if source_bits == 1 != bits else layer.weight
        _take(own, weight.detach(), source_bits, scale.detach(), layer.bias)
        if own.output_bits != layer.output_bits:
            continue
        if own.norm is not None and type(own.norm) is type(layer.norm):
            own.norm.load_state_dict(layer.norm.state_dict())
        if own.output_bits in MULTI_BIT_ACTIVATIONS:
            own.activation.learned.set(layer.activation.scale().detach())
