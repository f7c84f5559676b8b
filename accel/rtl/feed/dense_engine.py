"""The dense engine: words of the activation memory straight to the array, no line buffer."""

from myhdl import Signal, always, always_comb, always_seq, block, intbv, modbv

from accel.rtl.parts.module import module, unused


@block
def _whole_address(clk, start, enable, issue, k, in_base, weight_base, fetch_word, fetch_weight, *, config):
    """Addresses of an int8 build: every array word is one word of either memory."""
    act_bits = config.act_addr_bits
    weight_word = Signal(modbv(0)[config.weight_addr_bits :])

    @always(clk.posedge)
    def count():
        if start:
            weight_word.next = weight_base
        elif issue:
            weight_word.next = weight_word + 1

    @always(clk.posedge)
    def place():
        if enable:
            fetch_word.next = in_base + k[act_bits:]
            fetch_weight.next = weight_word

    return count, place


@block
def _mixed_address(
    clk,
    start,
    enable,
    issue,
    k_ends,
    in_base,
    weight_base,
    byte_step,
    weight_shift,
    fetch_word,
    fetch_weight,
    act_offset,
    w_part,
    m_tail,
    *,
    config,
):
    """Addresses where an array word takes byte_step bytes and 2^weight_shift array words lie in a bank word."""
    lane_bits, act_bits, weight_bits = config.lane_bits, config.act_addr_bits, config.weight_addr_bits
    part_bits = config.unpack_bits
    weight_word, bank_word = [Signal(modbv(0)[weight_bits + part_bits :]) for _ in range(2)]
    spot = Signal(modbv(0)[act_bits + lane_bits :])  # first byte of the word, from the start of the input
    unused(bank_word, weight_bits + part_bits, weight_bits)

    @always(clk.posedge)
    def count():
        if start:
            weight_word.next = 0
            spot.next = 0
        elif issue:
            weight_word.next = weight_word + 1
            if k_ends:
                spot.next = 0
            else:
                spot.next = spot + byte_step

    @always_comb
    def divide():
        bank_word.next = weight_word >> weight_shift

    @always(clk.posedge)
    def place():
        if enable:
            fetch_word.next = in_base + spot[act_bits + lane_bits : lane_bits]
            fetch_weight.next = weight_base + bank_word[weight_bits:]
            act_offset.next = spot[lane_bits:]
            w_part.next = weight_word[part_bits:]
            m_tail.next = k_ends

    return count, divide, place


@module
def dense_engine(
    clk,
    rst,
    start,
    enable,
    act_address,
    w_address,
    m_valid,
    m_first,
    m_last,
    m_tag,
    in_base,
    weight_base,
    tiles_minus1,
    kwords_minus1,
    act_offset=None,
    w_part=None,
    m_tail=None,
    weight_shift=None,
    byte_step=None,
    *,
    config,
):
    """Addresses of one dense layer: for every tile of rows output channels the whole input vector, a word a cycle.

    start: one cycle, begins a layer (the dot product of the input with every weight word, tile by tile).
    enable: the compute pipeline advances. act_address: activation memory word; w_address: weight word of the same
    operands. m_valid, m_first, m_last, m_tag: as from the window walker; one pixel, so both tag bits mark the last
    tile.
    Only in a mixed-precision build: byte_step: bytes that a word takes; act_offset: the first one in the word at
    act_address; weight_shift: 2^weight_shift array words lie in a word of the weight bank, w_part: which of them it is;
    m_tail: the last word of the input.
    Latency 2 cycles from start to the first address, a word every enabled cycle, holds while enable is low.
    """
    running, issue, k_ends, tile_ends = [Signal(bool(0)) for _ in range(4)]
    k, tile = [Signal(intbv(0)[16:]) for _ in range(2)]
    fetch_weight = Signal(modbv(0)[config.weight_addr_bits :])
    fetch_word = Signal(modbv(0)[config.act_addr_bits :])
    if config.mixed:
        address = _mixed_address(
            clk,
            start,
            enable,
            issue,
            k_ends,
            in_base,
            weight_base,
            byte_step,
            weight_shift,
            fetch_word,
            fetch_weight,
            act_offset,
            w_part,
            m_tail,
            config=config,
        )
    else:
        address = _whole_address(
            clk, start, enable, issue, k, in_base, weight_base, fetch_word, fetch_weight, config=config
        )

    @always_comb
    def compare():
        k_ends.next = k == kwords_minus1
        tile_ends.next = tile == tiles_minus1
        issue.next = running and enable

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        if start:
            running.next = True
        elif issue and k_ends and tile_ends:
            running.next = False
        if enable:
            m_valid.next = issue

    @always(clk.posedge)
    def walk():
        if start:
            k.next = 0
            tile.next = 0
        elif issue:
            if not k_ends:
                k.next = k + 1
            elif not tile_ends:
                k.next = 0
                tile.next = tile + 1

    @always(clk.posedge)
    def mark():
        if enable:
            m_first.next = k == 0
            m_last.next = k_ends
            m_tag.next[0] = tile_ends
            m_tag.next[1] = tile_ends

    @always_comb
    def present():
        act_address.next = fetch_word
        w_address.next = fetch_weight

    return compare, address, sequence, walk, mark, present
