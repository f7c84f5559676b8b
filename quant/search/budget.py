"""Budgets of a search: what is limited, and to how much."""

from __future__ import annotations

from dataclasses import dataclass

from accel.errors import UnsupportedError

# metric -> (field of LayerCost, unit, text)
METRICS = {
    "cycles": ("cycles", "cycles", "clock cycles from one image to the next"),
    "weight_bytes": ("bank_bytes", "bytes", "bytes of the weight bank, padding included"),
    "file_bytes": ("file_bytes", "bytes", "bytes of the weights in their own widths"),
    "energy": ("energy_pj", "pJ", "energy estimate of an image"),
}


@dataclass(frozen=True)
class Budget:
    """At most `value` of a metric; relative: `value` is a share of what the network costs at 8 bits on this build."""

    metric: str
    value: float
    relative: bool = False

    @classmethod
    def parse(cls, metric: str, text: str) -> Budget:
        """The Budget of "60%" or "17000". Raises UnsupportedError for anything else."""
        share = text.strip().endswith("%")
        try:
            value = float(text.strip().removesuffix("%"))
        except ValueError:
            value = -1.0
        if not 0 < value < float("inf"):
            raise UnsupportedError(
                f"budget {metric} '{text}': give a positive number, or a percentage of the 8-bit network's such as 60%"
            )
        return cls(metric, value / 100 if share else value, share)

    def limit(self, base: float) -> float:
        """The limit, where the 8-bit network costs `base`."""
        return self.value * base if self.relative else self.value
