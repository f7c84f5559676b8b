"""What blocks are made of: the module decorator, memories, FIFOs, delays, register slices."""
