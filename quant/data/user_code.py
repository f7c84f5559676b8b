"""Objects of the user's own code by name: `path/to/file.py:name` or `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from accel.checks import plain
from accel.errors import BitloomError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

Result = TypeVar("Result")
REMEDIES = {
    "model": "check that it builds without arguments",
    "data": "check that it runs with split='train' and split='test', or without arguments",
}


def is_user_code(source: str) -> bool:
    """True for `path/to/file.py:name` and `package.module:name`, also where the name is missing."""
    return ":" in source or source.endswith(".py")


def resolve(source: str, what: str, error: type[BitloomError], use: Callable[[Any], Result]) -> Result:
    """use(object) of the object that `source` names, called while the user's own folder can be imported from.

    The module is executed: it is the user's own code. what: 'model' or 'data', for messages; error: the class to
    raise where the code fails. A file that is not there is a DataError. A BitloomError of `use` passes unchanged.
    """
    place, _, name = source.rpartition(":")
    if not place or not name.isidentifier():
        raise error(
            f"{what} '{source}': give path/to/file.py:name or package.module:name, where name is a function or class"
        )
    is_file = place.endswith(".py") or "/" in place
    if is_file and not os.path.isfile(place):
        raise DataError(f"{what} '{source}': file {place} not found")
    folder = Path(place).absolute().parent if is_file else Path.cwd()
    with _importable(folder):
        try:
            module = _execute(Path(place).absolute()) if is_file else _import(place, source, what, error)
            if not hasattr(module, name):
                raise error(f"{what} '{source}': {place} has no '{name}'; name a function or class of it")
            return use(getattr(module, name))
        except BitloomError:
            raise
        except (Exception, SystemExit) as problem:  # the user's code may raise anything
            raise error(f"{what} '{source}': {type(problem).__name__}: {_text(problem)}; {REMEDIES[what]}") from problem


def call_with_split(function: Callable[..., Any], split: str) -> Any:
    """function(split=...) where it takes a split, function(train=...) where it takes that, function(split) where it
    needs one argument, else function()."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return function()
    kinds = {parameter.kind for parameter in parameters.values()}
    if "split" in parameters or inspect.Parameter.VAR_KEYWORD in kinds:
        return function(split=split)
    if "train" in parameters:
        return function(train=split == "train")
    needed = [
        item
        for item in parameters.values()
        if item.default is item.empty and item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
    ]
    return function(split) if needed else function()


def _text(problem: BaseException) -> str:
    """What an exception of the user's code says, in one short line."""
    try:
        return plain(" ".join(str(problem).split()), 200)
    except Exception:  # __str__ is the user's code too
        return "without a message"


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """sys.path with `folder` in front."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def _execute(path: Path) -> ModuleType:
    """Import a file as a module; files beside it can be imported by it."""
    spec = importlib.util.spec_from_file_location(f"bitloom_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file; its name must end in .py")
    loaded = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def _import(name: str, source: str, what: str, error: type[BitloomError]) -> ModuleType:
    """The module of a dotted name, from the working directory or as installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not (name == problem.name or name.startswith(f"{problem.name}.")):
            raise
        raise error(
            f"{what} '{source}': there is no module {problem.name} in {Path.cwd()} or among the installed "
            "packages; run from the folder that holds it, or install it"
        ) from problem
