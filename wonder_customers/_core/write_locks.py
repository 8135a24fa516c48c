"""The locks of customers, and the writes that may still be applied."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from threading import RLock
from typing import Any, Final
from weakref import WeakKeyDictionary

from attrs import define, field

from wonder_customers._core.account_state import digest
from wonder_customers._core.context import AccountContext, CallContext, Key, customer_key
from wonder_customers._support import clock
from wonder_customers._support.wait_queue import WaitQueue
from wonder_customers.dialects.base import Call, LockCustomer
from wonder_customers.errors import DeadlineExceededError
from wonder_customers.records import Customer
from wonder_customers.wire import Replay, Transmission

# A write without a response may still be in progress. A newer write that is sent at once could be applied first and
# then be undone by the older write. Several sessions may use the same account, so they share this state.

_MOST: Final = 100_000
"""Maximum number of unconfirmed writes that are remembered."""
_LINKS: Final = 10_000
"""Maximum number of pairs of a reference and an id that are remembered."""


@define(eq=False)
class UnconfirmedWrites:
    """The writes that may still be applied, by customer."""

    _writes: OrderedDict[Key, tuple[bytes, float]] = field(factory=OrderedDict)
    _known: OrderedDict[Key, str] = field(factory=OrderedDict)
    # Event loops in several threads use the object. Reentrant, because the garbage collector may close a call, which
    # adds its write, while this thread adds another.
    _changing: RLock = field(factory=RLock)

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, keys: Iterable[Key], body: bytes, seconds: float) -> None:
        """Record that a write with `body` may still be applied within the next `seconds`."""
        now = clock.monotonic()
        with self._changing:
            for key in keys:
                # An equal write of a session with a longer confirmation window may still be applied later.
                until = max(now + seconds, self._writes.get(key, (b"", 0.0))[1])
                self._writes[key] = digest(body), until
                self._writes.move_to_end(key)
            # Up to four old writes are removed for each new write, so the table contains few expired writes.
            with suppress(RuntimeError):  # the garbage collector has added a write meanwhile
                for key, (_, until) in list(islice(self._writes.items(), 4)):
                    if until <= now or len(self._writes) > _MOST:
                        self._writes.pop(key, None)

    def confirm(self, keys: Iterable[Key]) -> None:
        """Remove the writes with `keys`."""
        with self._changing:
            for key in keys:
                self._writes.pop(key, None)

    def remaining(self, keys: Iterable[Key], body: bytes | None) -> float:
        """Return the seconds until writes with other bodies than `body` can no longer be applied."""
        if not self._writes:
            return 0.0
        now, same = clock.monotonic(), None if body is None else digest(body)
        found = [self._writes.get(key) for key in keys]
        return max((it[1] - now for it in found if it is not None and it[0] != same), default=0.0)

    def add_known(self, key: Key, id: str) -> None:
        """Record the id of a customer, which a search by its reference may not find."""
        with self._changing:
            self._known[key] = id
            self._known.move_to_end(key)
            if len(self._known) > _LINKS:
                self._known.popitem(last=False)

    def known(self, key: Key) -> str | None:
        """Return the last known id of the customer with this reference."""
        return self._known.get(key)

    def clear(self) -> None:
        """Remove all writes."""
        self._writes.clear()
        self._known.clear()


@define(eq=False)
class WriteLocks:
    """Locks for writes, by key of a customer."""

    unconfirmed: UnconfirmedWrites = field(factory=UnconfirmedWrites)
    released: int = 0  # locks released so far
    _locks: dict[Key, WaitQueue | None] = field(factory=dict)  # None: no task waits
    _links: OrderedDict[Key, Key] = field(factory=OrderedDict)
    _last: OrderedDict[Key, int] = field(factory=OrderedDict)
    _forgotten: int = 0

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a lock."""
        return sum(len(queue) for queue in list(self._locks.values()) if queue is not None)

    def link(self, id: Key, reference: Key) -> None:
        """Record that the keys belong to the same customer."""
        self._links[id] = reference
        self._links.move_to_end(id)
        if len(self._links) > _LINKS:
            self._links.popitem(last=False)

    def with_linked(self, keys: Sequence[Key]) -> list[Key]:
        """Return `keys` and the known references of their ids, references first."""
        linked = [self._links[key] for key in keys if key in self._links] if self._links else []
        return [*linked, *(key for key in keys if key not in linked)] if linked else list(keys)

    def acquire_nowait(self, key: Key) -> bool:
        """Acquire the lock of `key`. Return False if the lock is held."""
        if key in self._locks:
            return False
        self._locks[key] = None
        return True

    async def acquire(self, key: Key, within: float) -> bool:
        """Acquire the lock of `key`. Return False if this takes longer than `within` seconds."""
        if self.acquire_nowait(key):
            return True
        queue = self._locks[key]
        if queue is None:
            queue = self._locks[key] = WaitQueue()
        return await queue.wait(lambda: self._hand_on(key), within)

    def release(self, key: Key) -> None:
        """Release the lock of `key`."""
        self.released += 1
        self._last[key] = self.released
        self._last.move_to_end(key)
        if len(self._last) > _LINKS:
            self._forgotten = self._last.popitem(last=False)[1]
        self._hand_on(key)

    def released_since(self, key: Key, moment: int) -> bool:
        """Return whether the lock of `key` may have been released after `moment`, a value of `released`."""
        return self._last.get(key, self._forgotten) > moment

    def _hand_on(self, key: Key) -> None:
        queue = self._locks[key]
        if queue is None or not queue.wake():
            del self._locks[key]


