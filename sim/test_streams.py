"""Streams that go wrong: transfers too short or too long, aborts at every beat of a source that goes on, cut outputs,
a reset of one cycle, layers that work for too long. Whatever happened, every later image is right.
"""

import itertools

import numpy as np
import pytest

from accel import reference
from accel.compile import compile_graph
from accel.config import HardwareConfig
from accel.descriptor import (
    CONTROL_ABORT,
    CONTROL_CLOSE,
    CONTROL_ENABLE,
    CONTROL_RENEW,
    DEFAULT_CYCLE_LIMIT,
    ERROR_CYCLE_LIMIT,
    ERROR_LONG_INPUT,
    ERROR_SHORT_INPUT,
    REG_CONTROL,
    REG_CYCLE_LIMIT,
    REG_LAYERS,
)
from accel.ir import TensorType
from sim.accelerator import open_accelerator
from sim.bus import STALLS
from sim.cases.awkward import chain
from sim.cases.graphs import conv, dense, images
from sim.cases.live import Live
from sim.driver import STATUS_ERROR, AcceleratorError
from sim.test_float_streams import CONFIG as FLOATS
from sim.test_float_streams import with_floats
from sim.test_top import CONFIG

RESTART = CONTROL_ABORT | CONTROL_CLOSE | CONTROL_ENABLE


def tiny(rng):
    """Six beats at four lanes; two layers, three beats of accumulators."""
    first = conv(rng, "a", "input", TensorType(4, 3, 2, 8, 0.1, 5), 5, (2, 2))
    return chain("tiny", first, dense(rng, "b", "a", first.output, 3, raw=True))


class Streams:
    """A network on a running accelerator, three images of it and what comes out."""

    def __init__(self, accelerator, seed, encoding=lambda graph: graph):
        rng = np.random.default_rng(seed)
        graph = encoding(tiny(rng))
        self.accelerator, self.program = accelerator, compile_graph(graph, accelerator.config)
        q = images(rng, graph, 3)
        self.images = [self.program.encode_input(image) for image in q]
        wanted = reference.run(graph, q)[graph.layers[-1].name]
        self.wanted = [self.program.output_stream(output) for output in wanted]
        assert len(set(self.wanted)) == 3
        self.reload()

    def reload(self):
        """The network on a core that forgets the source of before."""
        self.accelerator.dut.poke("s_axis_tvalid", 0)
        self.accelerator.source_cut = True
        self.accelerator.load(self.program)

    def live(self, **options):
        return Live(self.accelerator, self.images, **options)

    def expect(self, live, first, count, skip=0):
        """The outputs behind `skip` are those of the images from number `first` on, whole and in order."""
        live.until(lambda: len(live.outputs) >= skip + count)
        for index, output in enumerate(live.outputs[skip : skip + count]):
            assert output == self.wanted[(first + index) % 3], f"image {first + index}, output {skip + index}"


@pytest.fixture(scope="module", params=[CONFIG, FLOATS], ids=["int8", "floats"])
def opened(request):
    with open_accelerator(request.param) as accelerator:
        yield accelerator


@pytest.fixture
def streams(opened, seed):
    return Streams(opened, seed, with_floats if opened.config.float_input else lambda graph: graph)


def restart(live, flags=RESTART):
    """Abort and go on; returns the outputs to skip, those from before and a cut one."""
    offered = live.dut.peek("m_axis_tvalid")
    before, cut = len(live.outputs), bool(live.current) or bool(offered)
    since = live.write(REG_CONTROL, flags)
    live.cycle(4)  # before that the status is the old one
    return since, before, cut


def stop_source(live):
    """The source is reset: after some cycles it begins with the image whose number comes back."""
    live.source.renew()
    live.source.pauses = itertools.chain([True] * 20, live.source.pauses)
    return live.source.number


def check_abort(streams, live, flags=RESTART):
    """Abort in this cycle: the images that begin afterwards come out, all of them, and nothing else."""
    since, before, _ = restart(live, flags)
    live.until(lambda: any(cycle > since for _, cycle in live.source.begun))
    first = next(number for number, cycle in live.source.begun if cycle > since)
    live.until(lambda: len(live.outputs) >= before + 3)
    got, wanted = live.outputs[before : before + 3], [streams.wanted[(first + index) % 3] for index in range(3)]
    # At most one output more: the rest of one whose last beat was waiting, or the end of one that was cut.
    assert got[:2] == wanted[:2] or got[1:] == wanted[:2], f"aborted in cycle {since}: {got}, not {wanted}"
    if got[:2] != wanted[:2]:
        # The beat that ends a cut output holds a byte, in a float build a float: then it may be as long as a whole one.
        end = 4 if streams.accelerator.config.float_output else 1
        cut = len(got[0]) % live.lanes or len(got[0]) < len(streams.wanted[0])
        assert cut or got[0] in streams.wanted or got[0][:-end] in [output[:-end] for output in streams.wanted]


