"""What all commands share: error to exit code, progress bars, tables, JSON.

Exit codes: 0 done, 1 ran but a comparison failed, 2 bad usage or bad input. Results go to stdout, everything
else to stderr, so that `--json` prints exactly one JSON object on stdout.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from accel import checks
from accel.errors import BitloomError, UnsupportedError
from accel.signals import ending_tidily
from accel.start import EXIT_USAGE, explain, spelled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import NoReturn

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Command = TypeVar("Command", bound="Callable[..., object] | click.Command")
EXIT_OK, EXIT_MISMATCH = 0, 1
EXIT_INTERRUPTED = 130
MOST = 3000  # characters of an error: one line, whatever it quotes
LONGEST = 300  # characters of a message of click's, which quotes what was given


def handle_errors(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator of a command body: a BitloomError becomes `error: ...` on stderr and exit code 2."""

    @functools.wraps(function)
    def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except BitloomError as error:
            fail(str(error))

    return wrapper


def fail(message: str) -> NoReturn:
    """Print one error line and leave with exit code 2."""
    click.echo(f"error: {checks.plain(message, MOST)}", err=True)
    raise SystemExit(EXIT_USAGE)


def note(text: str) -> None:
    """Say on stderr, in one line, what a command did with its input that the user did not ask for."""
    click.echo(f"note: {text}", err=True)


def run_cli(command: click.Command, program: str | None = None, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a click command as the main program, as in `run_cli(main, "python -m accel.convert")`.

    arguments: in place of the command line's. Bad usage, BitloomError, what the system refuses (OSError), a missing
    package -> 2; interruption -> 130; SIGTERM -> 143 and SIGHUP -> 129, without leftovers. The command's return value
    (an int) is the exit code, None is 0.
    """
    try:
        _check_arguments(sys.argv[1:] if arguments is None else arguments)
        with ending_tidily():
            code = command.main(arguments, prog_name=program, standalone_mode=False)
    except BitloomError as error:
        click.echo(f"error: {checks.plain(spelled(str(error)), MOST)}", err=True)
        code = EXIT_USAGE
    except OSError as error:
        name = "" if error.filename is None else f"{checks.shorten(os.fspath(error.filename))}: "
        click.echo(f"error: {name}{error.strerror or type(error).__name__}", err=True)
        code = EXIT_USAGE
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except ImportError as error:
        text = explain(error)
        if text is None:
            raise
        click.echo(f"error: {text}", err=True)
        code = EXIT_USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("error: interrupted", err=True)
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        vars(error).update(message=checks.plain(error.message, LONGEST))  # click declares it final
        error.show()
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else EXIT_OK)


def _check_arguments(arguments: Sequence[str]) -> None:
    """Raise UnsupportedError for text that no file name and no option holds."""
    for text in arguments:
        try:
            bad = b"\0" in os.fsencode(text)
        except UnicodeEncodeError:
            bad = True
        if bad:
            raise UnsupportedError(f"argument {checks.shorten(text)}: holds a NUL or half a character; leave it out")


def json_option(function: Command) -> Command:
    """The `--json` option, as the argument `as_json`."""
    text = "Print one JSON object instead of the table."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def progress(enabled: bool = True) -> Progress:
    """A rich progress bar on stderr, use as a context manager; shown only on a terminal."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, disable=not (enabled and console.is_terminal))


def print_json(values: object) -> None:
    """Print one JSON object on stdout; NaN and infinity are refused, numpy numbers become plain ones."""
    click.echo(json.dumps(values, default=_plain, allow_nan=False))


def _plain(value: object) -> object:
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table on stdout. A cell that is a number is right-aligned with its column."""
    texts = [[cell(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numeric = all(row[index][:1] in "-0123456789" for row in texts if row[index])
        table.add_column(column, justify="right" if numeric and texts else "left")
    for row in texts:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 160
    Console(width=width, markup=False, highlight=False).print(table)


def cell(value: object) -> str:
    """Text of one table cell: thousands separated, floats with four significant digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def report(values: Mapping[str, object], as_json: bool, title: str) -> None:
    """Print a dict of figures: one JSON object, or a table of two columns."""
    if as_json:
        print_json(values)
    else:
        rows = [(key.replace("_", " "), value) for key, value in values.items()]
        print_table(title, ("figure", "value"), rows)
