# Digilent Arty A7-35T and A7-100T, revisions D and E: pins of the self-test wrapper.
set_property -dict {PACKAGE_PIN E3 IOSTANDARD LVCMOS33} [get_ports clk_pin]
# The clock of the accelerator is derived from it by the clock manager in the wrapper.
create_clock -name board_clk -period 10.000 [get_ports clk_pin]

# Button 0 restarts the self-test.
set_property -dict {PACKAGE_PIN D9 IOSTANDARD LVCMOS33} [get_ports restart_pin]
set_false_path -from [get_ports restart_pin]

# LD4 .. LD7: passed, failed, alive, one change per image.
set_property -dict {PACKAGE_PIN H5 IOSTANDARD LVCMOS33} [get_ports {led[0]}]
set_property -dict {PACKAGE_PIN J5 IOSTANDARD LVCMOS33} [get_ports {led[1]}]
set_property -dict {PACKAGE_PIN T9 IOSTANDARD LVCMOS33} [get_ports {led[2]}]
set_property -dict {PACKAGE_PIN T10 IOSTANDARD LVCMOS33} [get_ports {led[3]}]
set_false_path -to [get_ports {led[*]}]

set_property CFGBVS VCCO [current_design]
set_property CONFIG_VOLTAGE 3.3 [current_design]
