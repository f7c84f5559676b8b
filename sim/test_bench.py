"""The bench itself: seeds, stalls, waveforms on failure, broken handshakes, the cache."""

import functools
import multiprocessing
import os
import random
import subprocess
import sys
import time
from itertools import islice

import pytest
from myhdl import Signal, always_seq, instances, intbv

from accel.rtl.parts.module import module
from sim.bus import STALLS, Monitor, Sink, Source, pauses, run_cycles, transfer
from sim.cases import bench
from sim.cases.bench import BlockCase, run_case
from sim.engines import ENGINES, open_dut
from sim.engines.cache import REPOSITORY, cached
from sim.engines.myhdl_engine import bit_string
from sim.stand_ins.running_sum import running_sum, running_sum_ports
from sim.test_engines import drive

FAULT_AT = 1270 - 128


def observed_run(seed, stalls="both"):
    """Every input and output of a run, cycle by cycle."""
    seen = []
    case = BlockCase("running_sum_w16", running_sum, running_sum_ports, drive)

    def observe(dut):
        dut.observers.append(lambda: seen.append([dut.peek(name) for name in dut.ports if name != "clk"]))

    bench.run_once(case, STALLS[stalls], "verilator", seed, observe=observe)
    return seen


def test_two_seeds_give_two_runs():
    assert observed_run(1) == observed_run(1)
    assert observed_run(1) != observed_run(2)


def test_seed_option_reaches_the_tests(pytester_run):
    assert "seed is 77" in pytester_run("--seed", "77")
    assert "seed is 1" in pytester_run()


@pytest.fixture
def pytester_run(tmp_path):
    """Run a failing test in a pytest of its own; returns its output."""
    folder = tmp_path / "sim"
    folder.mkdir()
    (folder / "conftest.py").write_text((REPOSITORY / "sim" / "conftest.py").read_text())
    (folder / "test_seed.py").write_text("def test_seed(seed):\n    assert False, f'seed is {seed}'\n")

    def run(*options):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
        output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
        assert f"--seed {options[1] if options else 1}" in output
        return output

    return run


@pytest.mark.parametrize("engine", ENGINES)
def test_failure_names_seed_and_waveform(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "WAVES", tmp_path)
    drive_to_fault = functools.partial(drive_items, items=[127] * 10 + [-128, 5])
    params = {"broken_at": FAULT_AT}
    case = BlockCase("running_sum_faulty", running_sum, running_sum_ports, drive_to_fault, params=params)
    with pytest.raises(AssertionError, match="m: cycle 13: item 10: expected 1142, got 0") as caught:
        run_case(case, STALLS["none"], engine, 5)
    notes = "\n".join(caught.value.__notes__)
    wave = tmp_path / f"running_sum_faulty-none-{engine}-seed5.vcd"
    assert "repeat with --seed 5" in notes and f"waveform: {wave}" in notes
    text = wave.read_text()
    assert "$enddefinitions" in text and "m_data" in text and text.count("#") > 20


def drive_items(dut, rng, stalls, items):
    source, sink = Source(dut, "s", rng=rng), Sink(dut, "m")
    source.send(*items)
    sink.expect(*(sum(items[: count + 1]) for count in range(len(items))))
    transfer(dut, source, sink)


@pytest.mark.parametrize("name", STALLS)
def test_pauses_have_their_share_and_length(name):
    stalls = STALLS[name]
    for probability in (stalls.source, stalls.sink):
        drawn = list(islice(pauses(random.Random(1), probability, stalls.burst), 20000))
        assert abs(sum(drawn) / len(drawn) - probability) < 0.05
        runs = sum(now and not before for before, now in zip([False, *drawn], drawn, strict=False))
        if stalls.burst > 1:
            assert abs(sum(drawn) / runs - stalls.burst) < 1


@module
def impatient(clk, rst, m_data, m_valid, m_ready, *, drops):
    """A broken stream: changes its data (or, with `drops`, lowers valid) while it is stalled."""

    @always_seq(clk.posedge, reset=rst)
    def count():
        m_valid.next = True
        if m_valid and not m_ready:
            if drops:
                m_valid.next = False
            else:
                m_data.next = m_data ^ 1

    return instances()


