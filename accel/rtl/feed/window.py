"""The window walker: visits every word of every sliding window in the order of the weights."""

from myhdl import Signal, always, always_comb, always_seq, block, enum, modbv

from accel.rtl.feed.bundles import LineRead, Rows
from accel.rtl.parts.bundles import Bundle, Precision, TileWord, fields
from accel.rtl.parts.module import module, unused

WINDOW_FIELDS = fields(
    "need_rows",
    "row_step",
    "oh_minus1",
    "ow_minus1",
    "tiles_minus1",
    "kh_minus1",
    "kwords_minus1",
    "pixel_step",
    "line_kh_step",
    "line_row_step",
    "line_ring_words",
    "weight_base",
    "weight_row_step",
    "weight_ring_words",
)
window_state = enum("IDLE", "WAITING", "RUNNING")
WINDOW_LATENCY = 3  # cycles from row_filled to the first address of its row
PATIENCE_BITS = 4  # 2^4 enabled cycles without hope are an error; a release takes at most three


class _Now(Bundle):
    """Where the walk stands, and what its current word ends."""

    members = ("issue", "k_ends", "pixel_done", "row_done", "pixel", "line_kh", "weight_word")


class _Fetch(Bundle):
    """Addresses of the next word: of the line buffer, of the weight bank."""

    members = ("word", "weight")


@block
def _bank_word(weight_word, weight_shift, bank_word):
    @always_comb
    def divide():
        bank_word.next = weight_word >> weight_shift

    return divide


@block
def _mixed_address(clk, start, enable, now, fetch, r, m, layer, precision, *, config):
    """Addresses where an array word takes byte_step bytes and 2^weight_shift array words lie in a bank word."""
    lane_bits, line_bits, weight_bits = config.lane_bits, config.line_addr_bits, config.weight_addr_bits
    byte_bits, part_bits = config.line_byte_bits, config.unpack_bits
    spot = Signal(modbv(0)[byte_bits:])  # first byte of the word, from the start of the kernel row in the line
    bank_word = Signal(modbv(0)[len(now.weight_word) :])
    unused(bank_word, len(now.weight_word), weight_bits)
    divider = _bank_word(now.weight_word, precision.weight_shift, bank_word)

    @always(clk.posedge)
    def step():
        if start:
            spot.next = 0
        elif now.issue:
            if not now.k_ends:
                spot.next = spot + precision.byte_step
            elif now.row_done:
                spot.next = 0
            elif now.pixel_done:
                spot.next = now.pixel + layer.pixel_step
            else:
                spot.next = now.pixel

    @always(clk.posedge)
    def place():
        if enable:
            fetch.word.next = now.line_kh[line_bits:] + spot[byte_bits:lane_bits]
            r.offset.next = spot[lane_bits:]
            fetch.weight.next = layer.weight_base + bank_word[weight_bits:]
            m.part.next = now.weight_word[part_bits:]
            m.tail.next = now.k_ends

    return divider, step, place


