"""A second opinion on compiled programs: executes descriptors byte by byte, as accel/descriptor.py documents
them.

It knows nothing of graphs, walks or placements: it takes the host writes of a program, fills the memories
that they address, and runs the loop nests over memories whose unwritten bytes are random.
"""

from dataclasses import dataclass

import numpy as np

from accel.descriptor import (
    DESCRIPTOR_STRIDE,
    FIELDS,
    OP_DENSE,
    REGION_DESCRIPTORS,
    REGION_PARAMETERS,
    REGION_SHIFT,
    REGION_WEIGHTS,
    REGION_WEIGHTS6,
    unpack_descriptor,
)
from accel.rtl.array.mac_array import word_offset


class HardwareError(AssertionError):
    """The program did what hardware must never be asked to do."""


def require(condition, text):
    if not condition:
        raise HardwareError(text)


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def elements(data, bits):
    """Bytes -> the two's complement elements of `bits` bits in them, lowest first; one bit is -1 or +1."""
    fields = [(data.astype(np.int64) >> at) & (2**bits - 1) for at in range(0, 8, bits)]
    codes = np.stack(fields, axis=-1).reshape(*data.shape[:-1], -1)
    return 2 * codes - 1 if bits == 1 else codes - (codes >> (bits - 1) << bits)


