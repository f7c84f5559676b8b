"""Data sets and image files: where they are looked for, what is checked, what a damaged one says."""

import gzip
import hashlib
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from accel import folders
from accel.errors import DataError
from quant.data import datasets
from quant.data.images import read_images
from quant.files.pictures import read_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


@pytest.fixture
def small_mnist(monkeypatch, tmp_path):
    """A data set in MNIST's format with five test images, and the folder that holds it."""
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8), np.arange(5, dtype=np.uint8)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    sums = {}
    for name, array in zip(datasets._NAMES["test"], arrays, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        sums[name] = hashlib.md5(idx(array)).hexdigest()
    monkeypatch.setitem(datasets._MD5, "mnist", sums)
    monkeypatch.setitem(datasets._COUNTS, "test", 5)
    monkeypatch.delenv("BITLOOM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder, arrays


def test_loads_gzip_from_the_folder_given(small_mnist):
    folder, (pixels, numbers) = small_mnist
    for place in (folder, folder.parent, str(folder.parent)):
        images, labels = datasets.load("mnist", place)
        assert images.shape == (5, 28, 28, 1) and images.dtype == np.uint8 and labels.dtype == np.int64
        np.testing.assert_array_equal(images[..., 0], pixels)
        np.testing.assert_array_equal(labels, numbers)


def test_loads_plain_files(small_mnist):
    folder, (pixels, _) = small_mnist
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(datasets.load("mnist", folder)[0][..., 0], pixels)


def test_searches_the_environment_then_the_cache(small_mnist, monkeypatch, tmp_path):
    folder, _ = small_mnist
    with pytest.raises(DataError):
        datasets.load("mnist")
    cache = tmp_path / "cache" / "bitloom"
    cache.mkdir(parents=True)
    (cache / "mnist").symlink_to(folder)
    assert len(datasets.load("mnist")[0]) == 5
    (cache / "mnist").unlink()
    monkeypatch.setenv("BITLOOM_DATA", str(folder.parent))
    assert len(datasets.load("mnist")[0]) == 5
    assert datasets.search_folders() == [folder.parent, cache]
    assert datasets.search_folders(tmp_path) == [tmp_path]


def test_a_missing_data_set_says_what_to_fetch_and_where_to_put_it(small_mnist, tmp_path):
    with pytest.raises(
        DataError,
        match=r"t10k-images-idx3-ubyte.gz not found .*fetch it from https://.*put "
        "it into .*empty/mnist",
    ):
        datasets.load("mnist", tmp_path / "empty")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-3], "cannot be read|is not the expected"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-1] + b"\0\0"), "is not the expected IDX file"),
        (lambda data: gzip.compress(gzip.decompress(data)[:-1] + b"\x7b"), "content has MD5 .* expected"),
        (lambda data: gzip.compress(b"\1" + gzip.decompress(data)[1:]), "is not the expected IDX file"),
        (lambda data: b"not gzip", "cannot be read"),
        (lambda data: b"", "the file is empty"),
        (lambda data: gzip.compress(gzip.decompress(data) + bytes(1 << 26)), "is not the expected IDX file"),
    ],
)
def test_a_damaged_data_set_is_named(small_mnist, damage, message):
    folder, _ = small_mnist
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"t10k-images.*({message})"):
        datasets.load("mnist", folder)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(DataError, match="'cifar' is unknown; choose one of mnist, fashion_mnist, digits"):
        datasets.load("cifar")
    with pytest.raises(DataError, match="split 'validation' is unknown"):
        datasets.load("mnist", tmp_path, "validation")
    for name in ("nothing.npy", "x" * 5000, "nothing.npy/x.npy"):
        with pytest.raises(DataError, match="neither a file nor a data set"):
            datasets.load_images(tmp_path / name)


def test_the_shipped_digits_need_no_data_set():
    images, labels = datasets.load("digits")
    assert images.shape == (100, 28, 28, 1) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [10] * 10
    assert datasets.load_images("digits")[0].shape == images.shape


def test_data_needs_no_torch():
    code = "import sys, quant.data.datasets, quant.cli.main, quant.reference.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=folders.PACKAGES, check=False).returncode == 0


@pytest.mark.parametrize("shape", [(28, 28), (3, 28, 28), (3, 28, 28, 2)])
def test_numpy_files(tmp_path, shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    images, labels = datasets.load_images(tmp_path / "a.npy")
    assert labels is None and images.ndim == 4 and images.size == pixels.size
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.arange(len(images)))
    images, labels = read_images(tmp_path / "a.npz")
    assert labels.tolist() == list(range(len(images)))
    for kind in ("<f8", ">f8", ">f4", "<f2"):
        np.save(tmp_path / "f.npy", np.asfortranarray(pixels.astype(kind)))
        images, _ = read_images(tmp_path / "f.npy")
        assert images.dtype == np.float32 and images.dtype.isnative
        np.testing.assert_array_equal(images.reshape(shape), pixels)


