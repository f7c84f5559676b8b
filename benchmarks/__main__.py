"""`python -m benchmarks`: run measurements, keep their results, fill the page of figures."""

if __name__ == "__main__":  # before the imports below: run() says which package is missing
    from accel.start import run

    run("benchmarks.__main__", "python -m benchmarks")

import importlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

from accel.cli import EXIT_MISMATCH, EXIT_OK, handle_errors, print_json, progress
from accel.options import option, taking
from accel.outputs import check_named, check_outputs
from benchmarks import pages, report
from benchmarks.catalog import BENCHMARKS
from benchmarks.sources import digest, is_old

COUNTED = ("upsets", "hostile")  # take --cases and --seed

EPILOG = """\b
Examples:
  python -m benchmarks                     all of them (an hour)
  python -m benchmarks cycles utilization  two of them
  python -m benchmarks --quick             small counts, to see that they run
  python -m benchmarks --save xc7          keep the figures and put them into docs/figures.md
  python -m benchmarks --old               name the kept figures whose sources have changed
  python -m benchmarks upsets hostile --cases 2000 --seed 7 --json"""


@dataclass(frozen=True)
class Measure:
    """The command's options. names: of the benchmarks, none for all."""

    names: tuple[str, ...]
    show_list: bool
    show_old: bool
    quick: bool
    count: int | None
    seed: int | None
    data_dir: str | None
    out: str
    save: bool
    as_json: bool


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, type=click.Choice(tuple(BENCHMARKS)), metavar="[NAME]...")
@click.option("--list", "show_list", is_flag=True, help="Name the benchmarks and stop.")
@click.option("--old", "show_old", is_flag=True, help="Name the kept results whose sources have changed and stop.")
@click.option("--quick", is_flag=True, help="Small counts: shows that it runs, gives no figure to quote.")
@option("--cases", "count", old="--count", type=click.IntRange(min=1), help=f"How many cases, of {', '.join(COUNTED)}.")
@click.option("--seed", type=click.IntRange(min=0), help=f"Seed of other cases, of {', '.join(COUNTED)}.")
@click.option("--data-dir", type=click.Path(), help="Folder of the data sets (mnist/ in it).")
@click.option(
    "--out",
    type=click.Path(),
    default="build/out/benchmarks",
    show_default=True,
    help="Folder to write results, netlists and logs into.",
)
@click.option("--save", is_flag=True, help="Keep the results in benchmarks/results, fill docs/figures.md.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@handle_errors
@taking(Measure)
def main(given: Measure) -> int:
    """Measure accuracy, equality, cycles, size and speed. NAME chooses benchmarks; none means all.

    Each writes OUT/NAME.json; the table goes to stdout, progress to stderr. With --json the object holds the
    keys `results` (name, rows, details, digest, met) and `met`. The exit code is 1 when a required figure is missed.
    """
    if given.show_list:
        for name, benchmark in BENCHMARKS.items():
            click.echo(f"{name:18} {benchmark.text}")
        return EXIT_OK
    if given.show_old:
        for result in report.load_all(given.names or BENCHMARKS):
            if is_old(result):
                click.echo(result.name)
        return EXIT_OK
    if given.save and given.quick:
        raise click.UsageError("--save keeps figures to quote; --quick gives none: use one of them")
    cases = {key: value for key, value in (("count", given.count), ("seed", given.seed)) if value is not None}
    if cases and not set(given.names) & set(COUNTED):
        raise click.UsageError(f"--cases and --seed are of {', '.join(COUNTED)}: name it, or leave them out")
    check_named(given.out)
    for folder in (given.out, report.RESULTS) if given.save else (given.out,):
        check_outputs(*(report.output(name, folder) for name in given.names or BENCHMARKS))
    results = []
    for name in given.names or BENCHMARKS:
        started = time.monotonic()
        click.echo(f"{name}: {BENCHMARKS[name].text}", err=True)
        sources = digest(name)
        with progress() as bar:
            measure = importlib.import_module(f"benchmarks.{name}").measure
            measured = measure(bar, Path(given.out), given.quick, given.data_dir, **(cases if name in COUNTED else {}))
        result = replace(measured, digest=sources)
        click.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)
        report.save(result, given.out)
        if given.save:
            report.save(result, report.RESULTS)
        results.append(result)
    if given.save:
        pages.write()
    if given.as_json:
        print_json({"results": [result.to_dict() for result in results], "met": all(r.met for r in results)})
    else:
        click.echo(pages.table(results))
        click.echo(pages.notes(results))
    return EXIT_OK if all(result.met for result in results) else EXIT_MISMATCH
