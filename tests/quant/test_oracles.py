"""Scales, integers and layers against oracles not written here: torch's fake_quantize, torchao, ONNX Runtime, NumPy.

Where an oracle divides by the scale or requantizes in float32, it may differ from the contract next to a rounding tie
and nowhere else; the tests measure how far from a tie every difference is.
"""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torchao.quantization.quant_primitives import (
    MappingType,
    choose_qparams_affine,
    dequantize_affine,
    quantize_affine,
)

from accel import reference
from quant.arithmetic import scales
from quant.frontend.floatnet import FloatDense
from quant.ptq.options import PtqOptions
from quant.ptq.pipeline import quantize_module
from quant.ptq.weights import weight_integers, weight_scales
from tests.quant import nets

SPREADS = st.floats(2.0**-20, 2.0**20, width=32)
BITS = st.sampled_from([8, 6, 4, 2])
TIE = 1e-3  # a float32 oracle's product of up to 24 bits


def values(seed, count=300, spread=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator) * spread + shift * spread


def node_outputs(operator, inputs, attributes=None, outputs=1, opset=21):
    """Outputs of one ONNX operator, run by ONNX Runtime on NumPy inputs; the first input is fed, the rest are
    constants."""
    names = [f"i{index}" for index in range(len(inputs))]
    results = [f"o{index}" for index in range(outputs)]
    node = helper.make_node(operator, names, results, **(attributes or {}))
    constants = [numpy_helper.from_array(value, name) for value, name in zip(inputs[1:], names[1:], strict=True)]
    kind = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(names[0], kind, inputs[0].shape)],
        [onnx_output(name) for name in results],
        constants,
    )
    return run(graph, {names[0]: inputs[0]}, opset)


def onnx_output(name):
    info = helper.ValueInfoProto()
    info.name = name
    return info


def run(graph, feeds, opset=21):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Without rewriting: the operators named are the operators that run.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def integer_sums(operator, x, zero_point, weights, attributes=None):
    """Exact sums of (x - zero point) * w by ONNX Runtime, int64. Both operands are shifted to uint8: its kernel for
    unsigned by signed bytes adds pairs in saturating 16 bits on processors without VNNI."""
    shifted = [(values + 128).astype(np.uint8) for values in (x, weights)]
    points = [np.array(point + 128, np.uint8) for point in (zero_point, 0)]
    (sums,) = node_outputs(operator, [*shifted, *points], attributes)
    return sums.astype(np.int64)


def distance_from_tie(exact):
    """How far real numbers (in steps) are from the middle between two integers."""
    return np.abs(np.abs(exact - np.floor(exact)) - 0.5)


@given(st.integers(0, 10**6), SPREADS, st.floats(-3, 3), BITS)
def test_activation_scales_are_torchaos(seed, spread, shift, bits):
    x = values(seed, spread=spread, shift=shift)
    low, high = float(x.min()), float(x.max())
    scale, zero_point = scales.affine_scale(low, high, bits)
    qmin, qmax = scales.integer_range(bits)
    expected, point = choose_qparams_affine(x, MappingType.ASYMMETRIC, (len(x),), torch.int8, qmin, qmax, eps=1e-30)
    assert scale == pytest.approx(float(expected), rel=3e-7)
    if distance_from_tie(np.array(min(low, 0.0) / scale)) > 1e-4:
        assert zero_point == int(point)


@given(st.integers(0, 10**6), SPREADS, BITS, st.booleans())
def test_weight_scales_and_integers_are_torchaos(seed, spread, bits, full_range):
    weight = values(seed, 60, spread).reshape(5, 12)
    layer = FloatDense("dense", weight.double(), torch.zeros(5).double())
    options = PtqOptions(bits, full_range=full_range)
    scale = weight_scales(layer, 1.0, bits, options, per_tensor=False)
    low, high = scales.weight_limits(bits, full_range)
    expected, point = choose_qparams_affine(
        weight, MappingType.SYMMETRIC_NO_CLIPPING_ERR, (1, 12), torch.int8, low, high, eps=1e-30
    )
    torch.testing.assert_close(scale.float(), expected.reshape(5), rtol=3e-7, atol=0)
    q = quantize_affine(weight, (1, 12), scale.float().reshape(5, 1), point.reshape(5, 1) * 0, torch.int8, low, high)
    ours = weight_integers(layer, scale, bits, options)
    assert torch.equal(ours, q.long())
    back = dequantize_affine(q, (1, 12), scale.float().reshape(5, 1), None, torch.int8, low, high)
    torch.testing.assert_close(back.double(), ours * scale[:, None], rtol=1e-7, atol=0)


