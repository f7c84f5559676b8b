"""The group of commands. Torch is imported only by the commands that need it, when they run."""

import click

from quant.cli.check import check
from quant.cli.compare import compare
from quant.cli.evaluate import evaluate
from quant.cli.export import export
from quant.cli.ptq import ptq
from quant.cli.qat import qat
from quant.cli.report import report
from quant.cli.search import search
from quant.cli.train import train

COMMANDS = (train, ptq, qat, evaluate, compare, check, export, search, report)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Train, quantize and check networks.

    Example: python -m quant ptq --model lenet5 --data mnist --out build/out/my-lenet5
    """


for command in COMMANDS:
    main.add_command(command)
