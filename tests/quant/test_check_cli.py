"""`python -m quant check`: table, JSON, exit codes."""

import json

import pytest

DIGITS = ("check", "--data", "digits", "--calibration-images", 30)


def test_strict_flags_and_says_why(quant):
    code, out, _ = quant(*DIGITS, "--model", "lenet5")
    assert code == 1
    assert "INT8 (flagged)" in out and "verdict: not feasible at these thresholds" in out
    assert "At 40 dB nearly nothing passes below INT8" in out
    assert "Weights of lenet5" in out and "Activations of lenet5" in out


def test_per_width_proposes_narrow_widths(quant):
    code, out, _ = quant(*DIGITS, "--model", "lenet5", "--thresholds", "per-width", "--json")
    values = json.loads(out)
    assert code == 0 and values["feasible"] and values["advice"] == "" and values["flagged"] == []
    assert values["weight_bits"] == [4] * 5 and len(values["activation_bits"]) == 4
    widths = {layer["kind"]: [width["bits"] for width in layer["widths"]] for layer in values["layers"]}
    assert widths == {"weights": [8, 6, 4, 2], "activations": [8, 4, 2]}
    first = values["layers"][0]["widths"][0]
    assert set(first) == {"bits", "snr_db", "coverage", "max_error", "passes"}


def test_thresholds_are_options(quant):
    code, out, _ = quant(*DIGITS, "--model", "lenet5", "--snr", 0, "--coverage", 0, "--json")
    assert code == 0 and json.loads(out)["weight_bits"] == [2] * 5
    code, out, _ = quant(*DIGITS, "--model", "lenet5", "--snr", "36,100,100,100", "--clip", "minmax", "--json")
    values = json.loads(out)
    assert code == 0 and values["weight_bits"] == [8] * 5 and values["clip"] == "minmax"
    assert values["verdict"] == "feasible at INT8 only: no tensor passes below"
    assert [item["snr_db"] for item in values["thresholds"]] == [36, 100, 100, 100]


@pytest.mark.parametrize(
    "arguments, message",
    (
        (("--snr", "40,30"), "2 SNR thresholds were given"),
        (("--coverage", "99"), "must lie in 0..1"),
        (("--snr", "much"), "is not a list of finite numbers"),
        (("--thresholds", "loose"), "loose"),
        (("--mean", "0.1,0.2"), "mean has 2 values for 1 channel"),
    ),
)
def test_bad_options_end_with_code_two(quant, arguments, message):
    code, out, err = quant(*DIGITS, "--model", "lenet5", *arguments)
    assert code == 2 and message in err and out == ""


def test_an_unknown_model_ends_with_code_two(quant):
    code, _, err = quant(*DIGITS, "--model", "lenet6")
    assert code == 2 and "lenet6" in err
