"""Sends one row and records its outcome."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from attrs import define, fields

from wonder_customers._core.operations import read_back
from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock
from wonder_customers.bulk.change_filter import PendingRow
from wonder_customers.bulk.journal.entries import RowJournal, State
from wonder_customers.bulk.rows import Outcome, Status
from wonder_customers.errors import (
    AuthenticationError,
    CallError,
    ConflictError,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidResponseError,
    NoResponseError,
    NotFoundError,
    NotSentError,
    PermissionDeniedError,
    RateLimitError,
)
from wonder_customers.records import Address, Applied, Customer, CustomerDraft, Phone, Response
from wonder_customers.secret import without_frames
from wonder_customers.session import CustomerSession

__all__ = ["TRANSIENT", "RowWriter", "error_code", "refuses_access"]

_CREATION: Final = timedelta(seconds=1)
"""The maximum difference between the times of creation and of the last change of a customer that is new."""
TRANSIENT: Final = (
    NotSentError,
    NoResponseError,
    DeadlineExceededError,
    InvalidResponseError,
    ConflictError,
    RateLimitError,
    GatewayUnavailableError,
)
"""Errors that can be temporary, so that a later run may succeed."""


@define(eq=False)
class RowWriter:
    """Sends rows over one session and records their outcomes.

    Attributes:
        stop: Ends all waits when the job is stopping.
        confirm_after: The end of the confirmation window for writes of earlier processes, on the monotonic clock.
        observe: Called with the duration of each successful call in seconds.
    """

    session: CustomerSession[Any]
    journal: RowJournal | None
    stop: StopSignal
    confirm_after: float
    observe: Callable[[float], None]

    async def write(self, row: PendingRow) -> Outcome | None:
        """Send one row and return its outcome; None if the row is left to a later run."""
        unconfirmed = row.unconfirmed
        try:
            response = await self._confirm(row) if unconfirmed else None
            # A lookup shows that one attempt was applied. Another attempt may still be in progress.
            late = response is not None
            if response is None:
                if unconfirmed and self.stop.is_set:
                    return None
                if unconfirmed and self.journal is not None:
                    await self.journal.announce([row.announcement])
                unconfirmed = False
                if row.id is not None:
                    self.session.raw._remember(row.reference, row.id)  # noqa: SLF001 - not for applications
                if row.checked is None:
                    response = await self.session.raw.upsert(row.draft)
                else:
                    response = await self.session.raw._upsert_checked(row.checked)  # noqa: SLF001 - not for applications
                late = response.late_attempt
        except CallError as error:
            return self._failed(row, error, unconfirmed=unconfirmed)
        self.observe(response.elapsed)
        return self._succeeded(row, response, late=late)

    async def write_again(self, row: PendingRow, outcome: Outcome) -> Outcome | None:
        """Resend a row that failed in an outage."""
        if outcome.applied != "no":
            row = row._replace(unconfirmed=True)
        elif self.journal is not None and not row.unconfirmed:
            await self.journal.announce([row.announcement])
        return await self.write(row)

    def hold(self, row: PendingRow) -> None:
        """Leave a row to a later run."""
        if self.journal is not None and not row.unconfirmed:
            self.journal.ended(row.reference, "held", 0, None)

    async def _confirm(self, row: PendingRow) -> Response[Customer] | None:
        """Look up the customer of a row with an unconfirmed write."""
        # The earlier write may still be applied, so another body is compared only after the window.
        if row.superseded:
            await self.wait_for_window()
        try:
            response = await read_back(self.session.raw, row.reference, row.draft)
        except NotFoundError:
            response = None
        if response is not None:
            differing = self.session.compare(row.draft, response.record).different
            if not differing and _is_comparable(row.draft, response.record):
                return response
        await self.wait_for_window()
        return None

    async def wait_for_window(self) -> None:
        """Wait until the confirmation window ends or the job stops."""
        left = self.confirm_after - clock.monotonic()
        if left > 0:
            with self.stop.interrupting():
                await clock.sleep(left)

    def _succeeded(self, row: PendingRow, response: Response[Customer], *, late: bool) -> Outcome:
        result, held = _result(row, response), response.record.id
        attempts, source = response.attempts, row.row
        if self.journal is not None:
            confirmed = (row.reference, source.number, row.raw, row.payload, row.cells.confirmed)
            self.journal.done(confirmed, result=result, id=held, attempts=attempts, late=late)
        # Positional arguments are faster, and this is called for every row that is sent.
        return Outcome(
            source.number, row.reference, result, held, None, None, "yes", attempts, None, source.place,
            row.cells.cleared,
        )  # fmt: skip

    def _failed(self, row: PendingRow, error: CallError, *, unconfirmed: bool) -> Outcome | None:
        fatal = refuses_access(error)
        applied: Applied = "unknown" if unconfirmed and error.applied == "no" else error.applied
        stopped = self.stop.is_set and isinstance(error, TRANSIENT) and error.applied == "no"
        code = error_code(error)
        if self.journal is not None and not (stopped and unconfirmed):
            state: State = "unknown" if applied != "no" else "held" if fatal or stopped else "failed"
            self.journal.ended(row.reference, state, error.attempts, code)
        if fatal:
            raise error
        if stopped:
            return None
        without_frames(error, keep_others=True)  # they contain the row
        source = row.row
        return Outcome(
            source.number,
            row.reference,
            "failed",
            error.id,
            f"{source.position}: {error.reason.rstrip('.')}. {_APPLIED[applied]}",
            code,
            applied,
            error.attempts,
            error.request_id,
            source.place,
            error=error,
            draft=row.draft,
        )


_APPLIED: Final = {
    "no": "Nothing was applied.",
    "yes": "The gateway applied the row.",
    "unknown": "The row may have been applied. With a journal, the next run looks up the customer first.",
}


def refuses_access(error: CallError) -> bool:
    """Return whether the gateway refused the credentials or the operation, and not a firewall this record."""
    return isinstance(error, (AuthenticationError, PermissionDeniedError)) and error.certain


def error_code(error: CallError) -> str:
    """Return a short failure code for counting."""
    words = [type(error).__name__]
    if isinstance(error, GatewayError):
        words += [str(it)[:40] for it in (error.status, error.code) if it]
    return " ".join(words)


def _result(row: PendingRow, response: Response[Customer]) -> Status:
    """Return the status of a row that the gateway confirmed."""
    # Paydock creates a known customer again if it was archived at the gateway.
    if response.status == 201:
        return "created"
    if row.id is not None:
        return "updated"
    made, changed = response.record.created_at, response.record.updated_at
    # Wonder's responses have no time of creation.
    if made is None:
        return "written"
    return "created" if changed is None or changed - made < _CREATION else "updated"


def _is_comparable(draft: CustomerDraft, customer: Customer) -> bool:
    """Return whether the fields that `draft` sends can be read back."""
    for attribute in fields(CustomerDraft):
        sent, held = getattr(draft, attribute.name), getattr(customer, attribute.name, None)
        if (
            sent is None
            or attribute.name == "clear"
            or (attribute.name == "name" and held is None and customer.first_name is not None)
        ):
            continue
        if held is None:
            return False
        if isinstance(sent, (Address, Phone)) and any(
            getattr(sent, part.name) is not None and getattr(held, part.name) is None for part in fields(type(sent))
        ):
            return False
    return True
