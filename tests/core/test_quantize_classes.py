"""accel.fixedpoint.quantize equals torch.fake_quantize_per_tensor_affine for every class of float32 but NaN."""

import numpy as np
import pytest
import torch

from accel import fixedpoint as fp

SPECIAL = np.array([0, 1, 0x7FFFFF, 0x800000, 0x3F000000, 0x7F7FFFFF, 0x7F800000], dtype=np.uint32)
SCALES = (1.0, 1 / 3, 0.05, 2.0**-126, 2.25 * 2.0**-128, 2.0**125, 3e-39)


def patterns(rng, count):
    """Random bit patterns, subnormals and special values of both signs, without NaN."""
    bits = np.concatenate(
        [rng.integers(0, 2**32, count, dtype=np.uint32), rng.integers(0, 2**23, 500, dtype=np.uint32), SPECIAL]
    )
    x = np.concatenate([bits, bits ^ np.uint32(2**31)]).view(np.float32)
    return x[~np.isnan(x)]


def around_ties(scale):
    """Half-integers times scale, with the two floats on either side."""
    with np.errstate(over="ignore"):
        ties = (np.arange(-300, 300) + np.float32(0.5)).astype(np.float32) / fp.inverse_scale(scale)
    return np.concatenate([ties, np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf))])


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("scale", SCALES)
def test_every_class_is_quantized_as_torch_does(bits, scale):
    rng = np.random.default_rng(bits)
    scale = float(np.float32(scale))
    low, high = fp.qrange(bits)
    for zero_point in (low, 0, high):
        x = np.concatenate([patterns(rng, 4000), around_ties(scale).astype(np.float32)])
        want = torch.fake_quantize_per_tensor_affine(torch.from_numpy(x), scale, zero_point, low, high).numpy()
        q = fp.quantize(x, scale, zero_point, bits)
        with np.errstate(over="ignore"):
            got = (q - zero_point).astype(np.float32) * np.float32(scale)
        wrong = np.flatnonzero(got != want)
        assert not len(wrong), f"x={x[wrong[0]]!r} scale={scale!r}: torch {want[wrong[0]]!r}, here {got[wrong[0]]!r}"


def test_infinities_saturate_and_nan_is_the_zero_point():
    x = np.array([np.inf, -np.inf, np.nan, -np.nan], dtype=np.float32)
    assert fp.quantize(x, 0.5, -7, 8).tolist() == [127, -128, -7, -7]
    assert fp.quantize(x, 0.5, 0, 1).tolist() == [1, -1, 1, 1]
    assert fp.quantize(np.array([0.0, -0.0, -1e-45, 1e-45], dtype=np.float32), 0.5, 0, 1).tolist() == [1, 1, -1, 1]
