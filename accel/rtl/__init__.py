"""The hardware blocks in MyHDL, one block a file."""
