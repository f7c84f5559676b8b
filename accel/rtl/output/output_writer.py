"""The output writer: packed words to the activation memory or to the output stream, and the end of the layer."""

from myhdl import Signal, always, always_seq, concat, intbv

from accel.rtl.parts.bundles import Bundle, Stream, fields
from accel.rtl.parts.module import module

OUTPUT_LATENCY = 1


class Credit(Bundle):
    """Room at the receiver. level: words in the output FIFO. launch_ok: one more group may be launched."""

    members = ("level", "launch_ok")
    prefix = False


class MemoryWrite(Bundle):
    """A write of the activation memory, whose data goes beside. we: in this cycle. address: word."""

    members = ("we", "address")


class LayerEnd(Bundle):
    """How a layer's output ends, one cycle each.

    layer_end: everything is written. range_error: a word would lie behind the activation memory (it is not written).
    pool_error: the layer ended without a word marked last.
    """

    members = ("layer_end", "range_error", "pool_error")
    prefix = False


WriterFields = fields("to_stream", "out_base")


@module
def output_writer(
    clk,
    rst,
    start,
    layer: WriterFields,
    credit: Credit,
    s: Stream,
    s_end,
    mem: MemoryWrite,
    m: Stream,
    end: LayerEnd,
    *,
    config,
    stream_depth,
    in_flight,
    end_delay,
):
    """Sends each word of a layer where its descriptor says and tells when the layer has ended.

    start: one cycle, begins a layer. credit: level of the output FIFO of stream_depth words; launch_ok: there is room
    for one more group even if all in_flight groups before it fill a word each. s: words of the packer (data, valid,
    keep, last). s_end: one cycle, the layer's last group enters the blocks in front of the packer; its last word is
    here at most end_delay cycles later, and nothing comes behind it.
    mem: write port of the activation memory, whose data is m.data. m: words for the FIFO (data, valid, keep, last).
    Latency OUTPUT_LATENCY cycle; a word every cycle; never stalls, the FIFO has room by launch_ok.
    """
    address = Signal(intbv(0)[config.act_addr_bits + 1 :])
    last_seen = Signal(bool(0))
    end_pipe = Signal(intbv(0)[end_delay:])

    @always_seq(clk.posedge, reset=rst)
    def write():
        mem.we.next = s.valid and not layer.to_stream and address < config.act_depth
        m.valid.next = s.valid and layer.to_stream
        end.range_error.next = s.valid and not layer.to_stream and address >= config.act_depth
        end_pipe.next = concat(end_pipe[end_delay - 1 :], s_end)
        end.layer_end.next = end_pipe[end_delay - 1]
        end.pool_error.next = end_pipe[end_delay - 1] and not (last_seen or (s.valid and s.last))
        credit.launch_ok.next = not layer.to_stream or credit.level < stream_depth - in_flight
        if start:
            last_seen.next = False
        elif s.valid and s.last:
            last_seen.next = True

    @always(clk.posedge)
    def follow():
        m.data.next = s.data
        m.keep.next = s.keep
        m.last.next = s.last
        mem.address.next = address[config.act_addr_bits :]
        if start:
            address.next = layer.out_base
        elif s.valid and address < config.act_depth:
            address.next = address + 1

    return write, follow
