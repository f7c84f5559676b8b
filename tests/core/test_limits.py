"""The bounds of a whole model: real networks lie within, small files that cost gigabytes or minutes do not."""

import dataclasses
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel import checks, limits, reference
from accel.errors import ModelError
from accel.ir import Conv2D, Graph, InputEncoding, MaxPool, TensorType
from sim.cases import graphs as networks


def raw(height, width, channels):
    return TensorType(height, width, channels, 32, 0.01, 0)


def conv(source, channels=1, kernel=(1, 1), stride=(1, 1), pads=(0, 0, 0, 0)):
    """A convolution without meaning, of the right output shape."""
    height = (source.height + pads[0] + pads[1] - kernel[0]) // stride[0] + 1
    width = (source.width + pads[2] + pads[3] - kernel[1]) // stride[1] + 1
    weights = np.zeros((channels, *kernel, source.channels), dtype=np.int64)
    return Conv2D(
        "a",
        "input",
        source,
        raw(height, width, channels),
        weights,
        8,
        np.ones(channels),
        np.zeros(channels, dtype=np.int64),
        stride,
        pads,
        None,
    )


TOO_LARGE = {
    "a: has 17179607049 activations with their padding": lambda: conv(
        TensorType(1, 1, 1, 8, 0.1, 0), stride=(65535, 65535), pads=(65535,) * 4
    ),
    "at most 33554432 are allowed": lambda: TensorType(8192, 8192, 1, 8, 0.1, 0),
    "a: has 1073741824 elements of all windows": lambda: conv(
        TensorType(2048, 2048, 4, 8, 0.1, 0), kernel=(16, 16), stride=(2, 2), pads=(7, 7, 7, 7)
    ),
    "a: has 17188257792 multiply-accumulates": lambda: conv(TensorType(64, 64, 2048, 8, 0.1, 0), 2049),
    "p: has 1102500000000 elements of all windows": lambda: networks.maxpool(
        "p", "input", TensorType(2049, 2049, 1, 8, 0.1, 0), (1000, 1000), (1, 1)
    ),
}


@pytest.mark.parametrize("text", TOO_LARGE)
def test_a_layer_is_refused_before_it_costs(text):
    with pytest.raises(ModelError) as caught:
        TOO_LARGE[text]()
    assert text in str(caught.value)


def test_the_sum_of_the_layers_is_bounded():
    source = TensorType(1024, 1024, 4, 8, 0.1, 0)
    layers, name = [], "input"
    for index in range(9):
        layers.append(MaxPool(f"p{index}", name, source, source, (1, 1), (1, 1), (0, 0, 0, 0)))
        name = layers[-1].name
    Graph("net", source, InputEncoding(), layers[:7])
    with pytest.raises(ModelError, match="net: has 37748736 activations with their padding, at most 33554432"):
        Graph("net", source, InputEncoding(), layers[:8])


# Per image, of the shapes in the papers: weights, activations, windows, multiply-accumulates.
RESNET50 = limits.Work(25_600_000, 11_200_000, 30_000_000, 4_100_000_000)
VGG16_CONVOLUTIONS = limits.Work(14_700_000, 13_800_000, 85_000_000, 15_400_000_000)


@pytest.mark.parametrize("work", [RESNET50, VGG16_CONVOLUTIONS])
def test_real_networks_lie_within(work):
    limits.check_work(work, "net")
    assert limits.batch(work) >= 1


def test_a_network_knows_its_work():
    rng = np.random.default_rng(0)
    source = TensorType(6, 5, 3, 8, 0.1, -7)
    first = networks.conv(rng, "a", "input", source, 4, (3, 3), pads=(1, 1, 1, 1))
    pool = networks.maxpool("p", "a", first.output, (2, 2), pads=(0, 0, 0, 1))
    last = networks.dense(rng, "b", "p", pool.output, 7)
    padding, pool_padding = (8 * 7 - 30) * 3, 6 * 4
    assert first.work == limits.Work(108, 120 + padding, 30 * 27, 30 * 108)
    assert pool.work == limits.Work(0, 36 + pool_padding, 36 * 4, 0)
    assert last.work == limits.Work(252, 7, 36, 252)
    graph = Graph("net", source, InputEncoding(), (first, pool, last))
    assert graph.work == limits.Work(360, 90 + 120 + padding + 36 + pool_padding + 7, 810 + 144 + 36, 3240 + 252)


def test_large_networks_run_a_few_images_at_a_time():
    assert limits.batch(limits.Work(0, 1, 1, 0)) == limits.MAX_BATCH
    assert limits.batch(limits.Work(0, limits.MAX_ACTIVATIONS, 1, 0)) == 1
    assert limits.batch(limits.Work(0, 1, limits.MAX_ACTIVATIONS // 3, 0)) == 3
    assert limits.batch(limits.Work(0, 1, limits.MAX_WINDOWS, 0)) == 1


def test_batches_change_no_integer(monkeypatch):
    rng = np.random.default_rng(3)
    graph = networks.random_graph(rng, layers=4)
    q = networks.images(rng, graph, 7)
    whole, last = reference.run(graph, q), graph.layers[-1].name
    monkeypatch.setattr(limits, "MAX_ACTIVATIONS", 2 * max(graph.work.activations, graph.work.windows))
    assert limits.batch(graph.work) == 2
    assert all(np.array_equal(value, whole[name]) for name, value in reference.run(graph, q).items())
    kept = reference.run(graph, q, (last,))
    assert list(kept) == [last] and np.array_equal(kept[last], whole[last])


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 50), st.integers(1, 200))
def test_blocks_cover_every_place_once(rows, columns, elements, most):
    seen = np.zeros((rows, columns), dtype=int)
    for high, wide in limits.blocks(rows, columns, elements, most):
        seen[high, wide] += 1
        places = (high.stop - high.start) * (wide.stop - wide.start)
        assert places == 1 or places * elements <= most
    assert (seen == 1).all()


def deep():
    value = []
    for _ in range(10 * sys.getrecursionlimit()):
        value = {"x": [value]}
    return value


@pytest.mark.parametrize("value", [deep(), [10**5000], "x" * 10**6, list(range(10**6)), {"\ud800": "\ud800"}], ids=type)
def test_any_value_is_shown_short(value):
    text = checks.shorten(value)
    assert len(text) <= 60
    text.encode()


def test_frozen_arrays_are_not_copied_again():
    layer = networks.conv(np.random.default_rng(0), "a", "input", TensorType(3, 3, 2, 8, 0.1, 0), 2, (2, 2))
    assert dataclasses.replace(layer, input_name="b").weights is layer.weights
    view = np.zeros((2, 2, 2, 2), dtype=np.int64)
    frozen = view[:]
    frozen.setflags(write=False)
    changed = dataclasses.replace(layer, weights=frozen)
    view[:] = 1
    assert not changed.weights.any()
