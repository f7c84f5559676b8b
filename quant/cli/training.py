"""What the commands that train share: checkpoints, and the end of a training that diverges."""

import functools
import zlib

import click
import numpy as np

from accel.cli import EXIT_MISMATCH
from quant.models.errors import DivergedError


def checkpoint_options(function):
    """--checkpoint and --resume; DivergedError becomes a message and exit code 1."""
    @functools.wraps(function)
    def command(*args, **kwargs):
        if kwargs["resume"] and kwargs["checkpoint"] is None:
            raise click.UsageError("--resume goes on from the --checkpoint file; give --checkpoint FILE too")
        try:
            return function(*args, **kwargs)
        except DivergedError as error:
            click.echo(f"error: {error}", err=True)
            return EXIT_MISMATCH
    command = click.option("--resume", is_flag=True,
                           help="Go on from the --checkpoint file: the result has the same bytes.")(command)
    return click.option("--checkpoint", type=click.Path(dir_okay=False), default=None,
                        help="File (.pt) for the state of the training, written after every epoch.")(command)


def open_checkpoint(path, resume, identity, images, labels):
    """The Checkpoint of a training with this identity (plain values) on these data, or None without a path."""
    from quant.models.loop import Checkpoint
    if path is None:
        return None
    data = zlib.crc32(np.ascontiguousarray(labels), zlib.crc32(np.ascontiguousarray(images)))
    return Checkpoint(path, {**identity, "data": f"{data:08x}"}, resume)
