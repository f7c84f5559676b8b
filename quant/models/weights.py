"""Trained weights as files: NumPy's .npz, PyTorch's .pt, .pth and .ckpt, or .safetensors; nothing in them is
executed."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from accel.atomic import write_file
from accel.checks import listed, plain, shown
from accel.cli import note
from accel.errors import DataError, ModelError, RangeError
from quant import marks
from quant.data.datasets import ZOO
from quant.files.door import check_regular, guarded
from quant.files.numpy_files import read_npz
from quant.files.safetensors_files import read_safetensors
from quant.files.torch_files import read_torch
from quant.models import state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from accel.types import Array, StrPath

SUFFIXES = ".npz, .pt, .pth, .ckpt or .safetensors"
_KINDS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_REMEDY = "save module.state_dict()"
_CONVERT = (
    "save the weights alone where it was trained: torch.save(torch.load(FILE, weights_only=False)"
    "['state_dict'], 'weights.pt')"
)
_UNDO = {
    "_mask": "prune.remove",
    "_g": "remove_weight_norm",
    "_u": "remove_spectral_norm",
    ".original0": "parametrize.remove_parametrizations",
    ".original": "parametrize.remove_parametrizations",
}


def zoo_weights(name: str) -> Path:
    """Path of the shipped weights of a float model, whether or not they exist."""
    return ZOO / name / "weights.npz"


def save_weights(module: torch.nn.Module, path: StrPath) -> None:
    """Write the module's state as float32 .npz; equal states give equal bytes. Raises OutputError."""
    arrays = {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = marks.WEIGHTS
    write_file(path, stream.getvalue(), marks.WEIGHTS)


def load_weights(module: torch.nn.Module, path: StrPath) -> torch.nn.Module:
    """Load weights of .npz, .pt, .pth, .ckpt or .safetensors into the module, in place; every name and shape must fit.

    A dictionary around the state, and a prefix that all names share, are left out, which one line on stderr says;
    `num_batches_tracked` may be absent. The module's tensors take the dtype of the file's.
    Raises DataError for an unreadable file or numbers that are no floats, ModelError for missing, additional or wrongly
    shaped tensors, RangeError for NaN or infinity.
    """
    path = Path(path)
    wanted = module.state_dict(keep_vars=True)
    fit = state.find(_content(path), wanted)
    if fit is None:
        raise DataError(f"{shown(path)}: is not a state dictionary, names with their tensors; {_REMEDY}")
    if fit.faults:
        raise ModelError(_misfit(path, module, fit))
    found = {name: fit.tensors[full] for name, full in fit.names.items()}
    _check_shapes(path, found, wanted)
    for name, tensor in found.items():
        _check_values(path, name, tensor, wanted[name].is_floating_point())
    with guarded(path, "weights", "give the weights of this network"):
        module.load_state_dict(found, strict=False, assign=True)
    _tell(path, fit)
    return module


def _content(path: Path) -> object:
    """What a weight file holds: {name: tensor}, or whatever torch.save was given."""
    if not os.path.exists(path):
        raise DataError(
            f"{shown(path)}: weights file not found; train with `python -m quant train` or give --weights FILE"
        )
    check_regular(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return {name: _tensor(path, name, array) for name, array in read_npz(path).items()}
    if suffix == ".safetensors":
        return read_safetensors(path)
    if suffix not in (".pt", ".pth", ".ckpt"):
        raise DataError(f"{shown(path)}: weights of type '{plain(path.suffix)}' are not supported; give {SUFFIXES}")
    return read_torch(path, "a PyTorch state dictionary", _REMEDY, _CONVERT)


def _tensor(path: Path, name: str, array: Array) -> torch.Tensor:
    """The tensor of an array of any byte order. Raises DataError for text, dates, records and long doubles."""
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > 8 and array.dtype.kind == "f":
        raise DataError(f"{shown(path)}: {plain(name, 60)} is of type {plain(array.dtype, 40)}; save float32 numbers")
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))


def _misfit(path: Path, module: torch.nn.Module, fit: state.Fit) -> str:
    parts = [
        f"{word} {listed(names, 5, 40)}"
        for word, names in (("lacks", fit.missing), ("has unknown", fit.extra))
        if names
    ]
    place = f" in '{plain(fit.place, 40)}'" if fit.place else ""
    undo = next((text for ending, text in _UNDO.items() if any(name.endswith(ending) for name in fit.extra)), None)
    remedy = f"call torch.nn.utils.{undo} before saving" if undo else "give the weights of this network"
    return f"{shown(path)}: does not fit {type(module).__name__}: it{place} {'; '.join(parts)}; {remedy}"


def _check_shapes(path: Path, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    wrong = [
        f"{plain(name, 30)} {plain(tuple(tensor.shape), 30)} for {tuple(wanted[name].shape)}"
        for name, tensor in found.items()
        if tensor.shape != wanted[name].shape
    ]
    if wrong:
        raise ModelError(
            f"{shown(path)}: holds other shapes than the network's: {listed(wrong, limit=100)}; give the "
            "weights of this network"
        )


def _check_values(path: Path, name: str, tensor: torch.Tensor, is_float: bool) -> None:
    """Raise DataError for a tensor that is no dense array of floats (of integers: the counters), RangeError for NaN."""
    place = f"{shown(path)}: {plain(name, 60)}"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = "quantized" if tensor.is_quantized else "meta" if tensor.is_meta else "sparse"
        raise DataError(f"{place} is a {kind} tensor; give dense tensors of floats")
    if is_float and tensor.dtype not in _KINDS:
        raise DataError(f"{place} is of type {tensor.dtype}; give float32, float16, bfloat16 or float64")
    if not is_float and tensor.dtype.is_complex:
        raise DataError(f"{place} is of type {tensor.dtype}; give integers")
    if is_float and not torch.isfinite(tensor).all():
        raise RangeError(f"{place} holds NaN or infinity; train the model again or repair the file")


def _tell(path: Path, fit: state.Fit) -> None:
    parts = [f"read from '{plain(fit.place, 40)}'"] if fit.place else []
    if fit.prefix:
        parts.append(f"without the prefix '{plain(fit.prefix, 40)}'")
    if fit.own_prefix:
        parts.append(f"with the network's prefix '{plain(fit.own_prefix, 40)}'")
    if parts:
        note(f"{shown(path)}: weights {', '.join(parts)}")
