"""Decides which rows have to be sent."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple, Self

from attrs import define, field

from wonder_customers._core.operations import CheckedDraft
from wonder_customers.bulk.empty_cells import EmptyCells, apply_rule
from wonder_customers.bulk.journal.entries import LATE_ATTEMPT, UNCONFIRMED, Announcement, Confirmed, Entry, RowJournal
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.reference_index import ReferenceIndex
from wonder_customers.bulk.rows import Outcome, Row, Status
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.errors import InvalidRecordError
from wonder_customers.records import CustomerDraft
from wonder_customers.session import CustomerSession

__all__ = ["ChangeFilter", "PendingRow"]

MOST_NEAR_DUPLICATES = 5
_OTHER_ZEROS = (
    "an earlier run sent a reference that differs only in leading zeros, which spreadsheets remove; correct the"
    " reference, or use a new journal if it is right"
)


class PendingRow(NamedTuple):  # a tuple is created faster than other objects, for every row
    """A row that has to be sent.

    Attributes:
        raw: The digest of the row's raw values; None if it is not recorded.
        payload: The digest of the request body; empty bytes without a journal.
        id: The id of the customer, if it exists according to the journal.
        unconfirmed: Whether an earlier write or deletion may have been applied or may still be applied.
        superseded: Whether that write differs from the write of this row.
    """

    row: Row
    draft: CustomerDraft
    reference: str
    raw: bytes | None
    payload: bytes
    id: str | None = None
    unconfirmed: bool = False
    superseded: bool = False
    cells: EmptyCells = EmptyCells(CustomerDraft(), "", "")
    checked: CheckedDraft | None = None

    @property
    def announcement(self) -> Announcement:
        """The journal's record of the row before it is sent."""
        return self.reference, self.row.number, self.raw, self.payload, self.cells.announced


_Found = tuple[Mapping[int, int], Mapping[int, bytes], Mapping[str, Confirmed], Mapping[str, Entry]]
"""The first rows of repeated references, the digests of raw values, the confirmed rows, and the other known rows."""


