"""What block tests share: port Signals, and operands pushed through a pipeline that one `enable` stalls."""

from myhdl import ResetSignal, Signal, intbv


def flag():
    return Signal(bool(0))


def word(bits):
    return Signal(intbv(0)[bits:])


def reset():
    return ResetSignal(0, active=1, isasync=False)


def random_words(rng, dut, names):
    """{port: random value} for the named ports."""
    return {name: rng.getrandbits(dut.ports[name].bits) for name in names}


def poke(dut, **values):
    for name, value in values.items():
        dut.poke(name, int(value))


def push(dut, rng, stalls, operands, results, *, latency):
    """One operand ({port: value}) an enabled cycle; results[i] ({port: value}) must be out `latency` later.

    In the cycles that `stalls` takes out enable is low, the operand ports carry garbage and the last result
    must hold.
    """
    held = stalls.source_pauses(rng)
    count, shown = 0, {}
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