@given(st.integers(0, 10**6), SPREADS, st.integers(-128, 127), BITS)
def test_integers_are_torchs_and_torchaos_for_every_scale(seed, spread, point, bits):
    qmin, qmax = scales.integer_range(bits)
    zero_point = max(min(point, qmax), qmin)
    x, scale = values(seed, spread=spread), scales.float32(spread / 37)
    ours = scales.to_integers(x, scale, zero_point, qmin, qmax)
    fake = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, qmin, qmax)
    assert torch.equal((ours - zero_point).float() * np.float32(scale).item(), fake)
    q = quantize_affine(
        x, (len(x),), torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32), torch.int8, qmin, qmax
    )
    assert torch.equal(ours, q.long())


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_integers_per_channel_are_torchs(seed, channels):
    weight = values(seed, 20 * channels).reshape(channels, 5, 4)
    scale = weight.abs().amax((1, 2)).double() / 7
    scale = scale.float().double()
    ours = scales.to_integers(weight, scale[:, None, None], 0, -7, 7)
    fake = torch.fake_quantize_per_channel_affine(
        weight, scale.float(), torch.zeros(channels, dtype=torch.int32), 0, -7, 7
    )
    assert torch.equal((ours * scale[:, None, None]).float(), fake)


@pytest.mark.parametrize(("bits", "kind"), [(8, TensorProto.INT8), (4, TensorProto.INT4)])
@pytest.mark.parametrize("zero_point", [0, -8, 5])
def test_integers_are_onnx_runtimes_but_next_to_ties(bits, kind, zero_point):
    for seed in range(5):
        x, scale = values(seed, 4000, 3.0).numpy(), np.float32(3.0 / (1 << (bits - 1)) * (1 + seed / 7))
        point = helper.make_tensor("zero", kind, [], [zero_point])
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            "pair",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
            [onnx_output("y")],
            [numpy_helper.from_array(scale, "scale"), point],
        )
        (back,) = run(graph, {"x": x})
        qmin, qmax = scales.integer_range(bits)
        ours = scales.to_integers(torch.tensor(x), float(scale), zero_point, qmin, qmax).numpy()
        theirs = np.round(back.astype(np.float64) / scale).astype(np.int64) + zero_point
        differ = ours != theirs
        assert (distance_from_tie(x.astype(np.float64) / scale)[differ] < 1e-5).all()
        assert differ.mean() < 1e-3 and len(np.unique(ours)) > 10
        expected = ((ours - zero_point) * np.float64(scale)).astype(np.float32)
        np.testing.assert_array_equal(back[~differ], expected[~differ])


def quantized(module, shape, **options):
    images = nets.random_images(24, shape, seed=3)
    graph = quantize_module(module.eval(), images, options=PtqOptions(**options))
    return graph, reference.run(graph, reference.encode_input(graph, images)), reference.encode_input(graph, images)


def exact_outputs(layer, sums):
    """The layer's outputs in steps before rounding, zero point included, float64, by the float scales."""
    return sums * (layer.input.scale * layer.weight_scale / layer.output.scale) + layer.output.zero_point


def check_outputs(layer, ours, theirs, sums):
    """Integers that differ lie next to a tie of the exact value; ours is the nearest integer."""
    exact = exact_outputs(layer, sums)
    limits = layer.requantize.qmin, layer.requantize.qmax
    differ = ours != np.clip(theirs, *limits)
    assert (distance_from_tie(exact)[differ] < TIE).all()
    assert differ.mean() < 2e-3
    nearest = np.clip(np.floor(exact + 0.5), *limits)
    assert (distance_from_tie(exact)[ours != nearest] < 1e-6).all()
    assert len(np.unique(ours)) > 8


CONVOLUTIONS = [
    (nn.Conv2d(3, 6, 3, stride=(2, 1), padding=(1, 2)), nn.ReLU(), (11, 9, 3)),
    (nn.Conv2d(2, 4, (2, 3), padding="same", bias=False), nn.ReLU6(), (8, 8, 2)),
    (nn.Conv2d(1, 5, 5), nn.Identity(), (12, 10, 1)),
]


