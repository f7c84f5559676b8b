"""Memory images: every memory's first contents as a $readmemh file, one word a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accel.descriptor import DESCRIPTOR_STRIDE
from accel.rtl.output.param_table import SHIFT2_AT, memory_bits, memory_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accel.compile.program import Program
    from accel.hdl.golden import Golden


def hex_lines(words: Iterable[int], bits: int) -> str:
    """Text of a memory image."""
    digits = -(-bits // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)


def weight_images(program: Program) -> dict[str, str]:
    """{file: text}: one memory for every row, a word of `lanes` bytes with lane 0 in the low bits."""
    config = program.config
    images = {}
    for row in range(config.rows):
        words = [int.from_bytes(word.tobytes(), "little") for word in program.weights[:, row]]
        words += [0] * (config.weight_depth - len(words))
        images[f"weights_row{row:02d}.mem"] = hex_lines(words, config.word_bits)
    return images


def program_image(program: Program) -> dict[str, str]:
    """{file: text}: the descriptors, DESCRIPTOR_STRIDE words of 32 bits a layer."""
    words = np.zeros(DESCRIPTOR_STRIDE * program.config.max_layers, dtype=np.int64)
    words[: program.descriptors.size] = program.descriptors.reshape(-1)
    return {"program.mem": hex_lines(words.tolist(), 32)}


def golden_images(golden: Golden, lanes: int) -> dict[str, str]:
    """{file: text}: input beats, and output beats as {last, keep, data}."""
    width = 9 * lanes + 1
    outputs = [last << 9 * lanes | keep << 8 * lanes | data for last, keep, data in golden.outputs]
    return {"golden_input.mem": hex_lines(golden.inputs, 8 * lanes), "golden_output.mem": hex_lines(outputs, width)}


def board_images(golden: Golden, lanes: int) -> dict[str, str]:
    """{file: text}: the first golden image for the self-test on a board, output beats as {keep, data}."""
    outputs = [keep << 8 * lanes | data for _, keep, data in golden.outputs[: golden.output_beats]]
    return {
        "board_input.mem": hex_lines(golden.inputs[: golden.input_beats], 8 * lanes),
        "board_output.mem": hex_lines(outputs, 9 * lanes),
    }


def host_image(program: Program) -> dict[str, str]:
    """{file: text}: the host writes that load the program at run time, {address 24, data 32} a line."""
    writes = [address << 32 | data for address, data in program.host_writes()]
    return {"host_writes.mem": hex_lines(writes, 56)}


def param_images(program: Program) -> dict[str, str]:
    """{file: text}: bias, multiplier and shifts, a word for each group of req_lanes entries."""
    shifts = program.shifts.astype(np.int64)
    entries = list(
        zip(
            program.bias.tolist(),
            program.multiplier.tolist(),
            (shifts & 63).tolist(),
            (shifts >> SHIFT2_AT & 31).tolist(),
            strict=True,
        )
    )
    lanes = program.config.req_lanes
    bits = memory_bits(program.config)
    words = [memory_words(entries, number, program.config) for number in range(3)]
    return {
        f"param_{name}.mem": hex_lines(words[number], lanes * bits[number])
        for number, name in enumerate(("bias", "multiplier", "shifts"))
    }
