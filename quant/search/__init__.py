"""Search for the widths of every layer: least loss under a budget of the accelerator's own cost model."""
