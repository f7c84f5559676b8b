"""VHDL benches: each registered block case is replayed in converted VHDL, by VUnit with GHDL."""
