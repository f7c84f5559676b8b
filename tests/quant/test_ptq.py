"""Post-training quantization end to end on small networks: three executions agree, files are stable, limits
are kept."""

import numpy as np
import pytest
import torch
from torch import nn

from accel import model_dir, reference
from accel.errors import ModelError, RangeError, UnsupportedError
from accel.names import RULES
from quant.arithmetic.scales import float32
from quant.check.thresholds import DECIBEL_LIMIT
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.ptq.observe import calibrate
from quant.ptq.pipeline import Normalization, quantize_module
from quant.ptq.quantize import PtqOptions, quantize
from quant.reference.compare import Comparer, exact_values
from quant.reference.integer import IntegerNetwork
from tests.quant import nets

NORMALIZED = Normalization((0.49, 0.45, 0.4), (0.25, 0.3, 0.2))


def quantized(module, shape=(6, 5, 1), count=12, **options):
    images = nets.random_images(count, shape)
    return quantize_module(module, images, options=PtqOptions(**options)), images


@pytest.mark.parametrize("rule", RULES)
def test_three_executions_agree_on_an_awkward_network(rule):
    images = nets.random_images(30, nets.CHAIN_SHAPE)
    module = nets.chain()
    graph = quantize_module(module, images, normalization=NORMALIZED, options=PtqOptions(rule=rule))
    assert any(layer.output.zero_point not in (-128, 0) for layer in graph.layers)
    assert graph.output.bits == 32 and all(layer.output.bits == 8 for layer in graph.layers[:-1])
    network = prepare(read_module(module, nets.CHAIN_SHAPE), NORMALIZED.mean, NORMALIZED.std).network
    for floats in (None, network):
        comparer = Comparer(graph, floats)
        comparer.add(reference.encode_input(graph, images))
        assert comparer.result.ok and comparer.result.images == 30
        assert max(layer.tie_distance for layer in comparer.result.layers) < 0.02


@pytest.mark.parametrize("seed", range(6))
def test_three_executions_agree_on_random_networks(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    kernel, stride, channels = (tuple(int(value) for value in rng.integers(1, 4, 2)) for _ in range(3))
    module = nn.Sequential(
        nn.Conv2d(2, channels[0] + 1, kernel, stride, padding=1),
        rng.choice([nn.ReLU(), nn.Identity()]),
        nn.Conv2d(channels[0] + 1, channels[1], 2, bias=False),
        nn.ReLU6(),
    )
    graph, images = quantized(module, (9, 8, 2), rule=RULES[seed % 3])
    comparer = Comparer(graph)
    comparer.add(reference.encode_input(graph, images))
    assert comparer.result.ok


def test_integers_approximate_the_float_network():
    images = nets.random_images(50, nets.CHAIN_SHAPE)
    graph = quantize_module(nets.chain(), images, normalization=NORMALIZED)
    for layer in graph.layers:
        assert layer.notes["snr_db"] > 20 and layer.notes["range_coverage"] == 1.0, layer.name
    assert graph.notes == {"calibration": "minmax", "calibration_images": 50, "rounding": "half_up"}


def test_float_input_goes_through_the_quantizer():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3))
    images = nets.random_images(10, (6, 5, 3))
    graph = quantize_module(module, images, normalization=NORMALIZED, options=PtqOptions(encoding="float"))
    assert graph.encoding.kind == "float" and graph.input.zero_point not in (-128, 0)
    floats = (images.astype(np.float32) / 255 - np.float32(NORMALIZED.mean)) / np.float32(NORMALIZED.std)
    encoded = reference.encode_input(graph, images)
    np.testing.assert_array_equal(encoded, reference.encode_input(graph, floats.astype(np.float32)))
    assert encoded.min() == -128 and encoded.max() == 127
    assert all(layer.notes["snr_db"] > 30 for layer in graph.layers)


def test_plain_pixels_keep_their_scale():
    graph, images = quantized(nn.Conv2d(1, 2, 3, padding=1))
    assert (graph.input.scale, graph.input.zero_point) == (float32(1 / 255), -128)
    np.testing.assert_array_equal(reference.encode_input(graph, images), images.astype(np.int64) - 128)


def test_weights_are_symmetric_per_channel_and_per_tensor_in_a_raw_last_layer():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 2))
    module[0].weight.data *= torch.tensor([1.0, 0.01, 5.0, 0.3]).reshape(-1, 1, 1, 1)
    graph, _ = quantized(module)
    first, last = graph.layers
    assert len(set(first.weight_scale)) == 4 and len(set(last.weight_scale)) == 1
    assert np.abs(first.weights).max(axis=(1, 2, 3)).tolist() == [127] * 4
    assert np.abs(last.weights).max() == 127 and last.requantize is None
    assert last.output.scale == last.weight_scale[0] * last.input.scale


