"""Where a float model comes from: the zoo by name, or the user's own `path/to/file.py:factory`."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
from torch import nn

from accel.errors import BitloomError, DataError, ModelError
from quant.models.networks import INPUT_SHAPES, build
from quant.models.train import accuracy, to_float
from quant.models.weights import load_weights, zoo_weights


def is_user_model(source):
    """True for `path/to/file.py:factory`."""
    return ".py:" in source or source.endswith(".py")


def load_float_model(source, weights=None):
    """(nn.Module in eval mode, its name, its input shape (H, W, C) or None) of a zoo name or
    `file.py:factory`.

    The file of a user's model is executed: it is the user's own code. weights: .npz, .pt or .pth; a zoo
    model without them takes the shipped ones. Raises ModelError or DataError.
    """
    if is_user_model(source):
        module, name, shape = _user_model(source), plain_name(Path(source.split(".py")[0]).name), None
    else:
        module, name, shape = build(source), source, INPUT_SHAPES.get(source)
        weights = weights or zoo_weights(source)
    if weights is not None:
        load_weights(module, weights)
    return module.eval(), name, shape


def float_accuracy(source, images, labels):
    """Share of uint8 images [N, H, W, C] that a float model of the zoo classifies as labels int64 [N] say."""
    module, _, shape = load_float_model(source)
    if labels is None:
        raise DataError("the images have no labels; give an .npz file with arrays `images` and `labels`")
    if images.shape[1:] != shape or images.dtype != np.uint8:
        raise ModelError(f"{source}: needs uint8 images of (H, W, C)={shape}, not {images.dtype} "
                         f"{images.shape[1:]}")
    return accuracy(module, to_float(images), labels)


def plain_name(text):
    """A graph name made of letters, digits, '_' and '-' only."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:60]
    return name if name[:1].isalpha() else f"model_{name}"


def _execute(path):
    """Import a file as a module; files beside it can be imported by it."""
    spec = importlib.util.spec_from_file_location(f"bitloom_user_{path.stem}", path)
    loaded = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(path.parent))
    return loaded


def _user_model(source):
    path, _, factory = source.rpartition(":")
    if not path or not factory.isidentifier():
        raise ModelError(f"model '{source}': give path/to/file.py:factory, where factory is a function "
                         "without arguments")
    if not Path(path).is_file():
        raise DataError(f"model '{source}': file {path} not found")
    try:
        loaded = _execute(Path(path).absolute())
        if not hasattr(loaded, factory):
            raise ModelError(f"model '{source}': {path} has no '{factory}'; name a function or class that "
                             "returns the network")
        maker = getattr(loaded, factory)
        module = maker if isinstance(maker, nn.Module) else maker()
    except BitloomError:
        raise
    except Exception as error:  # the user's code may raise anything
        text = " ".join(str(error).split())
        raise ModelError(f"model '{source}': {type(error).__name__}: {text}; check that it builds without "
                         "arguments") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"model '{source}': {factory} gives a {type(module).__name__}; return a "
                         "torch.nn.Module")
    return module
