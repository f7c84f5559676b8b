"""Networks of mixed widths: compiled programs, executed by the descriptor interpreter, equal the integer reference."""

import dataclasses
import itertools

import numpy as np
import pytest

from accel import model_dir
from accel.compile import compile_graph, fit_config, lower, precisions_for
from accel.compile.precision import layer_precision
from accel.config import HardwareConfig
from accel.descriptor import pack_descriptor, unpack_descriptor
from accel.errors import FitError, RangeError
from accel.ir import Graph, InputEncoding, Threshold
from accel.rtl.array.mac_array import word_offset
from sim.cases import graphs as networks
from tests.compile.interpreter import HardwareError, Interpreter
from tests.compile.test_programs import check

ALL = (8, 6, 4, 2, 1)
SIZES = ((4, 8), (8, 8), (4, 16), (16, 4), (8, 32))


def build(rows=4, lanes=8, **options):
    return HardwareConfig(**{"rows": rows, "lanes": lanes, "precisions": ALL} | options)


def graph_of(*layers):
    return Graph("net", layers[0].input, InputEncoding("uint8" if layers[0].input.bits == 8 else "float"), layers)


@pytest.mark.parametrize("number", range(60))
def test_random_mixed_networks(number):
    rng = np.random.default_rng(number)
    rows, lanes = SIZES[number % len(SIZES)]
    widths = (8, 4, 2) if lanes == 4 else (8, 4, 2, 1)
    graph = networks.random_mixed_graph(rng, layers=int(rng.integers(1, 5)), max_side=7, max_channels=9, widths=widths)
    precisions = ALL if number % 2 else precisions_for(graph)
    multiplier = ("27x18", "25x18", "18x18")[number // 2 % 3]  # the first takes 4-bit weights of -8 in every row
    config = fit_config(graph, build(rows, lanes, precisions=precisions, multiplier=multiplier))
    policy = ("feeder", "window", "random")[number % 3]
    check(graph, compile_graph(graph, config), networks.images(rng, graph, 2), policy)


@pytest.mark.parametrize("lanes", [4, 8, 16, 32])
@pytest.mark.parametrize("bits", list(itertools.product(ALL, (8, 4, 2, 1), (8, 4, 2, 1))))
def test_every_combination_of_widths(bits, lanes):
    """Weights, input, output: a convolution, from the stream, and one from the activation memory, all remainders."""
    weight_bits, input_bits, output_bits = bits
    rng = np.random.default_rng(sum(bits) * lanes)
    for channels in rng.choice(np.arange(1, 19), 2, replace=False):
        source = networks.tensor(rng, 3, 4, int(channels), input_bits)
        first = networks.conv(
            rng,
            "a",
            "input",
            source,
            5,
            (2, 3),
            (1, 1),
            (1, 0, 1, 1),
            weight_bits=weight_bits,
            output_bits=output_bits,
            spread=True,
        )
        graph = graph_of(first)
        if layer_precision(first, build()).input_spread > lanes:
            with pytest.raises(FitError, match=r"a: 1-bit input computed in 8 bits needs 8 lanes but the build has 4"):
                compile_graph(graph, build(lanes=lanes))
            continue
        program = compile_graph(graph, fit_config(graph, build(lanes=lanes)))
        check(graph, program, networks.images(rng, graph, 1))
        assert program.layers[0].precision.output_bits == output_bits


@pytest.mark.parametrize("number", range(48))
def test_every_walk_of_a_mixed_convolution_gives_the_same_integers(number):
    rng = np.random.default_rng(number)
    lanes, input_bits = 8 * 2 ** (number % 3), int(rng.choice([8, 4, 2, 1]))
    source = networks.tensor(rng, int(rng.integers(3, 8)), int(rng.integers(2, 7)), int(rng.integers(1, 8)), input_bits)
    kernel = tuple(int(rng.integers(1, min(4, side) + 1)) for side in source.shape[:2])
    pads = tuple(int(rng.integers(0, kernel[side // 2])) for side in range(4))
    stride = tuple(int(value) for value in rng.integers(1, 3, 2))
    layer = networks.conv(
        rng,
        "conv",
        "input",
        source,
        int(rng.integers(1, 11)),
        kernel,
        stride,
        pads,
        weight_bits=int(rng.choice(ALL)),
        output_bits=int(rng.choice([8, 4, 2, 1])),
        spread=True,
    )
    graph = graph_of(layer)
    q = networks.images(rng, graph, 1)
    config = build(lanes=lanes, line_depth=1024, weight_depth=4096)
    options = lower._candidates(graph, config)[0]
    for option in options:
        assert option.walk.kind != "strip" or option.walk.precision.weight_bits > 1
        check(graph, lower._assemble(graph, [option], config), q, "window" if number % 2 else "feeder")


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize("bits", list(itertools.product(ALL, (8, 4, 2, 1))))
def test_dense_layers_read_packed_pixels(bits, lanes):
    """The input of the dense layer is a map of pixels with pad channels, from the activation memory."""
    weight_bits, input_bits = bits
    rng = np.random.default_rng(sum(bits) * lanes)
    for channels in rng.choice(np.arange(1, 20), 3, replace=False):
        source = networks.tensor(rng, 2, 3, 3, 8)
        first = networks.conv(rng, "a", "input", source, int(channels), (1, 1), output_bits=input_bits, spread=True)
        last = networks.dense(rng, "b", "a", first.output, 7, raw=True, weight_bits=weight_bits, spread=True)
        graph = graph_of(first, last)
        program = compile_graph(graph, fit_config(graph, build(lanes=lanes)))
        assert program.layers[1].walk == "dense" and program.layers[1].precision.input_bits == input_bits
        check(graph, program, networks.images(rng, graph, 2))


def layer_of(weight_bits, input_bits, output_bits=8, channels=5, pads=(1, 1, 1, 1), outputs=8, zero_point=None):
    rng = np.random.default_rng(5)
    source = networks.tensor(rng, 4, 4, channels, input_bits)
    if zero_point is not None:
        source = dataclasses.replace(source, zero_point=zero_point)
    return networks.conv(
        rng,
        "conv",
        "input",
        source,
        outputs,
        (3, 3),
        pads=pads,
        weight_bits=weight_bits,
        output_bits=output_bits,
        spread=True,
    )


WIDTHS = {  # (weights, input, precisions): (compute, storage)
    (8, 8, (8,)): (8, 8),
    (4, 8, (8,)): (8, 8),
    (6, 8, (8, 6)): (8, 8),
    (1, 8, (8, 6)): (8, 8),
    (4, 8, (8, 4)): (8, 4),
    (2, 8, (8, 4)): (8, 4),
    (2, 8, ALL): (8, 2),
    (1, 8, ALL): (8, 1),
    (1, 8, (8, 2)): (8, 2),
    (2, 4, (8, 4, 2)): (4, 2),
    (1, 4, (8, 4)): (4, 4),
    (1, 2, ALL): (2, 1),
    (1, 1, ALL): (1, 1),
    (2, 1, ALL): (2, 2),
    (6, 1, ALL): (8, 8),
    (8, 2, ALL): (8, 8),
    (1, 1, (8, 1)): (1, 1),
    (2, 1, (8, 1)): (8, 8),
}


@pytest.mark.parametrize("widths", WIDTHS)
def test_the_narrowest_storage_and_mode_that_the_build_has(widths):
    weight_bits, input_bits, precisions = widths
    layer = layer_of(weight_bits, input_bits, zero_point=0)
    precision = layer_precision(layer, build(rows=8, precisions=precisions))
    assert (precision.compute_bits, precision.weight_bits) == WIDTHS[widths]
    place, storage = "sends" if weight_bits == 6 else "stores", precision.weight_bits
    note = f"{place} {weight_bits}-bit weights in {storage} bits: the build has no {weight_bits}-bit width"
    assert precision.note == ("" if weight_bits in precisions else note)


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("bits", [4, 2, 1])
def test_an_activation_of_an_absent_width_is_refused(side, bits):
    layer = layer_of(8, bits) if side == "input" else layer_of(8, 8, bits)
    precisions = tuple(width for width in ALL if width != bits)
    with pytest.raises(FitError) as caught:
        compile_graph(graph_of(layer), build(precisions=precisions))
    assert str(caught.value) == (
        f"conv: the {bits}-bit {side} needs a mode that the build does not have; build with --precisions 8,6,4,2,1"
    )


def with_weight(layer, channel, value):
    weights = np.clip(layer.weights, -7, 7)
    weights[channel, 0, 0, 0] = value
    return dataclasses.replace(layer, weights=weights)


def test_a_weight_that_the_packing_cannot_hold_computes_wider():
    layer = layer_of(4, 4)
    for channel, wide in ((3, True), (7, True), (2, False), (0, False)):
        changed = with_weight(layer, channel, -8)
        precision = layer_precision(changed, build(rows=8))
        assert (precision.compute_bits, precision.weight_bits) == ((8, 4) if wide else (4, 4))
        assert bool(precision.note) == wide
        graph = graph_of(changed)
        program = compile_graph(graph, fit_config(graph, build(rows=8)))
        assert program.layers[0].precision == precision
        check(graph, program, networks.images(np.random.default_rng(0), graph, 1))
    assert precision.note == ""
    note = layer_precision(with_weight(layer, 3, -8), build(rows=8)).note
    assert note == (
        "computes in 8 bits: the weight -8 of channel 3 is outside -7..7, which 4-bit packing multiplies exactly"
    )
    assert layer_precision(with_weight(layer, 3, -8), build(rows=8, multiplier="27x18")).compute_bits == 4


def test_one_bit_weights_that_meet_zero_points_in_pad_channels_are_stored_wider():
    layer = layer_of(1, 4, channels=5, zero_point=-3)
    precision = layer_precision(layer, build())
    assert (precision.weight_bits, precision.compute_bits) == (2, 4)
    assert precision.note == (
        "stores weights in 2 bits: 1-bit weights have no zero for the 6 stored channels of 5 "
        "where padding holds the zero point -3"
    )
    assert layer_precision(layer, build(precisions=(8, 4, 1))).weight_bits == 4
    for unharmed in (
        layer_of(1, 4, channels=6, zero_point=-3),
        layer_of(1, 4, zero_point=0),
        layer_of(1, 4, pads=(0, 0, 0, 0), zero_point=-3),
        layer_of(1, 1),
        layer_of(1, 8),
    ):
        assert layer_precision(unharmed, build()).weight_bits == 1


@pytest.mark.parametrize("number", range(8))
def test_networks_name_the_widths_that_they_need(number):
    graph = networks.random_mixed_graph(np.random.default_rng(number), layers=3)
    precisions = precisions_for(graph)
    widths = [layer.weight_bits for layer in graph.layers if layer.op != "maxpool"]
    widths += [tensor.bits for tensor in (graph.input, *(layer.output for layer in graph.layers))]
    assert precisions == tuple(width for width in ALL if width == 8 or width in widths)
    compile_graph(graph, fit_config(graph, build(rows=8, precisions=precisions)))


def test_thresholds_are_clamped_to_what_sums_can_reach():
    layer = layer_of(1, 1, 1)
    rule = Threshold([-(2**31), 2**31, 2**31, -(2**31), 46, -45, 45, -44], [0, 0, 1, 1, 0, 0, 0, 0])
    layer = dataclasses.replace(layer, requantize=rule, bias=np.zeros(8, int))
    graph = graph_of(layer)
    program = compile_graph(graph, fit_config(graph, build()))
    entries = program.bias[:8] + 45 + 3 * word_offset(program.config, 1)  # 45 products, 3 words
    assert entries.tolist() == [45, -46, -46, 45, -46, 45, -45, 44]
    assert program.multiplier[:8].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    check(graph, program, networks.images(np.random.default_rng(0), graph, 3))


def test_a_threshold_whose_difference_overflows_is_refused():
    layer = layer_of(8, 8, 1, zero_point=0)
    weights = np.full(layer.weights.shape, 127)
    layer = dataclasses.replace(
        layer, weights=weights, bias=np.full(8, -(2**14)), requantize=Threshold(np.full(8, 2**20), np.zeros(8, int))
    )
    with pytest.raises(RangeError, match="conv: the accumulator of channel 0 .* build with acc_bits=32"):
        compile_graph(graph_of(layer), build(acc_bits=16))
    small = dataclasses.replace(
        layer,
        weights=np.where(np.arange(5) == 0, 50, 0) * np.eye(3, dtype=int)[:, :, None] * np.ones((8, 1, 1, 1), int),
        bias=np.zeros(8, int),
    )
    with pytest.raises(
        RangeError,
        match=r"conv: channel 0 compares accumulators of -19200..19050 with 19051, a "
        r"difference beyond 32768; use fewer inputs or smaller weights",
    ):
        compile_graph(graph_of(small), build(acc_bits=16))
    compile_graph(graph_of(small), build())


def test_the_interpreter_notices_wrong_widths():
    """The oracle is no rubber stamp: small changes of the width fields make it fail."""
    rng = np.random.default_rng(4)
    source = networks.tensor(rng, 7, 6, 5, 1)
    first = networks.conv(
        rng, "a", "input", source, 11, (3, 3), pads=(1, 1, 1, 1), weight_bits=1, output_bits=2, spread=True
    )
    second = networks.conv(rng, "b", "a", first.output, 9, (2, 2), weight_bits=1, output_bits=4, spread=True)
    last = networks.conv(rng, "c", "b", second.output, 7, (2, 2), weight_bits=2, raw=True)
    graph = graph_of(first, second, last)
    program = compile_graph(graph, fit_config(graph, build()))
    assert [plan.precision.codes["compute_code"] for plan in program.layers] == [3, 2, 1]
    image = networks.images(rng, graph, 1)[0]
    survivors = []

    def outputs(compiled):
        machine = Interpreter(compiled)
        machine.run(compiled.encode_input(image))
        return machine.trace

    right = outputs(program)
    names = "compute_code", "weight_code", "input_code", "output_code", "tail_bytes_minus1", "pad_value"
    for layer, name in itertools.product(range(3), names):
        values = unpack_descriptor(program.descriptors[layer])
        if name == "output_code" and values["raw"] or name == "pad_value" and layer or layer == 2 and "tail" in name:
            continue  # not used: raw output, no padding, zero weights behind the tail
        values.pop("magic")
        values[name] ^= 1
        descriptors = program.descriptors.copy()
        words = pack_descriptor(values, program.config)
        descriptors[layer, : len(words)] = words
        changed = dataclasses.replace(program, descriptors=descriptors)
        try:
            if outputs(changed) == right:
                survivors.append((layer, name))
        except (HardwareError, ValueError):
            continue
    assert survivors == []


@pytest.mark.parametrize(
    ("bits", "size", "busy"),
    [
        (8, (64, 64, 16), 4096),
        (4, (64, 64, 16), 2048),
        (2, (64, 64, 16), 1024),
        (1, (64, 64, 16), 1024),
        (1, (256, 128, 128), 32768),
    ],
)
def test_a_batch_of_vectors_takes_the_cycles_of_the_documentation(bits, size, busy):
    batch, inputs, outputs = size
    rng = np.random.default_rng(0)
    layer = networks.conv(
        rng,
        "gemm",
        "input",
        networks.tensor(rng, batch, 1, inputs, bits),
        outputs,
        (1, 1),
        weight_bits=bits,
        output_bits=bits,
        spread=True,
    )
    graph = graph_of(dataclasses.replace(layer, weights=np.maximum(layer.weights, -7) if bits == 4 else layer.weights))
    program = compile_graph(graph, fit_config(graph, build(lanes=4, precisions=(8, 4, 2, 1))))
    assert 0 < program.predicted_cycles - busy < 64 and program.layers[0].precision.compute_bits == bits


ZOO = {
    "lenet5-int8": [8] * 5,
    "lenet5-w8a8": [8] * 5,
    "lenet5-w6a8": [8] * 5,
    "lenet5-w4a8": [8] * 5,
    "lenet5-w4a4": [8, 4, 4, 4, 4],
    "lenet5-w2a2": [8, 2, 2, 2, 2],
    "lenet5-w1a1": [8, 1, 1, 1, 8],
    "lenet5-mixed": [8, 4, 2, 1, 8],
}


@pytest.mark.parametrize("name", ZOO)
def test_the_shipped_networks_fit_one_build(name):
    config = build(rows=8, act_depth=256, line_depth=128, param_depth=512, weight_depth=1024)
    program = compile_graph(model_dir.load(name), config)
    assert [plan.precision.compute_bits for plan in program.layers] == ZOO[name] and program.notes == ()
