"""The faster building of MyHDL's instances: the same callers and the same sources as MyHDL's own."""

import ast
import inspect

from myhdl import Signal, _block, _instance, _util, _Waiter, always, block

from accel.rtl.parts.fast_myhdl import FRAMES, Inspect, calling_frames, install


def test_the_first_frames_are_those_of_inspect():
    for ours, theirs in zip(calling_frames(), inspect.stack(), strict=False):
        assert (ours.frame, ours.filename, ours.function) == (theirs.frame, theirs.filename, theirs.function)
    assert len(calling_frames()) == FRAMES
    assert [
        ours[0] is theirs[0] and ours[3] == theirs[3]
        for ours, theirs in zip(calling_frames(), inspect.stack(), strict=False)
    ] == [True] * FRAMES


@block
def follower(clk, x, y, *, extra):
    @always(clk.posedge)
    def follow():
        y.next = x + extra

    return follow


@block
def pair(clk, x, y, z):
    parts = [follower(clk, *signals, extra=number) for number, signals in enumerate(((x, y), (y, z)))]
    return parts


def build():
    top = pair(*[Signal(0) for _ in range(4)])
    found = []
    for part in top.subs:
        process = part.subs[0]
        found.append(
            (
                part.symdict.keys(),
                part.modctxt,
                process.callername,
                process.modctxt,
                process.symdict["extra"],
                sorted(process.inputs),
                sorted(process.outputs),
                ast.dump(process.ast),
                process.ast.sourcefile,
                process.ast.lineoffset,
                type(process.waiter).__name__,
            )
        )
    return top.name, top.sigdict.keys(), found


def test_instances_are_those_of_plain_myhdl(monkeypatch):
    install()
    ours = build()
    for part in (_block, _instance, _util, _Waiter):
        assert isinstance(part.inspect, Inspect)
        monkeypatch.setattr(part, "inspect", inspect)
    monkeypatch.setattr(_util, "_dedent", _util._dedent.__wrapped__)
    assert build() == (ours[0].replace("0", "1"), *ours[1:])
