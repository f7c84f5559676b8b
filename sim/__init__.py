"""Co-simulation: one bench API over MyHDL, Verilator and Icarus, bus models, and the whole accelerator."""