@pytest.mark.parametrize("case", range(len(CONVOLUTIONS)))
@pytest.mark.parametrize("weight_bits", [8, 4])
def test_convolutions_are_onnx_runtimes(case, weight_bits):
    convolution, clamp, shape = CONVOLUTIONS[case]
    torch.manual_seed(case)
    convolution.reset_parameters()
    tail = nn.Conv2d(convolution.out_channels, 2, 1)
    graph, outputs, q = quantized(nn.Sequential(convolution, clamp, tail), shape, weight_bits=weight_bits)
    layer = graph.layers[0]
    weights = layer.weights.transpose(0, 3, 1, 2).astype(np.int8)
    top, bottom, left, right = layer.pads
    window = {"strides": list(layer.stride), "pads": [top, left, bottom, right]}
    x = q.transpose(0, 3, 1, 2)
    zero = layer.input.zero_point
    sums = integer_sums("ConvInteger", x, zero, weights.astype(np.int64), window).transpose(0, 2, 3, 1) + layer.bias
    (theirs,) = node_outputs(
        "QLinearConv",
        [
            x.astype(np.int8),
            np.float32(layer.input.scale),
            np.int8(zero),
            weights,
            layer.weight_scale.astype(np.float32),
            np.zeros(len(weights), np.int8),
            np.float32(layer.output.scale),
            np.int8(layer.output.zero_point),
            layer.bias.astype(np.int32),
        ],
        window,
    )
    check_outputs(layer, outputs[layer.name], theirs.transpose(0, 2, 3, 1), sums)


@pytest.mark.parametrize("weight_bits", [8, 4])
def test_dense_layers_are_onnx_runtimes(weight_bits):
    torch.manual_seed(2)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 20, bias=False), nn.ReLU(), nn.Linear(20, 7))
    graph, outputs, q = quantized(module, (4, 4, 3), weight_bits=weight_bits)
    layer, last = graph.layers
    flat, weights = q.reshape(len(q), -1), layer.weights.T.astype(np.int8)
    zero = layer.input.zero_point
    sums = integer_sums("MatMulInteger", flat, zero, layer.weights.T)
    (theirs,) = node_outputs(
        "QLinearMatMul",
        [
            flat.astype(np.int8),
            np.float32(layer.input.scale),
            np.int8(zero),
            weights,
            layer.weight_scale.astype(np.float32),
            np.zeros(20, np.int8),
            np.float32(layer.output.scale),
            np.int8(layer.output.zero_point),
        ],
    )
    assert not layer.bias.any()
    hidden = outputs[layer.name][:, 0, 0]
    check_outputs(layer, hidden, theirs, sums)
    sums = integer_sums("MatMulInteger", hidden, last.input.zero_point, last.weights.T)
    np.testing.assert_array_equal(sums + last.bias, outputs[last.name][:, 0, 0])


def test_a_whole_network_is_numpys_in_float64_but_next_to_ties():
    """Every layer from its own integer input: dequantized, multiplied in float64, quantized."""
    module = nets.chain()
    images = nets.random_images(12, nets.CHAIN_SHAPE)
    graph = quantize_module(module, images, options=PtqOptions())
    q = reference.encode_input(graph, images)
    outputs = reference.run(graph, q)
    checked = 0
    for layer in graph.layers:
        x = (q - layer.input.zero_point) * layer.input.scale
        if layer.op in ("conv2d", "dense") and layer.requantize is not None:
            weights = layer.weights * layer.weight_scale.reshape(-1, *(1,) * (layer.weights.ndim - 1))
            real = windows(layer, x) @ weights.reshape(len(weights), -1).T
            real = real + layer.bias * layer.weight_scale * layer.input.scale
            exact = real / layer.output.scale + layer.output.zero_point
            nearest = np.clip(np.floor(exact + 0.5), layer.requantize.qmin, layer.requantize.qmax)
            differ = outputs[layer.name].reshape(exact.shape) != nearest
            assert (distance_from_tie(exact)[differ] < 1e-6).all() and differ.mean() < 1e-3
            checked += exact.size
        q = outputs[layer.name]
    assert checked > 1000


def windows(layer, x):
    """[N, OH, OW, KH * KW * C] windows of [N, H, W, C], or the flat input of a dense layer."""
    if layer.op == "dense":
        return x.reshape(len(x), 1, 1, -1)
    top, bottom, left, right = layer.pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    _, height, width, _ = layer.weights.shape
    view = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    view = view[:, :: layer.stride[0], :: layer.stride[1]].transpose(0, 1, 2, 4, 5, 3)
    return view.reshape(*view.shape[:3], -1)
