"""The output of the demo."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from wonder_customers.cli.demo.gateway_run import GatewayResult
from wonder_customers.cli.demo.people import Person
from wonder_customers.cli.output import cell, plain_table

__all__ = ["print_report"]


_NARROW: Final = 72
_WIRE_NAME: Final = re.compile(r" \(sent as [^)]*\)")


def print_report(screen: Console, persons: Sequence[Person], results: Sequence[GatewayResult]) -> bool:
    """Print the results of all gateways and return whether they are as expected."""
    _print_defects(screen, persons, results)
    screen.print()
    _print_gateways(screen, results)
    screen.print()
    wrong = [
        f"{result.gateway}: row {number} differs in {', '.join(fields)}"
        for result in results
        for number, fields in sorted(result.mismatches.items())
    ]
    unexpected = [f"{result.gateway}: {problem}" for result in results for problem in result.unexpected]
    for line in wrong + unexpected:
        screen.print(cell(line, "red"))
    read = sum(result.read_back for result in results)
    conclusion = Text.assemble(
        (f"{len(wrong)} mismatches", "bold red" if wrong else "bold green"),
        f" in {read:,} customers that were read back and compared with the CSV file field by field.",
    )
    screen.print(conclusion)
    if unexpected:
        screen.print(Text(f"Rows with an unexpected outcome: {len(unexpected)}.", "bold red"))
    return not wrong and not unexpected


def _print_gateways(screen: Console, results: Sequence[GatewayResult]) -> None:
    table = plain_table("")
    for result in results:
        table.add_column(result.gateway, justify="right")
    for label, value in _MEASURES.items():
        table.add_row(label, *(cell(value(result)) for result in results))
    wrong = [len(result.mismatches) for result in results]
    table.add_row("mismatches", *(cell(count, "bold red" if count else "bold green") for count in wrong))
    screen.print(table)
    for result in results:
        if result.count("written"):
            written = f"* created or updated; the responses of {result.gateway} do not distinguish the two"
            screen.print(cell(written, "dim"))
    for result in results:
        if result.unsupported:
            unsent = f"columns not sent, because {result.gateway} does not have these fields"
            screen.print(cell(f"{unsent}: {_join_columns(result.unsupported)}", "dim"))


_MEASURES: Final[Mapping[str, Callable[[GatewayResult], str]]] = {
    "created": lambda it: f"{it.count('written')}*" if it.count("written") else str(it.count("created")),
    "updated": lambda it: "*" if it.count("written") else str(it.count("updated")),
    "refused": lambda it: str(len(it.refused)),
    "read back": lambda it: str(it.read_back),
    "requests/s": lambda it: f"{it.requests / it.seconds:,.0f}",
    "seconds": lambda it: f"{it.seconds:.1f}",
}


def _print_defects(screen: Console, persons: Sequence[Person], results: Sequence[GatewayResult]) -> None:
    table = plain_table("row", "defect", "refused for", "reason")
    refused = {result.gateway: {outcome.number: outcome for outcome in result.refused} for result in results}
    for number, person in enumerate(persons, 1):
        if person.defect is None:
            continue
        by = [gateway for gateway, outcomes in refused.items() if number in outcomes]
        outcome = refused[by[0]][number] if by else None
        reason = (outcome.reason or "").removeprefix(outcome.place).lstrip(":, ") if outcome else "accepted"
        # The reason is shown with the names of the CSV columns, without the gateway's own names.
        reason = _WIRE_NAME.sub("", reason)
        who = "all" if len(by) == len(results) else ", ".join(by) or "none"
        if screen.width < _NARROW:
            screen.print(cell(f"row {number}: {person.defect.description}. Refused for {who}: {reason}"))
        else:
            table.add_row(str(number), cell(person.defect.description), who, cell(reason))
    if table.row_count:
        screen.print(table)


def _join_columns(columns: Sequence[str]) -> str:
    """Return columns as a list in words."""
    heads = dict.fromkeys(column.partition(".")[0] for column in columns)
    return " and ".join(filter(None, (", ".join(list(heads)[:-1]), list(heads)[-1])))
