"""Which rows have to be sent: the sieve holds every row against the journal before anything goes out."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Literal, Self

from attrs import define, field, frozen

from wonder_customers.bulk.journal.entries import Entry, RowJournal
from wonder_customers.bulk.rows import Outcome, Row, Status
from wonder_customers.errors import InvalidRecordError
from wonder_customers.records import CustomerDraft
from wonder_customers.session import CustomerSession

__all__ = ["ChangeFilter", "Item", "Only", "Seen"]

Only = Literal["all", "failed"]
"""Which rows a run is about: all, or those that failed or are in doubt since an earlier run."""


@frozen
class Item:
    """A row that has to be sent.

    Attributes:
        row: The row.
        draft: What to send.
        reference: Its reference.
        raw: The digest of its raw values, None when it has none.
        payload: The digest of what will be sent.
        known: The gateway took this reference before, so the customer is there.
        doubted_at: Unix time of an earlier write of which nobody knows whether it was applied.
    """

    row: Row
    draft: CustomerDraft
    reference: str
    raw: bytes | None
    payload: bytes
    known: bool
    doubted_at: float | None


@define(eq=False)
class ChangeFilter:
    """Holds rows against the journal and against each other. Used in one thread at a time.

    Attributes:
        session: Knows the gateway's limits and payloads.
        journal: What was confirmed before, None for nothing.
        only: Which rows the run is about.
        full: Send unchanged rows too.
        observing: Nothing is to be written, in the journal neither.
        repeats: The rows that repeat an earlier one, with that one, where they are known beforehand: when the rows are
            a part of a source.
        passed_over: Rows that are no part of the run.
    """

    session: CustomerSession[object]  # type: ignore[type-var]  # any account
    journal: RowJournal | None
    only: Only = "all"
    full: bool = False
    observing: bool = False
    repeats: Mapping[int, int] | None = None
    passed_over: int = field(default=0, init=False)
    _stack: ExitStack = field(factory=ExitStack, init=False)
    _find: Callable[[Sequence[str]], dict[str, Entry]] = field(default=lambda _: {}, init=False)
    _seen: "Seen | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        if self.repeats is None:
            self._seen = self._stack.enter_context(closing(Seen()))
        if self.journal is not None:
            self._find = self._stack.enter_context(self.journal.reader())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def sift(self, rows: Sequence[Row]) -> tuple[list[Outcome], list[Item]]:
        """Part rows into those that need nothing, with their outcomes, and those that have to be sent."""
        named = [(row.reference, row.number) for row in rows if row.reference is not None]
        repeated = (self.repeats or {}) if self._seen is None else self._seen.repeated(named)
        entries = self._find([reference for reference, _ in named]) if named else {}
        outcomes: list[Outcome] = []
        items: list[Item] = []
        for row in rows:
            entry = entries.get(row.reference) if row.reference is not None else None
            if self.only == "failed" and (entry is None or entry.state == "done"):
                self.passed_over += 1
                continue
            if row.number in repeated:
                outcomes.append(_duplicate(row, repeated[row.number]))
                continue
            settled = self._known(row, entry) if entry is not None else None
            found = settled or self._fresh(row, entry)
            if isinstance(found, Outcome):
                outcomes.append(found)
            else:
                items.append(found)
        return outcomes, items

    def _known(self, row: Row, entry: Entry) -> Outcome | None:
        """The outcome of a row that the journal has settled."""
        journal = self.journal
        if journal is None or self._again(entry, journal):
            return None
        raw = entry.raw if entry.state == "done" else None
        if raw is not None and row.material is not None and journal.digests.row(row.material) == raw:
            return _settled(row, entry, journal.run)
        if entry.state == "failed" and entry.run == journal.run and self.only == "all":
            reason = f"failed before the run was interrupted: {entry.code}; `retry-failed` sends it again"
            return Outcome(
                row.number, row.reference, "failed", entry.id, reason, entry.code, "no", entry.attempts, None,
                row.place, True,
            )  # fmt: skip
        return None

    def _again(self, entry: Entry, journal: RowJournal) -> bool:
        """Whether a row is sent although it was confirmed: once in this run, also when the run is resumed."""
        return self.full and entry.run != journal.run

    def _fresh(self, row: Row, entry: Entry | None) -> Outcome | Item:
        """A row that the journal has not settled: an item, or why it cannot be one."""
        draft = row.draft
        if draft is None:
            return _invalid(row, row.problem or "cannot be read", "unreadable")
        if draft.reference is None:
            return _invalid(row, f"{row.place or f'row {row.number}'}: has no reference", "no reference")
        try:
            self.session.validate(draft)
        except InvalidRecordError as error:
            listed = "; ".join(map(str, error.violations))
            names = ", ".join(sorted({it.field for it in error.violations}))
            return _invalid(row, f"{row.place or f'row {row.number}'}: {listed}", f"invalid {names}"[:120])
        return self._item(row, draft, draft.reference, entry)

    def _item(self, row: Row, draft: CustomerDraft, reference: str, entry: Entry | None) -> Outcome | Item:
        journal = self.journal
        if journal is None:
            return Item(row, draft, reference, None, b"", known=False, doubted_at=None)
        raw = None if row.material is None else journal.digests.row(row.material)
        payload = journal.digests.payload(self.session.payload(draft))
        if entry is not None and entry.state == "done" and entry.payload == payload and not self._again(entry, journal):
            if raw is not None and not self.observing:
                journal.same(reference, raw)
            return _settled(row, entry, journal.run)
        unconfirmed = entry is not None and entry.state in {"sending", "unknown"}
        known = entry is not None and entry.id is not None
        return Item(row, draft, reference, raw, payload, known, entry.at if entry and unconfirmed else None)


class Seen:
    """The references of a source so far, in a temporary file: a million of them must not fill the memory."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {setting}").close()
        self._connection.execute(
            "CREATE TABLE seen (reference TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID"
        )

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def repeated(self, named: Sequence[tuple[str, int]]) -> dict[int, int]:
        """Take note of references with their row numbers; the rows that repeat one, with the row they repeat."""
        insert = "INSERT OR IGNORE INTO seen VALUES (?, ?)"
        self._connection.execute("BEGIN")
        added = self._connection.executemany(insert, named).rowcount if named else 0
        self._connection.execute("COMMIT")
        if added == len(named):
            return {}
        first = {
            reference: self._connection.execute("SELECT number FROM seen WHERE reference = ?", [reference]).fetchone()[
                0
            ]
            for reference, _ in named
        }
        return {number: first[reference] for reference, number in named if first[reference] != number}


def _settled(row: Row, entry: Entry, run: int) -> Outcome:
    """The outcome of a row that the gateway holds: what it was in this run, else unchanged."""
    mine = entry.run == run and entry.result is not None
    status: Status = entry.result if mine else "unchanged"  # type: ignore[assignment]  # written by us
    return Outcome(row.number, row.reference, status, entry.id, place=row.place, replayed=mine)


def _invalid(row: Row, reason: str, code: str) -> Outcome:
    draft = row.draft
    return Outcome(row.number, row.reference, "invalid", reason=reason, code=code, place=row.place, draft=draft)


def _duplicate(row: Row, first: int) -> Outcome:
    reason = f"{row.place or f'row {row.number}'}: row {first} has the same reference; only that one is sent"
    code = "duplicate reference"
    return Outcome(row.number, row.reference, "duplicate", reason=reason, code=code, place=row.place, draft=row.draft)
