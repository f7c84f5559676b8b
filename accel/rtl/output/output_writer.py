"""The output writer: packed words to the activation memory or to the output stream, and the end of the layer."""

from myhdl import Signal, always, always_seq, concat, intbv

from accel.rtl.parts.module import module

OUTPUT_LATENCY = 1


@module
def output_writer(
    clk,
    rst,
    start,
    to_stream,
    out_base,
    level,
    launch_ok,
    s_data,
    s_valid,
    s_keep,
    s_last,
    s_end,
    mem_we,
    mem_address,
    m_data,
    m_valid,
    m_keep,
    m_last,
    layer_end,
    range_error,
    pool_error,
    *,
    config,
    stream_depth,
    in_flight,
    end_delay,
):
    """Sends each word of a layer where its descriptor says and tells when the layer has ended.

    start: one cycle, begins a layer; to_stream, out_base: descriptor fields. s_data, s_valid, s_keep, s_last: words of
    the packer.
    s_end: one cycle, the layer's last group enters the blocks in front of the packer; its last word is here at most
    end_delay cycles later, and nothing comes behind it. level: words in the output FIFO of stream_depth words.
    launch_ok: there is room for one more group even if all in_flight groups before it fill a word each.
    mem_we, mem_address, m_data: write port of the activation memory. m_valid: m_data, m_keep, m_last go to the
    FIFO.
    layer_end: one cycle, everything is written. range_error: a word would lie behind the activation memory (it is not
    written). pool_error: the layer ended without a word marked last.
    Latency OUTPUT_LATENCY cycle; a word every cycle; never stalls, the FIFO has room by launch_ok.
    """
    address = Signal(intbv(0)[config.act_addr_bits + 1 :])
    last_seen = Signal(bool(0))
    end_pipe = Signal(intbv(0)[end_delay:])

    @always_seq(clk.posedge, reset=rst)
    def write():
        mem_we.next = s_valid and not to_stream and address < config.act_depth
        m_valid.next = s_valid and to_stream
        range_error.next = s_valid and not to_stream and address >= config.act_depth
        end_pipe.next = concat(end_pipe[end_delay - 1 :], s_end)
        layer_end.next = end_pipe[end_delay - 1]
        pool_error.next = end_pipe[end_delay - 1] and not (last_seen or (s_valid and s_last))
        launch_ok.next = not to_stream or level < stream_depth - in_flight
        if start:
            last_seen.next = False
        elif s_valid and s_last:
            last_seen.next = True

    @always(clk.posedge)
    def follow():
        m_data.next = s_data
        m_keep.next = s_keep
        m_last.next = s_last
        mem_address.next = address[config.act_addr_bits :]
        if start:
            address.next = out_base
        elif s_valid and address < config.act_depth:
            address.next = address + 1

    return write, follow
