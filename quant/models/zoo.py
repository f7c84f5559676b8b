"""The zoo's float networks as nn.Modules, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from accel.checks import plain
from accel.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max pooling: float [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(400, 120)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(120, 84)
        self.relu4 = nn.ReLU()
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        x = self.relu3(self.fc1(self.flatten(x)))
        return self.fc3(self.relu4(self.fc2(x)))


class FashionCNN(nn.Module):
    """Three convolutions with batch norm and two dense layers, 60,688 weights: float [N, 1, 28, 28] in [0, 1] ->
    logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(64)
        self.relu3 = nn.ReLU()
        self.pool3 = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.drop = nn.Dropout(0.2)
        self.fc1 = nn.Linear(576, 64)
        self.relu4 = nn.ReLU()
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.norm1(self.conv1(x))))
        x = self.pool2(self.relu2(self.norm2(self.conv2(x))))
        x = self.pool3(self.relu3(self.norm3(self.conv3(x))))
        x = self.relu4(self.fc1(self.drop(self.flatten(x))))
        return self.fc2(x)


MODELS = {"lenet5": LeNet5, "fashion-cnn": FashionCNN}
INPUT_SHAPES = {"lenet5": (28, 28, 1), "fashion-cnn": (28, 28, 1)}
CLASSES = {"lenet5": 10, "fashion-cnn": 10}


def build(name: str) -> nn.Module:
    """A new, untrained model of the zoo. Raises ModelError for an unknown name."""
    if name not in MODELS:
        raise ModelError(
            f"model '{plain(name)}' is unknown; choose one of {', '.join(sorted(MODELS))} or give "
            "path/to/file.py:factory or package.module:factory"
        )
    return MODELS[name]()
