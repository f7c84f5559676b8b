"""The feasibility check: its figures against plain NumPy, its scales against many others, proposals and verdict."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from accel.errors import BitloomError, DataError, RangeError, UnsupportedError
from quant.check import model_check as checking
from quant.check.model_check import ModelCheck, TensorCheck, check_network
from quant.check.tensors import ErrorSums, Figure, RangeSearch, weight_figures
from quant.check.thresholds import PRESETS, Thresholds, choose, decibel, gaussian_snr
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.names import MULTI_BIT_ACTIVATIONS, MULTI_BIT_WEIGHTS
from tests.quant.nets import CHAIN_SHAPE, chain, random_images


def plain_figures(values, scale, zero_point, qmin, qmax):
    """(SNR dB, coverage, maximum error) in float64, by the formulas of the issue."""
    actual = scale * (np.clip(np.rint(values / scale) + zero_point, qmin, qmax) - zero_point)
    inside = (values >= scale * (qmin - 0.5 - zero_point)) & (values <= scale * (qmax + 0.5 - zero_point))
    error = values - actual
    return 10 * np.log10(np.sum(values**2) / np.sum(error**2)), inside.mean(), np.abs(error).max()


def near(figure, expected):
    return (figure.snr_db, figure.coverage, figure.max_error) == pytest.approx(expected, rel=1e-5)


def seeded(*shape, tail=0.0):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return values * (1 + tail * values.abs() ** 3)


def test_error_sums_are_the_formulas_in_any_parts():
    values, sums = seeded(7, 30), ErrorSums()
    for part in values.split(2):
        sums.add(part, 0.11, -3, -8, 7)
    assert near(sums.figure(4, PRESETS["strict"]), plain_figures(values.numpy(), 0.11, -3, -8, 7))


@pytest.mark.parametrize("per_tensor", (False, True))
def test_minmax_weights_keep_every_value(per_tensor):
    weight = seeded(5, 3, 2, 2)
    rows = weight.flatten(1).numpy()
    largest = np.abs(rows).max(axis=None if per_tensor else 1, keepdims=True)
    figures = weight_figures(weight, per_tensor, PRESETS["strict"], "minmax")
    assert [figure.bits for figure in figures] == list(MULTI_BIT_WEIGHTS)
    for figure in figures:
        top = 2 ** (figure.bits - 1) - 1
        assert near(figure, plain_figures(rows, largest / top, 0, -top, top))
        assert figure.coverage == 1.0


@pytest.mark.parametrize("tail", (0.0, 0.3))
@pytest.mark.parametrize("coverage", (0.0, 0.97, 1.0))
def test_best_weights_are_as_good_as_any_of_many_scales(tail, coverage):
    weight = seeded(1, 500, tail=tail)
    thresholds = choose(coverage=[coverage])
    for figure in weight_figures(weight, False, thresholds, "best"):
        top = 2 ** (figure.bits - 1) - 1
        scales = np.linspace(0.005, 1, 400) * float(weight.abs().max()) / top
        tried = [plain_figures(weight.numpy(), scale, 0, -top, top) for scale in scales]
        best = max(snr for snr, share, _ in tried if share >= coverage)
        assert figure.coverage >= coverage
        assert best - 0.3 <= figure.snr_db <= best + 0.05


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 1), st.booleans())
def test_best_weights_keep_the_coverage_and_beat_minmax(seed, coverage, per_tensor):
    random = np.random.default_rng(seed)
    weight = torch.tensor(random.standard_t(2, (int(random.integers(1, 6)), int(random.integers(1, 40)))))
    thresholds = choose(coverage=[coverage])
    best = weight_figures(weight, per_tensor, thresholds, "best")
    for figure, plain in zip(best, weight_figures(weight, per_tensor, thresholds, "minmax"), strict=True):
        assert figure.coverage >= coverage
        assert figure.snr_db >= plain.snr_db - 1e-3


@pytest.mark.parametrize("low", (0.0, -4.0, 1.5))
def test_best_range_keeps_the_coverage_and_is_as_good_as_many_others(low):
    values = (seeded(2000) * 1.5 + 1).clamp(low, 6)
    search = RangeSearch(float(values.min()), float(values.max()))
    for part in values.split(300):
        search.add(part)
    for bits in MULTI_BIT_ACTIVATIONS:
        found = search.range(bits, "best", 0.97)
        assert search.range(bits, "minmax", 0.97) == (search.low, search.high)
        assert figure_of(values, found, bits).coverage >= 0.97
        shares = np.arange(0.2, 1, 0.02)
        others = [figure_of(values, (search.low * share, search.high * share), bits) for share in shares]
        best = max(other.snr_db for other in others if other.coverage >= 0.97)
        assert figure_of(values, found, bits).snr_db >= best - 0.1


def figure_of(values, bounds, bits):
    search, sums = RangeSearch(*bounds), ErrorSums()
    sums.add(values, *checking._quantizer(search, bits, "minmax", PRESETS["strict"]))
    return sums.figure(bits, PRESETS["strict"])


def test_constants_and_zeros_are_exact():
    zeros = weight_figures(torch.zeros(2, 3).double(), False, PRESETS["strict"], "best")
    assert all(figure.snr_db == 200 and figure.passes and figure.max_error == 0 for figure in zeros)
    assert RangeSearch(0.0, 0.0).range(4, "best", 0.99) == (0.0, 0.0)


def test_decibel():
    assert decibel(100.0, 1.0) == pytest.approx(20)
    assert decibel(5.0, 0.0) == 200 and decibel(0.0, 5.0) == -200 and decibel(0.0, 0.0) == 200
    assert decibel(1e300, 1e-300) == 200


@pytest.mark.parametrize("bits, published", ((6, 29.7), (4, 18.9), (2, 7.2)))
def test_gaussian_snr_is_that_of_a_sample(bits, published):
    figures = weight_figures(seeded(1, 100_000), True, choose(coverage=[0.0]), "best")
    measured = next(figure.snr_db for figure in figures if figure.bits == bits)
    assert gaussian_snr(bits) == pytest.approx(measured, abs=0.2)
    assert gaussian_snr(bits) == pytest.approx(published, abs=0.1)


def tensor_check(*passes, kind="weights", layer="conv"):
    widths = MULTI_BIT_WEIGHTS if kind == "weights" else MULTI_BIT_ACTIVATIONS
    pairs = zip(widths, passes, strict=True)
    return TensorCheck(layer, kind, tuple(Figure(bits, 1.0, 1.0, 0.0, ok) for bits, ok in pairs))


def test_the_lowest_passing_width_is_proposed():
    assert tensor_check(True, True, True, False).proposal == 4
    assert tensor_check(True, False, True, False).proposal == 4
    assert tensor_check(False, False, False, True).proposal == 2
    nowhere = tensor_check(False, False, False, False)
    assert nowhere.proposal == 8 and nowhere.flagged


def model_check(*checks, preset="strict"):
    weights = tuple(check for check in checks if check.kind == "weights")
    activations = tuple(check for check in checks if check.kind == "activations")
    return ModelCheck("net", PRESETS[preset], "best", 1, weights, activations)


def test_one_verdict_for_the_model():
    wide, narrow = tensor_check(True, False, False, False), tensor_check(True, True, False, False)
    nowhere = tensor_check(False, False, False, kind="activations", layer="fc")
    result = model_check(wide, narrow, nowhere)
    assert not result.ok and result.verdict.startswith("not feasible") and "fc (activations)" in result.verdict
    assert (result.weight_bits, result.activation_bits) == ((8, 6), (8,))
    assert model_check(wide).verdict == "feasible at INT8 only: no tensor passes below"
    assert model_check(wide, narrow).verdict == "feasible: every tensor passes, 1 of 2 below INT8"


def test_the_report_says_what_forty_decibels_mean():
    strict, useful = model_check(preset="strict").advice, model_check(preset="per-width").advice
    assert "40 dB nearly nothing passes below INT8" in strict
    assert all(text in strict for text in ("30 dB at INT6", "19 dB at INT4", "7 dB at INT2", "per-width"))
    assert useful == ""


@pytest.mark.parametrize("clip", ("best", "minmax"))
def test_activations_of_a_network_are_measured_over_all_batches(clip, monkeypatch):
    monkeypatch.setattr(checking, "BATCH", 7)
    prepared = prepare(read_module(chain(), CHAIN_SHAPE, "chain"))
    images, counts = random_images(20, CHAIN_SHAPE), []
    result = check_network(prepared, images, choose("per-width"), clip, counts.append)
    assert sum(counts) == checking.PASSES * 20
    outputs = prepared.network.run(prepared.input_values(images))
    assert [check.layer for check in result.weights] == [
        layer.name for layer in prepared.network.layers if hasattr(layer, "weight")
    ]
    assert len(result.activations) == len(result.weights) - 1  # the last layer is raw
    for check in result.activations:
        values = outputs[check.layer]
        search = RangeSearch(float(values.min()), float(values.max()))
        search.add(values)
        for figure in check.figures:
            quantizer = checking._quantizer(search, figure.bits, clip, choose("per-width"))
            assert near(figure, plain_figures(values.numpy(), *quantizer)), (check.layer, figure.bits)


def test_what_cannot_be_checked_is_named():
    prepared = prepare(read_module(chain(), CHAIN_SHAPE, "chain"))
    images = random_images(2, CHAIN_SHAPE)
    with pytest.raises(DataError, match="at least one image; raise --calibration-images"):
        check_network(prepared, images[:0], PRESETS["strict"])
    with pytest.raises(UnsupportedError, match="clip 'kl' is unknown; choose one of best, minmax"):
        check_network(prepared, images, PRESETS["strict"], "kl")
    floats = prepare(read_module(chain(), CHAIN_SHAPE, "chain"), encoding="float")
    late = np.zeros((150, *CHAIN_SHAPE), np.float32)
    late[-1] = np.nan  # not in the first batch
    with pytest.raises(RangeError, match="its output nan..nan must be finite"):
        check_network(floats, late, PRESETS["strict"])


@pytest.mark.parametrize(
    "arguments, message",
    (
        ({"preset": "loose"}, "preset 'loose' is unknown; choose one of strict, per-width"),
        ({"snr_db": (40, 30)}, "2 SNR thresholds were given; give one for all widths, or 4 for 8, 6, 4, 2 bits"),
        ({"coverage": (99,)}, "coverage threshold 99 for 8 bits must lie in 0..1"),
        ({"snr_db": (400,)}, "SNR threshold 400 dB for 8 bits must lie in -200..200"),
    ),
)
def test_thresholds_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(BitloomError, match=message):
        choose(**arguments)


def test_thresholds_replace_those_of_the_preset():
    assert choose("strict") == PRESETS["strict"] and choose().snr_db == dict.fromkeys(MULTI_BIT_WEIGHTS, 40.0)
    assert choose("per-width", (30,)).snr_db == dict.fromkeys(MULTI_BIT_WEIGHTS, 30)
    assert choose("strict", (40, 30, 20, 10)).snr_db == {8: 40, 6: 30, 4: 20, 2: 10}
    assert choose("per-width", coverage=(0.9,)).snr_db == PRESETS["per-width"].snr_db
    assert isinstance(choose(), Thresholds)
