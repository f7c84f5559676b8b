# Stand-ins for the Vivado commands that the project script uses. Each refuses an option that the command does not
# have (Vivado Design Suite Tcl Command Reference, UG835), a file that does not exist and a property or value that is
# not known, and prints what was called. Usage: tclsh vivado_stub.tcl SCRIPT TOP_PORTS ARGUMENTS...

# command {flags} {options with a value} {least and most other arguments}
set commands {
    create_project {force in_memory ip rtl_kernel quiet verbose} {part} {1 2}
    current_project {quiet verbose} {} {0 1}
    add_files {norecurse scan_for_includes quiet verbose} {fileset of_objects copy_to} {1 1}
    get_filesets {regexp nocase quiet verbose} {filter of_objects} {0 1}
    get_files {regexp nocase all references quiet verbose} {filter of_objects compile_order used_in} {0 1}
    get_runs {regexp nocase quiet verbose} {filter of_objects} {0 1}
    update_compile_order {force_gui quiet verbose} {fileset} {0 0}
    set_property {quiet verbose} {dict name value objects} {0 3}
    get_property {min max quiet verbose} {} {2 2}
    launch_runs {scripts_only next_step force quiet verbose} {jobs lsf dir to_step host} {1 9}
    wait_on_run {quiet verbose} {timeout} {1 1}
    open_run {quiet verbose} {name pr_config} {1 1}
    close_design {quiet verbose} {} {0 0}
    close_sim {force quiet verbose} {} {0 0}
    launch_simulation {scripts_only noclean_dir absolute_path quiet verbose} {step simset mode type of_objects} {0 0}
    report_utilization {append hierarchical hierarchical_percentages no_primitives packthru slr return_string quiet
        verbose} {file pblocks cells name hierarchical_depth spreadsheet_file spreadsheet_table} {0 0}
    report_timing_summary {check_timing_verbose no_detailed_paths setup hold unique_pins no_reused_label input_pins
        report_unconstrained no_header append return_string warn_on_violation datasheet quiet verbose}
        {delay_type max_paths nworst path_type slack_lesser_than significant_digits file name cells rpx} {0 0}
    report_power {no_propagation append return_string advisory quiet verbose} {file name format xpe rpx l hier
        hierarchical_depth vid} {0 0}
    get_ports {regexp nocase quiet verbose} {filter of_objects} {0 1}
    all_outputs {quiet verbose} {} {0 0}
    set_input_delay {rise fall max min add_delay clock_fall network_latency_included source_latency_included quiet
        verbose} {clock reference_pin} {2 2}
    set_output_delay {rise fall max min add_delay clock_fall network_latency_included source_latency_included quiet
        verbose} {clock reference_pin} {2 2}
    get_pins {regexp nocase hierarchical leaf quiet verbose} {filter of_objects} {1 1}
    current_design {quiet verbose} {} {0 1}
    create_clock {add quiet verbose} {name period waveform} {1 1}
    create_generated_clock {add invert combinational quiet verbose} {name source edges divide_by multiply_by
        duty_cycle edge_shift master_clock} {1 1}
    set_false_path {setup hold rise fall reset_path quiet verbose} {from to through rise_from rise_to} {0 0}
}

# property {values that it takes}; * takes any
set properties {
    target_language {Verilog VHDL}
    simulator_language {Verilog VHDL Mixed}
    file_type {{VHDL 2008} VHDL Verilog SystemVerilog {Memory File}}
    top *
    generic *
    xsim.simulate.runtime *
    xsim.simulate.xsim.more_options *
    xsim.elaborate.xelab.more_options *
    STEPS.SYNTH_DESIGN.ARGS.FLATTEN_HIERARCHY {rebuilt full none}
    STEPS.SYNTH_DESIGN.TCL.PRE *
    {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} {{-mode out_of_context}}
    PACKAGE_PIN *
    IOSTANDARD {LVCMOS33 LVCMOS18}
    CFGBVS {VCCO GND}
    CONFIG_VOLTAGE {3.3 1.8}
}
# Slacks: setup and hold of a placed and routed design, in ns.
set readable [dict create PROGRESS 100% STATUS Complete \
    STATS.WNS [expr {[info exists env(SETUP_SLACK)] ? $env(SETUP_SLACK) : "0.125"}] \
    STATS.WHS [expr {[info exists env(HOLD_SLACK)] ? $env(HOLD_SLACK) : "0.031"}]]
set added {}
set file_types {}
set seen_constraints {}

