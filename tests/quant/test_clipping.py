"""The warning about a calibration that clips what holds the signal."""

import re

import torch
from torch import nn

from quant.data import datasets
from quant.models.sources import load_float_model
from quant.ptq.options import PtqOptions
from quant.ptq.pipeline import quantize_module

DIGITS = datasets.load("digits")[0][:30]  # most pixels are black: of most values KL divergence sees one peak


def unclamped():
    """Its only layer with weights has no clamp, and a pool behind it, so that its output is quantized."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2)).eval()


def warnings(module, **options):
    texts = []
    graph = quantize_module(module, DIGITS, options=PtqOptions(**options), warn=texts.append)
    return texts, graph


def test_kl_warns_where_it_clips_what_an_unclamped_layer_puts_out():
    (text,), graph = warnings(unclamped(), calibration="kl")
    assert text.startswith("layer_0: its output has 8 bits") and text.endswith("use --calibration minmax or mse")
    chosen, extremes = map(float, re.search(r"keeps (\S+) dB and minmax (\S+) dB", text).groups())
    assert extremes - chosen >= 20 and len(text) < 300
    assert abs(graph.layers[0].notes["snr_db"] - chosen) < 1, "what the integers then have"
    plain, graph = warnings(unclamped(), calibration="minmax")
    assert not plain and abs(graph.layers[0].notes["snr_db"] - extremes) < 1
    assert not warnings(unclamped(), calibration="mse")[0]


def test_clipped_weights_are_named_too():
    texts, _ = warnings(unclamped(), weight_calibration="percentile", percentile=51.0)
    assert len(texts) == 1 and texts[0].startswith("layer_0: its weights have 8 bits, of which --weight-calibration")
    assert not warnings(unclamped(), weight_calibration="percentile", percentile=51.0, weight_bits=1)[0]


def test_a_trained_network_gives_no_warning():
    module = load_float_model("lenet5")[0]
    assert not warnings(module, calibration="kl", weight_calibration="kl")[0]


def test_the_command_prints_the_warning(quant, tmp_path):
    (tmp_path / "net.py").write_text("from tests.quant.test_clipping import unclamped\n")
    model = f"{tmp_path / 'net.py'}:unclamped"
    code, _, err = quant(
        "ptq",
        "--model",
        model,
        "--data",
        "digits",
        "--calibration-images",
        30,
        "--calibration",
        "kl",
        "--out",
        tmp_path / "net",
    )
    assert code == 0 and "warning: layer_0: its output has 8 bits" in " ".join(err.split())