def packed(values, bits):
    """The inverse of elements, for one pixel; 0 bits fill up the last byte."""
    whole = 0
    for position, value in enumerate(values):
        code = int(value > 0) if bits == 1 else int(value) & (2**bits - 1)
        whole |= code << position * bits
    return whole.to_bytes(-(-len(values) * bits // 8), "little")


def width(f, name):
    return 8 >> f[f"{name}_code"]


def half_away_shift(value, shift):
    if shift == 0:
        return value
    magnitude = (abs(value) + (1 << (shift - 1))) >> shift
    return -magnitude if value < 0 else magnitude


class Memories:
    """Descriptor, parameter and weight memories, filled through the host port's address map."""

    def __init__(self, program):
        config = self.config = program.config
        self.descriptors = np.zeros((config.max_layers, DESCRIPTOR_STRIDE), dtype=np.uint64)
        self.params = np.zeros((config.param_depth, 4), dtype=np.int64)
        self.weights = np.zeros((config.weight_depth, config.rows, config.lanes), dtype=np.uint8)
        self.sixes = {}  # words of a group of 16 packed weights
        for address, data in program.host_writes():
            require(0 <= data < 2**32, f"host data {data}")
            self._write(address >> REGION_SHIFT, address & ((1 << REGION_SHIFT) - 1), data)

    def _write(self, region, offset, data):
        if region == REGION_DESCRIPTORS:
            self.descriptors[offset // DESCRIPTOR_STRIDE, offset % DESCRIPTOR_STRIDE] = data
        elif region == REGION_PARAMETERS:
            self.params[offset // 4, offset % 4] = data
        elif region == REGION_WEIGHTS6:
            require(6 in self.config.precisions, "packed weights without an unpacker")
            group, part = divmod(offset, 4)
            require(part < 3, "the fourth word of a group")
            words = self.sixes.setdefault(group, {})
            words[part] = data
            if len(words) == 3:
                whole = sum(words[j] << 32 * j for j in range(3))
                values = [signed(whole >> 6 * i, 6) & 0xFF for i in range(16)]
                for i in range(4):
                    self._weights(4 * group + i, bytes(values[4 * i : 4 * i + 4]))
        else:
            require(region == REGION_WEIGHTS, f"host region {region}")
            self._weights(offset, data.to_bytes(4, "little"))

    def _weights(self, offset, four):
        quarters = self.config.lanes // 4
        word, rest = divmod(offset, self.config.rows * quarters)
        row, quarter = divmod(rest, quarters)
        self.weights[word, row, 4 * quarter : 4 * quarter + 4] = np.frombuffer(four, dtype=np.uint8)


@dataclass
class Ring:
    """State that feeder and window share."""

    line: np.ndarray
    rows_filled: int = 0
    rows_released: int = 0


class Interpreter:
    """Runs a program; `policy` says who goes first where feeder and window could both run.

    policy: "feeder" (as far ahead as the slots allow), "window" (rows only when they are asked for) or
    "random".
    """

    def __init__(self, program, policy="feeder", seed=0):
        self.memories = Memories(program)
        self.config = program.config
        self.layers = len(program.layers)
        self.policy = policy
        self.rng = np.random.default_rng(seed)
        self.act = self.rng.integers(0, 256, self.config.act_depth * self.config.lanes, dtype=np.uint8)
        self.line = self.rng.integers(0, 256, self.config.line_depth * self.config.lanes, dtype=np.uint8)
        self.trace = []

    def run(self, beats):
        """Bytes of one input image -> bytes of the output stream (whole beats)."""
        stream, output = beats, None
        for layer in range(self.layers):
            fields = unpack_descriptor(self.memories.descriptors[layer])
            for name, field in FIELDS.items():
                require(fields[name] <= field.limit(self.config), f"layer {layer}: {name}")
            require(fields["magic"] == 0xB1, "magic")
            require(
                all(width(fields, name) in self.config.modes for name in ("compute", "weight", "input", "output")),
                "a width that the build lacks",
            )
            require(min(fields["weight_code"], fields["input_code"]) >= fields["compute_code"], "computes too narrow")
            if fields["from_stream"]:
                size = fields["in_words"] * self.config.lanes
                require(len(stream) >= size, "input stream is too short")
                source, stream = np.frombuffer(stream[:size], dtype=np.uint8), stream[size:]
            else:
                start = fields["in_base"] * self.config.lanes
                source = self.act[start : start + fields["in_words"] * self.config.lanes].copy()
                require(len(source) == fields["in_words"] * self.config.lanes, "input leaves the memory")
            data = self._layer(fields, source)
            self.trace.append(data)
            words = -(-len(data) // self.config.lanes)
            data = data.ljust(words * self.config.lanes, b"\0")
            if fields["to_stream"]:
                require(output is None, "two layers put out")
                output = data
            else:
                start = fields["out_base"] * self.config.lanes
                require(start + len(data) <= len(self.act), "output leaves the activation memory")
                self.act[start : start + len(data)] = np.frombuffer(data, dtype=np.uint8)
        require(output is not None and not stream, "no output, or input that nobody takes")
        return output

    def _layer(self, f, source):
        acc = self._dense(f, source) if f["op"] == OP_DENSE else self._conv(f, source)
        pixels = [self._requantize(f, pixel) for pixel in acc]
        if f["raw"]:
            require(not f["pool_enable"] and f["last_count"] == 4, "raw accumulators are not pooled")
            return np.array(pixels, dtype="<i4").tobytes()
        if f["pool_enable"]:
            pixels = self._pool(f, pixels)
        return b"".join(packed(pixel, width(f, "output")) for pixel in pixels)

    def _tile(self, f, weight_row, operands):
        """Accumulators of every tile of one pixel; operands(kh, k) gives a word's source bytes."""
        config, tiles, compute = self.config, [], width(f, "compute")
        parts = 2 ** (f["weight_code"] - f["compute_code"])
        count = 8 // compute  # channels of a lane
        for tile in range(f["tiles_minus1"] + 1):
            acc = np.zeros(config.rows, dtype=np.int64)
            for kh in range(f["kh_minus1"] + 1):
                for k in range(f["kwords_minus1"] + 1):
                    index = weight_row + (tile * (f["kh_minus1"] + 1) + kh) * (f["kwords_minus1"] + 1) + k
                    word = f["weight_base"] + index // parts
                    require(word < config.weight_depth, "the weights leave the bank")
                    stored = self.memories.weights[word][..., None]
                    part = index % parts
                    weights = self._weights_of(f, stored)[..., part * count : (part + 1) * count]
                    x = self._masked(f, operands(kh, k).copy(), k)
                    weights = weights.reshape(config.rows, -1)
                    acc += 2 * (weights == x).sum(axis=1) if compute == 1 else weights @ x
                    acc += word_offset(config, compute)
            tiles.append(acc)
        return tiles

    def _weights_of(self, f, stored):
        """Elements of a bank word; a shift-add array holds a nibble {minus, exponent} for each of two powers of two."""
        if self.config.multiplier != "shift_add":
            return elements(stored, width(f, "weight"))
        nibbles = [stored.astype(np.int64) >> at & 15 for at in (0, 4)]
        return sum((1 - 2 * (nibble >> 3)) << (nibble & 7) for nibble in nibbles)

    def _masked(self, f, source, k):
        """Elements of an operand word: what lies behind a kernel row counts nothing on builds with 1-bit weights."""
        masks = 1 in self.config.precisions and k == f["kwords_minus1"]
        kept = f["tail_bytes_minus1"] + 1 if masks else len(source)
        if width(f, "compute") == 1:
            source[kept:] = 0
            return elements(source, 1)
        values = elements(source, width(f, "input"))
        values[kept * 8 // width(f, "input") :] = 0
        return values

    def _source_bytes(self, f):
        """Source bytes of one array word."""
        size = self.config.lanes >> (f["input_code"] - f["compute_code"])
        require(size > 0, "the input's elements are wider than the array when unpacked")
        return size

    def _dense(self, f, source):
        require(not f["from_stream"], "dense from the stream")
        size = self._source_bytes(f)
        start = f["in_base"] * self.config.lanes

        def operands(kh, k):
            word = self.act[start + k * size : start + (k + 1) * size]
            require(len(word) == size, "dense input leaves the activation memory")
            return word

        return [self._tile(f, 0, operands)]

    def _conv(self, f, source):
        ring = Ring(self.line)
        feeder, window = self._feeder(f, source, ring), self._window(f, ring)
        pixels, feeder_ends, idle = [], False, 0
        while True:
            feeder_first = self.policy == "feeder" or (self.policy == "random" and self.rng.integers(2))
            if feeder_first and not feeder_ends:
                feeder_ends = next(feeder, "end") == "end"
            step = next(window, "end")
            if isinstance(step, str):
                return pixels
            if step is None:
                progress = not feeder_ends and next(feeder, "end")
                feeder_ends = feeder_ends or progress == "end"
                idle = 0 if progress == "row" else idle + 1
                require(idle < 50, "starved: the window waits for rows that do not come")
                continue
            pixels.append(step)

    def _feeder(self, f, source, ring):
        """Yields "row" after each row, "wait" while no slot is free."""
        lanes, size = self.config.lanes, len(ring.line)
        slots = f["ring_slots_minus1"] + 1
        for word in range(f["prefill_words"]):
            ring.line[word * lanes : (word + 1) * lanes] = f["pad_value"]
        ring.rows_filled = f["top_rows"]
        require(f["top_rows"] <= slots, "top padding is higher than the ring")
        slot, taken = f["top_rows"] % slots, 0
        total = f["top_rows"] + f["data_rows_minus1"] + 1 + f["bottom_rows"]
        for row in range(f["top_rows"], total):
            while row >= slots + ring.rows_released:
                yield "wait"
            padding = row > f["top_rows"] + f["data_rows_minus1"]
            position = (slot * f["slot_step"] + f["data_offset"]) % size
            for _ in range(f["row_elements_minus1"] + 1):
                for _ in range(f["element_bytes_minus1"] + 1):
                    if not padding:
                        require(taken < len(source), "the feeder runs out of source bytes")
                    ring.line[position] = f["pad_value"] if padding else source[taken]
                    taken += not padding
                    position = (position + 1) % size
                position = (position + f["element_gap"]) % size
            slot = (slot + 1) % slots
            ring.rows_filled += 1
            yield "row"

    def _window(self, f, ring):
        """Yields the tiles of each pixel, None while it waits for rows."""
        lanes, size, source_bytes = self.config.lanes, len(ring.line), self._source_bytes(f)
        line = weight_row = 0
        for oy in range(f["oh_minus1"] + 1):
            while ring.rows_filled < oy * f["row_step"] + f["need_rows"]:
                yield None
            for ox in range(f["ow_minus1"] + 1):

                def operands(kh, k, line=line, ox=ox):
                    word = (line + kh * f["line_kh_step"]) % f["line_ring_words"]
                    start = word * lanes + ox * f["pixel_step"] + k * source_bytes
                    return ring.line[np.arange(start, start + source_bytes) % size]

                yield self._tile(f, weight_row, operands)
            line = (line + f["line_row_step"]) % f["line_ring_words"]
            weight_row = (weight_row + f["weight_row_step"]) % f["weight_ring_words"]
            ring.rows_released += f["row_step"]

    def _requantize(self, f, tiles):
        """Channels of one pixel."""
        config, data, group = self.config, [], f["param_base"]
        per_group = 1 if f["raw"] else config.req_lanes
        for index, acc in enumerate(tiles):
            is_last = index == len(tiles) - 1
            groups = (f["last_groups_minus1"] if is_last else f["groups_minus1"]) + 1
            for number in range(groups):
                rows = acc[number * per_group : (number + 1) * per_group]
                lanes = [
                    self._lane(f, int(value), self.memories.params[group * config.req_lanes + lane])
                    for lane, value in enumerate(rows)
                ]
                last = is_last and number == groups - 1 and not f["raw"]
                data += lanes[: f["last_count"]] if last else lanes
                group += 1
        return data

    def _lane(self, f, acc, entry):
        bias, multiplier, shifts = (int(value) for value in entry[:3])
        value = signed(signed(acc + bias, self.config.acc_bits), 32)
        if f["raw"]:
            return value
        if width(f, "output") == 1:
            return 1 if (value >= 0) != bool(multiplier & 1) else -1
        shift1, shift2 = shifts & 63, (shifts >> 8) & 31
        if self.config.hot_positions:
            fields = [multiplier >> 6 * i & 63 for i in range(self.config.hot_positions)]
            multiplier = sum(1 << (field & 31) for field in fields if field & 32)
        product = value * multiplier
        if shift1:
            half = 1 << (shift1 - 1)
            product = (product + half - (1 if f["round_away"] and product < 0 else 0)) >> shift1
        product = min(max(product, -(2**31)), 2**31 - 1)
        result = half_away_shift(product, shift2) + signed(f["zero_point"], 8)
        return min(max(result, signed(f["qmin"], 8)), signed(f["qmax"], 8))

    def _pool(self, f, pixels):
        rows, columns = f["oh_minus1"] + 1, f["ow_minus1"] + 1
        grid = np.array(pixels).reshape(rows, columns, -1)
        kernel_rows, kernel_columns = f["pool_kh_minus1"] + 1, f["pool_kw_minus1"] + 1
        out_rows, out_columns = f["pool_oh_minus1"] + 1, f["pool_ow_minus1"] + 1
        pooled = np.full((out_rows, out_columns, grid.shape[2]), signed(f["qmin"], 8))
        seen = np.zeros((out_rows, out_columns), dtype=bool)
        for y in range(rows):
            for x in range(columns):
                at = (y + f["pool_pad_top"]) // kernel_rows, (x + f["pool_pad_left"]) // kernel_columns
                require(at[0] < out_rows and at[1] < out_columns, "a pixel that no pooling window takes")
                pooled[at] = np.maximum(pooled[at], grid[y, x])
                seen[at] = True
        require(seen.all(), "a pooling window that no pixel reaches")
        groups = f["tiles_minus1"] * (f["groups_minus1"] + 1) + f["last_groups_minus1"] + 1
        require(out_columns * groups <= self.config.pool_depth, "pooling memory is too small")
        return pooled.reshape(-1, grid.shape[2]).tolist()
