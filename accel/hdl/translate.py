"""One elaborated module through MyHDL's converter: ports, directions and the text of the body."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from myhdl._enum import EnumItemType
from myhdl._extractHierarchy import _getMemInfo, _isMem
from myhdl.conversion._misc import _kind

from accel.hdl import verilog, vhdl
from accel.hdl.comments import Comments
from accel.hdl.constants import name_numbers
from accel.hdl.errors import ConversionError
from accel.hdl.hooks import hooked
from accel.hdl.naming import check_name, is_reserved, unique
from accel.hdl.ports import Port, PortType, is_shadow, mark_read
from accel.hdl.slices import name_slices

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping
    from typing import Literal

    from myhdl import Signal
    from myhdl._block import _Block
    from myhdl._extractHierarchy import _MemInfo
    from myhdl._instance import _Instantiator

    from accel.hdl.comments import Tree
    from accel.hdl.constants import Constant
    from accel.hdl.elaborate import Elaboration
    from accel.hdl.ports import DrivenPort, Memory
    from accel.hdl.slices import NamedSlice

WRITERS = {"verilog": verilog, "vhdl": vhdl}
INSTANCE_WRITERS = {name: writer.write_instance for name, writer in WRITERS.items()}


def translate(
    elaboration: Elaboration, hdl: str, token: str, *, is_top: bool
) -> tuple[list[DrivenPort], str, dict[str, Memory]]:
    """Convert one module whose children are converted already.

    Returns (ports with what drives them, body text, memories {name: (style, preset file)}).
    """
    for stub in elaboration.stubs:
        stub.drive_outputs()
    block = elaboration.block
    block.keep_unused_ports = is_top
    filters = _Filter(elaboration, hdl)
    writer = WRITERS[hdl]
    comments = Comments(writer.COMMENT)
    tool = writer.converter()
    try:
        with (
            hooked(hdl, filters.run, comments),
            tempfile.TemporaryDirectory() as folder,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            tool.name, tool.directory = token, folder
            tool(block)
            text = (Path(folder) / f"{token}{writer.EXTENSION}").read_text()
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(f"{elaboration.where}: {error}") from error
    finally:
        for signal in filters.enums:
            verilog.forget_states(signal)
        tool._cleanup([], [])
    body = writer.split_module(text)
    if filters.states:
        body = verilog.declare_states(filters.states, body)
    body = writer.finish_body(
        body,
        [port for port, _ in filters.ports],
        constants=filters.constants,
        slices=filters.slices,
        memories=filters.memories,
        unused=filters.unused,
    )
    body = _lift_preset(body, elaboration.parameters, filters.memories)
    if re.search(r"\bNone\b", body):
        raise ConversionError(
            f"{elaboration.where}: a Signal in the text has no name; hold it in a variable of the module function"
        )
    body = comments.write(re.sub(r"\n\s*\n+", "\n\n", body))
    return filters.ports, re.sub(r"[ \t]+$", "", body, flags=re.M).strip("\n"), filters.memories


def _lift_preset(body: str, parameters: Mapping[str, Hashable], memories: dict[str, Memory]) -> str:
    """A file named in user-defined code becomes a parameter, so that blocks with other files share text."""
    preset = parameters.get("preset")
    file = PurePath(preset).name if isinstance(preset, str) else ""
    if file and f'"{file}"' in body:
        memories["preset"] = (None, file)
        body = body.replace(f'"{file}"', "PRESET_FILE")
    return body


class _Filter:
    """Runs between MyHDL's analysis and its writing: marks, checks and puts everything in a fixed order."""

    def __init__(self, elaboration: Elaboration, hdl: str) -> None:
        self.elaboration = elaboration
        self.hdl = hdl
        self.ports: list[DrivenPort] = []
        self.memories: dict[str, Memory] = {}
        self.unused: list[tuple[str, int, int, int]] = []
        self.enums: list[Signal] = []
        self.states: dict[str, str] = {}
        self.constants: list[Constant] = []
        self.slices: list[NamedSlice] = []

    def run(
        self,
        processes: Mapping[_Instantiator, Tree],
        interface: _Block,
        signals: list[Signal],
        memories: list[_MemInfo],
        trees: list[Tree],
    ) -> None:
        port_ids = {id(s) for s in self.elaboration.ports.values()}
        for signal, _, _ in self.elaboration.unused:
            mark_read(signal)
        for stub in self.elaboration.stubs:
            stub.read_inputs(lambda signal: id(signal) in port_ids)
        interface._inferInterface()  # again: instances may have read more ports by now
        for name, signal in interface.argdict.items():
            kind = PortType.of(signal, f"{self.elaboration.where}: port {name}")
            direction: Literal["in", "out"] = "out" if signal._driven else "in"
            port = Port(name, direction, kind.bits, kind.signed, kind.kind in ("bool", "reset"))
            self.ports.append((port, signal._driven))
        self.check_signals(signals, port_ids)
        self.name_slices(memories)
        enums = [s for s in signals if s._used and isinstance(s._init, EnumItemType)]
        if self.hdl == "verilog":
            self.name_states(enums)
        taken = self.elaboration.taken | {item.lower() for s in enums for item in (*s._init._type._names, *self.states)}
        self.slices = name_slices(self.elaboration.labels, taken)
        self.order_processes(trees)
        self.find_memories()
        self.constants = name_numbers(
            self.elaboration, {p: tree for p, tree in processes.items() if hasattr(tree, "symdict")}, taken
        )
        self.unused = [(s._name, len(s), high, low) for s, high, low in self.elaboration.unused]

    def check_signals(self, signals: Iterable[Signal], port_ids: set[int]) -> None:
        where = self.elaboration.where
        for signal in signals:
            if not signal._used or id(signal) in port_ids or is_shadow(signal):
                continue
            check_name(signal._name, where)
            if not signal._driven and signal._read and signal._min is not None and signal._min < 0:
                raise ConversionError(
                    f"{where}: the signed Signal {signal._name} is read but never driven; "
                    "use a Python int instead, MyHDL would make it unsigned"
                )
            if signal._driven and not signal._read and "unused" not in signal._name:
                signal._name += "_unused"

    def name_slices(self, memories: Iterable[_MemInfo]) -> None:
        """Slices of array elements follow the element's name, which MyHDL settles last."""
        for memory in memories:
            if memory._used:
                for element in memory.mem:
                    for part in element._slicesigs:
                        part._setName("Verilog" if self.hdl == "verilog" else "VHDL")

    def order_processes(self, trees: Iterable[Tree]) -> None:
        """MyHDL keeps these in sets: sort them, so that the same input gives the same bytes."""
        taken: set[str] = set()
        for tree in trees:
            if not hasattr(tree, "kind"):
                continue
            name = tree.name.strip("_")
            tree.name = unique(f"{name}_process" if is_reserved(name) else name, taken)
            for name in getattr(tree, "vardict", {}):
                check_name(name, f"{self.elaboration.where}, process {tree.name}")
            if tree.kind in (_kind.ALWAYS_COMB, _kind.SIMPLE_ALWAYS_COMB):
                tree.senslist = sorted(tree.senslist, key=_natural)
            if tree.kind == _kind.ALWAYS_SEQ:
                tree.sigregs = sorted(tree.sigregs, key=_natural)

    def name_states(self, signals: Iterable[Signal]) -> None:
        """States are printed by name; the Signal of the shortest name gives the prefix of its enum type."""
        for signal in sorted(signals, key=lambda s: (len(s._name), s._name)):
            if not any(signal._init._type is other._init._type for other in self.enums):
                self.enums.append(signal)
                self.states |= verilog.name_states(signal)

    def find_memories(self) -> None:
        for mem, style, preset in self.elaboration.memories:
            if not _isMem(mem) or _getMemInfo(mem).name is None:
                raise ConversionError(
                    f"{self.elaboration.where}: memory() was given a list that no process "
                    "uses; pass the list that the processes index"
                )
            self.memories[_getMemInfo(mem).name] = (style, preset)


def _natural(signal: Signal) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", signal._name)]
