"""What feeder, line buffer and window walker hand to each other."""

from accel.rtl.parts.bundles import Bundle


class Rows(Bundle):
    """Rows of the line buffer's ring, between feeder and window walker.

    filled: one more row is in the ring. stuck: no row will follow unless slots are released. released: an output row
    has been read, row_step slots are free. finished: no further row is needed, until the next start.
    """

    members = ("filled", "stuck", "released", "finished")


class LineWrite(Bundle):
    """A write of the line buffer: 1 .. lanes bytes from byte `address` on.

    end: the byte behind the last one, counted from the start of the word in which the first one lies. The bytes are
    those of `data` rotated right by `rotate` bytes, so that the first one stands at address mod lanes.
    """

    members = ("enable", "address", "rotate", "data", "end")


class LineRead(Bundle):
    """A read of the line buffer: `lanes` bytes from byte word * lanes + offset on arrive as `data`."""

    members = ("word", "offset", "data")


class Direct(Bundle):
    """A dense layer's way through the line buffer's output stage: while `select` is high `data` goes out instead.

    data: a word of the activation memory, two enabled cycles after its address. offset: its first byte, with the
    address; absent in a build of int8 only.
    """

    members = ("select", "data", "offset")
