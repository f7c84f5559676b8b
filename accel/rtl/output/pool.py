"""Max pooling on the group stream."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, block, intbv, modbv

from accel.rtl.parts.bundles import Groups, fields
from accel.rtl.parts.delay import delay
from accel.rtl.parts.module import module
from accel.rtl.parts.ram import ram

POOL_LATENCY = 3


@block
def _larger_byte(fresh, older, only_fresh, larger):
    # Two's complement bytes compare like unsigned ones with their sign bits inverted.
    @always_comb
    def compare():
        if only_fresh or (fresh ^ 128) > (older ^ 128):
            larger.next = fresh
        else:
            larger.next = older

    return compare


PoolFields = fields(
    "pool_enable",
    "oh_minus1",
    "ow_minus1",
    "pool_kh_minus1",
    "pool_kw_minus1",
    "pool_pad_top",
    "pool_pad_left",
    "pool_oh_minus1",
    "pool_ow_minus1",
)


@module
def pool(clk, rst, start, s: Groups, layer: PoolFields, m: Groups, *, config):
    """Largest value of each channel over windows of kh x kw pixels whose stride is their size; or nothing at all.

    start: one cycle, before the first group of a layer. s: groups in the order of the pixels. layer: pool_enable: pool,
    else pass every group on. oh, ow: rows and columns that come in. pool_pad_top, pool_pad_left: rows and columns of
    the first windows that lie outside (they never win). pool_oh, pool_ow: rows and columns that go out: windows behind
    them are dropped, a last window that the input ends is complete. m: groups with req_lanes int8 channels; pixel_last
    None where nobody reads it.
    A row memory holds the running maximum of the open windows: output columns times groups of a pixel, at most
    pool_depth; more of them wrap around in it and give wrong values.
    Latency POOL_LATENCY cycles, a group every cycle, never stalls.
    """
    width, bits = 8 * config.req_lanes, config.pool_addr_bits
    x, y, column, row = [Signal(modbv(0)[16:]) for _ in range(4)]
    window_x, window_y = [Signal(modbv(0)[4:]) for _ in range(2)]
    address, base = [Signal(modbv(0)[bits:]) for _ in range(2)]
    x_ends, column_ends, row_ends, fresh, complete, kept, last_window = [Signal(bool(0)) for _ in range(7)]
    valid_1, valid_2, valid_3, emit_1, emit_2, last_1, last_2 = [Signal(bool(0)) for _ in range(7)]
    fresh_1, fresh_2, forward_1, forward_2, forward_3 = [Signal(bool(0)) for _ in range(5)]
    address_1, address_2, address_3 = [Signal(intbv(0)[bits:]) for _ in range(3)]
    data_1, data_2 = [Signal(intbv(0)[len(s.data) :]) for _ in range(2)]
    count_1, count_2 = [Signal(intbv(0)[len(s.count) :]) for _ in range(2)]
    stored, stored_late, older, winner, winner_3, winner_4 = [Signal(intbv(0)[width:]) for _ in range(6)]
    larger = [Signal(intbv(0)[8:]) for _ in range(config.req_lanes)]
    joined = ConcatSignal(*reversed(larger)) if len(larger) > 1 else larger[0]
    whole, pass_rest = winner_3, ()
    if len(s.data) > width:  # a raw accumulator has more bytes than a group of channels
        rest = Signal(intbv(0)[len(s.data) - width :])
        whole = ConcatSignal(rest, winner_3)

        @always(clk.posedge)
        def pass_rest():
            if layer.pool_enable:
                rest.next = 0
            else:
                rest.next = data_2[:width]

    maxima = ram(
        clk, valid_3, address_3, winner_3, None, address, stored, depth=config.pool_depth, style=config.pool_style
    )
    byte_maxima = [
        _larger_byte(data_2(8 * i + 8, 8 * i), older(8 * i + 8, 8 * i), fresh_2, larger[i])
        for i in range(config.req_lanes)
    ]

    @always_comb
    def locate():
        x_ends.next = x == layer.ow_minus1
        column_ends.next = window_x == layer.pool_kw_minus1 or x == layer.ow_minus1
        row_ends.next = window_y == layer.pool_kh_minus1 or y == layer.oh_minus1
        fresh.next = (x == 0 or window_x == 0) and (y == 0 or window_y == 0)
        kept.next = column <= layer.pool_ow_minus1 and row <= layer.pool_oh_minus1
        last_window.next = column == layer.pool_ow_minus1 and row == layer.pool_oh_minus1

    @always_comb
    def conclude():
        complete.next = column_ends and row_ends and kept

    @always(clk.posedge)
    def walk():
        if start:
            x.next = 0
            y.next = 0
            column.next = 0
            row.next = 0
            window_x.next = layer.pool_pad_left
            window_y.next = layer.pool_pad_top
            address.next = 0
            base.next = 0
        elif s.valid:
            address.next = address + 1
            if s.pixel_last:
                x.next = x + 1
                window_x.next = window_x + 1
                address.next = base
                if column_ends:
                    window_x.next = 0
                    column.next = column + 1
                    base.next = address + 1
                    address.next = address + 1
                if x_ends:
                    x.next = 0
                    window_x.next = layer.pool_pad_left
                    column.next = 0
                    base.next = 0
                    address.next = 0
                    y.next = y + 1
                    window_y.next = window_y + 1
                    if row_ends:
                        window_y.next = 0
                        row.next = row + 1

    @always(clk.posedge)
    def foresee():
        # A value is compared in the second cycle behind its address and written in the third: the last three winners
        # are still on their way. Two of them meet the memory's output at the register behind it, the newest one later.
        forward_1.next = valid_2 and (address_2 == address_1)
        forward_2.next = valid_2 and (address_2 == address)
        forward_3.next = valid_3 and (address_3 == address)

    @always_comb
    def forward():
        if forward_1:
            older.next = winner_3
        else:
            older.next = stored_late
        winner.next = joined

    @always_seq(clk.posedge, reset=rst)
    def follow():
        valid_1.next = s.valid and kept  # a dropped window must not wrap around into entry 0
        emit_1.next = s.valid and (complete or not layer.pool_enable)
        last_1.next = (s.last and not layer.pool_enable) or (
            complete and last_window and s.pixel_last and layer.pool_enable
        )
        valid_2.next = valid_1
        valid_3.next = valid_2
        emit_2.next = emit_1
        last_2.next = last_1
        m.valid.next = emit_2
        m.last.next = last_2

    @always(clk.posedge)
    def carry():
        data_1.next = s.data
        count_1.next = s.count
        fresh_1.next = fresh or not layer.pool_enable  # what is not pooled wins
        address_1.next = address
        if forward_2:
            stored_late.next = winner_3
        elif forward_3:
            stored_late.next = winner_4
        else:
            stored_late.next = stored
        data_2.next = data_1
        count_2.next = count_1
        fresh_2.next = fresh_1
        address_2.next = address_1
        winner_3.next = winner
        winner_4.next = winner_3
        address_3.next = address_2
        m.count.next = count_2

    @always_comb
    def present():
        m.data.next = whole

    if m.pixel_last is None:
        return maxima, byte_maxima, locate, conclude, walk, foresee, forward, follow, carry, pass_rest, present

    wait_pixel = delay(clk, s.pixel_last, m.pixel_last, cycles=POOL_LATENCY)
    return maxima, byte_maxima, locate, conclude, walk, foresee, forward, follow, carry, pass_rest, present, wait_pixel
