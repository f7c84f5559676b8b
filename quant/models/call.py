"""The one place where a user's module gets its numbers: float32 parameters, contiguous float32 images."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch.overrides import TorchFunctionMode

from quant.frontend.tensors import FLOAT_TYPES
from quant.frontend.unwrap import copied, takes_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from torch import nn

CASTS = (torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.double)


def in_float32(module: nn.Module) -> nn.Module:
    """The module with float16, bfloat16 and float64 parameters and buffers cast to float32: the module itself where
    there are none, else a copy in the same mode. What is of no such type stays, for the reader to refuse by name."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    types = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    if types <= {torch.float32} or not types <= set(FLOAT_TYPES):
        return module
    return copied(module).float()


def run_module(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What a module in float32 gives for images [N, C, H, W], or for vectors, which are images of one pixel.

    The images are laid out as torch makes them by default, also where a size of 1 hides another layout, so that `view`
    flattens them; casts to half, bfloat16 and double inside the module's forward give float32.
    """
    images = images.to(torch.float32, memory_format=torch.contiguous_format)
    if not _is_plain(images):
        images = images.clone(memory_format=torch.contiguous_format)
    if images.shape[2:] == (1, 1) and takes_vectors(module):
        images = images.flatten(1)
    with _Float32Casts():
        return module(images)


def classes_of(result: torch.Tensor) -> torch.Tensor:
    """Classes int64 [N] of what a module gives: the largest of its values, or the class itself where it ends with an
    argmax."""
    return result.argmax(1) if result.is_floating_point() else result.reshape(len(result))


def _is_plain(images: torch.Tensor) -> bool:
    """Whether the strides are those of a new tensor: is_contiguous() says nothing of axes of size 1."""
    _, channels, height, width = images.shape
    return images.stride() == (channels * height * width, height * width, width, 1)


class _Float32Casts(TorchFunctionMode):
    """Casts to another float type become casts to float32."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in CASTS:
            return args[0].float()
        if func in (torch.Tensor.to, torch.Tensor.type):
            args = tuple(_float32(value) for value in args)
            kwargs = {name: _float32(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)


def _float32(value: object) -> object:
    return torch.float32 if isinstance(value, torch.dtype) and value in FLOAT_TYPES else value
