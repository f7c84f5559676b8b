"""A user's own data: what a loader function gives, as arrays, checked at the door.

A loader gives (images, labels) as arrays, a torch Dataset, a torch DataLoader or any iterable of batches. Torch is
not imported here: where the user's code uses it, it is loaded already.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from accel.checks import plain
from accel.errors import DataError
from quant.data.images import as_labels, as_pixels
from quant.data.user_code import call_with_split, resolve
from quant.files.door import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from accel.types import Array, Ints

GREY_LEVELS = 255
GREY_TOLERANCE = 1e-3
MAX_PARTS = 1_000_000
SEED = 1
TORCH_DATA = "Dataset", "DataLoader", "Tensor"


def load_user_data(
    source: str, split: str, count: int | None = None, advance: Callable[[int], None] = lambda count: None
) -> tuple[Array, Ints | None]:
    """(images uint8 or float32 [N, H, W, C], labels int64 [N] or None) of `package.module:loader`.

    The loader is called with split='train' or 'test' where it takes an argument; it may also be the data itself.
    count: at most so many images are read. advance(count) is called per batch. Torch tensors are [N, C, H, W],
    NumPy arrays [N, H, W, C]; both may be [N, H, W], or vectors [N, F], which become images of one pixel. Floats that
    are all grey levels k/255 become uint8. Raises DataError for everything that cannot be a data set.
    """

    def use(found: Any) -> tuple[Array, Ints | None]:
        is_data = isinstance(found, (tuple, list, np.ndarray)) or _is_torch(found, *TORCH_DATA)
        if not is_data and not callable(found):
            raise DataError(
                f"data '{source}': is a {type(found).__name__}; name a function that gives (images, "
                "labels), a Dataset or a DataLoader"
            )
        with _fixed_order():
            return _collect(found if is_data else call_with_split(found, split), source, count, advance)

    return resolve(source, "data", DataError, use)


def check_labels(labels: Ints, classes: int, name: str) -> None:
    """Raise DataError where labels int64 [N] are not among the `classes` classes of the network `name`."""
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels lie in {labels.min()}..{labels.max()} but {name} has the classes 0..{classes - 1}; "
            "give other labels"
        )


@contextmanager
def _fixed_order() -> Iterator[None]:
    """A shuffled DataLoader gives the same order in every run."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def _is_torch(value: object, *names: str) -> bool:
    """True for an instance of one of torch's Tensor, Dataset, IterableDataset, DataLoader."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    kinds = tuple(torch.Tensor if name == "Tensor" else getattr(torch.utils.data, name) for name in names)
    return isinstance(value, kinds)


def _collect(result: Any, source: str, count: int | None, advance: Callable[[int], None]) -> tuple[Array, Ints | None]:
    """The loader's result as two arrays."""
    parts: list[tuple[Array, Ints | None]] = []
    total = size = 0
    for place, image, label, is_sample in _items(result, source):
        images, labels = _part(image, label, place, is_sample)
        if parts:
            _check_like_the_first(place, images, labels, *parts[0])
        parts.append((images, labels))
        if len(parts) > MAX_PARTS:
            raise DataError(f"data '{source}': gives more than {MAX_PARTS} batches; give larger ones")
        total, size = total + len(images), size + images.nbytes
        advance(len(images))
        if size > MAX_BYTES:
            raise DataError(f"data '{source}': holds more than {MAX_BYTES} bytes of images; give fewer images")
        if count is not None and total >= count:
            break
    if not total:
        raise DataError(f"data '{source}': is empty; give at least one image")
    images = np.concatenate([images for images, _ in parts])[:count]
    labels = None if parts[0][1] is None else np.concatenate([labels for _, labels in parts])[:count]
    return _grey_levels(images), labels


def _items(result: Any, source: str) -> Iterator[tuple[str, Any, Any, bool]]:
    """(place for messages, image or images, label, labels or None, is it one sample) of everything it holds."""
    if _is_torch(result, "Tensor") or isinstance(result, np.ndarray):
        yield f"data '{source}'", result, None, False
    elif isinstance(result, (tuple, list)) and len(result) == 2 and not isinstance(result[0], (tuple, list)):
        yield f"data '{source}'", *result, False
    elif _is_torch(result, "Dataset") and not _is_torch(result, "IterableDataset"):
        if not hasattr(result, "__len__"):
            raise DataError(f"data '{source}': the Dataset has no length; give it __len__, or give a DataLoader")
        for index in range(len(result)):
            place = f"data '{source}': sample {index}"
            yield place, *_pair(result[index], place), True
    elif hasattr(result, "__iter__") and not isinstance(result, (str, bytes, dict)):
        is_sample = _is_torch(result, "IterableDataset")
        for index, item in enumerate(result):
            place = f"data '{source}': {'sample' if is_sample else 'batch'} {index}"
            yield place, *_pair(item, place), is_sample
    else:
        raise DataError(
            f"data '{source}': gives a {type(result).__name__}; give (images, labels), a Dataset or a DataLoader"
        )


