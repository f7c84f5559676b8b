"""What drives what in an elaborated design: pictures take their arrows and widths from here."""

import functools
import inspect

from myhdl._block import _Block

from accel.errors import BitloomError
from accel.hdl.ports import sources
from accel.rtl.parts.bundles import Bundle


class PictureError(BitloomError):
    """A picture shows what the design is not; names the picture's part, the rule and the remedy."""


def blocks(parent):
    """The blocks that a block is made of, in order."""
    return [sub for sub in parent.subs if isinstance(sub, _Block)]


def kind(block):
    return block.func.__name__


def find(top, path):
    """The block at a path of kinds, `compute_core/line_buffer/ram#1`: the second ram of the line buffer."""
    block = top
    for part in path.split("/"):
        name, _, number = part.partition("#")
        found = [child for child in blocks(block) if kind(child) == name]
        if len(found) <= int(number or 0):
            raise PictureError(f"{kind(block)} has no block {part} (path {path}); mend the picture in scripts/pictures")
        block = found[int(number or 0)]
    return block


def processes(block):
    """All processes of a block and of what is inside it."""
    for sub in block.subs:
        if isinstance(sub, _Block):
            yield from processes(sub)
        else:
            yield sub


def signals(process, names):
    """{id: Signal} of the Signals with these names in a process, slices and concatenations as what they are made of."""
    pending = []
    for name in names:
        pending += [process.sigdict[name]] if name in process.sigdict else process.losdict.get(name, [])
    found = {}
    while pending:
        signal = pending.pop()
        parts = sources(signal)
        if parts:
            pending += [part for part in parts if hasattr(part, "_val")]  # a concatenation also holds constants
        else:
            found[id(signal)] = signal
    return found


def signal_named(block, name):
    """The Signal of this name: a port in a bundle, or what a process of this very block drives or reads."""
    for parameter, value in zip(inspect.signature(block.func).parameters, block.args, strict=False):
        if isinstance(value, Bundle):
            for member, port in value.port_names(parameter).items():
                if port == name and getattr(value, member) is not None:
                    return getattr(value, member)
    for sub in block.subs:
        if not isinstance(sub, _Block) and name in sub.sigdict:
            return sub.sigdict[name]
    raise PictureError(f"{kind(block)} has no signal {name}; mend the picture in scripts/pictures")


def _around(block, inside):
    """Processes of the blocks that contain the blocks with these ids."""
    if id(block) in inside:
        return []
    below = [_around(child, inside) for child in blocks(block)]
    contains = any(id(child) in inside for child in blocks(block)) or any(below)
    own = [sub for sub in block.subs if not isinstance(sub, _Block)] if contains else []
    return own + [process for found in below for process in found]


class Node:
    """What some processes drive and read."""

    def __init__(self, members):
        self.driven, self.read = {}, {}
        for process in members:
            self.driven |= signals(process, process.outputs | process.inouts)
            self.read |= signals(process, process.inputs | process.inouts)


@functools.cache
def node(block):
    """What a block and all that is inside it drive and read."""
    return Node(processes(block))


class Wiring:
    """Connections between named blocks of a design: {name: block}; processes of what contains them hand signals on."""

    def __init__(self, top, named):
        self.nodes = {name: node(block) for name, block in named.items()}
        inside = {id(block) for block in named.values()}
        self.glue = [Node([process]) for process in _around(top, inside)]

    def reached(self, name, bits):
        """Signals of at least `bits` bits that carry what a block drives, directly or through processes between."""
        found = {key: signal for key, signal in self.nodes[name].driven.items() if len(signal) >= bits}
        for node in self.glue * 2:  # no more than two processes lie between two blocks
            if found.keys() & node.read.keys():
                found |= {key: signal for key, signal in node.driven.items() if len(signal) >= bits}
        return found

    def width(self, source, target, bits=1):
        """Bits of the widest Signal, of at least `bits`, that `source` drives and `target` reads; 0 where none is.

        Where processes lie between, it counts no more than the widest that `source` drives.
        """
        driven, read = self.nodes[source].driven, self.nodes[target].read
        common = self.reached(source, bits).keys() & read.keys()
        widest = max((len(read[key]) for key in common), default=0)
        return min(widest, max((len(signal) for signal in driven.values()), default=0))

    def pairs(self, bits):
        """All (source, target) with a Signal of at least `bits` bits between them."""
        return {
            (source, target)
            for source in self.nodes
            for target in self.nodes
            if source != target and self.width(source, target, bits)
        }
