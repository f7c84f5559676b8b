"""The code packer: tensors of any number of beats, at every width, become words; gaps between beats change nothing.

With marks a transfer may end before the tensor, which ends the word, or not end with it.
"""

import functools

from myhdl import ResetSignal, Signal, intbv

from accel.config import bits_code
from accel.rtl.floats.code_packer import CODE_PACKER_LATENCY, code_packer
from sim.cases.bench import BlockCase, across, run_case
from sim.test_quantizer import words_of


def packer_ports(lanes, marked=False):
    return {
        "clk": Signal(bool(0)),
        "rst": ResetSignal(0, active=1, isasync=False),
        "s_data": Signal(intbv(0)[8 * lanes :]),
        "s_valid": Signal(bool(0)),
        "code": Signal(intbv(0)[2:]),
        "beats_minus1": Signal(intbv(0)[16:]),
        "m_data": Signal(intbv(0)[32 * lanes :]),
        "m_valid": Signal(bool(0)),
        **{name: Signal(bool(0)) if marked else None for name in ("s_last", "m_last", "m_short")},
    }


def drive(dut, rng, stalls):
    lanes, marked = dut.ports["s_data"].bits // 8, "s_last" in dut.ports
    words, wanted = [], []
    for batch in range(10):
        bits = (8, 4, 2, 1)[batch % 4]
        beats = rng.choice((1, rng.randint(1, 40), 32 // bits, 64 // bits))
        dut.poke("code", bits_code(bits))
        dut.poke("beats_minus1", beats - 1)
        for _ in range(4):
            stream = 0
            ends = rng.random() < 0.7
            count = rng.randint(1, beats) if marked and ends and rng.getrandbits(1) else beats
            for beat in range(count):
                codes = [rng.getrandbits(8) for _ in range(lanes)]
                for lane, code in enumerate(codes):
                    stream |= (code & 2**bits - 1) << bits * (beat * lanes + lane)
                dut.poke("s_data", sum(code << 8 * lane for lane, code in enumerate(codes)))
                dut.poke("s_valid", 1)
                if marked:
                    dut.poke("s_last", int(ends and beat == count - 1))
                _step(dut, words)
                while rng.random() < 0.3:
                    dut.poke("s_valid", 0)
                    dut.poke("s_data", rng.getrandbits(8 * lanes))
                    _step(dut, words)
            tensor = words_of(stream.to_bytes((bits * lanes * count + 7) // 8, "little"), lanes)
            wanted += [(word, 0, 0) for word in tensor[:-1]]
            wanted.append((tensor[-1], int(marked and ends), int(marked and count < beats)))
        dut.poke("s_valid", 0)
        for _ in range(CODE_PACKER_LATENCY):
            _step(dut, words)
        assert words == wanted, f"bits={bits} beats={beats}"


def _step(dut, words):
    if dut.peek("m_valid"):
        marks = ("m_last", "m_short") if "s_last" in dut.ports else ()
        words.append((dut.peek("m_data"), *(dut.peek(name) for name in marks), *([] if marks else (0, 0))))
    dut.step()


CASES = [
    BlockCase(
        "code_packer_l2",
        code_packer,
        functools.partial(packer_ports, 2),
        drive,
        params={"lanes": 2},
        stalls=("none",),
        vhdl_compare={"m_data": "m_valid"},
    ),
    BlockCase(
        "code_packer_l2_tlast",
        code_packer,
        functools.partial(packer_ports, 2, marked=True),
        drive,
        params={"lanes": 2},
        stalls=("none",),
        vhdl_compare=dict.fromkeys(("m_data", "m_last", "m_short"), "m_valid"),
    ),
]


@across(CASES)
def test_codes_come_out_in_words(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
