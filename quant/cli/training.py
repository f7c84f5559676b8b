"""What the commands that train share: checkpoints, the end of a training that diverges, and one that cannot be written
as asked and must not be lost."""

import functools
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from accel.cli import EXIT_MISMATCH
from accel.errors import BitloomError, OutputError
from accel.options import Function
from accel.start import spelled
from quant.models.errors import DivergedError

if TYPE_CHECKING:  # imports torch
    from quant.models.loop import Checkpoint, Unwritten


def checkpoint_options(function: Function) -> Function:
    """--checkpoint and --resume; DivergedError becomes a message and exit code 1."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> int:
        if kwargs["resume"] and kwargs["checkpoint"] is None:
            raise click.UsageError("--resume goes on from the --checkpoint file; give --checkpoint FILE too")
        try:
            return function(*args, **kwargs)
        except DivergedError as error:
            click.echo(f"error: {error}", err=True)
            return EXIT_MISMATCH

    command = click.option(
        "--resume", is_flag=True, help="Go on from the --checkpoint file: the result has the same bytes."
    )(command)
    return click.option(
        "--checkpoint",
        type=click.Path(dir_okay=False),
        default=None,
        help="File (.pt) for the state of the training, written after every epoch.",
    )(command)


def open_checkpoint(
    path: str | None, resume: bool, identity: dict[str, Any], images: np.ndarray, labels: np.ndarray, out: str
) -> "Checkpoint | Unwritten":
    """The Checkpoint of a training with this identity (plain values) on these data; without a path an Unwritten one
    beside `out`, the command's output."""
    from quant.models.loop import KEPT, Checkpoint, Unwritten

    data = zlib.crc32(np.ascontiguousarray(labels).data, zlib.crc32(np.ascontiguousarray(images).data))
    identity = {**identity, "data": f"{data:08x}"}
    if path is None:
        return Unwritten(f"{Path(out)}{KEPT}", identity)
    return Checkpoint(path, identity, resume)


@contextmanager
def kept(checkpoint: "Checkpoint | Unwritten", ways: str) -> Iterator[None]:
    """Around all that follows a training: where it fails, the training is in a file, and the message says how to go on
    from there. ways: text with {file} in it."""
    try:
        yield
    except Exception as error:
        text = f"the training is kept: {ways.format(file=_written(checkpoint))}"
        if isinstance(error, BitloomError):
            raise type(error)(f"{error}; {text}") from error
        click.echo(spelled(text), err=True)
        raise


def _written(checkpoint: "Checkpoint | Unwritten") -> Path:
    """The file of a Checkpoint; that of an Unwritten one, beside the output or where else a file can be written."""
    from quant.models.loop import Unwritten

    if not isinstance(checkpoint, Unwritten):
        return checkpoint.path
    name, refusals = checkpoint.path.name, []
    for folder in (checkpoint.path.parent, Path.cwd(), Path(tempfile.gettempdir())):
        checkpoint.path = _unused(folder / name)
        try:
            checkpoint.write()
        except OutputError as error:
            refusals.append(error)
        else:
            return checkpoint.path
    raise refusals[0]


def _unused(path: Path) -> Path:
    """The path, with a number where an earlier training is kept there."""
    found, number = path, 2
    while found.exists():
        found, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return found
