"""The dry run: reports what a job would do."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import anyio.to_thread
from attrs import define, field

from wonder_customers._core.arguments import check_type
from wonder_customers._core.operations import read_back
from wonder_customers.bulk.batches import Batches, for_each
from wonder_customers.bulk.change_filter import ChangeFilter, PendingRow
from wonder_customers.bulk.empty_cells import flat_values
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.removals import Removals
from wonder_customers.bulk.missing_from_source import MissingFromSource, RemovalLimit, removal_problem
from wonder_customers.bulk.options import Options, Rows, check_job
from wonder_customers.bulk.removal import check_deletion, count_missing
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.sources import RowReader
from wonder_customers.bulk.sources.notes import SourceNotes, masked
from wonder_customers.bulk.stats import LimitMonitor
from wonder_customers.bulk.stop_reasons import Thresholds
from wonder_customers.bulk.writer import error_code, refuses_access
from wonder_customers.dialects.base import Call
from wonder_customers.errors import (
    AmbiguousReferenceError,
    CallError,
    ConfigurationError,
    InvalidRecordError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
)
from wonder_customers.records import CLEAR, Customer, CustomerDraft, Phone
from wonder_customers.secret import concealed_coroutine
from wonder_customers.session import CustomerSession
from wonder_customers.wire import Replay

__all__ = ["Difference", "Plan", "plan"]

MOST_EXAMPLES = 20
_MOST_OF_A_REASON = 5
MOST_SAMPLES = 3


@define
class Difference:
    """A row that would change a customer, or create one.

    Attributes:
        number: The number of the row.
        reference: The customer's reference.
        fields: The names of the changed fields.
        values: The masked values before and after, in the order of the fields. A missing value is an empty string.
    """

    number: int
    reference: str
    fields: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = ()


@define
class Plan:
    """What a job would do.

    Attributes:
        rows: Rows of the source that belong to the job.
        creates: Customers that do not exist at the gateway, according to a lookup.
        updates: Existing customers that would be written, according to a lookup or to the journal.
        unchanged: Rows that would not be sent, because the gateway already has their values.
        open: Rows that would be sent, and whose customers may be new or existing.
        invalid: Rows that cannot be sent, without `duplicates`.
        duplicates: Rows that repeat the reference of another row.
        unconfirmed: Rows with an earlier write of unknown outcome, without those that the plan found to be equal.
            Included in the counts above.
        clears: Rows that clear a field, by field.
        uncleared: Rows with an empty cell whose field the gateway cannot clear, by field.
        looked_up: Rows for which the gateway was queried.
        differences: The first customers that would change, according to a lookup; with `diff`, also new customers.
        differing: The number of customers that would change, counted like `differences`.
        problems: The first rows that cannot be sent, at most five for one reason.
        reasons: Rows that cannot be sent, by code.
        systematic: Why `sync` would stop at a batch with many invalid rows; None if it would not stop.
        samples: The first request bodies, with masked values.
        missing_from_source: The customers missing from the source, and what happens to them.
        notes: The columns, and the changes made while the source was read.
        requests: The approximate number of requests that the job would send, until it would stop early.
        rate: The maximum number of requests per second; None if none is set.
    """

    rows: int = 0
    creates: int = 0
    updates: int = 0
    unchanged: int = 0
    open: int = 0
    invalid: int = 0
    duplicates: int = 0
    unconfirmed: int = 0
    clears: "Counter[str]" = field(factory=Counter)
    uncleared: "Counter[str]" = field(factory=Counter)
    looked_up: int = 0
    differences: list[Difference] = field(factory=list)
    differing: int = 0
    problems: list[Outcome] = field(factory=list)
    reasons: "Counter[str]" = field(factory=Counter)
    systematic: str | None = None
    samples: list[dict[str, Any]] = field(factory=list)
    missing_from_source: MissingFromSource = field(factory=MissingFromSource)
    notes: SourceNotes = field(factory=SourceNotes)
    requests: int = 0
    rate: float | None = None

    @property
    def seconds(self) -> float | None:
        """The estimated duration of the job at its rate; None without a rate."""
        return None if self.rate is None else self.requests / self.rate

    @property
    def adds_up(self) -> bool:
        """Whether the counts of rows add up to `rows`."""
        sent = self.creates + self.updates + self.open
        return self.rows == sent + self.unchanged + self.invalid + self.duplicates


@concealed_coroutine
async def plan(
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: Journal | None = None,
    options: Options | None = None,
    look_up: int = 1000,
    diff: bool = False,
) -> Plan:
    """Report what a job would do. Nothing is written to the gateway or to the journal.

    Args:
        session: An open session. The duration of the job is estimated from its rate limit.
        rows: The rows of the job.
        journal: The job's journal; None for a job without a journal.
        options: The options of the job. `Options.workers` and `Options.retry` apply to the lookups.
        look_up: The maximum number of rows to look up at the gateway.
        diff: Whether to look up changed rows too, and to keep the differences of all rows that are looked up, including
            new rows.

    Raises:
        ConfigurationError: The source or the journal cannot be read, the journal belongs to another account, an
            argument is invalid, or the gateway cannot delete customers.
        CallError: A lookup failed for a reason that does not concern a single row.
    """
    check_job(session, journal, options)
    notes = rows.notes if isinstance(rows, RowReader) else SourceNotes()
    chosen = options or Options()
    deletes = chosen.removed == "delete"
    missing = MissingFromSource(chosen.removed)
    found = Plan(rate=LimitMonitor(session.rate_limit).rate, missing_from_source=missing, notes=notes)
    thresholds, requests = Thresholds(share=chosen.failure_share), 0
    lookups = session.with_options(retry=chosen.retry)
    batches = Batches(rows, chosen.first)
    change_filter = ChangeFilter(session, journal, chosen, read_only=True, notes=notes)
    async with batches:  # closes the source, also if an argument is invalid
        check_type("look_up", look_up, (int,), "a whole number")
        check_type("diff", diff, (bool,), "True or False")
        if look_up < 0:
            raise ConfigurationError(f"look_up must be at least 0, not {look_up}. Nothing was looked up.")
        if journal is not None:
            await anyio.to_thread.run_sync(journal.check, session.account)
        if deletes:
            check_deletion(session.account)
        with change_filter:
            while (batch := await batches.next(change_filter)) is not None:
                outcomes, pending = batch
                _add_outcomes(found, outcomes)
                found.systematic = found.systematic or thresholds.count_invalid(outcomes, len(outcomes) + len(pending))
                for item in pending[: MOST_SAMPLES - len(found.samples)]:
                    found.samples.append(_masked(session.payload(item.draft)))
                selected = [item for item in pending if diff or item.unconfirmed or item.id is None]
                selected = selected[: max(0, look_up - found.looked_up)]
                found.looked_up += len(selected)
                results = await _look_up(lookups, selected, chosen.workers)
                for item in pending:
                    _count(found, item, results, most=look_up if diff else MOST_EXAMPLES, diff=diff)
                if found.systematic is None:  # no row of a batch that stops the job is sent
                    sent = found.creates + found.updates + found.open
                    requests = found.requests + round(sent * requests_per_upsert(session)) + found.unconfirmed
            await anyio.to_thread.run_sync(change_filter.note_near_duplicates)
            # Like a job, which counts the missing customers only after it has processed the whole source.
            whole = chosen.only == "all" and not batches.cut_short
            if whole and journal is not None and (deletes or isinstance(rows, RowReader)):
                await anyio.to_thread.run_sync(count_missing, Removals(journal), missing, change_filter.missing)
    found.rows = batches.read - change_filter.skipped
    if deletes and whole:
        limit = RemovalLimit.parse(chosen.max_removed)
        problem = removal_problem(missing, found.rows, found.invalid + found.duplicates, limit)
        missing.problem = None if problem is None else problem[0]
    found.requests = requests + (2 * missing.count if deletes and missing.problem is None else 0)
    return found


def _masked(value: Any) -> Any:
    """Return a request body with masked values."""
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return masked(str(value))


def _add_outcomes(found: Plan, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.ok:
            found.unchanged += 1
            continue
        found.invalid += outcome.status == "invalid"
        found.duplicates += outcome.status == "duplicate"
        found.reasons[outcome.code or "?"] += 1
        if found.reasons[outcome.code or "?"] <= _MOST_OF_A_REASON and len(found.problems) < MOST_EXAMPLES:
            found.problems.append(outcome)


async def _look_up(
    session: CustomerSession[Any], items: list[PendingRow], workers: int
) -> dict[str, "Difference | Outcome | None"]:
    """Look up the customers of rows, and return the results by reference."""
    results: dict[str, Difference | Outcome | None] = {}
    refused: list[CallError] = []

    async def look_up(item: PendingRow) -> None:
        try:
            response = await read_back(session.raw, item.reference, item.draft)
        except NotFoundError as error:
            if not error.certain:
                raise
            reason = f"{item.row.position}: {error.reason}, so the row cannot be sent"
            deleted = Outcome(item.row.number, item.reference, "invalid", error.id, reason, "deleted customer")
            results[item.reference] = None if error.id is None else deleted
        except (AmbiguousReferenceError, InvalidRequestError, InvalidResponseError, PermissionDeniedError) as error:
            # Like a job, in which such a row fails and the other rows are sent.
            if refuses_access(error):
                raise
            refused.extend(() if isinstance(error, AmbiguousReferenceError) else (error,))
            reason, code = f"{item.row.position}: {error.reason.rstrip('.')}", error_code(error)
            results[item.reference] = Outcome(item.row.number, item.reference, "invalid", None, reason, code)
        else:
            names = session.compare(item.draft, response.record).different
            values = tuple((_shown(response.record, name), _shown(item.draft, name)) for name in names)
            results[item.reference] = Difference(item.row.number, item.reference, names, values)

    await for_each(items, look_up, workers)
    if len(refused) == len(items) > 1:
        raise refused[0]  # the cause is not a single row, but for example a proxy
    return results


def _shown(record: CustomerDraft | Customer, name: str) -> str:
    """Return the masked value of a field."""
    value: Any = record
    for part in name.split(".", 1):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    if value is None and name in {"name", "first_name", "last_name"}:
        value = record.name or " ".join(filter(None, (record.first_name, record.last_name)))
    if isinstance(value, Phone):
        value = f"{value.dial_code or ''} {value.number}".strip()
    return "" if value is None or value is CLEAR else masked(str(value))


def _count(
    found: Plan, item: PendingRow, results: dict[str, "Difference | Outcome | None"], *, most: int, diff: bool
) -> None:
    found.unconfirmed += item.unconfirmed
    found.clears.update(item.cells.cleared)
    found.uncleared.update(item.cells.uncleared)
    if item.reference not in results:
        found.updates += item.id is not None
        found.open += item.id is None
        return
    differing = results[item.reference]
    if isinstance(differing, Outcome):
        _add_outcomes(found, [differing])
    elif differing is None:
        found.creates += 1
        found.differing += diff
        if diff and len(found.differences) < most:
            sent = flat_values(item.draft)
            values = tuple(("", masked(str(value))) for value in sent.values())
            found.differences.append(Difference(item.row.number, item.reference, tuple(sent), values))
    elif not differing.fields and item.unconfirmed:
        found.unchanged += 1
        found.unconfirmed -= 1
        found.requests += 1
    else:
        # A job also writes rows that are equal at the gateway but not confirmed in the journal.
        found.updates += 1
        found.differing += bool(differing.fields)
        if differing.fields and len(found.differences) < most:
            found.differences.append(differing)


def requests_per_upsert(session: CustomerSession[Any]) -> float:
    """Estimate the requests of an upsert without failures."""
    phone = Phone("+852", "51234567")
    steps = session.account.dialect().upsert(CustomerDraft("probe", "Probe", email="probe@example.com", phone=phone))
    try:
        first = next(steps)
    except InvalidRecordError:  # a gateway that requires more fields
        return 2.0
    finally:
        steps.close()
    return 2.0 if isinstance(first, Call) and first.replay is Replay.READ else 1.0
