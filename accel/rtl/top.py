"""The accelerator: every block, wired. No arithmetic lives here."""

from dataclasses import dataclass

from myhdl import ConcatSignal, ResetSignal, Signal, always, always_comb, intbv

from accel.descriptor import DEFAULT_CYCLE_LIMIT, DESCRIPTOR_BITS
from accel.rtl.compute_core import compute_core
from accel.rtl.control.fields import field, layer_fields
from accel.rtl.control.host_port import host_port
from accel.rtl.control.precision_controller import output_precision
from accel.rtl.control.scheduler import scheduler
from accel.rtl.control.watchdog import watchdog
from accel.rtl.feed.frame_check import frame_check
from accel.rtl.feed.frame_gate import frame_gate
from accel.rtl.floats.dequantizer import dequantizer
from accel.rtl.floats.float_input import float_input
from accel.rtl.floats.float_registers import (
    BEATS_BITS,
    FORMAT_BITS,
    NO_FLOATS,
    FloatFormats,
    RangeRequest,
    float_registers,
)
from accel.rtl.floats.range_observer import Observed
from accel.rtl.floats.scale_generator import MadeScale
from accel.rtl.output.bit_packer import bit_packer, bit_packer_latency
from accel.rtl.output.output_fifo import output_fifo
from accel.rtl.output.output_writer import OUTPUT_LATENCY, Credit, LayerEnd, MemoryWrite, WriterFields, output_writer
from accel.rtl.output.packer import PACKER_LAST_LATENCY, PACKER_LATENCY, packer
from accel.rtl.output.param_table import param_table
from accel.rtl.output.pool import POOL_LATENCY, PoolFields, pool
from accel.rtl.output.requantize import REQUANTIZE_LATENCY, MarkedTile, ParamRead, RequantizeFields, requantize
from accel.rtl.parts.bundles import Groups, Host, HostWrite, MemoryRead, Progress, Stream, Tile, WeightWrite
from accel.rtl.parts.fifo import fifo
from accel.rtl.parts.module import module, unused
from accel.rtl.parts.ram import ram

STREAM_DEPTH = 64  # words of the output FIFO


def groups_in_flight(config):
    """Groups from the launch to the FIFO's level.

    The 5 are launch_ok's register, the requantizer's behind it, the FIFO's counter, a last group that straddles two
    words and one to spare.
    """
    return REQUANTIZE_LATENCY + _pooled_to_packer(config) + PACKER_LATENCY + OUTPUT_LATENCY + 5


def end_delay(config):
    """Cycles from the last group at the requantizer's output to the packer's last word, which may straddle two."""
    return _pooled_to_packer(config) + PACKER_LAST_LATENCY


def _pooled_to_packer(config):
    return POOL_LATENCY + (bit_packer_latency(config) if config.mixed else 0)


@dataclass(frozen=True)
class Presets:
    """Memory images that the accelerator starts with; the program runs after reset without a host.

    layers: number of layers. program, params, weights: names of $readmemh files (weights: one a row, params: one a
    memory). floats: values of the float streams' registers, see float_registers. cycle_limit: of the watchdog.
    """

    layers: int
    program: str
    params: tuple
    weights: tuple
    floats: tuple = NO_FLOATS
    cycle_limit: int = DEFAULT_CYCLE_LIMIT


