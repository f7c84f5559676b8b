"""The feeder: turns a contiguous NHWC byte stream into padded rows of the line buffer's ring."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, enum, intbv, modbv

from accel.rtl.feed.bundles import LineWrite, Rows
from accel.rtl.parts.bundles import Progress, Stream, fields
from accel.rtl.parts.module import module

FEEDER_FIELDS = fields(
    "pad_value",
    "in_words",
    "prefill_words",
    "ring_slots_minus1",
    "top_rows",
    "data_rows_minus1",
    "bottom_rows",
    "row_elements_minus1",
    "element_bytes_minus1",
    "element_gap",
    "slot_step",
    "data_offset",
    "row_step",
)
feeder_state = enum("IDLE", "PREFILL", "TOP", "ROW", "FILL", "DROP")


@module
def feeder(clk, rst, start, row: Rows, s: Stream, w: LineWrite, progress: Progress, layer: FEEDER_FIELDS, *, config):
    """Writes the rows of one layer into the ring, as fast as slots are released (loop nest: accel/descriptor.py).

    start: one cycle, begins a layer; the fields (accel/descriptor.py) hold from then on. s: source words, lanes bytes
    each. w: the line buffer's write port.
    row: filled: one more row (padding included) is in the ring; a window address formed two cycles later may name it.
    stuck: all rows are written, the source is used up, or the ring is full. released and finished come from the window.
    progress: busy, last_word, hungry.
    Latency: a source word is on the write port one cycle after it is taken; up to lanes bytes a cycle, one cycle
    between rows. Waits for the source and for slots, for nothing else, so it ends for any field values.
    """
    lanes, lane_bits, address_bits = config.lanes, config.lane_bits, config.line_byte_bits
    step_bits = min(address_bits, len(layer.element_bytes_minus1))
    run_bits = len(layer.element_bytes_minus1) - lane_bits
    state = Signal(feeder_state.IDLE)
    padding, filling, row_ends, row_starts, taken, source_ready, finished = [Signal(bool(0)) for _ in range(7)]
    # Registered beside their counters, so that no path runs through a counter, a comparison and what follows from it:
    # a counter or what it counts is 0 (rows, elements, words), 1 (last_word); padding rows follow; a slot is free.
    rows_end, elements_end, words_used, words_end, bottom_follows, slot_free = [Signal(bool(0)) for _ in range(6)]
    words_left, rows_left = [Signal(intbv(0)[16:]) for _ in range(2)]
    elements_left = Signal(modbv(0)[16:])
    slot = Signal(intbv(0)[8:])
    slots_free = Signal(modbv(0, min=-1024, max=1024))  # over the ring's size where layer.row_step exceeds need_rows
    position, row_start, next_start, element_step, slot_base = [Signal(modbv(0)[address_bits:]) for _ in range(5)]
    pad_word = ConcatSignal(*[layer.pad_value] * lanes)

    # An element is cut into pieces at the ends of the source's words; this piece and the next element's first one:
    count, tail = [Signal(intbv(0)[lane_bits + 1 :]) for _ in range(2)]  # bytes of this piece, of the last one
    piece_ends_element, piece_ends_word = [Signal(bool(0)) for _ in range(2)]
    pieces_left = Signal(modbv(0)[run_bits + 1 :])  # behind this one
    run, run_longer = [Signal(modbv(0)[run_bits + 1 :]) for _ in range(2)]  # pieces_left of a first piece
    run_short = Signal(bool(0))  # run is 0
    source_byte, rotation = [
        Signal(modbv(0)[lane_bits:]) for _ in range(2)
    ]  # where the next element begins in its word
    reach = Signal(intbv(0)[lane_bits + 1 :])  # lanes or more: the next element has a piece more than it has words

    @always_comb
    def decide():
        filling.next = state == feeder_state.FILL and (padding or (s.valid and not words_used))
        source_ready.next = not words_used and (
            (state == feeder_state.FILL and not padding and piece_ends_word) or state == feeder_state.DROP
        )
        row_starts.next = (state == feeder_state.ROW and slot_free) or (state == feeder_state.TOP and not rows_end)
        reach.next = source_byte + layer.element_bytes_minus1[lane_bits:]

    @always_comb
    def conclude():
        row_ends.next = filling and piece_ends_element and elements_end
        taken.next = s.valid and source_ready

    @always_comb
    def report():
        s.ready.next = source_ready
        progress.busy.next = state != feeder_state.IDLE
        progress.last_word.next = words_end
        progress.hungry.next = not words_used and (
            (state == feeder_state.FILL and not padding) or state == feeder_state.DROP
        )
        row.stuck.next = finished or (state == feeder_state.ROW and not slot_free)

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        row.filled.next = row_ends or (state == feeder_state.TOP and not rows_end)
        w.enable.next = filling or (state == feeder_state.PREFILL and not elements_end)
        if start:
            state.next = feeder_state.PREFILL
            finished.next = False
            padding.next = True
        elif state == feeder_state.PREFILL:
            if elements_end:
                state.next = feeder_state.TOP
                padding.next = False
        elif state == feeder_state.TOP:
            if rows_end:
                state.next = feeder_state.ROW
        elif state == feeder_state.ROW:
            if row.finished:
                state.next = feeder_state.DROP
                finished.next = True
            elif slot_free:
                state.next = feeder_state.FILL
        elif state == feeder_state.FILL:
            if row_ends:
                if not rows_end:
                    state.next = feeder_state.ROW
                elif not padding and bottom_follows:
                    state.next = feeder_state.ROW
                    padding.next = True
                else:
                    state.next = feeder_state.DROP
                    finished.next = True
            elif not padding and words_used:
                # The descriptor promises more rows than layer.in_words holds; the window reports it.
                state.next = feeder_state.DROP
                finished.next = True
        elif state == feeder_state.DROP:
            if words_used:
                state.next = feeder_state.IDLE

    @always(clk.posedge)
    def count_rows():
        bottom_follows.next = layer.bottom_rows != 0
        if start:
            rows_left.next = layer.top_rows
            rows_end.next = layer.top_rows == 0
        elif state == feeder_state.TOP and rows_end:
            rows_left.next = layer.data_rows_minus1
            rows_end.next = layer.data_rows_minus1 == 0
        elif (state == feeder_state.TOP) or (row_ends and not rows_end):
            rows_left.next = rows_left - 1
            rows_end.next = rows_left == 1
        elif row_ends and bottom_follows:
            rows_left.next = layer.bottom_rows - 1
            rows_end.next = layer.bottom_rows == 1

    @always(clk.posedge)
    def count_words():
        if start:
            words_left.next = layer.in_words
            words_used.next = layer.in_words == 0
            words_end.next = layer.in_words == 1
        elif taken:
            words_left.next = words_left - 1
            words_used.next = words_end
            words_end.next = words_left == 2

    @always(clk.posedge)
    def follow_slots():
        # A row that starts counts a cycle late, before the next one may start; slots that are released count at once.
        slot_free.next = slots_free > 0 or (row.released and slots_free == 0)
        row_start.next = slot_base + layer.data_offset
        if start:
            slots_free.next = layer.ring_slots_minus1 + 1
            slot.next = 0
            slot_base.next = 0
        else:
            if row_starts and row.released:
                slots_free.next = slots_free + layer.row_step - 1
            elif row_starts:
                slots_free.next = slots_free - 1
            elif row.released:
                slots_free.next = slots_free + layer.row_step
            if row_starts:
                if slot == layer.ring_slots_minus1:
                    slot.next = 0
                    slot_base.next = 0
                else:
                    slot.next = slot + 1
                    slot_base.next = slot_base + layer.slot_step

    @always(clk.posedge)
    def follow_source():
        if start or (row_ends and rows_end):  # padding is cut as if every element began a word
            source_byte.next = 0
        elif not padding and (
            (state == feeder_state.ROW and slot_free) or (filling and piece_ends_element and not elements_end)
        ):
            source_byte.next = reach[lane_bits:] + 1

    @always(clk.posedge)
    def cut():
        run.next = layer.element_bytes_minus1[:lane_bits]
        run_longer.next = layer.element_bytes_minus1[:lane_bits] + 1
        run_short.next = layer.element_bytes_minus1[:lane_bits] == 0
        if start:
            count.next = lanes
        elif state == feeder_state.ROW or (filling and piece_ends_element):
            tail.next = reach[lane_bits:] + 1
            if reach[lane_bits]:
                pieces_left.next = run_longer
                piece_ends_element.next = False
            else:
                pieces_left.next = run
                piece_ends_element.next = run_short
            if run_short and not reach[lane_bits]:
                count.next = layer.element_bytes_minus1[lane_bits:] + 1
                piece_ends_word.next = reach == lanes - 1
            else:
                count.next = lanes - source_byte
                piece_ends_word.next = True
        elif filling:
            pieces_left.next = pieces_left - 1
            if pieces_left == 1:
                count.next = tail
                piece_ends_element.next = True
                piece_ends_word.next = tail[lane_bits]
            else:
                count.next = lanes

    @always(clk.posedge)
    def follow_bytes():
        element_step.next = layer.element_bytes_minus1[step_bits:] + layer.element_gap + 1
        if start:
            position.next = 0
            rotation.next = 0
            elements_left.next = layer.prefill_words
            elements_end.next = layer.prefill_words == 0
        elif state == feeder_state.PREFILL:
            if not elements_end:
                position.next = position + count
                elements_left.next = elements_left - 1
                elements_end.next = elements_left == 1
        elif state == feeder_state.ROW:
            position.next = row_start
            next_start.next = row_start + element_step
            rotation.next = source_byte - row_start[lane_bits:]
            elements_left.next = layer.row_elements_minus1
            elements_end.next = layer.row_elements_minus1 == 0
        elif filling:
            if piece_ends_element:
                position.next = next_start
                next_start.next = next_start + element_step
                rotation.next = source_byte - next_start[lane_bits:]
                elements_left.next = elements_left - 1
                elements_end.next = elements_left == 1
            else:
                position.next = position + count

    @always(clk.posedge)
    def write():
        w.address.next = position
        w.rotate.next = rotation  # the element's first byte goes to its position mod lanes, and so do all behind it
        w.end.next = position[lane_bits:] + count
        if padding:
            w.data.next = pad_word
        else:
            w.data.next = s.data

    return (
        decide,
        conclude,
        report,
        sequence,
        count_rows,
        count_words,
        follow_slots,
        follow_source,
        cut,
        follow_bytes,
        write,
    )
