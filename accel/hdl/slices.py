"""Named slices: a slice that Python names (`named`) has a name in the text too: a wire in Verilog, an alias in VHDL."""

from dataclasses import dataclass

from myhdl._Signal import _Signal

from accel.hdl.naming import unique


@dataclass(frozen=True)
class NamedSlice:
    """A name for bits of a Signal. source: those bits in the language's text. is_bool: a single bit, not a vector."""

    name: str
    source: str
    width: int
    is_bool: bool


def name_slices(labels: list[tuple[_Signal, str]], taken: set[str]) -> list[NamedSlice]:
    """Give the labelled slices the name of their Signal with the label behind it; equal ones are one wire.

    taken: names that the module has already, in lower case; the new ones are added.
    """
    slices = {}
    for part, label in labels:
        if part._name is None or (part._sig._min or 0) < 0:  # VHDL has no name for unsigned bits of a signed Signal
            continue
        whole, source = part._sig, part._name
        key = source, label
        if key not in slices:
            name = unique(f"{whole._name}_{label}", taken)
            slices[key] = NamedSlice(name, source, len(part), part._right is None)
        part._name = slices[key].name
    return list(slices.values())
