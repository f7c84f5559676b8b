"""Trained weights as files: NumPy .npz archives (no pickle), or PyTorch state dictionaries read without
executing code."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch

from accel.atomic import write_file
from accel.errors import DataError, ModelError, RangeError
from quant.data.datasets import ZOO
from quant.data.images import read_arrays


def zoo_weights(name):
    """Path of the shipped weights of a float model, whether or not they exist."""
    return ZOO / name / "weights.npz"


def save_weights(module, path):
    """Write the module's state as float32 .npz; equal states give equal bytes. Raises OutputError."""
    arrays = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_file(path, stream.getvalue())


def load_weights(module, path):
    """Load .npz, .pt or .pth weights into the module, in place; every name and shape must fit.

    float16 and bfloat16 tensors are kept as they are (the module takes their dtype). Raises DataError for
    an unreadable file, ModelError for missing, additional or wrongly shaped tensors, RangeError for NaN or
    infinity.
    """
    path = Path(path)
    state = _read_state(path)
    wanted = module.state_dict()
    missing, extra = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    if missing or extra:
        kinds = (("lacks", missing), ("has unknown", extra))
        detail = "; ".join(f"{word} {', '.join(names[:5])}" for word, names in kinds if names)
        raise ModelError(f"{path}: does not fit {type(module).__name__}: it {detail}; give the weights of "
                         "this network")
    for name, tensor in state.items():
        if tuple(tensor.shape) != tuple(wanted[name].shape):
            raise ModelError(f"{path}: {name} has shape {tuple(tensor.shape)}, the network needs "
                             f"{tuple(wanted[name].shape)}; give the weights of this network")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise RangeError(f"{path}: {name} holds NaN or infinity; train the model again or repair the "
                             "file")
    module.load_state_dict(state, assign=True)
    return module


def read_torch(path, what, remedy):
    """What torch.save wrote to a file; no code in it is executed. Raises DataError: `path` is not `what`; `remedy`."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as {what} ({type(error).__name__}); {remedy}") from error


def _read_state(path):
    if not path.is_file():
        raise DataError(f"{path}: weights file not found; train with `python -m quant train` or give "
                        "--weights FILE")
    if path.suffix == ".npz":
        return {name: torch.from_numpy(array) for name, array in read_arrays(path).items()}
    if path.suffix not in (".pt", ".pth"):
        raise DataError(f"{path}: weights of type '{path.suffix}' are not supported; give .npz, .pt or .pth")
    state = read_torch(path, "a PyTorch state dictionary", "save module.state_dict()")
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{path}: is not a plain state dictionary; save module.state_dict()")
    return state
