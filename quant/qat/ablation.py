"""What the choice of the gradient estimator is worth: short trainings that differ in nothing else."""

from quant.frontend.prepare import prepare
from quant.frontend.read import read_module
from quant.models.sources import load_float_model
from quant.models.train import accuracy, to_float
from quant.qat.method import Method
from quant.qat.qat_network import QatNetwork, Widths
from quant.qat.train import QatOptions, train_qat


def train_briefly(model, bits, method, options, train_split, test_split):
    """(loss of the last epoch, accuracy in [0, 1]) of a zoo model whose weights and activations have `bits` bits.

    bits: 8, 6, 4 or 2; at 6 the activations have 8. train_split, test_split: (uint8 images [N, H, W, C], int64 labels
    [N]). The float model with its shipped weights is start and teacher. The accuracy is that of the forward pass with
    quantizers in it, which is the integer network's but for float32's rounding.
    """
    teacher, name, shape = load_float_model(model)
    prepared = prepare(read_module(teacher, shape, name))
    layers = sum(hasattr(layer, "weight") for layer in prepared.network.layers)
    widths = Widths.of(layers, (bits,), (8 if bits == 6 else bits,), full_range=bits == 2)
    network, losses = QatNetwork(prepared, widths, method), []
    train_qat(
        network, teacher, to_float(train_split[0]), train_split[1], options, lambda epoch, loss: losses.append(loss)
    )
    return losses[-1], accuracy(network, to_float(test_split[0]), test_split[1])


def estimators(model, train_split, test_split, *, bits, names, seeds, epochs, learning_rate, advance=None):
    """{bits: {estimator: [(loss, accuracy) of every seed]}} of short trainings; advance() after each."""
    results = {}
    for width in bits:
        results[width] = {}
        for name in names:
            runs = results[width][name] = []
            for seed in seeds:
                options = QatOptions(epochs=epochs, learning_rate=learning_rate, augment=0.5, copies=1, seed=seed)
                runs.append(train_briefly(model, width, Method(estimator=name), options, train_split, test_split))
                if advance is not None:
                    advance()
    return results