@define(eq=False)
class ChangeFilter:
    """Compares rows with the journal and with each other.

    Attributes:
        read_only: Whether the journal must not be changed.
        repeats: For a part of a source, the numbers of earlier rows with the same reference, by the number of each row
            that repeats a reference of another part.
        skipped: The number of rows that do not belong to the run.
    """

    session: CustomerSession[object]  # type: ignore[type-var]  # any account
    journal: RowJournal | None
    options: Options = field(factory=Options)
    read_only: bool = False
    repeats: Mapping[int, int] = field(factory=dict)
    notes: SourceNotes | None = None
    skipped: int = field(default=0, init=False)
    _stack: ExitStack = field(factory=ExitStack, init=False)
    _find: Callable[[Sequence[str]], dict[str, Entry]] = field(default=lambda _: {}, init=False)
    _find_confirmed: Callable[[Mapping[str, bytes]], dict[str, Confirmed]] = field(default=lambda _: {}, init=False)
    _references: ReferenceIndex = field(init=False)

    def __enter__(self) -> Self:
        self._references = self._stack.enter_context(closing(ReferenceIndex()))
        if self.journal is not None:
            self._find = self._stack.enter_context(self.journal.reader())
            if self.options.only == "all" and not self.options.full:
                self._find_confirmed = self._stack.enter_context(self.journal.confirmations())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def note_near_duplicates(self) -> None:
        """Add the near duplicates of the rows so far to the notes, which may take seconds."""
        if self.notes is not None:
            found = self._references.near_duplicates()
            self.notes.near_duplicates, self.notes.near_duplicate_rows = len(found), found[:MOST_NEAR_DUPLICATES]

    def split(self, rows: Sequence[Row]) -> tuple[list[Outcome], list[PendingRow]]:
        """Return the outcomes of rows that need no request, and the rows to send."""
        return self.decide(rows, self.find(rows))

    def find(self, rows: Sequence[Row]) -> _Found:
        """Find what `decide` requires about rows."""
        named = [(row.reference, row.number) for row in rows if row.reference is not None]
        repeats = self._references.find_repeats(named)
        if self.repeats:
            repeats |= {number: self.repeats[number] for _, number in named if number in self.repeats}
        digests: dict[int, bytes] = {}
        if self.journal is not None:
            digest = self.journal.digests.row
            digests = {row.number: digest(values) for row in rows if (values := row.raw_values) is not None}
            if self.options.empty == "clear":
                # Reversed, so that a row that a run with another rule has confirmed does not count as unchanged.
                digests = {number: found[::-1] for number, found in digests.items()}
        raw = {name: digests[number] for name, number in named if name and number in digests and number not in repeats}
        confirmed = self._find_confirmed(raw) if raw else {}
        others = [reference for reference, _ in named if reference not in confirmed]
        if self.journal is not None and self.journal.run != 1:
            others += [other for it in others for other in _with_other_zeros(it)]
        return repeats, digests, confirmed, self._find(others) if others else {}

    def decide(self, rows: Sequence[Row], found: _Found) -> tuple[list[Outcome], list[PendingRow]]:
        """Return the result of `split` for rows, or the next part of rows, for which `find` returned `found`."""
        repeats, digests, confirmed, entries = found
        outcomes: list[Outcome] = []
        pending: list[PendingRow] = []
        for row in rows:
            reference, repeated = row.reference or "", row.number in repeats
            if (settled := confirmed.get(reference)) is not None and not repeated:
                outcomes.append(_confirmed(row, settled))
                continue
            entry = entries.get(reference)
            if self.options.only == "failed" and (entry is None or entry.state in {"done", "removed"}):
                self.skipped += 1
                continue
            first = self.repeats.get(row.number)
            if repeated:  # unless all earlier rows with the reference are invalid
                first = first or self._references.first(reference)
            decision = self._decide(row, entry, digests.get(row.number)) if first is None else _duplicate(row, first)
            if entry is None and isinstance(decision, PendingRow) and self._has_lost_zeros(reference, entries):
                decision = _not_sent(row, "invalid", f"{row.position}: {_OTHER_ZEROS}", "leading zeros")
            if isinstance(decision, Outcome):
                outcomes.append(decision)
            else:
                pending.append(decision)
            if isinstance(decision, Outcome) and decision.status == "invalid":
                self._references.remove(reference)
            elif first is None and decision.reference is not None and (repeated or decision.reference != row.reference):
                self._references.find_repeats([(decision.reference, row.number)])
        if self.options.inspect is not None:
            self.options.inspect(outcomes, pending)
        return outcomes, pending

    def missing(self, references: str) -> list[str]:
        """Return the references in a JSON array that have no row."""
        # A line that looks like a total may be a customer.
        skipped = self.notes.footer_references if self.notes is not None else ()
        return [it for it in self._references.missing(references) if it not in skipped]

    def _has_lost_zeros(self, reference: str, entries: Mapping[str, Entry]) -> bool:
        """Return whether the gateway may have a customer of an earlier run whose reference has other leading zeros."""
        earlier = [it for other in _with_other_zeros(reference) if (it := entries.get(other)) and it.state != "removed"]
        run = None if self.journal is None else self.journal.run
        return any(it.run != run and (it.id is not None or it.state in UNCONFIRMED) for it in earlier)

    def _decide(self, row: Row, entry: Entry | None, raw: bytes | None) -> Outcome | PendingRow:
        journal, rule = self.journal, self.options.empty
        if journal is not None and entry is not None and raw is not None and raw == entry.raw:
            settled = self._settled(row, entry, journal, again=self.options.full)
            if settled is not None:
                return settled
        checked = _checked(self.session, row)
        if isinstance(checked, Outcome):
            return checked
        draft = checked.draft
        reference, recorded = draft.reference or "", None if entry is None else entry.fields
        cells = apply_rule(self.session, draft, row.columns, recorded, rule=rule, journaled=journal is not None)
        body = checked.body if rule == "own" or cells.draft is draft else self.session.payload(cells.draft)
        # The rule may have added fields to clear.
        kept = checked if cells.draft is draft else None
        if journal is None:
            return PendingRow(row, cells.draft, reference, None, b"", cells=cells, checked=kept)
        raw = None if cells.open else raw
        # With `own`, the fields to clear depend on earlier runs, so the row's digest does not cover them.
        payload = journal.digests.payload(body)
        if entry is None:
            return PendingRow(row, cells.draft, reference, raw, payload, cells=cells, checked=kept)
        same = entry.payload == payload and not cells.cleared
        if same or (entry.payload == payload and entry.state == "failed"):
            # Digests do not cover card fields, so a card may have changed.
            settled = self._settled(row, entry, journal, again=self.options.full or draft.payment_source is not None)
            if settled is not None:
                if settled.ok and raw is not None and not self.read_only:
                    journal.same(row.reference or "", raw)
                return settled
        held = None if entry.state in {"removing", "removed"} else entry.id
        unconfirmed = entry.state in UNCONFIRMED or entry.code == LATE_ATTEMPT
        superseded = unconfirmed and (entry.state == "removing" or not same)
        return PendingRow(row, cells.draft, reference, raw, payload, held, unconfirmed, superseded, cells, kept)

    def _settled(self, row: Row, entry: Entry, journal: RowJournal, *, again: bool) -> Outcome | None:
        """Return the outcome of a row with the values of its entry; None if it is sent (again)."""
        if entry.state == "failed" and entry.run == journal.run and self.options.only == "all":
            return _failed_before(row, entry)
        if entry.state != "done" or (again and entry.run != journal.run):
            return None
        return _confirmed(row, entry.confirmed(journal.run))


