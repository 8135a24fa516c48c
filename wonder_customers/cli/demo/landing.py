"""One gateway's part of the demo: the CSV goes in, every customer is read back and compared."""

import csv
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
from attrs import define, evolve, frozen

from wonder_customers.bulk import BULK, Outcome, Row, sources, sync
from wonder_customers.bulk.rows import Status
from wonder_customers.cli.demo.people import COLUMNS, Person
from wonder_customers.cli.demo.reading import Reading
from wonder_customers.dialects.base import Account
from wonder_customers.errors import InvalidRecordError
from wonder_customers.records import Address, CustomerDraft, Phone
from wonder_customers.session import CustomerSession
from wonder_customers.transports import choose
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission, Transport

__all__ = ["Landing", "land", "left_out", "start_with_old", "write_csv"]

_WORKERS: Final = 16
_KNOWN_BEFORE: Final = 25
"""So many customers are at the gateway already, with an old email, so that there is something to update."""

_EVERYTHING: Final = CustomerDraft(
    reference="HR-0001",
    name="Ana Horvat",
    first_name="Ana",
    last_name="Horvat",
    email="ana@example.com",
    phone=Phone("+385", "912345678"),
    company_name="Horvat",
    description="Pays on the first of the month",
    metadata={"plan": "pro"},
    address=Address(line1="Ilica 1", city="Zagreb", postcode="10000", country="HR"),
)


@frozen
class Landing:
    """What became of the CSV at one gateway.

    Attributes:
        gateway: The gateway's name.
        left_out: The columns it has no field for.
        outcomes: What became of each row.
        read_back: How many customers were read back.
        mismatches: The row numbers whose customer is not what the CSV says, with the columns.
        surprises: What else should not be: a good row that failed, a broken one that landed.
        requests: How many requests went over the wire.
        seconds: How long it took, reading back included.
    """

    gateway: str
    left_out: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    read_back: int
    mismatches: Mapping[int, tuple[str, ...]]
    surprises: tuple[str, ...]
    requests: int
    seconds: float

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """The rows that did not land."""
        return tuple(outcome for outcome in self.outcomes if not outcome.ok)

    def count(self, status: Status) -> int:
        """How many rows ended so."""
        return Counter(outcome.status for outcome in self.outcomes)[status]


@define
class _Counting:
    """A transport that counts what another one sends."""

    inner: Transport
    sent: int = 0

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Count one request and hand it on."""
        self.sent += 1
        return await self.inner.send(signed_request, transmission)

    async def aclose(self) -> None:
        """Close the other one."""
        await self.inner.aclose()


def write_csv(path: Path, persons: Sequence[Person]) -> None:
    """Write the persons' rows under a line with the columns' names."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(person.row() for person in persons)


def left_out(account: Account) -> tuple[str, ...]:
    """The columns that the account's gateway has no field for, as its own validation says."""
    try:
        account.dialect().validate(_EVERYTHING)
    except InvalidRecordError as refused:
        homeless = {violation.field for violation in refused.violations if violation.wire_field is None}
        return tuple(name for name in COLUMNS if name in homeless or name.partition(".")[0] in homeless)
    return ()


async def start_with_old(account: Account, path: Path, persons: Sequence[Person]) -> None:
    """Create the last of the good customers beforehand, as they were when they had another email.

    Args:
        account: Whose customers they become.
        path: The CSV.
        persons: What it was written from.
    """
    good = [row for row, person in zip(_rows(account, path), persons, strict=True) if person.broken is None]
    async with CustomerSession(account) as session:
        for row in good[-_KNOWN_BEFORE:]:
            if row.draft is not None:
                await session.create(evolve(row.draft, email="old@example.com"))


async def land(gateway: str, account: Account, path: Path, persons: Sequence[Person]) -> Landing:
    """Sync the CSV into one gateway, read everything back and compare.

    Args:
        gateway: The gateway's name.
        account: Whose customers they become.
        path: The CSV.
        persons: What it was written from: row 1 is the first of them.
    """
    rows = _rows(account, path)
    counting = _Counting(choose(None, _WORKERS))
    begun = time.perf_counter()
    try:
        async with CustomerSession(account, retry=BULK, transport=counting) as session:
            async with sync(session, rows, workers=_WORKERS) as job:
                outcomes = [outcome async for outcome in job]
            outcomes.sort(key=lambda outcome: outcome.number)
            reading = Reading(gateway, session, left_out(account))
            await reading.everything(zip(rows, persons, outcomes, strict=True))
    finally:
        with anyio.CancelScope(shield=True):
            await counting.aclose()
    return Landing(
        gateway,
        reading.left_out,
        tuple(outcomes),
        reading.done,
        reading.mismatches,
        tuple(reading.surprises),
        counting.sent,
        time.perf_counter() - begun,
    )


def _rows(account: Account, path: Path) -> list[Row]:
    """The CSV's rows, without the columns that the gateway cannot carry."""
    return list(sources.read(path, mapping=dict.fromkeys(left_out(account), "")))
