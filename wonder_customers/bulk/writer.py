"""One row on its way: written as ``sending``, sent as often as it makes sense, written as what became of it."""

from collections.abc import Callable
from time import time
from typing import Any

import anyio
from attrs import define

from wonder_customers.bulk.change_filter import Item
from wonder_customers.bulk.journal.entries import RowJournal, State
from wonder_customers.bulk.rows import Outcome, Status
from wonder_customers.bulk.tries import PASSING, Count, Halted, Trier
from wonder_customers.errors import AuthenticationError, CallError, GatewayError, NotFoundError, PermissionDeniedError
from wonder_customers.records import Applied, Customer, Response
from wonder_customers.session import CustomerSession

__all__ = ["ResultWriter"]


@define(eq=False)
class ResultWriter:
    """Sends rows over one session.

    Attributes:
        session: Where to.
        journal: Where it is written down, None for nowhere.
        trier: Makes the calls.
        sleep: Waits.
        wall: Unix time.
    """

    session: CustomerSession[Any]
    journal: RowJournal | None
    trier: Trier
    sleep: Callable[[float], Any] = anyio.sleep
    wall: Callable[[], float] = time

    async def deliver(self, item: Item) -> Outcome | None:
        """Bring one row to the gateway.

        Returns:
            What became of it; None when the job stopped before the row was sent.

        Raises:
            AuthenticationError, PermissionDeniedError: The credentials are refused, so that no other row can be sent either. The row is
                written as held.
            BulkError: The journal cannot be written; nothing was sent.
        """
        unconfirmed, count = item.doubted_at is not None, Count()
        try:
            reply = await self._settled(item, count) if unconfirmed else None
            if reply is None:
                await self._announced(item)
                unconfirmed = False
                once = item.draft.payment_source is not None
                reply = await self.trier.call(self.session.raw.upsert, item.draft, once=once, count=count)
        except CallError as error:
            return self._failed(item, error, count.tried, unconfirmed=unconfirmed or count.doubted)
        except Halted:
            if self.journal is not None and not unconfirmed:
                self.journal.ended(item.reference, "held", 0, None)
            return None
        return self._arrived(item, reply, count.tried)

    async def _announced(self, item: Item) -> None:
        """Have it on the disk that a request goes out, before it does."""
        if self.journal is not None:
            await self.journal.sending(item.reference, item.row.number, item.raw, item.payload)

    async def _settled(self, item: Item, count: Count) -> Response[Customer] | None:
        """Ask the gateway what an earlier write has left; None when the row has to be sent.

        A write of a process that died may still land. So before another body goes out, the settle time since it was
        written down has to be over.
        """
        try:
            reply = await self.trier.call(self.session.raw.get_by_reference, item.reference, count=count)
        except NotFoundError:
            reply = None
        if reply is not None and not self.session.differences(item.draft, reply.record):
            return reply
        confirmation_window = self.trier.tries.confirmation_window
        left = (item.doubted_at or 0.0) + confirmation_window - self.wall()
        if left > 0:
            # A clock that was set back must not make anybody wait longer than the settle time.
            await self.sleep(min(left, confirmation_window))
        return None

    def _arrived(self, item: Item, reply: Response[Customer], tried: int) -> Outcome:
        row, result, held = item.row, _result(item, reply), reply.record.id
        if self.journal is not None:
            digests = (item.raw, item.payload)
            self.journal.done(item.reference, row.number, *digests, result=result, id=held, attempts=tried)
        return Outcome(row.number, item.reference, result, held, applied="yes", attempts=tried, place=row.place)

    def _failed(self, item: Item, error: CallError, tried: int, *, unconfirmed: bool) -> Outcome:
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
    "yes": "The gateway has applied it.",
    "unknown": "It may have been applied: the next run asks the gateway first.",
}


def _state(error: CallError, applied: Applied, *, stopping: bool) -> State:
    if applied != "no":
        return "unknown"
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return "held"
    return "held" if stopping and isinstance(error, PASSING) else "failed"


def _code(error: CallError) -> str:
    """The failure as a short word for counting; the gateway's free text is no part of it."""
    words = [type(error).__name__]
    if isinstance(error, GatewayError):
        words += [str(error.status), *([error.code[:40]] if error.code else [])]
    return " ".join(words)


def _result(item: Item, reply: Response[Customer]) -> Status:
    """Whether the customer is new.

    The journal knows the customers of earlier runs. Else a reply with HTTP 201, or one whose customer was changed at
    the moment it was made, is a creation. Wonder's answers tell neither, so there it stays ``written``.
    """
    if item.known:
        return "updated"
    made, changed = reply.record.created_at, reply.record.updated_at
    if reply.status == 201:
        return "created"
    if made is None:
        return "written"
    return "created" if changed is None or (changed - made).total_seconds() < 1 else "updated"