def _with_other_zeros(reference: str) -> list[str]:
    """Return a number with other leading zeros, which spreadsheets remove; an empty list for other references."""
    digits = reference.lstrip("0")
    return [it for count in range(9) if (it := "0" * count + digits) != reference] if reference.isdecimal() else []


def _checked(session: CustomerSession[Any], row: Row) -> CheckedDraft | Outcome:
    """Return the checked draft of a row, or the outcome of an invalid row."""
    draft = row.draft
    if draft is None:
        return _not_sent(row, "invalid", row.problem or "the row cannot be read", row.code)
    if draft.reference is None:
        return _not_sent(row, "invalid", f"{row.position}: the row has no reference", "no reference")
    try:
        return session.raw._checked(draft)  # noqa: SLF001 - not for applications
    except InvalidRecordError as error:
        listed = "; ".join(map(str, error.violations))
        names = ", ".join(sorted({it.field for it in error.violations}))
        return _not_sent(row, "invalid", f"{row.position}: {listed}", f"invalid {names}"[:120])


def _confirmed(row: Row, found: Confirmed) -> Outcome:
    """Return the outcome of a row that is confirmed in the journal."""
    reference, _, gateway_id, result = found
    status: Status = result or "unchanged"  # type: ignore[assignment]  # written by us
    # Positional arguments are faster, and this is called for every unchanged row.
    return Outcome(
        row.number, reference, status, gateway_id, None, None, "no", 0, None, row.place, (), result is not None
    )


def _failed_before(row: Row, entry: Entry) -> Outcome:
    """Return the outcome of a row that failed earlier in the run."""
    return Outcome(
        row.number,
        row.reference,
        "failed",
        entry.id,
        f"the row failed before the run was interrupted ({entry.code}). Send the row again with `retry-failed`",
        entry.code,
        attempts=entry.attempts,
        place=row.place,
        replayed=True,
    )


def _duplicate(row: Row, first: int) -> Outcome:
    where = f"{row.place}: " if row.place else ""
    reason = f"{where}row {row.number} has the same reference as row {first}; only row {first} is sent"
    return _not_sent(row, "duplicate", reason, "duplicate reference")


def _not_sent(row: Row, status: Status, reason: str, code: str) -> Outcome:
    original = row.original if row.draft is None else None
    return Outcome(
        row.number, row.reference, status, reason=reason, code=code, place=row.place, draft=row.draft, original=original
    )
