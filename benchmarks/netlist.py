"""Counts and longest register-to-register paths of a Xilinx 7 series netlist in Yosys' JSON."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# LUTs that one logic or distributed memory cell occupies.
LUTS_PER_CELL = {
    "INV": 1,
    "RAM32X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1S": 1,
    "RAM64X1D": 2,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM128X1S": 2,
    "RAM128X1D": 4,
    "RAM256X1S": 4,
    "SRL16E": 1,
    "SRLC32E": 1,
} | {f"LUT{inputs}": 1 for inputs in range(1, 7)}

WIRE_CELLS = {"MUXF7", "MUXF8", "BUFG", "BUFGCTRL", "IBUF", "OBUF"}
# Input port of a DSP48E1 -> the parameter that says how many registers stand behind it.
DSP_INPUTS = {"A": "AREG", "B": "BREG", "C": "CREG", "D": "DREG", "ACIN": "AREG", "BCIN": "BREG"}


@dataclass(frozen=True)
class TimingPath:
    """A combinational path: LUT levels, DSP slices it passes, and the cell types along it."""

    luts: int
    dsps: int
    cells: tuple[str, ...]

    def __str__(self):
        return " > ".join(self.cells)


class Netlist:
    def __init__(self, path):
        design = json.loads(Path(path).read_text())
        tops = [m for m in design["modules"].values() if int(str(m["attributes"].get("top", "0")), 2)]
        self.module = tops[0]
        self.cells = self.module["cells"]
        self.counts = Counter(cell["type"] for cell in self.cells.values())
        self.drivers = {}
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"].get(port) == "output":
                    self.drivers.update({bit: (name, port, i) for i, bit in enumerate(bits)})
        self.names = {}
        for name, net in sorted(self.module["netnames"].items(), key=lambda item: len(item[0]), reverse=True):
            if not net["hide_name"]:
                self.names.update(dict.fromkeys(net["bits"], name))

    def luts(self):
        return sum(LUTS_PER_CELL.get(kind, 0) * count for kind, count in self.counts.items())

    def flip_flops(self):
        return sum(count for kind, count in self.counts.items() if re.match(r"FD|LD", kind))

    def dsps(self):
        return self.counts["DSP48E1"]

    def block_rams(self):
        """In units of RAMB36E1."""
        return self.counts["RAMB36E1"] + self.counts["RAMB18E1"] / 2

    def summary(self):
        return {
            "luts": self.luts(),
            "flip_flops": self.flip_flops(),
            "dsps": self.dsps(),
            "ramb36": self.block_rams(),
            "cells": dict(sorted(self.counts.items())),
        }

    def longest_paths(self):
        """(path with most LUT levels, path with most DSPs) among all register-to-register paths."""
        best = {}
        by_luts = by_dsps = TimingPath(0, 0, ())
        for name, cell in self.cells.items():
            for port, bit, dsps in self._end_points(name, cell):
                luts_path, dsps_path = self._arrival(bit, best)
                end = (f"{cell['type']}.{port} ({self._label(cell)})",)
                candidate = TimingPath(luts_path.luts, luts_path.dsps + dsps, luts_path.cells + end)
                by_luts = max(by_luts, candidate, key=lambda path: path.luts)
                candidate = TimingPath(dsps_path.luts, dsps_path.dsps + dsps, dsps_path.cells + end)
                by_dsps = max(by_dsps, candidate, key=lambda path: (path.dsps, path.luts))
        return by_luts, by_dsps

    def _end_points(self, name, cell):
        """(port, bit, DSPs entered) of every input that ends a path in a register."""
        through = {bit for sources in self._sources_by_output(cell).values() for bit in sources}
        for port, bits in cell["connections"].items():
            if cell["port_directions"].get(port) != "input":
                continue
            inside = cell["type"] == "DSP48E1" and not _dsp_registered_input(cell, port)
            for bit in bits:
                if isinstance(bit, int) and bit in self.drivers and (inside or bit not in through):
                    yield port, bit, int(inside)

    def _sources_by_output(self, cell):
        """{output (port, index): input bits that reach it without a register}; empty for a register."""
        if "sources" not in cell:
            cell["sources"] = dict(_combinational_arcs(cell))
        return cell["sources"]

    def _arrival(self, start, best):
        """Worst paths into a net, memoised in `best`; an explicit stack because chains get long."""
        stack, opened = [start], set()
        while stack:
            bit = stack[-1]
            if bit in best:
                stack.pop()
                continue
            if bit not in self.drivers:
                best[bit] = (TimingPath(0, 0, ("input",)),) * 2
                continue
            name, port, index = self.drivers[bit]
            cell = self.cells[name]
            arcs = self._sources_by_output(cell).get((port, index), ())
            sources = [source for source in arcs if isinstance(source, int)]
            missing = [source for source in sources if source not in best]
            if not missing:
                best[bit] = self._extend(cell, sources, best)
                continue
            if bit in opened:
                raise ValueError(f"combinational loop through {name}")
            opened.add(bit)
            stack.extend(missing)
        return best[start]

    def _label(self, cell):
        """The signal that a cell drives, by the name it has in the source."""
        outputs = [port for port, way in cell["port_directions"].items() if way == "output"]
        bits = [bit for port in outputs for bit in cell["connections"].get(port, ())]
        return next((self.names[bit] for bit in bits if bit in self.names), "unnamed")

    def _extend(self, cell, sources, best):
        kind = cell["type"]
        shown = not sources or kind == "DSP48E1"
        label = (f"{kind} ({self._label(cell)})" if shown else kind,)
        luts = int(kind in LUTS_PER_CELL and bool(sources))
        dsps = int(kind == "DSP48E1" and not _value(cell, "PREG"))
        if not sources:
            return (TimingPath(luts, dsps, label),) * 2
        by_luts = max((best[b][0] for b in sources), key=lambda path: path.luts)
        by_dsps = max((best[b][1] for b in sources), key=lambda path: (path.dsps, path.luts))
        return tuple(TimingPath(p.luts + luts, p.dsps + dsps, p.cells + label) for p in (by_luts, by_dsps))


def _value(cell, parameter):
    return int(str(cell["parameters"].get(parameter, "0")), 2)


def _dsp_registered_input(cell, port):
    """Whether a register stands directly behind this input (control and clock inputs count as registered)."""
    if port == "PCIN":
        return False
    return port not in DSP_INPUTS or _value(cell, DSP_INPUTS[port]) > 0


def _combinational_arcs(cell):
    """(output (port, index), input bits) of the arcs through a cell that hold no register."""
    kind, nets = cell["type"], cell["connections"]
    for port, way in cell["port_directions"].items():
        if way == "output":
            for index in range(len(nets.get(port, ()))):
                ports = list(_ports_to(cell, port))
                bits = [bit for name in ports for bit in nets.get(name, ())]
                if kind == "CARRY4":
                    bits = [*nets["CI"], *nets["CYINIT"], *nets["DI"][: index + 1], *nets["S"][: index + 1]]
                if ports:
                    yield (port, index), bits


def _ports_to(cell, output):
    """Input ports with a combinational arc to this output port."""
    kind = cell["type"]
    inputs = [port for port, way in cell["port_directions"].items() if way == "input"]
    if kind == "DSP48E1":
        unregistered = [port for port in ("C", "PCIN") if not _dsp_registered_input(cell, port)]
        if not _value(cell, "MREG"):
            factors = ("A", "B", "D", "ACIN", "BCIN")
            unregistered += [port for port in factors if not _dsp_registered_input(cell, port)]
        return [] if _value(cell, "PREG") else unregistered
    if kind in ("RAM32M", "RAM64M"):
        return ["ADDR" + output[-1]]
    if kind.startswith("RAM") and not kind.startswith("RAMB"):
        return [port for port in inputs if port.startswith("DPRA" if output == "DPO" else "A")]
    if kind.startswith("SRL"):
        return [port for port in inputs if port.startswith("A")]
    return inputs if kind in LUTS_PER_CELL or kind in WIRE_CELLS or kind == "CARRY4" else []
