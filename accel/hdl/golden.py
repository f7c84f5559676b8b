"""Golden vectors: images, and what the integer reference says that the accelerator puts out for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accel import reference
from accel.errors import DataError

if TYPE_CHECKING:
    from accel.compile.program import Program
    from accel.ir import Graph
    from accel.types import Array

DIGITS = Path(__file__).resolve().parents[2] / "quant" / "zoo" / "digits" / "digits.npz"
SEED = 20240229


@dataclass(frozen=True)
class Golden:
    """Beats of some images in order. outputs: (last, keep, data), byte 0 in the low bits of data."""

    images: int
    inputs: tuple[int, ...]
    outputs: tuple[tuple[int, int, int], ...]
    source: str

    @property
    def input_beats(self) -> int:
        return len(self.inputs) // self.images

    @property
    def output_beats(self) -> int:
        return len(self.outputs) // self.images


def golden_vectors(graph: Graph, program: Program, count: int) -> Golden:
    """`count` images through the reference, as stream beats of the program's configuration."""
    images, source = sample_images(graph, count)
    q = reference.encode_input(graph, images)
    outputs = reference.run(graph, q, int6_multiplier=program.config.int6_multiplier)[graph.layers[-1].name]
    lanes = program.config.lanes
    inputs, beats = [], []
    for index in range(count):
        inputs += _beats(program.encode_input(q[index]), lanes)
        data = program.output_stream(outputs[index])
        words = _beats(data.ljust(-(-len(data) // lanes) * lanes, b"\0"), lanes)
        for position, word in enumerate(words):
            valid = min(lanes, len(data) - position * lanes)
            beats.append((int(position == len(words) - 1), (1 << valid) - 1, word))
    return Golden(count, tuple(inputs), tuple(beats), source)


def sample_images(graph: Graph, count: int) -> tuple[Array, str]:
    """(images, where they come from): the shipped digits where they fit, else random ones of a fixed seed."""
    kind = graph.encoding.kind
    if kind == "uint8" and graph.input.shape == (28, 28, 1) and DIGITS.is_file():
        with np.load(DIGITS, allow_pickle=False) as archive:
            images = next(archive[name] for name in archive.files if archive[name].ndim >= 3)
        if len(images) < count:
            raise DataError(
                f"{DIGITS}: holds {len(images)} images, but {count} golden images were asked "
                f"for; lower --golden to {len(images)}"
            )
        return images[:count].reshape(count, 28, 28, 1), "shipped MNIST test digits"
    random = np.random.default_rng(SEED)
    if kind == "uint8":
        return random.integers(0, 256, (count, *graph.input.shape), dtype=np.uint8), f"random, seed {SEED}"
    low, high = graph.input.qrange
    least, most = ((np.array([low, high]) - graph.input.zero_point) * graph.input.scale).tolist()
    return random.uniform(least, most, (count, *graph.input.shape)).astype(np.float32), f"random, seed {SEED}"


def _beats(data: bytes, lanes: int) -> list[int]:
    return [int.from_bytes(data[i : i + lanes], "little") for i in range(0, len(data), lanes)]
