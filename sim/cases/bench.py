"""Block cases: ports, parameters and a drive-and-check function, run on every engine and in VHDL."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sim.bus import STALLS
from sim.engines import ENGINES, open_dut
from sim.waves import WAVES


@dataclass(frozen=True)
class BlockCase:
    """One block with one set of parameters, and how to exercise it.

    name: unique among all cases, readable (`fifo_w16_d4`).
    block: the MyHDL block function. ports(): {port: Signal or None}, new Signals on each call.
    run(dut, rng, stalls): drives the block with vectors from `rng` and raises AssertionError.
    It must take all randomness from `rng` and all decisions from `dut`, so that a second run is identical.
    params: keyword parameters of the block. stalls: names of the stall patterns that make sense.
    vhdl: also replay it in VHDL under VUnit. vhdl_compare: {output: qualifier}: compare only while the
    qualifier, an output or a function of the dut, is 1 (for data that is undefined before its first valid).
    vhdl_skip: compare nothing in the first cycles (for blocks without a reset, whose pipeline starts undefined).
    """

    name: str
    block: Callable
    ports: Callable
    run: Callable
    params: Mapping = field(default_factory=dict)
    stalls: tuple = ("none", "both", "bursts")
    vhdl: bool = True
    vhdl_compare: Mapping = field(default_factory=dict)
    vhdl_skip: int = 0

    def __str__(self):
        return self.name

    def random(self, seed, stalls):
        """The random generator of a run: the same on all engines, another for each seed, case and pattern."""
        return random.Random(f"{seed}/{self.name}/{stalls}")


def across(cases, engines=ENGINES):
    """Parametrise `def test_x(case, stalls, engine, seed)` over case x stall pattern x engine."""
    combinations = [
        pytest.param(case, STALLS[name], engine, id=f"{case}-{name}-{engine}")
        for case in cases
        for name in case.stalls
        for engine in engines
    ]
    return pytest.mark.parametrize(("case", "stalls", "engine"), combinations)


def run_case(case, stalls, engine, seed):
    """Run one case; on a failure run it again with a waveform and name the seed and the file in the error."""
    try:
        run_once(case, stalls, engine, seed)
    except Exception as error:
        if getattr(error, "while_driving", False):
            wave = WAVES / f"{case}-{stalls}-{engine}-seed{seed}.vcd"
            error.add_note(f"case {case}, stalls {stalls}, engine {engine}, seed {seed} (repeat with --seed {seed})")
            error.add_note(_waveform(case, stalls, engine, seed, wave))
        raise


def run_once(case, stalls, engine, seed, trace=None, observe=None):
    with open_dut(case.block, case.ports(), case.params, engine, trace=trace, seed=1) as dut:
        if observe:
            observe(dut)
        try:
            if "rst" in dut.ports:
                dut.reset()
            case.run(dut, case.random(seed, stalls), stalls)
        except Exception as error:
            error.while_driving = True
            raise


def _waveform(case, stalls, engine, seed, path):
    try:
        run_once(case, stalls, engine, seed, trace=Path(path))
    except Exception as again:
        if not getattr(again, "while_driving", False):
            return f"no waveform: {again}"
    return f"waveform: {path}"
