"""Verification: reads customers back from the gateway and compares them with the source."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from math import sqrt
from typing import Any, Literal

from attrs import define, field, frozen

from wonder_customers.bulk.batches import Batches, for_each
from wonder_customers.bulk.empty_cells import EmptyRule, apply_rule
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.options import BULK, Rows
from wonder_customers.bulk.rows import Row
from wonder_customers.errors import AmbiguousReferenceError, ConfigurationError, InvalidRecordError, NotFoundError
from wonder_customers.records import CustomerDraft
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession

__all__ = ["Finding", "Verification", "verify", "wilson"]

Result = Literal["equal", "different", "missing", "ambiguous", "unreadable"]
"""``unreadable`` rows cannot be at the gateway: they are invalid or have no reference."""

MOST_FINDINGS = 1000


@frozen
class Finding:
    """A row that could not be read, or whose customer is missing, ambiguous or different."""

    number: int
    reference: str | None
    result: Result
    fields: tuple[str, ...] = ()


@define
class Verification:
    """The result of reading customers back.

    Attributes:
        rows: The number of rows of the source.
        checked: The number of rows that were read back.
        counts: Rows by result.
        normalized: For each field, the number of rows whose value equals the gateway's only after normalisation, such
            as an e-mail address in lower case. These rows count as equal.
        findings: The first rows that differ.
    """

    rows: int = 0
    checked: int = 0
    counts: "Counter[str]" = field(factory=Counter)
    normalized: "Counter[str]" = field(factory=Counter)
    findings: list[Finding] = field(factory=list)

    @property
    def wrong(self) -> int:
        """The number of rows that were read back and differ from the source."""
        return self.checked - self.counts["equal"]

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval for the proportion of all rows that differ."""
        return wilson(self.wrong, self.checked)

    def add(self, finding: Finding) -> None:
        """Add the result of a row."""
        self.counts[finding.result] += 1
        self.checked += finding.result != "unreadable"
        if finding.result != "equal" and len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)


def wilson(wrong: int, of: int) -> tuple[float, float]:
    """Return the 95 % confidence interval (Wilson score) of a proportion, given `wrong` in a random sample of `of`."""
    if of == 0:
        return 0.0, 1.0
    z, proportion = 1.959964, wrong / of
    middle = proportion + z * z / (2 * of)
    width = z * sqrt(proportion * (1 - proportion) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)


async def verify(
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: Journal | None = None,
    empty: EmptyRule = "own",
    sample: int | None = None,
    workers: int = 16,
    retry: RetryPolicy = BULK,
    rng: random.Random | None = None,
) -> Verification:
    """Read every customer of the source back, or a random sample of them, and compare.

    Args:
        session: An open session.
        rows: The source.
        journal: The journal of the job, which records the fields that the source filled and cleared; without it, empty
            cells are not compared unless `empty` is ``clear``.
        empty: The rule for empty cells of the job.
        sample: The number of rows to read back; None for all.
        workers: The maximum number of concurrent reads.
        retry: How often and how long a read is retried.
        rng: The random number generator that draws the sample.

    Raises:
        ConfigurationError: The source cannot be read, or the sample size is invalid.
        CallError: A customer could not be read.
    """
    found = Verification()
    patient = session.with_options(retry=retry)

    async with Batches(rows) as batches, AsyncExitStack() as stack:  # closes the source, also if an argument is invalid
        find = None if journal is None else stack.enter_context(journal.reader())

        def with_cleared(row: Row, draft: CustomerDraft) -> CustomerDraft:
            entry = None if find is None else find([draft.reference or ""]).get(draft.reference or "")
            recorded = None if entry is None else entry.fields
            return apply_rule(session, draft, row.columns, recorded, rule=empty, digests=None).draft

        async def check(row: Row) -> None:
            found.add(await _finding(patient, row, found.normalized, with_cleared))

        if sample is not None and sample < 1:
            raise ConfigurationError("the sample size must be at least 1. Nothing was read back.")
        if sample is not None:
            await for_each(await _sampled(batches, sample, rng or random.Random()), check, workers)  # noqa: S311
        else:
            while batch := await batches.batch():
                await for_each(batch, check, workers)
    found.rows = batches.read
    return found


async def _sampled(batches: Batches, size: int, rng: random.Random) -> list[Row]:
    """Return a uniform random sample of `size` rows."""
    chosen: list[Row] = []
    while batch := await batches.batch():
        for index, row in enumerate(batch, batches.read - len(batch)):
            if index < size:
                chosen.append(row)
            elif (drawn := rng.randrange(index + 1)) < size:
                chosen[drawn] = row
    return chosen


async def _finding(
    session: CustomerSession[Any],
    row: Row,
    normalized: "Counter[str]",
    with_cleared: Callable[[Row, CustomerDraft], CustomerDraft],
) -> Finding:
    draft = row.draft
    if draft is None or draft.reference is None or not _valid(session, draft):
        return Finding(row.number, row.reference, "unreadable")
    try:
        response = await session.raw.get_by_reference(draft.reference)
    except NotFoundError:
        return Finding(row.number, draft.reference, "missing")
    except AmbiguousReferenceError:
        return Finding(row.number, draft.reference, "ambiguous")
    compared = session.compare(with_cleared(row, draft), response.record)
    normalized.update(compared.normalized)
    return Finding(row.number, draft.reference, "different" if compared.different else "equal", compared.different)


def _valid(session: CustomerSession[Any], draft: CustomerDraft) -> bool:
    try:
        session.validate(draft)
    except InvalidRecordError:
        return False
    return True
