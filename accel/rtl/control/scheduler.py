"""The scheduler: fetches layer descriptors, runs them one after the other and keeps the books."""

from myhdl import Signal, always, always_comb, always_seq, concat, enum, intbv, modbv

from accel.descriptor import (
    DESCRIPTOR_BITS,
    DESCRIPTOR_STRIDE,
    DESCRIPTOR_WORDS,
    ERROR_CYCLE_LIMIT,
    ERROR_FIELD,
    ERROR_LONG_INPUT,
    ERROR_OUTPUT_RANGE,
    ERROR_POOL,
    ERROR_PRECISION,
    ERROR_SHORT_INPUT,
    ERROR_STARVED,
    REG_CONTROL,
    REG_LAYERS,
)
from accel.rtl.control.descriptor_check import descriptor_check
from accel.rtl.control.fields import field
from accel.rtl.control.precision_controller import precision_check
from accel.rtl.parts.bundles import Bundle, HostWrite
from accel.rtl.parts.module import module, unused
from accel.rtl.parts.ram import ram

scheduler_state = enum("IDLE", "READY", "RUN", "ERROR")
CHECK_CYCLES = 4  # the descriptor check sees the whole descriptor for this long before the layer may start
FETCH_CYCLES = DESCRIPTOR_WORDS + 1 + CHECK_CYCLES  # a register stands behind the program memory


class LayerRun(Bundle):
    """A layer and how far it is.

    start: one cycle, it begins. layer: its descriptor, which holds until the next start. source_busy: its input is not
    complete. issuing: a word enters the array. layer_end: one cycle, its output is complete.
    """

    members = ("start", "layer", "source_busy", "issuing", "layer_end")
    prefix = False


class Errors(Bundle):
    """What ends a run, one cycle each.

    starved: the layer needs rows that do not come. range_error: its output does not fit the activation memory.
    pool_error: it ended before the last pooled word. short_input, long_input: a transfer is shorter, longer than an
    image. expired: it worked for too long.
    """

    members = ("starved", "range_error", "pool_error", "short_input", "long_input", "expired")
    prefix = False


class RunFlags(Bundle):
    """running: a layer runs. failed: stopped by an error. enabled: the host wants the program to run; low in reset."""

    members = ("running", "failed", "enabled")
    prefix = False


class Readings(Bundle):
    """What the host reads of the run (accel/descriptor.py).

    status, images, cycle_limit: registers. cycles, stalls: clock cycles of a layer's last run, and those of them in
    which no word entered the array.
    """

    members = ("status", "images", "cycle_limit", "cycles", "stalls")
    prefix = False


