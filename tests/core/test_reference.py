"""accel.reference against torch in float64 and against loops over exact fractions."""

import dataclasses

import numpy as np
import pytest
import torch

from accel import fixedpoint as fp
from accel import reference
from accel.errors import ModelError, RangeError, UnsupportedError
from accel.ir import Graph, InputEncoding, TensorType, Threshold
from sim.cases import graphs as networks
from tests.core.test_fixedpoint import oracle


def torch_accumulators(layer, q):
    """sum of (x - zero point) * w + bias in float64, by torch's own kernels; a 1-bit input is padded with -1."""
    x = torch.from_numpy((q - layer.input.zero_point).astype(np.float64))
    fill = -1.0 if layer.input.bits == 1 else 0.0
    weights = torch.from_numpy(layer.weights.astype(np.float64))
    bias = torch.from_numpy(layer.bias.astype(np.float64))
    if layer.op == "dense":
        return torch.nn.functional.linear(x.reshape(len(x), -1), weights, bias).numpy()[:, None, None]
    top, bottom, left, right = layer.pads
    x = torch.nn.functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom), value=fill)
    acc = torch.nn.functional.conv2d(x, weights.permute(0, 3, 1, 2), bias, stride=layer.stride)
    return acc.permute(0, 2, 3, 1).numpy()


def torch_pool(layer, q):
    top, bottom, left, right = layer.pads
    x = torch.from_numpy(q.astype(np.float64)).permute(0, 3, 1, 2)
    x = torch.nn.functional.pad(x, (left, right, top, bottom), value=float(layer.input.qrange[0]))
    return torch.nn.functional.max_pool2d(x, layer.kernel, layer.stride).permute(0, 2, 3, 1).numpy()


def signs(acc, rule):
    """-1 and +1, one element after the other."""
    flat = acc.reshape(-1, acc.shape[-1]).tolist()
    levels = list(zip(rule.threshold.tolist(), rule.invert.tolist(), strict=True))
    values = [
        [1 if (value >= level) != flipped else -1 for value, (level, flipped) in zip(pixel, levels, strict=True)]
        for pixel in flat
    ]
    return np.array(values).reshape(acc.shape)


def expected_layer(layer, q):
    if layer.op == "maxpool":
        return torch_pool(layer, q).astype(np.int64)
    acc = torch_accumulators(layer, q).astype(np.int64)
    if layer.requantize is None:
        return acc
    rule = layer.requantize
    count = acc.shape[-1]
    if layer.output.bits == 1:
        return signs(acc, rule)
    flat = [
        oracle(
            int(value),
            int(rule.multiplier[index % count]),
            int(rule.shift[index % count]),
            rule.rule,
            layer.output.zero_point,
            rule.qmin,
            rule.qmax,
        )
        for index, value in enumerate(acc.ravel())
    ]
    return np.array(flat).reshape(acc.shape)


@pytest.mark.parametrize("number", range(40))
def test_random_networks_equal_torch_and_fractions(number):
    rng = np.random.default_rng(number)
    graph = networks.random_graph(rng)
    q = networks.images(rng, graph, 3)
    outputs = reference.run(graph, q)
    assert list(outputs) == [layer.name for layer in graph.layers]
    tensor = q
    for layer in graph.layers:
        tensor = expected_layer(layer, tensor)
        got = outputs[layer.name]
        assert got.dtype == np.int64 and got.shape == (3, *layer.output.shape)
        assert np.array_equal(got, tensor), layer


@pytest.mark.parametrize("number", range(40))
def test_random_mixed_networks_equal_torch_and_fractions(number):
    rng = np.random.default_rng(number)
    graph = networks.random_mixed_graph(rng, layers=int(rng.integers(1, 6)))
    tensor = networks.images(rng, graph, 3)
    outputs = reference.run(graph, tensor)
    for layer in graph.layers:
        tensor = expected_layer(layer, tensor)
        assert np.array_equal(outputs[layer.name], tensor), layer
        assert layer.output.holds(outputs[layer.name])


