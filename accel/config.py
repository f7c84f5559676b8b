"""The frozen hardware configuration: one object feeds the RTL, the compiler, the driver and the simulators.

Every width of the hardware is derived here and nowhere else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from accel.checks import plain
from accel.errors import FitError
from accel.names import INT6_MULTIPLIERS, PRECISIONS, REQUANTIZERS

if TYPE_CHECKING:
    from accel.types import Notes

DEPTH_LIMITS = {
    "weight_depth": (16, 65536),
    "act_depth": (16, 65536),
    "line_depth": (16, 16384),
    "param_depth": (16, 16384),
    "pool_depth": (16, 16384),
    "max_layers": (2, 64),
}
HOST_REGION_WORDS = 2**20  # words of one host region, see accel/descriptor.py
MEMORY_STYLES = {
    "weight_style": ("block", "ultra"),
    "act_style": ("block", "ultra", "distributed"),
    "line_style": ("block", "distributed"),
    "param_style": ("block", "distributed"),
    "pool_style": ("block", "distributed"),
}
SHIFT_ADD = "shift_add"  # no multipliers: two shifts and an addition
MULTIPLIERS = ("25x18", "27x18", "18x18", SHIFT_ADD)


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _address_bits(depth: int) -> int:
    return max(1, (depth - 1).bit_length())


def _checked_precisions(values: object) -> tuple[int, ...]:
    """The precisions as a tuple, widest first. Raises FitError for an unknown, a repeated or a missing one."""
    values = tuple(values) if isinstance(values, (tuple, list)) else (values,)
    text, known = plain(",".join(str(value)[:20] for value in values[:20])), ", ".join(map(str, PRECISIONS))
    if not all(type(value) is int and value in PRECISIONS for value in values) or len(set(values)) != len(values):
        raise FitError(f"configuration: precisions={text} must be different widths of {known}")
    if 8 not in values:
        raise FitError(f"configuration: precisions={text} must contain 8; add it")
    return tuple(sorted(values, reverse=True))


def bits_code(bits: int) -> int:
    """Descriptor code of a width of 8, 4, 2 or 1 bits: log2(8 / bits)."""
    return (8 // bits).bit_length() - 1


@dataclass(frozen=True)
class HardwareConfig:
    """Size and options of one generated accelerator.

    rows: output channels computed in parallel (even, a power of two, 4 to 64).
    lanes: bytes of the reduction computed in parallel (a power of two, 4 to 64); also the beat width of the streams.
    acc_bits: accumulator width, 32, or 16 where the compiler proves that it holds.
    req_lanes: output channels requantized per cycle (a power of two that divides rows); 0 chooses by size.
    weight_depth: words of the weight bank; one word is rows x lanes bytes.
    act_depth: words of the activation memory; one word is `lanes` bytes.
    line_depth: words of the line buffer, both banks together; one word is `lanes` bytes.
    param_depth: entries of the parameter table; one entry serves one output channel.
    pool_depth: entries of the pooling row memory; one entry holds req_lanes bytes.
    max_layers: descriptors that the program memory holds.
    multiplier: the multiplier of the target family: 25x18 (7 series), 27x18 (UltraScale+), 18x18 (ECP5); or shift_add,
    an int8 array without multipliers for weights that are sums of two signed powers of two.
    weight_style: memory of the weight bank: block, ultra (UltraScale+; cannot be preset), or "" where the tool chooses.
    ultra_rows: with weight_style=ultra the rows of the weight bank, from row 0 up, that are in UltraRAM; the others are
    in block RAM. 0: all. accel.convert chooses it where a part has too few UltraRAMs.
    act_style, line_style, param_style, pool_style: the same for the activation memory (also ultra, distributed), the
    line buffer, the parameter table and the pooling row memory (block, distributed).
    precisions: bit widths that the build computes and stores, from 8, 6, 4, 2, 1, always with 8. 4, 2 and 1 are modes
    of the MAC array and storage of weights and activations; 6 is a width of weights that are loaded packed and computed
    as 8.
    requantizer: how the accumulator is scaled: full (any 31-bit multiplier, four DSPs a lane), or without DSPs pow2,
    khot2, khot3 (multipliers with at most 1, 2, 3 one bits).
    int6_multiplier: approximate builds the array in logic, without DSPs, from multipliers of an 8-bit activation by a
    6-bit weight whose products are up to 9 off (accel.fixedpoint.approximate_product); it runs layers of 6-bit weights
    only. exact: it multiplies exactly.
    float_input: the input stream is float32, lanes / 4 a beat, quantized in the accelerator.
    float_output: the output stream is float32, lanes / 4 a beat.
    input_tlast: tlast of the input stream is compared with the length of an image; without it the host keeps the stream
    and the images together.
    Raises FitError for a size that cannot be built.
    """

    rows: int = 8
    lanes: int = 8
    acc_bits: int = 32
    req_lanes: int = 0
    weight_depth: int = 1024
    act_depth: int = 512
    line_depth: int = 256
    param_depth: int = 512
    pool_depth: int = 256
    max_layers: int = 16
    multiplier: str = "25x18"
    weight_style: str = ""
    precisions: tuple[int, ...] = (8,)
    act_style: str = ""
    line_style: str = ""
    param_style: str = ""
    pool_style: str = ""
    requantizer: str = "full"
    float_input: bool = False
    float_output: bool = False
    input_tlast: bool = True
    ultra_rows: int = 0
    int6_multiplier: str = "exact"

    def __post_init__(self) -> None:
        if self.req_lanes == 0:
            object.__setattr__(self, "req_lanes", max(1, min(self.lanes, self.rows // 4)))
        for name in ("rows", "lanes"):
            value = getattr(self, name)
            if not (_is_power_of_two(value) and 4 <= value <= 64):
                raise FitError(
                    f"configuration: {name}={value} must be a power of two from 4 to 64; choose 4, 8, 16, 32 or 64"
                )
        if self.acc_bits not in (16, 32):
            raise FitError(f"configuration: acc_bits={self.acc_bits} must be 16 or 32")
        if not (_is_power_of_two(self.req_lanes) and self.req_lanes <= self.rows):
            raise FitError(f"configuration: req_lanes={self.req_lanes} must be a power of two up to rows={self.rows}")
        if self.group_bytes > self.lanes:
            raise FitError(f"configuration: req_lanes={self.req_lanes} must not exceed lanes={self.lanes}")
        for name, (low, high) in DEPTH_LIMITS.items():
            value = getattr(self, name)
            if not (_is_power_of_two(value) and low <= value <= high):
                raise FitError(f"configuration: {name}={value} must be a power of two from {low} to {high}")
        weight_writes = self.weight_depth * self.rows * self.lanes // 4
        if weight_writes > HOST_REGION_WORDS:
            raise FitError(
                f"configuration: weight_depth={self.weight_depth} at {self.rows}x{self.lanes} needs "
                f"{weight_writes} host words but a region holds {HOST_REGION_WORDS}; lower weight_depth"
            )
        if self.multiplier not in MULTIPLIERS:
            raise FitError(
                f"configuration: multiplier={self.multiplier} is unknown; choose one of {', '.join(MULTIPLIERS)}"
            )
        object.__setattr__(self, "precisions", _checked_precisions(self.precisions))
        if self.multiplier == SHIFT_ADD and self.mixed:
            raise FitError(
                f"configuration: multiplier=shift_add computes int8 only, not "
                f"precisions={','.join(map(str, self.precisions))}; leave out 4, 2 and 1"
            )
        if self.int6_multiplier not in INT6_MULTIPLIERS:
            raise FitError(
                f"configuration: int6_multiplier={self.int6_multiplier} is unknown; "
                f"choose {' or '.join(INT6_MULTIPLIERS)}"
            )
        if self.approximate and (self.precisions != (8, 6) or self.multiplier == SHIFT_ADD):
            raise FitError(
                "configuration: int6_multiplier=approximate computes 6-bit weights only: it needs precisions=8,6, and "
                "no multiplier=shift_add"
            )
        for name, styles in MEMORY_STYLES.items():
            if getattr(self, name) not in ("", *styles):
                raise FitError(
                    f"configuration: {name}={getattr(self, name)!r} is unknown; "
                    f"choose {', '.join(styles)} or leave it out"
                )
        if not 0 <= self.ultra_rows <= (self.rows if self.weight_style == "ultra" else 0):
            raise FitError(
                f"configuration: ultra_rows={self.ultra_rows} must be 0 to rows={self.rows}, and 0 without "
                "weight_style=ultra"
            )
        for name in ("float_input", "float_output", "input_tlast"):
            if not isinstance(getattr(self, name), bool):
                raise FitError(f"configuration: {name}={getattr(self, name)!r} must be true or false")
        if self.requantizer not in REQUANTIZERS:
            raise FitError(
                f"configuration: requantizer={self.requantizer} is unknown; choose one of {', '.join(REQUANTIZERS)}"
            )

    @property
    def module_suffix(self) -> str:
        """What distinguishes the names of converted modules."""
        return f"{self.rows}x{self.lanes}"

    @property
    def modes(self) -> tuple[int, ...]:
        """Widths that the MAC array computes in, widest first."""
        return tuple(bits for bits in self.precisions if bits != 6)

    @property
    def approximate(self) -> bool:
        """Whether the array multiplies approximately, for layers of 6-bit weights."""
        return self.int6_multiplier == "approximate"

    @property
    def mixed(self) -> bool:
        """Whether layers may differ in precision: the build has unpacking and a mode input at the array."""
        return len(self.modes) > 1

    @property
    def unpack_bits(self) -> int:
        """Bits of an array word's index inside a bank word that holds narrow weights."""
        return bits_code(self.modes[-1])

    @property
    def packs_rows(self) -> bool:
        """Whether one multiplier of a mixed build takes two int8 rows (four int4, eight int2), or one (two, four)."""
        return self.multiplier in ("25x18", "27x18") and self.rows >= 8

    @property
    def word_bits(self) -> int:
        """Bits of one activation word and of one stream beat."""
        return 8 * self.lanes

    @property
    def float_lanes(self) -> int:
        """Floats of one stream beat."""
        return self.lanes // 4

    @property
    def weight_word_bits(self) -> int:
        """Bits of one weight word: one byte for every row and lane."""
        return 8 * self.rows * self.lanes

    def weight_row_style(self, row: int) -> str:
        """Memory style of a row of the weight bank."""
        return "block" if 0 < self.ultra_rows <= row else self.weight_style

    @property
    def result_bits(self) -> int:
        """Bits of one tile of accumulators, row 0 in the low bits."""
        return self.rows * self.acc_bits

    @property
    def group_bytes(self) -> int:
        """Bytes of one output group: req_lanes int8 channels or one int32 accumulator."""
        return max(4, self.req_lanes)

    @property
    def group_count_bits(self) -> int:
        """Bits of the count of valid bytes in a group (1 .. group_bytes)."""
        return self.group_bytes.bit_length()

    @property
    def lane_bits(self) -> int:
        """Bits of a byte offset inside a word."""
        return _address_bits(self.lanes)

    @property
    def weight_addr_bits(self) -> int:
        return _address_bits(self.weight_depth)

    @property
    def act_addr_bits(self) -> int:
        return _address_bits(self.act_depth)

    @property
    def line_addr_bits(self) -> int:
        """Bits of a word address in the line buffer."""
        return _address_bits(self.line_depth)

    @property
    def line_byte_bits(self) -> int:
        """Bits of a byte address in the line buffer."""
        return self.line_addr_bits + self.lane_bits

    @property
    def param_group_depth(self) -> int:
        """Depth of the parameter table: one entry serves a group of req_lanes channels."""
        return max(2, self.param_depth // self.req_lanes)

    @property
    def param_index_bits(self) -> int:
        """Bits of a parameter index: one entry serves one output channel."""
        return _address_bits(self.param_group_depth * self.req_lanes)

    @property
    def hot_positions(self) -> int:
        """One bits that a requantization multiplier may have, 0 where it may be any number."""
        return REQUANTIZERS[self.requantizer]

    @property
    def multiplier_bits(self) -> int:
        """Bits of the multiplier of a parameter entry: the number, or 6 for each position of a one bit."""
        return 6 * self.hot_positions or 31

    @property
    def param_word_bits(self) -> int:
        """Bits of one group's parameters: bias, multiplier, 6-bit and 5-bit shift for each requantize lane."""
        return self.req_lanes * (self.acc_bits + self.multiplier_bits + 11)

    @property
    def param_addr_bits(self) -> int:
        """Bits of a group address in the parameter table."""
        return _address_bits(self.param_group_depth)

    @property
    def pool_addr_bits(self) -> int:
        return _address_bits(self.pool_depth)

    @property
    def layer_bits(self) -> int:
        return _address_bits(max(2, self.max_layers))

    @property
    def dsp_estimate(self) -> int:
        """Multipliers by construction.

        Two int8 MACs each where the port is 25 bits wide or more (in a mixed build from 8 rows on), four per requantize
        lane unless its multipliers have few one bits, two per float of a beat (24x24 bits; four of 18x18).
        """
        narrow = self.multiplier == "18x18"
        single = not self.packs_rows if self.mixed else narrow
        requantizers = 0 if self.hot_positions else 4 * self.req_lanes
        floats = self.float_lanes * (self.float_input + self.float_output) * (4 if narrow else 2)
        logic = self.multiplier == SHIFT_ADD or self.approximate
        array = 0 if logic else self.rows * self.lanes // (1 if single else 2)
        return array + requantizers + floats

    def to_dict(self) -> Notes:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Notes) -> HardwareConfig:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise FitError(f"configuration: unknown option {unknown[0]}; known options are {', '.join(sorted(known))}")
        return cls(**values)
