"""The demo at one gateway."""

import csv
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import define, evolve, field

from wonder_customers.bulk import BULK, Options, Outcome, Row, sources, sync
from wonder_customers.bulk.batches import for_each
from wonder_customers.bulk.rows import Status
from wonder_customers.bulk.sources import unsupported_fields
from wonder_customers.cli.demo.people import COLUMNS, Person
from wonder_customers.dialects.base import Account
from wonder_customers.errors import CallError
from wonder_customers.records import Customer
from wonder_customers.session import CustomerSession

__all__ = [
    "GatewayResult",
    "changed_fields",
    "create_existing_customers",
    "run_gateway",
    "unsupported_columns",
    "write_csv",
]

_WORKERS: Final = 16
_EXISTING: Final = 25
"""The number of customers that exist before the sync."""
_WRITE_ONLY: Final = {("wonder", "company_name")}
"""Fields that a gateway accepts but does not return in any documented response."""


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


def changed_fields(gateway: str, cells: Mapping[str, str], customer: Customer) -> tuple[str, ...]:
    """Return the columns whose cell differs from the customer, independent of the library's own comparison."""
    actual = dict(_customer_fields(customer))
    expected = {name: text.strip() for name, text in cells.items() if text and (gateway, name) not in _WRITE_ONLY}
    parts = ("first_name", "last_name")
    if customer.last_name is None:
        # The gateway has a single name field: it must contain the parts in their order.
        found = [expected.pop(part) for part in parts if part in expected]
        if found:
            expected["name"] = " ".join(found)
    elif "name" in expected:
        expected.pop("name")
    if "phone" in expected:
        expected["phone"] = _digits(expected["phone"])
    return tuple(name for name, text in expected.items() if actual.get(name) != text)


def _customer_fields(customer: Customer) -> Iterator[tuple[str, str | None]]:
    yield "name", customer.name or customer.first_name
    for name in ("reference", "first_name", "last_name", "email", "company_name", "description"):
        yield name, getattr(customer, name)
    if customer.phone is not None:
        yield "phone", _digits(f"{customer.phone.dial_code or ''}{customer.phone.number}")
    for name, value in (customer.metadata or {}).items():
        yield f"metadata.{name}", value
    if customer.address is not None:
        for part in ("line1", "city", "postcode", "country"):
            yield f"address.{part}", getattr(customer.address, part)


def _digits(phone: str) -> str:
    return "".join(filter(str.isdecimal, phone))
