"""Conversion of MyHDL modules to Verilog and VHDL with their hierarchy, and the files around them."""

from accel.hdl.design import ConvertedDesign, ConvertedModule, convert_design
from accel.hdl.errors import ConversionError
from accel.hdl.ports import Port

__all__ = ["ConversionError", "ConvertedDesign", "ConvertedModule", "Port", "convert_design"]
