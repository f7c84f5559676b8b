"""accel.ir refuses every malformed graph in one sentence that names the layer."""

import dataclasses

import numpy as np
import pytest

from accel.errors import BitloomError, ModelError, RangeError
from accel.ir import Conv2D, Dense, Graph, InputEncoding, MaxPool, Requantize, TensorType, Threshold
from sim.cases import graphs as networks

SOURCE = TensorType(6, 5, 3, 8, 0.1, -7)


def conv(**changes):
    layer = networks.conv(np.random.default_rng(0), "conv1", "input", SOURCE, 4, (3, 3), (2, 2), (1, 0, 1, 0))
    return dataclasses.replace(layer, **changes)


def dense(**changes):
    return dataclasses.replace(networks.dense(np.random.default_rng(0), "fc1", "input", SOURCE, 4), **changes)


def pool(**changes):
    return dataclasses.replace(networks.maxpool("pool1", "input", SOURCE, (2, 2)), **changes)


def raw(tensor):
    return dataclasses.replace(tensor, bits=32, zero_point=0)


def sign(tensor):
    return dataclasses.replace(tensor, bits=1, zero_point=0)


def binary_conv(threshold, invert):
    return conv(output=sign(conv().output), requantize=Threshold(np.array(threshold), np.array(invert)))


def bad_requantize(**changes):
    return lambda: dataclasses.replace(conv().requantize, **changes)


BAD_TENSORS = {
    "height must lie in 1..65535, not 0": {"height": 0},
    "channels must be an integer in 1..65535, not 2.0": {"channels": 2.0},
    "width must be an integer in 1..65535, not True": {"width": True},
    "channels must lie in 1..65535, not a 334-bit integer": {"channels": 2**333},
    "elements, at most": {"height": 60000, "width": 60000},
    "bits must be one of 8, 4, 2, 1, 32, not 3": {"bits": 3},
    "bits must be one of 8, 4, 2, 1, 32, not 8.0": {"bits": 8.0},
    "scale must be finite, not nan": {"scale": float("nan")},
    "scale must be a number, not '1'": {"scale": "1"},
    "scale -1.0 must be positive": {"scale": -1.0},
    "scale 0.0 must be positive": {"scale": 0.0},
    "zero_point must lie in -128..127, not 128": {"zero_point": 128},
    "zero_point must lie in 0..0, not -7": {"bits": 32},
    "zero_point must lie in 0..0, not -1": {"bits": 1, "zero_point": -1},
    "zero_point must lie in -8..7, not 8": {"bits": 4, "zero_point": 8},
    "zero_point must lie in -2..1, not -7": {"bits": 2},
}


@pytest.mark.parametrize("text", BAD_TENSORS)
def test_bad_tensor_type(text):
    with pytest.raises(BitloomError) as caught:
        dataclasses.replace(SOURCE, **BAD_TENSORS[text])
    assert text in str(caught.value)


