"""Networks written for a test, and the check that what is read of one computes the same."""

import torch
from torch import nn

from quant.frontend.read import read_module

IMAGE = (10, 8, 2)  # (H, W, C)
VECTOR = (1, 1, 6)


class Net(nn.Module):
    """Layers by keyword and a forward(self, x); tensors become buffers."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            if isinstance(layer, (nn.Module, nn.Parameter)):
                setattr(self, name, layer)
            else:
                self.register_buffer(name, layer)
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def plain(module):
    """The module inside wrappers that compute nothing."""
    for name in ("_orig_mod", "module"):
        module = getattr(module, name, module)
    return module


def check(module, shape, names=None, tolerance=1e-9):
    """The network that was read computes what the module computes, in float64."""
    torch.manual_seed(3)
    module = module.double()
    network = read_module(module, shape, "net")
    height, width, channels = shape
    x = torch.randn(4, channels, height, width).double()
    with torch.no_grad():
        expected = plain(module).eval()(x.flatten(1) if shape == VECTOR else x)
    actual = list(network.run(x).values())[-1].reshape(expected.shape)
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)
    assert names is None or [layer.name for layer in network.layers] == names
    assert network.notes == ()
    return network
