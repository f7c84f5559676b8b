"""The whole accelerator with float streams: float images in, the reference's integers inside, their reals out."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from accel import model_dir, reference
from accel import scale as scales
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig, bits_code
from accel.descriptor import (
    OBSERVED_BUSY,
    OBSERVED_INVALID,
    OBSERVED_NAN,
    OBSERVER_CLEAR,
    OBSERVER_START,
    OBSERVER_SYMMETRIC,
    REG_ABS_MAX,
    REG_INPUT_FORMAT,
    REG_INPUT_SCALE,
    REG_INV_SCALE,
    REG_MAXIMUM,
    REG_MINIMUM,
    REG_OBSERVER,
    REG_SCALE,
)
from accel.fixedpoint import inverse_scale
from accel.hdl.accelerator import accelerator_ports, convert_accelerator, preset_images, presets
from accel.ir import InputEncoding
from accel.rtl.top import bitloom
from quant.data.datasets import load
from sim.accelerator import open_accelerator
from sim.cases.awkward import small
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.floats import bits_of
from sim.cases.graphs import random_mixed_graph
from sim.driver import Accelerator
from sim.engines.verilator_build import lint

CONFIG = HardwareConfig(
    rows=4,
    lanes=4,
    weight_depth=128,
    act_depth=32,
    line_depth=32,
    param_depth=32,
    pool_depth=16,
    max_layers=4,
    float_input=True,
    float_output=True,
)


def float_images(numbers, graph, count):
    """Reals that spread a little over the input's range, every third one of them on a tie."""
    source = graph.input
    low, high = source.qrange
    steps = numbers.uniform(low - 2, high + 2, (count, *source.shape)) - source.zero_point
    steps = np.where(numbers.integers(3, size=steps.shape), steps, np.floor(steps) + 0.5)
    return (steps * source.scale).astype(np.float32)


def with_floats(graph):
    return replace(graph, encoding=InputEncoding("float"))


def expected_outputs(program, graph, images):
    """What the build puts out for float images."""
    last = reference.run(graph, reference.encode_input(graph, images))[graph.layers[-1].name]
    if not program.config.float_output:
        return last
    return scales.dequantize(last, program.output.scale, program.output.zero_point)


def run_images(accelerator, program, graph, images, **options):
    accelerator.load(program)
    run = accelerator.run([program.encode_input(image) for image in images], image_limit=50_000, **options)
    outputs = np.stack([program.decode_output(output) for output in run.outputs])
    assert np.array_equal(outputs, expected_outputs(program, graph, images))
    assert accelerator.error() == (0, 0)


def check_range(accelerator, images):
    seen = scales.observe(images)
    found = tuple(accelerator.read(register) for register in (REG_MINIMUM, REG_MAXIMUM, REG_ABS_MAX))
    assert found == tuple(bits_of(value) for value in seen[:3])
    return seen


def make_scale(accelerator, flags):
    """Start the generator, wait for it; returns the state it leaves."""
    accelerator.write(REG_OBSERVER, OBSERVER_START | flags)
    for _ in range(1000):
        state = accelerator.read(REG_OBSERVER)
        if not state & OBSERVED_BUSY:
            return state
    raise AssertionError("the scale generator stays busy")


