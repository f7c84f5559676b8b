"""The exported integer graph holds the words of the fixed-point model: every sum and every activation is equal."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from accel import model_dir, reference
from accel.errors import ModelError, RangeError, UnsupportedError
from quant.arithmetic.multipliers import hot_bits
from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.train import to_float
from quant.qfx.conversion import FixedOptions, convert
from quant.qfx.elementwise import FixedBatchNorm, FixedElementwise
from quant.qfx.export import export
from quant.qfx.format import OVERFLOWS, ROUNDINGS
from quant.qfx.layers import FixedConv2d, FixedInput, FixedLinear
from quant.qfx.quantizer import FixedQuantizer, SignQuantizer
from quant.reference.integer import IntegerNetwork
from tests.quant import nets

SHAPE = (11, 9, 2)


def build(weight=4, activation=5, *, per_channel=False, hot=2, outputs=(), rounding="AP_RND", overflow="AP_SAT"):
    """Convolution, element-wise layer, ReLU, pool; convolution, batch norm, clamp; dense layers."""
    torch.manual_seed(7)
    pixels, modes = FixedInput(zero_level=3), {"rounding": rounding, "overflow": overflow}
    common = {"weight_width": weight, "input_width": activation, "per_channel": per_channel, "inputs": modes}
    first = FixedConv2d(2, 5, 3, padding=1, weight_width=weight, input_width=None).reads(pixels)
    second = FixedConv2d(5, 6, (2, 3), stride=(1, 2), bias=False, pads=(1, 0, 0, 1), **common)
    net = nn.Sequential(
        pixels,
        first,
        FixedElementwise(5, hot=hot, behind=first),
        nn.ReLU(),
        nn.MaxPool2d(2),
        second,
        FixedBatchNorm(6, hot=hot, behind=second),
        nn.Hardtanh(-0.4, 0.6),
        nn.Flatten(),
        FixedLinear(6 * 5 * 2, 7, **common),
        nn.ReLU(),
        nn.Dropout(),
        FixedLinear(7, 4, **(common | {"per_channel": False})),
        *outputs,
    )
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([0.8, -0.6, 1.4, 0.3, -1.1]))
        net[2].bias.copy_(torch.tensor([0.1, -0.05, 0.02, 0.0, 0.3]))
        nets.randomize(net)
        net[6].weight.copy_(torch.tensor([0.8, -0.6, 1.4, 1e-7, -1.1, 0.2]))
        net[6].bias.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0, 0.0, -0.4]))
        net.train()(to_float(nets.random_images(60, SHAPE, seed=2)))
    return net.eval().double()


def words(net, images):
    """What every cast of an activation puts out, and the raw sums, by the torch model."""
    found, hooks = [], []
    for part in net.modules():
        if isinstance(part, (FixedConv2d, FixedLinear)) and part.input is not None:
            hooks.append(part.input.register_forward_hook(lambda own, _, y: found.append((y / own.step()).long())))
    with torch.no_grad():
        last = net(to_float(images).double())
    for hook in hooks:
        hook.remove()
    return found, last


def check_equal(net, images, **options):
    """The graph's integers are those of the model; returns the graph."""
    graph = export(net, "net", images.shape[1:], **options)
    found, last = words(net, images)
    wanted = reference.run(graph, reference.encode_input(graph, images))
    behind = []  # the tensor that each layer with weights reads, after the pools
    for layer in graph.layers:
        if layer.op != "maxpool" and layer.input_name != "input":
            source = wanted[layer.input_name] - layer.input.zero_point
            behind.append(source.reshape(len(images), -1) if layer.op == "dense" else source)
    for mine, theirs in zip(found, behind, strict=True):
        mine = mine.permute(0, 2, 3, 1) if mine.dim() == 4 else mine
        if theirs.ndim == 2 and mine.shape[1] != 7:
            mine = mine.reshape(len(images), 6, 5, 2).permute(0, 2, 3, 1).flatten(1)  # NHWC, as the graph has it
        np.testing.assert_array_equal(mine.numpy(), theirs)
    final = graph.layers[-1]
    real = (wanted[final.name].reshape(len(images), -1) - final.output.zero_point) * final.output.scale
    np.testing.assert_array_equal(last.numpy(), real)
    outputs = IntegerNetwork(graph).run(reference.encode_input(graph, images))
    for layer in graph.layers:
        np.testing.assert_array_equal(outputs[layer.name].numpy(), wanted[layer.name])
    return graph


