"""The precision controller: every combination of codes against the rules, and the check in front of it."""

import functools
import itertools

from accel.config import HardwareConfig, bits_code
from accel.rtl.control.precision_controller import FORMS, output_precision, precision_check, precision_controller
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, word

CONFIGS = {
    "p8421": HardwareConfig(rows=4, lanes=4, precisions=(8, 4, 2, 1)),
    "p842_l16": HardwareConfig(rows=4, lanes=16, precisions=(8, 6, 4, 2)),
}
CHECKED = CONFIGS | {
    "p8": HardwareConfig(rows=4, lanes=4),
    "p81_l8": HardwareConfig(rows=4, lanes=8, precisions=(8, 1)),
}
CODE_PORTS = ("compute_code", "weight_code", "input_code", "output_code")


def ports(config):
    return {
        "clk": flag(),
        "compute_code": word(2),
        "weight_code": word(2),
        "input_code": word(2),
        "tail_bytes_minus1": word(6),
        "mode": word(2),
        "weight_shift": word(2),
        "weight_form": word(5),
        "input_shift": word(2),
        "input_form": word(5),
        "byte_step": word(config.lane_bits + 1),
        "keep": word(config.lanes) if 1 in config.precisions else None,
    }


def drive(dut, rng, stalls, config):
    """All widths that the check lets pass, in random order."""
    layers = [codes for codes in itertools.product(range(4), repeat=3) if not refused(config, *codes, 0)]
    rng.shuffle(layers)
    for compute, weight, source in layers:
        lanes, shift = config.lanes, source - compute
        tail = rng.randrange(lanes >> shift)
        poke(dut, compute_code=compute, weight_code=weight, input_code=source, tail_bytes_minus1=tail)
        dut.step(2)
        expected = {
            "mode": compute,
            "weight_shift": weight - compute,
            "weight_form": FORMS.get((compute, weight), 0),
            "input_shift": shift,
            "input_form": FORMS.get((compute, source), 0),
            "byte_step": lanes >> shift,
        }
        if 1 in config.precisions:
            expected["keep"] = (1 << (tail + 1 << shift)) - 1  # every counted source byte fills 2^shift lanes
        got = {name: dut.peek(name) for name in expected}
        assert got == expected, f"codes {compute}, {weight}, {source}: expected {expected}, got {got}"


def refused(config, compute, weight, source, output):
    present = {bits_code(bits) for bits in config.modes}
    return (
        not {compute, weight, source, output} <= present
        or weight < compute
        or source < compute
        or 2 ** (source - compute) > config.lanes
    )


def check_ports():
    return {"clk": flag(), **{name: word(2) for name in CODE_PORTS}, "bad": flag()}


def drive_check(dut, rng, stalls, config):
    """All 256 combinations."""
    combinations = list(itertools.product(range(4), repeat=4))
    verdicts = {refused(config, *codes) for codes in combinations}
    assert verdicts == {True, False}
    rng.shuffle(combinations)
    for codes in combinations:
        poke(dut, **dict(zip(CODE_PORTS, codes, strict=True)))
        dut.step()
        assert dut.peek("bad") == refused(config, *codes), f"codes {codes}"


def output_ports(sign):
    return {
        "clk": flag(),
        "raw": flag(),
        "output_code": word(2),
        "packed_code": word(2),
        "sign": flag() if sign else None,
    }


def drive_output(dut, rng, stalls):
    """Every output width, raw or not."""
    layers = list(itertools.product(range(2), range(4))) * 3
    rng.shuffle(layers)
    for raw, code in layers:
        poke(dut, raw=raw, output_code=code)
        dut.step()
        assert dut.peek("packed_code") == (0 if raw else code), f"raw={raw} output_code={code}"
        if "sign" in dut.ports:
            assert dut.peek("sign") == (code == 3 and not raw), f"raw={raw} output_code={code}"


CASES = (
    [
        BlockCase(
            f"precision_controller_{name}",
            precision_controller,
            functools.partial(ports, config),
            functools.partial(drive, config=config),
            params={"config": config},
            stalls=("none",),
            vhdl_skip=3,
        )
        for name, config in CONFIGS.items()
    ]
    + [
        BlockCase(
            f"precision_check_{name}",
            precision_check,
            check_ports,
            functools.partial(drive_check, config=config),
            params={"config": config},
            stalls=("none",),
            vhdl_skip=1,
        )
        for name, config in CHECKED.items()
    ]
    + [
        BlockCase(
            f"output_precision_{name}",
            output_precision,
            functools.partial(output_ports, sign),
            drive_output,
            stalls=("none",),
            vhdl_skip=1,
        )
        for name, sign in (("p8421", True), ("p842", False))
    ]
)


@across(CASES)
def test_all_widths(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