@pytest.mark.parametrize("stalls", ["none", "both"])
def test_aborts_at_every_beat(streams, stalls, seed):
    """Every beat of two images, and cycles behind it; the source goes on in all of them."""
    live = streams.live(stalls=STALLS[stalls], seed=seed)
    beats = live.source.beats
    for number in range(2 * beats):
        live.until(lambda: len(live.outputs) > 0 and live.source.index == 0)
        live.until(lambda at=number % beats: live.source.index == at and (at or live.source.offering))
        live.cycle(number // beats * 7)
        check_abort(streams, live)


def test_aborts_in_every_cycle_of_an_image(streams, seed):
    """With a receiver that pauses, so that beats wait for it."""
    live = streams.live(stalls=STALLS["sink"], seed=seed)
    streams.expect(live, 0, 2)
    for cycle in range(0, streams.program.predicted_cycles, 3):
        done = len(live.outputs)
        live.until(lambda done=done: len(live.outputs) > done)
        live.cycle(cycle)
        check_abort(streams, live)


@pytest.mark.parametrize(
    "more,code", [(-1, ERROR_SHORT_INPUT), (1, ERROR_LONG_INPUT), (-4, ERROR_SHORT_INPUT), (9, ERROR_LONG_INPUT)]
)
@pytest.mark.parametrize("stalls", ["none", "bursts"])
def test_a_transfer_of_another_length_is_an_error(streams, more, code, stalls, seed):
    """The images before it come out; then nothing is taken but its rest, and after a restart the very next image."""
    for bad in (0, 2):
        live = streams.live(stalls=STALLS[stalls], seed=seed, lengths={bad: more})
        live.until(lambda live=live: live.status() & STATUS_ERROR)
        assert live.status() >> 8 & 0xFFFF == code  # of layer 0; read while the receiver goes on taking beats
        live.cycle(200)
        assert (live.source.number, live.source.index) == (bad + 1, 0) and not live.dut.peek("s_axis_tready")
        streams.expect(live, 0, bad)
        assert len(live.outputs) == bad
        restart(live)
        streams.expect(live, bad + 1, 3, skip=bad)
        streams.reload()


def test_a_source_that_starts_anew_is_announced(streams, seed):
    """Else its first image would be taken for the rest of the one that was cut."""
    live = streams.live(seed=seed)
    streams.expect(live, 0, 1)
    for renew in (True, False):
        live.until(lambda: live.source.index == 3)
        number = stop_source(live)
        since, before, cut = restart(live, RESTART | CONTROL_RENEW * renew)
        live.until(lambda since=since: sum(cycle > since for _, cycle in live.source.begun) > 2)
        streams.expect(live, number + (not renew), 2, skip=before + cut)


def test_no_image_begins_while_the_core_is_disabled(streams, seed):
    """However often the host aborts before it enables the core, only the image that had begun is lost."""
    live = streams.live(seed=seed)
    live.until(lambda: live.source.index == 2)
    number = live.source.number
    for _ in range(4):
        restart(live, CONTROL_ABORT | CONTROL_CLOSE)
        live.cycle(40)
    assert (live.source.number, live.source.index) == (number + 1, 0)
    before = len(live.outputs)
    live.write(REG_CONTROL, CONTROL_ENABLE)
    streams.expect(live, number + 1, 3, skip=before)


def test_a_cut_output_ends_where_that_is_asked(streams, seed):
    """The beat that waits stays; behind it comes one with tlast, or the next output."""
    size, lanes = len(streams.wanted[0]), streams.accelerator.config.lanes
    for close in (CONTROL_CLOSE, 0):
        for taken in range(size // lanes):
            streams.reload()
            live = streams.live(seed=seed)
            live.until(lambda live=live, taken=taken: live.dut.peek("m_axis_tvalid") and live.seen == taken)
            live.sink.pauses = iter([True] * 30 + [False] * 100_000)
            live.cycle(20)
            restart(live, CONTROL_ABORT | CONTROL_ENABLE | close)
            live.until(lambda live=live: len(live.outputs) > 1)
            kept = lanes * (taken + 1)
            last = kept == size  # the last beat was waiting already
            cut = live.outputs[0] if close or last else live.outputs[0][:kept]
            assert cut[:kept] == streams.wanted[0][:kept]
            one = 4 if streams.accelerator.config.float_output else 1
            assert len(cut) == kept + (one if close and not last else 0)
            assert (live.outputs[1] if close or last else live.outputs[0][kept:]) in streams.wanted


@pytest.mark.parametrize("engine", ["myhdl", "icarus"])
def test_other_engines_agree(engine, seed):
    """One short and one long transfer, aborts in a few beats."""
    with open_accelerator(CONFIG, engine) as accelerator:
        streams = Streams(accelerator, seed)
        live = streams.live(lengths={1: -1, 3: 1})
        for bad, code in ((1, ERROR_SHORT_INPUT), (3, ERROR_LONG_INPUT)):
            live.until(lambda: live.status() & STATUS_ERROR)
            assert live.status() >> 8 & 255 == code and live.source.number == bad + 1
            restart(live)
        streams.expect(live, 4, 1, skip=2)
        assert live.outputs[:2] == [streams.wanted[0], streams.wanted[2]]
        live.until(lambda: live.source.index == 2)
        check_abort(streams, live)


@pytest.mark.parametrize("engine", ["myhdl", "verilator"])
def test_no_beat_is_lost_by_a_reset_of_one_cycle(engine, seed):
    """A source that offers its first beat with the reset, or in the cycle behind it."""
    with open_accelerator(CONFIG, engine) as accelerator:
        streams = Streams(accelerator, seed)
        for wait in (0, 1):
            live = streams.live()
            accelerator.dut.poke("rst", 1)
            if not wait:
                live.source.drive()
                assert not accelerator.dut.peek("s_axis_tready")
            accelerator.dut.step()
            accelerator.dut.poke("rst", 0)
            live.cycle(5)
            assert not live.source.begun
            live.writes.extend(((REG_LAYERS, len(streams.program.layers) - 1), (REG_CONTROL, CONTROL_ENABLE)))
            streams.expect(live, 0, 2)


def test_a_reset_behind_an_abort_is_a_reset(streams):
    """Of one cycle, in the cycles around those of the abort: the enable bit that the host wrote is gone."""
    for wait in range(4):
        live = streams.live()
        live.write(REG_CONTROL, RESTART)
        live.dut.step(wait)
        live.dut.poke("rst", 1)
        live.dut.step()
        live.dut.poke("rst", 0)
        live.source.renew()
        begun = len(live.source.begun)
        live.cycle(40)
        assert len(live.source.begun) == begun and not live.status(), f"reset {wait} cycles behind the abort"
        streams.reload()


def test_layers_that_work_too_long_end(streams, seed):
    """Never where only the streams pause, at once where the limit is half of what a layer takes."""
    accelerator, cycles = streams.accelerator, [layer.predicted_cycles for layer in streams.program.layers]
    assert accelerator.read(REG_CYCLE_LIMIT) == streams.program.cycle_limit
    slow = max(range(2), key=cycles.__getitem__)
    accelerator.write(REG_CYCLE_LIMIT, cycles[slow])
    assert accelerator.run(streams.images).outputs == streams.wanted
    live = streams.live()
    live.source.pauses = iter(([False] * 2 + [True] * 2 * max(cycles)) * 1000)
    live.sink.pauses = iter(([True] * 2 * max(cycles) + [False]) * 1000)
    accelerator.write(REG_CYCLE_LIMIT, 2 * cycles[slow])
    streams.expect(live, 0, 2)
    streams.reload()
    accelerator.write(REG_CYCLE_LIMIT, cycles[slow] // 4)
    with pytest.raises(AcceleratorError, match=f"error code {ERROR_CYCLE_LIMIT}: .*cycle_limit"):
        accelerator.run(streams.images, image_limit=5000)
    assert accelerator.error()[0] == ERROR_CYCLE_LIMIT
    streams.reload()
    assert accelerator.run(streams.images).outputs == streams.wanted
    accelerator.dut.reset()
    assert accelerator.read(REG_CYCLE_LIMIT) == DEFAULT_CYCLE_LIMIT


def test_without_tlast_the_host_keeps_the_images_together(seed):
    """The source stops for the abort and begins anew; tlast may be anything."""
    with open_accelerator(HardwareConfig(**CONFIG.to_dict() | {"input_tlast": False})) as accelerator:
        streams = Streams(accelerator, seed)
        live = streams.live(stalls=STALLS["both"], seed=seed)
        streams.expect(live, 0, 1)
        for beat in (0, 1, 3, 5):
            live.until(lambda beat=beat: live.source.index == beat)
            number = stop_source(live)
            _, before, cut = restart(live)
            live.until(lambda before=before: len(live.outputs) > before + 2)
            assert live.outputs[before : before + 2] == [streams.wanted[(number + i) % 3] for i in range(2)] or cut
            assert live.outputs[before + 1] in streams.wanted
