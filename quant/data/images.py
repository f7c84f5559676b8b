"""Image files as arrays: .npy, .npz and .png, without torch and without pickle."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from accel.errors import DataError
from quant.data.png import read_png

MAX_BYTES = 1 << 31
_BAD_FILE = (OSError, EOFError, ValueError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)


def read_images(path):
    """(images [N, H, W, C], labels int64 [N] or None) of one file.

    .npy: an array of images. .npz: arrays `images` and, if there, `labels`. .png: one 8-bit image. Images
    are uint8 or float32, [N, H, W, C], [N, H, W] or [H, W]. Raises DataError for everything else.
    """
    path, labels = Path(path), None
    suffix = path.suffix.lower()
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is not a regular file; give a .npy, .npz or .png file")
    if suffix == ".png":
        images = read_png(path)[None]
    elif suffix == ".npy":
        images = _guarded(path, lambda: np.load(path, allow_pickle=False))
    elif suffix == ".npz":
        arrays = read_arrays(path)
        if "images" not in arrays:
            raise DataError(f"{path}: holds {', '.join(sorted(arrays)) or 'no arrays'} but no array "
                            "'images'; save it with numpy.savez(file, images=..., labels=...)")
        images, labels = arrays["images"], arrays.get("labels")
    else:
        raise DataError(f"{path}: file type '{path.suffix}' is not supported; give a .npy, .npz or .png file")
    images = _as_batch(path, images)
    if labels is not None:
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            raise DataError(f"{path}: labels have shape {labels.shape} and type {labels.dtype}; give "
                            f"{len(images)} integers")
        labels = labels.astype(np.int64)
    return images, labels


def read_arrays(path):
    """{name: array} of an .npz file; nothing is unpickled. Raises DataError for a damaged or oversized
    file."""
    def read():
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(f"{path}: holds {size} bytes, at most {MAX_BYTES} are allowed; split the file")
        with np.load(path, allow_pickle=False) as arrays:
            contents = {name: arrays[name] for name in arrays.files}
        if not all(isinstance(item, np.ndarray) for item in contents.values()):
            raise ValueError("holds entries that are no arrays")
        return contents
    return _guarded(path, read)


def _guarded(path, read):
    try:
        return read()
    except _BAD_FILE as error:
        raise DataError(f"{path}: cannot be read as {path.suffix} ({type(error).__name__}: {error}); save it "
                        "again with numpy, without objects") from error


def _as_batch(path, images):
    if images.ndim == 2:
        images = images[None]
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not images.size:
        raise DataError(f"{path}: images have shape {images.shape}; give [N, H, W, C], [N, H, W] or [H, W]")
    if images.dtype.kind == "f":
        return images.astype(np.float32)
    if images.dtype != np.uint8:
        raise DataError(f"{path}: images have type {images.dtype}; give uint8 (0..255) or float32")
    return images
