"""The group of commands. Torch is imported only by the commands that need it, when they run."""

import functools
from typing import Any

import click

from accel.options import Function
from accel.start import need
from quant.cli.check import check
from quant.cli.compare import compare
from quant.cli.evaluate import evaluate
from quant.cli.export import export
from quant.cli.ptq import ptq
from quant.cli.qat import qat
from quant.cli.report import report
from quant.cli.search import search
from quant.cli.train import train

# Each command with the packages that it needs beside those of every command: their absence is said at the start.
COMMANDS = {
    train: ("torch",),
    ptq: ("torch",),
    qat: ("torch",),
    evaluate: (),
    compare: ("torch",),
    check: ("torch",),
    export: (),
    search: ("torch", "scipy", "matplotlib"),
    report: ("torch", "scipy", "matplotlib", "jinja2"),
}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train, quantize and check networks.

    Example: python -m quant ptq --model lenet5 --data mnist --out build/out/my-lenet5
    """


def _with_packages(run: Function, packages: tuple[str, ...]) -> Function:
    @functools.wraps(run)
    def checked(*args: Any, **kwargs: Any) -> Any:
        need(*packages)
        return run(*args, **kwargs)

    return checked


for command, packages in COMMANDS.items():
    if command.callback is not None:
        command.callback = _with_packages(command.callback, packages)
    main.add_command(command)