WIDE = np.zeros((4, 3, 3, 3), dtype=np.int64)
BAD_LAYERS = {
    "layer name must be letters": lambda: conv(name="a/b"),
    "layer name must be": lambda: conv(name=""),
    "layer name 'input' is taken": lambda: conv(name="input"),
    "conv1: weights must have the shape [OC, KH, KW, IC], not (4, 3, 3)": lambda: conv(weights=WIDE[..., 0]),
    "conv1: weights have 2 input channels but the input tensor has 3": lambda: conv(weights=WIDE[..., :2]),
    "conv1: weights must hold integers, not float64": lambda: conv(weights=WIDE * 1.0),
    "conv1: weights must lie in -128..127, not 128": lambda: conv(weights=WIDE + 128),
    "conv1: weights must lie in -8..7, not -9": lambda: conv(weights=WIDE - 9, weight_bits=4),
    "conv1: 1-bit weights must be -1 or +1, not 0": lambda: conv(weights=WIDE, weight_bits=1),
    "conv1: weight bits must be one of 8, 6, 4, 2, 1, not 5": lambda: conv(weight_bits=5),
    "conv1: weight_scale must be positive and finite, not nan": lambda: conv(weight_scale=np.full(4, np.nan)),
    "conv1: weight_scale must have shape (4,), not (1,)": lambda: conv(weight_scale=np.ones(1)),
    "conv1: bias must lie in -2147483648..2147483647": lambda: conv(bias=np.full(4, 2**31)),
    "conv1: bias must have shape (4,), not (3,)": lambda: conv(bias=np.zeros(3, dtype=int)),
    "conv1: stride must be 2 integers, not 1": lambda: conv(stride=1),
    "conv1: stride must lie in 1..65535, not 0": lambda: conv(stride=(0, 1)),
    "conv1: pads must be 4 integers": lambda: conv(pads=(1, 1)),
    "conv1: pads must lie in 0..65535, not -1": lambda: conv(pads=(-1, 0, 0, 0)),
    "conv1: kernel height 9 must not exceed the padded input's 7": lambda: conv(
        weights=np.zeros((4, 9, 3, 3), dtype=int)
    ),
    "conv1: output shape must be (3, 2, 4) for input (6, 5, 3), not (6, 5, 3)": lambda: conv(output=SOURCE),
    "conv1: output of 8 bits needs a requantization": lambda: conv(requantize=None),
    "conv1: raw int32 output must not have a requantization": lambda: conv(output=raw(conv().output)),
    "conv1: raw int32 input is not allowed": lambda: conv(input=raw(SOURCE)),
    "conv1: multiplier must have shape (4,), not (5,)": lambda: conv(
        requantize=networks.requantize(np.random.default_rng(0), 5, "half_up", 9)
    ),
    "conv1: qmin..qmax -128..127 must lie in -8..7": lambda: conv(
        output=dataclasses.replace(conv().output, bits=4, zero_point=0)
    ),
    "conv1: notes must be a dict": lambda: conv(notes=None),
    "conv1: input must be a TensorType": lambda: conv(input=(6, 5, 3)),
    "rounding rule 'down' is unknown": bad_requantize(rule="down"),
    "shift -1 must lie in 0..62": bad_requantize(shift=np.full(4, -1)),
    "shift must lie in -31..62, not 63": bad_requantize(shift=np.full(4, 63)),
    "multiplier must lie in 0..2147483647, not -1": bad_requantize(multiplier=np.full(4, -1)),
    "multiplier must hold one value per output channel": bad_requantize(multiplier=np.ones((2, 2), dtype=int)),
    "qmax must lie in 5..127, not 4": bad_requantize(qmin=5, qmax=4),
    "qmin must lie in -128..127, not -129": bad_requantize(qmin=-129),
    "conv1: 1-bit output needs a Threshold": lambda: conv(output=sign(conv().output)),
    "conv1: a Threshold puts out 1 bit, not 8": lambda: conv(requantize=Threshold(np.zeros(4, int), np.zeros(4, bool))),
    "conv1: threshold must have shape (4,), not (3,)": lambda: binary_conv(np.zeros(3, int), np.zeros(3, bool)),
    "threshold must lie in -2147483648..2147483648, not 2147483649": lambda: binary_conv([0, 0, 0, 2**31 + 1], [0] * 4),
    "threshold must lie in -2147483648..2147483648, not -2147483649": lambda: binary_conv(
        [0, 0, 0, -(2**31) - 1], [0] * 4
    ),
    "threshold must hold integers, not float64": lambda: binary_conv([0, 0, 0, 0.5], [0] * 4),
    "threshold must hold one value per output channel": lambda: binary_conv(0, 0),
    "invert must have shape (4,), not (3,)": lambda: binary_conv([0] * 4, np.zeros(3, bool)),
    "invert must lie in 0..1, not 2": lambda: binary_conv([0] * 4, [0, 1, 2, 0]),
    "conv1: requantize must be a Requantize, a Threshold or None": lambda: conv(requantize=3),
    "fc1: weights have 5 inputs but the input tensor (6, 5, 3) has 90": lambda: dense(
        weights=np.zeros((4, 5), dtype=int)
    ),
    "fc1: output shape must be (1, 1, 4)": lambda: dense(output=SOURCE),
    "pool1: pads (2, 0, 0, 0) must be smaller than the kernel height 2": lambda: pool(pads=(2, 0, 0, 0)),
    "pool1: kernel must lie in 1..65535, not 0": lambda: pool(kernel=(0, 1)),
    "pool1: kernel width 9 must not exceed": lambda: pool(kernel=(2, 9)),
    "pool1: output zero_point must equal the input's -7, not 0": lambda: pool(
        output=dataclasses.replace(pool().output, zero_point=0)
    ),
    "pool1: output shape must be (3, 2, 3)": lambda: pool(output=SOURCE),
}


@pytest.mark.parametrize("text", BAD_LAYERS)
def test_bad_layer(text):
    with pytest.raises(BitloomError) as caught:
        BAD_LAYERS[text]()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def graph(layers=None, **changes):
    values = {"name": "net", "input": SOURCE, "encoding": InputEncoding(), "layers": layers or (conv(),)}
    return Graph(**{**values, **changes})


