"""Sends one row: records it as ``sending``, sends it, and records the outcome."""

from collections.abc import Callable
from time import time
from typing import Any

import anyio
from attrs import define

from wonder_customers.bulk.change_filter import PendingRow
from wonder_customers.bulk.journal.entries import RowJournal, State
from wonder_customers.bulk.rows import Outcome, Status
from wonder_customers.bulk.tries import PASSING, Count, Halted, Trier
from wonder_customers.errors import AuthenticationError, CallError, GatewayError, NotFoundError, PermissionDeniedError
from wonder_customers.records import Applied, Customer, Response
from wonder_customers.session import CustomerSession

__all__ = ["RowWriter"]


@define(eq=False)
class RowWriter:
    """Sends rows over one session and records their outcomes.

    Attributes:
        session: The session.
        journal: The journal; None for none.
        trier: Makes the calls.
        sleep: Waits.
        wall: Unix time.
    """

    session: CustomerSession[Any]
    journal: RowJournal | None
    trier: Trier
    sleep: Callable[[float], Any] = anyio.sleep
    wall: Callable[[], float] = time

    async def write(self, item: PendingRow) -> Outcome | None:
        """Send one row.

        Returns:
            The outcome; None if the job stopped before the row was sent.

        Raises:
            AuthenticationError, PermissionDeniedError: The gateway refused the credentials, so no row can be sent. The
                row is recorded as held.
            BulkError: The journal cannot be written; nothing was sent.
        """
        unconfirmed, count = item.unconfirmed_since is not None, Count()
        try:
            response = await self._settled(item, count) if unconfirmed else None
            if response is None:
                await self._announced(item)
                unconfirmed = False
                once = item.draft.payment_source is not None
                response = await self.trier.call(self.session.raw.upsert, item.draft, once=once, count=count)
        except CallError as error:
            return self._failed(item, error, count.tried, unconfirmed=unconfirmed or count.unconfirmed)
        except Halted:
            if self.journal is not None and not unconfirmed:
                self.journal.ended(item.reference, "held", 0, None)
            return None
        return self._arrived(item, response, count.tried)

    async def _announced(self, item: PendingRow) -> None:
        """Record that a request will be sent, and wait until the record is on disk."""
        if self.journal is not None:
            await self.journal.sending(item.reference, item.row.number, item.raw, item.payload)

    async def _settled(self, item: PendingRow, count: Count) -> Response[Customer] | None:
        """Look up the result of an earlier write with an unknown outcome; None if the row has to be sent.

        The gateway may still apply a write of a process that was killed. A different body is therefore sent only after
        the confirmation window.
        """
        try:
            response = await self.trier.call(self.session.raw.get_by_reference, item.reference, count=count)
        except NotFoundError:
            response = None
        if response is not None and not self.session.differences(item.draft, response.record):
            return response
        confirmation_window = self.trier.tries.confirmation_window
        left = (item.unconfirmed_since or 0.0) + confirmation_window - self.wall()
        if left > 0:
            # A clock that was set back must not extend the wait beyond the confirmation window.
            await self.sleep(min(left, confirmation_window))
        return None

    def _arrived(self, item: PendingRow, response: Response[Customer], tried: int) -> Outcome:
        row, result, held = item.row, _result(item, response), response.record.id
        if self.journal is not None:
            digests = (item.raw, item.payload)
            self.journal.done(item.reference, row.number, *digests, result=result, id=held, attempts=tried)
        return Outcome(row.number, item.reference, result, held, applied="yes", attempts=tried, place=row.place)

    def _failed(self, item: PendingRow, error: CallError, tried: int, *, unconfirmed: bool) -> Outcome:
        applied: Applied = "unknown" if unconfirmed and error.applied == "no" else error.applied
        code = _code(error)
        if self.journal is not None:
            state = _state(error, applied, stopping=self.trier.stopping.is_set())
            self.journal.ended(item.reference, state, tried, code)
        if isinstance(error, (AuthenticationError, PermissionDeniedError)):
            raise error
        row = item.row
        return Outcome(
            row.number,
            item.reference,
            "failed",
            error.id,
            f"{row.place or f'row {row.number}'}: {error.reason}. {_SAID[applied]}",
            code,
            applied,
            tried,
            error.request_id,
            row.place,
            error=error,
            draft=item.draft,
        )


_SAID = {
    "no": "Nothing was applied.",
    "yes": "The gateway applied it.",
    "unknown": "It may have been applied: the next run looks the customer up first.",
}


def _state(error: CallError, applied: Applied, *, stopping: bool) -> State:
    if applied != "no":
        return "unknown"
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return "held"
    return "held" if stopping and isinstance(error, PASSING) else "failed"


def _code(error: CallError) -> str:
    """Return a short failure code for counting, without the gateway's free text."""
    words = [type(error).__name__]
    if isinstance(error, GatewayError):
        words += [str(error.status), *([error.code[:40]] if error.code else [])]
    return " ".join(words)


def _result(item: PendingRow, response: Response[Customer]) -> Status:
    """Return whether the customer is new.

    The journal knows the customers of earlier runs. Otherwise HTTP 201, or a customer that was last changed when it was
    made, is a creation. Wonder's responses show neither, so the result is ``written``.
    """
    if item.known:
        return "updated"
    made, changed = response.record.created_at, response.record.updated_at
    if response.status == 201:
        return "created"
    if made is None:
        return "written"
    return "created" if changed is None or (changed - made).total_seconds() < 1 else "updated"
