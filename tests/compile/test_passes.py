"""Each pass of the compiler alone: what it keeps, what it refuses, what it proves."""

import dataclasses

import numpy as np
import pytest

from accel import reference
from accel.compile import compile_graph, fit_config
from accel.compile.emit import emit
from accel.compile.fuse import fuse_pools
from accel.compile.pack import pack_weights
from accel.compile.parameters import fold_bias, parameters, split_shift
from accel.compile.prepare import drop_trivial_pools, insert_identities, prepare, stream_dense
from accel.compile.walks import walks
from accel.config import HardwareConfig
from accel.errors import BitloomError, FitError, ModelError, RangeError, UnsupportedError
from accel.fixedpoint import RULES
from accel.ir import Graph, InputEncoding, Requantize, TensorType
from accel.rtl.array.mac_array import word_offset
from sim.breakdown import by_layer, utilization
from sim.cases import graphs as networks
from sim.cli import compile_for

CONFIG = HardwareConfig(rows=4, lanes=4)
SOURCE = TensorType(6, 6, 3, 8, 0.1, -9)


def chain(*layers):
    return Graph("chain", layers[0].input, InputEncoding(), layers)


def conv(name="conv", input_name="input", source=SOURCE, channels=5, kernel=(3, 3), **options):
    return networks.conv(np.random.default_rng(0), name, input_name, source, channels, kernel, **options)


def same_integers(before, after, seed=0):
    """The reference's outputs of all layers that both graphs have, and of the last one, are equal."""
    q = networks.images(np.random.default_rng(seed), before, 3)
    old, new = reference.run(before, q), reference.run(after, q)
    for name in set(old) & set(new):
        assert np.array_equal(old[name], new[name]), name
    assert np.array_equal(list(old.values())[-1].ravel(), list(new.values())[-1].ravel())


def test_trivial_pools_are_dropped():
    first = conv()
    trivial = networks.maxpool("same", "conv", first.output, (1, 1))
    real = networks.maxpool("pool", "same", trivial.output, (2, 2))
    graph = chain(first, trivial, real)
    after = drop_trivial_pools(graph)
    assert [layer.name for layer in after.layers] == ["conv", "pool"]
    same_integers(graph, after)
    alone = chain(networks.maxpool("same", "input", SOURCE, (1, 1)))
    assert drop_trivial_pools(alone).layers[0].name == "same"


def test_identities_are_inserted_before_lonely_pools():
    first = networks.maxpool("pool", "input", SOURCE, (2, 2))
    second = networks.maxpool("pool_again", "pool", first.output, (3, 3))
    graph = chain(first, second)
    after = insert_identities(graph)
    assert [layer.name for layer in after.layers] == ["pool_in", "pool", "pool_again_in", "pool_again"]
    same_integers(graph, after)
    assert [stage.output_name for stage in fuse_pools(after)] == ["pool", "pool_again"]


def test_identity_names_stay_unique():
    first = conv("pool_in")
    pool = networks.maxpool("other", "pool_in", first.output, (2, 2))
    lonely = networks.maxpool("pool", "other", pool.output, (2, 2))
    names = [layer.name for layer in insert_identities(chain(first, pool, lonely)).layers]
    assert names == ["pool_in", "other", "pool_in_1", "pool"]


def test_first_dense_becomes_a_convolution():
    dense = networks.dense(np.random.default_rng(1), "fc", "input", SOURCE, 7)
    after = stream_dense(chain(dense))
    assert after.layers[0].op == "conv2d" and after.layers[0].kernel == (6, 6)
    same_integers(chain(dense), after)


@pytest.mark.parametrize("number", range(20))
def test_prepared_random_networks_keep_their_integers(number):
    rng = np.random.default_rng(number)
    graph = networks.random_graph(rng, layers=4)
    same_integers(graph, prepare(graph), number)


def test_a_pool_that_rounds_down_saves_rows():
    first = conv(kernel=(2, 2))
    pool = networks.maxpool("pool", "conv", first.output, (2, 3))
    (stage,) = fuse_pools(chain(first, pool))
    assert first.output.shape[:2] == (5, 5) and stage.computed_size == (4, 3)
    assert stage.output == pool.output and stage.name == "conv" and stage.output_name == "pool"
    assert stage.macs == 4 * 3 * first.weights.size < first.macs


