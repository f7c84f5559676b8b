"""Whether any build of the accelerator can run a network of some shapes: the same answer at every door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel.compile.lower import fit_config
from accel.compile.place import roomiest
from accel.compile.precision import precisions_for
from accel.config import HardwareConfig
from accel.errors import FitError, UnsupportedError

if TYPE_CHECKING:
    from accel.ir import Graph

SIZES = 16, 64, 4  # rows and lanes: what boards have, whose reason is given, the largest and the smallest


def refusal(graph: Graph) -> str | None:
    """Why no build can run the graph, as one sentence; None where some size, with memories as large as can be built,
    holds it."""
    reasons = []
    for size in SIZES:
        try:
            fit_config(graph, roomiest(HardwareConfig(rows=size, lanes=size, precisions=precisions_for(graph))))
            return None
        except UnsupportedError as error:
            return str(error)
        except FitError as error:
            reasons.append(str(error))
    return reasons[0]
