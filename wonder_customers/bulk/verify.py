"""Verification: compares the customers at the gateway with the source."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from math import sqrt
from types import NoneType
from typing import Any, Final, Literal

import anyio.to_thread
from attrs import define, field, frozen

from wonder_customers._core.arguments import check_type
from wonder_customers._core.operations import read_back
from wonder_customers.bulk.batches import Batches, for_each
from wonder_customers.bulk.change_filter import ChangeFilter, PendingRow
from wonder_customers.bulk.empty_cells import EmptyRule, apply_rule
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.journal.removals import Missing, Removals
from wonder_customers.bulk.options import Options, Rows, check_job
from wonder_customers.bulk.rows import Outcome
from wonder_customers.errors import AmbiguousReferenceError, CallError, ConfigurationError, NotFoundError
from wonder_customers.records import CustomerDraft
from wonder_customers.secret import concealed_coroutine
from wonder_customers.session import CustomerSession

__all__ = ["Finding", "Verification", "verify", "wilson"]

Result = Literal[
    "equal", "normalized", "different", "missing", "ambiguous", "invalid", "failed", "unsent", "removed", "present"
]
"""``normalized``: equal after normalisation, such as of the case of an e-mail address. ``invalid``: the row
cannot be sent. ``failed``: the row failed when it was last sent, according to the journal. ``unsent``: not applied
according to the journal, or a repeated reference. ``removed``
and ``present``: a customer that was removed because it is missing from the source; the gateway does not have it
(``removed``) or still has it (``present``)."""

_LEFT_OUT: Final = frozenset({"invalid", "failed", "unsent"})
_RIGHT: Final = frozenset({"equal", "normalized", "removed"})

MOST_FINDINGS = 1000


@frozen
class Finding:
    """The result for one row or one removed customer.

    Attributes:
        number: The number of the row; 0 for a customer missing from the source.
        reference: The customer's reference.
        result: The result.
        fields: The fields that differ.
        changed: Whether the row has changed since the journal recorded it.
        reason: For an ``invalid`` row, its location and why it cannot be sent; otherwise None.
    """

    number: int
    reference: str | None
    result: Result
    fields: tuple[str, ...] = ()
    changed: bool = False
    reason: str | None = None


@define
class Verification:
    """The result of reading customers back.

    Attributes:
        rows: The number of rows of the source.
        checked: The number of rows and removed customers that were read back.
        counts: Rows and removed customers by result.
        normalized: For each field, the number of rows whose value equals the gateway's only after normalisation.
        changed: The number of rows that have changed since the journal recorded them.
        findings: Rows and removed customers that are not as expected, before those that were not compared; at most
            `MOST_FINDINGS`.
    """

    rows: int = 0
    checked: int = 0
    counts: "Counter[str]" = field(factory=Counter)
    normalized: "Counter[str]" = field(factory=Counter)
    changed: int = 0
    findings: list[Finding] = field(factory=list)

    @property
    def wrong(self) -> int:
        """The number of rows and removed customers that were read back and are not as expected."""
        return self.not_equal - sum(self.counts[result] for result in _LEFT_OUT)

    @property
    def not_equal(self) -> int:
        """The number of rows and removed customers that are not as expected or were not compared."""
        return self.counts.total() - sum(self.counts[result] for result in _RIGHT)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% confidence interval for the proportion of `wrong`, as two fractions from 0 to 1."""
        return wilson(self.wrong, self.checked)

    def add(self, finding: Finding) -> None:
        """Add a result."""
        self.counts[finding.result] += 1
        self.changed += finding.changed
        self.checked += finding.result not in _LEFT_OUT
        if finding.result not in _RIGHT:
            # A long list of rows that were not compared must not hide a difference.
            where = len(self.findings) if finding.result in _LEFT_OUT else self.wrong - 1
            self.findings.insert(where, finding)
            del self.findings[MOST_FINDINGS:]


def wilson(wrong: int, of: int) -> tuple[float, float]:
    """Return the 95% confidence interval (Wilson score) of a proportion."""
    if of == 0:
        return 0.0, 1.0
    z, proportion = 1.959964, wrong / of
    middle = proportion + z * z / (2 * of)
    width = z * sqrt(proportion * (1 - proportion) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)


