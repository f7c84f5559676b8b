"""Conversion of a whole design: a module per block kind and parameter set, each in its own file."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import accel
from accel.hdl.elaborate import Elaboration, clean_myhdl
from accel.hdl.errors import ConversionError
from accel.hdl.naming import check_name, describe, file_names, is_reserved, module_suffixes, unique
from accel.hdl.ports import PortType
from accel.hdl.translate import INSTANCE_WRITERS, WRITERS, translate
from accel.rtl.parts.module import set_conversion

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from typing import NoReturn

    from myhdl import Signal

    from accel.hdl.ports import DrivenPort, Memory, Port
    from accel.rtl.parts.module import Module
    from accel.types import StrPath

PortTypes: TypeAlias = "tuple[PortType | None, ...]"  # of all ports in order, None where absent

COMMENT_WIDTH = 108
LATENCY = re.compile(r"\b(?P<name>\w+_(?:LATENCY|latency))\b(?P<call>\(config\))?(?: \(\d+\))?")


@dataclass
class ConvertedModule:
    """One module of the converted text.

    kind: the block function's name. parameters: name -> value. ports: list of Port.
    instances: (instance name, module) in order. memories: {memory: (style, preset file)}.
    unused: ports of the block that this module lacks.
    """

    kind: str
    parameters: dict[str, Hashable]
    ports: list[Port]
    instances: list[tuple[str, ConvertedModule]]
    memories: dict[str, Memory]
    unused: list[str]
    token: str
    body: str
    driven: list[DrivenPort] = field(repr=False)
    source: Module = field(repr=False)
    name: str = ""
    text: str = ""


@dataclass
class ConvertedDesign:
    """Result of convert_design: modules (children before parents, the top last), files in compile order."""

    top: str
    hdl: str
    modules: list[ConvertedModule]
    files: list[Path]
    memory_files: list[str]

    @property
    def ports(self) -> list[Port]:
        return self.modules[-1].ports

    @property
    def line_count(self) -> int:
        return sum(module.text.count("\n") for module in self.modules)


def convert_design(
    top_instance_factory: Callable[[], object], hdl: str = "verilog", out_dir: StrPath = ".", name: str | None = None
) -> ConvertedDesign:
    """Convert the module instance that the factory makes, with all modules below it.

    top_instance_factory: a function without arguments that calls one @module function on Signals.
    hdl: "verilog" or "vhdl" (VHDL-2008). out_dir: an existing folder. name: the top module's name.
    Writes a file per module and returns a ConvertedDesign. The same design gives the same bytes.
    """
    if hdl not in WRITERS:
        raise ConversionError(f"hdl={hdl!r} is unknown; choose verilog or vhdl")
    with clean_myhdl():
        conversion = _Conversion(hdl)
        top = conversion.top(top_instance_factory)
    modules = conversion.finish(top, name)
    out_dir = Path(out_dir)
    files = []
    for file_name, text in WRITERS[hdl].extra_files().items():
        (out_dir / file_name).write_text(text)
        files.append(out_dir / file_name)
    for module in modules:
        path = out_dir / f"{module.name}{WRITERS[hdl].EXTENSION}"
        path.write_text(module.text)
        files.append(path)
    return ConvertedDesign(top.name, hdl, modules, files, sorted(conversion.memory_files))


class _Conversion:
    """Converts each (module, port types, parameters) once; modules of equal text are one module."""

    def __init__(self, hdl: str) -> None:
        self.hdl = hdl
        self.done: dict[tuple[Hashable, ...], tuple[ConvertedModule, dict[str, str]]] = {}  # the module, memory files
        self.by_text: dict[tuple[Hashable, ...], ConvertedModule] = {}
        self.memory_files: set[str] = set()

    def top(self, factory: Callable[[], object]) -> ConvertedModule:
        collector = _Collector()
        previous = set_conversion(collector)
        try:
            factory()
        finally:
            set_conversion(previous)
        if len(collector.requests) != 1:
            raise ConversionError(
                f"the top instance factory made {len(collector.requests)} modules; it must "
                "call exactly one function that is decorated with @module"
            )
        return self.convert(*collector.requests[0], is_top=True)[0]

    def convert(
        self, module: Module, port_types: PortTypes, parameters: dict[str, Hashable], *, is_top: bool = False
    ) -> tuple[ConvertedModule, dict[str, str]]:
        """The converted module and the preset file of each of its memories."""
        _check_parameters(module, parameters)
        key = (module, port_types, tuple(sorted(parameters.items())), is_top)
        if key in self.done:
            return self.done[key]
        elaboration = Elaboration(module, port_types, parameters, INSTANCE_WRITERS)
        for stub in elaboration.stubs:
            types = tuple(
                PortType.of(stub.ports[name], f"{module.func.__name__} {stub.name}, port {name}")
                if name in stub.ports
                else None
                for name in stub.module.port_names
            )
            stub.child, stub.child_files = self.convert(stub.module, types, stub.parameters)
        token = f"bitloomtoken{len(self.by_text)}x"
        driven, body, memories = translate(elaboration, self.hdl, token, is_top=is_top)
        ports = [port for port, _ in driven]
        names = {port.name for port in ports}
        converted = ConvertedModule(
            module.func.__name__.strip("_"),
            _all_parameters(module, parameters),
            ports,
            [(stub.name, stub.child) for stub in elaboration.stubs],
            memories,
            [name for name in elaboration.ports if name not in names],
            token,
            body,
            driven,
            module,
        )
        files = {name: preset for name, (_, preset) in memories.items() if preset}
        self.memory_files.update(files.values())
        shape = (
            converted.kind,
            tuple(driven),
            body,
            tuple((name, style, bool(preset)) for name, (style, preset) in memories.items()),
        )
        self.done[key] = (self.by_text.setdefault(shape, converted), files)
        return self.done[key]

    def finish(self, top: ConvertedModule, name: str | None) -> list[ConvertedModule]:
        """Final names and texts, children before parents."""
        modules: list[ConvertedModule] = []

        def visit(module: ConvertedModule) -> None:
            for _, child in module.instances:
                visit(child)
            if module not in modules:
                modules.append(module)

        visit(top)
        _assign_names(modules, top, name or top.kind, self.memory_files)
        names = {module.token: module.name for module in modules}
        writer = WRITERS[self.hdl]
        for module in modules:
            comment = _comment(module, writer.COMMENT)
            text = writer.assemble(comment, module.token, module.driven, module.memories, module.body)
            module.text = re.sub(r"bitloomtoken\d+x", lambda m: names[m[0]], text)
        return modules


class _Collector:
    """Notes which module the top instance factory calls."""

    def __init__(self) -> None:
        self.requests: list[tuple[Module, PortTypes, dict[str, Hashable]]] = []

    def instantiate(self, module: Module, ports: Sequence[Signal | None], parameters: dict[str, Hashable]) -> None:
        types = tuple(
            None if s is None else PortType.of(s, f"{module.func.__name__}: port {n}")
            for n, s in zip(module.port_names, ports, strict=True)
        )
        self.requests.append((module, types, parameters))

    def note_memory(self, *_: object) -> NoReturn:
        raise ConversionError("memory() was called outside a module")

    def note_unused(self, *_: object) -> NoReturn:
        raise ConversionError("unused() was called outside a module")

    def note_label(self, *_: object) -> None:
        """The top's own surroundings are not converted: its slices need no names."""


