"""What this project changes in MyHDL's converter while it writes one module."""

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from myhdl._extractHierarchy import _HierExtr
from myhdl.conversion import _toVerilog, _toVHDL

from accel.hdl.comments import Comments, Function, Name, Tree
from accel.hdl.constants import NamedInt, vhdl_name

MODULES = {"verilog": _toVerilog, "vhdl": _toVHDL}
CONVERTERS = {"verilog": _toVerilog._ToVerilogConvertor, "vhdl": _toVHDL._ToVHDLConvertor}


@contextmanager
def hooked(hdl: str, between: Callable[..., None], comments: Comments) -> Iterator[None]:
    """MyHDL calls `between` after its analysis, writes comments, and writes named integers as their names.

    between: called with {process: tree}, and with what MyHDL's own hook gives but the hierarchy.
    """
    module = MODULES[hdl]
    visitor = module._ConvertVisitor
    int_text, name_text, statements = visitor.IntRepr, visitor.getName, visitor.visit_stmt

    def convert_filter(_tool: object, hierarchy: _HierExtr, *analysed: list[Tree]) -> None:
        between(dict(zip(module._flatten(hierarchy.top), analysed[-1], strict=True)), *analysed)

    def write_int(self: _toVerilog._ConvertVisitor, value: int, **options: str) -> str:
        return value.name if isinstance(value, NamedInt) else int_text(self, value, **options)

    def write_name(self: _toVerilog._ConvertVisitor, node: Name) -> None:
        text = vhdl_name(self.tree.symdict.get(node.id), node.vhd) if hdl == "vhdl" else ""
        if text:
            self.write(text)
        else:
            name_text(self, node)

    def write_statements(self: _toVerilog._ConvertVisitor, body: list[ast.stmt]) -> None:
        for statement in body:
            for mark in comments.before(self.tree, statement):
                self.writeline()
                self.write(mark)
            statements(self, [statement])

    def write_doc(self: _toVerilog._ConvertVisitor, node: Function) -> None:
        for mark in comments.above(self.tree, node.doc):
            self.write(mark)
        self.writeline()

    replaced = (
        (CONVERTERS[hdl], "_convert_filter", convert_filter),
        (visitor, "IntRepr", write_int),
        (visitor, "getName", write_name),
        (visitor, "visit_stmt", write_statements),
        (visitor, "writeDoc", write_doc),
    )
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    for owner, name, function in replaced:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)
