"""The feeder: turns a contiguous NHWC byte stream into padded rows of the line buffer's ring."""

from myhdl import ConcatSignal, Signal, always, always_comb, always_seq, enum, intbv, modbv

from accel.rtl.parts.module import module

feeder_state = enum("IDLE", "PREFILL", "TOP", "ROW", "FILL", "DROP")


@module
def feeder(
    clk,
    rst,
    start,
    row_released,
    s_data,
    s_valid,
    s_ready,
    w_enable,
    w_address,
    w_rotate,
    w_data,
    w_count,
    row_filled,
    stuck,
    busy,
    last_word,
    hungry,
    abandon,
    pad_value,
    in_words,
    prefill_words,
    ring_slots_minus1,
    top_rows,
    data_rows_minus1,
    bottom_rows,
    row_elements_minus1,
    element_bytes_minus1,
    element_gap,
    slot_step,
    data_offset,
    row_step,
    *,
    config,
):
    """Writes the rows of one layer into the ring, as fast as slots are released (loop nest: accel/descriptor.py).

    start: one cycle, begins a layer; the fields (accel/descriptor.py) hold from then on. row_released: the window has
    left row_step slots. s_*: source words, lanes bytes each. w_*: the line buffer's write port.
    row_filled: one more row (padding included) is in the ring; a window address formed two cycles later may name it.
    stuck: no row will follow unless slots are released: all are written, the source is used up, or the ring is full.
    busy: the layer's source words are not all taken yet; last_word: the next one is the last. hungry: without
    s_valid the feeder stands still. abandon: the window needs no further row.
    Latency: a source word is on the write port one cycle after it is taken; up to lanes bytes a cycle, one cycle
    between rows. Waits for the source and for slots, for nothing else, so it ends for any field values.
    """
    lanes, lane_bits, address_bits = config.lanes, config.lane_bits, config.line_byte_bits
    step_bits = min(address_bits, len(element_bytes_minus1))
    state = Signal(feeder_state.IDLE)
    padding, filling, element_ends, row_ends, row_starts, top_ends, taken = [Signal(bool(0)) for _ in range(7)]
    source_ready, words_used = [Signal(bool(0)) for _ in range(2)]
    words_left, rows_left = [Signal(intbv(0)[16:]) for _ in range(2)]
    elements_left = Signal(modbv(0)[16:])
    element_left = Signal(intbv(0)[17:])
    room, count = [Signal(intbv(0)[lane_bits + 1 :]) for _ in range(2)]  # room: bytes left in the source word
    distance, rotation = [Signal(modbv(0)[lane_bits:]) for _ in range(2)]
    position, element_start, element_step, slot_base = [Signal(modbv(0)[address_bits:]) for _ in range(4)]
    pad_word = ConcatSignal(*[pad_value] * lanes)
    slot = Signal(intbv(0)[8:])
    slots_free = Signal(modbv(0, min=-1024, max=1024))  # over the ring's size where row_step exceeds need_rows
    finished = Signal(bool(0))

    @always_comb
    def measure():
        words_used.next = words_left == 0
        top_ends.next = rows_left == 0

    @always_comb
    def decide():
        element_ends.next = element_left <= room
        if element_left <= room:
            count.next = element_left[lane_bits + 1 :]
        else:
            count.next = room
        filling.next = state == feeder_state.FILL and (padding or (s_valid and not words_used))
        source_ready.next = not words_used and (
            (state == feeder_state.FILL and not padding and element_left >= room) or state == feeder_state.DROP
        )
        row_starts.next = (state == feeder_state.ROW and slots_free > 0) or (state == feeder_state.TOP and not top_ends)
        # The source byte at lanes - room goes to position mod lanes: right by -(room + position).
        distance.next = room[lane_bits:] + position[lane_bits:]

    @always_comb
    def conclude():
        row_ends.next = filling and element_ends and elements_left == 0
        taken.next = s_valid and source_ready
        rotation.next = ~distance + 1

    @always_comb
    def report():
        s_ready.next = source_ready
        busy.next = state != feeder_state.IDLE
        last_word.next = words_left == 1
        hungry.next = not words_used and ((state == feeder_state.FILL and not padding) or state == feeder_state.DROP)
        stuck.next = finished or (state == feeder_state.ROW and slots_free <= 0)

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        row_filled.next = row_ends or (state == feeder_state.TOP and not top_ends)
        w_enable.next = filling or (state == feeder_state.PREFILL and elements_left != 0)
        if start:
            state.next = feeder_state.PREFILL
            finished.next = False
            padding.next = False
        elif state == feeder_state.PREFILL:
            if elements_left == 0:
                state.next = feeder_state.TOP
        elif state == feeder_state.TOP:
            if top_ends:
                state.next = feeder_state.ROW
        elif state == feeder_state.ROW:
            if abandon:
                state.next = feeder_state.DROP
                finished.next = True
            elif slots_free > 0:
                state.next = feeder_state.FILL
        elif state == feeder_state.FILL:
            if row_ends:
                if rows_left != 0:
                    state.next = feeder_state.ROW
                elif not padding and bottom_rows != 0:
                    state.next = feeder_state.ROW
                    padding.next = True
                else:
                    state.next = feeder_state.DROP
                    finished.next = True
            elif not padding and words_used:
                # The descriptor promises more rows than in_words holds; the window reports it.
                state.next = feeder_state.DROP
                finished.next = True
        elif state == feeder_state.DROP:
            if words_used:
                state.next = feeder_state.IDLE

    @always(clk.posedge)
    def count_rows():
        if start:
            rows_left.next = top_rows
            words_left.next = in_words
        else:
            if taken:
                words_left.next = words_left - 1
            if state == feeder_state.TOP and top_ends:
                rows_left.next = data_rows_minus1
            elif (state == feeder_state.TOP) or (row_ends and rows_left != 0):
                rows_left.next = rows_left - 1
            elif row_ends and bottom_rows != 0:
                rows_left.next = bottom_rows - 1

    @always(clk.posedge)
    def follow_slots():
        if start:
            slots_free.next = ring_slots_minus1 + 1
            slot.next = 0
            slot_base.next = 0
        else:
            if row_starts and row_released:
                slots_free.next = slots_free + row_step - 1
            elif row_starts:
                slots_free.next = slots_free - 1
            elif row_released:
                slots_free.next = slots_free + row_step
            if row_starts:
                if slot == ring_slots_minus1:
                    slot.next = 0
                    slot_base.next = 0
                else:
                    slot.next = slot + 1
                    slot_base.next = slot_base + slot_step

    @always(clk.posedge)
    def follow_bytes():
        element_step.next = element_bytes_minus1[step_bits:] + element_gap + 1
        if start:
            position.next = 0
            room.next = lanes
            elements_left.next = prefill_words
        elif state == feeder_state.PREFILL:
            if elements_left != 0:
                position.next = position + lanes
                elements_left.next = elements_left - 1
        elif state == feeder_state.ROW:
            position.next = slot_base + data_offset
            element_start.next = slot_base + data_offset
            element_left.next = element_bytes_minus1 + 1
            elements_left.next = row_elements_minus1
            if padding:
                room.next = lanes
        elif filling:
            if not padding:
                if element_left >= room:
                    room.next = lanes
                else:
                    room.next = room - count
            if element_ends:
                position.next = element_start + element_step
                element_start.next = element_start + element_step
                element_left.next = element_bytes_minus1 + 1
                elements_left.next = elements_left - 1
            else:
                position.next = position + count
                element_left.next = element_left - count

    @always(clk.posedge)
    def write():
        w_address.next = position
        w_rotate.next = rotation
        if state == feeder_state.PREFILL:
            w_data.next = pad_word
            w_count.next = lanes
        else:
            w_count.next = count
            if padding:
                w_data.next = pad_word
            else:
                w_data.next = s_data

    return measure, decide, conclude, report, sequence, count_rows, follow_slots, follow_bytes, write
