"""The Conv2D engine: feeder, line buffer and window walker wired into a stream of operand words."""

from myhdl import Signal, intbv

from accel.rtl.control.fields import layer_fields
from accel.rtl.feed.bundles import Direct, LineRead, LineWrite, Rows
from accel.rtl.feed.feeder import FEEDER_FIELDS, feeder
from accel.rtl.feed.line_buffer import line_buffer
from accel.rtl.feed.window import WINDOW_FIELDS, window
from accel.rtl.parts.bundles import Precision, Progress, Stream, TileWord
from accel.rtl.parts.module import module, unused


@module
def conv2d_engine(
    clk,
    rst,
    start,
    enable,
    s: Stream,
    direct: Direct,
    layer,
    operand,
    m: TileWord,
    progress: Progress,
    precision: Precision,
    *,
    config,
):
    """Turns a layer's input stream into the words of its sliding windows.

    start: one cycle, begins a convolution described by the descriptor vector `layer`. s: source words in NHWC order.
    enable: the compute pipeline advances. direct: the dense path through the line buffer's output stage.
    m: weight word and place in the tile; operand: the activations of the same word, LINE_READ_LATENCY enabled cycles
    later. progress: starved, busy, last_word, hungry.
    precision, direct.offset, m.part and m.tail: only in a mixed-precision build.
    """
    unused(layer)  # the descriptor's other fields belong to other blocks
    row = Rows(*[Signal(bool(0)) for _ in Rows.members])
    write = LineWrite(
        enable=Signal(bool(0)),
        address=Signal(intbv(0)[config.line_byte_bits :]),
        rotate=Signal(intbv(0)[config.lane_bits :]),
        data=Signal(intbv(0)[config.word_bits :]),
        end=Signal(intbv(0)[config.lane_bits + 1 :]),
    )
    read = LineRead(Signal(intbv(0)[config.line_addr_bits :]), Signal(intbv(0)[config.lane_bits :]), operand)
    byte_bits, line_bits, weight_bits = config.line_byte_bits, config.line_addr_bits, config.weight_addr_bits
    feeder_fields = layer_fields(
        FEEDER_FIELDS, layer, element_gap=byte_bits, slot_step=byte_bits, data_offset=byte_bits
    )
    window_fields = layer_fields(
        WINDOW_FIELDS,
        layer,
        pixel_step=byte_bits,
        line_kh_step=line_bits + 1,
        line_row_step=line_bits + 1,
        line_ring_words=line_bits + 1,
        weight_base=weight_bits,
        weight_row_step=weight_bits + config.unpack_bits,
        weight_ring_words=weight_bits + config.unpack_bits + 1,
    )
    row_feeder = feeder(clk, rst, start, row, s, write, progress, feeder_fields, config=config)
    rows = line_buffer(clk, write, enable, read, direct, config=config)
    walker = window(
        clk,
        rst,
        start,
        enable,
        row,
        progress.starved,
        LineRead(read.word, read.offset),
        m,
        window_fields,
        precision,
        config=config,
    )
    return row_feeder, rows, walker
