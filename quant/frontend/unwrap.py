"""What a user's object is before it is read: wrappers that mean nothing are taken off, what cannot be read is said."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from accel.errors import ModelError, UnsupportedError
from quant.frontend.names import is_torch_layer

WRAPPERS = {
    nn.DataParallel: "module",
    DistributedDataParallel: "module",
    AveragedModel: "module",
    torch._dynamo.OptimizedModule: "_orig_mod",
}
REASONS = {
    "torch.jit": "is TorchScript, whose Python is gone; give the nn.Module that it was made from",
    "torch.ao.nn": "is quantized already by torch.ao; give the float network",
    "torch.nn.quantized": "is quantized already by torch.ao; give the float network",
    "torch.distributed.fsdp": "is sharded over processes; gather its state_dict and load it into the plain network",
}


def unwrap(module: nn.Module) -> nn.Module:
    """The module behind DataParallel, torch.compile and their like, at the top and inside; wrappers inside are replaced
    in place."""
    while type(module) in WRAPPERS:
        module = getattr(module, WRAPPERS[type(module)])
    for parent in list(module.modules()):
        for key, child in list(parent.named_children()):
            if type(child) in WRAPPERS:
                setattr(parent, key, unwrap(child))
    return module


def copied(module: nn.Module) -> nn.Module:
    """A deep copy; tensors that training left behind, which torch does not copy, are copied by value."""
    kept = {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    return copy.deepcopy(module, kept)


def takes_vectors(module: nn.Module) -> bool:
    """Whether the module reads images of one pixel as [N, C]: it has no convolution that would want [N, C, 1, 1]."""
    return not any(isinstance(part, nn.Conv2d) for part in module.modules())


def own_copy(module: nn.Module, name: str) -> nn.Module:
    """A copy in eval mode on the CPU that may be changed, without wrappers. Raises UnsupportedError or ModelError for
    what cannot be read at all."""
    while type(module) in WRAPPERS:
        module = getattr(module, WRAPPERS[type(module)])
    _check_kinds(module, name)
    try:
        module = unwrap(copied(module)).eval()
    except Exception as error:  # a user's attribute may refuse to be copied
        raise UnsupportedError(
            f"{name}: {type(module).__name__} cannot be copied ({type(error).__name__}: "
            f"{str(error)[:100]}); keep only layers and numbers in it"
        ) from error
    if not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        module = module.cpu()
    return nn.Sequential(module) if is_torch_layer(module) else module


def _check_kinds(module: nn.Module, name: str) -> None:
    for path, part in module.named_modules():
        place = f"{path} ({type(part).__name__})" if path else f"{name}: {type(part).__name__}"
        for kind in type(part).__mro__:
            reason = next((text for start, text in REASONS.items() if kind.__module__.startswith(start)), None)
            if reason is not None:
                raise UnsupportedError(f"{place} {reason}")
        if any(map(is_lazy, (*part.parameters(recurse=False), *part.buffers(recurse=False)))):
            raise ModelError(
                f"{place} has no weights before its first batch (a lazy module); run the network once on "
                "an image, or load its weights"
            )
        for key, tensor in (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)):
            if tensor.is_complex():
                raise UnsupportedError(f"{place}: {key} has dtype {tensor.dtype}; use float32")