BAD_GRAPHS = {
    "graph name must be letters": lambda: graph(name="../x"),
    "net: a graph needs 1..1024 layers, not 0": lambda: Graph("net", SOURCE, InputEncoding(), ()),
    "net: 'x' is not a layer": lambda: graph(("x",)),
    "conv1: the name is used twice": lambda: graph((conv(), conv(input_name="conv1"))),
    "conv1: reads 'other' but the layer before is 'input'": lambda: graph((conv(input_name="other"),)),
    "differs from the output of 'conv1'": lambda: graph((conv(), pool(input_name="conv1"))),
    "net: 2 class names do not fit 24 outputs": lambda: graph(class_names=("a", "b")),
    "net: class names must be texts": lambda: graph(class_names=(1,)),
    "net: input mean has 2 values for 3 channels": lambda: graph(encoding=InputEncoding(mean=(0.1, 0.2))),
    "input encoding must be one of uint8, float, not 'png'": lambda: InputEncoding("png"),
    "input std 0.0 must be positive": lambda: InputEncoding(std=(0.0,)),
    "input mean must be finite, not inf": lambda: InputEncoding(mean=(float("inf"),)),
    "input mean must be one number per channel": lambda: InputEncoding(mean=0.5),
    "net: a uint8 input cannot have 4 bits": lambda: graph(input=dataclasses.replace(SOURCE, bits=4, zero_point=0)),
    "net: input must be a TensorType": lambda: graph(input=None),
}


@pytest.mark.parametrize("text", BAD_GRAPHS)
def test_bad_graph(text):
    with pytest.raises(BitloomError) as caught:
        BAD_GRAPHS[text]()
    assert text in str(caught.value)


def test_a_good_graph_knows_its_shape_and_work():
    first = conv()
    second = networks.dense(np.random.default_rng(1), "fc", "conv1", first.output, 10, raw=True)
    net = graph((first, second), class_names=[str(digit) for digit in range(10)])
    assert net.output.shape == (1, 1, 10) and net.output.bits == 32
    assert first.macs == 3 * 2 * 4 * 27 and second.macs == 240 and net.macs == 888
    assert first.kernel == (3, 3) and first.output.shape == (3, 2, 4)


def test_arrays_are_read_only_copies():
    weights = np.zeros((4, 3, 3, 3), dtype=np.int8)
    layer = conv(weights=weights)
    weights[:] = 1
    assert layer.weights.dtype == np.int64 and not layer.weights.any()
    with pytest.raises(ValueError, match="read-only"):
        layer.weights[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.name = "other"


def test_only_model_errors_for_types():
    with pytest.raises(ModelError):
        conv(requantize="half_up")
    with pytest.raises(RangeError):
        TensorType(1, 1, 1, 32, -1.0, 0)
    assert {Conv2D.op, Dense.op, MaxPool.op} == {"conv2d", "dense", "maxpool"}
    assert isinstance(conv().requantize, Requantize)


def test_a_threshold_may_lie_just_outside_int32():
    layer = binary_conv([2**31, -(2**31), 0, 5], [True, False, True, False])
    assert layer.requantize.threshold.tolist() == [2**31, -(2**31), 0, 5]
    assert layer.requantize.invert.dtype == bool and layer.requantize.invert.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("bits", "channels", "pixel", "stored"),
    [(8, 5, 5, 5), (4, 5, 3, 6), (2, 5, 2, 8), (1, 5, 1, 8), (1, 9, 2, 16), (4, 6, 3, 6)],
)
def test_tensors_are_packed_in_whole_bytes_a_pixel(bits, channels, pixel, stored):
    tensor = TensorType(3, 2, channels, bits, 0.1, 0)
    assert (tensor.pixel_bytes, tensor.stored_channels, tensor.stream_bytes) == (pixel, stored, 6 * pixel)
    q = networks.random_weights(np.random.default_rng(bits), tensor.shape, bits)
    data = tensor.to_bytes(q)
    assert len(data) == 6 * pixel and np.array_equal(tensor.from_bytes(data), q)
    bits_of = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").reshape(6, 8 * pixel)
    assert not bits_of[:, channels * bits :].any()
    assert tensor.holds(q) and not tensor.holds(np.where(q == q[0, 0, 0], 2 ** (bits - 1) + 1, q))


def test_a_binary_tensor_holds_no_zero_and_pads_with_minus_one():
    tensor = TensorType(1, 1, 2, 1, 0.1, 0)
    assert tensor.padding == -1 and tensor.holds(np.array([1, -1])) and not tensor.holds(np.array([1, 0]))
    assert TensorType(1, 1, 2, 4, 0.1, -3).padding == -3
    assert TensorType(1, 1, 2, 32, 0.1, 0).from_bytes(np.array([7, -9], dtype="<i4").tobytes()).tolist() == [[[7, -9]]]
