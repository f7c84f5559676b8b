"""Every block's test catches a bug: one line of the block is changed and its case must fail."""

import pytest

from sim.bus import STALLS
from sim.cases.bench import run_once
from sim.cases.mutation import RTL, mutate, with_bug
from sim.vunit.blocks import vhdl_cases

BUGS = {  # block case: (file, line, what is made of it, stalls)
    "ram_w24_d8_p8": ("ram", "mask |= masks[i]", "mask = masks[i]", "none"),
    "fifo_w16_d4": ("fifo", "(write_at != read_at) and (m.ready or not valid)", "write_at != read_at", "both"),
    "output_fifo_d8": ("output_fifo", "m.ready and not promised", "m.ready", "sink"),
    "frame_gate": (
        "frame_gate",
        "(state == gate_state.INSIDE or state == gate_state.DROP) and not renew",
        "state == gate_state.INSIDE and not renew",
        "none",
    ),
    "frame_gate_no_tlast": (
        "frame_gate",
        "ready.next = opened and slice_ready and not (rst or stop)",
        "ready.next = opened and slice_ready",
        "none",
    ),
    "frame_check_floats": ("frame_check", "last_word and not (s_last and s_short)", "last_word", "none"),
    "watchdog": (
        "watchdog",
        "running and left[32] and limited and not start",
        "running and left[32] and limit != 0 and not start",
        "none",
    ),
    "register_slice_w16": ("register_slice", "ready.next = not spare_full", "ready.next = True", "both"),
    "mac_i8_r32": ("mac", "fresh.next = (fresh or clear) and not valid", "fresh.next = clear and not valid", "source"),
    "mac_i8_r17_saturate": ("mac", "elif wide[bits]:", "elif not wide[bits]:", "none"),
    "mac_i6_r32_approximate": ("approximate_multiplier", "term_2.next = a >> 1", "term_2.next = a >> 2", "none"),
    "mac_pair_packed": ("mac_pair", "PAIR_OFFSET * (2**FIELD_BITS + 1)", "PAIR_OFFSET * 2**FIELD_BITS", "none"),
    "mac_pair_single": ("mac_pair", "high_m1.next = high1 * act1", "high_m1.next = high1 * act0", "none"),
    "packed_multiplier_n1": (
        "packed_multiplier",
        "(differ & (differ << 1) & high)",
        "(differ & high)",
        "none",
    ),
    "approximate_pair": ("approximate_pair", "term_4 - term_5", "term_4 + term_5", "none"),
    "shift_add_pair": ("shift_add_pair", "if code[3] and code[7]:", "if code[3]:", "none"),
    "mode_flags_8_4_2_1": ("mode_flags", "enable and not four", "not four", "none"),
    "mode_operands_8_4_2_1": ("mode_operands", "b.next = 254", "b.next = 255", "none"),
    "mac_cell_single_8_2_1": ("mac_cell", "early_2.next = early_1", "early_2.next = early", "none"),
    "mixed_products_8x4_18x18": (
        "mixed_products",
        "flags[2](WIDE),\n        flags[2](FOUR)",
        "flags[3](WIDE),\n        flags[3](FOUR)",
        "none",
    ),
    "row_accumulator_t2_a16": ("mac_array", "if enable and valid:", "if enable:", "none"),
    "mac_array_4x4": (
        "mac_array",
        "sum_first.next = first_pipe[last_stage - 1]",
        "sum_first.next = first_pipe[last_stage - 2]",
        "none",
    ),
    "byte_rotator_l16": ("byte_rotator", "bits=8 << i", "bits=8 * (i + 1)", "none"),
    "line_buffer_4x4": (
        "line_buffer",
        "even_waddr.next = w.address[word_bits + lane_bits : lane_bits + 1] + 1",
        "even_waddr.next = w.address[word_bits + lane_bits : lane_bits + 1]",
        "none",
    ),
    "line_buffer_8x8": ("line_buffer", "offset_3.next = offset_2", "offset_3.next = offset_1", "none"),
    "feeder_4x4": (
        "feeder",
        "piece_ends_word.next = tail[lane_bits]",
        "piece_ends_word.next = True",
        "none",
    ),
    "window_4x4": ("window", "row.released.next = enable and row_read", "row.released.next = row_read", "sink"),
    "dense_engine_4x4": ("dense_engine", "m.tag.next[0] = tile_ends", "m.tag.next[0] = True", "none"),
    "act_reader_4x4": ("act_reader", "more and (not read or not holding or m_ready)", "more", "sink"),
    "weight_bank_8x8": ("weight_bank", "write_row == row and write_part == j", "write_row == row", "none"),
    "weight_unpacker_4x4_p8421": (
        "weight_unpacker",
        "low.next = t0 | t1 | (t1 << 1) | (t1 << 2)",
        "low.next = t0 | t1 | (t1 << 1)",
        "none",
    ),
    "operand_unpacker_l8_p8421": ("operand_unpacker", "tail and not keep[lane]", "not keep[lane]", "none"),
    "precision_controller_p8421": ("precision_controller", "LOW_BIT | HIGH_BITS | NEAR", "LOW_BIT | HIGH_BITS", "none"),
    "int6_unpacker_4x8": ("int6_unpacker", "concat(s.wdata[16:], kept[8:])", "concat(kept[8:], s.wdata[16:])", "none"),
    "window_4x8_mixed": ("window", "spot.next = now.pixel + layer.pixel_step", "spot.next = now.pixel", "none"),
    "dense_engine_4x8_mixed": (
        "dense_engine",
        "spot.next = spot + precision.byte_step",
        "spot.next = spot + 1",
        "none",
    ),
    "weight_bank_4x4_int6": ("weight_bank", "before = row - row % 2", "before = row", "none"),
    "compute_core_4x8_mixed": ("compute_core", "part_2.next = part_1", "part_2.next = conv.part", "none"),
    "conv2d_engine_4x4": ("conv2d_engine", "slot_step=byte_bits", "slot_step=1", "none"),
    "compute_core_4x4_garbage": (
        "compute_core",
        "s.ready.next = source.ready and from_stream",
        "s.ready.next = source.ready",
        "both",
    ),
    "compute_core_4x4": ("compute_core", "first_4.next = first_3", "first_4.next = first_2", "none"),
    "descriptor_check_4x4": ("descriptor_check", "value > limit", "value > limit + 1", "none"),
    "scheduler_4x4": (
        "scheduler",
        "            else:\n                progress.next = 0",
        "            else:\n                progress.next = progress",
        "none",
    ),
    "host_port_4x4": ("host_port", "read_address[2:] == 1", "read_address[2:] == 2", "none"),
    "output_writer_4x4": (
        "output_writer",
        "mem.we.next = s.valid and not layer.to_stream and address < config.act_depth",
        "mem.we.next = s.valid and not layer.to_stream",
        "none",
    ),
    "requantize_lane": ("requantize_lane", "a[31] and (shift1 != 0)", "a[31]", "none"),
    "requantize_lane_sign": ("requantize_lane", "a[31] != scaling[0]", "a[31]", "none"),
    "shift_multiplier_k3": (
        "shift_multiplier",
        "third_late, cycles=1), delay(clk, lasts[1]",
        "third_late, cycles=1), delay(clk, lasts[0]",
        "none",
    ),
    "requantize_r4_l1_a16": (
        "requantize",
        "closing_next.next = left == 1",
        "closing_next.next = left == 0",
        "none",
    ),
    "pool_l2": ("pool", "forward_1.next = valid_2 and (address_2 == address_1)", "forward_1.next = False", "none"),
    "bit_packer_l2_p8421": ("bit_packer", "collected.next = merged", "collected.next = low", "none"),
    "packer_n4_g4": ("packer", "current and (stop > lanes)", "current and (stop >= lanes)", "none"),
    "param_table_l2_a32_m31": (
        "param_table",
        "(lane == i) and (field == FIELD_BIAS)",
        "(field == FIELD_BIAS)",
        "none",
    ),
    "mantissa_multiplier": ("mantissa_multiplier", "rest != 0", "rest > 1", "none"),
    "quantize_lane": ("quantize_lane", "fine[0] and (lost_2 or fine[1])", "fine[0]", "none"),
    "code_packer_l2": ("code_packer", "elif first:", "elif last:", "none"),
    "code_packer_l2_tlast": ("code_packer", "last.next = complete or last_1", "last.next = complete", "none"),
    "quantizer_l2": ("quantizer", "pipe[QUANTIZE_LANE_LATENCY - 1]\n", "pipe[0]\n", "none"),
    "range_observer_l4": ("range_observer", "elif pipe[last]:", "elif pipe[0]:", "none"),
    "float_divider": ("float_divider", "result[0] and (rest or result[1])", "False", "none"),
    "scale_generator": ("scale_generator", "lowest + count[8:] + 1", "lowest + count[8:]", "none"),
    "dequantize_lane": ("dequantize_lane", "normal[7:] != 0 or normal[8]", "True", "none"),
    "code_unpacker_l2": ("code_unpacker", "remaining <= lanes", "remaining < lanes", "none"),
    "dequantizer_l2": ("dequantizer", "concat(last, kept)", "concat(False, kept)", "none"),
    "float_registers": ("float_registers", "busy or starting", "busy", "none"),
}
NO_BLOCK = {"bundles", "delay", "fast_myhdl", "fields", "latencies", "module", "packing", "shift_codes"}
WHOLE = {"top", "float_input"}  # wiring only; sim/test_lenet.py and sim/test_float_streams.py run networks on it


@pytest.mark.parametrize("name", BUGS)
def test_the_bug_is_caught(name, seed, tmp_path, monkeypatch):
    file, old, new, stalls = BUGS[name]
    case = with_bug(vhdl_cases()[name], file, old, new, tmp_path, monkeypatch)
    with pytest.raises(AssertionError):
        run_once(case, STALLS[stalls], "myhdl", seed)


def test_every_block_has_a_bug():
    files = {path.stem for path in RTL.rglob("*.py")} - NO_BLOCK - WHOLE - {"__init__"}
    assert {file for file, *_ in BUGS.values()} == files


def test_a_bug_needs_exactly_one_place(tmp_path):
    with pytest.raises(ValueError, match="0 times"):
        mutate("fifo", "no such line", "", tmp_path)
    with pytest.raises(ValueError, match="exactly one place"):
        mutate("fifo", "valid", "ready", tmp_path)
