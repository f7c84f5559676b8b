"""The dense engine: words of the activation memory straight to the array, no line buffer."""

from myhdl import Signal, always, always_comb, always_seq, block, intbv, modbv

from accel.rtl.parts.bundles import Bundle, Precision, TileWord, fields
from accel.rtl.parts.module import module, unused

DENSE_FIELDS = fields("in_base", "weight_base", "tiles_minus1", "kwords_minus1")


class _Fetch(Bundle):
    """Addresses of the next word: of the activation memory, of the weight bank."""

    members = ("word", "weight")


@block
def _whole_address(clk, start, enable, issue, k, fetch, layer, *, config):
    """Addresses of an int8 build: every array word is one word of either memory."""
    act_bits = config.act_addr_bits
    weight_word = Signal(modbv(0)[config.weight_addr_bits :])

    @always(clk.posedge)
    def count():
        if start:
            weight_word.next = layer.weight_base
        elif issue:
            weight_word.next = weight_word + 1

    @always(clk.posedge)
    def place():
        if enable:
            fetch.word.next = layer.in_base + k[act_bits:]
            fetch.weight.next = weight_word

    return count, place


@block
def _mixed_address(clk, start, enable, issue, k_ends, fetch, act_offset, m, layer, precision, *, config):
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
                spot.next = spot + precision.byte_step

    @always_comb
    def divide():
        bank_word.next = weight_word >> precision.weight_shift

    @always(clk.posedge)
    def place():
        if enable:
            fetch.word.next = layer.in_base + spot[act_bits + lane_bits : lane_bits]
            fetch.weight.next = layer.weight_base + bank_word[weight_bits:]
            act_offset.next = spot[lane_bits:]
            m.part.next = weight_word[part_bits:]
            m.tail.next = k_ends

    return count, divide, place


@module
def dense_engine(
    clk,
    rst,
    start,
    enable,
    act_address,
    m: TileWord,
    layer: DENSE_FIELDS,
    precision: Precision,
    act_offset=None,
    *,
    config,
):
    """Addresses of one dense layer: for every tile of rows output channels the whole input vector, a word a cycle.

    start: one cycle, begins a layer (the dot product of the input with every weight word, tile by tile).
    enable: the compute pipeline advances. act_address: activation memory word. m: the same operands' weights and place
    in the tile; one pixel, so both tag bits mark the last tile.
    Only in a mixed-precision build: precision (byte_step, weight_shift); act_offset: the first byte in the word at
    act_address; m.part and m.tail.
    Latency 2 cycles from start to the first address, a word every enabled cycle, holds while enable is low.
    """
    running, issue, k_ends, tile_ends = [Signal(bool(0)) for _ in range(4)]
    k, tile = [Signal(intbv(0)[16:]) for _ in range(2)]
    fetch_weight = Signal(modbv(0)[config.weight_addr_bits :])
    fetch_word = Signal(modbv(0)[config.act_addr_bits :])
    fetch = _Fetch(fetch_word, fetch_weight)
    if config.mixed:
        address = _mixed_address(
            clk, start, enable, issue, k_ends, fetch, act_offset, m, layer, precision, config=config
        )
    else:
        address = _whole_address(clk, start, enable, issue, k, fetch, layer, config=config)

    @always_comb
    def compare():
        k_ends.next = k == layer.kwords_minus1
        tile_ends.next = tile == layer.tiles_minus1
        issue.next = running and enable

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        if start:
            running.next = True
        elif issue and k_ends and tile_ends:
            running.next = False
        if enable:
            m.valid.next = issue

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
            m.first.next = k == 0
            m.last.next = k_ends
            m.tag.next[0] = tile_ends
            m.tag.next[1] = tile_ends

    @always_comb
    def present():
        act_address.next = fetch_word
        m.address.next = fetch_weight

    return compare, address, sequence, walk, mark, present