def test_a_clamped_last_layer_puts_out_bytes():
    graph, _ = quantized(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6()))
    assert graph.output.bits == 8 and graph.layers[-1].requantize.qmin == -128


def test_a_clamp_that_excludes_zero_is_carried_by_the_limits():
    graph, images = quantized(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Hardtanh(0.25, 0.75), nn.Conv2d(4, 2, 1)))
    layer = graph.layers[0]
    assert layer.requantize.qmin > layer.output.zero_point
    comparer = Comparer(graph)
    comparer.add(reference.encode_input(graph, images))
    assert comparer.result.ok


def test_fake_quantized_weights_equal_the_exported_integers():
    module = nets.chain()
    graph, _ = quantized(module, nets.CHAIN_SHAPE)
    network = prepare(read_module(module, nets.CHAIN_SHAPE)).network
    fake = Comparer(graph, network).fake
    for layer in graph.layers:
        if layer.op == "maxpool":
            continue
        weight = fake.layers[layer.name].weight
        weight = weight.permute(0, 2, 3, 1) if layer.op == "conv2d" else weight
        scale = layer.weight_scale.reshape(-1, *(1,) * (layer.weights.ndim - 1))
        np.testing.assert_array_equal(np.round(weight.numpy().astype(np.float64) / scale), layer.weights)


def test_bias_is_rounded_on_the_accumulators_grid():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    graph, _ = quantized(module)
    layer = graph.layers[0]
    wanted = module[0].bias.detach().numpy().astype(np.float64) / (layer.weight_scale * layer.input.scale)
    np.testing.assert_array_equal(layer.bias, np.round(wanted))


def test_a_large_bias_widens_the_weight_scale():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    module[0].weight.data[:] = torch.tensor([1e-9, 1.0]).reshape(2, 1, 1, 1)
    module[0].bias.data[:] = torch.tensor([100.0, 0.5])
    graph, images = quantized(module)
    layer = graph.layers[0]
    assert abs(layer.bias[0]) <= 2**30 + 128 and layer.weight_scale[0] > 1e-9 / 127
    output = reference.run(graph, reference.encode_input(graph, images))[layer.name]
    real = (output - layer.output.zero_point) * layer.output.scale
    assert np.allclose(real[..., 0], 100.0, rtol=0.01)


def test_dead_channels_and_constant_tensors_are_exact():
    module = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Conv2d(2, 1, 1))
    module[0].weight.data[0] = 0
    module[0].bias.data[:] = -5.0
    graph, images = quantized(module)
    assert graph.layers[0].output.scale == 1.0 and graph.layers[0].weight_scale[0] > 0
    output = reference.run(graph, reference.encode_input(graph, images))
    assert np.unique(output[graph.layers[0].name]).tolist() == [0]
    assert graph.layers[0].notes["snr_db"] == DECIBEL_LIMIT


def test_the_bias_of_a_channel_without_weights_is_kept():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 1), nn.ReLU())
    module[0].weight.data.fill_(1000.0)
    module[2].weight.data[0] = 0
    module[2].bias.data[0] = 0.3
    module[2].weight.data[1:] = 1e-3
    graph, images = quantized(module)
    output = graph.layers[-1].output
    stored = reference.run(graph, reference.encode_input(graph, images))[graph.layers[-1].name][..., 0]
    assert np.unique(stored).tolist() == [round(0.3 / output.scale) + output.zero_point]


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        graph, _ = quantized(nets.chain(), nets.CHAIN_SHAPE)
        model_dir.save(graph, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) > 3
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_model_directory_gives_the_same_network_back(tmp_path):
    graph, images = quantized(nets.chain(), nets.CHAIN_SHAPE)
    model_dir.save(graph, tmp_path / "model")
    loaded = model_dir.load(tmp_path / "model")
    q = reference.encode_input(graph, images)
    assert torch.equal(IntegerNetwork(loaded)(q), IntegerNetwork(graph)(q))
    assert [layer.notes for layer in loaded.layers] == [layer.notes for layer in graph.layers]


def test_comparison_names_the_first_mismatch():
    graph, images = quantized(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    comparer = Comparer(graph)
    comparer.integer.layers[graph.layers[0].name].bias[1] += 10**6
    comparer.add(reference.encode_input(graph, images))
    counts = comparer.result.layers[0]
    assert not comparer.result.ok and 0 < counts.mismatches < counts.values
    assert counts.first.startswith("image 0, (y, x, channel)=(0, 0, 1): integer reference")


def test_exact_values_lie_within_half_a_step():
    graph, images = quantized(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Hardtanh(-9, 9)))
    q = reference.encode_input(graph, images)
    layer = graph.layers[0]
    stored = reference.run_layer(layer, q) - layer.output.zero_point
    inside = (stored > -128 - layer.output.zero_point) & (stored < 127 - layer.output.zero_point)
    assert np.abs(exact_values(layer, q) - stored)[inside].max() < 0.5001


