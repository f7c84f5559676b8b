"""The dense engine: words of the activation memory straight to the array, no line buffer."""

from myhdl import Signal, always, always_comb, always_seq, intbv, modbv

from accel.rtl.hierarchy import module


@module
def dense_engine(clk, rst, start, enable, act_address, w_address, m_valid, m_first, m_last, m_tag, in_base, weight_base,
                 tiles_minus1, kwords_minus1, *, config):
    """Addresses of one dense layer: for every tile of rows output channels the whole input vector, a word a cycle.

    start: one cycle, begins a layer (the dot product of the input with every weight word, tile by tile).
    enable: the compute pipeline advances. act_address: activation memory word; w_address: weight word of the same
    operands. m_valid, m_first, m_last, m_tag: as from the window walker; one pixel, so both tag bits mark the last
    tile.
    Latency 2 cycles from start to the first address, a word every enabled cycle, holds while enable is low.
    """
    running, issue, k_ends, tile_ends = [Signal(bool(0)) for _ in range(4)]
    k, tile = [Signal(intbv(0)[16:]) for _ in range(2)]
    weight_word, fetch_weight = [Signal(modbv(0)[config.weight_addr_bits:]) for _ in range(2)]
    fetch_word = Signal(modbv(0)[config.act_addr_bits:])
    act_bits = config.act_addr_bits

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
            weight_word.next = weight_base
        elif issue:
            weight_word.next = weight_word + 1
            if not k_ends:
                k.next = k + 1
            elif not tile_ends:
                k.next = 0
                tile.next = tile + 1

    @always(clk.posedge)
    def address():
        if enable:
            fetch_word.next = in_base + k[act_bits:]
            fetch_weight.next = weight_word
            m_first.next = k == 0
            m_last.next = k_ends
            m_tag.next[0] = tile_ends
            m_tag.next[1] = tile_ends

    @always_comb
    def present():
        act_address.next = fetch_word
        w_address.next = fetch_weight

    return compare, sequence, walk, address, present