@pytest.mark.parametrize(
    ("weight", "activation", "per_channel", "hot"),
    [
        (4, 5, False, 2),
        (5, 6, True, None),
        (8, 8, False, None),
        (3, 4, True, 2),
        (2, 2, False, 1),
        (6, 7, True, 3),
        (1, 4, False, 2),
        (1, 8, True, 2),
        (7, 3, False, None),
        (1, 1, False, 2),
        (4, 1, True, None),
    ],
)
def test_every_word_of_the_model_is_a_word_of_the_graph(weight, activation, per_channel, hot):
    net = build(weight, activation, per_channel=per_channel, hot=hot) if activation > 1 else signs(weight, hot)
    graph = check_equal(net, nets.random_images(25, SHAPE, seed=4))
    allowed = {1: 1, 2: 2, 3: 4, 4: 4, 5: 6, 6: 6, 7: 8, 8: 8}
    assert {layer.weight_bits for layer in graph.layers if layer.op != "maxpool"} == {allowed[weight]}
    stored = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}[activation]
    assert {layer.input.bits for layer in graph.layers[1:] if layer.op != "maxpool"} == {stored}


def signs(weight, hot):
    """1-bit activations: no ReLU, signs behind the element-wise layers."""
    net = build(weight, 4, hot=hot)
    parts = [part for part in net if not isinstance(part, (nn.ReLU, nn.Hardtanh))]
    for part in parts[2:]:
        if isinstance(part, (FixedConv2d, FixedLinear)) and part.input is not None:
            part.input = SignQuantizer()
    return nn.Sequential(*parts).eval().double()


def test_a_width_between_those_of_the_accelerator_keeps_its_range():
    graph = check_equal(build(5, 5), nets.random_images(25, SHAPE, seed=5))
    hidden = [layer for layer in graph.layers if layer.op != "maxpool"][:-1]
    for layer in hidden:
        assert (layer.weight_bits, layer.output.bits) == (6, 8)
        assert -16 <= layer.weights.min() and layer.weights.max() <= 15
        assert layer.requantize.qmax - layer.requantize.qmin <= 31
    assert hidden[0].notes["output_type"].startswith("ap_ufixed<5,")
    assert hidden[0].notes["multiplier_type"].startswith("ap_fixed<8,")


@pytest.mark.parametrize(("hot", "requantizer"), [(1, "pow2"), (2, "khot2"), (3, "khot3")])
def test_khot_multipliers_fit_the_build_with_as_many_powers(hot, requantizer):
    graph = check_equal(build(4, 4, hot=hot), nets.random_images(10, SHAPE, seed=6), requantizer=requantizer)
    counts = [
        hot_bits(m)
        for layer in graph.layers
        if layer.op != "maxpool" and layer.requantize
        for m in layer.requantize.multiplier
    ]
    assert max(counts) == hot


def test_layers_without_element_wise_layers_have_powers_of_two_as_multipliers():
    prepared = prepare(read_module(nets.chain(), nets.CHAIN_SHAPE, "chain"))
    net = convert(prepared, FixedOptions(4, 6, per_channel=True))
    images = nets.random_images(30, nets.CHAIN_SHAPE)
    with torch.no_grad():
        net(to_float(images))
        graph = export(net.double(), "chain", nets.CHAIN_SHAPE, requantizer="pow2")
        logits = net(to_float(images).double())
    wanted = reference.run(graph, reference.encode_input(graph, images))
    last = graph.layers[-1]
    np.testing.assert_array_equal(logits.numpy(), wanted[last.name].reshape(30, -1) * last.output.scale)


def test_a_converted_network_is_near_the_float_network():
    net = nets.chain().float()
    prepared = prepare(read_module(net, nets.CHAIN_SHAPE, "chain"))
    fixed = convert(prepared, FixedOptions(8, 8, per_channel=True)).eval()
    images = to_float(nets.random_images(50, nets.CHAIN_SHAPE))
    with torch.no_grad():
        wanted = net(images)
        error = (fixed(images) - wanted).square().sum() / wanted.square().sum()
    assert error < 1e-3


def test_the_network_may_end_with_a_cast():
    net = build(4, 5, outputs=(FixedQuantizer(6),))
    graph = check_equal(net, nets.random_images(25, SHAPE, seed=8))
    assert graph.layers[-1].output.bits == 8 and graph.layers[-1].notes["output_type"].startswith("ap_fixed<6,")


def test_the_graph_survives_its_directory(tmp_path):
    graph = export(build(), "net", SHAPE, class_names=("a", "b", "c", "d"), notes={"seed": 1})
    model_dir.save(graph, tmp_path / "net")
    again = model_dir.load(tmp_path / "net")
    images = nets.random_images(5, SHAPE)
    for name, values in reference.run(graph, reference.encode_input(graph, images)).items():
        np.testing.assert_array_equal(reference.run(again, reference.encode_input(again, images))[name], values)
    assert again.notes["seed"] == 1 and again.class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize("rounding", sorted(set(ROUNDINGS) - {"AP_RND"}))
def test_rounding_modes_that_the_accelerator_lacks_are_refused_by_name(rounding):
    with pytest.raises(UnsupportedError, match=rf"layer1: output: rounds by {rounding} \("):
        export(build(rounding=rounding), "net", SHAPE)


@pytest.mark.parametrize("overflow", sorted(set(OVERFLOWS) - {"AP_SAT", "AP_SAT_SYM"}))
def test_overflow_modes_that_the_accelerator_lacks_are_refused_by_name(overflow):
    with pytest.raises(UnsupportedError, match=rf"layer1: output: overflows by {overflow} \("):
        export(build(overflow=overflow), "net", SHAPE)