@pytest.mark.parametrize("weight_bits", [8, 6, 4, 2, 1])
@pytest.mark.parametrize("input_bits", [8, 4, 2, 1])
@pytest.mark.parametrize("output_bits", [8, 4, 2, 1])
def test_every_width_meets_every_width(weight_bits, input_bits, output_bits):
    rng = np.random.default_rng(weight_bits + 10 * input_bits + 100 * output_bits)
    source = networks.tensor(rng, 7, 5, 3, input_bits)
    layer = networks.conv(
        rng, "conv", "input", source, 6, (3, 2), (2, 1), (0, 1, 1, 0), weight_bits=weight_bits, output_bits=output_bits
    )
    q = networks.random_weights(rng, (3, *source.shape), input_bits)
    got = reference.run_layer(layer, q)
    assert np.array_equal(got, expected_layer(layer, q)) and layer.output.holds(got)
    low, high = reference.accumulator_bounds(layer)
    acc = torch_accumulators(layer, q)
    assert np.all(acc >= low) and np.all(acc <= high)


def test_thresholds_at_the_ends_and_inverted():
    source = TensorType(1, 1, 3, 1, 1.0, 0)
    layer = networks.conv(np.random.default_rng(0), "c", "input", source, 6, (1, 1), weight_bits=1, output_bits=1)
    rule = Threshold([3, 4, -3, 4, -(2**31), 2**31], [False, False, True, True, False, True])
    layer = dataclasses.replace(layer, weights=np.ones((6, 1, 1, 3), int), bias=np.zeros(6, int), requantize=rule)
    assert reference.run_layer(layer, np.ones((1, 1, 1, 3), int)).ravel().tolist() == [1, -1, -1, 1, 1, 1]
    assert fp.threshold([[5, 5]], [5, 6], [0, 0]).tolist() == [[1, -1]]


@pytest.mark.parametrize("bits", [8, 6, 4, 2, 1])
@pytest.mark.parametrize("rule", fp.RULES)
def test_every_weight_width_and_rule(bits, rule):
    rng = np.random.default_rng(bits)
    source = networks.tensor(rng, 7, 5, 3)
    layer = networks.conv(rng, "conv", "input", source, 6, (3, 2), (2, 1), (0, 1, 1, 0), rule, weight_bits=bits)
    q = rng.integers(-128, 128, (2, 7, 5, 3))
    assert np.array_equal(reference.run_layer(layer, q), expected_layer(layer, q))


def test_chunks_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(5)
    graph = networks.random_graph(rng, layers=4)
    q = networks.images(rng, graph, 7)
    whole = reference.run(graph, q)
    monkeypatch.setattr(reference, "_CHUNK_ELEMENTS", 1)
    for name, value in reference.run(graph, q).items():
        assert np.array_equal(value, whole[name])


def with_bias(layer, bias):
    return dataclasses.replace(layer, bias=np.asarray(bias))


def test_accumulator_bounds_are_reached_and_never_passed():
    rng = np.random.default_rng(8)
    source = networks.tensor(rng, 3, 3, 4)
    layer = networks.conv(rng, "conv", "input", source, 5, (3, 3), raw=True)
    low, high = reference.accumulator_bounds(layer)
    for channel in range(5):
        positive = layer.weights[channel] > 0
        largest = np.where(positive, 127, -128)[None]
        smallest = np.where(positive, -128, 127)[None]
        assert reference.run_layer(layer, largest)[0, 0, 0, channel] == high[channel]
        assert reference.run_layer(layer, smallest)[0, 0, 0, channel] == low[channel]
    random = reference.run_layer(layer, rng.integers(-128, 128, (500, 3, 3, 4)))
    assert np.all(random >= low) and np.all(random <= high)


