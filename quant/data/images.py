"""Image files as arrays: .npy, .npz and .png, without torch and without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accel.checks import listed, plain, shown
from accel.errors import DataError
from quant.files.door import check_regular, check_size
from quant.files.numpy_files import read_npy, read_npz
from quant.files.pictures import read_png

if TYPE_CHECKING:
    from accel.types import Array, Ints, StrPath

MAX_CLASSES = 1 << 31


def read_images(path: StrPath) -> tuple[Array, Ints | None]:
    """(images [N, H, W, C], labels int64 [N] or None) of one file.

    .npy: an array of images. .npz: arrays `images` and, if there, `labels`. .png: one picture of 8 bits. Images
    are uint8 or finite float32, [N, H, W, C], [N, H, W] or [H, W]; with N labels [N, F] are vectors. Raises DataError
    for everything else.
    """
    path, labels = Path(path), None
    check_regular(path)
    suffix = path.suffix.lower()
    if suffix == ".png":
        images: Array = read_png(path)[None]
    elif suffix == ".npy":
        images = read_npy(path)
    elif suffix == ".npz":
        arrays = read_npz(path)
        if "images" not in arrays:
            raise DataError(
                f"{shown(path)}: holds {listed(sorted(arrays)) or 'no arrays'} but no array 'images'; save "
                "it with numpy.savez(file, images=..., labels=...)"
            )
        images, labels = arrays["images"], arrays.get("labels")
    else:
        raise DataError(
            f"{shown(path)}: file type '{plain(path.suffix)}' is not supported; give a .npy, .npz or .png file"
        )
    if images.ndim == 2 and labels is not None and labels.shape == images.shape[:1]:
        images = images[:, None, None]  # vectors, as images of one pixel
    images = _as_batch(shown(path), images)
    return images, None if labels is None else as_labels(shown(path), labels, len(images))


def as_pixels(place: str, images: Array) -> Array:
    """uint8 as it is, floats as finite float32. Raises DataError for other types, NaN and infinity."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise DataError(f"{place}: images have type {plain(images.dtype, 40)}; give uint8 (0..255) or floats")
    check_size(place, "its images as float32 take", 4 * images.size)
    with np.errstate(over="ignore"):
        images = images.astype(np.float32, copy=False)
    if not (np.isfinite(images.min()) and np.isfinite(images.max())):  # NaN passes through min and max
        raise DataError(f"{place}: images hold NaN or infinity; give finite values")
    return images


def as_labels(place: str, labels: Array, count: int) -> Ints:
    """int64 [count] of class numbers. Raises DataError."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        remedy = "; use labels.argmax(1)" if labels.ndim == 2 else ""
        raise DataError(
            f"{place}: labels have shape {labels.shape} and type {plain(labels.dtype, 40)}; give {count} "
            f"class numbers as integers{remedy}"
        )
    if count and not 0 <= labels.min() <= labels.max() < MAX_CLASSES:
        raise DataError(
            f"{place}: labels lie in {labels.min()}..{labels.max()}; classes count from 0 to {MAX_CLASSES - 1} at most"
        )
    return labels.astype(np.int64)


def _as_batch(place: str, images: Array) -> Array:
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not images.size:
        raise DataError(f"{place}: images have shape {images.shape}; give [N, H, W, C], [N, H, W] or [H, W]")
    return as_pixels(place, images)
