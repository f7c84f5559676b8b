"""Small blocks that only the tests of the simulation itself use."""
