"""A network of your own, from PyTorch to Verilog: python examples/own_network.py [FOLDER].

Trains on eighty of the hundred digits that ship, quantizes to 8 bits, counts the other twenty with the integers that
the hardware computes, and writes the accelerator. Some seconds on one core; no data set, no simulator.
"""

import sys

import torch
from torch import nn

from accel import model_dir, reference
from accel.convert import convert
from quant.data import datasets
from quant.ptq.pipeline import quantize_module


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 5 * 5, 10),
    )


def digits(split):
    """(images uint8 [N, 28, 28, 1], labels) of the first eighty digits in a fixed random order, or of the rest."""
    images, labels = datasets.load("digits")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1)).numpy()
    chosen = order[:80] if split == "train" else order[80:]
    return images[chosen], labels[chosen]


def trained(steps=60):
    """The network after some steps on all training digits at once."""
    torch.manual_seed(1)
    images, labels = digits("train")
    x, y = torch.tensor(images).permute(0, 3, 1, 2) / 255, torch.tensor(labels)
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval()


def accuracy(graph):
    """Share of the test digits that the integer network gets right."""
    images, labels = digits("test")
    outputs = reference.run(graph, reference.encode_input(graph, images))[graph.layers[-1].name]
    return float((outputs.reshape(len(labels), -1).argmax(axis=1) == labels).mean())


def main(folder):
    graph = quantize_module(trained(), digits("train")[0], name="own")
    print(f"integer network: {accuracy(graph):.0%} of the test digits right")
    model_dir.save(graph, f"{folder}/model")
    written = convert(f"{folder}/model", "arty-a7-35t", 4, 4, "verilog", f"{folder}/design")
    print(
        f"{written.out}: {written.modules} modules, {written.lines} lines of Verilog, "
        f"{written.predicted_cycles_per_image} cycles per image"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "build/out/own-network")
