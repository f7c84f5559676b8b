"""Every function of the packages says what it takes and gives, and says nothing of it only where there is a reason."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("accel", "quant", "sim")
FUNCTIONS = ("accel/rtl/parts/module.py",)  # among the blocks
NOT_FUNCTIONS = ("accel/rtl/", "sim/stand_ins/", "sim/test_")  # blocks of hardware, and tests

# How often `Any` and `object` stand in the annotations of a file, and why nothing more precise does.
FOREIGN = "what a stranger hands over, checked here"
OPTIONS = "options that differ by what takes them"
GRAPHS = "PyTorch's graphs hold values of any type"
LAYERS = "what convolutions and dense layers have in common, and what only one of them has"
ARGUMENTS = "arguments of an operator that say nothing of its result"
AUTOGRAD = "the context that PyTorch hands to forward and backward"
MYHDL = "what a name means to MyHDL, and MyHDL's own types"
VARIABLES = "the local variables of a block"
LOOSE = {
    "accel/checks.py": (8, FOREIGN),
    "accel/cli.py": (6, "what is printed may be anything with a text"),
    "accel/compile/place.py": (2, "fields of a configuration by name, to replace"),
    "accel/config.py": (1, FOREIGN),
    "accel/convert.py": (1, "fields of a configuration by name"),
    "accel/hdl/comments.py": (3, MYHDL),
    "accel/hdl/constants.py": (2, MYHDL),
    "accel/hdl/design.py": (5, "whatever a factory gives, and calls that are refused"),
    "accel/hdl/elaborate.py": (9, VARIABLES),
    "accel/hdl/hooks.py": (1, MYHDL),
    "accel/hdl/ports.py": (1, VARIABLES),
    "accel/hdl/stub.py": (1, VARIABLES),
    "accel/hdl/variables.py": (7, "the local variables of a block, and any function"),
    "accel/limits.py": (2, FOREIGN),
    "accel/model_json.py": (13, FOREIGN),
    "accel/options.py": (15, "click gives a body whatever its options are"),
    "accel/rtl/parts/module.py": (7, "blocks differ in what they take and give"),
    "accel/tensor.py": (2, "any field of any layer"),
    "accel/types.py": (1, "values of JSON, whose readers know the keys"),
    "quant/check/hardware.py": (1, LAYERS),
    "quant/cli/check.py": (1, "cells of a table"),
    "quant/cli/main.py": (3, "click gives a body whatever its options are"),
    "quant/cli/options.py": (5, "click gives a body whatever its options are"),
    "quant/cli/report_networks.py": (1, "JSON of the search"),
    "quant/cli/report_options.py": (1, "what click converts"),
    "quant/cli/report_output.py": (1, "JSON of the report"),
    "quant/cli/search.py": (2, "JSON of the search; a training's identity"),
    "quant/cli/search_output.py": (2, "JSON of the search"),
    "quant/cli/training.py": (3, "click gives a body whatever its options are; a training's identity"),
    "quant/data/loaders.py": (13, FOREIGN),
    "quant/data/user_code.py": (3, FOREIGN),
    "quant/export/c_source.py": (3, "arrays of several element types"),
    "quant/export/tables.py": (2, "arrays of several element types"),
    "quant/files/door.py": (1, "a size that a message shows"),
    "quant/files/pickles.py": (25, "what a pickle may hold"),
    "quant/files/torch_files.py": (3, "what torch.save may have written"),
    "quant/frontend/capture.py": (4, GRAPHS),
    "quant/frontend/operators/ends.py": (2, ARGUMENTS),
    "quant/frontend/operators/layers.py": (1, ARGUMENTS),
    "quant/frontend/operators/pools.py": (1, "the arguments of another operator"),
    "quant/frontend/operators/views.py": (3, ARGUMENTS),
    "quant/frontend/read.py": (1, "whatever the user's network returns"),
    "quant/frontend/values.py": (1, "handlers of operators, which differ in what they take"),
    "quant/frontend/walk.py": (16, GRAPHS),
    "quant/models/call.py": (6, "PyTorch hands on every function and argument"),
    "quant/models/loop.py": (8, "plain values of a checkpoint, checked by read()"),
    "quant/models/sources.py": (1, FOREIGN),
    "quant/models/state.py": (3, FOREIGN),
    "quant/models/weights.py": (1, FOREIGN),
    "quant/ptq/methods.py": (1, OPTIONS),
    "quant/ptq/observe.py": (1, "a range per tensor, or a list of them"),
    "quant/ptq/pipeline.py": (1, OPTIONS),
    "quant/ptq/quantize.py": (1, LAYERS),
    "quant/qat/export.py": (1, LAYERS),
    "quant/qat/qat_network.py": (1, "a list of modules, which PyTorch does not type"),
    "quant/qat/start.py": (2, "plain values of a checkpoint"),
    "quant/qat/ste.py": (6, AUTOGRAD),
    "quant/qat/train.py": (1, "groups of an optimizer, as PyTorch takes them"),
    "quant/qfx/binary.py": (1, OPTIONS),
    "quant/qfx/conversion.py": (1, OPTIONS),
    "quant/qfx/elementwise.py": (5, OPTIONS),
    "quant/qfx/export.py": (3, LAYERS),
    "quant/qfx/format.py": (7, "a number gives a number, an array an array"),
    "quant/qfx/layers.py": (6, OPTIONS),
    "quant/qfx/ops.py": (4, AUTOGRAD),
    "quant/qfx/quantizer.py": (2, AUTOGRAD),
    "quant/qfx/study.py": (6, "figures by width and method"),
    "quant/report/charts.py": (1, "what a sentence lists"),
    "quant/report/page.py": (2, "what a template reads"),
    "quant/report/svg.py": (2, "settings of matplotlib"),
    "quant/search/quantized.py": (1, "plain values of a checkpoint"),
    "quant/search/solve.py": (1, "a matrix of scipy, which comes without types"),
    "sim/accelerator.py": (1, "the engine's name says which Dut it is"),
    "sim/batch.py": (1, "arrays of several element types"),
    "sim/bus.py": (1, "an int, or a tuple where a stream has several fields"),
    "sim/cases/graphs.py": (1, OPTIONS),
    "sim/cases/mixed.py": (3, OPTIONS),
    "sim/cli.py": (2, "fields of a configuration by name"),
    "sim/driver.py": (1, "what `with` hands to __exit__"),
    "sim/engines/__init__.py": (1, OPTIONS),
    "sim/engines/cache.py": (1, "anything with a text may shape what is cached"),
    "sim/engines/convert_job.py": (1, "an attribute of a module by name"),
    "sim/engines/dut.py": (3, "MyHDL has no types; what `with` hands to __exit__"),
    "sim/engines/myhdl_engine.py": (2, "MyHDL has no types"),
}


def checked_files():
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    names = [path.relative_to(ROOT).as_posix() for path in files]
    return [name for name in names if name in FUNCTIONS or not name.startswith(NOT_FUNCTIONS)]


def functions(tree):
    """Every function but lambdas, with whether it is a method."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield child, isinstance(node, ast.ClassDef)


