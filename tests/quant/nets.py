"""Small networks for the tests, with weights and statistics that are not trivial."""

import torch
from torch import nn
from torch.nn import functional


def randomize(module, seed=0):
    """Random batch-norm statistics and parameters; returns the module in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.copy_(torch.randn(part.num_features, generator=generator))
            part.running_var.copy_(torch.rand(part.num_features, generator=generator) + 0.3)
            if part.affine:
                part.weight.data.copy_(torch.randn(part.num_features, generator=generator))
                part.bias.data.copy_(torch.randn(part.num_features, generator=generator))
    return module.eval()


class Functional(nn.Module):
    """The same kinds of layers, written with functions and methods."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 5, 3)
        self.second = nn.Conv2d(5, 3, (1, 2), bias=False)
        self.last = nn.Linear(3 * 4 * 2, 4)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.first(x)), 2)
        x = functional.dropout(x, 0.5, training=self.training)
        x = torch.relu(self.second(x)).clamp(max=0.7)
        return self.last(x.view(x.size(0), -1))


def chain():
    """Odd sizes, stride 2, asymmetric padding, batch norm, every clamp: 3 x 11 x 9 -> 5."""
    torch.manual_seed(5)
    return randomize(
        nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.Conv2d(3, 7, 3, stride=2),
            nn.BatchNorm2d(7),
            nn.ReLU(),
            nn.Conv2d(7, 5, (2, 3), padding="same", bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU6(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Dropout2d(0.2),
            nn.Conv2d(5, 6, (2, 1), padding=(1, 0)),
            nn.Hardtanh(-0.5, 0.75),
            nn.Flatten(),
            nn.Linear(48, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(8, 5),
        )
    )


CHAIN_SHAPE = (11, 9, 3)


def random_images(count, shape, seed=0):
    """uint8 [count, H, W, C]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8).numpy()
