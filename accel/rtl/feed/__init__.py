"""From the input stream or the activation memory to the array's operands: frames, line buffer, windows."""
