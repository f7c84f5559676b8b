"""The requantizer: holds a tile of accumulators, sends it group by group through the requantizer lanes."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, block, concat, intbv, modbv

from accel.rtl.output.requantize_lane import REQUANTIZE_LANE_LATENCY, SHIFTS_BITS, requantize_lane
from accel.rtl.parts.bundles import Bundle, Groups, fields
from accel.rtl.parts.delay import delay
from accel.rtl.parts.module import module

PARAM_LATENCY = 1  # param_data follows param_addr by one cycle, see param_table
PARAM_WAIT = PARAM_LATENCY + 1  # a register behind the table: some block memories leave no time for an adder
BIAS_LATENCY = 1
REQUANTIZE_LAUNCH_LATENCY = PARAM_WAIT + BIAS_LATENCY + REQUANTIZE_LANE_LATENCY  # from launch to m_valid
REQUANTIZE_LATENCY = 1 + REQUANTIZE_LAUNCH_LATENCY  # from the transfer of a tile to its first group
RAW_BYTES = 4  # of one int32 accumulator


@block
def _halve(word, upper, half):
    """half is the upper or the lower half of word."""
    bits = len(half)
    full = 2 * bits

    @always_comb
    def select():
        if upper:
            half.next = word[full:bits]
        else:
            half.next = word[bits:]

    return select


@block
def _select(word, index, part, *, first_bit):
    """part is the part of word that the index bits from first_bit up choose."""
    levels = (len(word) // len(part)).bit_length() - 1
    if levels == 0:

        @always_comb
        def take_all():
            part.next = word

        return take_all

    halves, wide = [], word
    for level in reversed(range(levels)):
        half = part if level == 0 else Signal(intbv(0)[len(wide) // 2 :])
        halves.append(_halve(wide, index(first_bit + level), half))
        wide = half
    return halves


@module
def bias_adder(clk, acc, param, a, scaling):
    """a = acc + bias modulo 2^acc_bits, sign-extended to 32 bits; scaling = the rest of param, of the same cycle.

    acc: accumulator. param: bias in as many bits, then the lane's scaling. a: 32 bits two's complement.
    Latency BIAS_LATENCY (1), a value a cycle, no stall.
    """
    acc_bits = len(acc)
    total = Signal(modbv(0)[acc_bits:])
    bias = Signal(intbv(0)[acc_bits:])
    extended = Signal(intbv(0, min=-(2**31), max=2**31))

    @always_comb
    def unpack():
        bias.next = param[acc_bits:]

    @always(clk.posedge)
    def add():
        total.next = acc + bias
        scaling.next = param[:acc_bits]

    @always_comb
    def extend():
        extended.next = total[acc_bits:].signed()
        a.next = extended[32:]

    return unpack, add, extend


class MarkedTile(Bundle):
    """A tile of accumulators for the requantizer.

    data: the accumulators; valid. ready: a tile that is valid in the next cycle is taken then. tile_last, last: last
    tile of the pixel, of the layer, then tile_last with it.
    """

    members = ("data", "valid", "ready", "tile_last", "last")


class ParamRead(Bundle):
    """Read port of the parameter table. addr: group. data: for each lane bias, multiplier, shift1, shift2."""

    members = ("addr", "data")


RequantizeFields = fields(
    "raw",
    "round_away",
    "zero_point",
    "qmin",
    "qmax",
    "groups_minus1",
    "last_groups_minus1",
    "last_count",
    "param_base",
)


@module
def requantize(
    clk, rst, s: MarkedTile, launch_ok, param: ParamRead, layer: RequantizeFields, m: Groups, sign=None, *, config
):
    """Turn tiles of accumulators into groups of int8 channels, or into int32 accumulators.

    s: tiles of rows accumulators of acc_bits, row 0 in the low bits. A tile is taken when none is held or while the
    last group of the held one is launched; s.ready says so a cycle before, in which what stops in front hears it.
    launch_ok: a group may be launched in the next cycle. What is launched comes out: m has no ready.
    param: parameter table, PARAM_LATENCY (1); addr = param_base + number of the group within its pixel.
    layer: constant from the cycle before a layer's first tile to its m.last. raw: int32 output, one channel a group,
    lane 0's parameters. last_count: valid bytes in the last group of a pixel; the others are full: req_lanes, or 4
    when raw. sign: groups of 1-bit channels, the bytes +1 and -1; None in a build without them.
    m: group_bytes bytes each, byte 0 low, bytes behind a full group are 0; count: valid bytes.
    config: rows, req_lanes, acc_bits, multiplier_bits, group_bytes, param_addr_bits.
    Latency REQUANTIZE_LATENCY (14) from the transfer of a tile to its first group, REQUANTIZE_LAUNCH_LATENCY (13)
    from a launch to m.valid. A group a cycle while launch_ok is high; nothing stalls behind the launch.
    """
    rows, lanes, acc_bits = config.rows, config.req_lanes, config.acc_bits
    row_bits, lane_bits = rows.bit_length() - 1, lanes.bit_length() - 1
    param_bits = config.param_word_bits // lanes
    count_bits = config.group_count_bits

    tile = Signal(intbv(0)[rows * acc_bits :])
    tile_last, layer_last, full, full_next, launch, may_launch = [Signal(bool(0)) for _ in range(6)]
    take, pixel_end, layer_end = [Signal(bool(0)) for _ in range(3)]
    ready, ready_next = Signal(bool(1)), Signal(bool(0))
    # Looked up a cycle ahead: the held tile's next group is its last; so is the first one of a tile, of a last tile.
    closing, closing_next, one_group, one_last_group = [Signal(bool(0)) for _ in range(4)]
    row = Signal(modbv(0)[row_bits:])
    left = Signal(modbv(0)[len(layer.groups_minus1) :])
    number, address = [Signal(modbv(0)[len(param.addr) :]) for _ in range(2)]
    count = Signal(intbv(0)[count_bits:])
    full_bytes, raw_bytes, full_step = lanes, RAW_BYTES, lanes % rows

    @always_comb
    def control():
        launch.next = full and may_launch
        take.next = s.valid and ready
        pixel_end.next = tile_last and closing
        layer_end.next = layer_last and closing

    @always_comb
    def foresee():
        full_next.next = take or (full and not (launch and closing))
        if take:
            closing_next.next = (one_last_group and s.tile_last) or (one_group and not s.tile_last)
        elif launch:
            closing_next.next = left == 1
        else:
            closing_next.next = closing

    @always_comb
    def announce():
        ready_next.next = not full_next or (launch_ok and closing_next)
        s.ready.next = not full_next or (launch_ok and closing_next)

    @always_seq(clk.posedge, reset=rst)
    def advance():
        ready.next = ready_next
        may_launch.next = launch_ok
        full.next = full_next
        if launch:
            if layer.raw:
                row.next = row + 1
            else:
                row.next = row + full_step
            left.next = left - 1
            number.next = number + 1
            if pixel_end:
                number.next = 0
        if take:
            row.next = 0
            if s.tile_last:
                left.next = layer.last_groups_minus1
            else:
                left.next = layer.groups_minus1

    @always(clk.posedge)
    def hold():
        one_group.next = layer.groups_minus1 == 0
        one_last_group.next = layer.last_groups_minus1 == 0
        closing.next = closing_next
        if take:
            tile.next = s.data
            tile_last.next = s.tile_last
            layer_last.next = s.last

    @always_comb
    def find_param():
        address.next = layer.param_base + number

    @always_comb
    def ask_param():
        param.addr.next = address

    @always_comb
    def count_bytes():
        if pixel_end:
            count.next = layer.last_count
        elif layer.raw:
            count.next = raw_bytes
        else:
            count.next = full_bytes

    # Launch: the rows of the group, then the bias of each lane.
    group_rows, group_rows_late = [Signal(intbv(0)[lanes * acc_bits :]) for _ in range(2)]
    pick = _select(tile, row, group_rows, first_bit=lane_bits)
    launched = delay(clk, group_rows, group_rows_late, cycles=PARAM_WAIT)
    param_late = Signal(intbv(0)[len(param.data) :])
    wait_param = delay(clk, param.data, param_late, cycles=PARAM_WAIT - PARAM_LATENCY)
    accs = [group_rows_late((lane + 1) * acc_bits, lane * acc_bits) for lane in range(lanes)]
    pick_raw = []
    if lanes > 1:  # raw groups hold one row: lane 0 takes it from wherever it is
        lane_index = Signal(intbv(0)[lane_bits:])
        accs[0] = Signal(intbv(0)[acc_bits:])
        row_low = row(lane_bits, 0)
        pick_raw = [
            delay(clk, row_low, lane_index, cycles=PARAM_WAIT),
            _select(group_rows_late, lane_index, accs[0], first_bit=0),
        ]

    params = [param_late((lane + 1) * param_bits, lane * param_bits) for lane in range(lanes)]
    biased = [Signal(intbv(0)[32:]) for _ in range(lanes)]
    scalings = [Signal(intbv(0)[config.multiplier_bits + SHIFTS_BITS :]) for _ in range(lanes)]
    results = [Signal(intbv(0)[8:]) for _ in range(lanes)]
    adders = [
        bias_adder(clk, acc, param, a, scaling)
        for acc, param, a, scaling in zip(accs, params, biased, scalings, strict=True)
    ]
    lane_blocks = [
        requantize_lane(
            clk,
            a,
            scaling,
            round_away=layer.round_away,
            zero_point=layer.zero_point,
            qmin=layer.qmin,
            qmax=layer.qmax,
            q=q,
            sign=sign,
        )
        for a, scaling, q in zip(biased, scalings, results, strict=True)
    ]
    joined = ConcatSignal(*reversed(results)) if lanes > 1 else results[0]

    # Beside the lanes: the raw value, the byte count, and what marks the group.
    raw_value = Signal(intbv(0)[32:])
    wait_raw = delay(clk, biased[0], raw_value, cycles=REQUANTIZE_LANE_LATENCY)
    marks, marks_late = [Signal(intbv(0)[count_bits + 2 :]) for _ in range(2)]
    wait_marks = delay(clk, marks, marks_late, cycles=REQUANTIZE_LAUNCH_LATENCY)
    launches = Signal(intbv(0)[REQUANTIZE_LAUNCH_LATENCY:])
    last_stage = REQUANTIZE_LAUNCH_LATENCY - 1

    @always_comb
    def mark():
        marks.next = concat(layer_end, pixel_end, count)

    @always_seq(clk.posedge, reset=rst)
    def follow():
        launches.next = concat(launches[last_stage:], launch)

    @always_comb
    def present():
        if layer.raw:
            m.data.next = raw_value
        else:
            m.data.next = joined
        m.valid.next = launches[last_stage]
        m.count.next = marks_late[count_bits:]
        m.pixel_last.next = marks_late[count_bits]
        m.last.next = marks_late[count_bits + 1]

    return (
        control,
        foresee,
        announce,
        advance,
        hold,
        find_param,
        ask_param,
        count_bytes,
        pick,
        launched,
        wait_param,
        pick_raw,
        adders,
        lane_blocks,
        wait_raw,
        wait_marks,
        mark,
        follow,
        present,
    )