UNCONFIRMED_WRITES: Final = UnconfirmedWrites()
"""The unconfirmed writes of this process, on all event loops."""

_BY_LOOP: Final[WeakKeyDictionary[Any, WriteLocks]] = WeakKeyDictionary()


def shared_locks(loop: Any) -> WriteLocks:
    """Return the locks shared by all sessions on an event loop."""
    if loop is None:
        return WriteLocks(UNCONFIRMED_WRITES)
    found = _BY_LOOP.get(loop)
    if found is None:
        # Tasks that were waiting when their loop was closed refer to the loop, so it would never be freed.
        for other in [reference() for reference in _BY_LOOP.keyrefs()]:
            if clock.is_closed(other):
                _BY_LOOP.pop(other, None)
        found = _BY_LOOP[loop] = WriteLocks(UNCONFIRMED_WRITES)
    return found


@define(eq=False)
class WriteOrder:
    """Orders the writes of operations."""

    locks: WriteLocks

    async def lock_subject(self, call_context: CallContext, subject: tuple[str, str]) -> None:
        """Lock a customer, ``("reference", …)`` or ``("id", …)``, for the operation."""
        key = customer_key(call_context.account_context.merchant, *subject)
        for it in self.locks.with_linked([key]):
            await self.lock(call_context, it)

    async def lock_customer(self, call_context: CallContext, step: LockCustomer) -> bool:
        """Lock one more key of a customer. Return whether the customer may have changed."""
        key = customer_key(call_context.account_context.merchant, step.by, step.value)
        changed = False
        if key not in call_context.held:
            changed = self.locks.released_since(key, call_context.locks_before)
            if self.locks.acquire_nowait(key):
                call_context.held.append(key)
            else:
                # All operations lock references before ids, so that two of them cannot wait for each other.
                ids = list(call_context.held) if step.by == "reference" else []
                for held in ids:
                    self.locks.release(held)
                    call_context.held.remove(held)
                for it in (key, *ids):
                    await self.lock(call_context, it)
                changed = True
        return await self.wait_for_unconfirmed(call_context, [key], None) or changed

    async def lock(self, call_context: CallContext, key: Key) -> None:
        """Lock a customer for the operation."""
        if not self.locks.acquire_nowait(key):
            remaining = call_context.remaining()
            counts = call_context.account_context.account.counts
            counts.waiting_for_lock += 1
            try:
                with call_context.waiting("lock", remaining), call_context.interruptible():
                    if await self.locks.acquire(key, remaining):
                        call_context.held.append(key)
                        return
            finally:
                counts.waiting_for_lock -= 1
            reason = "another write for this customer did not end before the deadline"
            raise call_context.complete(call_context.not_sent(reason))
        call_context.held.append(key)

    async def wait_for_unconfirmed(
        self, call_context: CallContext, keys: Sequence[Key], call: Call[Any] | None
    ) -> bool:
        """Wait for unconfirmed writes of the customer. Return whether a wait was necessary."""
        repeatable = call is not None and call.replay in {Replay.IDEMPOTENT, Replay.NATURAL_UPSERT}
        wait = self.locks.unconfirmed.remaining(keys, call.request.body if call is not None and repeatable else None)
        if wait <= 0:
            return False
        remaining = call_context.remaining()
        if wait >= remaining:
            reason = (
                "the request was not sent: an earlier write for this customer is unconfirmed and may still be applied"
                f" in the next {wait:.1f} s, but the deadline passes in {max(0.0, remaining):.1f} s"
            )
            raise call_context.complete(DeadlineExceededError(reason))
        if not await call_context.pause("unconfirmed", wait):
            raise call_context.complete(call_context.not_sent(""))
        return True

    def link(self, context: AccountContext, record: object) -> None:
        """Record the reference and the id of `record`, if it is a customer."""
        if isinstance(record, Customer) and record.reference is not None:
            reference: Key = context.merchant, "reference", record.reference
            self.locks.link(customer_key(context.merchant, "id", record.id), reference)
            if not record.deleted:
                self.remember(context, record.reference, record.id)

    def remember(self, context: AccountContext, reference: str, id: str) -> None:
        """Record the id of a customer if the search by its reference may not find it."""
        if context.dialect.search_is_late:
            self.locks.unconfirmed.add_known((context.merchant, "reference", reference), id)

    def mark_unconfirmed(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], transmission: Transmission
    ) -> None:
        """Record `call` as unconfirmed if it may still be applied."""
        if call.replay is not Replay.READ and transmission.sent:
            call_context.unconfirmed = True
            if keys:
                window = call_context.account_context.policy.confirmation_window
                if call.replay is Replay.NONE:  # a payment token; a later upsert may name only the reference
                    keys = self.locks.with_linked(keys)
                self.locks.unconfirmed.add(keys, call.request.body, window)