def _check_parameters(module: Module, parameters: Mapping[str, Hashable]) -> None:
    for name, value in parameters.items():
        try:
            hash(value)
        except TypeError:
            raise ConversionError(
                f"{module.func.__name__}: parameter {name} is a {type(value).__name__}; "
                "use None, int, bool, str, tuple or a frozen dataclass"
            ) from None


def _all_parameters(module: Module, given: Mapping[str, Hashable]) -> dict[str, Hashable]:
    """Given values and defaults, in the order of the signature."""
    signature = inspect.signature(module.func).parameters
    return {name: given.get(name, signature[name].default) for name in module.parameter_names}


def _assign_names(modules: list[ConvertedModule], top: ConvertedModule, top_name: str, memory_files: set[str]) -> None:
    taken = {top_name.lower()}
    kinds: dict[str, list[ConvertedModule]] = {}
    groups: dict[str, list[ConvertedModule]] = {}
    for module in modules:
        kinds.setdefault(module.kind, []).append(module)
    suffixes = {}
    for kind in kinds.values():
        chosen = [_chosen(module, memory_files) for module in kind]
        for module, suffix in zip(kind, module_suffixes(list(kind[0].parameters), chosen), strict=True):
            suffixes[module.token] = suffix
    for module in modules:
        suffix = suffixes[module.token]
        groups.setdefault(f"{module.kind}_{suffix}" if suffix else module.kind, []).append(module)
    for base, group in groups.items():
        for module in group:
            name = base + _width_suffix(module, group)
            name = f"{name}_block" if is_reserved(name) else name
            name = top_name if module is top else unique(name, taken)
            check_name(name, f"module {module.kind}")
            module.name = name


def _chosen(module: ConvertedModule, memory_files: set[str]) -> dict[str, Hashable]:
    """Parameters that differ from their defaults, without those that name memory images."""
    signature = inspect.signature(module.source.func).parameters
    return {
        name: value
        for name, value in module.parameters.items()
        if value != signature[name].default and not file_names(value) & memory_files
    }


def _width_suffix(module: ConvertedModule, group: Iterable[ConvertedModule]) -> str:
    """The first ports that tell modules of one name apart: name and width, s for signed."""
    shapes = {id(other): {port.name: _shape(port) for port in other.ports} for other in group}
    others = [other for other in group if other is not module]
    suffix = ""
    for name, shape in shapes[id(module)].items():
        same = [other for other in others if shapes[id(other)].get(name) == shape]
        if len(same) < len(others):
            suffix += f"_{name}{shape}"
            others = same
    return suffix


def _shape(port: Port) -> str:
    return "" if port.is_bool else f"{port.width}{'s' if port.signed else ''}"


def _comment(module: ConvertedModule, mark: str) -> str:
    """Header: what made it, parameters, the block's docstring."""
    lines = [f"Bitloom {accel.__version__}: {module.source.func.__module__}.{module.source.func.__name__}"]
    if module.parameters:
        text = "; ".join(
            f"{name}: {describe(v)}" if "=" in describe(v) else f"{name}={describe(v)}"
            for name, v in module.parameters.items()
        )
        lines += textwrap.wrap(f"parameters: {text}", COMMENT_WIDTH, subsequent_indent="    ")
    if module.unused:
        lines += textwrap.wrap(f"not needed here: {', '.join(module.unused)}", COMMENT_WIDTH)
    doc = inspect.getdoc(module.source.func)
    if doc:
        lines += ["", *_with_latencies(doc, module).splitlines()]
    return "\n".join(f"{mark} {line}".rstrip() for line in lines) + "\n"


def _with_latencies(doc: str, module: ConvertedModule) -> str:
    """The docstring with the number of cycles behind the name of each latency: the reader has no Python at hand."""
    known = module.source.func.__globals__

    def numbered(match: re.Match[str]) -> str:
        name, call = match["name"], match["call"]
        value = known.get(name)
        if call and value is not None and "config" in module.parameters:
            value = value(module.parameters["config"])
        return f"{name}{call or ''} ({value})" if isinstance(value, int) else match[0]

    return LATENCY.sub(numbered, doc)
