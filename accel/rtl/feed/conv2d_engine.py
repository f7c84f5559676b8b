"""The Conv2D engine: feeder, line buffer and window walker wired into a stream of operand words."""

from myhdl import Signal, intbv

from accel.rtl.control.fields import field
from accel.rtl.feed.feeder import feeder
from accel.rtl.feed.line_buffer import line_buffer
from accel.rtl.feed.window import window
from accel.rtl.parts.module import module, unused


@module
def conv2d_engine(
    clk,
    rst,
    start,
    enable,
    s_data,
    s_valid,
    s_ready,
    direct,
    direct_data,
    layer,
    operand,
    w_address,
    m_valid,
    m_first,
    m_last,
    m_tag,
    starved,
    busy,
    last_word,
    hungry,
    direct_offset=None,
    w_part=None,
    m_tail=None,
    weight_shift=None,
    byte_step=None,
    *,
    config,
):
    """Turns a layer's input stream into the words of its sliding windows.

    start: one cycle, begins a convolution described by the descriptor vector `layer`. s_*: source words in NHWC order.
    enable: the compute pipeline advances. direct, direct_data: the dense path through the line buffer's output stage.
    w_address, m_valid, m_first, m_last, m_tag: weight word and position in the tile (feed/window.py); operand: the
    activations of the same word, LINE_READ_LATENCY enabled cycles later.
    starved: one cycle, the layer needs rows that do not come. busy: source words are still to be taken; last_word: the
    next one is the last; hungry: the feeder stands still without s_valid.
    direct_offset, w_part, m_tail, weight_shift, byte_step: only in a mixed-precision build, as in line_buffer and
    window.
    """
    unused(layer)  # the descriptor's other fields belong to other blocks
    w_enable, row_filled, stuck, row_released, finished = [Signal(bool(0)) for _ in range(5)]
    write_address = Signal(intbv(0)[config.line_byte_bits :])
    w_rotate, r_offset = [Signal(intbv(0)[config.lane_bits :]) for _ in range(2)]
    w_data = Signal(intbv(0)[config.word_bits :])
    w_count = Signal(intbv(0)[config.lane_bits + 1 :])
    r_word = Signal(intbv(0)[config.line_addr_bits :])
    byte_bits, line_bits, weight_bits = config.line_byte_bits, config.line_addr_bits, config.weight_addr_bits

    row_feeder = feeder(
        clk,
        rst,
        start,
        row_released,
        s_data,
        s_valid,
        s_ready,
        w_enable,
        write_address,
        w_rotate,
        w_data,
        w_count,
        row_filled,
        stuck,
        busy,
        last_word,
        hungry,
        finished,
        field(layer, "pad_value"),
        field(layer, "in_words"),
        field(layer, "prefill_words"),
        field(layer, "ring_slots_minus1"),
        field(layer, "top_rows"),
        field(layer, "data_rows_minus1"),
        field(layer, "bottom_rows"),
        field(layer, "row_elements_minus1"),
        field(layer, "element_bytes_minus1"),
        field(layer, "element_gap", byte_bits),
        field(layer, "slot_step", byte_bits),
        field(layer, "data_offset", byte_bits),
        field(layer, "row_step"),
        config=config,
    )
    rows = line_buffer(
        clk,
        w_enable,
        write_address,
        w_rotate,
        w_data,
        w_count,
        enable,
        r_word,
        r_offset,
        direct,
        direct_data,
        operand,
        direct_offset,
        config=config,
    )
    walker = window(
        clk,
        rst,
        start,
        enable,
        row_filled,
        stuck,
        row_released,
        starved,
        finished,
        r_word,
        r_offset,
        w_address,
        m_valid,
        m_first,
        m_last,
        m_tag,
        field(layer, "need_rows"),
        field(layer, "row_step"),
        field(layer, "oh_minus1"),
        field(layer, "ow_minus1"),
        field(layer, "tiles_minus1"),
        field(layer, "kh_minus1"),
        field(layer, "kwords_minus1"),
        field(layer, "pixel_step", byte_bits),
        field(layer, "line_kh_step", line_bits + 1),
        field(layer, "line_row_step", line_bits + 1),
        field(layer, "line_ring_words", line_bits + 1),
        field(layer, "weight_base", weight_bits),
        field(layer, "weight_row_step", weight_bits + config.unpack_bits),
        field(layer, "weight_ring_words", weight_bits + config.unpack_bits + 1),
        w_part,
        m_tail,
        weight_shift,
        byte_step,
        config=config,
    )
    return row_feeder, rows, walker
