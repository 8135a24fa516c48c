"""The interface of the journal that a job requires, and the entries of a journal."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from attrs import frozen

from wonder_customers.bulk.journal.digest import Digests

__all__ = ["LATE_ATTEMPT", "UNCONFIRMED", "Announcement", "Change", "Confirmed", "Entry", "RowJournal", "Run", "State"]

Announcement = tuple[str, int, bytes | None, bytes, str]
"""Reference, row number, digest of the raw values (None if not recorded), digest of the request body,
and the filled fields as JSON (see `wonder_customers.bulk.empty_cells`)."""

Change = tuple[str, Sequence[Any]]
"""One change of a row: its kind, as in `wonder_customers.bulk.journal.statements.CHANGES`, and the values to record."""

Confirmed = tuple[str, bytes | None, str | None, str | None]
"""A confirmed row: its reference, the digest of its raw values, the gateway's id, and the result if the row was
confirmed in the current run; None otherwise."""

State = Literal["sending", "done", "failed", "unknown", "held", "removing", "removed"]
"""``sending``: recorded before its request. ``done``: confirmed. ``failed``: failed and not applied. ``unknown``:
possibly applied. ``held``: not applied, because the job was stopping. ``removing`` and ``removed``: the row is
missing from the source, and its customer is being or was deleted."""

UNCONFIRMED = frozenset({"sending", "unknown", "removing"})
"""The states of rows with a write or a deletion that may have been applied."""

LATE_ATTEMPT = "late attempt"
"""The code of a row for which an earlier attempt may still be applied."""


@frozen
class Run:
    """One run of a job over a source.

    Attributes:
        number: The number of the run in this journal, from 1.
        started: The start as Unix time in seconds.
        ended: The end as Unix time in seconds; None if the run has not ended.
        exit_status: How the run ended, such as ``finished`` or ``interrupted``; None if the run has not ended.
        facts: The settings for repeating the run, without credentials.
        counts: Rows by status, recorded when the run ended.
    """

    number: int
    started: float
    ended: float | None
    exit_status: str | None
    facts: Mapping[str, Any]
    counts: Mapping[str, int]


class Entry(NamedTuple):
    """The journal's record of one reference. `at` is a Unix time in seconds."""

    reference: str
    number: int
    run: int
    state: State
    result: str | None
    raw: bytes | None
    payload: bytes | None
    id: str | None
    attempts: int
    code: str | None
    at: float
    fields: str | None = None

    def confirmed(self, run: int) -> Confirmed:
        """Return the entry as `Confirmed`; `run` is the number of the current run."""
        return self.reference, self.raw, self.id, self.result if self.run == run else None


@runtime_checkable
class RowJournal(Protocol):
    """The base class of journals, and the interface that a job requires."""

    @property
    def digests(self) -> Digests:
        """The digests with which rows are compared."""

    @property
    def run(self) -> int:
        """The number of the current run."""

    @property
    def grace(self) -> float:
        """Seconds for which workers of an earlier run may still send requests."""

    @property
    def name(self) -> str:
        """The journal's name, for messages."""

    async def serve(self) -> None:
        """Write queued entries until `stop` is called.

        Raises:
            BulkError: After the last entry, if an entry could not be written.
        """

    def stop(self) -> None:
        """End `serve` after the last queued entry."""

    async def announce(self, rows: Sequence[Announcement]) -> None:
        """Record that rows will be sent, and wait until the records are on disk.

        Raises:
            BulkError: The records could not be written, so the rows must not be sent.
        """
        await self.merge([("sending", row) for row in rows])

    async def merge(self, changes: Sequence[Change]) -> None:
        """Write changes in order, and wait until they are on disk.

        Raises:
            BulkError: The changes could not be written.
        """

    def done(self, row: Announcement, *, result: str, id: str, attempts: int, late: bool) -> None:
        """Record that the gateway confirmed the row. If `late`, an earlier attempt may still be applied."""
        self._post("late" if late else "done", (*row, result, id, attempts))

    def ended(self, reference: str, state: State, attempts: int, code: str | None) -> None:
        """Record the result of a row that the gateway did not confirm."""
        self._post("ended", (state, attempts, code, reference))

    def same(self, reference: str, raw: bytes) -> None:
        """Record new raw values of a row whose request body has not changed.

        This method may be called in a worker thread.
        """
        self._post("same", (raw, reference))

    def _post(self, kind: str, values: Sequence[Any]) -> None:
        """Queue a change of a row."""

    def reader(self) -> AbstractContextManager[Callable[[Sequence[str]], dict[str, Entry]]]:
        """Provide a function that finds the entries of references, for worker threads."""

    def confirmations(self) -> AbstractContextManager[Callable[[Mapping[str, bytes]], dict[str, Confirmed]]]:
        """Provide a function that finds confirmed rows by their reference and the digest of their raw values.

        The function may omit confirmed rows.
        """
