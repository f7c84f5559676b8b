"""Options that commands of several packages share, and older spellings, which work but are not shown.

An option's name means one thing in every command. Older spellings are kept for the scripts of users.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import click

from accel import checks
from accel.config import HardwareConfig
from accel.errors import UnsupportedError

Function: TypeAlias = Callable[..., Any]  # a command's body: click gives it what was asked for
Decorator: TypeAlias = Callable[[Function], Function]
OWN_OPTIONS = {"rows", "lanes", "precisions"}  # fields of HardwareConfig that --option does not take


class OldSpelling(click.Option):
    """A hidden option that gives its value to the option `new`."""

    def __init__(self, declarations: list[str], new: click.Option, **attributes: Any) -> None:
        self.new = new
        super().__init__(declarations, hidden=True, expose_value=False, is_eager=True, **attributes)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[None, list[str]]:
        if isinstance(opts, dict) and self.name in opts:  # as click's parser makes it
            _give(opts, self.new, opts.pop(self.name), self.opts[0], ctx)
        return None, args


class OldArgument(click.Argument):
    """An argument, which the usage does not name, that gives its value to the option `new`."""

    def __init__(self, declarations: list[str], new: click.Option, **attributes: Any) -> None:
        self.new = new
        super().__init__(declarations, required=False, expose_value=False, is_eager=True, **attributes)

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        return []

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[None, list[str]]:
        value = opts.pop(self.name, None) if isinstance(opts, dict) else None
        if isinstance(value, str) and isinstance(opts, dict):
            _give(opts, self.new, value, self.make_metavar(ctx), ctx)
        return None, args


def _give(opts: dict[str | None, Any], new: click.Option, value: Any, old: str, ctx: click.Context) -> None:
    if opts.setdefault(new.name, value) != value:
        name = new.opts[0]
        raise click.UsageError(f"{old} is an older spelling of {name} and they have two values; give {name} alone", ctx)


def option(*declarations: str, old: str, **attributes: Any) -> Decorator:
    """click.option with an older spelling, such as `old="--rounding"`; a flag's is "--preset/--no-preset"."""

    def decorate(function: Function) -> Function:
        new = click.Option(list(declarations), **attributes)
        function = click.option(f"old_{new.name}", old, cls=OldSpelling, new=new)(function)
        return click.option(*declarations, **attributes)(function)

    return decorate


def model_option(*, positional: bool = False, **attributes: Any) -> Decorator:
    """--model, as the argument `model`. positional: the command took it as an argument without a name before."""

    def decorate(function: Function) -> Function:
        if positional:
            new = click.Option(["--model"], **attributes)
            function = click.argument("old_model", metavar="MODEL", cls=OldArgument, new=new)(function)
        return click.option("--model", **attributes)(function)

    return decorate


class Build(click.ParamType[tuple[int, int]]):
    """ROWSxLANES, as the pair (rows, lanes)."""

    name = "rowsxlanes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[0-9]{1,6}x[0-9]{1,6}", value):
            self.fail(f"{checks.shorten(value)} must be ROWSxLANES such as 8x8", param, ctx)
        rows, _, lanes = value.partition("x")
        return int(rows), int(lanes)


def build_option(text: str, default: tuple[int | None, int | None] = (None, None)) -> Decorator:
    """--build, as the argument `build`: (rows, lanes), of which the older --rows and --lanes give one each."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(
            *args: Any, build: tuple[int, int] | None, rows: int | None, lanes: int | None, **kwargs: Any
        ) -> Any:
            if build is not None and any(old not in (None, new) for new, old in zip(build, (rows, lanes), strict=True)):
                raise click.UsageError(
                    "--rows and --lanes are an older spelling of --build and they have two values; give --build alone"
                )
            older = [low if old is None else old for low, old in zip(default, (rows, lanes), strict=True)]
            return function(*args, build=build or tuple(older), **kwargs)

        for name in ("--lanes", "--rows"):
            command = click.option(name, type=int, default=None, hidden=True)(command)
        shown = f"  [default: {default[0]}x{default[1]}]" if default[0] else ""
        return click.option("--build", type=Build(), metavar="ROWSxLANES", default=None, help=text + shown)(command)

    return decorate


def precisions_option(function: Function) -> Function:
    """--precisions, as the argument `precisions`: text for parse_precisions, or None."""
    text = "Widths of the build, from 8,6,4,2,1 and always with 8.  [default: 8 and those that the network uses]"
    return click.option("--precisions", metavar="BITS", default=None, help=text)(function)


def config_option(example: str, more: str = "") -> Decorator:
    """--option, as the argument `options`: a tuple of texts for parse_option."""
    text = f"Another field of the hardware configuration, e.g. {example}; may be repeated.{more}"
    return click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help=text)


def parse_option(text: str) -> tuple[str, int | bool | str]:
    """(name, value) of "weight_depth=2048": a field of HardwareConfig that has no option of its own."""
    name, separator, value = text.partition("=")
    known = {field.name: field.type for field in dataclasses.fields(HardwareConfig)}
    if not separator or name not in known or name in OWN_OPTIONS:
        names = ", ".join(sorted(set(known) - OWN_OPTIONS))
        raise UnsupportedError(f"option {checks.shorten(text)}: must be NAME=VALUE with a NAME of {names}")
    if known[name] in (int, "int"):
        try:
            return name, int(value)
        except ValueError:
            raise UnsupportedError(f"option {name}: {checks.shorten(value)} is not an integer; give a number") from None
    if known[name] in (bool, "bool"):
        if value not in ("0", "1"):
            raise UnsupportedError(f"option {name}: {checks.shorten(value)} must be 0 or 1")
        return name, value == "1"
    return name, value


def parse_precisions(text: str | None) -> tuple[int, ...] | None:
    """The widths of "8,4,1" as a tuple, or None for None. HardwareConfig checks them."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UnsupportedError(
            f"--precisions {checks.shorten(text)}: must be widths with commas between, such as 8,4,1"
        ) from None


def taking(kind: type) -> Decorator:
    """The body of a command takes one object of the dataclass `kind` in place of an argument per option."""

    def decorate(body: Function) -> Function:
        @functools.wraps(body)
        def command(**given: Any) -> Any:
            return body(kind(**given))

        return command

    return decorate