proc parse {command arguments} {
    global commands
    lassign [dict get $::table $command] flags valued limits
    set options {}
    set others {}
    for {set i 0} {$i < [llength $arguments]} {incr i} {
        set word [lindex $arguments $i]
        if {[regexp {^-([A-Za-z_]+)$} $word -> option]} {
            if {$option in $valued} {
                incr i
                if {$i >= [llength $arguments]} { error "$command: -$option needs a value" }
                dict set options $option [lindex $arguments $i]
            } elseif {$option in $flags} {
                dict set options $option 1
            } else {
                error "$command: unknown option -$option"
            }
        } else {
            lappend others $word
        }
    }
    if {[llength $others] < [lindex $limits 0] || [llength $others] > [lindex $limits 1]} {
        error "$command: [llength $others] arguments: $others"
    }
    puts "CALL $command $arguments"
    return [list $options $others]
}

proc check_property {name value} {
    if {![dict exists $::properties $name]} { error "set_property: unknown property $name" }
    set values [dict get $::properties $name]
    if {$values ne "*" && $value ni $values} { error "set_property: $name cannot be $value" }
}

# VHDL sources are written for the standard of 2008; Vivado reads others as 1993.
proc check_vhdl {} {
    foreach entry $::added {
        lassign $entry fileset file
        if {[file extension $file] eq ".vhd" && ![dict exists $::file_types $file]} {
            error "$file in $fileset is not read as VHDL 2008"
        }
    }
}

set table {}
foreach {command flags valued limits} $commands {
    dict set table $command [list $flags $valued $limits]
    proc $command {args} "return \[run $command \$args\]"
}

proc run {command arguments} {
    lassign [parse $command $arguments] options others
    switch $command {
        add_files {
            foreach file [lindex $others 0] {
                if {![file isfile $file]} { error "add_files: no such file: $file" }
                lappend ::added [list [dict get $options fileset] $file]
                if {[file extension $file] eq ".xdc"} { lappend ::seen_constraints $file }
            }
        }
        get_filesets {
            set name [lindex $others 0]
            if {$name ni {sources_1 constrs_1 sim_1 utils_1}} { error "get_filesets: no fileset $name" }
            return $name
        }
        get_runs {
            set name [lindex $others 0]
            if {$name ni {synth_1 impl_1}} { error "get_runs: no run $name" }
            return $name
        }
        get_files {
            set found {}
            foreach entry $::added {
                lassign $entry fileset file
                if {[string match [lindex $others 0] $file] && $fileset eq [dict get $options of_objects]} {
                    lappend found $file
                }
            }
            if {[llength $found] == 0} { error "get_files: nothing matches [lindex $others 0]" }
            return $found
        }
        set_property {
            if {[dict exists $options dict]} {
                foreach {name value} [dict get $options dict] { check_property $name $value }
            } elseif {[dict exists $options name]} {
                check_property [dict get $options name] [dict get $options value]
            } else {
                check_property [lindex $others 0] [lindex $others 1]
                if {[lindex $others 0] eq "file_type"} {
                    foreach file [lindex $others 2] { dict set ::file_types $file [lindex $others 1] }
                }
            }
        }
        get_property {
            set name [lindex $others 0]
            if {![dict exists $::readable $name]} { error "get_property: unknown property $name" }
            return [dict get $::readable $name]
        }
        all_outputs {
            return $::top_ports
        }
        get_ports {
            if {[dict exists $options filter]} { return $::top_ports }
            set found [lsearch -all -inline -glob $::top_ports [string map {[ \\[ ] \\]} [lindex $others 0]]]
            if {[string match {*\**} [lindex $others 0]]} { set found [lindex $others 0] }
            if {[llength $found] == 0} { error "get_ports: the top has no port [lindex $others 0]" }
            return $found
        }
        create_project {
            set ::project $others
        }
        launch_simulation {
            check_vhdl
            lassign $::project name folder
            set log [file join $folder $name.sim sim_1 behav xsim simulate.log]
            file mkdir [file dirname $log]
            set file [open $log w]
            puts $file [expr {[info exists ::env(BENCH_PRINTS)] ? $::env(BENCH_PRINTS) : "PASS: 2 images"}]
            close $file
        }
        launch_runs {
            check_vhdl
            if {[dict exists $options to_step] && [dict get $options to_step] ne "write_bitstream"} {
                error "launch_runs: unknown step [dict get $options to_step]"
            }
        }
        report_utilization - report_timing_summary - report_power {
            if {![file isdirectory [file dirname [dict get $options file]]]} {
                error "$command: no folder for [dict get $options file]"
            }
        }
    }
    return ""
}

set script [lindex $argv 0]
set top_ports [lindex $argv 1]
set argv [lrange $argv 2 end]
# `info script` inside the sourced file gives the file's own name, as in Vivado.
source $script
foreach file $seen_constraints { source $file }
