"""The compute core on single layers described by hand: every window's accumulators against a direct sum."""

import numpy as np
from myhdl import ResetSignal, Signal, intbv

from accel.config import HardwareConfig
from accel.descriptor import DESCRIPTOR_BITS, FIELDS, OP_CONV, pack_descriptor
from accel.rtl.compute_core import compute_core
from accel.rtl.mac_array import word_offset
from sim.bench import BlockCase, across, run_case
from sim.bus import Sink, Source, run_until

CONFIG = HardwareConfig(rows=4, lanes=4, weight_depth=256, act_depth=64, line_depth=64, param_depth=16, pool_depth=16)
SHAPES = (  # H, W, IC, KH, KW, OC, stride, pads (top, bottom, left, right), strip
    (5, 6, 3, 3, 3, 5, (1, 1), (1, 1, 1, 1), False),
    (6, 7, 1, 5, 3, 4, (2, 1), (0, 1, 2, 0), False),
    (4, 3, 5, 1, 1, 9, (1, 2), (0, 0, 0, 0), False),
    (6, 5, 1, 3, 3, 4, (1, 1), (1, 1, 1, 1), True),
    (7, 5, 2, 3, 2, 3, (2, 1), (1, 0, 0, 1), True),
)


def ports():
    def word(bits):
        return Signal(intbv(0)[bits:])

    def flag():
        return Signal(bool(0))

    config = CONFIG
    return {
        "clk": flag(), "rst": ResetSignal(0, active=1, isasync=False), "start": flag(), "s_data": word(config.word_bits),
        "s_valid": flag(), "s_ready": flag(), "act_enable": flag(), "act_address": word(config.act_addr_bits),
        "act_data": word(config.word_bits), "weight_we": flag(), "weight_waddr": word(config.weight_addr_bits),
        "weight_wrow": word(2), "weight_wpart": None, "weight_wdata": word(32), "layer": word(DESCRIPTOR_BITS),
        "result_data": word(config.result_bits), "result_valid": flag(), "result_ready": flag(), "result_tag": word(2),
        "issuing": flag(), "starved": flag(), "busy": flag(),
    }


def describe(**values):
    """A descriptor vector: zero in every field that is not named."""
    fields = {name: 0 for name in FIELDS if name != "magic"}
    return sum(word << 32 * i for i, word in enumerate(pack_descriptor({**fields, **values}, CONFIG)))


def to_words(data, lanes):
    """Bytes to words of `lanes` bytes, the last one padded with garbage."""
    data = [int(value) & 0xFF for value in np.ravel(data)]
    data += [0xA5] * (-len(data) % lanes)
    return [sum(byte << 8 * i for i, byte in enumerate(data[at:at + lanes])) for at in range(0, len(data), lanes)]