def test_overflow_is_refused_by_name_and_channel():
    rng = np.random.default_rng(8)
    source = TensorType(2, 2, 1, 8, 0.1, -128)
    layer = networks.conv(rng, "conv9", "input", source, 3, (1, 1), raw=True)
    reference.check_accumulators(layer)
    room = 2**31 - 1 - 255 * max(int(layer.weights[1].item()), 0)
    reference.check_accumulators(with_bias(layer, [0, room, 0]))
    layer = with_bias(dataclasses.replace(layer, weights=np.abs(layer.weights // 2) + 1), [0, 2**31 - 1, 0])
    with pytest.raises(RangeError, match="conv9: the accumulator of channel 1 may reach .* outside int32"):
        reference.check_accumulators(layer)
    with pytest.raises(RangeError, match="conv9: the accumulator of channel 1"):
        reference.run_layer(layer, np.full((1, 2, 2, 1), 127))
    assert reference.run_layer(layer, np.full((1, 2, 2, 1), -128))[0, 0, 0, 1] == 2**31 - 1


def test_gemmlowp_left_shift_overflow_is_refused():
    rng = np.random.default_rng(8)
    source = TensorType(2, 2, 1, 8, 0.1, 0)
    layer = networks.conv(rng, "conv", "input", source, 2, (1, 1), rule="gemmlowp")
    rule = dataclasses.replace(layer.requantize, shift=np.array([0, 30]))
    with pytest.raises(RangeError, match="channel 1"):
        reference.check_accumulators(dataclasses.replace(layer, requantize=rule))


def simple_graph(encoding=None, **options):
    rng = np.random.default_rng(1)
    source = TensorType(4, 4, 2, 8, 0.02, -10)
    layer = networks.dense(rng, "fc", "input", source, 5, raw=True)
    return Graph("simple", source, encoding or InputEncoding(**options), (layer,))


def test_input_is_checked():
    graph = simple_graph()
    with pytest.raises(ModelError, match=r"shape \(N, 4, 4, 2\), not \(1, 4, 4, 3\)"):
        reference.run(graph, np.zeros((1, 4, 4, 3), dtype=int))
    with pytest.raises(ModelError, match="integers, not float64"):
        reference.run(graph, np.zeros((1, 4, 4, 2)))
    with pytest.raises(RangeError, match="-128..127, not 0..128"):
        reference.run(graph, np.eye(4, dtype=int)[None, :, :, None] * np.array([128, 0]))


def test_binary_input_holds_no_zero():
    source = TensorType(1, 1, 2, 1, 0.02, 0)
    graph = Graph(
        "signs",
        source,
        InputEncoding("float"),
        (networks.dense(np.random.default_rng(1), "fc", "input", source, 5, raw=True),),
    )
    with pytest.raises(RangeError, match=r"signs: input must be -1 or \+1, not 0..1"):
        reference.run(graph, np.array([[[[0, 1]]]]))
    assert reference.encode_input(graph, np.float32([[[[-0.0, -1e-9]]]])).ravel().tolist() == [1, -1]


def test_no_images_give_no_outputs():
    graph = simple_graph()
    assert reference.run(graph, np.zeros((0, 4, 4, 2), dtype=int))["fc"].shape == (0, 1, 1, 5)
    assert reference.classify(graph, np.zeros((0, 4, 4, 2), dtype=int)).shape == (0,)


def test_uint8_encoding_subtracts_128():
    graph = simple_graph()
    images = np.arange(256, dtype=np.uint8).reshape(8, 4, 4, 2)
    assert reference.encode_input(graph, images).ravel().tolist() == list(range(-128, 128))
    with pytest.raises(ModelError, match="must be uint8, not float32"):
        reference.encode_input(graph, images.astype(np.float32))
    with pytest.raises(ModelError, match="images must have shape"):
        reference.encode_input(graph, images[:, :3])


def test_float_encoding_normalizes_and_quantizes():
    graph = simple_graph(kind="float", mean=(0.5, 0.25), std=(0.25, 0.5))
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 2), dtype=np.uint8)
    normal = (images.astype(np.float32) / np.float32(255) - np.float32([0.5, 0.25])) / np.float32([0.25, 0.5])
    expected = fp.quantize(normal, 0.02, -10, 8)
    assert np.array_equal(reference.encode_input(graph, images), expected)
    assert np.array_equal(reference.encode_input(graph, normal), expected)
    normal[0, 0, 0, 0] = np.nan
    with pytest.raises(RangeError, match="NaN"):
        reference.encode_input(graph, normal)
    with pytest.raises(ModelError, match="not int64"):
        reference.encode_input(graph, images.astype(np.int64))


def test_classify_takes_the_lowest_index_among_equals():
    graph = simple_graph()
    layer = graph.layers[0]
    layer = dataclasses.replace(layer, weights=np.zeros_like(layer.weights), bias=np.array([1, 7, 3, 7, 7]))
    graph = graph.with_layers([layer])
    assert reference.classify(graph, np.zeros((5, 4, 4, 2), dtype=int), batch=2).tolist() == [1] * 5


def test_classify_needs_a_vector():
    rng = np.random.default_rng(1)
    source = TensorType(4, 4, 2, 8, 0.02, -10)
    graph = Graph("map", source, InputEncoding(), (networks.conv(rng, "conv", "input", source, 3, (1, 1)),))
    with pytest.raises(UnsupportedError, match="not a vector of classes"):
        reference.classify(graph, np.zeros((1, 4, 4, 2), dtype=int))
