"""The mixed-precision controller: what the widths of a layer mean for unpacking, counters and the MAC array."""

from myhdl import Signal, always, always_comb, block, concat, intbv

from accel.config import bits_code
from accel.rtl.parts.bundles import Precision, fields
from accel.rtl.parts.module import module

CODES = range(4)  # widths of 8, 4, 2 and 1 bits
FORM_BITS = 5
CODES_OF_LAYER = fields("compute_code", "weight_code", "input_code", "tail_bytes_minus1")
# A form says how stored elements become elements of the compute width (accel/rtl/array/weight_unpacker.py).
# Low nibble: as it is, two bits and their sign, one bit in four, one bit in every two.
LOW_WHOLE, LOW_CRUMB, LOW_BIT, LOW_BITS = range(4)
# High nibble: as it is, the sign of the low one, of the next two bits, of the next single bits.
HIGH_WHOLE, HIGH_SIGN, HIGH_CRUMB, HIGH_BITS = (4 * i for i in range(4))
NEAR = 16  # the second element of a byte is one bit, right beside the first
FORMS = {  # (compute code, storage code): form
    (0, 1): LOW_WHOLE | HIGH_SIGN,
    (0, 2): LOW_CRUMB | HIGH_SIGN,
    (0, 3): LOW_BIT | HIGH_SIGN,
    (1, 2): LOW_CRUMB | HIGH_CRUMB,
    (1, 3): LOW_BIT | HIGH_BITS | NEAR,
    (2, 3): LOW_BITS | HIGH_BITS,
}


def _storage_pairs(config):
    """(compute code, storage code) of the build in which elements are not wider stored than computed."""
    codes = [bits_code(bits) for bits in config.modes]
    return {(compute, stored) for compute in codes for stored in codes if stored >= compute}


def _pair_table(pairs, value, absent):
    return tuple(value(*pair) if pair in pairs else absent for pair in ((a, b) for a in CODES for b in CODES))


@block
def _look_up(key, value, *, table):
    @always_comb
    def read():
        value.next = table[int(key)]

    return read


@block
def _translate(clk, compute_code, stored_code, value, *, table):
    key = Signal(intbv(0)[4:])
    found = Signal(intbv(0)[len(value) :])
    entry = _look_up(key, found, table=table)

    @always_comb
    def join():
        key.next = concat(compute_code, stored_code)

    @always(clk.posedge)
    def take():
        value.next = found

    return entry, join, take


@block
def _keep_bytes(clk, tail_bytes_minus1, input_shift, keep, *, lanes):
    count = Signal(intbv(0)[7:])
    filled = Signal(intbv(0)[10:])

    @always_comb
    def add():
        count.next = tail_bytes_minus1 + 1

    @always_comb
    def fill():
        filled.next = count << input_shift

    @always(clk.posedge)
    def compare():
        for lane in range(lanes):
            keep.next[lane] = filled > lane

    return add, fill, compare


@module
def precision_controller(clk, layer: CODES_OF_LAYER, precision: Precision, *, config):
    """Control of a mixed-precision build from the codes of the running layer, which the check has let pass.

    compute_code, weight_code, input_code: widths as 0, 1, 2, 3 for 8, 4, 2, 1 bits. precision: see Precision; forms are
    those of FORMS; keep is absent in a build without 1-bit weights.
    Latency 1 cycle behind the descriptor (keep: 2), before the first address of the layer.
    """
    pairs, lanes = _storage_pairs(config), config.lanes
    shift_table = _pair_table(pairs, lambda compute, stored: stored - compute, 0)
    form_table = _pair_table(pairs, lambda compute, stored: FORMS.get((compute, stored), 0), 0)
    step_table = _pair_table(pairs, lambda compute, stored: max(1, lanes >> stored - compute), lanes)
    input_places = Signal(intbv(0)[2:])
    compute, weight, source = layer.compute_code, layer.weight_code, layer.input_code
    tables = [
        _translate(clk, compute, weight, precision.weight_shift, table=shift_table),
        _translate(clk, compute, weight, precision.weight_form, table=form_table),
        _translate(clk, compute, source, input_places, table=shift_table),
        _translate(clk, compute, source, precision.input_form, table=form_table),
        _translate(clk, compute, source, precision.byte_step, table=step_table),
    ]
    tail = ()
    if precision.keep is not None:
        tail = _keep_bytes(clk, layer.tail_bytes_minus1, input_places, precision.keep, lanes=lanes)

    @always(clk.posedge)
    def take_mode():
        precision.mode.next = layer.compute_code

    @always_comb
    def present():
        precision.input_shift.next = input_places

    return tables, tail, take_mode, present


@module
def output_precision(clk, raw, output_code, packed_code, sign):
    """Control of the output path of a mixed-precision build from the running layer.

    raw, output_code: descriptor fields. packed_code: width to which the output is packed, the code of whole bytes for a
    raw layer. sign: the output is 1-bit; None in a build without 1-bit outputs.
    Latency 1 cycle behind the descriptor, before the first output of the layer.
    """

    @always(clk.posedge)
    def take_code():
        if raw:
            packed_code.next = 0
        else:
            packed_code.next = output_code

    if sign is None:
        return take_code

    @always(clk.posedge)
    def take_sign():
        sign.next = output_code == 3 and not raw

    return take_code, take_sign


@module
def precision_check(clk, compute_code, weight_code, input_code, output_code, bad, *, config):
    """bad: the build cannot run a layer of these widths.

    Wrong are a width that config.precisions lacks, weights or inputs that are stored wider than they are computed, and
    inputs of which one word makes more array words than it has bytes.
    Latency 1 cycle.
    """
    pairs = _storage_pairs(config)
    narrow = {(compute, stored) for compute, stored in pairs if config.lanes >> stored - compute}
    present = {code for code, _ in pairs}
    weight_key, input_key = [Signal(intbv(0)[4:]) for _ in range(2)]
    weight_bad, input_bad, output_bad = [Signal(bool(0)) for _ in range(3)]
    weight_pairs = _look_up(weight_key, weight_bad, table=_pair_table(pairs, lambda *_: 0, 1))
    input_pairs = _look_up(input_key, input_bad, table=_pair_table(narrow, lambda *_: 0, 1))
    outputs = _look_up(output_code, output_bad, table=tuple(int(code not in present) for code in CODES))

    @always_comb
    def join():
        weight_key.next = concat(compute_code, weight_code)
        input_key.next = concat(compute_code, input_code)

    @always(clk.posedge)
    def take():
        bad.next = weight_bad or input_bad or output_bad

    return weight_pairs, input_pairs, outputs, join, take
