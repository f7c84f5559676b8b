"""Light augmentation of image batches: small random shifts, rotations, scales and shears."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

LIMITS = {"shift": 2.0, "degrees": 10.0, "scale": 0.1, "shear": 0.1}


def scaled_limits(strength: float) -> dict[str, float]:
    """Arguments of `random_affine` for a strength of 0 .. 1."""
    return {name: limit * strength for name, limit in LIMITS.items()}


def random_flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror every image [N, C, H, W] left to right with probability 1/2."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored.reshape(-1, 1, 1, 1), images.flip(3), images)


def random_affine(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    shift: float = 2.0,
    degrees: float = 10.0,
    scale: float = 0.1,
    shear: float = 0.1,
) -> torch.Tensor:
    """Warp each image by its own random affine map, bilinear, zeros outside.

    images: float [N, C, H, W]. shift in pixels, degrees of rotation, scale and shear as fractions: each is
    the largest absolute value of a uniform distribution. generator: torch.Generator. Returns float [N, C,
    H, W]; vectors, which are images of one pixel, come back as they are.
    """
    count, _, height, width = images.shape
    if (height, width) == (1, 1):
        return images

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle = uniform(math.radians(degrees))
    zoom_x, zoom_y, slant = 1 + uniform(scale), 1 + uniform(scale), uniform(shear)
    cos, sin = torch.cos(angle), torch.sin(angle)
    theta = torch.stack(
        [
            torch.stack([cos * zoom_x, -sin * zoom_y + slant, uniform(2 * shift / width)], 1),
            torch.stack([sin * zoom_x, cos * zoom_y, uniform(2 * shift / height)], 1),
        ],
        1,
    )
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
