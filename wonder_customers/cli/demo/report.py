"""What the demo prints."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from wonder_customers.cli.demo.landing import Landing
from wonder_customers.cli.demo.people import Person
from wonder_customers.cli.output import cell
from wonder_customers.cli.tables import plain_table

__all__ = ["print_report"]


_NARROW: Final = 72
_WIRE_NAME: Final = re.compile(r" \(on the wire: [^)]*\)")


def print_report(screen: Console, persons: Sequence[Person], landings: Sequence[Landing]) -> bool:
    """Print what became of the CSV; whether everything is as it should be."""
    _broken(screen, persons, landings)
    screen.print()
    _gateways(screen, landings)
    screen.print()
    wrong = [
        f"{landing.gateway}: row {number} differs in {', '.join(fields)}"
        for landing in landings
        for number, fields in sorted(landing.mismatches.items())
    ]
    surprises = [f"{landing.gateway}: {surprise}" for landing in landings for surprise in landing.surprises]
    for line in wrong + surprises:
        screen.print(cell(line, "red"))
    read = sum(landing.read_back for landing in landings)
    verdict = Text.assemble(
        (f"{len(wrong)} mismatches", "bold red" if wrong else "bold green"),
        f" in {read:,} customers, each read back and compared with the CSV field by field.",
    )
    screen.print(verdict)
    if surprises:
        screen.print(Text(f"{len(surprises)} rows did not end as they should.", "bold red"))
    return not wrong and not surprises


def _gateways(screen: Console, landings: Sequence[Landing]) -> None:
    """A column for each gateway, which fits narrow terminals."""
    table = plain_table("")
    for landing in landings:
        table.add_column(landing.gateway, justify="right")
    for label, value in _MEASURES.items():
        table.add_row(label, *(cell(value(landing)) for landing in landings))
    wrong = [len(landing.mismatches) for landing in landings]
    table.add_row("mismatches", *(cell(count, "bold red" if count else "bold green") for count in wrong))
    screen.print(table)
    for landing in landings:
        if landing.count("written"):
            screen.print(cell(f"* created or updated: {landing.gateway} does not say which", "dim"))
        if landing.left_out:
            screen.print(cell(f"{landing.gateway} has no field for {_listed(landing.left_out)}: left out", "dim"))


_MEASURES: Final[Mapping[str, Callable[[Landing], str]]] = {
    "created": lambda it: f"{it.count('written')}*" if it.count("written") else str(it.count("created")),
    "updated": lambda it: "*" if it.count("written") else str(it.count("updated")),
    "refused": lambda it: str(len(it.refused)),
    "read back": lambda it: str(it.read_back),
    "requests/s": lambda it: f"{it.requests / it.seconds:,.0f}",
    "seconds": lambda it: f"{it.seconds:.1f}",
}


def _broken(screen: Console, persons: Sequence[Person], landings: Sequence[Landing]) -> None:
    """One line for every row that is broken on purpose; the reason is that of the first gateway in the line."""
    table = plain_table("row", "broken on purpose", "refused for", "because")
    refused = {landing.gateway: {outcome.number: outcome for outcome in landing.refused} for landing in landings}
    for number, person in enumerate(persons, 1):
        if person.broken is None:
            continue
        by = [gateway for gateway, outcomes in refused.items() if number in outcomes]
        outcome = refused[by[0]][number] if by else None
        reason = (outcome.reason or "").removeprefix(outcome.place).lstrip(":, ") if outcome else "nobody refused it"
        # The gateway's own names for the fields differ; the CSV's do not.
        reason = _WIRE_NAME.sub("", reason)
        who = "all" if len(by) == len(landings) else ", ".join(by)
        if screen.width < _NARROW:
            screen.print(cell(f"row {number}: {person.broken.what}. Refused for {who}: {reason}"))
        else:
            table.add_row(str(number), cell(person.broken.what), who, cell(reason))
    if table.row_count:
        screen.print(table)


def _listed(columns: Sequence[str]) -> str:
    """The columns in words, those of an address as one."""
    heads = dict.fromkeys(column.partition(".")[0] for column in columns)
    return " and ".join(filter(None, (", ".join(list(heads)[:-1]), list(heads)[-1])))