def test_activations_may_saturate_to_a_symmetric_range():
    net = build(4, 5, overflow="AP_SAT_SYM")
    net[9].input.point.data.fill_(-1)  # -0.25 .. 0.25, less than the clamp
    graph = check_equal(net, nets.random_images(20, SHAPE))
    assert any(layer.requantize.qmin == -15 for layer in graph.layers[:-1] if layer.op != "maxpool")


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_weights_may_be_rounded_by_any_mode(rounding):
    net = build()
    net[1].weights.rounding = rounding
    check_equal(net, nets.random_images(5, SHAPE))


def replaced(index, part):
    parts = list(build())
    parts[index] = part
    return nn.Sequential(*parts).double()


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.pixels = FixedInput()
        self.conv = FixedConv2d(2, 2, 1).reads(self.pixels)

    def forward(self, x):
        x = self.pixels(x)
        return self.conv(x) + x


def pooled_sums():
    pixels = FixedInput()
    return nn.Sequential(pixels, FixedConv2d(2, 2, 3).reads(pixels), nn.MaxPool2d(2))


def rounded_up_pool():
    pixels = FixedInput()
    conv = FixedConv2d(2, 2, 3).reads(pixels)
    return nn.Sequential(pixels, conv, nn.MaxPool2d(2, ceil_mode=True), FixedConv2d(2, 2, 1))


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda: build(9), "layer1: weights: words of 9 bits"),
        (lambda: build(4, 12), "layer1: output: words of 12 bits"),
        (lambda: replaced(3, nn.Sigmoid()), "3: Sigmoid is not supported"),
        (lambda: replaced(2, FixedElementwise(5)), "casts its input; the accelerator multiplies exact sums"),
        (lambda: replaced(0, nn.Identity()), "call .reads"),
        (rounded_up_pool, "ceil_mode"),
        (lambda: nn.Sequential(*build(), nn.ReLU()), "last sums are clamped"),
        (pooled_sums, "pools the network's raw sums"),
        (lambda: build(outputs=(FixedQuantizer(6), nn.ReLU())), "stands behind the last cast"),
        (Branch, "does not read the layer before it alone"),
        (lambda: nn.Sequential(FixedInput()), "holds no layer with weights"),
        (lambda: nn.Sequential(FixedInput(), nn.ReLU()), "no layer with weights stands in front"),
    ],
)
def test_what_the_accelerator_lacks_is_refused_by_name(net, message):
    module = net()
    with torch.no_grad():
        module(to_float(nets.random_images(3, SHAPE)).to(next(module.parameters(), torch.zeros(())).dtype))
    with pytest.raises(UnsupportedError, match=message):
        export(module, "net", SHAPE)


def test_multipliers_and_weights_that_do_not_fit_are_refused_by_name():
    with pytest.raises(UnsupportedError, match=r"layer1: channel \d has a multiplier of \d powers of two but"):
        export(build(hot=None), "net", SHAPE, requantizer="pow2")
    net = build()
    net[5].input.point.data.fill_(60)
    with pytest.raises(RangeError, match="too small for the accelerator"):
        export(net, "net", SHAPE)
    net = build(8)
    net[1].weights.overflow = "AP_SAT"
    net[1].weight.data[1, 0, 0, 0] = -1e3  # channel 1 has a negative multiplier
    with pytest.raises(RangeError, match="turns the weight -128 into 128"):
        export(net, "net", SHAPE)
    last = copy.deepcopy(build())
    last[12].weights = FixedQuantizer(4, channels=4, dim=2).double()
    last[12].weight.data[0] *= 8
    last(to_float(nets.random_images(3, SHAPE)).double())
    with pytest.raises(UnsupportedError, match="need one step for all channels"):
        export(last, "net", SHAPE)


def test_a_network_without_a_first_batch_is_refused():
    pixels = FixedInput()
    net = nn.Sequential(pixels, FixedConv2d(2, 2, 3).reads(pixels), nn.Flatten(), FixedLinear(126, 2))
    with pytest.raises(ModelError, match=r"the binary point of 1.weights is not set; run one batch"):
        export(net, "net", SHAPE)
    with pytest.raises(ModelError, match=r"\(H, W, C\)"):
        export(build(), "net", (11, 9))


def test_wrong_numbers_of_widths_are_named():
    prepared = prepare(read_module(nets.chain(), nets.CHAIN_SHAPE, "chain"))
    with pytest.raises(ModelError, match="activation widths 4,5 name 2 layers where the network has 4"):
        convert(prepared, FixedOptions(4, (4, 5)))
    with pytest.raises(UnsupportedError, match="start 'guess'"):
        FixedOptions(start="guess")
    encoded = prepare(read_module(nets.chain(), nets.CHAIN_SHAPE, "chain"), encoding="float")
    with pytest.raises(UnsupportedError, match="uint8 images, not 'float'"):
        convert(encoded)
