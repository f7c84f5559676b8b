"""The console command `bitloom`: the programs of all packages under one name.

A program's module is imported when it is asked for: `bitloom convert` needs no PyTorch, and `bitloom --help` neither.
"""

import importlib

import click

from accel import __version__
from accel.start import spelled

# name -> (module with the click command `main`, what it does)
PROGRAMS = {
    "quant": ("quant.cli.main", "Train, quantize and check networks."),
    "convert": ("accel.convert", "Turn a quantized network into Verilog or VHDL."),
    "sim": ("sim.cli", "Simulate the accelerator."),
}


class Programs(click.Group):
    """The group of PROGRAMS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PROGRAMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PROGRAMS:
            return None
        command = importlib.import_module(PROGRAMS[cmd_name][0]).main
        _spell(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Programs"):
            formatter.write_dl([(name, text) for name, (_, text) in PROGRAMS.items()])


def _spell(command: click.Command) -> None:
    """Let the examples in the help of a command, and of those in it, be spelled as this program was started."""
    command.help, command.epilog = spelled(command.help), spelled(command.epilog)
    for inner in getattr(command, "commands", {}).values():
        _spell(inner)


@click.command(cls=Programs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bitloom")
def main() -> None:
    """From a trained PyTorch network to an FPGA accelerator, bit for bit.

    \b
    Example:
      bitloom quant ptq --model lenet5 --data digits --out my-model
      bitloom convert --model my-model --out my-design
      bitloom sim run --model my-model

    Exit codes: 0 done, 1 a comparison failed, 2 bad usage or bad input. Each is `python -m` of its package too:
    quant, accel.convert, sim.
    """