def drive(dut, rng, stalls):
    """Two images back to back, then the range that came by."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    graph = with_floats(small(numbers))
    program = compile_graph(graph, CONFIG)
    images = float_images(numbers, graph, 2)
    accelerator = Accelerator(dut, CONFIG)
    run_images(accelerator, program, graph, images, stalls=stalls, seed=rng.getrandbits(16), isolated=False)
    check_range(accelerator, images)
    assert accelerator.read(REG_INPUT_SCALE) == bits_of(inverse_scale(graph.input.scale))
    assert accelerator.read(REG_INPUT_FORMAT) == graph.input.zero_point & 255


OUTPUT = "m_axis_tvalid"
CASES = [
    BlockCase(
        "bitloom_float_4x4",
        bitloom,
        partial(accelerator_ports, CONFIG),
        drive,
        params={"config": CONFIG},
        stalls=("both",),
        vhdl_compare=dict.fromkeys(("m_axis_tdata", "m_axis_tkeep", "m_axis_tlast"), OUTPUT),
    )
]


@across(CASES)
def test_a_small_network_on_floats(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@pytest.mark.parametrize("float_input", [True, False])
def test_inputs_of_every_width(float_input, seed):
    """Odd channel counts leave elements that fill up a pixel; one of the two streams stays an integer stream.

    Integers stand for their reals where the build takes floats.
    """
    numbers = np.random.default_rng(seed)
    config = HardwareConfig(
        rows=4, lanes=8, precisions=(8, 4, 2, 1), float_input=float_input, float_output=not float_input
    )
    with open_accelerator(config) as accelerator:
        for bits in (8, 4, 2, 1, 4, 1):
            graph = with_floats(random_mixed_graph(numbers, input_bits=bits))
            program = compile_graph(graph, config)
            images = float_images(numbers, graph, 3)
            q = reference.encode_input(graph, images)
            for given in (images, q) if float_input else (q,):
                accelerator.load(program)
                inputs = [program.encode_input(image) for image in given]
                run = accelerator.run(inputs, isolated=False, image_limit=50_000)
                outputs = np.stack([program.decode_output(output) for output in run.outputs])
                assert np.array_equal(outputs, expected_outputs(program, graph, images))


def test_the_host_reads_range_and_scale_and_quantizes_with_it(seed):
    """Range of a calibration image -> scale by the hardware; NaN and infinity are flagged; clear forgets them."""
    numbers = np.random.default_rng(seed)
    graph = with_floats(small(numbers))
    config = replace(CONFIG, lanes=8, float_output=False)
    program = compile_graph(graph, config)
    images = float_images(numbers, graph, 3)
    with open_accelerator(config) as accelerator:
        run_images(accelerator, program, graph, images[:2])
        seen = check_range(accelerator, images[:2])
        for bits, symmetric in ((8, False), (8, True), (4, False), (2, True), (1, False)):
            flags = OBSERVER_SYMMETRIC * symmetric | bits_code(bits) << 8
            want = scales.scale_of(seen.minimum, seen.maximum, bits, symmetric)
            assert make_scale(accelerator, flags) == (want.zero_point & 255) << 8
            assert accelerator.read(REG_SCALE) == bits_of(want.scale)
            assert accelerator.read(REG_INV_SCALE) == bits_of(want.inv_scale)
        accelerator.write(REG_OBSERVER, OBSERVER_CLEAR)
        accelerator.dut.step(4)
        check_range(accelerator, np.array([], dtype=np.float32))
        odd = images[2].copy()
        odd[0, 0, 0], odd[1, 1, 0] = np.nan, np.inf
        accelerator.run([program.encode_input(odd)])
        assert accelerator.read(REG_OBSERVER) & OBSERVED_NAN
        assert make_scale(accelerator, 0) & (OBSERVED_NAN | OBSERVED_INVALID) == OBSERVED_NAN | OBSERVED_INVALID
        accelerator.write(REG_OBSERVER, OBSERVER_CLEAR)
        accelerator.dut.step(4)
        assert not accelerator.read(REG_OBSERVER) & OBSERVED_NAN
        run_images(accelerator, program, graph, images)
        check_range(accelerator, images)


def test_lenet_gives_its_logits_as_reals():
    """The digits come as reals; as many come out as in the integer build."""
    graph = model_dir.load("lenet5-int8")
    q = reference.encode_input(graph, load("digits")[0][:4])
    config = fit_config(graph, HardwareConfig(rows=8, lanes=8, float_input=True, float_output=True))
    program = compile_graph(graph, config)
    logits = reference.run(graph, q)[graph.layers[-1].name]
    with open_accelerator(config) as accelerator:
        accelerator.load(program)
        run = accelerator.run([program.encode_input(image) for image in q], isolated=False)
        outputs = np.stack([program.decode_output(output) for output in run.outputs])
    assert np.array_equal(outputs, scales.dequantize(logits, program.output.scale, 0))


def test_a_preset_network_runs_on_floats_without_a_host(seed, tmp_path):
    numbers = np.random.default_rng(seed)
    graph = with_floats(small(numbers))
    program = compile_graph(graph, CONFIG)
    for name, text in preset_images(program).items():
        (tmp_path / name).write_text(text)
    images = float_images(numbers, graph, 2)
    params = {"presets": presets(program, tmp_path)}
    with open_accelerator(CONFIG, params=params, memory_dir=tmp_path) as accelerator:
        run = accelerator.run([program.encode_input(image) for image in images], isolated=False, image_limit=5000)
        outputs = np.stack([program.decode_output(output) for output in run.outputs])
        assert np.array_equal(outputs, expected_outputs(program, graph, images))


@pytest.mark.parametrize(
    "options", [{"float_input": True}, {"float_output": True}, {"float_input": True, "float_output": True, "lanes": 64}]
)
def test_converted_text_has_no_warnings(options, tmp_path):
    design = convert_accelerator(HardwareConfig(rows=4, **{"lanes": 4, **options}), tmp_path)
    assert lint(design.files, design.top) == ""
