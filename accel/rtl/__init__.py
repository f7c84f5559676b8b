"""The hardware blocks in MyHDL, one block a file, in folders in the order of the data path; `top` wires them."""
