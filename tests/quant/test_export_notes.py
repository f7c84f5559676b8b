"""Fixed-point notes: the exact formats of power-of-two scales, the nearest ones of others, errors by brute force."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from accel import model_dir
from accel.errors import RangeError
from accel.ir import Dense, Graph, InputEncoding, Requantize, TensorType
from quant.export.notes import notes, notes_text, power_of_two
from quant.qfx.format import FixedFormat
from sim.cases.graphs import random_mixed_graph


def network(
    input_scale=2.0**-8, weight_scale=(2.0**-6,) * 3, zero_point=-128, bits=8, rule="half_up", output=(8, 2.0**-3, 0)
):
    """A dense layer 2 -> 3 with scales of choice."""
    source = TensorType(1, 1, 2, 8, input_scale, zero_point)
    target = TensorType(1, 1, 3, *output)
    weights = np.array([[1, -1], [-1, 1], [1, 1]])
    shift = -4 if rule == "gemmlowp" else 33
    requantize = Requantize(rule, np.array([2**31 - 1, 2**30, 5]), np.full(3, shift), *target.qrange)
    scales, bias = np.array(weight_scale), np.array([5, -7, 0])
    layer = Dense("fc", "input", source, target, weights, bits, scales, bias, requantize)
    return Graph("small", source, InputEncoding(), (layer,))


def of(graph, what):
    return [note for note in notes(graph) if note.tensor == what]


def test_the_examples_of_the_helpers():
    fixed = FixedFormat.parse("ap_fixed<8,2>")
    assert fixed.to_integer(0.3508980572) == 22 and fixed.to_real(22) == 0.34375
    assert FixedFormat(8, 1, "AP_RND").to_integer(0.3) == 38
    assert FixedFormat.from_q("Q3.4").to_real(0b00110100) == 3.25


def test_power_of_two_scales_are_exact_formats():
    graph = network()
    (source,), (weight,), (bias,), (output,) = (of(graph, what) for what in ("input", "weight", "bias", "output"))
    assert all(note.exact and note.max_error == 0 and note.channels is None for note in (source, weight, bias, output))
    assert (str(source.fixed), source.fixed.q_notation) == ("ap_ufixed<8,0>", "UQ0.8")
    assert (str(weight.fixed), weight.fixed.q_notation) == ("ap_fixed<8,2>", "Q1.6")
    assert (str(bias.fixed), bias.fixed.fraction_bits) == ("ap_fixed<32,18>", 14)
    assert (str(output.fixed), output.fixed.q_notation) == ("ap_fixed<8,5>", "Q4.3")
    assert (source.low, source.high) == (0.0, 255 / 256)
    assert (output.low, output.high) == (-16.0, 127 / 8)


def test_a_zero_point_off_the_middle_takes_a_bit_more():
    (note,) = of(network(zero_point=5), "input")
    assert (note.bits, str(note.fixed)) == (8, "ap_fixed<9,1>") and note.exact
    (note,) = of(network(zero_point=127), "input")
    assert str(note.fixed) == "ap_fixed<9,1>" and (note.low, note.high) == (-255 / 256, 0.0)


def test_channels_with_different_powers_of_two_have_formats_of_their_own():
    first, second = of(network(weight_scale=(2.0**-6, 2.0**-4, 2.0**-6)), "weight")
    assert (str(first.fixed), first.channels) == ("ap_fixed<8,2>", 2)
    assert (str(second.fixed), second.channels) == ("ap_fixed<8,4>", 1)
    assert first.exact and second.exact and (second.low, second.high) == (-1 / 16, 1 / 16)


def test_one_bit_weights_are_signs_in_two_bits():
    (note,) = of(network(bits=1, weight_scale=(0.5,) * 3), "weight")
    assert note.bits == 1 and str(note.fixed) == "ap_fixed<2,1>" and note.exact


def test_other_scales_get_the_nearest_format_and_its_error():
    scales = (0.013, 0.017, 0.011)
    graph = network(weight_scale=scales, input_scale=0.013, zero_point=-20)
    (weight,), (source,) = of(graph, "weight"), of(graph, "input")
    for note, real in (
        (
            weight,
            [scale * value for scale, row in zip(scales, ((1, -1), (-1, 1), (1, 1)), strict=True) for value in row],
        ),
        (source, [0.013 * (q + 20) for q in range(-128, 128)]),
    ):
        assert not note.exact and (note.low, note.high) == (min(real), max(real))
        best = []
        for integer_bits in range(-12, 9):
            step = Fraction(2) ** (integer_bits - 8)
            low, high = (Fraction(bound) * step for bound in ((-128, 127)))
            if low - step / 2 <= min(real) and max(real) < high + step / 2:
                error = max(abs(round(Fraction(value) / step + Fraction(0)) * step - Fraction(value)) for value in real)
                best.append((integer_bits, float(error)))
        assert note.fixed.integer_bits == best[0][0]
        assert note.max_error == pytest.approx(best[0][1])


@pytest.mark.parametrize("rule", ("half_up", "half_away", "gemmlowp"))
def test_multipliers_are_exact_numbers(rule):
    (note,) = of(network(rule=rule), "multiplier")
    step = Fraction(1, 2**35) if rule == "gemmlowp" else Fraction(1, 2**33)
    assert not note.fixed.signed and Fraction(note.fixed.step) == step and note.exact
    assert (Fraction(note.low), Fraction(note.high)) == (5 * step, (2**31 - 1) * step)
    assert note.fixed.to_integer(note.high) == 2**31 - 1


@pytest.mark.parametrize("seed", range(6))
def test_every_random_network_has_notes_that_hold_its_tensors(seed):
    graph = random_mixed_graph(np.random.default_rng(seed))
    for note in notes(graph):
        low, high = note.fixed.range
        half = note.fixed.step / 2
        assert low - half <= note.low <= note.high <= high + half
        assert note.max_error <= half * (1 + 1e-9)


def test_the_page_has_a_line_per_note_and_names_both_notations():
    graph = model_dir.load("lenet5-mixed")
    text = notes_text(graph)
    assert text == notes_text(graph) and text.startswith("# Fixed-point formats of lenet5-mixed")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| layer")]
    assert len(lines) == len(notes(graph))
    assert "| conv1 | weight | 8 | -0.509028 .. 0.505067 | Q0.7 | `ap_fixed<8,1,AP_RND,AP_SAT>` |" in text


@pytest.mark.parametrize("scale", (2.0**-1074, 2.0**1010))
def test_scales_beyond_fixed_point_are_refused_by_layer(scale):
    with pytest.raises(RangeError, match="^fc: .*binary point too far away.*; export --npz"):
        notes(network(weight_scale=(scale,) * 3))


@pytest.mark.parametrize("scale", (2.0**-120, 2.0**120))
def test_scales_at_the_ends_of_float32_have_formats(scale):
    (note,) = of(network(weight_scale=(scale,) * 3), "weight")
    assert note.low == -scale and note.exact


def test_power_of_two():
    assert [power_of_two(value) for value in (1.0, 0.25, 2.0**-100, 1024.0)] == [0, -2, -100, 10]
    assert power_of_two(0.3) is None and power_of_two(np.nextafter(0.5, 1)) is None


def test_replacing_a_layer_changes_only_its_lines():
    graph = model_dir.load("lenet5-int8")
    scales = np.full(6, 2.0**-8)
    changed = graph.with_layers((replace(graph.layers[0], weight_scale=scales), *graph.layers[1:]))
    before, after = notes_text(graph).splitlines(), notes_text(changed).splitlines()
    differing = {line.split("|")[1:3][0].strip() for line in set(after) - set(before)}
    assert differing == {"conv1"}
