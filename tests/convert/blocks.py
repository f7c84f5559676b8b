"""Small modules that together use every feature of the conversion; they compute nothing of interest."""

from myhdl import ConcatSignal, ResetSignal, Signal, always, always_comb, always_seq, block, enum, intbv, modbv

from accel.rtl.parts.module import memory, module, unused

LIGHT = enum("RED", "GREEN", "YELLOW")


@module
def delay_line(clk, x, y, *, depth):
    """y is x, `depth` cycles later.

    x, y: same width.
    Latency: depth cycles.
    """
    stages = [Signal(x.val) for _ in range(depth)]

    @always(clk.posedge)
    def shift():
        stages[0].next = x
        for i in range(1, depth):
            stages[i].next = stages[i - 1]

    @always_comb
    def present():
        y.next = stages[depth - 1]

    return shift, present


@module
def accumulate(clk, rst, a, enable, total, overflow=None):
    """total += a while enable, modulo its width; signed or unsigned by its ports."""

    if overflow is None:

        @always_seq(clk.posedge, reset=rst)
        def add():
            if enable:
                total.next = total + a

        return add

    above = Signal(bool(0))

    @always_comb
    def compare():
        above.next = total > 100

    @always_seq(clk.posedge, reset=rst)
    def add_and_flag():
        if enable:
            total.next = total + a
        overflow.next = above

    return compare, add_and_flag


@block
def _invert(x, y):
    @always_comb
    def run():
        y.next = not x

    return run


@module
def lane(clk, rst, data, bias, enable, q, *, signed):
    """Two accumulators of one byte; `signed` reads the byte as two's complement."""
    idle = Signal(bool(0))
    inverted = _invert(enable, idle)
    if signed:
        value, late = [Signal(intbv(0, min=-128, max=128)) for _ in range(2)]
        total, backwards = [Signal(modbv(0, min=-(2**15), max=2**15)) for _ in range(2)]
        flag = Signal(bool(0))

        @always_comb
        def convert():
            value.next = data.signed()
    else:
        value, late = [Signal(intbv(0)[8:]) for _ in range(2)]
        total, backwards = [Signal(modbv(3)[16:]) for _ in range(2)]
        flag = Signal(bool(0))

        @always_comb
        def convert():
            value.next = data

    line = delay_line(clk, value, late, depth=2)
    forward = accumulate(clk, rst, late, enable, total, flag)
    reverse = accumulate(clk, rst, value, idle, backwards)
    product = Signal(intbv(0, min=-(2**31), max=2**31))

    @always(clk.posedge)
    def multiply():
        if rst:
            product.next = 0
        else:
            product.next = total * bias

    @always_comb
    def join():
        q.next = product[32:16]
        if flag:
            q.next = product[16:0] ^ backwards[16:0]

    unused(data)
    return inverted, convert, line, forward, reverse, multiply, join


@module
def datapath(clk, rst, word, enable, bias, q, wide, *, lanes):
    """`lanes` lanes of one word, alternately signed and unsigned; three levels deep.

    word: lanes bytes. bias: signed factor of each lane. q: 16 bits a lane, lane 0 low. wide: 4 copies of q.
    """
    offset = Signal(intbv(-3, min=-8, max=8))  # nothing drives it: a constant
    parts = [Signal(intbv(0)[16:]) for _ in range(lanes)]
    cells = []
    for i in range(lanes):
        cells.append(
            lane(clk, rst, word(8 * i + 8, 8 * i), offset if i == 0 else bias, enable, parts[i], signed=i % 2 == 0)
        )
    joined = ConcatSignal(*reversed(parts))
    copies = ConcatSignal(joined, joined, joined, joined)
    checked, ignored = Signal(intbv(0)[8:]), Signal(intbv(0)[8:])
    spare_line = delay_line(clk, word(8, 0), ignored, depth=1)
    check_line = delay_line(clk, word(16, 8), checked, depth=1)

    @always(clk.posedge)
    def collect():
        q.next = joined
        wide.next = copies

    unused(checked)
    return cells, spare_line, check_line, collect


@module
def table(clk, address, data, *, image):
    """Registered read of a memory that a file fills."""
    depth = 1 << len(address)
    mem = [Signal(intbv(0)[len(data) :]) for _ in range(depth)]
    memory(mem, style="block", preset=image)
    write, spare = Signal(bool(0)), Signal(intbv(0)[len(data) :])

    @always_comb
    def idle():
        write.next = False
        spare.next = address

    @always(clk.posedge)
    def access():
        if write:
            mem[address].next = spare
        data.next = mem[address]

    return idle, access


@module
def tables(clk, address, low, high, *, images):
    """The same table twice, with different contents."""
    low_table = table(clk, address, low, image=images[0])
    high_table = table(clk, address, high, image=images[1])
    return low_table, high_table


@module
def reduce_array(clk, x, total):
    """An array that instances drive and a process sums."""
    words = [Signal(intbv(0)[8:]) for _ in range(4)]
    lines = [delay_line(clk, x(8 * i + 8, 8 * i), words[i], depth=i + 1) for i in range(4)]
    sums = Signal(intbv(0)[10:])

    @always_comb
    def add():
        sums.next = words[0] + words[1] + words[2] + words[3]

    @always(clk.posedge)
    def store():
        total.next = sums

    return lines, add, store


@module
def traffic_light(clk, rst, go, lamps):
    """A machine of three states."""
    state = Signal(LIGHT.RED)
    earlier = Signal(LIGHT.RED)

    @always_seq(clk.posedge, reset=rst)
    def change():
        earlier.next = state
        if state == LIGHT.RED:
            if go:
                state.next = LIGHT.GREEN
        elif state == LIGHT.GREEN:
            if not go:
                state.next = LIGHT.YELLOW
        else:
            state.next = LIGHT.RED

    @always_comb
    def show():
        lamps.next = 0
        if state == LIGHT.GREEN:
            lamps.next = 1
        elif earlier == LIGHT.YELLOW:
            lamps.next = 2

    return change, show


def traffic_light_ports():
    clk, rst = clock_and_reset()
    return {"clk": clk, "rst": rst, "go": Signal(bool(0)), "lamps": Signal(intbv(0)[2:])}


def clock_and_reset():
    return Signal(bool(0)), ResetSignal(0, active=1, isasync=False)


def datapath_ports(lanes=4):
    clk, rst = clock_and_reset()
    return {
        "clk": clk,
        "rst": rst,
        "word": Signal(intbv(0)[8 * lanes :]),
        "enable": Signal(bool(0)),
        "bias": Signal(intbv(0, min=-128, max=128)),
        "q": Signal(intbv(0)[16 * lanes :]),
        "wide": Signal(intbv(0)[64 * lanes :]),
    }


def tables_ports():
    return {
        "clk": Signal(bool(0)),
        "address": Signal(intbv(0)[4:]),
        "low": Signal(intbv(0)[10:]),
        "high": Signal(intbv(0)[10:]),
    }


def reduce_array_ports():
    return {"clk": Signal(bool(0)), "x": Signal(intbv(0)[32:]), "total": Signal(intbv(0)[10:])}
