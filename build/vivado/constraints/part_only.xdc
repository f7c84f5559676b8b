# Targets without board pins: the accelerator is synthesized and placed out of context. A fifth of the clock period is
# left to what stands in front of each input and behind each output.
set period 5.000
create_clock -name core_clk -period $period [get_ports clk]
set_input_delay -clock core_clk [expr {0.2 * $period}] [get_ports -filter {DIRECTION == IN && NAME != clk}]
set_output_delay -clock core_clk [expr {0.2 * $period}] [all_outputs]
