"""The Verilator engine: converted Verilog compiled into a shared library, driven through ctypes."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from sim.engines.convert import convert_block
from sim.engines.dut import Dut
from sim.engines.verilator_build import build_library

if TYPE_CHECKING:
    from pathlib import Path

    from sim.engines.dut import Block, Params, Ports

POWER_UP = {"zero": 0, "ones": 1, "random": 2}  # Verilator's randReset


class VerilatorDut(Dut):
    engine = "verilator"

    def __init__(
        self,
        block: Block,
        ports: Ports,
        params: Params,
        *,
        clock: str = "clk",
        trace: Path | None = None,
        power_up: str = "zero",
        seed: int = 1,
    ) -> None:
        super().__init__(ports, clock)
        converted = convert_block(block, ports, params)
        self.directions = converted.directions
        path, self._index = build_library(converted, self.ports, clock, traced=bool(trace))
        self.library = _load(path)
        self._words = {name: (ctypes.c_uint32 * ((port.bits + 31) // 32))() for name, port in self.ports.items()}
        self._values = {name: port.raw(port.init) for name, port in self.ports.items()}
        self.model = self.library.dut_open(POWER_UP[power_up], seed, str(trace).encode() if trace else None)
        for name, port in self.ports.items():
            if self.directions.get(name) == "input" and name != clock:
                self._write(name, port.raw(port.init))

    def _write(self, name: str, raw: int) -> None:
        if self.directions.get(name) == "output":
            raise ValueError(f"port {name} is an output and cannot be poked")
        self._values[name] = raw
        if name not in self.directions:
            return  # the block does not use this port, so the converted module has no such pin
        words = self._words[name]
        if len(words) == 1:
            words[0] = raw
        else:
            ctypes.memmove(words, raw.to_bytes(4 * len(words), "little"), 4 * len(words))
        self.library.dut_poke(self.model, self._index[name], words)

    def _read(self, name: str) -> int:
        if self.directions.get(name) != "output":
            return self._values[name]
        words = self._words[name]
        self.library.dut_peek(self.model, self._index[name], words)
        return words[0] if len(words) == 1 else int.from_bytes(words, "little")

    def _edge(self) -> None:
        self.library.dut_step(self.model, 1)

    def step(self, cycles: int = 1) -> None:
        if self.observers:
            super().step(cycles)
        else:
            self.library.dut_step(self.model, cycles)
            self.cycle += cycles

    def close(self) -> None:
        if self.model:
            self.library.dut_close(self.model)
            self.model = None


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    words = ctypes.POINTER(ctypes.c_uint32)
    library.dut_open.restype = ctypes.c_void_p
    library.dut_open.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
    library.dut_poke.argtypes = [ctypes.c_void_p, ctypes.c_int, words]
    library.dut_peek.argtypes = [ctypes.c_void_p, ctypes.c_int, words]
    library.dut_step.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    library.dut_close.argtypes = [ctypes.c_void_p]
    for name in ("dut_poke", "dut_peek", "dut_step", "dut_close"):
        getattr(library, name).restype = None
    return library
