"""The cost model word by word: loops over rows, elements and tiles where accel/compile/cost.py has closed forms."""

from collections import deque

from accel.compile.cost import ADDRESS_CYCLES, FILLED_TO_READY, READY_TO_ISSUE, RELEASE_CYCLES, START_CYCLES
from accel.descriptor import OP_DENSE
from accel.rtl.array.mac_array import mac_array_latency
from accel.rtl.compute_core import operand_latency
from accel.rtl.output.latencies import end_delay
from accel.rtl.output.requantize import REQUANTIZE_LAUNCH_LATENCY


def stage_cycles(walk, params, in_words, config):
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
    """Walker, MAC array and requantizer. They stop together while the requantizer cannot take a finished
    tile.

    `enabled` times count only the cycles in which they advance; `wall` turns them into clock cycles.
    """

    def __init__(self, walk, params, pipeline):
        self.words, self.tiles, self.pixels = walk.tile_words, walk.tiles, walk.columns
        self.groups, self.last_groups = params.groups, params.last_groups
        self.pipeline = pipeline
        self.stalls = 0
        self.accepted, self.held = -1, 0  # when the newest tile was taken, and its groups
        self.pending = deque()  # enabled times at which tiles are finished, and their groups
        self.never_stalls = self.words >= self.groups and self.words >= self.last_groups
        self.last = -1

    def issue_row(self, start):
        """Issue the words of one output row from enabled time `start` on; returns the enabled time of the last."""
        tiles = self.pixels * self.tiles
        self.last = start + tiles * self.words - 1
        if self.never_stalls:
            return self.last
        finished = start - 1 + self.pipeline
        for _ in range(self.pixels):
            for tile in range(self.tiles):
                finished += self.words
                self.pending.append((finished, self.last_groups if tile == self.tiles - 1 else self.groups))
        return self.last

    def wall(self, enabled):
        """Clock cycle of an enabled time. Calls must not go back in time."""
        while self.pending and self.pending[0][0] <= enabled:
            finished, groups = self.pending.popleft()
            arrival = finished + self.stalls
            taken = max(arrival, self.accepted + self.held)
            self.stalls += taken - arrival
            self.accepted, self.held = taken, groups
        return enabled + self.stalls

    def first_enabled(self, enabled, clock):
        """First enabled time from `enabled` on whose clock cycle is not before `clock`."""
        while True:
            missing = clock - self.wall(enabled)
            if missing <= 0:
                return enabled
            enabled += missing
            if self.pending:  # a stall may begin earlier: look there first
                enabled = min(enabled, self.pending[0][0])

    def last_launch(self):
        """Clock cycle in which the requantizer launches the layer's last group."""
        return self.wall(self.last + self.pipeline) + self.last_groups


def _convolution(walk, array, in_words, config):
    """Runs feeder and walker row by row; returns the cycle in which the feeder has taken its last source word."""
    fields = walk.fields
    feeder = _Feeder(fields, config)
    need, step = fields["need_rows"], fields["row_step"]
    released = []  # clock cycles in which the feeder sees the slots of a row
    enabled, done, previous_done = 0, None, None
    for row in range(walk.rows):
        filled = feeder.fill_to(row * step + need, released, step)
        seen = filled + FILLED_TO_READY
        if done is not None and seen < done and previous_done != done - 1:
            enabled += 1
        else:
            waited = 1 if done is None else done + 1
            enabled = array.first_enabled(enabled + (done is not None), max(waited, seen) + READY_TO_ISSUE)
        enabled = array.issue_row(enabled)
        previous_done, done = done, array.wall(enabled)
        released.append(array.wall(enabled + 1) + RELEASE_CYCLES)
    return feeder.drained(in_words)


class _Feeder:
    """Writes rows as slots allow; cycle by cycle figures of accel/rtl/feed/feeder.py."""

    def __init__(self, fields, config):
        self.lanes = config.lanes
        self.slots = fields["ring_slots_minus1"] + 1
        self.top, self.data = fields["top_rows"], fields["data_rows_minus1"] + 1
        self.elements = fields["row_elements_minus1"] + 1
        self.element_bytes = fields["element_bytes_minus1"] + 1
        self.offset, self.words = 0, 0
        first = fields["prefill_words"] + 2
        self.filled = [first + row for row in range(self.top)]  # last write of each row
        self.ready = first + self.top + 1  # the cycle in which the next row may start

    def fill_to(self, rows, released, step):
        """Cycle of the last write of row `rows` - 1, which needs the slots that `released` rows have left."""
        while len(self.filled) < rows:
            row = len(self.filled)
            releases = -(-(row + 1 - self.slots) // step)
            start = self.ready if releases <= 0 else max(self.ready, released[releases - 1])
            self.filled.append(start + self._row_cycles(padding=row >= self.top + self.data))
            self.ready = self.filled[-1] + 1
        return self.filled[rows - 1]

    def _row_cycles(self, padding):
        if padding:
            return self.elements * -(-self.element_bytes // self.lanes)
        cycles = 0
        for _ in range(self.elements):
            end = self.offset + self.element_bytes
            cycles += -(-end // self.lanes)
            self.words += end // self.lanes
            self.offset = end % self.lanes
        return cycles

    def drained(self, in_words):
        """Cycle in which the feeder is idle again: what is left of the source is dropped a word a cycle."""
        return self.ready + in_words - self.words + 1
