"""The compute core: the two engines, the weight bank and the MAC array behind them."""

from myhdl import Signal, always, always_comb, always_seq, block, intbv

from accel.descriptor import OP_DENSE
from accel.rtl.array.int6_unpacker import int6_unpacker
from accel.rtl.array.mac_array import mac_array
from accel.rtl.array.operand_unpacker import operand_unpacker
from accel.rtl.array.weight_bank import weight_bank
from accel.rtl.array.weight_unpacker import UNPACK_LATENCY, weight_unpacker
from accel.rtl.control.fields import field
from accel.rtl.control.precision_controller import FORM_BITS, precision_controller
from accel.rtl.feed.act_reader import act_reader
from accel.rtl.feed.conv2d_engine import conv2d_engine
from accel.rtl.feed.dense_engine import dense_engine
from accel.rtl.feed.line_buffer import LINE_READ_LATENCY
from accel.rtl.parts.module import module


def operand_latency(config):
    """Enabled cycles from the address of a word to its operands at the MAC array."""
    return LINE_READ_LATENCY + (UNPACK_LATENCY if config.mixed else 0)


@block
def _unpack(clk, rst, enable, dense, conv_part, dense_part, conv_tail, dense_tail, fetched, fetched_weights, s_valid,
            s_first, s_last, s_tag, weight_shift, weight_form, input_shift, input_form, keep, operand, weights, m_valid,
            m_first, m_last, m_tag, *, config):
    """The stage between memories and array of a mixed-precision build: a word of operands and its place in the tile."""
    part_1, part_2 = [Signal(intbv(0)[config.unpack_bits:]) for _ in range(2)]
    tail_1, tail_2, tail_3 = [Signal(bool(0)) if keep is not None else None for _ in range(3)]
    weight_stage = weight_unpacker(clk, enable, fetched_weights, part_2, weight_shift, weight_form, weights,
                                   config=config)
    operand_stage = operand_unpacker(clk, enable, fetched, tail_3, keep, input_shift, input_form, operand,
                                     config=config)

    @always_seq(clk.posedge, reset=rst)
    def follow():
        if enable:
            m_valid.next = s_valid

    @always(clk.posedge)
    def carry():
        if enable:
            if dense:
                part_1.next = dense_part
            else:
                part_1.next = conv_part
            part_2.next = part_1
            m_first.next = s_first
            m_last.next = s_last
            m_tag.next = s_tag

    if keep is None:
        return weight_stage, operand_stage, follow, carry

    @always(clk.posedge)
    def carry_tail():
        if enable:
            if dense:
                tail_1.next = dense_tail
            else:
                tail_1.next = conv_tail
            tail_2.next = tail_1
            tail_3.next = tail_2

    return weight_stage, operand_stage, follow, carry, carry_tail


