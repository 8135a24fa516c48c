"""``python -m benchmarks [NAME…] [--quick]``: run benchmarks, print a table for each, and save the results."""

import argparse
import importlib
import pkgutil
import platform
from pathlib import Path
from types import ModuleType

import attrs
import orjson
from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks._chart import chart
from benchmarks._findings import Findings
from benchmarks._loop import on_core

_DOCS = Path(__file__).parent.parent / "docs"
_RESULTS = Path(__file__).parent / "results"


def benchmark_names() -> list[str]:
    """Return the names of the benchmarks: the public modules of this folder."""
    return [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]


def show(console: Console, name: str, found: Findings) -> None:
    """Print the table, the notes and the targets of one benchmark."""
    contenders = list(dict.fromkeys(figure.contender for figure in found.figures))
    table = Table(title=f"{name}: {found.question.splitlines()[0]}", title_justify="left")
    table.add_column("")
    for contender in contenders:
        table.add_column(contender, justify="right")
    for case in dict.fromkeys(figure.case for figure in found.figures):
        cells = {it.contender: f"{_number(it.value)} {it.unit}" for it in found.figures if it.case == case}
        table.add_row(case, *(cells.get(contender, "") for contender in contenders))
    console.print(table)
    for note in found.notes:
        console.print(f"  {note}")
    for target in found.targets:
        verdict = "[green]reached[/]" if target.reached else "[red]missed[/]"
        console.print(f"  {verdict} {target.description}: {_number(target.value)}")
    console.print()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def keep(name: str, found: Findings) -> None:
    """Save the results as JSON, and the chart of the calls as SVG."""
    _RESULTS.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    kept = {"machine": machine, **attrs.asdict(found)}
    (_RESULTS / f"{name}.json").write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2) + b"\n")
    if name == "calls":
        _DOCS.mkdir(exist_ok=True)
        (_DOCS / "benchmarks.svg").write_text(chart(found), encoding="utf-8")


def main() -> None:
    """Run the benchmarks given on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(benchmark_names())}; all of them"
    )
    parser.add_argument("--quick", action="store_true", help="one short round each; the figures are not meaningful")
    options = parser.parse_args()
    unknown = set(options.names) - set(benchmark_names())
    if unknown:
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}; choose from {', '.join(benchmark_names())}")
    on_core(0)
    console = Console(width=None if Console().is_terminal else 200)
    for name in options.names or benchmark_names():
        module: ModuleType = importlib.import_module(f"benchmarks.{name}")
        found: Findings = module.measure(quick=options.quick)
        show(console, name, found)
        if not options.quick:
            keep(name, found)


if __name__ == "__main__":
    main()
