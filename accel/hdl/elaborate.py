"""Elaboration of one module for conversion: its processes, stubs for its children, names for its signals."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import myhdl
from myhdl import _block as myhdl_block
from myhdl import _simulator
from myhdl._block import _Block
from myhdl._extractHierarchy import _makeMemInfo, _memInfoMap
from myhdl._instance import _Instantiator
from myhdl._Signal import _Signal
from myhdl.conversion import _misc

from accel.hdl.naming import check_name, unique
from accel.hdl.ports import is_list_of_signals, is_shadow, sources
from accel.hdl.stub import InstanceStub
from accel.hdl.variables import in_source_order
from accel.rtl.parts.bundles import Bundle
from accel.rtl.parts.module import set_conversion

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
    from types import FrameType

    from myhdl import Signal

    from accel.hdl.ports import PortType
    from accel.hdl.stub import Writer
    from accel.rtl.parts.module import Module


@contextmanager
def clean_myhdl() -> Iterator[None]:
    """MyHDL's global lists as they were before; its name counters start afresh inside."""
    signals, blocks, memories = len(_simulator._signals), len(_simulator._blocks), dict(_memInfoMap)
    reset_names()
    try:
        yield
    finally:
        del _simulator._signals[signals:]
        del _simulator._blocks[blocks:]
        _memInfoMap.clear()
        _memInfoMap.update(memories)
        reset_names()


def reset_names() -> None:
    myhdl_block._name_set.clear()
    myhdl_block._inst_name_set.clear()
    _misc._genLabel = _misc._LabelGenerator()
    for decorated in myhdl._simulator._blocks:
        decorated.calls = 0


class Elaboration:
    """One module elaborated on fresh port Signals.

    block: what MyHDL converts. stubs: the instances in order. memories: (list, style, preset file).
    unused: (Signal, high, low) of bits that nothing reads on purpose. labels: (slice of a Signal, its name).
    names: the module function's local objects. prefixes: {id of a process: the names of the blocks around it}, of the
    processes after their instances have names. taken: names that the module uses, in lower case.
    """

    def __init__(
        self,
        module: Module,
        port_types: Sequence[PortType | None],
        parameters: dict[str, Hashable],
        writers: Mapping[str, Writer],
    ) -> None:
        self.module = module
        self.parameters = parameters
        self.writers = writers
        self.stubs: list[InstanceStub] = []
        self.memories: list[tuple[list[Signal], str | None, str]] = []
        self.unused: list[tuple[Signal, int, int]] = []
        self.labels: list[tuple[Signal, str]] = []
        self.ports = {
            name: kind.signal() for name, kind in zip(module.port_names, port_types, strict=True) if kind is not None
        }
        arguments = module.arguments([self.ports.get(name) for name in module.port_names])
        previous = set_conversion(self)
        try:
            self.block, names = _run(module, arguments, parameters)
        finally:
            set_conversion(previous)
        self.names = names
        namer = _Namer(self, names)
        namer.run()
        self.taken = namer.taken
        self.prefixes = {id(process): prefix for prefix, process in _processes(self.block)}

    @property
    def where(self) -> str:
        return self.module.func.__name__

    def instantiate(
        self, module: Module, ports: Sequence[Signal | None], parameters: dict[str, Hashable]
    ) -> InstanceStub:
        connected = {name: s for name, s in zip(module.port_names, ports, strict=True) if s is not None}
        stub = InstanceStub(module, connected, parameters, self.writers)
        self.stubs.append(stub)
        return stub

    def note_memory(self, mem: list[Signal], style: str | None, preset: str) -> None:
        self.memories.append((mem, style, preset))

    def note_unused(self, signal: Signal, high: int, low: int) -> None:
        self.unused.append((signal, high, low))

    def note_label(self, part: Signal, name: str) -> None:
        self.labels.append((part, name))


class _TargetBlock(_Block):
    """The module under conversion as MyHDL sees it; its interface is decided by what is driven and read."""

    keep_unused_ports = False

    def _inferInterface(self) -> None:
        self.argdict = {
            name: s for name, s in self.port_signals.items() if s._driven or s._read or self.keep_unused_ports
        }
        self.argnames = list(self.argdict)


def _run(
    module: Module, arguments: Sequence[Signal | Bundle | None], parameters: Mapping[str, Hashable]
) -> tuple[_TargetBlock, dict[str, object]]:
    """Call the block function inside a MyHDL block; also return the names of its local objects at return."""
    names: dict[str, object] = {}
    code = module.func.__code__

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        if event == "return" and frame.f_code is code:
            names.update(frame.f_locals)

    previous = sys.getprofile()
    sys.setprofile(watch)
    try:
        block = _TargetBlock(
            module.func, module, module.func.__name__, module.srcfile, module.srcline, False, *arguments, **parameters
        )
    finally:
        sys.setprofile(previous if callable(previous) else None)  # cProfile cannot be put back
    block.__doc__ = None
    return block, in_source_order(module.func, names)