@module
def bitloom(clk, rst, s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast, m_axis_tdata, m_axis_tkeep,
            m_axis_tvalid, m_axis_tready, m_axis_tlast, host_addr, host_write, host_wdata, host_read, host_rdata, *,
            config, presets=None):
    """Neural network accelerator: one program of layers, image after image.

    clk, rst: one clock, synchronous reset, active high. s_axis_*: input tensors, lanes bytes a beat, every tensor
    starts on a beat; tlast on the last one, in a build without config.input_tlast it does not matter. m_axis_*: output
    tensors, lanes bytes a beat, tkeep and tlast on the last beat. With config.float_input, config.float_output they are
    float32, lanes / 4 a beat.
    host_*: registers, program, parameters, weights and counters (address map: accel/descriptor.py); host_rdata two
    cycles after host_read. presets: memory images for a core that runs without a host, or None.
    """
    word_bits, lanes = config.word_bits, config.lanes
    core_rst = ResetSignal(1, active=1, isasync=False)
    layer = Signal(intbv(0)[DESCRIPTOR_BITS:])
    start, issuing, starved, source_busy, layer_end, range_error, pool_error = [Signal(bool(0)) for _ in range(7)]
    soft_reset, soft_close, soft_renew, reg_we, program_we, param_we, weight_we, launch_ok = [
        Signal(bool(0)) for _ in range(8)]
    accepted, short_input, long_input, last_word, waiting, expired, running, failed, enabled, closing, aborted = [
        Signal(bool(0)) for _ in range(11)]
    offset = Signal(intbv(0)[20:])
    wdata, status, images, cycles, stalls, cycle_limit = [Signal(intbv(0)[32:]) for _ in range(6)]
    counter_address = Signal(intbv(0)[config.layer_bits:])
    weight_waddr = Signal(intbv(0)[config.weight_addr_bits:])
    weight_wrow = Signal(intbv(0)[(config.rows - 1).bit_length():])
    weight_wpart = Signal(intbv(0)[(lanes // 4 - 1).bit_length():]) if lanes > 4 else None
    input_data, act_data, packed_data, output_data = [Signal(intbv(0)[word_bits:]) for _ in range(4)]
    input_valid, input_ready, act_enable, result_valid, result_ready = [Signal(bool(0)) for _ in range(5)]
    act_raddr, act_waddr = [Signal(intbv(0)[config.act_addr_bits:]) for _ in range(2)]
    result_data = Signal(intbv(0)[config.result_bits:])
    result_tag = Signal(intbv(0)[2:])
    param_address = Signal(intbv(0)[config.param_addr_bits:])
    param_data = Signal(intbv(0)[config.param_word_bits:])
    group_data, pooled_data = [Signal(intbv(0)[8 * config.group_bytes:]) for _ in range(2)]
    group_count, pooled_count = [Signal(intbv(0)[config.group_count_bits:]) for _ in range(2)]
    group_valid, group_pixel_last, group_last, group_end, pooled_valid, pooled_last = [
        Signal(bool(0)) for _ in range(6)]
    # What the bit packer hands on; in a build of one precision the packer takes the pooled groups as they are.
    bytes_data, bytes_count, bytes_valid, bytes_last = pooled_data, pooled_count, pooled_valid, pooled_last
    pooled_pixel_last, sign, bit_packing = None, None, ()
    if config.mixed:
        bytes_data, bytes_count = Signal(intbv(0)[len(pooled_data):]), Signal(intbv(0)[len(pooled_count):])
        bytes_valid, bytes_last, pooled_pixel_last = [Signal(bool(0)) for _ in range(3)]
        packed_code = Signal(intbv(0)[2:])
        sign = Signal(bool(0)) if 1 in config.precisions else None
        width = output_precision(clk, field(layer, "raw"), field(layer, "output_code"), packed_code, sign)
        narrow = bit_packer(
            clk, core_rst, packed_code, Groups(pooled_data, pooled_count, pooled_valid, pooled_pixel_last, pooled_last),
            Groups(bytes_data, bytes_count, bytes_valid, last=bytes_last), config=config)
        bit_packing = width, narrow
    weight6_we = Signal(bool(0)) if 6 in config.precisions else None
    packed_keep, output_keep = [Signal(intbv(0)[lanes:]) for _ in range(2)]
    packed_valid, packed_last, act_we, output_last, output_valid, output_ready = [Signal(bool(0)) for _ in range(6)]
    level = Signal(intbv(0)[STREAM_DEPTH.bit_length():])

    # The ends of the integer streams: the ports themselves unless floats come in or go out.
    taken_data, taken_valid, taken_ready, port_rdata = input_data, input_valid, input_ready, host_rdata
    input_last = Signal(bool(0)) if config.input_tlast else None
    taken_last, input_short = input_last, None
    given_data, given_keep, given_last, given_valid, given_ready = (
        m_axis_tdata, m_axis_tkeep, m_axis_tlast, m_axis_tvalid, m_axis_tready)
    float_ports = ()
    if config.float_input or config.float_output:
        port_rdata, float_rdata = [Signal(intbv(0)[32:]) for _ in range(2)]
        input_scale, output_scale, minimum, maximum, abs_max, scale, inv_scale = [
            Signal(intbv(0)[32:]) for _ in range(7)]
        input_format, output_format = [Signal(intbv(0)[FORMAT_BITS:]) for _ in range(2)]
        input_beats = Signal(intbv(0)[BEATS_BITS:])
        clear, make_scale, symmetric, nan_seen, invalid, generating = [Signal(bool(0)) for _ in range(6)]
        range_code, range_zero = Signal(intbv(0)[2:]), Signal(intbv(0)[8:])
        formats = float_registers(
            clk, rst, HostWrite(reg_we, offset, wdata), Host(host_addr, read=host_read, rdata=float_rdata),
            FloatFormats(input_scale, input_format, input_beats, output_scale, output_format),
            RangeRequest(clear, make_scale, range_code, symmetric), Observed(nan_seen, minimum, maximum, abs_max),
            MadeScale(scale, inv_scale, range_zero, invalid, generating),
            initial=presets.floats if presets else NO_FLOATS)

        @always_comb
        def join_reads():
            host_rdata.next = port_rdata | float_rdata

        float_ports = formats, join_reads
    if config.float_input:
        taken_data = Signal(intbv(0)[word_bits:])
        taken_valid, taken_ready = [Signal(bool(0)) for _ in range(2)]
        if config.input_tlast:
            taken_last, input_short = [Signal(bool(0)) for _ in range(2)]
        quantizing = float_input(
            clk, rst, core_rst, FloatFormats(input_scale, input_format, input_beats),
            RangeRequest(clear, make_scale, range_code, symmetric),
            Stream(taken_data, taken_valid, taken_ready, last=taken_last),
            Stream(input_data, input_valid, input_ready, last=input_last),
            Observed(nan_seen, minimum, maximum, abs_max),
            MadeScale(scale, inv_scale, range_zero, invalid, generating), input_short, lanes=config.float_lanes)
        float_ports += (quantizing,)
    if config.float_output:
        given_data, given_keep = Signal(intbv(0)[word_bits:]), Signal(intbv(0)[lanes:])
        given_last, given_valid, given_ready = [Signal(bool(0)) for _ in range(3)]
        dequantizing = dequantizer(
            clk, rst, core_rst, closing, output_scale, output_format(8, 0), output_format(10), output_format(10, 8),
            Stream(given_data, given_valid, given_ready, given_keep, given_last),
            Stream(m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tkeep, m_axis_tlast), lanes=config.float_lanes)
        float_ports += (dequantizing,)

    @always(clk.posedge)
    def reset():
        core_rst.next = rst or soft_reset
        aborted.next = soft_reset and not rst
        closing.next = soft_close

    @always_comb
    def present():
        group_end.next = group_valid and group_last

    host = host_port(
        clk, rst, host_addr, host_write, host_wdata, host_read, port_rdata, reg_we, program_we, param_we, weight_we,
        offset, wdata, weight_waddr, weight_wrow, weight_wpart, soft_reset, soft_close, soft_renew, counter_address,
        status, images, cycle_limit, cycles, stalls, weight6_we, config=config)
    layers = scheduler(
        clk, core_rst, aborted, reg_we, offset, wdata, program_we, offset(config.layer_bits + 5, 0), wdata,
        counter_address, start, layer, source_busy, issuing, layer_end, starved, range_error, pool_error, short_input,
        long_input, expired, running, failed, enabled, status, images, cycles, stalls, config=config,
        autostart=presets is not None, layers=presets.layers if presets else 1,
        preset=presets.program if presets else "")
    watch = watchdog(
        clk, rst, reg_we, offset, wdata, start, running, issuing, waiting, launch_ok, cycle_limit, expired,
        initial=presets.cycle_limit if presets else DEFAULT_CYCLE_LIMIT)
    if config.input_tlast:
        gate = frame_gate(
            clk, rst, soft_reset, soft_renew, enabled, failed, accepted,
            Stream(s_axis_tdata, s_axis_tvalid, s_axis_tready, last=s_axis_tlast),
            Stream(taken_data, taken_valid, taken_ready, last=taken_last))
        check = frame_check(
            clk, core_rst, input_valid, input_ready, input_last, last_word, accepted, short_input, long_input,
            input_short)
    else:
        unused(s_axis_tlast)
        unused(last_word)
        gate = frame_gate(
            clk, rst, soft_reset, soft_renew, enabled, failed, accepted,
            Stream(s_axis_tdata, s_axis_tvalid, s_axis_tready), Stream(taken_data, taken_valid, taken_ready))
        check = ()
    core = compute_core(
        clk, core_rst, start, Stream(input_data, input_valid, input_ready), MemoryRead(act_enable, act_raddr, act_data),
        WeightWrite(weight_we, weight_waddr, weight_wrow, weight_wpart, wdata, weight6_we), layer,
        Tile(result_data, result_valid, result_ready, result_tag),
        Progress(issuing, starved, source_busy, last_word, waiting), config=config,
        presets=presets.weights if presets else ())
    params = param_table(
        clk, param_we, offset(config.param_index_bits + 2, 0), wdata, param_address, param_data, config=config,
        preset=presets.params if presets else ())
    requantizer = requantize(
        clk, core_rst, MarkedTile(result_data, result_valid, result_ready, result_tag(0), result_tag(1)), launch_ok,
        ParamRead(param_address, param_data),
        layer_fields(RequantizeFields, layer, last_count=config.group_count_bits, param_base=config.param_addr_bits),
        Groups(group_data, group_count, group_valid, group_pixel_last, group_last), sign, config=config)
    pooling = pool(
        clk, core_rst, start, Groups(group_data, group_count, group_valid, group_pixel_last, group_last),
        layer_fields(PoolFields, layer),
        Groups(pooled_data, pooled_count, pooled_valid, pooled_pixel_last, pooled_last), config=config)
    packing = packer(
        clk, core_rst, Groups(bytes_data, bytes_count, bytes_valid, last=bytes_last),
        Stream(packed_data, packed_valid, keep=packed_keep, last=packed_last), config=config)
    writer = output_writer(
        clk, core_rst, start, layer_fields(WriterFields, layer, out_base=config.act_addr_bits),
        Credit(level, launch_ok), Stream(packed_data, packed_valid, keep=packed_keep, last=packed_last), group_end,
        MemoryWrite(act_we, act_waddr), Stream(output_data, output_valid, keep=output_keep, last=output_last),
        LayerEnd(layer_end, range_error, pool_error), config=config, stream_depth=STREAM_DEPTH,
        in_flight=groups_in_flight(config), end_delay=end_delay(config))
    activations = ram(clk, act_we, act_waddr, output_data, act_enable, act_raddr, act_data, depth=config.act_depth,
                      style=config.act_style)
    if config.float_output:  # the words are not at the port yet: an abort drops them all
        output_word = ConcatSignal(output_last, output_keep, output_data)
        stream_word = Signal(intbv(0)[len(output_word):])
        results = fifo(clk, core_rst, Stream(output_word, output_valid, output_ready),
                       Stream(stream_word, given_valid, given_ready), level, depth=STREAM_DEPTH)

        @always_comb
        def split():
            given_data.next = stream_word[word_bits:]
            given_keep.next = stream_word[word_bits + lanes:word_bits]
            given_last.next = stream_word[word_bits + lanes]

    else:
        results = output_fifo(
            clk, rst, core_rst, closing, Stream(output_data, output_valid, output_ready, output_keep, output_last),
            Stream(given_data, given_valid, given_ready, given_keep, given_last), level, depth=STREAM_DEPTH)
        split = ()
    return (float_ports, reset, present, host, layers, watch, gate, check, core, params, requantizer, pooling,
            bit_packing, packing, writer, activations, results, split)