def impatient_ports():
    return {
        "clk": Signal(bool(0)),
        "rst": running_sum_ports()["rst"],
        "m_data": Signal(intbv(0)[8:]),
        "m_valid": Signal(bool(0)),
        "m_ready": Signal(bool(0)),
    }


@pytest.mark.parametrize(("drops", "message"), [(True, "valid fell"), (False, "got 1")])
@pytest.mark.parametrize("model", [Sink, Monitor])
def test_a_stalled_item_must_stay(model, drops, message):
    with open_dut(impatient, impatient_ports(), {"drops": drops}) as dut:
        dut.reset()
        with pytest.raises(AssertionError, match=f"stalled item 0 must stay, {message}"):
            run_cycles(dut, [model(dut, "m", **({"pauses": iter([True] * 9)} if model is Sink else {}))], 5)


@pytest.mark.parametrize(
    ("sums", "limit", "message"),
    [
        ((1,), 99, "m: cycle 4: item 1 = 3 was not expected"),
        ((1, 3, 6, 10), 50, "not done after 50 cycles .s 3 transfers, m 3 transfers."),
    ],
)
def test_left_over_items_are_found(sums, limit, message):
    with open_dut(running_sum, running_sum_ports()) as dut:
        dut.reset()
        source, sink = Source(dut, "s"), Sink(dut, "m")
        source.send(1, 2, 3)
        sink.expect(*sums)
        with pytest.raises(AssertionError, match=message):
            transfer(dut, source, sink, limit=limit)
        source.send(4)
        with pytest.raises(AssertionError, match="s: 1 items were never taken"):
            source.finish()


@pytest.mark.parametrize("engine", ENGINES)
def test_bad_use_is_refused(engine):
    with open_dut(running_sum, running_sum_ports(), engine=engine) as dut:
        with pytest.raises(ValueError, match="port s_data: 128 is outside -128..127"):
            dut.poke("s_data", 128)
        with pytest.raises(ValueError, match="port clk is the clock"):
            dut.poke("clk", 1)
        with pytest.raises(ValueError, match="stream x: the block has no port x_data, x_ready, x_valid"):
            Source(dut, "x")
    wrong = running_sum_ports()
    wrong["extra"] = wrong.pop("overflow")
    with pytest.raises(ValueError, match="differ in extra, overflow"):
        open_dut(running_sum, wrong, engine=engine)
    with pytest.raises(ValueError, match="engine 'vcs' is unknown"):
        open_dut(running_sum, running_sum_ports(), engine="vcs")


def test_bit_string_is_the_one_of_myhdl():
    def digits(number):  # myhdl._bin._int2bitstring
        if number in (0, 1, -1):
            return str(abs(number))
        return digits(number // 2) + str(number % 2)

    numbers = [
        *range(-300, 300),
        *(sign * 2**bits + extra for bits in (31, 63, 200) for sign in (1, -1) for extra in (-1, 0, 1)),
    ]
    assert [bit_string(number) for number in numbers] == [digits(number) for number in numbers]


def test_power_up_can_be_random():
    starts = set()
    for seed in range(1, 5):
        options = {"engine": "verilator", "power_up": "random", "seed": seed}
        with open_dut(running_sum, running_sum_ports(), **options) as dut:
            starts.add(dut.peek("m_data"))
    assert len(starts) > 1


def _build_slowly(folder):
    time.sleep(0.2)
    (folder / "made").write_text("x")
    with open(folder.parent / "builds", "a") as log:
        log.write("built\n")


def _ask_for(cache, expected):
    os.environ["BITLOOM_CACHE"] = str(cache)
    assert (cached("kind", "key", _build_slowly) / "made").read_text() == expected


def test_cache_builds_once_for_many_processes(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_ask_for, args=(tmp_path, "x")) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert (tmp_path / "kind" / "builds").read_text() == "built\n"


def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path))

    def fail(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cached("kind", "key", fail)
    assert [path.name for path in (tmp_path / "kind").iterdir()] == ["key.lock"]
