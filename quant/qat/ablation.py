"""What the choice of the gradient estimator is worth: short trainings that differ in nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.sources import load_float_model
from quant.models.train import accuracy, to_float
from quant.qat.method import Method
from quant.qat.qat_network import QatNetwork, Widths
from quant.qat.train import QatOptions, train_qat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from accel.types import Bytes, Ints


def train_briefly(
    model: str,
    bits: int,
    method: Method,
    options: QatOptions,
    train_split: tuple[Bytes, Ints],
    test_split: tuple[Bytes, Ints],
) -> tuple[float, float]:
    """(loss of the last epoch, accuracy in [0, 1]) of a zoo model whose weights and activations have `bits` bits.

    bits: 8, 6, 4 or 2; at 6 the activations have 8. train_split, test_split: (uint8 images [N, H, W, C], int64 labels
    [N]). The float model with its shipped weights is start and teacher. The accuracy is that of the forward pass with
    quantizers in it, which is the integer network's but for float32's rounding.
    """
    teacher, name, shape = load_float_model(model)
    prepared = prepare(read_module(teacher, shape or train_split[0].shape[1:], name))
    layers = sum(hasattr(layer, "weight") for layer in prepared.network.layers)
    widths = Widths.of(layers, (bits,), (8 if bits == 6 else bits,), full_range=bits == 2)
    network = QatNetwork(prepared, widths, method)
    losses: list[float] = []
    train_qat(
        network, teacher, to_float(train_split[0]), train_split[1], options, lambda epoch, loss: losses.append(loss)
    )
    return losses[-1], accuracy(network, to_float(test_split[0]), test_split[1])


def estimators(
    model: str,
    train_split: tuple[Bytes, Ints],
    test_split: tuple[Bytes, Ints],
    *,
    bits: Sequence[int],
    names: Sequence[str],
    seeds: Sequence[int],
    epochs: int,
    learning_rate: float,
    advance: Callable[[], None] | None = None,
) -> dict[int, dict[str, list[tuple[float, float]]]]:
    """{bits: {estimator: [(loss, accuracy) of every seed]}} of short trainings; advance() after each."""
    results: dict[int, dict[str, list[tuple[float, float]]]] = {}
    for width in bits:
        results[width] = {}
        for name in names:
            runs = results[width][name] = list[tuple[float, float]]()
            for seed in seeds:
                options = QatOptions(epochs=epochs, learning_rate=learning_rate, augment=0.5, copies=1, seed=seed)
                runs.append(train_briefly(model, width, Method(estimator=name), options, train_split, test_split))
                if advance is not None:
                    advance()
    return results
