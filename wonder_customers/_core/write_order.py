"""Keeps the order of writes for the operations of a session: locks, and waits for unconfirmed writes."""

from collections.abc import Sequence
from typing import Any

from attrs import define

from wonder_customers._core.context import CallContext
from wonder_customers._core.waits import Waits
from wonder_customers._core.write_locks import Key, WriteLocks
from wonder_customers.dialects.base import Call
from wonder_customers.errors import DeadlineExceededError
from wonder_customers.records import Customer
from wonder_customers.wire import Replay, Transmission

__all__ = ["WriteOrder"]


@define(eq=False)
class WriteOrder:
    """Locks customers for operations, and lets writes wait for unconfirmed ones.

    Attributes:
        locks: The locks, shared by the sessions of an event loop.
        waits: The clock and the waits.
        waiting: Number of operations of this session that wait for a lock.
    """

    locks: WriteLocks
    waits: Waits
    waiting: int = 0

    async def lock_subject(self, call_context: CallContext, subject: tuple[str, str]) -> None:
        """Lock the customer of a write, under its reference too where that is known for the id."""
        key = (call_context.account_context.merchant, *subject)
        for it in self.locks.with_linked([key]):
            await self.lock(call_context, it)

    async def lock_reference(self, call_context: CallContext, reference: str) -> bool:
        """Lock a reference besides the id. Return whether the customer may have changed since the operation began.

        References are locked before ids, everywhere, so that two operations cannot wait for each other. So the id is
        released while the operation waits for the reference.
        """
        key = (call_context.account_context.merchant, "reference", reference)
        if key not in call_context.held and not self.locks.acquire_nowait(key):
            ids = list(call_context.held)
            for held in ids:
                self.locks.release(held)
            call_context.held.clear()
            await self.lock(call_context, key)
            for held in ids:
                await self.lock(call_context, held)
            changed = True
        else:
            if key not in call_context.held:
                call_context.held.append(key)
            changed = self.locks.released_since(key, call_context.locks_before)
        return await self.wait_for_unconfirmed(call_context, [key], None) or changed

    async def lock(self, call_context: CallContext, key: Key) -> None:
        """Lock a customer until the operation ends."""
        if key in call_context.held:
            return
        if not self.locks.acquire_nowait(key):
            remaining = self.waits.remaining(call_context)
            call_context.wait("lock", remaining)
            acquired = False
            self.waiting += 1
            try:
                with self.waits.interruptible(call_context):
                    acquired = await self.locks.acquire(key, remaining)
            finally:
                self.waiting -= 1
            if not acquired:
                reason = "another write for this customer did not end before the deadline"
                raise self.waits.complete(call_context, self.waits.not_sent(call_context, reason))
        call_context.held.append(key)

    async def wait_for_unconfirmed(
        self, call_context: CallContext, keys: Sequence[Key], call: Call[Any] | None
    ) -> bool:
        """Wait until no earlier write for the customer can be applied any more. Return whether there was one.

        The same bytes may be sent again at once where sending them twice leaves the same state.
        """
        repeatable = call is not None and call.replay in {Replay.IDEMPOTENT, Replay.NATURAL_UPSERT}
        wait = self.locks.unconfirmed.remaining(keys, call.request.body if call is not None and repeatable else None)
        if wait <= 0:
            return False
        remaining = self.waits.remaining(call_context)
        if wait >= remaining:
            reason = (
                "it was not sent: an earlier write for this customer is unconfirmed and may be applied for another"
                f" {wait:.1f} s, which is longer than the {max(0.0, remaining):.1f} s left before the deadline"
            )
            raise self.waits.complete(call_context, DeadlineExceededError(reason))
        call_context.wait("unconfirmed", wait)
        if not await self.waits.pause(call_context, wait):
            raise self.waits.complete(call_context, self.waits.not_sent(call_context, ""))
        return True

    def link(self, call_context: CallContext, record: object) -> None:
        """Remember which reference and id belong to one customer."""
        if isinstance(record, Customer) and record.reference is not None:
            self.locks.link(call_context.account_context.merchant, record.reference, record.id)

    def mark_unconfirmed(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], transmission: Transmission
    ) -> None:
        """Remember that a write may still be applied, if this is one and may have left."""
        if call.replay is not Replay.READ and transmission.sent:
            call_context.unconfirmed = True
            if keys:
                window = call_context.account_context.policy.confirmation_window
                self.locks.unconfirmed.add(keys, call.request.body, window)
