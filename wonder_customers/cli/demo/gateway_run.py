"""The demo at one gateway."""

import csv
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field

from wonder_customers.bulk import BULK, Options, Outcome, Row, sources, sync
from wonder_customers.bulk.batches import for_each
from wonder_customers.bulk.rows import Status
from wonder_customers.bulk.sources import unsupported_fields
from wonder_customers.cli.demo.comparison import changed_fields
from wonder_customers.cli.demo.people import COLUMNS, Person
from wonder_customers.dialects.base import Account
from wonder_customers.errors import CallError
from wonder_customers.session import CustomerSession

__all__ = ["GatewayResult", "create_existing_customers", "run_gateway", "unsupported_columns", "write_csv"]

_WORKERS: Final = 16
_EXISTING: Final = 25
"""The number of customers that exist before the sync."""


@define
class GatewayResult:
    """The result of the demo at one gateway.

    Attributes:
        unsupported: The columns that were not sent.
        mismatches: The columns in which a customer differs from the CSV file, by row number.
        unexpected: Messages about rows with an unexpected result.
        seconds: The duration, including the time for reading back.
    """

    gateway: str
    unsupported: tuple[str, ...]
    outcomes: list[Outcome]
    read_back: int = 0
    mismatches: dict[int, tuple[str, ...]] = field(factory=dict)
    unexpected: list[str] = field(factory=list)
    requests: int = 0
    seconds: float = 0.0

    @property
    def refused(self) -> list[Outcome]:
        """The outcomes of the rows that failed or were not sent."""
        return [outcome for outcome in self.outcomes if not outcome.ok]

    def count(self, status: Status) -> int:
        """Return the number of rows with this status."""
        return Counter(outcome.status for outcome in self.outcomes)[status]


def write_csv(path: Path, persons: Sequence[Person]) -> None:
    """Write a header line and one row per person."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(person.row() for person in persons)


def unsupported_columns(account: Account) -> tuple[str, ...]:
    """Return the columns whose field the account's gateway does not have."""
    missing = unsupported_fields(account)
    return tuple(name for name in COLUMNS if name in missing or name.partition(".")[0] in missing)


async def create_existing_customers(account: Account, path: Path, persons: Sequence[Person]) -> None:
    """Create some customers of the CSV file with an old email address."""
    valid = [row for row, person in zip(_rows(account, path), persons, strict=True) if person.defect is None]
    async with CustomerSession(account) as session:
        for row in valid[-_EXISTING:]:
            if row.draft is not None:
                await session.create(evolve(row.draft, email="old@example.com"))


async def run_gateway(gateway: str, account: Account, path: Path, persons: Sequence[Person]) -> GatewayResult:
    """Sync the CSV file, and compare the customers with its rows."""
    rows = _rows(account, path)
    started = time.perf_counter()
    async with CustomerSession(account, retry=BULK, max_connections=_WORKERS) as session:
        async with sync(session, rows, options=Options(workers=_WORKERS)) as job:
            outcomes = [outcome async for outcome in job]
        outcomes.sort(key=lambda outcome: outcome.number)
        result = GatewayResult(gateway, unsupported_columns(account), outcomes)
        compare = partial(_read_back, session, result)
        await for_each(zip(rows, persons, outcomes, strict=True), compare, _WORKERS)
        result.requests, result.seconds = session.stats().attempts, time.perf_counter() - started
    return result


async def _read_back(session: CustomerSession[Any], result: GatewayResult, it: tuple[Row, Person, Outcome]) -> None:
    """Check the outcome of a row, and compare its customer with the row."""
    row, person, outcome = it
    number, reference, draft = row.number, row.reference, row.draft
    if person.defect is not None and person.defect.is_refused_by(result.gateway):
        if outcome.ok:
            result.unexpected.append(f"row {number} was accepted, although it has {person.defect.description}")
        return
    if not outcome.ok or draft is None or reference is None:
        result.unexpected.append(f"row {number} failed: {outcome.reason}")
        return
    try:
        customer = await session.get_by_reference(reference)
    except CallError as error:
        result.unexpected.append(f"row {number} could not be read back: {error}")
        return
    result.read_back += 1
    sent = {column: text for column, text in person.cells.items() if column not in result.unsupported}
    # Two independent comparisons: the library's own, and the CSV cells with the record.
    unequal = {*session.compare(draft, customer).different, *changed_fields(result.gateway, sent, customer)}
    if outcome.id is not None and outcome.id != customer.id:
        unequal.add("id")
    if unequal:
        result.mismatches[number] = tuple(sorted(unequal))


def _rows(account: Account, path: Path) -> list[Row]:
    """Return the rows of the CSV file."""
    return list(sources.read(path, mapping=dict.fromkeys(unsupported_columns(account), "")))
