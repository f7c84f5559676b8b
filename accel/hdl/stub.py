"""The stand-in for a child module while its parent is converted: it prints an instance."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

from myhdl._block import _Block, _CallInfo
from myhdl._extractHierarchy import _UserVerilogCode, _UserVhdlCode

from accel.hdl.errors import ConversionError
from accel.hdl.ports import is_shadow, mark_read

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from myhdl import Signal
    from myhdl._extractHierarchy import _MemInfo

    from accel.hdl.design import ConvertedModule
    from accel.hdl.ports import Port
    from accel.rtl.parts.module import Module


Writer: TypeAlias = "Callable[[InstanceStub], str]"  # gives the text of an instance


class _InstanceText:
    """User-defined code whose text is made when the names of all signals are known."""

    def __init__(self, stub: InstanceStub, write: Writer) -> None:
        self.stub = stub
        self.write = write

    def __str__(self) -> str:
        return self.write(self.stub)


class _VerilogText(_InstanceText, _UserVerilogCode):
    __slots__ = ("stub", "write")


class _VhdlText(_InstanceText, _UserVhdlCode):
    __slots__ = ("stub", "write")


class InstanceStub(_Block):
    """One call of a module. MyHDL takes it for a block without processes that has user-defined code.

    ports: port name -> the parent's Signal (absent ports left out). child: the converted module, set later.
    """

    def __init__(
        self, module: Module, ports: dict[str, Signal], parameters: dict[str, Hashable], writers: Mapping[str, Writer]
    ) -> None:
        caller = sys._getframe(3)
        self.module = module
        self.ports = ports
        self.parameters = parameters
        self.child: ConvertedModule
        self.child_files: dict[str, str] = {}
        self.constants: dict[str, int] = {}
        self.func = module.func
        self.args, self.kwargs = tuple(ports.values()), parameters
        self.callinfo = _CallInfo(caller.f_code.co_name, True, {**caller.f_globals, **caller.f_locals})
        self.callername, self.modctxt = self.callinfo.name, True
        self.subs: list[_Block] = []
        self.sigdict: dict[str, Signal] = {}
        self.memdict: dict[str, _MemInfo] = {}
        self.symdict: dict[str, object] = {}
        self.skipname, self.sim = False, None
        self.name = self.__name__ = module.func.__name__
        self.__doc__ = None
        self.verilog_code = _VerilogText(self, writers["verilog"])
        self.vhdl_code = _VhdlText(self, writers["vhdl"])

    def drive_outputs(self) -> None:
        """Before the parent's analysis: the child's outputs drive the parent's signals."""
        for port in self.child.ports:
            signal = self.ports[port.name]
            if port.direction != "out":
                continue
            where = f"{self.module.func.__name__} {self.name}"
            if is_shadow(signal):
                raise ConversionError(
                    f"{where}: output {port.name} is connected to a slice or concatenation"
                    "; connect a whole Signal and slice that"
                )
            if signal._driven:
                raise ConversionError(
                    f"{where}: output {port.name} drives a Signal that another instance "
                    "drives too; give each output its own Signal"
                )
            signal.driven = "wire"
            signal._used = True

    def read_inputs(self, is_port: Callable[[Signal], bool]) -> None:
        """After the parent's analysis: mark what is read; inputs that nothing drives become literals."""
        for port in self.child.ports:
            signal = self.ports[port.name]
            if port.direction != "in":
                continue
            if signal._driven or is_shadow(signal) or signal._used or is_port(signal):
                mark_read(signal)
            else:
                self.constants[port.name] = int(signal._init)

    def connections(self) -> Iterator[tuple[Port, Signal, int | None]]:
        """(port, actual Signal, literal value or None) for every port of the child, in order."""
        for port in self.child.ports:
            yield port, self.ports[port.name], self.constants.get(port.name)
