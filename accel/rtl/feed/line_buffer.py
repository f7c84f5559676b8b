"""The line buffer: byte-addressed writes and reads of whole words from two interleaved banks."""

from myhdl import Signal, always, always_comb, intbv, modbv

from accel.rtl.parts.byte_rotator import byte_rotator
from accel.rtl.parts.module import module
from accel.rtl.parts.ram import ram

LINE_READ_LATENCY = 3  # enabled cycles from r_word to r_data
LINE_WRITE_LATENCY = 2  # cycles until a read address may name the written bytes


@module
def line_buffer(
    clk,
    w_enable,
    w_address,
    w_rotate,
    w_data,
    w_count,
    enable,
    r_word,
    r_offset,
    direct,
    direct_data,
    r_data,
    direct_offset=None,
    *,
    config,
):
    """lanes bytes written and lanes bytes read in every cycle, both at any byte address.

    w_enable, w_address, w_count: write w_count bytes (1 .. lanes) from byte address w_address on; the bytes are taken
    from w_data rotated right by w_rotate bytes so that the first one stands at w_address mod lanes.
    enable, r_word, r_offset: read the lanes bytes from byte r_word * lanes + r_offset on; everything on the read side
    holds while enable is low.
    direct, direct_data: while direct is high r_data carries direct_data instead (one enabled cycle after its address,
    like a bank), which is how a dense layer bypasses the buffer: unrotated, or in a mixed-precision build from byte
    direct_offset on, which comes with the address.
    Even words lie in one bank, odd words in the other, so two neighbouring words are read together, merged byte by byte
    and rotated. Addresses wrap at the end of the memory.
    Latency LINE_READ_LATENCY enabled cycles; a write may be read LINE_WRITE_LATENCY cycles later; one access a cycle.
    """
    lanes, width, bank_depth = config.lanes, config.word_bits, config.line_depth // 2
    both = 2 * lanes  # bytes of two neighbouring words
    lane_bits, word_bits, bank_bits = config.lane_bits, config.line_addr_bits, config.line_addr_bits - 1

    # Write side: place the bytes and split them over the banks.
    write_data, rotated_data = [Signal(intbv(0)[width:]) for _ in range(2)]
    strobes = Signal(intbv(0)[both:])
    even_strobes, odd_strobes = [Signal(intbv(0)[lanes:]) for _ in range(2)]
    even_waddr, odd_waddr = [Signal(modbv(0)[bank_bits:]) for _ in range(2)]

    align_write = byte_rotator(w_data, w_rotate, rotated_data)

    @always_comb
    def mark():
        strobes.next = 0
        for j in range(both):
            if w_enable and w_address[lane_bits:] <= j and w_address[lane_bits:] + w_count > j:
                strobes.next[j] = 1

    @always(clk.posedge)
    def split():
        write_data.next = rotated_data
        odd_waddr.next = w_address[word_bits + lane_bits : lane_bits + 1]
        if w_address[lane_bits]:
            even_waddr.next = w_address[word_bits + lane_bits : lane_bits + 1] + 1
            even_strobes.next = strobes[both:lanes]
            odd_strobes.next = strobes[lanes:0]
        else:
            even_waddr.next = w_address[word_bits + lane_bits : lane_bits + 1]
            even_strobes.next = strobes[lanes:0]
            odd_strobes.next = strobes[both:lanes]

    # Read side: both banks, merge, rotate.
    even_raddr, odd_raddr = [Signal(modbv(0)[bank_bits:]) for _ in range(2)]
    even_data, odd_data, merged, rotated = [Signal(intbv(0)[width:]) for _ in range(4)]
    from_even, keep = Signal(intbv(0)[lanes:]), Signal(intbv(0)[width:])
    offset, offset_late = [Signal(intbv(0)[lane_bits:]) for _ in range(2)]
    direct_late = Signal(bool(0))

    even_bank = ram(
        clk,
        even_strobes,
        even_waddr,
        write_data,
        enable,
        even_raddr,
        even_data,
        depth=bank_depth,
        part_bits=8,
        style=config.line_style,
    )
    odd_bank = ram(
        clk,
        odd_strobes,
        odd_waddr,
        write_data,
        enable,
        odd_raddr,
        odd_data,
        depth=bank_depth,
        part_bits=8,
        style=config.line_style,
    )
    align_read = byte_rotator(merged, offset_late, rotated)

    @always_comb
    def address():
        odd_raddr.next = r_word[word_bits:1]
        if r_word[0]:
            even_raddr.next = r_word[word_bits:1] + 1
        else:
            even_raddr.next = r_word[word_bits:1]

    @always_comb
    def widen():
        for j in range(lanes):
            for b in range(8):
                keep.next[8 * j + b] = from_even[j]

    @always(clk.posedge)
    def fetch():
        if enable:
            # Byte j comes from the first of the two words where j >= offset; the first word is even where r_word is.
            for j in range(lanes):
                from_even.next[j] = (r_offset <= j) != r_word[0]
            direct_late.next = direct
            if direct_late:
                merged.next = direct_data
            else:
                merged.next = (even_data & keep) | (odd_data & ~keep)
            offset_late.next = offset
            r_data.next = rotated

    if direct_offset is None:

        @always(clk.posedge)
        def choose_offset():
            if enable:
                if direct:
                    offset.next = 0
                else:
                    offset.next = r_offset

    else:

        @always(clk.posedge)
        def choose_offset():
            if enable:
                if direct:
                    offset.next = direct_offset
                else:
                    offset.next = r_offset

    return align_write, mark, split, even_bank, odd_bank, align_read, address, widen, fetch, choose_offset
