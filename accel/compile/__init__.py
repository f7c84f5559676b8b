"""The compiler: an integer graph and a hardware configuration in, a Program for the accelerator out."""

from accel.compile.lower import compile_graph, fit_config
from accel.compile.precision import precisions_for
from accel.compile.program import LayerPlan, Program

__all__ = ["LayerPlan", "Program", "compile_graph", "fit_config", "precisions_for"]