@module
def window(
    clk,
    rst,
    start,
    enable,
    row: Rows,
    starved,
    r: LineRead,
    m: TileWord,
    layer: WINDOW_FIELDS,
    precision: Precision,
    *,
    config,
):
    """Line buffer and weight addresses of one layer, a word a cycle (loop nest: accel/descriptor.py).

    start: one cycle, begins a layer. enable: the compute pipeline advances. row: filled and stuck come from the feeder;
    released: the last word of an output row has been read. starved: one cycle, the window waits for rows that will not
    come; the walker stops. r: line buffer address (word, offset). m: the same operands' weights and place in the tile.
    precision (byte_step, weight_shift), m.part and m.tail: only in a mixed-precision build.
    Latency WINDOW_LATENCY cycles from row.filled to the first address of its row; a word every enabled cycle, no gap
    between tiles, pixels and rows while rows are filled in time; everything but the row counters holds while enable is
    low.
    """
    lane_bits, line_bits, weight_bits = config.lane_bits, config.line_addr_bits, config.weight_addr_bits
    byte_bits = config.line_byte_bits
    state = Signal(window_state.IDLE)
    k, kh, tile, ox, oy = [Signal(modbv(0)[bits:]) for bits in (16, 8, 16, 16, 16)]
    k_ends, kh_ends, tile_ends, ox_ends, oy_ends = [Signal(bool(0)) for _ in range(5)]
    issue, tile_done, pixel_done, row_done, layer_done, next_row_ready, row_ready = [Signal(bool(0)) for _ in range(7)]
    rows_filled, rows_needed, rows_needed_next = [Signal(modbv(0)[17:]) for _ in range(3)]
    line_row, line_row_next, line_kh, line_kh_next = [Signal(modbv(0)[line_bits + 1 :]) for _ in range(4)]
    ring_bits = weight_bits + config.unpack_bits
    # A step that wraps, modulo twice a ring's words and more: what it leaves is below 0, the highest bit, if none does.
    line_row_back, line_kh_back, line_row_less, line_kh_less = [Signal(modbv(0)[line_bits + 2 :]) for _ in range(4)]
    weight_row_back, weight_row_less = [Signal(modbv(0)[ring_bits + 2 :]) for _ in range(2)]
    weight_row, weight_row_next, weight_word = [
        Signal(modbv(0)[weight_bits + config.unpack_bits + 1 :]) for _ in range(3)
    ]
    pixel = Signal(modbv(0)[byte_bits:])
    row_read = Signal(bool(0))
    fetch_word = Signal(modbv(0)[line_bits:])
    fetch_weight = Signal(modbv(0)[weight_bits:])
    patience = Signal(modbv(0)[PATIENCE_BITS:])

    @always_comb
    def compare():
        k_ends.next = k == layer.kwords_minus1
        kh_ends.next = kh == layer.kh_minus1
        tile_ends.next = tile == layer.tiles_minus1
        ox_ends.next = ox == layer.ow_minus1
        oy_ends.next = oy == layer.oh_minus1
        issue.next = state == window_state.RUNNING and enable
        row_ready.next = rows_filled >= rows_needed

    @always_comb
    def conclude():
        tile_done.next = issue and k_ends and kh_ends
        pixel_done.next = issue and k_ends and kh_ends and tile_ends
        row_done.next = issue and k_ends and kh_ends and tile_ends and ox_ends
        layer_done.next = issue and k_ends and kh_ends and tile_ends and ox_ends and oy_ends

    @always(clk.posedge)
    def prepare():
        line_row_back.next = layer.line_row_step - layer.line_ring_words
        line_kh_back.next = layer.line_kh_step - layer.line_ring_words
        weight_row_back.next = layer.weight_row_step - layer.weight_ring_words

    @always_comb
    def try_wrap():
        line_row_less.next = line_row + line_row_back
        line_kh_less.next = line_kh + line_kh_back
        weight_row_less.next = weight_row + weight_row_back

    @always_comb
    def wrap_ring():
        if line_row_less[line_bits + 1]:
            line_row_next.next = line_row + layer.line_row_step
        else:
            line_row_next.next = line_row_less[line_bits + 1 :]
        if line_kh_less[line_bits + 1]:
            line_kh_next.next = line_kh + layer.line_kh_step
        else:
            line_kh_next.next = line_kh_less[line_bits + 1 :]
        if weight_row_less[ring_bits + 1]:
            weight_row_next.next = weight_row + layer.weight_row_step
        else:
            weight_row_next.next = weight_row_less[ring_bits + 1 :]

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        starved.next = False
        if start:
            state.next = window_state.WAITING
            row.finished.next = False
        elif state == window_state.WAITING:
            if row_ready:
                state.next = window_state.RUNNING
            elif patience == 2**PATIENCE_BITS - 1:
                state.next = window_state.IDLE
                starved.next = True
                row.finished.next = True
        elif layer_done:
            state.next = window_state.IDLE
            row.finished.next = True
        elif row_done and not next_row_ready:
            state.next = window_state.WAITING

    @always(clk.posedge)
    def follow_rows():
        if start:
            rows_filled.next = 0
            rows_needed.next = layer.need_rows
            rows_needed_next.next = layer.need_rows + layer.row_step
            next_row_ready.next = False
        else:
            if row.filled:
                rows_filled.next = rows_filled + 1
            if row_done:
                rows_needed.next = rows_needed_next
                rows_needed_next.next = rows_needed_next + layer.row_step
                next_row_ready.next = False
            else:
                next_row_ready.next = rows_filled >= rows_needed_next
        if state != window_state.WAITING or row.filled or not row.stuck:
            patience.next = 0
        elif enable:
            patience.next = patience + 1

    @always(clk.posedge)
    def walk():
        if start:
            k.next = 0
            kh.next = 0
            tile.next = 0
            ox.next = 0
            oy.next = 0
            line_row.next = 0
            line_kh.next = 0
            pixel.next = 0
            weight_row.next = 0
            weight_word.next = 0
        elif issue:
            weight_word.next = weight_word + 1
            if not k_ends:
                k.next = k + 1
            else:
                k.next = 0
                line_kh.next = line_kh_next
                kh.next = kh + 1
                if tile_done:
                    kh.next = 0
                    line_kh.next = line_row
                    tile.next = tile + 1
                if pixel_done:
                    tile.next = 0
                    weight_word.next = weight_row
                    ox.next = ox + 1
                    pixel.next = pixel + layer.pixel_step
                if row_done:
                    ox.next = 0
                    pixel.next = 0
                    oy.next = oy + 1
                    line_row.next = line_row_next
                    line_kh.next = line_row_next
                    weight_row.next = weight_row_next
                    weight_word.next = weight_row_next

    if config.mixed:
        now = _Now(issue, k_ends, pixel_done, row_done, pixel, line_kh, weight_word)
        fetch = _Fetch(fetch_word, fetch_weight)
        address = _mixed_address(clk, start, enable, now, fetch, r, m, layer, precision, config=config)
    else:

        @always(clk.posedge)
        def address():
            if enable:
                fetch_word.next = line_kh[line_bits:] + pixel[byte_bits:lane_bits] + k[line_bits:]
                r.offset.next = pixel[lane_bits:]
                fetch_weight.next = layer.weight_base + weight_word[weight_bits:]

    @always(clk.posedge)
    def mark():
        if enable:
            m.first.next = k == 0 and kh == 0
            m.last.next = k_ends and kh_ends
            m.tag.next[0] = tile_ends
            m.tag.next[1] = tile_ends and ox_ends and oy_ends

    @always_comb
    def present():
        r.word.next = fetch_word
        m.address.next = fetch_weight

    @always_seq(clk.posedge, reset=rst)
    def announce():
        row.released.next = enable and row_read
        if enable:
            m.valid.next = issue
            row_read.next = row_done

    return (
        compare,
        conclude,
        prepare,
        try_wrap,
        wrap_ring,
        sequence,
        follow_rows,
        walk,
        address,
        mark,
        present,
        announce,
    )
