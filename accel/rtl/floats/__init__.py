"""float32 streams: quantizer and dequantizer with their arithmetic and registers."""