@module
def compute_core(clk, rst, start, s_data, s_valid, s_ready, act_enable, act_address, act_data, weight_we, weight_waddr,
                 weight_wrow, weight_wpart, weight_wdata, layer, result_data, result_valid, result_ready, result_tag,
                 issuing, starved, busy, last_word, waiting, weight6_we=None, *, config, presets=()):
    """Runs one layer's multiply-accumulates: input words in, tiles of accumulators out.

    start: one cycle, begins the layer described by the descriptor vector `layer`. s_*: the input stream, used by a
    layer with from_stream. act_*: read port of the activation memory (registered data), used by all others. weight_*:
    host writes of the weight bank; weight6_we: the same of packed int6 weights, None in a build without them.
    result_data, result_valid, result_ready, result_tag: finished tiles; a tile that is
    not taken stops the whole core. issuing: a word enters the array. starved: the layer needs rows that do not come.
    busy: words of the source are still to be taken; last_word: the next one is the last. waiting: the layer
    waits for s_*. presets: weight images, one a row, or ().
    Latency from the first address of a tile to its result_data: operand_latency(config) + mac_array_latency(config) - 1
    + the tile's words.
    """
    stall_free, dense, conv_start, dense_start, reader_start, act_fetch = [Signal(bool(0)) for _ in range(6)]
    source_valid, source_ready, reader_valid, reader_ready, hungry = [Signal(bool(0)) for _ in range(5)]
    source_data, operand = [Signal(intbv(0)[config.word_bits:]) for _ in range(2)]
    reader_address, dense_address = [Signal(intbv(0)[config.act_addr_bits:]) for _ in range(2)]
    conv_weight, dense_weight, weight_late, weight_raddr = [
        Signal(intbv(0)[config.weight_addr_bits:]) for _ in range(4)]
    conv_valid, conv_first, conv_last, dense_valid, dense_first, dense_last = [Signal(bool(0)) for _ in range(6)]
    conv_tag, dense_tag, tag_1, tag_2, tag_3 = [Signal(intbv(0)[2:]) for _ in range(5)]
    valid_1, valid_2, valid_3, first_1, first_2, first_3, last_1, last_2, last_3 = [Signal(bool(0)) for _ in range(9)]
    weights = Signal(intbv(0)[config.weight_word_bits:])
    if config.mixed:
        fetched, fetched_weights = Signal(intbv(0)[config.word_bits:]), Signal(intbv(0)[config.weight_word_bits:])
        valid_4, first_4, last_4, conv_tail, dense_tail = [Signal(bool(0)) for _ in range(5)]
        mode, tag_4, weight_shift, input_shift = [Signal(intbv(0)[2:]) for _ in range(4)]
        weight_form, input_form = [Signal(intbv(0)[FORM_BITS:]) for _ in range(2)]
        conv_part, dense_part = [Signal(intbv(0)[config.unpack_bits:]) for _ in range(2)]
        act_offset, byte_step = Signal(intbv(0)[config.lane_bits:]), Signal(intbv(0)[config.lane_bits + 1:])
        keep = Signal(intbv(0)[config.lanes:]) if 1 in config.precisions else None
        precision = precision_controller(
            clk, field(layer, "compute_code"), field(layer, "weight_code"), field(layer, "input_code"),
            field(layer, "tail_bytes_minus1"), mode, weight_shift, weight_form, input_shift, input_form, byte_step,
            keep, config=config)
        unpack_stage = _unpack(
            clk, rst, stall_free, dense, conv_part, dense_part, conv_tail, dense_tail, fetched, fetched_weights,
            valid_3, first_3, last_3, tag_3, weight_shift, weight_form, input_shift, input_form, keep, operand, weights,
            valid_4, first_4, last_4, tag_4, config=config)
        unpacking = precision, unpack_stage
    else:
        fetched, fetched_weights, valid_4, first_4, last_4, tag_4 = operand, weights, valid_3, first_3, last_3, tag_3
        mode, act_offset, byte_step, weight_shift, conv_part, dense_part, conv_tail, dense_tail = [None] * 8
        unpacking = ()
    operation, from_stream = field(layer, "op"), field(layer, "from_stream")

    @always_comb
    def steer():
        dense.next = operation == OP_DENSE
        conv_start.next = start and operation != OP_DENSE
        dense_start.next = start and operation == OP_DENSE
        reader_start.next = start and operation != OP_DENSE and not from_stream
        stall_free.next = result_ready or not result_valid

    @always_comb
    def choose_source():
        if from_stream:
            source_data.next = s_data
            source_valid.next = s_valid
        else:
            source_data.next = act_data
            source_valid.next = reader_valid
        s_ready.next = source_ready and from_stream
        reader_ready.next = source_ready and not from_stream
        waiting.next = hungry and from_stream and not s_valid

    @always_comb
    def choose_address():
        if dense:
            act_enable.next = stall_free
            act_address.next = dense_address
        else:
            act_enable.next = act_fetch
            act_address.next = reader_address

    @always_comb
    def observe():
        issuing.next = stall_free and (conv_valid or dense_valid)

    reader = act_reader(clk, rst, reader_start, field(layer, "in_base", config.act_addr_bits), field(layer, "in_words"),
                        act_fetch, reader_address, reader_valid, reader_ready, config=config)
    conv2d = conv2d_engine(clk, rst, conv_start, stall_free, source_data, source_valid, source_ready, dense, act_data,
                           layer, fetched, conv_weight, conv_valid, conv_first, conv_last, conv_tag, starved, busy,
                           last_word, hungry, act_offset, conv_part, conv_tail, weight_shift, byte_step, config=config)
    dense_layer = dense_engine(clk, rst, dense_start, stall_free, dense_address, dense_weight, dense_valid, dense_first,
                               dense_last, dense_tag, field(layer, "in_base", config.act_addr_bits),
                               field(layer, "weight_base", config.weight_addr_bits), field(layer, "tiles_minus1"),
                               field(layer, "kwords_minus1"), act_offset, dense_part, dense_tail, weight_shift,
                               byte_step, config=config)
    if weight6_we is None:
        bank = weight_bank(clk, weight_we, weight_waddr, weight_wrow, weight_wpart, weight_wdata, stall_free,
                           weight_raddr, fetched_weights, config=config, presets=presets)
        unpack6 = ()
    else:
        bank_we, bank_pair = [Signal(bool(0)) for _ in range(2)]
        bank_waddr, bank_wrow = Signal(intbv(0)[len(weight_waddr):]), Signal(intbv(0)[len(weight_wrow):])
        bank_wpart = None if weight_wpart is None else Signal(intbv(0)[len(weight_wpart):])
        bank_wdata = Signal(intbv(0)[64:])
        unpack6 = int6_unpacker(clk, weight_we, weight6_we, weight_waddr, weight_wrow, weight_wpart, weight_wdata,
                                bank_we, bank_pair, bank_waddr, bank_wrow, bank_wpart, bank_wdata, config=config)
        bank = weight_bank(clk, bank_we, bank_waddr, bank_wrow, bank_wpart, bank_wdata, stall_free, weight_raddr,
                           fetched_weights, bank_pair, config=config, presets=presets)
    macs = mac_array(clk, rst, stall_free, mode, operand, weights, valid_4, first_4, last_4, tag_4, result_data,
                     result_valid, result_tag, config=config)

    # The operand takes LINE_READ_LATENCY cycles from its address, the weight one: the weight's address waits for two.
    @always_seq(clk.posedge, reset=rst)
    def follow():
        if stall_free:
            valid_1.next = conv_valid or dense_valid
            valid_2.next = valid_1
            valid_3.next = valid_2

    @always(clk.posedge)
    def carry():
        if stall_free:
            if dense:
                weight_late.next = dense_weight
                first_1.next = dense_first
                last_1.next = dense_last
                tag_1.next = dense_tag
            else:
                weight_late.next = conv_weight
                first_1.next = conv_first
                last_1.next = conv_last
                tag_1.next = conv_tag
            weight_raddr.next = weight_late
            first_2.next = first_1
            last_2.next = last_1
            tag_2.next = tag_1
            first_3.next = first_2
            last_3.next = last_2
            tag_3.next = tag_2

    return (unpacking, unpack6, steer, choose_source, choose_address, observe, reader, conv2d, dense_layer, bank, macs,
            follow, carry)
