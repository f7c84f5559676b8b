"""The accelerator: every block, wired. No arithmetic lives here."""

from dataclasses import dataclass

from myhdl import ConcatSignal, ResetSignal, Signal, always, always_comb, intbv

from accel.descriptor import DEFAULT_CYCLE_LIMIT, DESCRIPTOR_BITS
from accel.rtl.compute_core import compute_core
from accel.rtl.control.fields import field, layer_fields
from accel.rtl.control.host_port import HostStrobes, SoftReset, host_port
from accel.rtl.control.precision_controller import output_precision
from accel.rtl.control.scheduler import Errors, LayerRun, Readings, RunFlags, scheduler
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
from accel.rtl.output.bit_packer import bit_packer
from accel.rtl.output.latencies import end_delay, groups_in_flight
from accel.rtl.output.output_fifo import output_fifo
from accel.rtl.output.output_writer import Credit, LayerEnd, MemoryWrite, WriterFields, output_writer
from accel.rtl.output.packer import packer
from accel.rtl.output.param_table import param_table
from accel.rtl.output.pool import PoolFields, pool
from accel.rtl.output.requantize import MarkedTile, ParamRead, RequantizeFields, requantize
from accel.rtl.parts.bundles import AxiStream, Groups, Host, HostWrite, MemoryRead, Progress, Stream, Tile, WeightWrite
from accel.rtl.parts.fifo import fifo
from accel.rtl.parts.module import module, unused
from accel.rtl.parts.ram import ram

STREAM_DEPTH = 64  # words of the output FIFO


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


def _bit():
    return Signal(bool(0))


def _word(bits):
    return Signal(intbv(0)[bits:])


def _bits(kind):
    """A bundle whose members are bits."""
    return kind(*[_bit() for _ in kind.members])


def _groups(config, pixel_last=True):
    data, count = _word(8 * config.group_bytes), _word(config.group_count_bits)
    return Groups(data, count, _bit(), _bit() if pixel_last else None, _bit())


