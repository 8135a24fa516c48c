"""The order of writes: one write per customer at a time, and only when no unconfirmed write can still be applied.

A write without a response may still be in progress. If a newer write were sent at once, the older write could be
applied after the newer one and undo it. So writes for one customer run one after the other. A write waits until the
confirmation window of an unconfirmed write is over, unless the write is idempotent and both have the same body.

All sessions of a process share the state, because several of them may use the same account. Locks belong to an event
loop; unconfirmed writes are shared by all event loops.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import RLock
from typing import Any, Final

from attrs import define, field

from wonder_customers._core.account_state import digest
from wonder_customers._core.context import CallContext, Key, customer_key
from wonder_customers._support import clock as system_clock
from wonder_customers._support.wait_queue import WaitQueue
from wonder_customers.dialects.base import Call, LockCustomer
from wonder_customers.errors import DeadlineExceededError
from wonder_customers.records import Customer
from wonder_customers.wire import Replay, Transmission

__all__ = ["UNCONFIRMED_WRITES", "UnconfirmedWrites", "WriteLocks", "WriteOrder", "shared_locks"]

_MOST: Final = 100_000
"""Maximum number of unconfirmed writes that are remembered."""
_LINKS: Final = 10_000
"""Maximum number of pairs of a reference and an id that are remembered."""


@define(eq=False)
class UnconfirmedWrites:
    """The writes that may still be applied, by customer. The memory that they use is bounded.

    Event loops in several threads may use the object at the same time.

    Attributes:
        clock: A function that returns seconds on a monotonic clock.
    """

    clock: Callable[[], float] = system_clock.monotonic
    _writes: dict[Key, tuple[bytes, float]] = field(factory=dict)
    _order: deque[tuple[Key, float]] = field(factory=deque)
    # Reentrant, because the garbage collector may close a call, which adds its write, while this thread adds another.
    _changing: RLock = field(factory=RLock)

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, keys: Iterable[Key], body: bytes, seconds: float) -> None:
        """Record that a write with `body` may still be applied within the next `seconds`."""
        now = self.clock()
        with self._changing:
            for key in keys:
                # An equal write of a session with a longer confirmation window may still be applied later.
                until = max(now + seconds, self._writes.get(key, (b"", 0.0))[1])
                self._writes[key] = (digest(body), until)
                self._order.append((key, until))
            self._prune(now)

    def _prune(self, now: float) -> None:
        # Up to four old entries are removed for each new write, so the table contains few expired writes.
        for _ in range(4):
            if not self._order or (self._order[0][1] > now and len(self._order) <= _MOST):
                return
            key, until = self._order.popleft()
            if self._writes.get(key, (b"", 0.0))[1] == until:
                self._writes.pop(key, None)

    def confirm(self, keys: Iterable[Key]) -> None:
        """Remove the writes with `keys`, because a lookup has shown their effect."""
        for key in keys:
            self._writes.pop(key, None)

    def remaining(self, keys: Iterable[Key], body: bytes | None) -> float:
        """Return the seconds until no write with another body than `body` can be applied; 0 or less if none can.

        If `body` is None, writes with any body count.
        """
        if not self._writes:
            return 0.0
        now, same = self.clock(), None if body is None else digest(body)
        found = [self._writes.get(key) for key in keys]
        return max((it[1] - now for it in found if it is not None and it[0] != same), default=0.0)

    def clear(self) -> None:
        """Remove all writes."""
        self._writes.clear()
        self._order.clear()


@define(eq=False)
class WriteLocks:
    """Locks for writes, one per key of a customer.

    Attributes:
        unconfirmed: The writes that may still be applied.
        released: Number of locks released so far. Its earlier values are the moments for `released_since`.
    """

    unconfirmed: UnconfirmedWrites = field(factory=UnconfirmedWrites)
    released: int = 0
    _locks: dict[Key, WaitQueue | None] = field(factory=dict)  # None: no task waits
    _links: OrderedDict[Key, Key] = field(factory=OrderedDict)
    _last: OrderedDict[Key, int] = field(factory=OrderedDict)
    _forgotten: int = 0

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a lock."""
        return sum(len(queue) for queue in list(self._locks.values()) if queue is not None)

    def link(self, merchant: Hashable, reference: str, id: str) -> None:
        """Record that a reference and an id belong to the same customer."""
        key = customer_key(merchant, "id", id)
        self._links[key] = merchant, "reference", reference
        self._links.move_to_end(key)
        if len(self._links) > _LINKS:
            self._links.popitem(last=False)

    def with_linked(self, keys: Sequence[Key]) -> list[Key]:
        """Return `keys` and the known references of their ids, in the order of locking: references first."""
        linked = [self._links[key] for key in keys if key in self._links] if self._links else []
        return [*linked, *(key for key in keys if key not in linked)] if linked else list(keys)

    def acquire_nowait(self, key: Key) -> bool:
        """Acquire the lock of `key`. Return False if it is held already."""
        if key in self._locks:
            return False
        self._locks[key] = None
        return True

    async def acquire(self, key: Key, within: float) -> bool:
        """Acquire the lock of `key`. Return False if it does not become free within `within` seconds."""
        if self.acquire_nowait(key):
            return True
        queue = self._locks[key]
        if queue is None:
            queue = self._locks[key] = WaitQueue()
        return await queue.wait(lambda: self._hand_on(key), within)

    def release(self, key: Key) -> None:
        """Release the lock of `key`, and pass it to the task that has waited longest."""
        self.released += 1
        self._last[key] = self.released
        self._last.move_to_end(key)
        if len(self._last) > _LINKS:
            self._forgotten = self._last.popitem(last=False)[1]
        self._hand_on(key)

    def released_since(self, key: Key, moment: int) -> bool:
        """Return whether the lock of `key` may have been released after `moment`, an earlier value of `released`."""
        return self._last.get(key, self._forgotten) > moment

    def _hand_on(self, key: Key) -> None:
        queue = self._locks[key]
        if queue is None or not queue.wake():
            del self._locks[key]