def _pair(item: Any, place: str) -> tuple[Any, Any]:
    """(images, labels or None) of a batch or sample."""
    if isinstance(item, (tuple, list)):
        if len(item) not in (1, 2):
            raise DataError(f"{place} has {len(item)} parts; give (images, labels)")
        return item[0], item[1] if len(item) == 2 else None
    if isinstance(item, (dict, str, bytes)):
        raise DataError(f"{place} is a {type(item).__name__}; give (images, labels)")
    return item, None


def _part(image: Any, label: Any, place: str, is_sample: bool) -> tuple[Array, Ints | None]:
    """(images [N, H, W, C], labels int64 [N] or None) of one batch or sample."""
    images = _array(image, place, "images")
    if is_sample:
        images = images[None]
    is_vector = images.ndim == 2
    if is_vector:
        images = images[:, None, None]  # as images of one pixel
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise DataError(
            f"{place}: images have shape {images.shape}; give [N, C, H, W] tensors, [N, H, W, C] arrays, "
            "[N, H, W], or [N, F] vectors"
        )
    if not len(images):
        raise DataError(f"{place}: holds no image; leave empty batches out")
    images = as_pixels(place, images)
    if images.ndim == 3:
        images = images[..., None]
    elif _is_torch(image, "Tensor") and not is_vector:
        _check_layout(place, images.shape, channels=1, other=3, remedy="tensors are [N, C, H, W]; permute(0, 3, 1, 2)")
        images = images.transpose(0, 2, 3, 1)
    elif not is_vector:
        _check_layout(
            place, images.shape, channels=3, other=1, remedy="NumPy arrays are [N, H, W, C]; transpose(0, 2, 3, 1)"
        )
    return images, None if label is None else _labels(label, place, len(images), is_sample)


def _check_layout(place: str, shape: Sequence[int], *, channels: int, other: int, remedy: str) -> None:
    """Refuse images whose channels stand on the axis `other` (one or three there, and a square without it)."""
    sides = [shape[axis] for axis in (1, 2, 3) if axis != other]
    if shape[other] in (1, 3) and shape[channels] > 4 and sides[0] == sides[1]:
        raise DataError(
            f"{place}: images have shape {tuple(shape)}, which looks like channels on the wrong axis; {remedy} them"
        )


def _labels(label: Any, place: str, count: int, is_sample: bool) -> Ints:
    labels = _array(label, place, "labels")
    if is_sample:
        labels = labels[None]
    return as_labels(place, labels, count)


def _array(value: Any, place: str, what: str) -> Array:
    """A NumPy array of an array, tensor, number or PIL image; objects and text are refused."""
    if _is_torch(value, "Tensor"):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(f"{place}: {what} cannot be an array ({plain(error)}); give arrays or tensors") from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{place}: {what} are of type {type(value).__name__}; give arrays or tensors of numbers")
    return array


def _check_like_the_first(
    place: str, images: Array, labels: Ints | None, first_images: Array, first_labels: Ints | None
) -> None:
    if (images.shape[1:], images.dtype) != (first_images.shape[1:], first_images.dtype):
        raise DataError(
            f"{place}: holds {images.dtype} images of (H, W, C)={images.shape[1:]}, the first ones are "
            f"{first_images.dtype} of {first_images.shape[1:]}; give all images one size and type"
        )
    if (labels is None) != (first_labels is None):
        raise DataError(
            f"{place}: {'lacks' if labels is None else 'has'} labels, unlike the first one; label all images, or none"
        )


def _grey_levels(images: Array) -> Array:
    """uint8 where floats are all grey levels k/255, as torchvision's ToTensor makes them, else as they are."""
    if images.dtype == np.uint8 or images.min() < 0 or images.max() > 1:
        return np.ascontiguousarray(images)
    levels = np.rint(images * GREY_LEVELS)
    if np.abs(images * GREY_LEVELS - levels).max() > GREY_TOLERANCE:
        return np.ascontiguousarray(images)
    return levels.astype(np.uint8)
