# Runs in the folder of the synthesis run before synthesis: VHDL opens its memory images there.
set hook_dir [file dirname [file normalize [info script]]]
source [file join $hook_dir settings.tcl]
foreach name $memory_files {
    file copy -force [file join $hook_dir .. $name] .
}
