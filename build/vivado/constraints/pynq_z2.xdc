# TUL PYNQ-Z2: pins of the self-test wrapper. The clock is the 125 MHz output of the Ethernet chip.
set_property -dict {PACKAGE_PIN H16 IOSTANDARD LVCMOS33} [get_ports clk_pin]
# The clock of the accelerator is derived from it by the clock manager in the wrapper.
create_clock -name board_clk -period 8.000 [get_ports clk_pin]

# Button 0 restarts the self-test.
set_property -dict {PACKAGE_PIN D19 IOSTANDARD LVCMOS33} [get_ports restart_pin]
set_false_path -from [get_ports restart_pin]

# LD0 .. LD3: passed, failed, alive, one change per image.
set_property -dict {PACKAGE_PIN R14 IOSTANDARD LVCMOS33} [get_ports {led[0]}]
set_property -dict {PACKAGE_PIN P14 IOSTANDARD LVCMOS33} [get_ports {led[1]}]
set_property -dict {PACKAGE_PIN N16 IOSTANDARD LVCMOS33} [get_ports {led[2]}]
set_property -dict {PACKAGE_PIN M14 IOSTANDARD LVCMOS33} [get_ports {led[3]}]
set_false_path -to [get_ports {led[*]}]
