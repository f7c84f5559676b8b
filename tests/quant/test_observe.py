"""Observers against torch.ao, ONNX Runtime and NumPy, and against plain searches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization.calibrate import HistogramCollector as OnnxCollector
from torch.ao.quantization import observer as torch_observers

from accel.errors import RangeError, UnsupportedError
from quant.frontend.floatnet import FloatConv, FloatNetwork
from quant.names import CALIBRATIONS
from quant.ptq import ranges
from quant.ptq.grid import Grid
from quant.ptq.histogram import HistogramCollector, histogram_of
from quant.ptq.observe import calibrate

BITS = (8, 4, 2)
seeds = st.integers(0, 2**31 - 1)


def draw(seed, kind, count=20000):
    rng = np.random.default_rng(seed)
    make = {"normal": rng.normal, "laplace": rng.laplace, "skewed": rng.gumbel}[kind.removeprefix("relu ")]
    values = make(size=count)
    return np.maximum(values, 0) if kind.startswith("relu") else values


KINDS = ("normal", "laplace", "skewed", "relu normal", "relu laplace")


def identity_network(channels):
    """A network whose layer 'copy' repeats its input."""
    weight = torch.eye(channels, dtype=torch.float64)[:, :, None, None]
    return FloatNetwork("net", (2, 3, channels), (FloatConv("copy", weight, torch.zeros(channels).double()),))


def error_of(values, grid, bounds):
    return float(np.mean((values - grid.rounded(values, *grid.fit(*bounds))) ** 2))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("symmetric", [False, True])
@given(seed=seeds, shift=st.floats(-3, 3), spread=st.floats(1e-3, 1e3))
@settings(max_examples=25)
def test_extremes_give_the_scale_and_zero_point_of_torchs_observer(bits, symmetric, seed, shift, spread):
    values = torch.from_numpy((np.random.default_rng(seed).normal(size=(2, 3, 4, 5)) + shift) * spread).float()
    network = identity_network(3)
    bounds = calibrate(network, [values[:1].double(), values[1:].double()])["copy"]
    scale, zero_point = Grid(bits, symmetric).fit(*bounds)
    low, high = (1 - (1 << bits - 1) if symmetric else -(1 << bits - 1)), (1 << bits - 1) - 1
    scheme = torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
    observer = torch_observers.MinMaxObserver(torch.qint8, scheme, quant_min=low, quant_max=high)
    observer(values)
    wanted_scale, wanted_zero_point = observer.calculate_qparams()
    assert scale == pytest.approx(float(wanted_scale), rel=2e-7)
    # torch rounds min / scale in float32, so next to a tie the neighbour may come out
    assert abs(zero_point - int(wanted_zero_point)) <= (abs(bounds[0] / scale % 1 - 0.5) < 1e-4)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_channels_are_observed_on_their_own(method):
    values = torch.randn(6, 3, 2, 3, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1]).reshape(-1, 1, 1)
    grids = {"copy": Grid(4)}
    found = calibrate(identity_network(3), [values[:2], values[2:]], method, grids, per_channel=True)["copy"]
    for channel in range(3):
        alone = calibrate(identity_network(1), [values[:, channel : channel + 1]], method, grids)["copy"]
        assert found[channel] == alone
    observer = torch_observers.PerChannelMinMaxObserver(0, torch.qint8)
    observer(values.transpose(0, 1).float().contiguous())
    if method == "minmax":
        np.testing.assert_allclose([low for low, _ in found], observer.min_val, rtol=1e-6)
        np.testing.assert_allclose([high for _, high in found], observer.max_val, rtol=1e-6)


@given(seed=seeds, kind=st.sampled_from(KINDS), share=st.sampled_from([90.0, 99.0, 99.9, 99.99, 100.0]))
@settings(max_examples=40)
def test_percentiles_are_numpys_within_a_bin(seed, kind, share):
    values = draw(seed, kind, 3000)
    histogram = histogram_of(values)
    low, high = ranges.percentile_range(histogram, share)
    width = max(histogram.high, -histogram.low) / len(histogram.positive)
    # NumPy interpolates between two values, the histogram inside a bin: both lie between the neighbouring values
    for found, part in ((low, 100 - share), (high, share)):
        before, after = (np.percentile(values, part, method=name) for name in ("lower", "higher"))
        assert min(before, 0) - width <= found <= max(after, 0) + width
    bound = ranges.percentile_range(histogram, share, symmetric=True)[1]
    before, after = (np.percentile(np.abs(values), share, method=name) for name in ("lower", "higher"))
    assert before - 2 * width <= bound <= after + 2 * width


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_least_squares_beats_the_extremes_and_every_hundredth_of_them(kind, bits, symmetric):
    values, grid = draw(1, kind), Grid(bits, symmetric)
    histogram = histogram_of(values)
    found = error_of(values, grid, ranges.mse_range(histogram, grid))
    shares = np.arange(1, 101) / 100
    tried = [error_of(values, grid, (share * histogram.low, share * histogram.high)) for share in shares]
    assert found <= min(tried) * 1.002
    assert bits == 8 or found < 0.9 * tried[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_least_squares_is_no_worse_than_torchs_histogram_observer(kind):
    values, grid = draw(2, kind), Grid(8)
    observer = torch_observers.HistogramObserver(dtype=torch.qint8, qscheme=torch.per_tensor_affine)
    observer(torch.from_numpy(values).float())
    scale, zero_point = (float(item) for item in observer.calculate_qparams())
    torchs = float(np.mean((values - grid.rounded(values, scale, int(zero_point))) ** 2))
    assert error_of(values, grid, ranges.mse_range(histogram_of(values), grid)) <= torchs * 1.001


def plain_divergence(sides, edge):
    """KL divergence of kept and merged bins, bin by bin."""
    wanted, merged = [], []
    for counts, levels in sides:
        clipped = counts[:edge].copy()
        clipped[-1] += counts[edge:].sum()
        group = [index * levels // edge for index in range(edge)]
        for index in range(edge):
            if clipped[index] > 0:
                same = [other for other in range(edge) if group[other] == group[index]]
                share = sum(clipped[other] > 0 for other in same)
                wanted.append(clipped[index])
                merged.append(max(sum(counts[other] for other in same) / share, ranges.SMOOTHING))
    p, q = np.array(wanted) / sum(wanted), np.array(merged) / sum(merged)
    return float(np.sum(p * np.log(p / q)))


@given(data=st.data(), levels=st.integers(1, 5), both=st.booleans())
@settings(max_examples=40)
def test_divergences_equal_a_plain_computation(data, levels, both):
    counts = st.lists(st.integers(0, 50), min_size=12, max_size=12).filter(any)
    sides = [(np.array(data.draw(counts), dtype=np.float64), levels) for _ in range(1 + both)]
    for edge in range(levels, 13):
        if all(counts[:edge].any() for counts, _ in sides):
            found = ranges._divergence([ranges._Merged(*side).terms(edge) for side in sides])
            assert found == pytest.approx(plain_divergence(sides, edge), abs=1e-9)


@pytest.mark.parametrize("kind", ["normal", "laplace", "skewed"])
def test_divergence_chooses_nearly_the_bound_of_onnx_runtime(kind):
    values = draw(3, kind, 100000)
    values = np.concatenate([values, -values])
    top = float(np.abs(values).max())
    found = ranges.kl_range(histogram_of(values, bins=256), Grid(7, symmetric=True))[1]
    counts, edges = np.histogram(values, bins=511, range=(-top, top))
    oracle = OnnxCollector("entropy", True, 511, 127, 99.99, "same")
    edges = edges.astype(np.float32)
    bound = oracle.get_entropy_threshold((counts, edges, np.float32(-top), np.float32(top), np.float32(top)), 127)[1]
    assert found == pytest.approx(float(bound), rel=0.1)
    assert found < 0.85 * top or kind == "normal"


def test_divergence_leaves_a_rare_outlier_outside():
    values = np.concatenate([draw(4, "relu normal"), [1000.0]])
    for bits in (8, 4):
        assert ranges.kl_range(histogram_of(values), Grid(bits), 256)[1] < 200
        assert ranges.mse_range(histogram_of(values[:-1]), Grid(bits))[1] < 5


@given(seed=seeds, bins=st.sampled_from([16, 100, 2048]), parts=st.integers(1, 4))
@settings(max_examples=25)
def test_histograms_count_every_value_once(seed, bins, parts):
    values = torch.from_numpy(draw(seed, "relu skewed", 500) - np.random.default_rng(seed).integers(0, 2, 500))
    collector = HistogramCollector(values.min()[None], values.max()[None], bins)
    for part in values.chunk(parts):
        collector.add(part[None])
    histogram, array = collector.histograms()[0], values.numpy()
    assert histogram.total == len(array) and histogram.zeros == np.count_nonzero(array == 0)
    assert histogram.negative.sum() == np.count_nonzero(array < 0)
    if histogram.high > 0:
        counts, _ = np.histogram(array[array > 0], bins=bins, range=(0, histogram.high))
        assert np.abs(np.cumsum(counts) - np.cumsum(histogram.positive)).max() <= 1  # a value on an edge


def test_ranges_contain_zero_and_constant_tensors_have_none():
    for method in CALIBRATIONS:
        assert ranges.choose_range(histogram_of(np.zeros(9)), method, Grid(8)) == (0.0, 0.0)
        low, high = ranges.choose_range(histogram_of(np.full(9, 3.0)), method, Grid(8), candidates=64)
        assert low == 0.0 and 2.9 < high <= 3.0
        low, high = ranges.choose_range(histogram_of(np.full(9, -3.0)), method, Grid(8), candidates=64)
        assert high == 0.0 and -3.0 <= low < -2.9


@pytest.mark.parametrize("symmetric", [False, True])
@given(low=st.floats(-100, 0), high=st.floats(0, 100), bits=st.sampled_from(BITS))
@settings(max_examples=50)
def test_a_power_of_two_scale_is_the_next_one_and_keeps_the_range(symmetric, low, high, bits):
    scale, zero_point = Grid(bits, symmetric, pow2=True).fit(low, high)
    plain, _ = Grid(bits, symmetric).fit(low, high)
    assert np.log2(scale) % 1 == 0 and plain <= scale < 2 * plain
    qmin, qmax = -(1 << bits - 1), (1 << bits - 1) - 1
    assert (qmin - zero_point - 0.5) * scale <= low * (1 - 1e-6)
    assert high * (1 - 1e-6) <= (qmax - zero_point + 0.5) * scale


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_refuses_a_value_that_is_not_finite_in_any_batch(bad, place):
    batches = [torch.randn(1, 1, 2, 3, dtype=torch.float64) for _ in range(3)]
    batches[place][0, 0, 1, 1] = bad
    with pytest.raises(RangeError, match="input: the calibration range"):
        calibrate(identity_network(1), batches, "mse")


def test_refuses_an_unknown_method():
    with pytest.raises(UnsupportedError, match="'entropy' is not supported; use minmax, percentile, kl, mse"):
        ranges.choose_range(histogram_of(np.arange(3.0)), "entropy", Grid(8))
