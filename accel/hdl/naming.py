"""Names in the converted text: module suffixes from parameters, and which names the languages allow."""

import hashlib
import re
from collections.abc import Hashable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePath

from accel.hdl.errors import ConversionError

LONG_SUFFIX = 16  # letters
MAX_SUFFIX = 32
DIGITS = 6  # of a digest
_ABSENT = object()

VERILOG_WORDS = frozenset(
    """
always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign
default defparam design disable edge else end endcase endconfig endfunction endgenerate endmodule
endprimitive endspecify endtable endtask event for force forever fork function generate genvar
highz0 highz1 if ifnone incdir include initial inout input instance integer join large liblist
library localparam macromodule medium module nand negedge nmos nor noshowcancelled not notif0 notif1
or output parameter pmos posedge primitive pull0 pull1 pulldown pullup pulsestyle_onevent
pulsestyle_ondetect rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1
scalared showcancelled signed small specify specparam strong0 strong1 supply0 supply1 table task
time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg unsigned use vectored wait wand weak0
weak1 while wire wor xnor xor alias assert assume before bind bins bit break byte chandle checker
class clocking const constraint context continue cover covergroup coverpoint cross dist do endclass
endclocking endgroup endinterface endpackage endprogram endproperty endsequence enum expect export
extends extern final first_match foreach forkjoin iff ignore_bins illegal_bins import inside int
interface intersect local logic longint matches modport new null package packed priority program
property protected pure rand randc randcase randsequence ref return sequence shortint shortreal
solve static string struct super tagged this throughout timeprecision timeunit type typedef union
unique var virtual void wait_order wildcard with within
""".split()
)

VHDL_WORDS = frozenset(
    """
abs access after alias all and architecture array assert attribute begin block body buffer bus case
component configuration constant context cover default disconnect downto else elsif end entity exit
fairness file for force function generate generic group guarded if impure in inertial inout is label
library linkage literal loop map mod nand new next nor not null of on open or others out package
parameter port postponed procedure process property protected pure range record register reject
release rem report restrict return rol ror select sequence severity shared signal sla sll sra srl
strong subtype then to transport type unaffected units until use variable vmode vprop vunit wait
when while with xnor xor bit boolean integer natural positive std_logic unsigned signed
""".split()
)


def is_reserved(name: str) -> bool:
    return name.lower() in VERILOG_WORDS or name.lower() in VHDL_WORDS


def check_name(name: str, where: str) -> None:
    """Refuse a name that one of the two languages cannot take."""
    if is_reserved(name):
        raise ConversionError(f"{where}: the name {name} is a reserved word of Verilog or VHDL; rename it")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", name):
        raise ConversionError(
            f"{where}: the name {name} is not legal in VHDL (letters and digits, single underscores inside); rename it"
        )


def unique(name: str, taken: set[str]) -> str:
    """`name`, or name_2, name_3 ... if taken; the result is added to taken (compared without case)."""
    candidate, number = name, 1
    while candidate.lower() in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate.lower())
    return candidate


def abbreviations(names: list[str]) -> dict[str, str]:
    """Shortest leading part of each name that no other name shares, at least one letter."""
    result = {}
    for name in names:
        others = [other for other in names if other != name]
        size = 1
        while size < len(name) and any(other.startswith(name[:size]) for other in others):
            size += 1
        result[name] = name[:size].rstrip("_")
    return result


def parameter_suffix(names: list[str], values: dict[str, Hashable]) -> str:
    """Readable suffix of a parameter set: width=64, depth=32 -> w64_d32."""
    short = abbreviations(names)
    parts = [_value_suffix(short[name], name, values[name]) for name in names if name in values]
    return "_".join(part for part in parts if part)


def module_suffixes(names: list[str], sets: list[dict[str, Hashable]]) -> list[str]:
    """Suffixes of the modules of one kind, from the parameters (of these names) of each that are not their defaults.

    Where one would be long, all leave out the parameters in which these modules do not differ; what is still too long
    to read is a digest. The header of a module has all its parameters.
    """
    suffixes = [parameter_suffix(names, values) for values in sets]
    if max(map(len, suffixes)) <= LONG_SUFFIX:
        return suffixes
    same = [name for name in names if all(values.get(name, _ABSENT) == sets[0].get(name, _ABSENT) for values in sets)]
    result = []
    for values, whole in zip(sets, suffixes, strict=True):
        suffix = parameter_suffix(names, {name: value for name, value in values.items() if name not in same})
        digest = hashlib.sha256(whole.encode()).hexdigest()[:DIGITS]
        result.append(suffix if len(suffix) <= MAX_SUFFIX else f"x{digest}")
    return result


def _value_suffix(short: str, name: str, value: Hashable) -> str:
    if value is None or value is False or value == "" or value == ():
        return ""
    if value is True:
        return _plain(name)
    if isinstance(value, int):
        return f"{short}{value}" if value >= 0 else f"{short}m{-value}"
    if isinstance(value, str):
        return _plain(PurePath(value).stem)
    if isinstance(value, tuple):
        return short + "x".join(_plain(str(item)) for item in value)
    if hasattr(value, "module_suffix"):
        return value.module_suffix
    if is_dataclass(value):
        changed = {
            f.name: getattr(value, f.name)
            for f in fields(value)
            if f.default is MISSING or getattr(value, f.name) != f.default
        }
        return parameter_suffix([f.name for f in fields(value)], changed)
    raise ConversionError(
        f"parameter {name}: a {type(value).__name__} cannot be an elaboration parameter; "
        "use None, int, bool, str, tuple or a frozen dataclass"
    )


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()


def file_names(value: Hashable) -> set[str]:
    """Base names of all strings inside a parameter value."""
    if isinstance(value, str):
        return {PurePath(value).name}
    if isinstance(value, tuple):
        return set().union(*(file_names(item) for item in value))
    if is_dataclass(value):
        return set().union(*(file_names(getattr(value, f.name)) for f in fields(value)))
    return set()


def describe(value: Hashable) -> str:
    """A parameter value as the header shows it: no folders, dataclasses field by field."""
    if isinstance(value, str):
        return PurePath(value).name or '""'
    if isinstance(value, tuple):
        items = [describe(item) for item in value]
        text = ", ".join(items) if len(items) < 9 else f"{items[0]} .. {items[-1]}, {len(items)} of them"
        return f"({text})"
    if is_dataclass(value):
        return ", ".join(f"{f.name}={describe(getattr(value, f.name))}" for f in fields(value))
    return str(value)
