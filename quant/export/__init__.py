"""A quantized network as tables for other programs: NumPy, safetensors, C, fixed-point notes. No torch in here."""
