"""Predicts clock cycles from the timing of feeder, window walker, MAC array, requantizer and output path.

Times are clock cycles since the scheduler's start pulse (cycle 0). The source is taken to be always valid
and the sink always ready. The blocks' docstrings give the delays; tests compare the sum with the simulated
counters.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from accel.descriptor import OP_DENSE
from accel.rtl.array.mac_array import mac_array_latency
from accel.rtl.compute_core import operand_latency
from accel.rtl.output.latencies import end_delay
from accel.rtl.output.requantize import REQUANTIZE_LAUNCH_LATENCY

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from accel.compile.parameters import Parameters
    from accel.compile.walks import Walk
    from accel.config import HardwareConfig

START_CYCLES = 2  # the scheduler counts the cycle before the start pulse and the pulse itself
FILLED_TO_READY = 2  # from the last write of a row to the cycle in which the walker sees the row
READY_TO_ISSUE = 1
RELEASE_CYCLES = 2  # from the enabled cycle behind a row's last word to the cycle in which the feeder sees the slots
ADDRESS_CYCLES = 1  # from a walker's decision to its address registers


def stage_cycles(walk: Walk, params: Parameters, in_words: int, config: HardwareConfig) -> int:
    """Cycles of one stage, as the scheduler counts them: from its READY cycle to the next layer's."""
    pipeline = ADDRESS_CYCLES + operand_latency(config) + mac_array_latency(config)
    array = _Array(walk, params, pipeline)
    source_end = 0
    if walk.op == OP_DENSE:
        array.issue_row(1)
    else:
        source_end = _convolution(walk, array, in_words, config)
    launched = array.last_launch()
    layer_end = launched + REQUANTIZE_LAUNCH_LATENCY + end_delay(config) + 1
    return max(layer_end, source_end) + START_CYCLES


