"""Max pooling on the group stream."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, block, intbv, modbv

from accel.rtl.parts.bundles import Groups, fields
from accel.rtl.parts.delay import delay
from accel.rtl.parts.module import module
from accel.rtl.parts.ram import ram

POOL_LATENCY = 2


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
    valid_1, valid_2, emit_1, last_1, fresh_1, forward_2, forward_3 = [Signal(bool(0)) for _ in range(7)]
    address_1, address_2 = [Signal(intbv(0)[bits:]) for _ in range(2)]
    data_1 = Signal(intbv(0)[len(s.data) :])
    count_1 = Signal(intbv(0)[len(s.count) :])
    stored, older, winner, winner_2, winner_3 = [Signal(intbv(0)[width:]) for _ in range(5)]
    larger = [Signal(intbv(0)[8:]) for _ in range(config.req_lanes)]
    joined = ConcatSignal(*reversed(larger)) if len(larger) > 1 else larger[0]

    maxima = ram(
        clk, valid_2, address_2, winner_2, None, address, stored, depth=config.pool_depth, style=config.pool_style
    )
    byte_maxima = [
        _larger_byte(data_1(8 * i + 8, 8 * i), older(8 * i + 8, 8 * i), fresh_1, larger[i])
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
        # The memory gives a value two cycles after it was computed; the last two are still on their way.
        forward_2.next = valid_1 and (address_1 == address)
        forward_3.next = valid_2 and (address_2 == address)

    @always_comb
    def forward():
        if forward_2:
            older.next = winner_2
        elif forward_3:
            older.next = winner_3
        else:
            older.next = stored
        winner.next = joined

    @always_seq(clk.posedge, reset=rst)
    def follow():
        valid_1.next = s.valid and kept  # a dropped window must not wrap around into entry 0
        emit_1.next = s.valid and (complete or not layer.pool_enable)
        last_1.next = (s.last and not layer.pool_enable) or (
            complete and last_window and s.pixel_last and layer.pool_enable
        )
        valid_2.next = valid_1
        m.valid.next = emit_1
        m.last.next = last_1

    @always(clk.posedge)
    def carry():
        data_1.next = s.data
        count_1.next = s.count
        fresh_1.next = fresh
        address_1.next = address
        address_2.next = address_1
        winner_2.next = winner
        winner_3.next = winner_2
        m.count.next = count_1
        if layer.pool_enable:
            m.data.next = winner
        else:
            m.data.next = data_1

    if m.pixel_last is None:
        return maxima, byte_maxima, locate, conclude, walk, foresee, forward, follow, carry

    wait_pixel = delay(clk, s.pixel_last, m.pixel_last, cycles=POOL_LATENCY)
    return maxima, byte_maxima, locate, conclude, walk, foresee, forward, follow, carry, wait_pixel
