"""Reading back what a sync left at a gateway, and saying what is not as it should be."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import anyio
from attrs import define, field

from wonder_customers.bulk import Outcome, Row
from wonder_customers.cli.demo.comparison import changed_fields
from wonder_customers.cli.demo.people import Person
from wonder_customers.errors import CallError
from wonder_customers.records import CustomerDraft
from wonder_customers.session import CustomerSession

__all__ = ["Reading"]

_WORKERS: Final = 16

_Work = tuple[Row, Person, Outcome]


@define
class Reading:
    """What is found at one gateway.

    Attributes:
        gateway: Its name.
        session: An open session.
        left_out: The columns that were not sent.
        done: How many customers were read back.
        mismatches: The numbers of rows whose customer is not what the CSV says, with the fields.
        surprises: What else should not be: a good row that did not land, a broken one that did.
    """

    gateway: str
    session: CustomerSession[Any]
    left_out: tuple[str, ...]
    done: int = 0
    mismatches: dict[int, tuple[str, ...]] = field(factory=dict)
    surprises: list[str] = field(factory=list)

    async def everything(self, work: Iterable[_Work]) -> None:
        """Read back every row that should have landed, several at a time."""
        shared = iter(work)
        async with anyio.create_task_group() as group:
            for _ in range(_WORKERS):
                group.start_soon(self._share, shared)

    async def _share(self, work: Iterator[_Work]) -> None:
        for row, person, outcome in work:
            if person.broken is not None and person.broken.breaks(self.gateway):
                if outcome.ok:
                    self.surprises.append(f"row {row.number} landed, although {person.broken.what}")
            elif not outcome.ok or row.draft is None or row.reference is None:
                self.surprises.append(f"row {row.number} did not land: {outcome.reason}")
            else:
                await self._read(row.number, row.reference, row.draft, person, outcome)

    async def _read(self, number: int, reference: str, draft: CustomerDraft, person: Person, outcome: Outcome) -> None:
        try:
            customer = await self.session.get_by_reference(reference)
        except CallError as error:
            self.surprises.append(f"row {number} could not be read back: {error}")
            return
        self.done += 1
        sent = {column: text for column, text in person.cells.items() if column not in self.left_out}
        # Two opinions: the library's own comparison, and the cells against the record.
        unequal = {*self.session.differences(draft, customer), *changed_fields(self.gateway, sent, customer)}
        if outcome.id is not None and outcome.id != customer.id:
            unequal.add("id")
        if unequal:
            self.mismatches[number] = tuple(sorted(unequal))
