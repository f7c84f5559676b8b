"""Makes MyHDL build its instances several times faster; nothing else about them changes.

MyHDL asks `inspect.stack()` for the caller of each block and of each process, which looks up the source line of every
frame down to the program's start, and reads and tokenizes a process's source again for each of its instances. Here
MyHDL gets the few frames it looks at, without source lines, and the text of a function once per place in a file.
"""

import functools
import inspect
import sys
from collections import namedtuple

from myhdl import _block, _instance, _util, _Waiter

FRAMES = 6  # MyHDL looks at the first six at most
Record = namedtuple("Record", "frame filename lineno function code_context index")


def calling_frames():
    """What inspect.stack() gives of the first frames, but no source: lineno, code_context and index are None."""
    records, frame = [], sys._getframe(1)
    while frame is not None and len(records) < FRAMES:
        code = frame.f_code
        records.append(Record(frame, code.co_filename, None, code.co_name, None, None))
        frame = frame.f_back
    return records


def once_per_function(look_up):
    """`look_up` of a function or frame, done once for each place in a file."""
    known = {}

    @functools.wraps(look_up)
    def found(thing):
        code = thing.f_code if inspect.isframe(thing) else thing.__code__
        place = code.co_filename, code.co_firstlineno, code.co_name
        if place not in known:
            known[place] = look_up(thing)
        return known[place]

    return found


class Inspect:
    """The module `inspect` as some modules of MyHDL see it."""

    stack = staticmethod(calling_frames)
    getsource = staticmethod(once_per_function(inspect.getsource))
    getsourcefile = staticmethod(once_per_function(inspect.getsourcefile))
    getsourcelines = staticmethod(once_per_function(inspect.getsourcelines))

    def __getattr__(self, name):
        return getattr(inspect, name)


def install():
    """Let MyHDL use these; a second call changes nothing."""
    if isinstance(_block.inspect, Inspect):
        return
    for part in (_block, _instance, _util, _Waiter):
        part.inspect = Inspect()
    _util._dedent = _Waiter._dedent = functools.cache(_util._dedent)
