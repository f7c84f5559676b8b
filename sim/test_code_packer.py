"""The code packer: tensors of any number of beats, at every width, become words; gaps between beats change nothing."""

import functools

from myhdl import ResetSignal, Signal, intbv

from accel.config import bits_code
from accel.rtl.code_packer import CODE_PACKER_LATENCY, code_packer
from sim.bench import BlockCase, across, run_case
from sim.test_quantizer import words_of


def packer_ports(lanes):
    return {
        "clk": Signal(bool(0)), "rst": ResetSignal(0, active=1, isasync=False),
        "codes": Signal(intbv(0)[8 * lanes:]), "valid": Signal(bool(0)), "code": Signal(intbv(0)[2:]),
        "beats_minus1": Signal(intbv(0)[16:]), "word": Signal(intbv(0)[32 * lanes:]), "word_valid": Signal(bool(0)),
    }


def drive(dut, rng, stalls):
    lanes = dut.ports["codes"].bits // 8
    words, wanted = [], []
    for batch in range(10):
        bits = (8, 4, 2, 1)[batch % 4]
        beats = rng.choice((1, rng.randint(1, 40), 32 // bits, 64 // bits))
        dut.poke("code", bits_code(bits))
        dut.poke("beats_minus1", beats - 1)
        for _ in range(3):
            stream = 0
            for beat in range(beats):
                codes = [rng.getrandbits(8) for _ in range(lanes)]
                for lane, code in enumerate(codes):
                    stream |= (code & 2**bits - 1) << bits * (beat * lanes + lane)
                dut.poke("codes", sum(code << 8 * lane for lane, code in enumerate(codes)))
                dut.poke("valid", 1)
                _step(dut, words)
                while rng.random() < 0.3:
                    dut.poke("valid", 0)
                    dut.poke("codes", rng.getrandbits(8 * lanes))
                    _step(dut, words)
            wanted += words_of(stream.to_bytes((bits * lanes * beats + 7) // 8, "little"), lanes)
        dut.poke("valid", 0)
        for _ in range(CODE_PACKER_LATENCY):
            _step(dut, words)
        assert words == wanted, f"bits={bits} beats={beats}"


def _step(dut, words):
    if dut.peek("word_valid"):
        words.append(dut.peek("word"))
    dut.step()


CASES = [
    BlockCase("code_packer_l2", code_packer, functools.partial(packer_ports, 2), drive, params={"lanes": 2},
              stalls=("none",), vhdl_compare={"word": "word_valid"}),
]


@across(CASES)
def test_codes_come_out_in_words(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
