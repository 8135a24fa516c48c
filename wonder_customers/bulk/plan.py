"""The dry run: what a job would do, without a write.

Every row is read and held against the limits and the journal. Rows that the journal does not know are new or there
already: for the first of them the gateway is asked, the others are reported as not looked up.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
from attrs import define, field

from wonder_customers.bulk.batches import Batches
from wonder_customers.bulk.capacity import Capacity
from wonder_customers.bulk.change_filter import ChangeFilter, Item
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.options import Rows, check_rate
from wonder_customers.bulk.pace import Pace
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.tries import Trier, Tries, each
from wonder_customers.bulk.upserts import requests_per_upsert
from wonder_customers.errors import ConfigurationError, NotFoundError
from wonder_customers.session import CustomerSession

__all__ = ["Difference", "Plan", "plan"]

MOST_EXAMPLES = 20


@define
class Difference:
    """A row that would change a customer: which fields, never their values."""

    number: int
    reference: str
    fields: tuple[str, ...]


@define
class Plan:
    """What a job would do.

    Attributes:
        rows: Rows of the source.
        creates: Customers that are not at the gateway.
        updates: Customers that are there and differ, or that the journal knows with other values.
        unchanged: Rows that need no request.
        open: Rows that would be sent and were not looked up: new, or there already.
        invalid: Rows that break the gateway's limits or cannot be read.
        duplicates: Rows that repeat the reference of an earlier one.
        doubtful: Rows whose earlier outcome the gateway would be asked for first; they are counted above too.
        looked_up: Rows for which the gateway was asked.
        differences: The first customers that would change.
        problems: The first rows that cannot be sent.
        reasons: Rows that cannot be sent, by reason.
        requests: Requests that the job would send, about.
        rate: Requests per second at the most, None without a ceiling.
    """

    rows: int = 0
    creates: int = 0
    updates: int = 0
    unchanged: int = 0
    open: int = 0
    invalid: int = 0
    duplicates: int = 0
    unconfirmed: int = 0
    looked_up: int = 0
    differences: list[Difference] = field(factory=list)
    problems: list[Outcome] = field(factory=list)
    reasons: "Counter[str]" = field(factory=Counter)
    requests: int = 0
    rate: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long the job would take at its rate, None without one."""
        return None if self.rate is None else self.requests / self.rate

    @property
    def adds_up(self) -> bool:
        """Whether every row is counted once."""
        sent = self.creates + self.updates + self.open
        return self.rows == sent + self.unchanged + self.invalid + self.duplicates


async def plan(
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: Journal | None = None,
    rate: float | None = None,
    look_up: int = 1000,
    workers: int = 16,
    clock: Callable[[], float] = anyio.current_time,
) -> Plan:
    """Find out what a job would do. Nothing is written, at the gateway or in the journal.

    Args:
        session: An open session.
        rows: What the job would take.
        journal: The job's journal; without one every valid row would be sent.
        rate: Requests per second at most, for the look-ups too.
        look_up: For how many rows at most the gateway is asked (one read each).
        workers: Look-ups at a time.
        clock: Seconds that only grow.

    Raises:
        ConfigurationError: The source cannot be read, or the rate or `look_up` cannot work.
        CallError: A look-up failed.
    """
    found = Plan(rate=rate)
    trier = Trier(Pace(Capacity(workers), rate, 1.0, clock), Tries(), clock=clock)
    feed, sieve = Batches(rows), ChangeFilter(session, journal, observing=True)
    async with feed:  # it closes the source, whatever is refused
        check_rate(rate)
        if look_up < 0:
            raise ConfigurationError("the number of rows to look up must be 0 or more. Nothing was looked up.")
        with sieve:
            while (sifted := await feed.next(sieve)) is not None:
                _settled(found, sifted[0])
                asked = [item for item in sifted[1] if not (item.known and item.doubted_at is None)]
                asked = asked[: max(0, look_up - found.looked_up)]
                found.looked_up += len(asked)
                there = await _asked(session, trier, asked, workers)
                for item in sifted[1]:
                    _count(found, item, there)
    found.rows = feed.read
    sent = found.creates + found.updates + found.open
    found.requests = round(sent * requests_per_upsert(session)) + found.unconfirmed
    return found


def _settled(found: Plan, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.ok:
            found.unchanged += 1
            continue
        found.invalid += outcome.status == "invalid"
        found.duplicates += outcome.status == "duplicate"
        found.reasons[outcome.code or "?"] += 1
        if len(found.problems) < MOST_EXAMPLES:
            found.problems.append(outcome)


async def _asked(
    session: CustomerSession[Any], trier: Trier, items: list[Item], workers: int
) -> dict[str, tuple[str, ...] | None]:
    """What the gateway says of each item: the fields that differ, None where there is no such customer."""
    answers: dict[str, tuple[str, ...] | None] = {}

    async def ask(item: Item) -> None:
        try:
            reply = await trier.call(session.raw.get_by_reference, item.reference)
        except NotFoundError:
            answers[item.reference] = None
        else:
            answers[item.reference] = session.differences(item.draft, reply.record)

    await each(items, ask, workers)
    return answers


def _count(found: Plan, item: Item, there: dict[str, tuple[str, ...] | None]) -> None:
    found.unconfirmed += item.doubted_at is not None
    if item.reference not in there:
        found.updates += item.known
        found.open += not item.known
        return
    differing = there[item.reference]
    if differing is None:
        found.creates += 1
    elif not differing and item.doubted_at is not None:
        found.unchanged += 1
        found.unconfirmed -= 1
        found.requests += 1
    else:
        # A job writes also what is equal already but was never confirmed to the journal.
        found.updates += 1
        if differing and len(found.differences) < MOST_EXAMPLES:
            found.differences.append(Difference(item.row.number, item.reference, differing))
