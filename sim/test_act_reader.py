"""The tensor reader on a model of the activation memory: any base and length, wrap at the end, stalls."""

from accel.config import HardwareConfig
from accel.rtl.feed.act_reader import ACT_READER_LATENCY, act_reader
from sim.cases.bench import BlockCase, across, run_case
from sim.pipeline import flag, poke, reset, word

CONFIG = HardwareConfig(rows=4, lanes=4, act_depth=32)


def ports():
    bits = CONFIG.act_addr_bits
    return {
        "clk": flag(),
        "rst": reset(),
        "start": flag(),
        "base": word(bits),
        "words": word(16),
        "mem_enable": flag(),
        "mem_address": word(bits),
        "mem_pass": flag(),
        "m_valid": flag(),
        "m_ready": flag(),
    }


def drive(dut, rng, stalls):
    depth = CONFIG.act_depth
    tensors = [
        (0, 1),
        (5, 0),
        (depth - 1, 3),
        (0, depth),
        *[(rng.randrange(depth), rng.randint(0, 40)) for _ in range(15)],
    ]
    paused = stalls.sink_pauses(rng)
    for base, words in tensors:
        poke(dut, start=1, base=base, words=words, m_ready=rng.getrandbits(1))
        dut.step()
        poke(dut, start=0, base=rng.randrange(depth), words=rng.getrandbits(16))
        memory, shown, taken, cycles = None, None, [], 0
        while len(taken) < words:
            ready = not next(paused)
            poke(dut, m_ready=ready)
            valid, enable, address = dut.peek("m_valid"), dut.peek("mem_enable"), dut.peek("mem_address")
            moves = dut.peek("mem_pass")
            assert not moves or ready or not valid, f"word {len(taken)} is lost while it waits"
            if valid and ready:
                assert shown is not None, "valid before the memory was read"
                taken.append(shown)
            if moves:
                shown = memory  # the register behind the memory
            if enable:
                assert memory is None or moves, f"the memory is read while a word behind {len(taken)} waits in it"
                memory = address
            elif moves:
                memory = None
            dut.step()
            cycles += 1
            assert cycles < 20 * words + 20, f"only {len(taken)} of {words} words came"
        assert taken == [(base + i) % depth for i in range(words)]
        if stalls.name == "none" and words:
            assert cycles == ACT_READER_LATENCY - 1 + words
        poke(dut, m_ready=rng.getrandbits(1))
        for _ in range(3):
            assert not dut.peek("m_valid") and not dut.peek("mem_enable"), "words behind the tensor"
            dut.step()


def drive_restart(dut, rng, stalls):
    """A new start drops what is left of the tensor before."""
    drive(dut, rng, stalls)
    poke(dut, start=1, base=3, words=9, m_ready=0)
    dut.step()
    poke(dut, start=0)
    dut.step(4)
    assert dut.peek("m_valid")
    drive(dut, rng, stalls)


CASES = [
    BlockCase(
        "act_reader_4x4", act_reader, ports, drive_restart, params={"config": CONFIG}, stalls=("none", "sink", "bursts")
    )
]


@across(CASES)
def test_words_in_order(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
