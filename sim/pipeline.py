"""What block tests share: port Signals, and operands pushed through a pipeline that one `enable` stalls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from myhdl import ResetSignal, Signal, intbv

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

    from sim.bus import Stalls
    from sim.engines.dut import Dut


def flag() -> Signal:
    return Signal(bool(0))


def word(bits: int) -> Signal:
    return Signal(intbv(0)[bits:])


def reset() -> Signal:
    return ResetSignal(0, active=1, isasync=False)


def random_words(rng: Random, dut: Dut, names: Iterable[str]) -> dict[str, int]:
    """{port: random value} for the named ports."""
    return {name: rng.getrandbits(dut.ports[name].bits) for name in names}


def poke(dut: Dut, **values: int) -> None:
    for name, value in values.items():
        dut.poke(name, int(value))


def push(
    dut: Dut,
    rng: Random,
    stalls: Stalls,
    operands: Sequence[Mapping[str, int]],
    results: Sequence[Mapping[str, int]],
    *,
    latency: int,
) -> None:
    """One operand ({port: value}) an enabled cycle; results[i] ({port: value}) must be out `latency` later.

    In the cycles that `stalls` takes out enable is low, the operand ports carry garbage and the last result
    must hold.
    """
    held = stalls.source_pauses(rng)
    count = 0
    shown: Mapping[str, int] = {}
    while count < len(operands) + latency:
        stalled = next(held)
        poke(dut, enable=not stalled)
        if stalled:
            poke(dut, **random_words(rng, dut, operands[0]))
        elif count < len(operands):
            poke(dut, **operands[count])
        for name, value in shown.items():
            got = dut.peek(name)
            where = f"cycle {dut.cycle}, operand {count - latency}"
            assert got == value, f"{where}: {name} expected {value:#x}, got {got:#x}"
        dut.step()
        if not stalled:
            count += 1
            at = count - latency
            shown = results[at] if 0 <= at < len(results) else {}