@concealed_coroutine
async def verify(
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: Journal | None = None,
    options: Options | None = None,
    sample: int | None = None,
    rng: random.Random | None = None,
) -> Verification:
    """Read every customer of the source back, or a random sample of them, and compare.

    With a journal, rows that were not applied are not compared, and removed customers are expected to be absent.

    Args:
        session: An open session.
        rows: The source.
        journal: The journal of the job; None to compare without a journal.
        options: The options of the job. `Options.empty`, `Options.workers` and `Options.retry` apply.
        sample: The number of rows, and of removed customers, to read back; None for all.
        rng: The random number generator that draws the sample; None for a new generator.

    Raises:
        ConfigurationError: The source or the journal cannot be read, the journal belongs to another account, or an
            argument is invalid.
        CallError: A customer could not be read.
    """
    check_job(session, journal, options)
    chosen, found = options or Options(), Verification()
    lookups, workers = session.with_options(retry=chosen.retry), chosen.workers
    check_type("rng", rng, (random.Random, NoneType), "a random.Random")
    rng = rng or random.Random()  # noqa: S311 - not for secrets
    # The drafts are compared as they are in the source.
    valid = ChangeFilter(lookups, None, Options(empty="keep"))

    async with Batches(rows) as batches:  # closes the source, also if an argument is invalid
        if journal is not None:
            await anyio.to_thread.run_sync(journal.check, session.account)
        check_type("sample", sample, (int, NoneType), "a whole number")
        if sample is not None and sample < 1:
            raise ConfigurationError(f"sample must be at least 1, not {sample}. Nothing was read back.")
        with valid, nullcontext() if journal is None else journal.reader() as find:
            comparison = _Comparison(lookups, journal, find, chosen.empty, found)
            if sample is not None:
                await for_each(await _sampled(batches, valid, sample, rng), comparison.check, workers)
            else:
                while (batch := await batches.next(valid)) is not None:
                    items: list[Outcome | PendingRow] = [*batch[0], *batch[1]]
                    await for_each(items, comparison.check, workers)
            if journal is not None:
                for page in _removed(Removals(journal), valid.missing, sample, rng):
                    await for_each(page, comparison.check_absent, workers)
    found.rows = batches.read
    return found


def _removed(records: Removals, missing: Missing, sample: int | None, rng: random.Random) -> Iterator[list[str]]:
    """Yield the references of removed customers to check."""
    pages = ([it.reference for it in page] for page in records.removed(missing))
    if sample is None:
        yield from pages
        return
    every = [reference for page in pages for reference in page]
    yield rng.sample(every, min(sample, len(every)))


async def _sampled(batches: Batches, valid: ChangeFilter, size: int, rng: random.Random) -> list[Outcome | PendingRow]:
    """Return a uniform random sample of the rows."""
    chosen: list[Outcome | PendingRow] = []
    seen = 0
    while (batch := await batches.next(valid)) is not None:
        items: list[Outcome | PendingRow] = [*batch[0], *batch[1]]
        for row in items:
            seen += 1
            # Reservoir sampling, because the number of rows is not known.
            if seen <= size:
                chosen.append(row)
            elif (drawn := rng.randrange(seen)) < size:
                chosen[drawn] = row
    return chosen


@define(eq=False)
class _Comparison:
    """Compares rows with the gateway and with the journal."""

    session: CustomerSession[Any]
    journal: Journal | None
    find: Callable[[Sequence[str]], dict[str, Entry]] | None
    empty: EmptyRule
    found: Verification

    async def check(self, row: Outcome | PendingRow) -> None:
        """Check a row, which is an outcome if it is invalid or repeats a reference."""
        if isinstance(row, PendingRow):
            self.found.add(await self._finding(row))
        elif row.status == "invalid":
            self.found.add(Finding(row.number, row.reference, "invalid", reason=row.reason))
        else:
            self.found.add(Finding(row.number, row.reference, "unsent"))

    async def check_absent(self, reference: str) -> None:
        """Check that the gateway does not have a removed customer."""
        result: Result = "present"
        try:
            await self.session.raw.get_by_reference(reference)
        except NotFoundError as error:
            if not error.certain:
                raise
            result = "removed"
        except AmbiguousReferenceError:
            pass
        self.found.add(Finding(0, reference, result))

    async def _finding(self, pending: PendingRow) -> Finding:
        row, draft, reference = pending.row, pending.draft, pending.reference
        entry = None if self.find is None else self.find([reference]).get(reference)
        if self.find is not None and (entry is None or entry.state in {"failed", "held", "removed"}):
            failed = entry is not None and entry.state == "failed"
            return Finding(row.number, reference, "failed" if failed else "unsent")
        recorded = None if entry is None else entry.fields
        cells = apply_rule(self.session, draft, row.columns, recorded, rule=self.empty, journaled=False)
        changed = bool(cells.cleared) or self._changed(draft if self.empty == "own" else cells.draft, entry)
        try:
            response = await read_back(self.session.raw, reference, draft)
        except NotFoundError as error:
            if not error.certain:
                raise
            return Finding(row.number, reference, "missing", changed=changed)
        except AmbiguousReferenceError:
            return Finding(row.number, reference, "ambiguous", changed=changed)
        except CallError as error:
            error.add_note(f"The verification ended at {row.position}, whose customer could not be read.")
            raise
        compared = self.session.compare(cells.draft, response.record)
        self.found.normalized.update(compared.normalized)
        result: Result = "different" if compared.different else "normalized" if compared.normalized else "equal"
        return Finding(row.number, reference, result, compared.different, changed)

    def _changed(self, draft: CustomerDraft, entry: Entry | None) -> bool:
        """Return whether the row has changed since the journal recorded it."""
        if self.journal is None or entry is None or entry.payload is None:
            return False
        return self.journal.digests.payload(self.session.payload(draft)) != entry.payload
