"""Programs of builds with float streams: registers, float images, output streams, the converter's option."""

from dataclasses import replace

import numpy as np
import pytest

from accel import reference
from accel import scale as scales
from accel.compile import compile_graph
from accel.compile.floats import register_values
from accel.config import HardwareConfig
from accel.convert import hardware_config
from accel.descriptor import REG_INPUT_SCALE, REG_OUTPUT_FORMAT
from accel.errors import FitError, ModelError, RangeError, UnsupportedError
from accel.fixedpoint import inverse_scale, pack
from accel.hdl.golden import golden_vectors
from accel.hdl.targets import TARGETS
from accel.ir import InputEncoding
from sim.cases.graphs import images, random_mixed_graph

CONFIG = HardwareConfig(rows=8, lanes=8, precisions=(8, 4, 2, 1), float_input=True, float_output=True)


def network(seed, bits):
    numbers = np.random.default_rng([seed, bits])
    graph = replace(random_mixed_graph(numbers, input_bits=bits), encoding=InputEncoding("float"))
    return numbers, graph, compile_graph(graph, CONFIG)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_floats_of_an_image_quantize_to_its_stored_bytes(bits):
    for seed in range(5):
        numbers, graph, program = network(seed, bits)
        q = images(numbers, graph, 1)[0]
        stream = program.encode_input(q)
        assert len(stream) == program.input_beats * CONFIG.lanes
        elements = graph.input.height * graph.input.width * graph.input.stored_channels
        x = np.frombuffer(stream, dtype="<f4")[:elements].astype(np.float32)
        if bits == 1:
            stored = np.where(x < 0, -1, 1)
        else:
            steps = np.rint(x * inverse_scale(graph.input.scale)).astype(np.int64) + graph.input.zero_point
            stored = np.clip(steps, *graph.input.qrange)
        assert pack(stored, bits).tobytes() == graph.input.to_bytes(q)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_output_stream_decodes_to_the_reals(bits):
    for seed in range(5):
        numbers, graph, program = network(seed, bits)
        out = reference.run(graph, images(numbers, graph, 1))[graph.layers[-1].name][0]
        stream = program.output_stream(out)
        assert -(-len(stream) // CONFIG.lanes) == program.output_beats
        want = scales.dequantize(out, program.output.scale, program.output.zero_point)
        assert np.array_equal(program.decode_output(stream), want)
        with pytest.raises(ModelError, match="bytes"):
            program.decode_output(stream[:-1])


def test_registers_are_written_where_the_build_has_them():
    _, graph, program = network(1, 4)
    input_scale, input_format, beats, output_scale, output_format = register_values(program)
    assert np.uint32(input_scale).view(np.float32) == inverse_scale(graph.input.scale)
    assert input_format == graph.input.zero_point & 255 | 1 << 8
    assert beats + 1 == program.input_beats
    assert np.uint32(output_scale).view(np.float32) == np.float32(program.output.scale)
    assert output_format >> 10 == (program.output.bits == 32)
    addresses = [address for address, _ in program.host_writes()]
    assert addresses[-5:] == list(range(REG_INPUT_SCALE, REG_OUTPUT_FORMAT + 1))
    plain = compile_graph(graph, replace(CONFIG, float_input=False, float_output=False))
    assert not {address for address, _ in plain.host_writes()} & set(addresses[-5:])


def test_golden_beats_are_floats():
    _, graph, program = network(2, 8)
    golden = golden_vectors(graph, program, 2)
    assert golden.input_beats == program.input_beats
    assert golden.output_beats == program.output_beats


def test_wrong_images_are_refused():
    _, graph, program = network(3, 8)
    with pytest.raises(ModelError, match="must have shape"):
        program.encode_input(np.zeros((1, 1), dtype=np.float32))
    with pytest.raises(RangeError, match="8 bits"):
        program.encode_input(np.full(graph.input.shape, 200))


def test_the_option_is_zero_or_one():
    _, graph, _ = network(4, 8)
    target = TARGETS["arty-a7-100t"]
    assert hardware_config(graph, target, 8, 8, ("float_input=1",)).float_input is True
    assert hardware_config(graph, target, 8, 8, ("float_input=0",)).float_input is False
    with pytest.raises(UnsupportedError, match="must be 0 or 1"):
        hardware_config(graph, target, 8, 8, ("float_output=yes",))
    with pytest.raises(FitError, match="true or false"):
        HardwareConfig(float_input="1")