@pytest.mark.parametrize("size", [7, 9, 14, 15])
@pytest.mark.parametrize("pool", [None, 2, 3, 4])
def test_no_prediction_uses_more_than_the_whole_array(size, pool):
    """Where a pool drops rows and columns, only the outputs that are left are work."""
    for kernel, stride, channels in ((7, 4, 8), (3, 1, 4), (1, 1, 16), (3, 2, 4)):
        source = TensorType(size, size, 4, 8, 0.1, -9)
        first = conv(
            source=source, channels=channels, kernel=(kernel, kernel), stride=(stride, stride), pads=(kernel // 2,) * 4
        )
        layers = [first]
        if pool is not None and min(first.output.shape[:2]) >= pool:
            layers.append(networks.maxpool("pool", "conv", first.output, (pool, pool)))
        layers.append(networks.dense(np.random.default_rng(2), "fc", layers[-1].name, layers[-1].output, 5))
        program = compile_for(chain(*layers), 4, 4)
        assert 0 < utilization(program, program.predicted_cycles) <= 1
        rows = by_layer(program, program.predicted_cycles, [(plan.predicted_cycles, 0) for plan in program.layers])
        assert all(0 < row["utilization"] <= 1 for row in rows)


def overlapping_pool():
    first = conv(pads=(1, 1, 1, 1))
    return chain(first, networks.maxpool("pool", "conv", first.output, (3, 3), (2, 2)))


def tall_pool():
    source = TensorType(20, 2, 1, 8, 0.1, 0)
    first = networks.conv(np.random.default_rng(0), "conv", "input", source, 2, (1, 1))
    return chain(first, networks.maxpool("pool", "conv", first.output, (20, 1)))


def far_padded_pool():
    source = TensorType(20, 20, 1, 8, 0.1, 0)
    first = networks.conv(np.random.default_rng(0), "conv", "input", source, 2, (5, 5))
    return chain(first, networks.maxpool("pool", "conv", first.output, (16, 17), pads=(0, 0, 16, 1)))


def narrow_input():
    source = dataclasses.replace(SOURCE, bits=4, zero_point=0)
    return Graph("narrow", source, InputEncoding("float"), (conv(source=source),))


REFUSED = {
    "pool: a max pool of height 3 with stride 2 is not supported; stride and kernel must be equal; "
    "change the pool and train the model again": overlapping_pool,
    "pool: a max pool of height 20 is not supported, at most 16": tall_pool,
    "pool: a max pool of width 17 is not supported, at most 16": far_padded_pool,
    "conv: pads (3, 0, 0, 0) of kernel (3, 3) make windows that hold no input row": lambda: chain(
        conv(pads=(3, 0, 0, 0))
    ),
}


def test_an_absent_mode_is_refused_with_the_option():
    with pytest.raises(
        FitError, match="conv: the 4-bit input needs a mode that the build does not have; build with --precisions 8,4"
    ):
        compile_graph(narrow_input(), CONFIG)


@pytest.mark.parametrize("text", REFUSED)
def test_unsupported_layers_are_refused_by_name(text):
    with pytest.raises(UnsupportedError) as caught:
        compile_graph(REFUSED[text](), CONFIG)
    assert text in str(caught.value)


def test_a_pool_of_one_output_may_have_any_stride():
    first = conv(kernel=(4, 4))
    graph = chain(first, networks.maxpool("pool", "conv", first.output, (3, 3), (1, 2)))
    assert graph.output.shape == (1, 1, 5)
    compile_graph(graph, CONFIG)


def stage_and_walk(layer, config=CONFIG):
    (stage,) = fuse_pools(chain(layer))
    return stage, walks(stage, config, from_stream=True)[0]


def test_bias_folds_zero_point_and_array_offset():
    layer = conv(channels=6)
    stage, walk = stage_and_walk(layer)
    folded = fold_bias(layer, walk, CONFIG)
    sums = layer.weights.reshape(6, -1).sum(axis=1)
    expected = layer.bias + 9 * sums - 3 * 3 * word_offset(CONFIG)
    assert walk.tile_words == 9
    assert ((folded - expected) % 2**32 == 0).all() and folded.min() >= -(2**31) and folded.max() < 2**31
    assert parameters(stage, walk, CONFIG).bias.tolist()[:6] == folded.tolist()


def test_a_folded_bias_outside_int32_is_refused():
    source = TensorType(1, 1, 1, 8, 0.1, 127)
    layer = networks.conv(np.random.default_rng(0), "deep", "input", source, 2, (1, 1))
    layer = dataclasses.replace(layer, weights=np.full((2, 1, 1, 1), -100), bias=np.array([0, 2**31 - 1 - 25500]))
    reference.check_accumulators(layer)
    fold_bias(layer, stage_and_walk(layer)[1], CONFIG)
    layer = dataclasses.replace(layer, bias=np.array([0, 2**31 - 1]), weights=np.array([-100, -1]).reshape(2, 1, 1, 1))
    with pytest.raises(RangeError, match="deep: .* channel 1"):
        compile_graph(chain(layer), CONFIG)


def test_sixteen_bit_accumulators_need_a_proof():
    source = TensorType(1, 1, 1, 8, 0.1, 0)
    narrow = HardwareConfig(rows=4, lanes=4, acc_bits=16)
    layer = networks.conv(np.random.default_rng(0), "c", "input", source, 2, (1, 1))
    small = dataclasses.replace(layer, weights=np.full((2, 1, 1, 1), 100), bias=np.array([19967, -19968]))
    compile_graph(chain(small), narrow)
    large = dataclasses.replace(small, bias=np.array([19967, 20068]))
    compile_graph(chain(large), CONFIG)
    with pytest.raises(RangeError, match=r"c: the accumulator of channel 1 .* outside 16 bits; build with acc_bits=32"):
        compile_graph(chain(large), narrow)


def test_one_datapath_encodes_all_rules():
    def split(rule, shifts):
        away, first, second = split_shift(Requantize(rule, np.ones(len(shifts), dtype=int), np.array(shifts), 0, 1))
        return away, first.tolist(), second.tolist()

    assert split("half_up", [0, 62]) == (False, [0, 62], [0, 0])
    assert split("half_away", [5, 9]) == (True, [5, 9], [0, 0])
    assert split("gemmlowp", [30, 0, -1, -31]) == (False, [1, 31, 31, 31], [0, 0, 1, 31])
    assert len(RULES) == 3


def test_packed_weights_lie_where_the_loop_nest_reads_them():
    layer = conv(channels=6, kernel=(2, 3))
    _, walk = stage_and_walk(layer)
    assert walk.kind == "rows"
    words = pack_weights(walk, CONFIG)
    kwords = 3
    assert words.shape == (2 * 2 * kwords, 4, 4)
    for channel in range(8):
        for kh in range(2):
            for byte in range(kwords * 4):
                word = words[(channel // 4 * 2 + kh) * kwords + byte // 4, channel % 4, byte % 4]
                inside = channel < 6 and byte < 9
                expected = layer.weights[channel, kh].reshape(-1)[byte] if inside else 0
                assert word.astype(np.int8) == expected


def test_raw_layers_use_one_lane_a_group():
    layer = conv(channels=6, kernel=(6, 6), raw=True)
    config = HardwareConfig(rows=4, lanes=4, req_lanes=2)
    stage, walk = stage_and_walk(layer, config)
    params = parameters(stage, walk, config)
    assert (params.groups, params.last_groups, params.pixel_groups, params.last_count) == (4, 2, 6, 4)
    assert params.bias[0::2].tolist() == fold_bias(layer, walk, config).tolist()
    assert not params.bias[1::2].any() and not params.multiplier.any()


def big_graph():
    rng = np.random.default_rng(2)
    source = TensorType(12, 12, 8, 8, 0.1, 1)
    first = networks.conv(rng, "one", "input", source, 16, (3, 3), pads=(1, 1, 1, 1))
    pool = networks.maxpool("pool", "one", first.output, (2, 2))
    second = networks.conv(rng, "two", "pool", pool.output, 24, (3, 3))
    last = networks.dense(rng, "three", "two", second.output, 10, raw=True)
    return chain(first, pool, second, last)


FITS = {
    "weight_depth": (
        r"chain: the weights of all layers need 168 words but weight_depth is 128; raise weight_depth "
        r"to 256 or choose a larger array"
    ),
    "param_depth": r"the parameters of all layers need \d+ entries but param_depth is 32; raise param_depth to 64",
    "act_depth": r"chain: two: input and output together need 120 words but act_depth is 64; raise act_depth to 128",
    "line_depth": r"one: its rows in the line buffer need \d+ words but line_depth is 32; raise line_depth to 64",
    "pool_depth": r"one: its rows in the pooling memory need 48 entries but pool_depth is 32; raise pool_depth to 64",
    "max_layers": r"the layers of the program need 3 descriptors but max_layers is 2; raise max_layers to 4",
}


@pytest.mark.parametrize("option", FITS)
def test_too_small_a_memory_is_named_with_need_and_remedy(option):
    graph = big_graph()
    right = fit_config(graph, HardwareConfig(rows=8, lanes=8))
    compile_graph(graph, right)
    too_small = dataclasses.replace(right, **{option: 32 if option == "line_depth" else getattr(right, option) // 2})
    with pytest.raises(FitError, match=FITS[option]) as caught:
        compile_graph(graph, too_small)
    assert "\n" not in str(caught.value)


def test_fitted_depths_are_the_smallest_powers_of_two():
    graph = big_graph()
    config = fit_config(graph, HardwareConfig(rows=8, lanes=8))
    program = compile_graph(graph, config)
    used = program.layers[-1].weight_base + program.layers[-1].weight_words
    assert len(program.weights) == used and config.weight_depth // 2 < used <= config.weight_depth
    assert (config.rows, config.lanes) == (8, 8)


def test_what_no_build_can_hold_is_refused():
    rng = np.random.default_rng(2)
    source = TensorType(1, 1, 60000, 8, 0.1, 1)
    graph = chain(networks.conv(rng, "wide", "input", source, 300, (1, 1)))
    roomy = dataclasses.replace(CONFIG, line_depth=16384)
    for attempt in (fit_config, compile_graph):
        with pytest.raises(
            FitError,
            match=r"chain: the weights of all layers need \d+ words.* choose a larger array "
            r"\(rows, lanes\): weight_depth cannot exceed 65536",
        ):
            attempt(graph, roomy)


def test_a_narrow_bank_trades_the_strip_for_rows():
    rng = np.random.default_rng(2)
    source = TensorType(20, 20, 1, 8, 0.1, 1)
    graph = chain(networks.conv(rng, "c", "input", source, 30, (5, 5)))
    wide = compile_graph(graph, HardwareConfig(rows=4, lanes=8, weight_depth=1024))
    narrow = compile_graph(graph, HardwareConfig(rows=4, lanes=8, weight_depth=64))
    assert wide.layers[0].walk == "strip" and narrow.layers[0].walk == "rows"
    assert wide.predicted_cycles < narrow.predicted_cycles


def test_a_small_line_buffer_costs_the_spare_slot_only():
    graph = big_graph()
    right = fit_config(graph, HardwareConfig(rows=8, lanes=8))
    least = compile_graph(graph, dataclasses.replace(right, line_depth=64))
    assert max(plan.line_words for plan in least.layers) <= 64


def test_descriptor_errors_name_the_stage():
    layer = conv()
    stage, walk = stage_and_walk(layer)
    with pytest.raises(FitError, match="conv: descriptor: missing fields"):
        emit(stage, walk.fields, CONFIG)


def test_program_checks_its_input_and_output():
    graph = big_graph()
    program = compile_graph(graph, fit_config(graph, HardwareConfig(rows=8, lanes=8)))
    data = program.encode_input(np.full((12, 12, 8), -1))
    assert data == b"\xff" * 1152 and program.input_beats == 144 and program.output_beats == 5
    with pytest.raises(ModelError, match=r"input must have shape \(12, 12, 8\)"):
        program.encode_input(np.zeros((12, 12, 7), dtype=int))
    with pytest.raises(RangeError, match="integers in -128..127"):
        program.encode_input(np.full((12, 12, 8), 128))
    with pytest.raises(RangeError, match="integers"):
        program.encode_input(np.zeros((12, 12, 8)))
    assert program.decode_output(np.arange(10, dtype="<i4").tobytes()).tolist() == [[list(range(10))]]
    with pytest.raises(ModelError, match="output has 39 bytes, 40 are needed"):
        program.decode_output(b"x" * 39)
    for count in (0, 4):
        with pytest.raises(ModelError, match="has 3 layers"):
            program.truncated(count)


def test_input_tail_is_padded_to_whole_beats():
    graph = chain(conv(kernel=(1, 1), source=TensorType(3, 1, 1, 8, 0.1, 0)))
    program = compile_graph(graph, CONFIG)
    assert program.encode_input(np.array([[[1]], [[2]], [[-1]]])) == b"\x01\x02\xff\x00"


def test_too_many_weights_for_the_host_port():
    graph = big_graph()
    program = compile_graph(graph, fit_config(graph, HardwareConfig(rows=8, lanes=8)))
    huge = dataclasses.replace(program, weights=np.zeros((65536, 8, 16), dtype=np.uint8))
    with pytest.raises(FitError, match="exceed the host port's 1048576"):
        huge.host_writes()


@pytest.mark.parametrize("number", range(5))
def test_equal_inputs_give_equal_programs(number):
    def build():
        graph = networks.random_graph(np.random.default_rng(number), layers=4)
        return compile_graph(graph, fit_config(graph, HardwareConfig(rows=4, lanes=8)))

    one, two = build(), build()
    assert one.host_writes() == two.host_writes() and one.layers == two.layers


def test_every_error_is_one_of_ours():
    """Hundreds of random networks on a small build either compile or say why not."""
    small = HardwareConfig(
        rows=4, lanes=4, weight_depth=64, act_depth=32, line_depth=16, param_depth=32, pool_depth=16, max_layers=2
    )
    compiled = refused = 0
    for number in range(200):
        graph = networks.random_graph(np.random.default_rng(number), layers=3)
        try:
            compile_graph(graph, small)
            compiled += 1
        except BitloomError as error:
            assert "\n" not in str(error)
            refused += 1
    assert compiled > 5 and refused > 5
