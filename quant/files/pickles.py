"""What a pickle of torch.save would make, found out without making it.

torch.load(weights_only=True) executes nothing foreign, but a few bytes can make it take any amount of memory or time,
and its message about a foreign class is half a page. So the pickle is read first as what it is, a list of steps for a
stack machine: tensors become `Tensor`, objects of other classes `Foreign`, containers dict, list and tuple.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, BinaryIO

MAX_STEPS = 250_000  # about 30 a tensor
ORDERED = "collections OrderedDict"
TENSOR, TYPED_TENSOR = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"
_PARAMETER = "torch._utils _rebuild_parameter"
_KEYS = str, int, float, type(None)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS_AND_TEXT = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Named:
    """A class or function by its name, `module name`."""

    name: str


@dataclass(frozen=True)
class Foreign:
    """An object of a class that is no plain data."""

    name: str


@dataclass(frozen=True)
class Storage:
    """Numbers kept elsewhere in the file: name and count of elements (bytes where the type is untyped)."""

    key: str
    elements: int


@dataclass(frozen=True)
class Tensor:
    """A dense tensor whose elements all lie in its storage."""

    storage: Storage
    shape: tuple[int, ...]


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)


def outline(stream: BinaryIO, most: int = MAX_STEPS) -> tuple[Any, dict[str, Storage]]:
    """(object, {key: Storage}) of the next pickle of a binary stream, which is read up to the pickle's end and
    has `most` steps at most.

    Raises ValueError, or any other exception, for what torch.load would not take or what no torch.save writes.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count == most:
            raise ValueError(f"the pickle has more than {most} steps")
        if opcode.name == "STOP":
            return machine.stack.pop(), machine.storages
        _step(machine, opcode.name, argument)
    raise ValueError("the pickle has no end")


def foreign(value: object, place: str = "") -> Iterator[tuple[str, Foreign | Named]]:
    """Yields (place as text, Foreign or Named) of everything in an outline that is no plain data; torch's own names,
    such as its types of numbers, are."""
    seen, pending = set(), [(place, value)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, Foreign) or (isinstance(value, Named) and not value.name.startswith("torch ")):
            yield place, value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            pending += [(f"{place}.{key}" if place else str(key), part) for key, part in parts]


def _step(machine: _Machine, name: str, argument: Any) -> None:
    stack = machine.stack
    if name in _NUMBERS_AND_TEXT:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name in ("BINPUT", "LONG_BINPUT"):
        machine.memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(machine.memo[argument])
    elif name == "GLOBAL":
        stack.append(Named(argument))
    elif name in _TUPLES:
        stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
    elif name == "MARK":
        machine.marks.append(stack)
        machine.stack = []
    elif name in ("TUPLE", "APPENDS", "SETITEMS"):
        machine.stack = machine.marks.pop()
        _collect(machine.stack, name, stack)
    elif name in ("APPEND", "SETITEM"):
        count = 1 if name == "APPEND" else 2
        items = stack[-count:]
        del stack[-count:]
        _collect(stack, f"{name}S", items)
    elif name in ("REDUCE", "NEWOBJ", "BUILD"):
        argument = stack.pop()
        stack.append(_made(name, stack.pop(), argument))
    elif name == "BINPERSID":
        found = _kept_elsewhere(stack.pop())
        if isinstance(found, Storage):
            machine.storages[found.key] = found
        stack.append(found)
    elif name != "PROTO" or argument != 2:
        raise ValueError(f"pickle step {name} {argument}, which no torch.save writes")


def _collect(stack: list[Any], name: str, items: list[Any]) -> None:
    if name == "TUPLE":
        stack.append(tuple(items))
    elif name == "APPENDS" and isinstance(stack[-1], list):
        stack[-1].extend(items)
    elif name == "SETITEMS" and isinstance(stack[-1], dict):
        stack[-1].update(_dictionary(zip(items[::2], items[1::2], strict=True)))
    elif not isinstance(stack[-1], Foreign):  # what a foreign object holds is of no interest
        raise ValueError(f"{name} to a {type(stack[-1]).__name__}")


def _dictionary(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    found = {}
    for key, value in pairs:
        if not isinstance(key, _KEYS):  # a deep tuple as a key would end the process
            raise ValueError("a dictionary has keys that are neither text nor numbers")
        found[key] = value
    return found


def _made(name: str, what: Any, argument: Any) -> Any:
    """What a step makes of a class or function and its arguments, or of an object and its state."""
    if name == "BUILD":
        if isinstance(what, dict) and isinstance(argument, dict):  # attributes of an OrderedDict
            return what
        return what if isinstance(what, Foreign) else Foreign(type(what).__name__)
    if not isinstance(what, Named):
        raise ValueError(f"{name} of a {type(what).__name__}")
    if name == "REDUCE" and what.name == ORDERED and all(isinstance(pairs, list) for pairs in argument):
        return _dictionary(*argument or [()])  # Python 2 gave the pairs at once
    if name == "REDUCE" and what.name in (TENSOR, TYPED_TENSOR):
        return _tensor(what.name, *argument)
    if name == "REDUCE" and what.name == _PARAMETER and isinstance(argument[0], Tensor):
        return argument[0]
    if name == "REDUCE" and _is_harmless(what.name, argument):
        return argument
    return Foreign(what.name)


def _is_harmless(name: str, argument: Any) -> bool:
    """True for a set, bytes or a complex number as pickles of protocol 2 make them; torch.load makes these too."""
    if name == "__builtin__ set":
        return len(argument) == 1 and type(argument[0]) is list and all(isinstance(key, _KEYS) for key in argument[0])
    if name == "_codecs encode":  # other codings may take hours
        return len(argument) == 2 and isinstance(argument[0], str) and argument[1] == "latin1"
    return name == "__builtin__ complex" and all(type(part) is float for part in argument)


def _tensor(
    name: str,
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any = None,
    metadata: Any = None,
) -> Tensor:
    """The Tensor of a rebuild function's arguments, if all its elements lie in its storage."""
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, Storage) or not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a tensor's size, stride or storage is none")
    if len(shape) != len(stride):
        raise ValueError("a tensor has more sizes than strides, or fewer")
    reach = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True)) + 1
    if 0 not in shape and reach > storage.elements:
        raise ValueError(f"a tensor reaches to element {reach} of {storage.elements}")
    return Tensor(storage, tuple(shape))


def _kept_elsewhere(place: Any) -> Storage | Named:
    """The Storage that a persistent id names."""
    kind, what, key, *rest = place
    if kind == "module" and isinstance(what, Named):
        return what
    _, elements, *view = rest
    if kind != "storage" or not isinstance(what, Named) or not isinstance(key, str) or view not in ([], [None]):
        raise ValueError("a storage of another kind than torch.save writes today")
    if type(elements) is not int or elements < 0:
        raise ValueError(f"a storage of {elements} elements")
    return Storage(key, elements)
