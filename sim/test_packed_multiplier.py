"""One packed multiplier in all modes, changing with every word: each field holds its own product."""

import functools

from myhdl import Signal, always, intbv

from accel.config import bits_code
from accel.rtl.array.mode_flags import FLAGS, mode_flags
from accel.rtl.array.packed_multiplier import operand_bits, packed_multiplier, product_bits
from accel.rtl.array.packing import CHANNELS, OFFSETS, SPACING, field_mask, group_rows, weight_bits
from accel.rtl.parts.module import module
from sim.cases.bench import BlockCase, across, run_case
from sim.cases.mac_model import channels, random_byte
from sim.pipeline import flag, push, word


@module
def moded_multiplier(clk, enable, mode, w, x, b, c, p, *, number, modes, packed, bits, late):
    """A packed_multiplier with its decoded modes; b and c come with w and wait here."""
    mode_next = Signal(intbv(0)[2:])
    flags, flags_next = [Signal(intbv(0)[FLAGS:]) for _ in range(2)]
    b_next = Signal(intbv(0)[8:])
    c_pipe = [c] + [Signal(intbv(0)[len(c) :]) for _ in range(4 if late else 3)]
    c_late = c_pipe[-1]
    decoders = [mode_flags(enable, mode, flags, modes=modes), mode_flags(enable, mode_next, flags_next, modes=modes)]
    multiplier = packed_multiplier(
        clk,
        enable,
        flags,
        flags_next,
        w,
        x,
        b_next,
        c_late,
        p,
        number=number,
        modes=modes,
        packed=packed,
        bits=bits,
        late=late,
    )
    c_1, c_2, c_3 = c_pipe[1:4]

    @always(clk.posedge)
    def wait():
        if enable:
            mode_next.next = mode
            b_next.next = b
            c_1.next = c
            c_2.next = c_1
            c_3.next = c_2

    if not late:
        return decoders, multiplier, wait

    @always(clk.posedge)
    def wait_longer():
        if enable:
            c_late.next = c_3

    return decoders, multiplier, wait, wait_longer


def ports(packed):
    return {
        "clk": flag(),
        "enable": flag(),
        "mode": word(2),
        "w": word(8 * group_rows(packed)),
        "x": word(8),
        "b": word(8),
        "c": word(product_bits(packed)),
        "p": word(product_bits(packed)),
    }


def drive(dut, rng, stalls, number, modes, packed, bits):
    operands, results = [], []
    for at in range(160):
        size = modes[at % len(modes)]
        field_bits, kind = max(size, 2), rng.choice(("extreme", "random"))
        x = random_byte(rng, size, kind=kind)
        rows = [
            random_byte(rng, size, (-7, 7) if size == 4 and bits == 25 and row % 4 == 3 else None, kind)
            for row in range(group_rows(packed))
        ]
        channel = {8: 0, 4: number % 2, 2: CHANNELS[number]}[field_bits]
        b = -2 if size == 1 else channels(x, field_bits)[channel]
        expected = 0
        for f, (row, low) in enumerate(weight_bits(field_bits, number, packed)):
            code = rows[row] >> low & 2**field_bits - 1
            if size == 1:
                product = 2 * (~(code ^ x >> low) & 3).bit_count()
            else:
                product = b * channels(code, field_bits)[0]
            expected += product + OFFSETS[field_bits] << SPACING[field_bits] * f
        operands.append(
            {
                "mode": bits_code(size),
                "w": int.from_bytes(bytes(rows), "little"),
                "x": x,
                "b": b & 0xFF,
                "c": field_mask(field_bits, packed, OFFSETS[field_bits]),
            }
        )
        results.append({"p": expected})
    push(dut, rng, stalls, operands, results, latency=5 if dut.late else 4)


def case(name, number, modes, late=False, multiplier="25x18", packed=True):
    bits = operand_bits(multiplier, packed)

    def run(dut, rng, stalls):
        dut.late = late
        drive(dut, rng, stalls, number, modes, packed, bits)

    return BlockCase(
        name,
        moded_multiplier,
        functools.partial(ports, packed),
        run,
        stalls=("both",),
        params={"number": number, "modes": modes, "packed": packed, "bits": bits, "late": late},
    )


ALL = (8, 4, 2, 1)
CASES = [
    case("packed_multiplier_n1", 1, ALL),
    case("packed_multiplier_n2_late", 2, ALL, late=True),
]
OTHERS = [
    case("packed_multiplier_n0_m84", 0, (8, 4)),
    case("packed_multiplier_n3_m81", 3, (8, 1)),
    case("packed_multiplier_n0_27x18", 0, ALL, multiplier="27x18"),
    case("packed_multiplier_n3_18x18", 3, ALL, multiplier="18x18", packed=False, late=True),
]


@across(CASES)
def test_fields_are_exact(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)


@across(OTHERS, engines=("verilator",))
def test_fields_are_exact_in_other_builds(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