BAD_ARRAYS = {
    "objects": {"images": np.array([None])},
    "no images": {"pixels": np.zeros((1, 2, 2), np.uint8)},
    "integers": {"images": np.zeros((1, 2, 2), np.int32)},
    "one axis": {"images": np.zeros(4, np.uint8)},
    "none": {"images": np.zeros((0, 2, 2), np.uint8)},
    "not a number": {"images": np.full((1, 2, 2), np.nan)},
    "too large for float32": {"images": np.full((1, 2, 2), 1e300)},
    "truth values": {"images": np.ones((1, 2, 2), bool)},
    "complex": {"images": np.zeros((1, 2, 2), complex)},
    "text": {"images": np.array([[["a"]]])},
    "dates": {"images": np.zeros((1, 2, 2), "M8[s]")},
    "records": {"images": np.zeros((1, 2, 2), "u1,f4")},
    "negative labels": {"images": np.zeros((2, 2, 2), np.uint8), "labels": np.array([0, -1])},
    "large labels": {"images": np.zeros((2, 2, 2), np.uint8), "labels": np.array([0, 2**63], np.uint64)},
    "labels": {"images": np.zeros((2, 2, 2), np.uint8), "labels": np.zeros(3, int)},
    "float labels": {"images": np.zeros((2, 2, 2), np.uint8), "labels": np.zeros(2)},
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_unsuitable_arrays_are_refused(tmp_path, case):
    path = tmp_path / "bad.npz"
    np.savez(path, **BAD_ARRAYS[case])
    with pytest.raises(DataError, match="bad.npz"):
        read_images(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".png", ".jpg"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\1\0", b"PK\3\4 nonsense", SIGNATURE + b"\0" * 40])
def test_damaged_files_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="bad"):
        read_images(path)


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(pixels, filters, depth=8, kind=None, interlace=0):
    """A PNG file of uint8 [H, W, C] with one filter per row (applied here by the definition)."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels] if kind is None else kind
    flat = np.pad(pixels.reshape(height, -1).astype(int), ((1, 0), (channels, 0)))
    raw = bytearray()
    for y in range(height):
        raw.append(filters[y % len(filters)])
        for x in range(channels, flat.shape[1]):
            left, above, corner = flat[y + 1, x - channels], flat[y, x], flat[y, x - channels]
            paeth = min((left, above, corner), key=lambda value: abs(left + above - corner - value))
            predicted = (0, left, above, (left + above) // 2, paeth)[filters[y % len(filters)]]
            raw.append((flat[y + 1, x] - predicted) & 255)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, kind, 0, 0, interlace])
    body = chunk(b"IDAT", zlib.compress(bytes(raw)))
    return SIGNATURE + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_with_every_filter(tmp_path, channels):
    pixels = np.random.default_rng(channels).integers(0, 256, (11, 7, channels), dtype=np.uint8)
    path = tmp_path / "image.png"
    path.write_bytes(png(pixels, [0, 1, 2, 3, 4]))
    wanted = pixels[..., : 3 if channels >= 3 else 1]
    np.testing.assert_array_equal(read_png(path), wanted)
    np.testing.assert_array_equal(read_images(path)[0], wanted[None])


def test_palettes_few_bits_and_interlacing_are_decoded(tmp_path):
    levels = np.random.default_rng(5).integers(0, 2, (9, 5), dtype=np.uint8)
    for name, picture in {"palette": Image.fromarray(levels).convert("P"), "bit": Image.fromarray(levels == 1)}.items():
        picture.save(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(read_png(tmp_path / "palette.png"), np.repeat(levels[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_png(tmp_path / "bit.png"), levels[..., None] * np.uint8(255))
    single = np.full((1, 1, 1), 7, np.uint8)  # with one pixel, the first of Adam7's passes is the whole picture
    (tmp_path / "interlaced.png").write_bytes(png(single, [0], interlace=1))
    np.testing.assert_array_equal(read_png(tmp_path / "interlaced.png"), single)


def test_other_kinds_of_png_are_refused(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(png(np.zeros((2, 2, 2), np.uint8), [0], depth=16, kind=0))
    with pytest.raises(DataError, match="has 16 bits per value; save it again as an 8-bit PNG"):
        read_png(path)
    path.write_bytes(
        png(np.zeros((2, 2, 1), np.uint8), [0])[:33]
        + chunk(b"IDAT", zlib.compress(bytes([5, 0, 0] * 2)))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(DataError, match="cannot be read as a PNG file"):
        read_png(path)
    frames = [Image.new("L", (2, 2), level) for level in (0, 9)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="is an animation of 2 pictures; save one of them"):
        read_png(path)
    Image.new("L", (2, 2)).save(tmp_path / "other.png", format="BMP")
    with pytest.raises(DataError, match="cannot be read as a PNG file"):
        read_png(tmp_path / "other.png")


def test_no_damaged_bit_of_a_png_changes_a_pixel_in_silence(tmp_path):
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    data = png(pixels, [0])
    path, end = tmp_path / "image.png", len(data) - 12  # the last chunk holds nothing
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = read_png(path)
        except DataError as error:
            assert "image.png" in str(error)
        else:
            assert place >= end and np.array_equal(found, pixels)


@pytest.mark.parametrize("side", [4097, 2**31 - 1])
def test_a_large_png_is_refused_before_it_is_decoded(tmp_path, side):
    header = side.to_bytes(4, "big") * 2 + bytes([8, 6, 0, 0, 0])
    path = tmp_path / "image.png"
    path.write_bytes(SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=f"is {side} x {side} pixels, at most 16777216 in all"):
        read_png(path)


def test_a_png_of_many_chunks_is_refused(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(SIGNATURE + chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\10\0\0\0\0") + chunk(b"tEXt", b"") * (1 << 20))
    started = time.process_time()
    with pytest.raises(DataError, match="has more than 65536 chunks; save it again"):
        read_png(path)
    assert time.process_time() - started < 2


def test_a_png_of_slow_filters_is_decoded_at_the_library_s_speed(tmp_path):
    pixels = 1000, 1000
    raw = zlib.compress((b"\4" + bytes(4 * pixels[1])) * pixels[0])
    header = pixels[1].to_bytes(4, "big") + pixels[0].to_bytes(4, "big") + bytes([8, 6, 0, 0, 0])
    path = tmp_path / "image.png"
    path.write_bytes(SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", raw) + chunk(b"IEND", b""))
    started = time.process_time()
    assert read_png(path).shape == (*pixels, 3)
    assert time.process_time() - started < 2  # half a minute with a filter in Python
