"""The accelerator between a source that never ends, a receiver and a host that writes while both go on."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from accel.descriptor import REG_STATUS
from sim.bus import STALLS, Sink
from sim.driver import HOST_READ_CYCLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sim.bus import Stalls
    from sim.driver import Accelerator
    from sim.engines.dut import Dut


class LiveSource:
    """Image after image on s_axis, whatever becomes of them.

    images: bytes of the images, which come round and round. lengths: {number of an image: beats by which its transfer
    is longer}. begun: the numbers of the images whose first beat was taken, with its cycle.
    """

    def __init__(
        self,
        dut: Dut,
        images: Sequence[bytes],
        lanes: int,
        *,
        pauses: Iterator[bool],
        lengths: Mapping[int, int] | Iterable[tuple[int, int]] = (),
    ) -> None:
        self.dut, self.images, self.lanes, self.pauses = dut, images, lanes, pauses
        self.lengths, self.number, self.index, self.offering = dict(lengths), 0, 0, False
        self.begun: list[tuple[int, int]] = []

    @property
    def beats(self) -> int:
        """Beats of the present transfer."""
        return len(self.images[self.number % len(self.images)]) // self.lanes + self.lengths.get(self.number, 0)

    def renew(self) -> None:
        """Start anew with the next image."""
        self.offering = False
        if self.index:
            self.number, self.index = self.number + 1, 0

    def drive(self) -> None:
        self.offering |= not next(self.pauses)
        image, at = self.images[self.number % len(self.images)], self.lanes * self.index
        self.dut.poke("s_axis_tvalid", self.offering)
        self.dut.poke("s_axis_tdata", int.from_bytes(image[at : at + self.lanes], "little"))
        self.dut.poke("s_axis_tlast", self.index == self.beats - 1)

    def sample(self) -> None:
        if self.offering and self.dut.peek("s_axis_tready"):
            if self.index == 0:
                self.begun.append((self.number, self.dut.cycle))
            self.index += 1
            if self.index == self.beats:
                self.number, self.index = self.number + 1, 0
            self.offering = False


class Live:
    """Runs cycles and collects whole outputs; the rules of AXI4-Stream are checked in every cycle."""

    def __init__(
        self,
        accelerator: Accelerator,
        images: Sequence[bytes],
        *,
        stalls: Stalls = STALLS["none"],
        seed: int = 1,
        lengths: Mapping[int, int] | Iterable[tuple[int, int]] = (),
    ) -> None:
        rng = random.Random(f"{seed}/{stalls}")
        self.dut = accelerator.dut
        self.source = LiveSource(
            self.dut, images, accelerator.config.lanes, pauses=stalls.source_pauses(rng), lengths=lengths
        )
        self.sink = Sink(
            self.dut,
            "m_axis",
            fields=("tdata", "tkeep", "tlast"),
            valid="tvalid",
            ready="tready",
            pauses=stalls.sink_pauses(rng),
        )
        self.lanes, self.current, self.seen = accelerator.config.lanes, bytearray(), 0
        self.outputs: list[bytes] = []
        self.writes: deque[tuple[int, int]] = deque()

    def cycle(self, count: int = 1) -> None:
        """Clock cycles, a host write in each while there are any."""
        dut = self.dut
        for _ in range(count):
            dut.poke("host_write", bool(self.writes))
            if self.writes:
                address, value = self.writes.popleft()
                dut.poke("host_addr", address)
                dut.poke("host_wdata", value)
            for model in (self.source, self.sink):
                model.drive()
            for model in (self.source, self.sink):
                model.sample()
            dut.step()
            self._collect()

    def _collect(self) -> None:
        for data, keep, last in self.sink.received[self.seen :]:
            self.current += data.to_bytes(self.lanes, "little")[: keep.bit_length()]
            if last:
                self.outputs.append(bytes(self.current))
                self.current.clear()
        self.seen = len(self.sink.received)

    def write(self, address: int, value: int) -> int:
        """A host write in this cycle; returns its cycle."""
        self.writes.append((address, value))
        cycle = self.dut.cycle
        self.cycle()
        self.dut.poke("host_write", 0)
        return cycle

    def status(self) -> int:
        self.dut.poke("host_addr", REG_STATUS)
        self.dut.poke("host_read", 1)
        self.cycle()
        self.dut.poke("host_read", 0)
        self.cycle(HOST_READ_CYCLES - 1)
        return self.dut.peek("host_rdata")

    def until(self, done: Callable[[], bool], limit: int = 20_000) -> None:
        for _ in range(limit):
            if done():
                return
            self.cycle()
        raise AssertionError(f"not done after {limit} cycles, status {self.status():#x}")