def convolution(rng, shape):
    """Input words, weight words, descriptor and expected results of one random convolution."""
    height, width, ic, kh, kw, oc, (sh, sw), (top, bottom, left, right), strip = shape
    lanes, rows = CONFIG.lanes, CONFIG.rows
    values = np.random.default_rng(rng.getrandbits(32))
    x = values.integers(-128, 128, (height, width, ic))
    w = values.integers(-128, 128, (oc, kh, kw, ic))
    zero_point = rng.randint(-128, 127)
    padded = np.pad(x, ((top, bottom), (left, right), (0, 0)), constant_values=zero_point)
    oh, ow = (padded.shape[0] - kh) // sh + 1, (padded.shape[1] - kw) // sw + 1
    used_rows = (oh - 1) * sh + kh
    slots, tiles = kh + sh, -(-oc // rows)
    slot_words = -(-padded.shape[1] * ic // lanes)
    used_bottom = max(0, used_rows - top - height)
    data_rows = used_rows - top - used_bottom
    common = dict(op=OP_CONV, from_stream=1, pad_value=zero_point & 0xFF, in_words=-(-x.size // lanes),
    ring_slots_minus1=slots - 1,
                  top_rows=top, data_rows_minus1=data_rows - 1, bottom_rows=used_bottom, need_rows=kh, row_step=sh,
                  oh_minus1=oh - 1, ow_minus1=ow - 1, tiles_minus1=tiles - 1, weight_base=rng.randint(0, 20))
    weights = np.zeros((tiles * rows, kh, kw, ic), int)
    weights[:oc] = w
    if strip:
        kwords = -(-kw * slots * ic // lanes)
        rotations = []
        for rotation in range(slots):
            window = np.zeros((tiles * rows, kw, slots, ic), int)
            for i in range(kh):
                window[:, :, (rotation + i) % slots] = weights[:, i]
            rotations.append(window.reshape(tiles, rows, -1))
        blocks, ring = rotations, slots * tiles * kwords
        fields = dict(prefill_words=-(-padded.shape[1] * slots * ic // lanes), row_elements_minus1=width - 1,
                      element_bytes_minus1=ic - 1, element_gap=(slots - 1) * ic, slot_step=ic, data_offset=left * slots
                      * ic,
                      kh_minus1=0, kwords_minus1=kwords - 1, pixel_step=sw * slots * ic, line_kh_step=0,
                      line_row_step=0,
                      line_ring_words=1, weight_row_step=sh * tiles * kwords % ring, weight_ring_words=ring)
    else:
        kwords = -(-kw * ic // lanes)
        blocks = [weights.reshape(tiles, rows, kh, kw * ic).transpose(0, 2, 1, 3).reshape(tiles * kh, rows, -1)]
        fields = dict(prefill_words=slots * slot_words, row_elements_minus1=0, element_bytes_minus1=width * ic - 1,
        element_gap=0,
                      slot_step=slot_words * lanes, data_offset=left * ic, kh_minus1=kh - 1, kwords_minus1=kwords - 1,
                      pixel_step=sw * ic, line_kh_step=slot_words, line_row_step=sh * slot_words % (slots * slot_words),
                      line_ring_words=slots * slot_words, weight_row_step=0, weight_ring_words=1)
    weight_words = []
    for block in np.concatenate(blocks):
        block = np.pad(block, ((0, 0), (0, kwords * lanes - block.shape[1])))
        weight_words += [block[:, k * lanes:(k + 1) * lanes] for k in range(kwords)]
    offset = word_offset(CONFIG) * kwords * (1 if strip else kh)
    results = []
    for oy in range(oh):
        for ox in range(ow):
            window = padded[oy * sh:oy * sh + kh, ox * sw:ox * sw + kw]
            sums = np.sum(weights * window, axis=(1, 2, 3)).reshape(tiles, rows) + offset
            results += [(pack(sums[t]), (t == tiles - 1) + 2 * (t == tiles - 1 and oy == oh - 1 and ox == ow - 1))
                        for t in range(tiles)]
    return to_words(x, lanes), weight_words, describe(**common, **fields), common["weight_base"], results


def pack(accumulators):
    return sum((int(value) & 2**CONFIG.acc_bits - 1) << CONFIG.acc_bits * i for i, value in enumerate(accumulators))


def load_weights(dut, base, words):
    for at, word in enumerate(words):
        for row in range(CONFIG.rows):
            dut.poke("weight_we", 1)
            dut.poke("weight_waddr", base + at)
            dut.poke("weight_wrow", row)
            dut.poke("weight_wdata", to_words(word[row], 4)[0])
            dut.step()
    dut.poke("weight_we", 0)
    dut.step(2)


def start_layer(dut, descriptor):
    dut.poke("layer", descriptor)
    dut.poke("start", 1)
    dut.step()
    dut.poke("start", 0)


def drive_convolutions(dut, rng, stalls):
    for shape in SHAPES:
        words, weights, descriptor, base, results = convolution(rng, shape)
        load_weights(dut, base, weights)
        source = Source(dut, "s", rng=rng, pauses=stalls.source_pauses(rng))
        sink = Sink(dut, "result", fields=("data", "tag"), pauses=stalls.sink_pauses(rng))
        source.send(*words)
        sink.expect(*results)
        start_layer(dut, descriptor)
        run_until(dut, [source, sink], lambda: source.done and sink.done and not dut.peek("busy"))


CASES = [BlockCase("compute_core_4x4", compute_core, ports, drive_convolutions, params={"config": CONFIG},
                   vhdl_compare={"result_data": "result_valid", "result_tag": "result_valid"})]


@across(CASES)
def test_compute_core(case, stalls, engine, seed):
    run_case(case, stalls, engine, seed)
