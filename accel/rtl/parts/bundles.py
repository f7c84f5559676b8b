"""Bundles: Signals that travel together, passed to a block as one parameter.

    @module
    def fifo(clk, rst, s: Stream, m: Stream, level, *, depth):
        ...
        def follow():
            m.valid.next = s.valid and ready

`@module` makes of a parameter that is annotated with a bundle one port for each member that is present, named after
the parameter and the member: s_data, s_valid, s_ready. A bundle with `prefix = False` gives ports of the members' bare
names. Members that a caller leaves out are None, as absent ports are.
"""


class Bundle:
    """Signals by name; what `members` does not list is an error, what is left out is absent."""

    members: tuple = ()
    prefix = True

    def __init__(self, *signals, **named):
        values = dict(zip(self.members, signals, strict=False)) | named
        if len(signals) > len(self.members) or set(values) - set(self.members):
            given = [*map(str, range(len(signals))), *named]
            raise TypeError(f"{type(self).__name__} holds {', '.join(self.members)}, not {', '.join(given)}")
        for member in self.members:
            setattr(self, member, values.get(member))

    @classmethod
    def port_names(cls, parameter):
        """{member: port name} of a block's parameter."""
        return {member: f"{parameter}_{member}" if cls.prefix else member for member in cls.members}

    def signals(self):
        """{member: Signal} of the members that are present."""
        return {member: getattr(self, member) for member in self.members if getattr(self, member) is not None}


class Stream(Bundle):
    """Words with a handshake: a word moves in every cycle in which valid and ready are both high.

    data: the word. valid: there is one; it and data hold until it is taken. ready: it would be taken. keep: a bit for
    each byte of data that counts. last: the last word of a tensor. Without ready every valid word is taken.
    """

    members = ("data", "valid", "ready", "keep", "last")


class TileWord(Bundle):
    """An array word on its way from the windows to the MAC array: where its weights lie, its place in the tile.

    valid: there is a word. first, last: of its tile. tag: bit 0 the pixel's last tile, bit 1 the layer's. tail: the
    last word of a kernel row. address, part: word of the weight bank, and which of the array words that lie in it.
    """

    members = ("valid", "first", "last", "tag", "tail", "address", "part")


class Tile(Bundle):
    """Finished accumulators of a tile: `rows` output channels of a pixel.

    data: the accumulators, row 0 low. valid: there is one. ready: a tile that is valid in the next cycle is taken
    then. tag: bit 0 the pixel's last tile, bit 1 the layer's. coming: valid of the next cycle if this one is enabled.
    """

    members = ("data", "valid", "ready", "tag", "coming")


class MemoryRead(Bundle):
    """Read port of a memory: in a cycle with enable the word at address is read; data holds it from the next cycle."""

    members = ("enable", "address", "data")


class WeightWrite(Bundle):
    """A write of the weight bank: 32 bits of one row of a word.

    we: write int8 weights (or codes, or narrow weights as they are stored). waddr: word. wrow: row. wpart: 32-bit part
    of the row, absent where a row is one part. wdata: the bits. packed_we: write packed 6-bit weights instead. pair:
    wdata holds two parts.
    """

    members = ("we", "waddr", "wrow", "wpart", "wdata", "packed_we", "pair")


class Precision(Bundle):
    """Control of a mixed-precision build for the running layer, made by the precision controller.

    mode: the array's compute code. weight_shift: log2 of the array words in a word of the weight bank. input_shift:
    log2 of the array words that an activation word makes. weight_form, input_form: how elements are widened. byte_step:
    source bytes of an array word. keep: lanes of the last word of a kernel row that hold a source byte that counts.
    """

    members = ("mode", "weight_shift", "weight_form", "input_shift", "input_form", "byte_step", "keep")
    prefix = False


class Progress(Bundle):
    """How far the compute core is in its layer.

    issuing: a word enters the array. starved: one cycle, the layer needs rows that do not come. busy: words of the
    source are still to be taken. last_word: the next one is the last. waiting: the layer waits for the input stream.
    hungry: the feeder stands still until there is a source word.
    """

    members = ("issuing", "starved", "busy", "last_word", "waiting", "hungry")
    prefix = False


class AxiStream(Bundle):
    """A stream at the edge of the accelerator, by the rules and names of AXI4-Stream.

    tdata, tvalid, tready: as data, valid, ready of a Stream. tkeep: a bit for each byte that counts. tlast: the last
    beat of a tensor.
    """

    members = ("tdata", "tkeep", "tvalid", "tready", "tlast")


class Groups(Bundle):
    """Requantized channels of one pixel, `req_lanes` at a time, in the order of the output; no back-pressure.

    data: a byte for each channel. count: bytes that count. valid: there is a group. pixel_last, last: it is the last
    of its pixel, of the layer.
    """

    members = ("data", "count", "valid", "pixel_last", "last")


class Host(Bundle):
    """The host's port: a word a cycle.

    addr: of a 32-bit word. write, wdata: write this. read, rdata: read; the word comes HOST_READ_LATENCY cycles later.
    """

    members = ("addr", "write", "wdata", "read", "rdata")


class HostWrite(Bundle):
    """A write of the host as the host port hands it on. we: in this cycle. address: inside the region. wdata: word."""

    members = ("we", "address", "wdata")


def fields(*names):
    """A bundle class of these fields of a layer descriptor; its ports have the fields' names.

    The members are Signals of the fields' widths or less (accel.rtl.control.fields.layer_fields makes them).
    """
    from accel.descriptor import FIELDS  # needs numpy, which a block without fields converts without

    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        raise ValueError(f"the descriptor has no field {', '.join(unknown)}")
    return type("LayerFields", (Bundle,), {"members": names, "prefix": False, "__doc__": "Fields of a layer."})
