"""The rows that a bulk job reads, and the outcome of each."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from attrs import field, frozen

from wonder_customers._support.card_data import SHORTEST_CARD_NUMBER, contains_card_number
from wonder_customers.errors import WonderCustomersError
from wonder_customers.records import Applied, CustomerDraft

__all__ = ["Outcome", "Row", "RowProblem", "Status", "Table"]

Status = Literal["created", "updated", "written", "unchanged", "failed", "invalid", "duplicate", "removed", "kept"]
"""The outcome of a row. ``written`` means created or updated, if the gateway's responses do not distinguish these
(Wonder). ``invalid`` rows cannot be sent, and ``duplicate`` rows repeat the reference of another row. Customers missing
from the source are ``removed`` (deleted at the gateway) or ``kept`` (not deleted)."""


class RowProblem(ValueError):
    """Raised when a row cannot be converted into a draft."""

    def __init__(self, message: str, code: str = "unreadable") -> None:
        # `message` has the location and never a value of the row; `code` is a short code for counting.
        super().__init__(message)
        self.code = code


class Table(Protocol):
    """The columns of a source, which convert the values of its rows."""

    def fields_of(self, values: Sequence[Any]) -> frozenset[str]:
        """Return the fields that a row may clear with an empty cell, such as ``address.city``."""

    def draft(self, values: Sequence[Any], place: str) -> CustomerDraft:
        """Build the draft of a row at the location `place`.

        Raises:
            RowProblem: A value cannot be used.
        """

    def digestible(self, values: Sequence[Any]) -> bytes | None:
        """Return the values as bytes for change detection; None for a row with a card."""


class Row:
    """One row of a source. A draft is built from raw values on first access.

    Args:
        number: The row's number in the source, from 1; blank lines are not counted.
        draft: The draft, if it exists already.
        problem: Why the row has no draft.
        reference: The customer's reference as it is in the source; taken from `draft` by default.
        place: The row's location in the source, such as ``line 12``.
        original: The original bytes of the row; None if they are not available or may contain card data.
        table: The columns of the source, which build the draft from `values`; None for a row with a draft or a problem.
        values: The row's raw values.

    Attributes:
        code: The code of the row's problem, for counting.
    """

    __slots__ = (
        "_draft", "_problem", "_table", "_values", "code", "number", "original", "place", "reference"
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - keywords are slower, and every row of a source is created here
        self,
        number: int,
        draft: CustomerDraft | None = None,
        problem: str | None = None,
        reference: str | None = None,
        place: str = "",
        original: bytes | None = None,
        table: Table | None = None,
        values: Sequence[Any] = (),
    ) -> None:
        self.number: int = number
        self.original: bytes | None = original
        self.place: str = place
        self.code: str = "unreadable"
        if reference is None and draft is not None:
            reference = draft.reference
        self.reference: str | None = reference if _usable(reference) else None
        self._draft = draft
        self._problem = problem
        self._table = table
        self._values = values

    def __repr__(self) -> str:
        return f"<Row {self.number} {self.reference!r}>"

    @property
    def position(self) -> str:
        """The row's `place`, or its number if the place is not known, for messages."""
        return self.place or f"row {self.number}"

    @property
    def columns(self) -> frozenset[str] | None:
        """The fields of the row's table, except those with an error of a spreadsheet; None without a table."""
        return None if self._table is None else self._table.fields_of(self._values)

    @property
    def raw_values(self) -> bytes | None:
        """The row's raw values as bytes, for change detection; None if they must not be compared."""
        return None if self._table is None else self._table.digestible(self._values)

    @property
    def draft(self) -> CustomerDraft | None:
        """The draft; None if the row has a `problem`."""
        if self._table is not None:
            self._resolve(self._table)
        return self._draft

    @property
    def problem(self) -> str | None:
        """Why the row has no draft; None if the row has a draft."""
        if self._table is not None:
            self._resolve(self._table)
        return self._problem

    def _resolve(self, table: Table) -> None:
        if self._draft is not None or self._problem is not None:
            return
        try:
            self._draft = table.draft(self._values, self.place)
        except RowProblem as problem:
            self._problem, self.code = str(problem), problem.code


def _usable(reference: object) -> bool:
    """Return whether a reference can be looked up and stored."""
    if not isinstance(reference, str) or "\0" in reference:
        return False
    if len(reference) >= SHORTEST_CARD_NUMBER and contains_card_number(reference):
        return False
    return reference.isascii() or not any("\ud800" <= character <= "\udfff" for character in reference)


@frozen(slots=False)  # created twice as fast as with slots, for every row
class Outcome:
    """The outcome of one row.

    Attributes:
        number: The row's number in the source, from 1; 0 for a customer missing from the source.
        reference: The customer's reference; None without a usable reference.
        status: The result; see `Status`.
        id: The gateway's id for the customer, if known.
        reason: Why the row failed or was not sent; None on success.
        code: The reason as a short code for counting, such as ``InvalidRequestError 422``.
        applied: Whether the gateway applied the row in this run: ``yes``, ``no`` or ``unknown``.
        attempts: The number of requests sent for the row in this run.
        request_id: The gateway's id for the last request, if the row failed.
        place: The row's location in the source, such as ``line 12``.
        cleared: The fields that were cleared at the gateway.
        replayed: Whether the outcome was read from the journal, because the row was completed before this run was
            interrupted.
        error: The exception, if there was one.
        draft: The draft of a row that failed or was not sent, if available.
        original: The original bytes of a row that could not be read, if available.
    """

    number: int
    reference: str | None
    status: Status
    id: str | None = None
    reason: str | None = None
    code: str | None = None
    applied: Applied = "no"
    attempts: int = 0
    request_id: str | None = None
    place: str = ""
    cleared: tuple[str, ...] = ()
    replayed: bool = False
    error: WonderCustomersError | None = field(default=None, repr=False)
    draft: CustomerDraft | None = field(default=None, repr=False)
    original: bytes | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the gateway is now in the state that the source requires."""
        return self.status not in {"failed", "invalid", "duplicate", "kept"}
