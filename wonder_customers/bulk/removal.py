"""Deletes the customers missing from the source."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import anyio.to_thread
from attrs import define

from wonder_customers._core.waits import StopSignal
from wonder_customers.bulk.batches import for_each
from wonder_customers.bulk.journal.entries import LATE_ATTEMPT, UNCONFIRMED
from wonder_customers.bulk.journal.removals import Candidate, Missing, Removals
from wonder_customers.bulk.missing_from_source import MissingFromSource
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.writer import error_code, refuses_access
from wonder_customers.dialects.base import Account, Operation
from wonder_customers.errors import CallError, ConfigurationError, InvalidRecordError, NotFoundError
from wonder_customers.records import Customer
from wonder_customers.session import CustomerSession

__all__ = ["Removal", "check_deletion", "count_missing"]

_TOGETHER = 50
"""The number of customers that are recorded as ``removing`` together."""


def check_deletion(account: Account) -> None:
    """Raise `ConfigurationError` unless the gateway can delete customers."""
    dialect = account.dialect()
    reason = dialect.unsupported_operations.get(Operation.DELETE)
    if reason is not None:
        raise ConfigurationError(
            f"{dialect.gateway} cannot delete customers: {reason}. Set removed to 'report' (--removed report) to count"
            " the customers missing from the source without deleting them."
        )


def count_missing(records: Removals, found: MissingFromSource, missing: Missing) -> None:
    """Count the customers missing from the source."""
    for page in records.written(missing):
        for it in page:
            found.add(it.reference, it.id)
    found.rows_before, found.counted = records.rows_before(), True


@define(eq=False)
class Removal:
    """Deletes the customers missing from the source.

    Attributes:
        missing: Returns the references that are not in the source.
        wait_for_window: Waits until the confirmation window of earlier processes ends or the job stops.
        report: Called with the outcome of each customer.
    """

    session: CustomerSession[Any]
    records: Removals
    missing: Missing
    stop: StopSignal
    wait_for_window: Callable[[], Awaitable[None]]
    report: Callable[[Outcome], Awaitable[None]]

    async def run(self, workers: int) -> None:
        """Delete the customers, until the job stops."""
        with closing(self.records.written(self.missing)) as pages:
            while (page := await anyio.to_thread.run_sync(next, pages, None)) is not None:
                for first in range(0, len(page), _TOGETHER):
                    if self.stop.is_set:
                        return
                    part = page[first : first + _TOGETHER]
                    await self.records.announce([it.reference for it in part])
                    await for_each(part, self._remove, workers)

    async def _remove(self, it: Candidate) -> None:
        if it.state != "done" or it.code == LATE_ATTEMPT:
            # An earlier write may still be applied, and would create the customer again.
            await self.wait_for_window()
        if self.stop.is_set:
            self.records.revert(it)
            return
        try:
            outcome = await self._delete(it)
        except CallError as error:
            fatal = refuses_access(error)
            if fatal or error.applied == "no":
                self.records.revert(it)
            if fatal:
                raise
            outcome = _kept(it, error.reason, error_code(error), error)
        except InvalidRecordError:
            self.records.revert(it)
            outcome = _kept(it, "the id that the gateway returned for the customer cannot be used", "unusable id")
        if outcome.ok or outcome.applied != "no" or not self.stop.is_set:
            await self.report(outcome)

    async def _delete(self, it: Candidate) -> Outcome:
        customer = await self._existing(it)
        if customer is None:
            self.records.done(it.reference, None, late=False)
            return Outcome(0, it.reference, "removed", it.id)
        if customer.reference != it.reference:
            self.records.revert(it)
            return _kept(it, "the customer now has another reference at the gateway", "other reference")
        try:
            response = await self.session.raw.delete(customer.id)
        except NotFoundError:  # another program has deleted it in the meantime
            self.records.done(it.reference, customer.id, late=False)
            return Outcome(0, it.reference, "removed", customer.id)
        self.records.done(it.reference, customer.id, late=response.late_attempt)
        return Outcome(0, it.reference, "removed", customer.id, applied="yes", attempts=response.attempts)

    async def _existing(self, it: Candidate) -> Customer | None:
        """Return the customer; None if it does not exist or is deleted."""
        if it.id is not None:
            customer = await _found(self.session.get(it.id))
            if customer is not None and not customer.deleted:
                return customer
        # An unconfirmed write may have created another customer.
        if it.state in UNCONFIRMED:
            return await _found(self.session.get_by_reference(it.reference))
        return None


async def _found(read: Awaitable[Customer]) -> Customer | None:
    """Return the customer that `read` returns; None if it does not exist."""
    try:
        return await read
    except NotFoundError as error:
        if not error.certain:
            raise
        return None


def _kept(it: Candidate, reason: str, code: str, error: CallError | None = None) -> Outcome:
    reason = reason.rstrip(".")
    text = f"the customer is missing from the source and was not removed: {reason}"
    if error is None:
        return Outcome(0, it.reference, "kept", it.id, text, code)
    if error.applied != "no":
        text = (
            f"the deletion of a customer missing from the source is not confirmed: {reason}. The deletion may have been"
            " applied: the next run reads the customer first"
        )
    return Outcome(0, it.reference, "kept", it.id, text, code, error.applied, error.attempts, error=error)
