"""What goes into a bulk job and what comes out of it, row by row."""

from collections.abc import Callable
from typing import Literal

from attrs import field, frozen

from wonder_customers.errors import WonderCustomersError
from wonder_customers.records import Applied, CustomerDraft

__all__ = ["Outcome", "Row", "RowProblem", "Status"]

Status = Literal["created", "updated", "written", "unchanged", "failed", "invalid", "duplicate"]
"""What became of a row.

``written`` means created or updated, where the gateway does not say which (Wonder). ``invalid`` and ``duplicate``
rows were never sent: they break the gateway's limits, or repeat the reference of an earlier row.
"""


class RowProblem(ValueError):
    """Why a row cannot be made into a draft; the message names the place and never a value."""


class Row:
    """One row of a source, made into a draft when somebody asks for it.

    Reading a million rows that have not changed must not build a million drafts, so a row that a file brought keeps
    only its raw values until `draft` or `problem` is read.

    Args:
        number: Counts the rows of the source from 1; blank lines are not counted.
        draft: The draft, when there is one already.
        problem: Why there is none.
        reference: The customer's reference as the source has it; taken from `draft` when not given.
        place: Where the row stands, such as ``line 12``.
        material: The row's raw values as bytes, which tell whether it changed. Never holds card fields.
        build: Makes the draft, or raises `RowProblem`.
    """

    __slots__ = ("_build", "_draft", "_problem", "material", "number", "place", "reference")

    def __init__(
        self,
        number: int,
        draft: CustomerDraft | None = None,
        problem: str | None = None,
        reference: str | None = None,
        *,
        place: str = "",
        material: bytes | None = None,
        build: Callable[[], CustomerDraft] | None = None,
    ) -> None:
        self.number = number
        self.place = place
        self.material = material
        if reference is None and draft is not None:
            reference = draft.reference
        self.reference = reference if _usable(reference) else None
        self._draft = draft
        self._problem = problem
        self._build = build

    def __repr__(self) -> str:
        return f"<Row {self.number} {self.reference!r}>"

    @property
    def draft(self) -> CustomerDraft | None:
        """The draft, None when the row has a `problem`."""
        self._resolve()
        return self._draft

    @property
    def problem(self) -> str | None:
        """Why the row has no draft, naming line and column; None when it has one."""
        self._resolve()
        return self._problem

    def _resolve(self) -> None:
        build, self._build = self._build, None
        if build is None:
            return
        try:
            self._draft = build()
        except RowProblem as problem:
            self._problem = str(problem)


def _usable(reference: object) -> bool:
    """Whether a reference can be looked up at all; what is wrong with another one, the draft's check tells."""
    if not isinstance(reference, str):
        return False
    return reference.isascii() or not any("\ud800" <= character <= "\udfff" for character in reference)


@frozen
class Outcome:
    """What became of one row.

    Attributes:
        number: The row's number in the source, from 1.
        reference: The customer's reference, None where the row has none.
        status: What happened.
        id: The gateway's id of the customer, where it is known.
        reason: Why it failed or was not sent, in words without any value of the row; None when all went well.
        code: The reason as a short word for counting, such as ``InvalidRequestError 422``.
        applied: Whether the gateway has applied the row.
        attempts: How often the row was tried in this run.
        request_id: The gateway's id of the last request of a row that failed.
        place: Where the row stands in the source, such as ``line 12``.
        replayed: Known from the journal: it happened before this run was interrupted.
        error: The error itself, where there was one.
        draft: What was to be sent, of a row that failed and could be read.
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
    replayed: bool = False
    error: WonderCustomersError | None = field(default=None, repr=False)
    draft: CustomerDraft | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the gateway now holds what the row says."""
        return self.status not in {"failed", "invalid", "duplicate"}
