"""From an nn.Module to a folded chain of float layers."""
