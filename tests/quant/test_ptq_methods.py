"""The named methods, and the divergence that chooses between them."""

import pytest
import torch
from torch import nn

from accel import reference
from accel.errors import ModelError, UnsupportedError
from quant.ptq import methods
from quant.ptq.options import PtqOptions
from tests.quant import nets

IMAGES = nets.random_images(30, (8, 8, 2), seed=4)


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 16), nn.ReLU(), nn.Linear(16, 5)
    ).eval()


def divergence_of(module, widths, changes=None):
    return methods.divergence(module, methods.quantize_by(module, IMAGES, widths, changes or {}), IMAGES)


def test_the_divergence_is_torchs_between_the_dequantized_outputs():
    module = network()
    graph = methods.quantize_by(module, IMAGES, (4, 4), {})
    logits = reference.run(graph, reference.encode_input(graph, IMAGES))[graph.layers[-1].name][:, 0, 0]
    real = torch.tensor(logits).double() * graph.layers[-1].output.scale
    with torch.no_grad():
        wanted = torch.log_softmax(module(torch.tensor(IMAGES).permute(0, 3, 1, 2).float() / 255).double(), 1)
    expected = nn.functional.kl_div(torch.log_softmax(real, 1), wanted, log_target=True, reduction="batchmean")
    assert methods.divergence(module, graph, IMAGES) == pytest.approx(float(expected), rel=1e-6)


def test_fewer_bits_diverge_more():
    module = network()
    found = [divergence_of(module, (bits, bits)) for bits in (8, 4, 2)]
    assert 0 < found[0] < found[1] < found[2]


def test_reconstructing_methods_beat_rounding_to_nearest_at_low_widths():
    module = network()
    plain = divergence_of(module, (2, 8))
    assert divergence_of(module, (2, 8), methods.METHODS["GPTQ"]) < plain


def test_every_method_is_a_choice_of_options():
    for ways in (methods.METHODS, methods.OBSERVERS, methods.LEVELS):
        for changes in ways.values():
            PtqOptions(4, 4, **changes)


def test_what_has_no_divergence_is_refused():
    module = network()
    graph = methods.quantize_by(module, IMAGES, (8, 8), {})
    with pytest.raises(ModelError, match="there are no images"):
        methods.divergence(module, graph, IMAGES[:0])
    clamped = nn.Sequential(*module, nn.ReLU()).eval()
    graph = methods.quantize_by(clamped, IMAGES, (8, 8), {})
    with pytest.raises(UnsupportedError, match="needs raw int32 logits"):
        methods.divergence(clamped, graph, IMAGES)
