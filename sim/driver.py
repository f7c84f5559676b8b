"""Drives the whole accelerator cycle by cycle: load a program, stream images through, read counters and errors."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from accel.descriptor import (
    CONTROL_ABORT,
    CONTROL_ENABLE,
    CONTROL_RENEW,
    DEFAULT_CYCLE_LIMIT,
    ERROR_FIELD,
    ERROR_TEXT,
    REG_CONTROL,
    REG_CYCLE_LIMIT,
    REG_LAYERS,
    REG_STATUS,
    REGION_COUNTERS,
    REGION_REGISTERS,
    host_address,
)
from sim.bus import STALLS, Sink, Source, run_cycles

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn, Self

    from accel.compile.program import Program
    from accel.config import HardwareConfig
    from sim.bus import Stalls
    from sim.engines.dut import Dut

HOST_READ_CYCLES = 2  # clock edges from host_read to valid host_rdata
STATUS_BUSY, STATUS_ERROR = 1, 2
STATUS_INTERVAL = 4096  # clock cycles between looks at the status register during a run
DEFAULT_IMAGE_LIMIT = 2_000_000  # clock cycles an image may take where no prediction is given


class AcceleratorError(Exception):
    """The accelerator stopped: error code, stuck stream, or a broken handshake."""


@dataclass(frozen=True)
class Run:
    """What came out of a run. Cycles are numbers of clock cycles since the engine was opened."""

    outputs: list[bytes]  # bytes of each image
    first_beat: list[int]  # cycle in which the first input beat of each image was accepted
    last_beat: list[int]  # cycle of the last output beat of each image

    @property
    def cycles_per_image(self) -> list[int]:
        """Cycles of each image, from its first input beat accepted to its last output beat, both included."""
        return [last - first + 1 for first, last in zip(self.first_beat, self.last_beat, strict=True)]

    @property
    def total_cycles(self) -> int:
        """Cycles from the first input beat to the last output beat of the whole run."""
        return self.last_beat[-1] - self.first_beat[0] + 1


class RunOptions(TypedDict, total=False):
    """Options of Accelerator.run, handed through."""

    stalls: Stalls
    seed: int
    isolated: bool


class Accelerator:
    """The accelerator behind a Dut, driven cycle by cycle (MyHDL and Icarus; sim.batch has the fast one)."""

    def __init__(self, dut: Dut, config: HardwareConfig) -> None:
        self.dut = dut
        self.config = config
        self.output_beats = 0  # of an image of the loaded program
        self.source_cut = False  # the last run ended within an image

    @property
    def ready_cycles(self) -> int:
        """Cycles that are enough to fetch a descriptor and to fill the line buffer with padding before an image."""
        return self.config.line_depth + 64

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.dut.close()

    # Host port
    def write_many(self, writes: Iterable[tuple[int, int]]) -> None:
        """Write (address, word) pairs, one a cycle."""
        for address, word in writes:
            self.dut.poke("host_addr", address)
            self.dut.poke("host_wdata", word)
            self.dut.poke("host_write", 1)
            self.dut.step()
        self.dut.poke("host_write", 0)

    def read_many(self, addresses: Iterable[int]) -> list[int]:
        """Words at these addresses."""
        words = []
        for address in addresses:
            self.dut.poke("host_addr", address)
            self.dut.poke("host_read", 1)
            self.dut.step()
            self.dut.poke("host_read", 0)
            self.dut.step(HOST_READ_CYCLES - 1)
            words.append(self.dut.peek("host_rdata"))
        return words

    def write(self, address: int, word: int) -> None:
        self.write_many([(address, word)])

    def read(self, address: int) -> int:
        return self.read_many([address])[0]

    # Program
    def load(self, program: Program, patches: Iterable[tuple[int, int]] = ()) -> None:
        """Stop what runs, load a compiled network and start it; it then waits for its first image.

        patches: (address, word) pairs that are written over the program, for tests of damaged programs.
        """
        self.stop()
        self.output_beats = getattr(program, "output_beats", 0)
        limit = getattr(program, "cycle_limit", DEFAULT_CYCLE_LIMIT)
        self.write_many([*program.host_writes(), (host_address(REGION_REGISTERS, REG_CYCLE_LIMIT), limit), *patches])
        self.write(host_address(REGION_REGISTERS, REG_LAYERS), len(program.layers) - 1)
        self.start()

    def stop(self) -> None:
        """Soft reset: drops what is in flight, an output beat that waits included, and clears an error."""
        renew = CONTROL_RENEW if self.source_cut else 0  # the next run begins with an image, not with the rest of one
        self.write(host_address(REGION_REGISTERS, REG_CONTROL), CONTROL_ABORT | renew)
        self.source_cut = False
        self.dut.poke("m_axis_tready", 1)
        self.dut.step(4)
        self.dut.poke("m_axis_tready", 0)

    def start(self) -> None:
        """Run the loaded (or preset) program."""
        self.write(host_address(REGION_REGISTERS, REG_CONTROL), CONTROL_ENABLE)

    def error(self) -> tuple[int, int]:
        """(error code, layer) of the status register; (0, 0) when all is well."""
        status = self.read(host_address(REGION_REGISTERS, REG_STATUS))
        return (status >> 8 & 0xFF, status >> 16 & 0xFF) if status & STATUS_ERROR else (0, 0)

    def counters(self, layers: int) -> list[tuple[int, int]]:
        """[(cycles, stall cycles)] of the first `layers` layers, for the last image."""
        words = self.read_many(
            [host_address(REGION_COUNTERS, 4 * layer + word) for layer in range(layers) for word in (0, 1)]
        )
        return list(zip(words[::2], words[1::2], strict=True))

    # Images
    def run(
        self,
        inputs: Iterable[bytes],
        stalls: Stalls = STALLS["none"],
        seed: int = 1,
        *,
        isolated: bool = True,
        image_limit: int = DEFAULT_IMAGE_LIMIT,
    ) -> Run:
        """Stream images through and collect their outputs.

        inputs: bytes of each image (whole beats). isolated: each image finds an idle accelerator (ready_cycles
        after the one before); otherwise they follow back to back. image_limit: cycles after which an image counts
        as stuck.
        Raises AcceleratorError with the reason when the outputs do not come.
        """
        images = [self._beats(data) for data in inputs]
        return self._run(images, stalls, seed, isolated, image_limit * max(1, len(images)))

    def _beats(self, data: bytes) -> bytes:
        data = bytes(data)
        if not data or len(data) % self.config.lanes:
            raise ValueError(f"an image of {len(data)} bytes is not a whole number of {self.config.lanes}-byte beats")
        return data

    def _run(self, images: list[bytes], stalls: Stalls, seed: int, isolated: bool, limit: int) -> Run:
        dut, lanes = self.dut, self.config.lanes
        rng = random.Random(f"{seed}/{stalls}")
        source = Source(
            dut,
            "s_axis",
            fields=("tdata", "tlast"),
            valid="tvalid",
            ready="tready",
            rng=rng,
            pauses=stalls.source_pauses(rng),
        )
        sink = Sink(
            dut,
            "m_axis",
            fields=("tdata", "tkeep", "tlast"),
            valid="tvalid",
            ready="tready",
            pauses=stalls.sink_pauses(rng),
        )
        outputs: list[bytes] = []
        first_beat: list[int] = []
        last_beat: list[int] = []
        current = bytearray()
        waiting = list(reversed(images))
        end = dut.cycle + limit
        watch = _StatusWatch(dut)
        seen = taken = 0
        starts = False
        self.source_cut = True
        free_at = dut.cycle + self.ready_cycles
        while len(outputs) < len(images):
            alone = len(waiting) + len(outputs) == len(images) and dut.cycle >= free_at
            if waiting and not source.queue and (alone or not isolated):
                data = waiting.pop()
                count = len(data) // lanes
                source.send(
                    *(
                        (int.from_bytes(data[lanes * i : lanes * (i + 1)], "little"), int(i == count - 1))
                        for i in range(count)
                    )
                )
                taken, starts = len(source.cycles), True
            try:
                run_cycles(dut, (source, sink, watch), 1)
            except AssertionError as error:  # a stalled beat did not stay
                raise AcceleratorError(str(error)) from None
            if starts and len(source.cycles) > taken:
                first_beat.append(source.cycles[taken])
                starts = False
            if len(sink.received) > seen:
                word, keep, last = sink.received[seen]
                current += kept_bytes(word.to_bytes(lanes, "little"), keep)
                if last:
                    outputs.append(bytes(current))
                    last_beat.append(sink.cycles[seen])
                    free_at = last_beat[-1] + self.ready_cycles
                    current.clear()
                seen += 1
            if watch.error or dut.cycle >= end:
                self._stuck(len(outputs), len(images), limit)
        self._end_streams()
        self.source_cut = bool(source.queue)
        return Run(outputs, first_beat, last_beat)

    def _end_streams(self) -> None:
        for name in ("s_axis_tvalid", "m_axis_tready", "host_read"):
            self.dut.poke(name, 0)

    def _raise_error(self) -> None:
        code, layer = self.error()
        if code:
            raise AcceleratorError(f"layer {layer}: error code {code}: {error_text(code)}")

    def _stuck(self, done: int, images: int, limit: int) -> NoReturn:
        self._end_streams()
        self._raise_error()
        raise AcceleratorError(f"{done} of {images} images came out in {limit} cycles")


class _StatusWatch:
    """Bus model that reads the status register every STATUS_INTERVAL cycles while the streams go on."""

    def __init__(self, dut: Dut) -> None:
        self.dut = dut
        self.error = False
        self.countdown = STATUS_INTERVAL

    def drive(self) -> None:
        self.countdown -= 1
        if self.countdown == HOST_READ_CYCLES:
            self.dut.poke("host_addr", host_address(REGION_REGISTERS, REG_STATUS))
            self.dut.poke("host_read", 1)
        elif self.countdown == HOST_READ_CYCLES - 1:
            self.dut.poke("host_read", 0)

    def sample(self) -> None:
        if self.countdown == 0:
            self.error = bool(self.dut.peek("host_rdata") & STATUS_ERROR)
            self.countdown = STATUS_INTERVAL


def kept_bytes(beat: bytes, keep: int) -> bytes:
    """The valid bytes of one output beat; raises AcceleratorError when keep has holes."""
    count = keep.bit_length()
    if keep != (1 << count) - 1 or not count:
        raise AcceleratorError(f"m_axis_tkeep={keep:#x} does not mark leading bytes")
    return beat[:count]


def error_text(code: int) -> str:
    """What an error code of the status register means."""
    if code >= ERROR_FIELD:
        return f"word {code - ERROR_FIELD} of the descriptor holds a value over its limit"
    return ERROR_TEXT.get(code, "unknown error code")
