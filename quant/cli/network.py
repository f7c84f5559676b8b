"""What the commands that quantize do with a user's network before any long work: fit images, read, say what is odd."""

from accel.cli import note
from accel.errors import ModelError


def check_images(model, shape, data, images):
    """Raise ModelError where a network of input `shape` (H, W, C), or None for any, cannot take the images."""
    if shape is not None and images.shape[1:] != tuple(shape):
        raise ModelError(f"{model}: needs images of (H, W, C)={tuple(shape)} but {data} has {images.shape[1:]}; choose "
                         "other --data")


def encoding_of(given, images):
    """The input encoding, 'uint8' or 'float': as given, else that of the images."""
    return given or ("uint8" if images.dtype == "uint8" else "float")


def look_at(module, images, name):
    """The FloatNetwork of a module over images [N, H, W, C]; what was left out of it, and what keeps the hardware from
    running it, is said on stderr. Raises the errors of the front end."""
    from quant.check.hardware import refusal
    from quant.frontend.read import read_module
    network = read_module(module, images.shape[1:], name)
    for text in network.notes:
        note(text)
    problem = refusal(network)
    if problem is not None:
        note(f"no build of the accelerator can run {name}: {problem}")
    return network
