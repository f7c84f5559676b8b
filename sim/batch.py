"""The accelerator on Verilator: host writes and batches of images run in one C loop (engines/batch.h)."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from accel.descriptor import REG_IMAGES, REG_STATUS, REGION_REGISTERS, host_address
from sim.bus import STALLS
from sim.driver import STATUS_ERROR, STATUS_INTERVAL, Accelerator, AcceleratorError, Run, kept_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    from accel.config import HardwareConfig
    from accel.types import Bytes
    from sim.bus import Stalls
    from sim.engines.verilator import VerilatorDut

DONE, TIMEOUT, ERROR, UNSTABLE, OVERFLOW, END = range(6)
OUTPUT_BEATS = 1 << 16  # room for outputs that are longer than the loaded program's, or whose program is preset


class _Batch(ctypes.Structure):
    """struct Batch of engines/batch.h."""

    _fields_ = [
        ("in_data", ctypes.c_void_p),
        ("in_last", ctypes.c_void_p),
        ("in_beats", ctypes.c_uint64),
        ("out_data", ctypes.c_void_p),
        ("out_keep", ctypes.c_void_p),
        ("out_last", ctypes.c_void_p),
        ("out_capacity", ctypes.c_uint64),
        ("out_beats", ctypes.c_uint64),
        ("images", ctypes.c_uint64),
        ("images_done", ctypes.c_uint64),
        ("first_cycle", ctypes.c_void_p),
        ("last_cycle", ctypes.c_void_p),
        ("cycle", ctypes.c_uint64),
        ("max_cycles", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("source_pause", ctypes.c_double),
        ("sink_pause", ctypes.c_double),
        ("burst", ctypes.c_double),
        ("lanes", ctypes.c_uint32),
        ("gap", ctypes.c_uint32),
        ("status_address", ctypes.c_uint32),
        ("status_mask", ctypes.c_uint32),
        ("status_interval", ctypes.c_uint32),
        ("end_address", ctypes.c_uint32),
        ("end_mask", ctypes.c_uint32),
    ]


class BatchAccelerator(Accelerator):
    """Accelerator on a VerilatorDut whose model has the accelerator's ports."""

    dut: VerilatorDut

    def __init__(self, dut: VerilatorDut, config: HardwareConfig) -> None:
        super().__init__(dut, config)
        library = dut.library
        library.batch_host_write.argtypes = library.batch_host_read.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint64,
        ]
        library.batch_host_write.restype = library.batch_host_read.restype = None
        library.batch_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Batch)]
        library.batch_run.restype = ctypes.c_int

    def write_many(self, writes: Iterable[tuple[int, int]]) -> None:
        pairs = np.array(list(writes), dtype=np.uint32).reshape(-1, 2)
        addresses, words = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
        self.dut.library.batch_host_write(self.dut.model, addresses.ctypes.data, words.ctypes.data, len(words))
        self.dut.cycle += len(words)

    def read_many(self, addresses: Iterable[int]) -> list[int]:
        addresses = np.array(addresses, dtype=np.uint32)
        words = np.zeros(len(addresses), dtype=np.uint32)
        self.dut.library.batch_host_read(self.dut.model, addresses.ctypes.data, words.ctypes.data, len(words))
        self.dut.cycle += 2 * len(words)
        return words.tolist()

    def run_to_end(self, images: Iterable[bytes], limit: int, interval: int = 64) -> bool:
        """Stream images in, back to back, until the program has run once or stopped with an error.

        limit: cycles. interval: cycles between looks at the registers. Returns whether it ended; what comes out is
        dropped. Raises AcceleratorError for a broken handshake.
        """
        images = [self._beats(data) for data in images]
        batch, _ = self._batch(images, STALLS["none"], 1, False, limit, capacity=limit)
        batch.images = 2**63  # outputs, which never are that many
        batch.status_interval = interval
        batch.end_address, batch.end_mask = host_address(REGION_REGISTERS, REG_IMAGES), 2**32 - 1
        return self._start(batch) in (ERROR, END)

    def _run(self, images: list[bytes], stalls: Stalls, seed: int, isolated: bool, limit: int) -> Run:
        capacity = OUTPUT_BEATS + max(1024, self.output_beats) * len(images)
        batch, arrays = self._batch(images, stalls, seed, isolated, limit, capacity)
        outcome = self._start(batch)
        if outcome == OVERFLOW:
            raise AcceleratorError(f"m_axis: more than {capacity} beats came out of {len(images)} images")
        if outcome != DONE:
            self._stuck(batch.images_done, len(images), limit)
        outputs, start = [], 0
        for end in (np.flatnonzero(arrays["out_last"][: batch.out_beats]) + 1).tolist():
            outputs.append(_image_bytes(arrays["out_data"][start:end], arrays["out_keep"][start:end]))
            start = end
        first, last = (arrays[name][: len(images)].astype(int).tolist() for name in ("first_cycle", "last_cycle"))
        return Run(outputs, first, last)

    def _start(self, batch: _Batch) -> int:
        outcome = self.dut.library.batch_run(self.dut.model, batch)
        self.source_cut = outcome != DONE
        self.dut.cycle = batch.cycle
        if outcome == UNSTABLE:
            raise AcceleratorError(f"m_axis: cycle {batch.cycle}: a stalled beat changed or its valid fell")
        return outcome

    def _batch(
        self, images: list[bytes], stalls: Stalls, seed: int, isolated: bool, limit: int, capacity: int
    ) -> tuple[_Batch, dict[str, NDArray[Any]]]:
        """(the _Batch, the arrays that it points to)."""
        lanes = self.config.lanes
        ends = np.cumsum([len(image) // lanes for image in images])
        arrays = {
            "in_data": np.frombuffer(b"".join(images), dtype=np.uint8),
            "in_last": np.zeros(ends[-1], dtype=np.uint8),
            "out_data": np.zeros((capacity, lanes), dtype=np.uint8),
            "out_keep": np.zeros(capacity, dtype=np.uint64),
            "out_last": np.zeros(capacity, dtype=np.uint8),
            "first_cycle": np.zeros(len(images), dtype=np.uint64),
            "last_cycle": np.zeros(capacity, dtype=np.uint64),  # outputs may be more than images
        }
        arrays["in_last"][ends - 1] = 1
        batch = _Batch(
            **{name: array.ctypes.data for name, array in arrays.items()},
            in_beats=len(arrays["in_last"]),
            out_capacity=capacity,
            images=len(images),
            cycle=self.dut.cycle,
            max_cycles=limit,
            seed=seed,
            source_pause=stalls.source,
            sink_pause=stalls.sink,
            burst=stalls.burst,
            lanes=lanes,
            gap=self.ready_cycles if isolated else 0,
            status_address=host_address(REGION_REGISTERS, REG_STATUS),
            status_mask=STATUS_ERROR,
            status_interval=STATUS_INTERVAL,
        )
        return batch, arrays


def _image_bytes(beats: Bytes, keep: NDArray[np.uint64]) -> bytes:
    """Bytes of one image; only the last beat may be partly filled, others are checked one by one."""
    full = np.uint64((1 << beats.shape[1]) - 1)
    if (keep[:-1] == full).all():
        return beats[:-1].tobytes() + kept_bytes(beats[-1].tobytes(), int(keep[-1]))
    return b"".join(kept_bytes(beat.tobytes(), int(bits)) for beat, bits in zip(beats, keep, strict=True))