class _Namer:
    """Names for instances and signals, from the Python variables that hold them."""

    def __init__(self, elaboration: Elaboration, names: dict[str, object]) -> None:
        self.elaboration = elaboration
        self.block = elaboration.block
        self.names = names
        self.taken: set[str] = set()
        self.signals: dict[str, Signal] = {}
        self.named: set[int] = set()  # ids of signals that have a name

    def run(self) -> None:
        self.block.port_signals = self.elaboration.ports
        for name, signal in self.elaboration.ports.items():
            check_name(name, self.elaboration.where)
            self.add(name, signal)
        self.name_processes()
        self.name_blocks()
        lists = self.used_lists()
        for name, value in self.names.items():
            self.walk(name, value, lists)
        for prefix, process in _processes(self.block):
            for name, signal in process.sigdict.items():
                self.add(prefix + name, signal)
        for stub in self.elaboration.stubs:
            for name, signal in stub.ports.items():
                self.add_sources(f"{stub.name}_{name}", signal)
        for name, signal in list(self.signals.items()):
            self.add_sources(name, signal)
        self.block.sigdict.clear()
        self.block.sigdict.update(self.signals)
        self.block.symdict.update(self.names)

    def name_processes(self) -> None:
        for _, process in _processes(self.block):
            self.taken.add(process.name.lower())

    def name_blocks(self) -> None:
        """Instance names: from a list that holds unnamed ones, else from the variable, else from the kind."""
        children = {id(sub): sub for sub in self.block.subs if isinstance(sub, _Block)}
        plain: dict[int, str] = {}
        listed: dict[int, str] = {}
        for name, value in self.names.items():
            if id(value) in children:
                plain.setdefault(id(value), name)
        for name, value in self.names.items():
            found = [(f"{name}_{i}", item) for i, item in _numbered(value) if id(item) in children]
            if any(id(item) not in plain for _, item in found):
                for item_name, item in found:
                    listed.setdefault(id(item), item_name)
        for key, child in children.items():
            kind = child.func.__name__.strip("_")
            name = listed.get(key) or plain.get(key) or f"{kind}_block"
            name = unique(name.strip("_"), self.taken)
            check_name(name, self.elaboration.where)
            child.name = child.__name__ = name
            _name_inside(child, name)

    def used_lists(self) -> set[int]:
        """Lists that a process indexes stay arrays; settles their names and returns their ids."""
        lists: dict[int, tuple[str, list[Signal]]] = {}
        for prefix, process in _processes(self.block):
            for name, mem in process.losdict.items():
                lists.setdefault(id(mem), (prefix + name, mem))
        for name, value in self.names.items():  # a local name is better than a name inside a process
            if id(value) in lists:
                lists[id(value)] = (name, lists[id(value)][1])
        self.block.memdict.clear()
        for name, mem in lists.values():
            info = _makeMemInfo(mem)
            info._used = True
            self.block.memdict[unique(name, self.taken)] = info
            self.named.update(id(signal) for signal in mem)
        return set(lists)

    def walk(self, name: str, value: object, lists: set[int]) -> None:
        if isinstance(value, _Signal):
            self.add(name, value)
        elif is_list_of_signals(value) and id(value) in lists:
            return
        elif isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                self.walk(f"{name}_{i}", item, lists)
        elif isinstance(value, Bundle):
            for member, signal in value.signals().items():
                self.walk(f"{name.rstrip('_')}_{member}" if value.prefix else member, signal, lists)
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, (_Signal, list, tuple, dict)):
                    self.walk(f"{name}_{key}", item, lists)

    def add(self, name: str, signal: Signal) -> None:
        if id(signal) in self.named or hasattr(signal, "_left"):
            return
        self.named.add(id(signal))
        self.signals[unique(name.strip("_"), self.taken)] = signal

    def add_sources(self, name: str, signal: Signal) -> None:
        if not is_shadow(signal):
            self.add(name, signal)
            return
        self.add(name, signal)
        for i, source in enumerate(sources(signal)):
            self.add_sources(name if len(sources(signal)) == 1 else f"{name}_{i}", source)


def _numbered(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """(number, item) of a list, of lists in a list (1_0), and of a dict's values."""
    pairs: Iterable[tuple[object, object]]
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    else:
        return
    for key, item in pairs:
        label = f"{prefix}{key}"
        if isinstance(item, (list, tuple, dict)):
            yield from _numbered(item, f"{label}_")
        else:
            yield label, item


def _processes(block: _Block, prefix: str = "") -> Iterator[tuple[str, _Instantiator]]:
    """(name prefix, process) of the module itself and of plain MyHDL blocks inside it (flattened)."""
    for sub in block.subs:
        if isinstance(sub, _Instantiator):
            yield prefix, sub
        elif isinstance(sub, _Block):
            yield from _processes(sub, f"{prefix}{sub.name}_")


def _name_inside(block: _Block, prefix: str) -> None:
    """Names for what is inside a plain block: kind and number; instances carry the whole path."""
    count: dict[str, int] = {}
    for sub in block.subs:
        if isinstance(sub, _Block):
            kind = sub.func.__name__.strip("_")
            name = f"{kind}_{count.get(kind, 0)}"
            count[kind] = count.get(kind, 0) + 1
            sub.name = sub.__name__ = f"{prefix}_{name}" if isinstance(sub, InstanceStub) else name
            _name_inside(sub, f"{prefix}_{name}")
