"""From accumulators to packed words: requantization, pooling, packing, the output FIFO."""
