"""The compute core: the two engines, the weight bank and the MAC array behind them."""

from myhdl import Signal, always, always_comb, always_seq, block, intbv

from accel.descriptor import OP_DENSE
from accel.rtl.array.int6_unpacker import int6_unpacker
from accel.rtl.array.mac_array import mac_array
from accel.rtl.array.operand_unpacker import operand_unpacker
from accel.rtl.array.weight_bank import weight_bank
from accel.rtl.array.weight_unpacker import UNPACK_LATENCY, weight_unpacker
from accel.rtl.control.fields import field, layer_fields
from accel.rtl.control.precision_controller import CODES_OF_LAYER, FORM_BITS, precision_controller
from accel.rtl.feed.act_reader import act_reader
from accel.rtl.feed.bundles import Direct
from accel.rtl.feed.conv2d_engine import conv2d_engine
from accel.rtl.feed.dense_engine import DENSE_FIELDS, dense_engine
from accel.rtl.feed.line_buffer import LINE_READ_LATENCY
from accel.rtl.parts.bundles import Bundle, MemoryRead, Precision, Progress, Stream, Tile, TileWord, WeightWrite
from accel.rtl.parts.module import module


def operand_latency(config):
    """Enabled cycles from the address of a word to its operands at the MAC array."""
    return LINE_READ_LATENCY + (UNPACK_LATENCY if config.mixed else 0)


class _Operands(Bundle):
    """A word of activations and a word of weights, as stored or as the array takes them."""

    members = ("activations", "weights")


@block
def _unpack(clk, rst, enable, is_dense, conv, dense, s, stored, operands, m, precision, *, config):
    """The stage between memories and array of a mixed-precision build: a word of operands and its place in the tile.

    conv, dense: the words of the two engines, four cycles before they come as s with what is stored.
    """
    part_1, part_2, part_3 = [Signal(intbv(0)[config.unpack_bits :]) for _ in range(3)]
    tail_1, tail_2, tail_3, tail_4 = [Signal(bool(0)) if precision.keep is not None else None for _ in range(4)]
    weight_stage = weight_unpacker(
        clk,
        enable,
        stored.weights,
        part_3,
        precision.weight_shift,
        precision.weight_form,
        operands.weights,
        config=config,
    )
    operand_stage = operand_unpacker(
        clk,
        enable,
        stored.activations,
        tail_4,
        precision.keep,
        precision.input_shift,
        precision.input_form,
        operands.activations,
        config=config,
    )

    @always_seq(clk.posedge, reset=rst)
    def follow():
        if enable:
            m.valid.next = s.valid

    @always(clk.posedge)
    def carry():
        if enable:
            if is_dense:
                part_1.next = dense.part
            else:
                part_1.next = conv.part
            part_2.next = part_1
            part_3.next = part_2
            m.first.next = s.first
            m.last.next = s.last
            m.tag.next = s.tag

    if precision.keep is None:
        return weight_stage, operand_stage, follow, carry

    @always(clk.posedge)
    def carry_tail():
        if enable:
            if is_dense:
                tail_1.next = dense.tail
            else:
                tail_1.next = conv.tail
            tail_2.next = tail_1
            tail_3.next = tail_2
            tail_4.next = tail_3

    return weight_stage, operand_stage, follow, carry, carry_tail


def _precision(config):
    """Signals of the precision controller; absent in a build of int8 only, keep in one without 1-bit weights."""
    if not config.mixed:
        return Precision()
    mode, weight_shift, input_shift = [Signal(intbv(0)[2:]) for _ in range(3)]
    weight_form, input_form = [Signal(intbv(0)[FORM_BITS:]) for _ in range(2)]
    byte_step = Signal(intbv(0)[config.lane_bits + 1 :])
    keep = Signal(intbv(0)[config.lanes :]) if 1 in config.precisions else None
    return Precision(mode, weight_shift, weight_form, input_shift, input_form, byte_step, keep)


def _tile_word(config):
    """Signals of an engine's words."""
    return TileWord(
        *[Signal(bool(0)) for _ in range(3)],
        Signal(intbv(0)[2:]),
        Signal(bool(0)) if config.mixed else None,
        Signal(intbv(0)[config.weight_addr_bits :]),
        Signal(intbv(0)[config.unpack_bits :]) if config.mixed else None,
    )


