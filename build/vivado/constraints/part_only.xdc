# Targets without board pins: the accelerator is synthesized and placed out of context, with its clock only.
create_clock -name core_clk -period 5.000 [get_ports clk]
