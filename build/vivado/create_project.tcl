# Makes the Vivado project of a converted accelerator, and on request runs it.
#
#   vivado -mode batch -source create_project.tcl                     project only
#   vivado -mode batch -source create_project.tcl -tclargs synth      and synthesis with its reports
#   vivado -mode batch -source create_project.tcl -tclargs impl       and implementation with its reports
#   vivado -mode batch -source create_project.tcl -tclargs bitstream  and the bitstream (boards only)
#   vivado -mode batch -source create_project.tcl -tclargs simulate   the self-checking test bench instead
#
# A second argument is the number of parallel jobs (default 4); +load and +stalls behind `simulate` go to the bench.
# Reports go to reports/ beside this script. A design that misses its clock ends with an error after them, and gets no
# bitstream.
# What belongs to this design (part, top, files) is in settings.tcl.

set script_dir [file dirname [file normalize [info script]]]
source [file join $script_dir settings.tcl]

set goal "project"
set jobs 4
set bench_options {}
if {[llength $argv] > 0} { set goal [lindex $argv 0] }
foreach argument [lrange $argv 1 end] {
    if {[string is integer -strict $argument] && $argument > 0} {
        set jobs $argument
    } elseif {$argument in {+load +stalls} && $goal eq "simulate"} {
        lappend bench_options [string range $argument 1 end]
    } else {
        error "create_project.tcl: argument $argument is unknown; give a number of jobs, or +load, +stalls to simulate"
    }
}
if {$goal ni {project synth impl bitstream simulate}} {
    error "create_project.tcl: goal $goal is unknown; choose project, synth, impl, bitstream or simulate"
}
if {$goal eq "bitstream" && $out_of_context} {
    error "create_project.tcl: $part has no board constraints, so there is no bitstream; choose impl"
}
set reports_dir [file join $script_dir reports]

proc in_design {names} {
    global script_dir
    set paths {}
    foreach name $names { lappend paths [file normalize [file join $script_dir .. $name]] }
    return $paths
}

proc has_line {path pattern} {
    set file [open $path]
    set text [read $file]
    close $file
    return [regexp -line $pattern $text]
}

proc check_run {run} {
    if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
        error "create_project.tcl: run $run failed: [get_property STATUS [get_runs $run]]"
    }
}

proc check_timing {} {
    global reports_dir
    foreach {kind name} {setup STATS.WNS hold STATS.WHS} {
        set slack [get_property $name [get_runs impl_1]]
        puts "worst $kind slack $slack ns"
        if {![string is double -strict $slack] || $slack < 0} {
            error "create_project.tcl: the clock is missed: worst $kind slack is \"$slack\" ns, must be 0 or more; see\
                [file join $reports_dir impl_timing.rpt]; choose a smaller array or a slower clock"
        }
    }
}

proc write_reports {stage} {
    global reports_dir
    file mkdir $reports_dir
    report_utilization -file [file join $reports_dir ${stage}_utilization.rpt]
    report_utilization -hierarchical -file [file join $reports_dir ${stage}_utilization_by_block.rpt]
    report_timing_summary -delay_type min_max -max_paths 10 -report_unconstrained \
        -file [file join $reports_dir ${stage}_timing.rpt]
    report_power -file [file join $reports_dir ${stage}_power.rpt]
}

# Project and sources
create_project -force -part $part $project_name [file join $script_dir project]
set_property target_language $language [current_project]
set_property simulator_language Mixed [current_project]
add_files -norecurse -fileset [get_filesets sources_1] [in_design $rtl_files]
add_files -norecurse -fileset [get_filesets sources_1] [in_design $memory_files]
if {$language eq "VHDL"} {
    set_property file_type {VHDL 2008} [get_files -of_objects [get_filesets sources_1] *.vhd]
}
set_property top $top [get_filesets sources_1]
if {[llength $generics] > 0} {
    set_property generic $generics [get_filesets sources_1]
}
update_compile_order -fileset sources_1

# Constraints
add_files -norecurse -fileset [get_filesets constrs_1] [in_design $constraint_files]

# Simulation
add_files -norecurse -fileset [get_filesets sim_1] [in_design $simulation_files]
set_property top $simulation_top [get_filesets sim_1]
set_property -name {xsim.simulate.runtime} -value {all} -objects [get_filesets sim_1]
if {$language eq "VHDL"} {
    set_property file_type {VHDL 2008} [get_files -of_objects [get_filesets sim_1] *.vhd]
}
set options {}
foreach name $bench_options {
    lappend options {*}[expr {$language eq "VHDL" ? "-generic_top $name=1" : "-testplusarg $name"}]
}
if {[llength $options] > 0} {
    set step [expr {$language eq "VHDL" ? "elaborate.xelab" : "simulate.xsim"}]
    set_property -name xsim.$step.more_options -value [join $options] -objects [get_filesets sim_1]
}
update_compile_order -fileset sim_1

# Runs
set_property STEPS.SYNTH_DESIGN.ARGS.FLATTEN_HIERARCHY rebuilt [get_runs synth_1]
if {$out_of_context} {
    set_property -name {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} -value {-mode out_of_context} \
        -objects [get_runs synth_1]
}

if {$language eq "VHDL"} {
    add_files -norecurse -fileset [get_filesets utils_1] [in_design vivado/copy_memory.tcl]
    set_property STEPS.SYNTH_DESIGN.TCL.PRE [get_files -of_objects [get_filesets utils_1] *copy_memory.tcl] \
        [get_runs synth_1]
}

if {$goal eq "simulate"} {
    launch_simulation -simset [get_filesets sim_1] -mode behavioral
    close_sim
    set log [file join $script_dir project $project_name.sim sim_1 behav xsim simulate.log]
    if {![file isfile $log]} {
        puts "create_project.tcl: no $log; look for PASS in the output above"
    } elseif {![has_line $log {^(Note: )?PASS: }]} {
        error "create_project.tcl: the test bench did not print PASS; see $log"
    }
}
if {$goal in {synth impl bitstream}} {
    launch_runs synth_1 -jobs $jobs
    wait_on_run synth_1
    check_run synth_1
    open_run synth_1 -name synth_1
    write_reports synth
    close_design
}
if {$goal in {impl bitstream}} {
    launch_runs impl_1 -jobs $jobs
    wait_on_run impl_1
    check_run impl_1
    open_run impl_1
    write_reports impl
    close_design
    check_timing
}
if {$goal eq "bitstream"} {
    launch_runs impl_1 -to_step write_bitstream -jobs $jobs
    wait_on_run impl_1
    check_run impl_1
}
puts "create_project.tcl: $goal done"