@module
def compute_core(
    clk,
    rst,
    start,
    s: Stream,
    act: MemoryRead,
    weight: WeightWrite,
    layer,
    result: Tile,
    progress: Progress,
    *,
    config,
    presets=(),
):
    """Runs one layer's multiply-accumulates: input words in, tiles of accumulators out.

    start: one cycle, begins the layer described by the descriptor vector `layer`. s: the input stream, used by a
    layer with from_stream. act: read port of the activation memory (registered data), used by all others. weight:
    host writes of the weight bank; packed_we only in a build with int6 weights.
    result: finished tiles; a tile that will not be taken stops the whole core. progress: issuing, starved, busy,
    last_word, waiting. presets: weight images, one a row, or ().
    Latency from the first address of a tile to its result.data: operand_latency(config) + mac_array_latency(config) - 1
    + the tile's words.
    """
    stall_free = Signal(bool(1))  # a register: everything up to the array hangs on it
    is_dense, conv_start, dense_start, reader_start, act_fetch, result_coming = [Signal(bool(0)) for _ in range(6)]
    source = Stream(Signal(intbv(0)[config.word_bits :]), Signal(bool(0)), Signal(bool(0)))
    reader_valid, reader_ready, hungry = [Signal(bool(0)) for _ in range(3)]
    operand = Signal(intbv(0)[config.word_bits :])
    reader_address, dense_fetch = [Signal(intbv(0)[config.act_addr_bits :]) for _ in range(2)]
    weight_1, weight_2 = [Signal(intbv(0)[config.weight_addr_bits :]) for _ in range(2)]
    conv, dense = _tile_word(config), _tile_word(config)
    tag_1, tag_2, tag_3, tag_4 = [Signal(intbv(0)[2:]) for _ in range(4)]
    valid_1, valid_2, valid_3, valid_4, first_1, first_2, first_3, first_4 = [Signal(bool(0)) for _ in range(8)]
    last_1, last_2, last_3, last_4, act_pass, reader_pass = [Signal(bool(0)) for _ in range(6)]
    act_word = Signal(intbv(0)[config.word_bits :])  # the register behind the activation memory
    weights = Signal(intbv(0)[config.weight_word_bits :])
    fetched_word = TileWord(valid_4, first_4, last_4, tag_4)
    precision = _precision(config)
    if config.mixed:
        fetched = Signal(intbv(0)[config.word_bits :])
        bank_words, fetched_weights = [Signal(intbv(0)[config.weight_word_bits :]) for _ in range(2)]
        unpacked = TileWord(*[Signal(bool(0)) for _ in range(3)], Signal(intbv(0)[2:]))
        act_offset = Signal(intbv(0)[config.lane_bits :])
        control = precision_controller(clk, layer_fields(CODES_OF_LAYER, layer), precision, config=config)
        unpack_stage = _unpack(
            clk,
            rst,
            stall_free,
            is_dense,
            conv,
            dense,
            fetched_word,
            _Operands(fetched, fetched_weights),
            _Operands(operand, weights),
            unpacked,
            precision,
            config=config,
        )
        bank_raddr = weight_2

        @always(clk.posedge)
        def keep_weights():  # to unpack them takes a cycle, as does the memory
            if stall_free:
                fetched_weights.next = bank_words

        unpacking = control, unpack_stage, keep_weights
    else:
        fetched, bank_words, unpacked, act_offset = operand, weights, fetched_word, None
        bank_raddr = Signal(intbv(0)[config.weight_addr_bits :])

        @always(clk.posedge)
        def wait_address():
            if stall_free:
                bank_raddr.next = weight_2

        unpacking = wait_address
    operation, from_stream = field(layer, "op"), field(layer, "from_stream")

    @always_comb
    def steer():
        is_dense.next = operation == OP_DENSE
        conv_start.next = start and operation != OP_DENSE
        dense_start.next = start and operation == OP_DENSE
        reader_start.next = start and operation != OP_DENSE and not from_stream

    @always_comb
    def choose_source():
        if from_stream:
            source.data.next = s.data
            source.valid.next = s.valid
        else:
            source.data.next = act_word
            source.valid.next = reader_valid
        s.ready.next = source.ready and from_stream
        reader_ready.next = source.ready and not from_stream
        progress.waiting.next = hungry and from_stream and not s.valid

    @always_comb
    def choose_address():
        if is_dense:
            act.enable.next = stall_free
            act_pass.next = stall_free
            act.address.next = dense_fetch
        else:
            act.enable.next = act_fetch
            act_pass.next = reader_pass
            act.address.next = reader_address

    @always_comb
    def observe():
        progress.issuing.next = stall_free and (conv.valid or dense.valid)

    in_base = field(layer, "in_base", config.act_addr_bits)
    reader = act_reader(
        clk,
        rst,
        reader_start,
        in_base,
        field(layer, "in_words"),
        act_fetch,
        reader_address,
        reader_pass,
        reader_valid,
        reader_ready,
        config=config,
    )
    conv2d = conv2d_engine(
        clk,
        rst,
        conv_start,
        stall_free,
        source,
        Direct(is_dense, act_word, act_offset),
        layer,
        fetched,
        conv,
        Progress(starved=progress.starved, busy=progress.busy, last_word=progress.last_word, hungry=hungry),
        Precision(weight_shift=precision.weight_shift, byte_step=precision.byte_step),
        config=config,
    )
    dense_layer = dense_engine(
        clk,
        rst,
        dense_start,
        stall_free,
        dense_fetch,
        dense,
        layer_fields(DENSE_FIELDS, layer, in_base=config.act_addr_bits, weight_base=config.weight_addr_bits),
        Precision(weight_shift=precision.weight_shift, byte_step=precision.byte_step),
        act_offset,
        config=config,
    )
    bank_write, unpack6 = weight, ()
    if weight.packed_we is not None:
        bank_write = WeightWrite(
            we=Signal(bool(0)),
            waddr=Signal(intbv(0)[len(weight.waddr) :]),
            wrow=Signal(intbv(0)[len(weight.wrow) :]),
            wpart=None if weight.wpart is None else Signal(intbv(0)[len(weight.wpart) :]),
            wdata=Signal(intbv(0)[64:]),
            pair=Signal(bool(0)),
        )
        unpack6 = int6_unpacker(clk, weight, bank_write, config=config)
    bank = weight_bank(clk, bank_write, stall_free, bank_raddr, bank_words, config=config, presets=presets)
    macs = mac_array(
        clk,
        rst,
        stall_free,
        precision.mode,
        operand,
        weights,
        unpacked,
        Tile(result.data, result.valid, tag=result.tag, coming=result_coming),
        config=config,
    )

    # The operand takes LINE_READ_LATENCY cycles from its address, the weight one, or two where a register stands behind
    # the bank: the weight's address waits for the others.
    @always_seq(clk.posedge, reset=rst)
    def follow():
        if stall_free:
            stall_free.next = result.ready or not result_coming
        else:
            stall_free.next = result.ready
        if stall_free:
            valid_1.next = conv.valid or dense.valid
            valid_2.next = valid_1
            valid_3.next = valid_2
            valid_4.next = valid_3

    @always(clk.posedge)
    def carry():
        if stall_free:
            if is_dense:
                weight_1.next = dense.address
                first_1.next = dense.first
                last_1.next = dense.last
                tag_1.next = dense.tag
            else:
                weight_1.next = conv.address
                first_1.next = conv.first
                last_1.next = conv.last
                tag_1.next = conv.tag
            weight_2.next = weight_1
            first_2.next = first_1
            last_2.next = last_1
            tag_2.next = tag_1
            first_3.next = first_2
            last_3.next = last_2
            tag_3.next = tag_2
            first_4.next = first_3
            last_4.next = last_3
            tag_4.next = tag_3

    @always(clk.posedge)
    def keep_word():
        if act_pass:
            act_word.next = act.data

    return (
        unpacking,
        unpack6,
        steer,
        choose_source,
        choose_address,
        observe,
        reader,
        conv2d,
        dense_layer,
        bank,
        macs,
        follow,
        carry,
        keep_word,
    )