class _Array:
    """Walker, MAC array and requantizer. They stop together while the requantizer cannot take a finished tile.

    `enabled` times count only the cycles in which they advance; `wall` turns them into clock cycles. A tile is taken
    `words` enabled cycles behind the one before, but not before that one's groups have left: it stalls for what is
    missing, so the stalls of a row of tiles are sums of two numbers.
    """

    def __init__(self, walk: Walk, params: Parameters, pipeline: int) -> None:
        self.words, self.tiles, self.row_tiles = walk.tile_words, walk.tiles, walk.columns * walk.tiles
        self.last_groups = params.last_groups
        self.pipeline = pipeline
        self.inner = max(0, params.groups - self.words)  # stall behind a tile that is not its pixel's last
        self.edge = max(0, params.last_groups - self.words)  # behind a pixel's last tile
        self.stalls = 0  # of the rows that are finished
        self.rows: deque[tuple[int, int]] = (
            deque()
        )  # (enabled time at which the first tile is finished, its stall) of rows under way
        self.last = -1
        self.last_finished: int | None = None

    def issue_row(self, start: int) -> int:
        """Issue the words of one output row from enabled time `start` on; returns the enabled time of the last."""
        self.last = start + self.row_tiles * self.words - 1
        if self.inner or self.edge:
            first = start - 1 + self.pipeline + self.words
            stall = 0 if self.last_finished is None else max(0, self.last_groups - (first - self.last_finished))
            self.rows.append((first, stall))
            self.last_finished = self.last + self.pipeline
        return self.last

    def _row_stalls(self, first_stall: int, tiles: int) -> int:
        """Stall cycles of the first `tiles` tiles of a row."""
        pixels = (tiles - 1) // self.tiles
        return first_stall + pixels * self.edge + (tiles - 1 - pixels) * self.inner

    def _stalls(self, enabled: int) -> int:
        """Stall cycles up to an enabled time."""
        total = self.stalls
        for first, stall in self.rows:
            if enabled < first:
                break
            total += self._row_stalls(stall, min(self.row_tiles, (enabled - first) // self.words + 1))
        return total

    def wall(self, enabled: int) -> int:
        """Clock cycle of an enabled time. Calls must not go back in time."""
        while self.rows and self.rows[0][0] + (self.row_tiles - 1) * self.words <= enabled:
            self.stalls += self._row_stalls(self.rows.popleft()[1], self.row_tiles)
        return enabled + self._stalls(enabled)

    def first_enabled(self, enabled: int, clock: int) -> int:
        """First enabled time from `enabled` on whose clock cycle is not before `clock`."""
        high = enabled + max(0, clock - self.wall(enabled))
        while enabled < high:
            middle = (enabled + high) // 2
            if middle + self._stalls(middle) < clock:
                enabled = middle + 1
            else:
                high = middle
        return enabled

    def last_launch(self) -> int:
        """Clock cycle in which the requantizer launches the layer's last group."""
        return self.wall(self.last + self.pipeline) + self.last_groups

    def state(self, enabled: int) -> tuple[int | None, tuple[tuple[int, int], ...]]:
        """What the future depends on, relative to an enabled time."""
        finished = None if self.last_finished is None else self.last_finished - enabled
        return finished, tuple((first - enabled, stall) for first, stall in self.rows)

    def shift(self, enabled: int, stalls: int) -> None:
        """Move on by that many enabled and stall cycles, in the same state."""
        self.rows = deque((first + enabled, stall) for first, stall in self.rows)
        self.stalls += stalls
        self.last += enabled
        if self.last_finished is not None:
            self.last_finished += enabled


def _convolution(walk: Walk, array: _Array, in_words: int, config: HardwareConfig) -> int:
    """Runs feeder and walker row by row; returns the cycle in which the feeder has taken its last source word.

    Once the state at a row equals an earlier row's, what lies between repeats itself as long as the rows that are fed
    are rows of data: those periods are skipped.
    """
    feeder = _Feeder(walk.fields, config)
    enabled, done, previous_done = 0, None, None
    states: dict[Hashable, tuple[int, int, int]] | None = {}
    row = 0
    while row < walk.rows:
        seen = feeder.fill_for(row) + FILLED_TO_READY
        if done is not None and seen < done and previous_done != done - 1:
            enabled += 1
        else:
            waited = 1 if done is None else done + 1
            enabled = array.first_enabled(enabled + (done is not None), max(waited, seen) + READY_TO_ISSUE)
        enabled = array.issue_row(enabled)
        previous_done, done = done, array.wall(enabled)
        feeder.released.append(array.wall(enabled + 1) + RELEASE_CYCLES)
        row += 1
        if states is None or previous_done is None or not feeder.waits_for_slots():
            continue
        state = done - previous_done, feeder.state(done), array.state(enabled)
        if state not in states:
            states[state] = row, enabled, done
            continue
        earlier, enabled_then, done_then = states[state]
        period, states = row - earlier, None
        periods = max(0, min((walk.rows - row) // period, feeder.steady_rows() // period))
        on, clock = periods * (enabled - enabled_then), periods * (done - done_then)
        array.shift(on, clock - on)
        feeder.shift(periods * period, clock)
        row, enabled, done, previous_done = row + periods * period, enabled + on, done + clock, previous_done + clock
    return feeder.drained(in_words)


class _Feeder:
    """Writes rows as slots allow; cycle by cycle figures of accel/rtl/feed/feeder.py.

    released: clock cycles in which it sees the slots of the newest output rows.
    """

    def __init__(self, fields: Mapping[str, int], config: HardwareConfig) -> None:
        self.lanes = config.lanes
        self.slots, self.need, self.step = fields["ring_slots_minus1"] + 1, fields["need_rows"], fields["row_step"]
        self.top, self.data = fields["top_rows"], fields["data_rows_minus1"] + 1
        self.elements = fields["row_elements_minus1"] + 1
        self.element_bytes = fields["element_bytes_minus1"] + 1
        self.rows = self.top  # that are filled
        self.last_write = fields["prefill_words"] + 1 + self.top  # of the newest row
        self.ready = fields["prefill_words"] + self.top + 3  # the cycle in which the next row may start
        self.released: deque[int] = deque(maxlen=2 + max(0, (self.slots - self.need - 1) // self.step))

    def fill_for(self, row: int) -> int:
        """Cycle of the last write of the rows that output row `row` needs, all before it having released theirs."""
        while self.rows < row * self.step + self.need:
            releases = max(0, -(-(self.rows + 1 - self.slots) // self.step))
            start = max(self.ready, self.released[releases - 1 - row]) if releases else self.ready
            end = min(row * self.step + self.need, self.slots + releases * self.step)  # rows that wait for the same one
            if self.rows < self.top + self.data:
                end = min(end, self.top + self.data)
            count = end - self.rows
            self.last_write = start + self._cycles(count) + count - 1
            self.ready = self.last_write + 1
            self.rows = end
        return self.last_write

    def _source_bytes(self) -> int:
        """Bytes of the source that lie in the rows that are filled."""
        return min(self.data, self.rows - self.top) * self.elements * self.element_bytes

    def _cycles(self, count: int) -> int:
        """Cycles of writing `count` rows: a word of the source or of padding at a time, never bytes of two elements."""
        elements = count * self.elements
        if self.rows >= self.top + self.data:
            return elements * -(-self.element_bytes // self.lanes)
        offset = self._source_bytes() % self.lanes
        meets = _multiples(offset, self.element_bytes, elements, self.lanes)
        return (offset + elements * self.element_bytes) // self.lanes + elements - meets

    def waits_for_slots(self) -> bool:
        """Whether every row from the next one on needs slots of an output row."""
        return self.rows >= self.slots

    def steady_rows(self) -> int:
        """Output rows from the next one on that need rows of data only."""
        return (self.top + self.data - self.rows) // self.step

    def state(self, clock: int) -> tuple[int, int, tuple[int, ...]]:
        """What the future depends on while rows of data come, relative to a clock cycle."""
        return self._source_bytes() % self.lanes, self.ready - clock, tuple(time - clock for time in self.released)

    def shift(self, outputs: int, clock: int) -> None:
        """Move on by that many output rows and clock cycles, in the same state."""
        self.rows += outputs * self.step
        self.last_write += clock
        self.ready += clock
        self.released = deque((time + clock for time in self.released), self.released.maxlen)

    def drained(self, in_words: int) -> int:
        """Cycle in which the feeder is idle again: what is left of the source is dropped a word a cycle."""
        return self.ready + in_words - self._source_bytes() // self.lanes + 1


def _multiples(offset: int, step: int, count: int, modulus: int) -> int:
    """How many of offset + step, offset + 2 step, ... (`count` of them) are multiples of `modulus`."""
    common = math.gcd(step, modulus)
    if offset % common:
        return 0
    period = modulus // common
    first = -(offset // common) * pow(step // common, -1, period) % period or period
    return (count - first) // period + 1 if count >= first else 0


def image_cycles(
    steady_cycles: int, first: Mapping[str, int], last: Mapping[str, int], output_bytes: int, config: HardwareConfig
) -> int:
    """Cycles of one image on a waiting accelerator, from its first input beat taken to its last output beat.

    steady_cycles: sum of all stages. first, last: descriptor fields of the first and the last stage. Before the image
    comes the first stage has prefilled its padding; a last group that straddles two words costs a cycle more.
    """
    prepared = first["prefill_words"] + first["top_rows"] + 3
    group_bytes = -(-last["last_count"] // 2 ** last["output_code"])  # channels, packed
    group_start = (output_bytes - group_bytes) % config.lanes
    return steady_cycles - prepared + (group_start + group_bytes > config.lanes)