@module
def scheduler(
    clk,
    rst,
    aborted,
    reg: HostWrite,
    program: HostWrite,
    counter_address,
    run: LayerRun,
    errors: Errors,
    flags: RunFlags,
    readings: Readings,
    *,
    config,
    autostart=False,
    layers=1,
    preset="",
):
    """Runs the layers of the program for image after image while it is enabled.

    reg: host writes of the registers. rst with aborted is the soft reset that a write of CONTROL_ABORT asks for: it
    stops everything but leaves the registers as written. program: host writes of the descriptor memory.
    counter_address: layer whose counters are on readings.cycles and stalls one cycle later. errors: ends the run with
    an error; so does a descriptor that a check refuses. readings: all but cycle_limit.
    autostart, layers, preset: the program is in the memory image and runs after reset.
    The next descriptor is fetched while a layer runs (FETCH_CYCLES), so a new layer starts
    two cycles after the end of the one before.
    """
    unused(reg.wdata)  # bits that no register has
    state = Signal(scheduler_state.IDLE)
    enable = Signal(bool(autostart))
    layers_minus1 = Signal(intbv(layers - 1)[config.layer_bits :])
    current, fetched = [Signal(intbv(0)[config.layer_bits :]) for _ in range(2)]
    images_done = Signal(modbv(0)[32:])
    error_code = Signal(intbv(0)[8:])
    shadow = Signal(intbv(0)[DESCRIPTOR_BITS:])
    active = Signal(intbv(0)[DESCRIPTOR_BITS:])
    progress = Signal(intbv(0, min=0, max=64))
    shadow_ready, finishing, fetch_again, output_done = [Signal(bool(0)) for _ in range(4)]
    program_raddr = Signal(intbv(0)[config.layer_bits + 5 :])
    program_data, program_word, cycle_count, stall_count = [Signal(intbv(0)[32:]) for _ in range(4)]
    bad, unfit = [Signal(bool(0)) for _ in range(2)]
    bad_word = Signal(intbv(0, min=0, max=DESCRIPTOR_WORDS))
    counter_we = Signal(bool(0))
    counter_waddr = Signal(intbv(0)[config.layer_bits :])
    cycle_total, stall_total = [Signal(intbv(0)[32:]) for _ in range(2)]
    fetch_begin, fetch_end = 1, DESCRIPTOR_WORDS + 2
    fetch_checked = fetch_end + CHECK_CYCLES

    program_memory = ram(
        clk,
        program.we,
        program.address,
        program.wdata,
        None,
        program_raddr,
        program_data,
        depth=DESCRIPTOR_STRIDE * 2**config.layer_bits,
        preset=preset,
    )
    check = descriptor_check(clk, shadow, bad, bad_word, config=config)
    widths = precision_check(
        clk,
        compute_code=field(shadow, "compute_code"),
        weight_code=field(shadow, "weight_code"),
        input_code=field(shadow, "input_code"),
        output_code=field(shadow, "output_code"),
        bad=unfit,
        config=config,
    )
    cycle_counters = ram(
        clk, counter_we, counter_waddr, cycle_total, None, counter_address, readings.cycles, depth=2**config.layer_bits
    )
    stall_counters = ram(
        clk, counter_we, counter_waddr, stall_total, None, counter_address, readings.stalls, depth=2**config.layer_bits
    )

    @always_comb
    def decide():
        program_raddr.next = concat(fetched, progress[5:])
        shadow_ready.next = progress == fetch_checked
        finishing.next = state == scheduler_state.RUN and (output_done or run.layer_end) and not run.source_busy
        run.layer.next = active
        readings.images.next = images_done
        flags.running.next = state == scheduler_state.RUN
        flags.failed.next = state == scheduler_state.ERROR
        flags.enabled.next = enable and not rst

    @always_seq(clk.posedge, reset=rst)
    def fetch():
        # program_word is the word of the address two cycles before, so a fetch cannot pause: one that is interrupted,
        # or whose program changes, starts anew.
        if fetch_again or program.we:
            progress.next = 0
        elif progress != fetch_checked:
            if enable:
                progress.next = progress + 1
            else:
                progress.next = 0

    @always(clk.posedge)
    def shift():
        program_word.next = program_data
        if progress > fetch_begin and progress < fetch_end:
            shadow.next = concat(program_word, shadow[DESCRIPTOR_BITS:32])

    @always(clk.posedge)
    def write_registers():
        if rst and not aborted:
            enable.next = autostart
            layers_minus1.next = layers - 1
        else:
            if reg.we and reg.address == REG_CONTROL:
                enable.next = reg.wdata[0]
            if reg.we and reg.address == REG_LAYERS:
                layers_minus1.next = reg.wdata[config.layer_bits :]

    @always_seq(clk.posedge, reset=rst)
    def sequence():
        run.start.next = False
        fetch_again.next = False
        if state == scheduler_state.IDLE:
            if enable and shadow_ready and not fetch_again:
                state.next = scheduler_state.READY
        elif state == scheduler_state.READY:
            if bad:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_FIELD + bad_word
                current.next = fetched
            elif unfit:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_PRECISION
                current.next = fetched
            else:
                state.next = scheduler_state.RUN
                run.start.next = True
                fetch_again.next = True
                current.next = fetched
                if fetched == layers_minus1:
                    fetched.next = 0
                else:
                    fetched.next = fetched + 1
        elif state == scheduler_state.ERROR:
            run.start.next = False  # only a reset leaves this state
        else:
            if errors.starved:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_STARVED
            elif errors.range_error:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_OUTPUT_RANGE
            elif errors.pool_error:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_POOL
            elif errors.short_input:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_SHORT_INPUT
            elif errors.long_input:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_LONG_INPUT
            elif errors.expired:
                state.next = scheduler_state.ERROR
                error_code.next = ERROR_CYCLE_LIMIT
            elif finishing:
                if shadow_ready and enable and not fetch_again:
                    state.next = scheduler_state.READY
                else:
                    state.next = scheduler_state.IDLE
                if current == layers_minus1:
                    images_done.next = images_done + 1

    @always(clk.posedge)
    def load():
        if state == scheduler_state.READY:
            active.next = shadow

    @always_seq(clk.posedge, reset=rst)
    def follow_layer():
        counter_we.next = finishing
        if state == scheduler_state.READY:
            output_done.next = False
        elif run.layer_end:
            output_done.next = True

    @always(clk.posedge)
    def count():
        counter_waddr.next = current
        cycle_total.next = cycle_count
        stall_total.next = stall_count
        if state == scheduler_state.READY:
            # The cycle of READY and the cycle of the start belong to the layer.
            cycle_count.next = 2
            stall_count.next = 2
        else:
            cycle_count.next = cycle_count + 1
            if not run.issuing:
                stall_count.next = stall_count + 1

    @always_comb
    def report():
        readings.status.next = 0
        readings.status.next[0] = state != scheduler_state.IDLE
        readings.status.next[1] = state == scheduler_state.ERROR
        readings.status.next[16:8] = error_code
        readings.status.next[24:16] = current

    return (
        program_memory,
        check,
        widths,
        cycle_counters,
        stall_counters,
        decide,
        fetch,
        shift,
        write_registers,
        sequence,
        load,
        follow_layer,
        count,
        report,
    )
