"""Read customers back from a gateway after a sync, and collect the differences."""

from collections.abc import Iterable
from typing import Any, Final

from attrs import define, field

from wonder_customers.bulk import Outcome, Row
from wonder_customers.bulk.batches import for_each
from wonder_customers.cli.demo.comparison import changed_fields
from wonder_customers.cli.demo.people import Person
from wonder_customers.errors import CallError
from wonder_customers.records import CustomerDraft
from wonder_customers.session import CustomerSession

__all__ = ["ReadBack"]

_WORKERS: Final = 16

_RowResult = tuple[Row, Person, Outcome]


@define
class ReadBack:
    """Reads the customers of one gateway back and compares them.

    Attributes:
        gateway: The gateway's name.
        session: An open session.
        unsupported: The columns that were not sent.
        done: The number of customers that were read back.
        mismatches: The fields in which a customer differs from the CSV file, by row number.
        unexpected: Other errors: a valid row that failed or could not be read back, or a broken row that was accepted.
    """

    gateway: str
    session: CustomerSession[Any]
    unsupported: tuple[str, ...]
    done: int = 0
    mismatches: dict[int, tuple[str, ...]] = field(factory=dict)
    unexpected: list[str] = field(factory=list)

    async def run(self, results: Iterable[_RowResult]) -> None:
        """Read back every row that should have been accepted, several at a time."""
        await for_each(results, self._check, _WORKERS)

    async def _check(self, result: _RowResult) -> None:
        row, person, outcome = result
        if person.defect is not None and person.defect.is_refused_by(self.gateway):
            if outcome.ok:
                self.unexpected.append(f"row {row.number} was accepted, although it has {person.defect.description}")
        elif not outcome.ok or row.draft is None or row.reference is None:
            self.unexpected.append(f"row {row.number} failed: {outcome.reason}")
        else:
            await self._compare(row.number, row.reference, row.draft, person, outcome)

    async def _compare(
        self, number: int, reference: str, draft: CustomerDraft, person: Person, outcome: Outcome
    ) -> None:
        try:
            customer = await self.session.get_by_reference(reference)
        except CallError as error:
            self.unexpected.append(f"row {number} could not be read back: {error}")
            return
        self.done += 1
        sent = {column: text for column, text in person.cells.items() if column not in self.unsupported}
        # Two independent comparisons: the library's own, and the CSV cells with the record.
        unequal = {*self.session.differences(draft, customer), *changed_fields(self.gateway, sent, customer)}
        if outcome.id is not None and outcome.id != customer.id:
            unequal.add("id")
        if unequal:
            self.mismatches[number] = tuple(sorted(unequal))
