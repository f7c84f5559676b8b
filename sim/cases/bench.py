"""Block cases: ports, parameters and a drive-and-check function, run on every engine and in VHDL."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sim.bus import STALLS
from sim.engines import ENGINES, open_dut
from sim.waves import WAVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sim.bus import Stalls
    from sim.engines.dut import Block, Dut, Params, Ports


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
    block: Block
    ports: Callable[[], Ports]
    run: Callable[[Dut, random.Random, Stalls], None]
    params: Params = field(default_factory=dict)
    stalls: tuple[str, ...] = ("none", "both", "bursts")
    vhdl: bool = True
    vhdl_compare: Mapping[str, str | Callable[[Dut], int]] = field(default_factory=dict)
    vhdl_skip: int = 0

    def __str__(self) -> str:
        return self.name

    def random(self, seed: int, stalls: Stalls) -> random.Random:
        """The random generator of a run: the same on all engines, another for each seed, case and pattern."""
        return random.Random(f"{seed}/{self.name}/{stalls}")


def across(cases: Iterable[BlockCase], engines: Sequence[str] = ENGINES) -> pytest.MarkDecorator:
    """Parametrise `def test_x(case, stalls, engine, seed)` over case x stall pattern x engine."""
    combinations = [
        pytest.param(case, STALLS[name], engine, id=f"{case}-{name}-{engine}")
        for case in cases
        for name in case.stalls
        for engine in engines
    ]
    return pytest.mark.parametrize(("case", "stalls", "engine"), combinations)


def run_case(case: BlockCase, stalls: Stalls, engine: str, seed: int) -> None:
    """Run one case; on a failure run it again with a waveform and name the seed and the file in the error."""
    try:
        run_once(case, stalls, engine, seed)
    except Exception as error:
        if getattr(error, "while_driving", False):
            wave = WAVES / f"{case}-{stalls}-{engine}-seed{seed}.vcd"
            error.add_note(f"case {case}, stalls {stalls}, engine {engine}, seed {seed} (repeat with --seed {seed})")
            error.add_note(_waveform(case, stalls, engine, seed, wave))
        raise


def run_once(
    case: BlockCase,
    stalls: Stalls,
    engine: str,
    seed: int,
    trace: Path | None = None,
    observe: Callable[[Dut], None] | None = None,
) -> None:
    with open_dut(case.block, case.ports(), case.params, engine, trace=trace, seed=1) as dut:
        if observe:
            observe(dut)
        try:
            if "rst" in dut.ports:
                dut.reset()
            case.run(dut, case.random(seed, stalls), stalls)
        except Exception as error:
            vars(error).update(while_driving=True)
            raise


def _waveform(case: BlockCase, stalls: Stalls, engine: str, seed: int, path: Path) -> str:
    try:
        run_once(case, stalls, engine, seed, trace=Path(path))
    except Exception as again:
        if not getattr(again, "while_driving", False):
            return f"no waveform: {again}"
    return f"waveform: {path}"