@pytest.mark.parametrize(
    "options",
    [
        {"weight_bits": 3},
        {"weight_bits": (8, 5)},
        {"activation_bits": 1},
        {"activation_bits": 6},
        {"requantizer": "khot4"},
        {"weight_levels": "khot3"},
        {"rule": "nearest"},
        {"encoding": "rgb"},
    ],
)
def test_refuses_unknown_options(options):
    with pytest.raises(UnsupportedError):
        PtqOptions(**options)


def test_refuses_an_unknown_calibration_and_no_images():
    network = read_module(nn.Conv2d(1, 1, 1), (2, 2, 1))
    with pytest.raises(UnsupportedError, match="calibration 'entropy' is not supported; use minmax, percentile"):
        calibrate(network, [], "entropy")
    with pytest.raises(RangeError, match="needs at least one image"):
        calibrate(network, [])


def test_refuses_activations_that_overflow():
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1))
    images = nets.random_images(2, (2, 2, 1)).astype(np.float32)
    images[0, 0, 0] = np.inf
    with pytest.raises(RangeError, match="input: the calibration range"):
        quantize_module(module, images, options=PtqOptions(encoding="float"))


def test_refuses_an_accumulator_that_could_overflow():
    module = nn.Sequential(nn.Flatten(), nn.Linear(60000, 1), nn.ReLU())
    module[1].weight.data.fill_(1.0)
    network = prepare(read_module(module, (100, 100, 6)))
    ranges = {network.network.layers[0].name: (0.0, 60000.0)}
    assert quantize(network, ranges).layers[0].weights.max() == 127
    module = nn.Sequential(nn.Flatten(), nn.Linear(140000, 1), nn.ReLU())
    module[1].weight.data.fill_(1.0)
    network = prepare(read_module(module, (100, 100, 14)))
    with pytest.raises(RangeError, match="outside int32"):
        quantize(network, {network.network.layers[0].name: (0.0, 140000.0)})


def test_refuses_float_images_for_a_byte_input():
    with pytest.raises(UnsupportedError, match="use --input float"):
        quantize_module(nn.Conv2d(1, 1, 1), nets.random_images(2, (2, 2, 1)).astype(np.float32))


def test_every_layer_may_have_widths_of_its_own():
    images = nets.random_images(12, nets.CHAIN_SHAPE)
    options = PtqOptions(weight_bits=(8, 4, 6, 2, 1), activation_bits=[4, 8, 2, 8])
    graph = quantize_module(nets.chain(), images, options=options)
    weighted = [layer for layer in graph.layers if layer.op != "maxpool"]
    assert [layer.weight_bits for layer in weighted] == [8, 4, 6, 2, 1]
    assert [layer.output.bits for layer in weighted] == [4, 8, 2, 8, 32]
    for layer in weighted:
        assert np.abs(layer.weights).max() <= max(1, 2 ** (layer.weight_bits - 1) - 1)
    comparer = Comparer(graph)
    comparer.add(reference.encode_input(graph, images))
    assert comparer.result.ok


def test_equal_widths_as_a_tuple_are_the_same_network():
    one, _ = quantized(nets.chain(), nets.CHAIN_SHAPE, weight_bits=4)
    many, _ = quantized(nets.chain(), nets.CHAIN_SHAPE, weight_bits=(4,) * 5, activation_bits=(8,) * 4)
    for left, right in zip(one.layers, many.layers, strict=True):
        if left.op != "maxpool":
            np.testing.assert_array_equal(left.weights, right.weights)


def test_a_clamped_last_layer_has_a_width_too():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.ReLU())
    graph, _ = quantized(module, activation_bits=(8, 4))
    assert [layer.output.bits for layer in graph.layers] == [8, 4]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weight_bits": (8, 8)}, "weight_bits 8,8 has 2 values but the network has 5 layers with weights"),
        ({"activation_bits": (8, 4, 8, 4, 8)}, "activation_bits 8,4,8,4,8 has 5 values but the network has 4 outputs"),
    ],
)
def test_refuses_widths_for_another_number_of_layers(options, message):
    with pytest.raises(ModelError, match=message):
        quantized(nets.chain(), nets.CHAIN_SHAPE, **options)
