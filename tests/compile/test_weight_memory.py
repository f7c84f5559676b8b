"""Bytes of the weights against 8-bit ones: in files, on the wire, in the weight bank, with the padding stated."""

from collections import Counter

import numpy as np
import pytest

from accel import model_dir
from accel.compile import compile_graph, fit_config
from accel.config import HardwareConfig
from accel.descriptor import REGION_SHIFT, REGION_WEIGHTS, REGION_WEIGHTS6
from accel.ir import Graph, InputEncoding, TensorType
from sim.cases import graphs as networks
from tests.compile.test_programs import check

ALL = (8, 6, 4, 2, 1)
SHARE = {8: 1, 6: 3 / 4, 4: 1 / 2, 2: 1 / 4, 1: 1 / 8}


def graph_of(weight_bits, channels=32, outputs=32, kernel=(3, 3), side=12):
    rng = np.random.default_rng(1)
    source = TensorType(side, side, channels, 8, 0.1, 3)
    layer = networks.conv(rng, "conv", "input", source, outputs, kernel, weight_bits=weight_bits)
    return Graph("net", source, InputEncoding(), (layer,))


def program_of(graph, **options):
    options = {"rows": 8, "lanes": 16, "precisions": ALL} | options
    return compile_graph(graph, fit_config(graph, HardwareConfig(**options)))


def sent(program):
    """{region: bytes} of the host's weight writes."""
    regions = Counter(address >> REGION_SHIFT for address, _ in program.host_writes())
    return {region: 4 * regions[region] for region in (REGION_WEIGHTS, REGION_WEIGHTS6) if regions[region]}


@pytest.mark.parametrize("bits", ALL)
def test_files_wire_and_bank_take_the_exact_share(bits, tmp_path):
    wide, narrow = graph_of(8), graph_of(bits)
    for name, graph in (("wide", wide), ("narrow", narrow)):
        model_dir.save(graph, tmp_path / name)
    bias = 4 * 32
    sizes = [(tmp_path / name / "00_conv.bin").stat().st_size - bias for name in ("wide", "narrow")]
    assert sizes == [9216, 9216 * SHARE[bits]]
    base, memory = program_of(wide).layers[0].weight_memory, program_of(narrow).layers[0].weight_memory
    assert (base.values, base.bank_bytes, base.padding_bytes, base.wire_bytes) == (9216, 9216, 0, 9216)
    bank = SHARE[8 if bits == 6 else bits]
    assert (memory.values, memory.bank_bytes, memory.padding_bytes) == (9216, 9216 * bank, 0)
    assert (memory.wire_bytes, memory.wire_bits) == (9216 * SHARE[bits], bits)
    assert sent(program_of(narrow)) == {REGION_WEIGHTS6 if bits == 6 else REGION_WEIGHTS: 9216 * SHARE[bits]}
    assert program_of(narrow).weights.size == memory.bank_bytes


@pytest.mark.parametrize("bits", ALL)
@pytest.mark.parametrize("channels", [3, 5, 16])
def test_the_stated_padding_is_all_that_is_more(bits, channels):
    program = program_of(graph_of(bits, channels, outputs=11, kernel=(2, 3)))
    memory, stored = program.layers[0].weight_memory, program.layers[0].precision.weight_bits
    assert memory.values == 11 * 6 * channels
    assert memory.bank_bytes == program.weights.size == memory.values * stored / 8 + memory.padding_bytes
    assert memory.padding_bytes >= 0


def test_dense_weights_take_the_exact_share():
    sizes = {}
    for bits in ALL:
        rng = np.random.default_rng(1)
        source = TensorType(1, 1, 128, 8, 0.1, 3)
        graph = Graph(
            "net",
            source,
            InputEncoding(),
            (networks.dense(rng, "fc", "input", source, 64, raw=True, weight_bits=bits),),
        )
        sizes[bits] = program_of(graph).layers[0].weight_memory
    assert {bits: memory.wire_bytes / sizes[8].wire_bytes for bits, memory in sizes.items()} == SHARE
    assert all(memory.padding_bytes == 0 for memory in sizes.values())


def test_six_bit_weights_lie_as_bytes_in_the_bank_of_any_build():
    graph = graph_of(6, channels=5)
    packed, plain = program_of(graph, precisions=(8, 6)), program_of(graph, precisions=(8,))
    assert np.array_equal(packed.weights, plain.weights)
    assert list(sent(packed)) == [REGION_WEIGHTS6] and list(sent(plain)) == [REGION_WEIGHTS]
    assert sent(packed)[REGION_WEIGHTS6] * 4 == sent(plain)[REGION_WEIGHTS] * 3
    check(graph, packed, networks.images(np.random.default_rng(0), graph, 1))


def test_only_six_bit_layers_go_packed():
    rng = np.random.default_rng(3)
    source = TensorType(5, 5, 4, 8, 0.1, 3)
    first = networks.conv(rng, "a", "input", source, 6, (3, 3), weight_bits=4)
    second = networks.conv(rng, "b", "a", first.output, 7, (2, 2), weight_bits=6)
    last = networks.dense(rng, "c", "b", second.output, 5, weight_bits=8, raw=True)
    graph = Graph("net", source, InputEncoding(), (first, second, last))
    for rows, lanes in ((4, 4), (8, 8), (4, 16)):
        program = program_of(graph, rows=rows, lanes=lanes)
        assert [layer.weight_memory.wire_bits for layer in program.layers] == [4, 6, 8]
        wire = [layer.weight_memory.wire_bytes for layer in program.layers]
        assert sent(program) == {REGION_WEIGHTS: wire[0] + wire[2], REGION_WEIGHTS6: wire[1]}
        offsets = [
            address & 2**REGION_SHIFT - 1
            for address, _ in program.host_writes()
            if address >> REGION_SHIFT == REGION_WEIGHTS6
        ]
        assert [offset % 4 for offset in offsets] == [0, 1, 2] * (len(offsets) // 3)
        check(graph, program, networks.images(rng, graph, 1))