UNCONFIRMED_WRITES: Final = UnconfirmedWrites()
"""The unconfirmed writes of this process, on all event loops."""

_BY_LOOP: Final[OrderedDict[object, WriteLocks]] = OrderedDict()
_LOOPS: Final = 64


def shared_locks(loop: object) -> WriteLocks:
    """Return the locks shared by all sessions on an event loop."""
    found = _BY_LOOP.get(loop)
    if found is None:
        found = _BY_LOOP[loop] = WriteLocks(UNCONFIRMED_WRITES)
        if len(_BY_LOOP) > _LOOPS:
            _BY_LOOP.popitem(last=False)
    return found


@define(eq=False)
class WriteOrder:
    """Locks customers for operations, and delays writes until no unconfirmed write can be applied.

    Attributes:
        locks: The locks, shared by the sessions of an event loop.
    """

    locks: WriteLocks

    async def lock_subject(self, call_context: CallContext, subject: tuple[str, str]) -> None:
        """Lock a customer, ``("reference", …)`` or ``("id", …)``. If the reference for an id is known, lock both.

        Raises:
            CallError: As for `lock`.
        """
        key = customer_key(call_context.account_context.merchant, *subject)
        for it in self.locks.with_linked([key]):
            await self.lock(call_context, it)

    async def lock_customer(self, call_context: CallContext, step: LockCustomer) -> bool:
        """Lock one more key of a customer, and wait until no earlier write for the key can still be applied.

        All operations lock references before ids, so that two of them cannot wait for each other. Therefore the id is
        released while the operation waits for the reference.

        Returns:
            Whether the customer may have changed since the first request of the operation.

        Raises:
            CallError: As for `lock` and `wait_for_unconfirmed`.
        """
        key = customer_key(call_context.account_context.merchant, step.by, step.value)
        changed = False
        if key not in call_context.held:
            changed = self.locks.released_since(key, call_context.locks_before)
            if self.locks.acquire_nowait(key):
                call_context.held.append(key)
            else:
                ids = list(call_context.held) if step.by == "reference" else []
                for held in ids:
                    self.locks.release(held)
                    call_context.held.remove(held)
                for it in (key, *ids):
                    await self.lock(call_context, it)
                changed = True
        return await self.wait_for_unconfirmed(call_context, [key], None) or changed

    async def lock(self, call_context: CallContext, key: Key) -> None:
        """Lock a customer, whose lock the operation does not hold yet, until the operation ends.

        Raises:
            DeadlineExceededError: Another operation held the lock until the deadline.
            NotSentError: The stop signal ended the wait.
        """
        if not self.locks.acquire_nowait(key):
            remaining = call_context.remaining()
            acquired = False
            counts = call_context.account_context.account.counts
            counts.waiting_for_lock += 1
            try:
                with call_context.waiting("lock", remaining), call_context.interruptible():
                    acquired = await self.locks.acquire(key, remaining)
            finally:
                counts.waiting_for_lock -= 1
            if not acquired:
                reason = "another write for this customer did not end before the deadline"
                raise call_context.complete(call_context.not_sent(reason))
        call_context.held.append(key)

    async def wait_for_unconfirmed(
        self, call_context: CallContext, keys: Sequence[Key], call: Call[Any] | None
    ) -> bool:
        """Wait until no earlier write for the customer can still be applied. Return whether a wait was necessary.

        An idempotent `call` does not wait for writes with the same body.

        Raises:
            DeadlineExceededError: The wait would exceed the deadline. The error is raised at once.
            NotSentError: The stop signal ended the wait.
        """
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

    def link(self, call_context: CallContext, record: object) -> None:
        """Record the reference and the id of `record`, if it is a customer."""
        if isinstance(record, Customer) and record.reference is not None:
            self.locks.link(call_context.account_context.merchant, record.reference, record.id)

    def mark_unconfirmed(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], transmission: Transmission
    ) -> None:
        """Record that `call` may still be applied, if it is a write and a byte of it may have been sent."""
        if call.replay is not Replay.READ and transmission.sent:
            call_context.unconfirmed = True
            if keys:
                window = call_context.account_context.policy.confirmation_window
                self.locks.unconfirmed.add(keys, call.request.body, window)