@module
def bitloom(clk, rst, s_axis: AxiStream, m_axis: AxiStream, host: Host, *, config, presets=None):
    """Neural network accelerator: one program of layers, image after image.

    clk, rst: one clock, synchronous reset, active high. s_axis: input tensors, lanes bytes a beat, every tensor
    starts on a beat; tlast on the last one, in a build without config.input_tlast it does not matter. m_axis: output
    tensors, lanes bytes a beat, tkeep and tlast on the last beat. With config.float_input, config.float_output they are
    float32, lanes / 4 a beat.
    host: registers, program, parameters, weights and counters (address map: accel/descriptor.py); rdata two cycles
    after read. presets: memory images for a core that runs without a host, or None.
    """
    lanes, word_bits = config.lanes, config.word_bits
    core_rst = ResetSignal(1, active=1, isasync=False)
    closing, aborted = [_bit() for _ in range(2)]

    # Control: what the host writes and reads, the layer that runs, what may end it.
    strobes = HostStrobes(*[_bit() for _ in range(3)], offset=_word(20), wdata=_word(32))
    reg = HostWrite(strobes.reg_we, strobes.offset, strobes.wdata)
    weight = WeightWrite(
        we=_bit(),
        waddr=_word(config.weight_addr_bits),
        wrow=_word((config.rows - 1).bit_length()),
        wpart=_word((lanes // 4 - 1).bit_length()) if lanes > 4 else None,
        packed_we=_bit() if 6 in config.precisions else None,
    )
    soft, errors, flags = _bits(SoftReset), _bits(Errors), _bits(RunFlags)
    counter_address = _word(config.layer_bits)
    readings = Readings(*[_word(32) for _ in Readings.members])
    start, source_busy, issuing, layer_end, launch_ok, accepted, last_word, waiting = [_bit() for _ in range(8)]
    layer = _word(DESCRIPTOR_BITS)

    # Data, from the input to the output.
    input_ = Stream(_word(word_bits), _bit(), _bit(), last=_bit() if config.input_tlast else None)
    act_enable, act_we = [_bit() for _ in range(2)]
    act_raddr, act_waddr = [_word(config.act_addr_bits) for _ in range(2)]
    act_data = _word(word_bits)
    result = Tile(_word(config.result_bits), _bit(), _bit(), tag=_word(2))
    param_address, param_data = _word(config.param_addr_bits), _word(config.param_word_bits)
    group, group_end = _groups(config), _bit()
    pooled = _groups(config, pixel_last=config.mixed)
    packed = Stream(_word(word_bits), _bit(), keep=_word(lanes), last=_bit())
    output = Stream(_word(word_bits), _bit(), _bit(), _word(lanes), _bit())
    level = _word(STREAM_DEPTH.bit_length())

    # What the bit packer hands on; in a build of one precision the packer takes the pooled groups as they are.
    bytes_, sign, bit_packing = pooled, None, ()
    if config.mixed:
        bytes_ = _groups(config, pixel_last=False)
        packed_code = _word(2)
        sign = _bit() if 1 in config.precisions else None
        width = output_precision(
            clk, raw=field(layer, "raw"), output_code=field(layer, "output_code"), packed_code=packed_code, sign=sign
        )
        narrow = bit_packer(clk, core_rst, packed_code, pooled, bytes_, config=config)
        bit_packing = width, narrow

    # The ends of the integer streams: the ports themselves unless floats come in or go out.
    taken, input_short, port_rdata = input_, None, host.rdata
    given = Stream(m_axis.tdata, m_axis.tvalid, m_axis.tready, m_axis.tkeep, m_axis.tlast)
    float_ports = ()
    if config.float_input or config.float_output:
        port_rdata, float_rdata = [_word(32) for _ in range(2)]
        input_scale, output_scale, minimum, maximum, abs_max, scale, inv_scale = [_word(32) for _ in range(7)]
        input_format, output_format = [_word(FORMAT_BITS) for _ in range(2)]
        input_beats = _word(BEATS_BITS)
        clear, make_scale, symmetric, nan_seen, invalid, generating = [_bit() for _ in range(6)]
        range_code, range_zero = _word(2), _word(8)
        request = RangeRequest(clear, start=make_scale, code=range_code, symmetric=symmetric)
        observed = Observed(nan_seen, minimum=minimum, maximum=maximum, abs_max=abs_max)
        made = MadeScale(scale, inv_scale, zero_point=range_zero, invalid=invalid, busy=generating)
        formats = float_registers(
            clk,
            rst,
            reg,
            Host(host.addr, read=host.read, rdata=float_rdata),
            FloatFormats(input_scale, input_format, input_beats, output_scale, output_format),
            request,
            observed,
            made,
            initial=presets.floats if presets else NO_FLOATS,
        )

        @always_comb
        def join_reads():
            host.rdata.next = port_rdata | float_rdata

        float_ports = formats, join_reads
    if config.float_input:
        taken = Stream(_word(word_bits), _bit(), _bit(), last=_bit() if config.input_tlast else None)
        input_short = _bit() if config.input_tlast else None
        quantizing = float_input(
            clk,
            rst,
            core_rst,
            FloatFormats(input_scale, input_format, input_beats),
            request,
            taken,
            input_,
            observed,
            made,
            input_short,
            lanes=config.float_lanes,
        )
        float_ports += (quantizing,)
    if config.float_output:
        given = Stream(_word(word_bits), _bit(), _bit(), _word(lanes), _bit())
        dequantizing = dequantizer(
            clk,
            rst,
            flush=core_rst,
            closing=closing,
            scale=output_scale,
            zero_point=output_format(8, 0),
            raw=output_format(10),
            code=output_format(10, 8),
            s=given,
            m=Stream(m_axis.tdata, m_axis.tvalid, m_axis.tready, m_axis.tkeep, m_axis.tlast),
            lanes=config.float_lanes,
        )
        float_ports += (dequantizing,)

    @always(clk.posedge)
    def reset():
        core_rst.next = rst or soft.reset
        aborted.next = soft.reset and not rst
        closing.next = soft.close

    @always_comb
    def present():
        group_end.next = group.valid and group.last

    host_ = host_port(
        clk,
        rst,
        Host(host.addr, host.write, host.wdata, host.read, port_rdata),
        strobes,
        weight,
        soft,
        counter_address,
        readings,
        config=config,
    )
    layers = scheduler(
        clk,
        core_rst,
        aborted,
        reg,
        HostWrite(strobes.program_we, strobes.offset(config.layer_bits + 5, 0), strobes.wdata),
        counter_address,
        LayerRun(start, layer, source_busy=source_busy, issuing=issuing, layer_end=layer_end),
        errors,
        flags,
        readings,
        config=config,
        autostart=presets is not None,
        layers=presets.layers if presets else 1,
        preset=presets.program if presets else "",
    )
    watch = watchdog(
        clk,
        rst,
        reg,
        start=start,
        running=flags.running,
        issuing=issuing,
        waiting=waiting,
        launch_ok=launch_ok,
        cycle_limit=readings.cycle_limit,
        expired=errors.expired,
        initial=presets.cycle_limit if presets else DEFAULT_CYCLE_LIMIT,
    )
    gate = frame_gate(
        clk,
        rst,
        stop=soft.reset,
        renew=soft.renew,
        enabled=flags.enabled,
        failed=flags.failed,
        accepted=accepted,
        s=Stream(s_axis.tdata, s_axis.tvalid, s_axis.tready, last=s_axis.tlast if config.input_tlast else None),
        m=taken,
    )
    check = ()
    if config.input_tlast:
        check = frame_check(
            clk,
            core_rst,
            s_valid=input_.valid,
            s_ready=input_.ready,
            s_last=input_.last,
            s_short=input_short,
            last_word=last_word,
            accepted=accepted,
            short_input=errors.short_input,
            long_input=errors.long_input,
        )
    else:
        unused(s_axis.tlast)
        unused(last_word)
    core = compute_core(
        clk,
        core_rst,
        start,
        Stream(input_.data, input_.valid, input_.ready),
        MemoryRead(act_enable, act_raddr, act_data),
        WeightWrite(weight.we, weight.waddr, weight.wrow, weight.wpart, strobes.wdata, weight.packed_we),
        layer,
        result,
        Progress(issuing, starved=errors.starved, busy=source_busy, last_word=last_word, waiting=waiting),
        config=config,
        presets=presets.weights if presets else (),
    )
    params = param_table(
        clk,
        we=strobes.param_we,
        waddr=strobes.offset(config.param_index_bits + 2, 0),
        wdata=strobes.wdata,
        raddr=param_address,
        rdata=param_data,
        config=config,
        preset=presets.params if presets else (),
    )
    requantizer = requantize(
        clk,
        core_rst,
        MarkedTile(result.data, result.valid, result.ready, tile_last=result.tag(0), last=result.tag(1)),
        launch_ok,
        ParamRead(param_address, param_data),
        layer_fields(RequantizeFields, layer, last_count=config.group_count_bits, param_base=config.param_addr_bits),
        group,
        sign,
        config=config,
    )
    pooling = pool(clk, core_rst, start, group, layer_fields(PoolFields, layer), pooled, config=config)
    packing = packer(clk, core_rst, bytes_, packed, config=config)
    writer = output_writer(
        clk,
        core_rst,
        start,
        layer_fields(WriterFields, layer, out_base=config.act_addr_bits),
        Credit(level, launch_ok),
        packed,
        group_end,
        MemoryWrite(act_we, act_waddr),
        Stream(output.data, output.valid, keep=output.keep, last=output.last),
        LayerEnd(layer_end, range_error=errors.range_error, pool_error=errors.pool_error),
        config=config,
        stream_depth=STREAM_DEPTH,
        in_flight=groups_in_flight(config),
        end_delay=end_delay(config),
    )
    activations = ram(
        clk,
        act_we,
        act_waddr,
        output.data,
        act_enable,
        act_raddr,
        act_data,
        depth=config.act_depth,
        style=config.act_style,
    )
    if config.float_output:  # the words are not at the port yet: an abort drops them all
        output_word = ConcatSignal(output.last, output.keep, output.data)
        stream_word = _word(len(output_word))
        results = fifo(
            clk,
            core_rst,
            Stream(output_word, output.valid, output.ready),
            Stream(stream_word, given.valid, given.ready),
            level,
            depth=STREAM_DEPTH,
        )

        @always_comb
        def split():
            given.data.next = stream_word[word_bits:]
            given.keep.next = stream_word[word_bits + lanes : word_bits]
            given.last.next = stream_word[word_bits + lanes]

    else:
        results = output_fifo(clk, rst, core_rst, closing, output, given, level, depth=STREAM_DEPTH)
        split = ()
    control = host_, layers, watch, gate, check
    pipeline = core, params, requantizer, pooling, bit_packing, packing, writer, activations, results
    return float_ports, reset, present, control, pipeline, split