def parameters(function):
    given = function.args
    return [
        *(given.posonlyargs + given.args),
        *([given.vararg] if given.vararg else []),
        *given.kwonlyargs,
        *([given.kwarg] if given.kwarg else []),
    ]


def missing(function, is_method):
    """What of a function has no annotation; self and cls need none."""
    static = any(isinstance(item, ast.Name) and item.id == "staticmethod" for item in function.decorator_list)
    named = parameters(function)[1 if is_method and not static else 0 :]
    return [item.arg for item in named if item.annotation is None] + ([] if function.returns else ["return"])


def annotations(tree):
    """Every annotation, and what stands behind the name of an alias."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from (item.annotation for item in parameters(node) if item.annotation)
            yield from [node.returns] if node.returns else []
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation
            if isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias":
                yield node.value


def names(annotation):
    """The names in an annotation, those in texts too, but not the words of a Literal."""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier() is False:
            yield from names(ast.parse(node.value, mode="eval"))


def loose(tree):
    return sum(name in ("Any", "object") for annotation in annotations(tree) for name in names(annotation))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_function_is_annotated(package):
    bare = [
        f"{name}: {function.name} lacks {', '.join(missing(function, is_method))}"
        for name in checked_files()
        if name.startswith(package + "/")
        for function, is_method in functions(ast.parse((ROOT / name).read_text(encoding="utf-8")))
        if missing(function, is_method)
    ]
    assert not bare, "\n".join(bare)


def test_any_and_object_have_a_reason():
    found = Counter()
    for name in checked_files():
        found[name] = loose(ast.parse((ROOT / name).read_text(encoding="utf-8")))
    assert {name: count for name, count in found.items() if count} == {
        name: count for name, (count, _) in LOOSE.items()
    }


def test_the_reader_finds_what_is_missing_and_what_is_loose():
    tree = ast.parse(
        "def first(a: int, *b, c: Any = 1) -> 'list[object]': ...\n"
        "class Second:\n"
        "    field: Callable[..., object]\n"
        "    kind: Literal['object']\n"
        "    def third(self, x): ...\n"
        "    @staticmethod\n"
        "    def fourth(x: int) -> None: ...\n"
    )
    assert [missing(function, is_method) for function, is_method in functions(tree)] == [["b"], ["x", "return"], []]
    assert loose(tree) == 3
