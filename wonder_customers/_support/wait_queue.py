"""Tasks that wait for a resource, and limits on the number of users of a resource."""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any, Final, Protocol

import anyio

from wonder_customers._support.clock import running_loop

UNLIMITED: Final = 1 << 30

EndWait = Callable[[], object]


class WaitQueue:
    """Tasks that wait for a resource, in first-in, first-out order."""

    # Removal of a waiter takes constant time, so that thousands of waiting tasks can be cancelled at once. On asyncio,
    # a task waits for a future, because events and cancel scopes of anyio take several times as long.
    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiters)

    def wait(
        self, hand_on: EndWait, seconds: float = inf, ends: set[EndWait] | None = None
    ) -> Coroutine[Any, Any, bool]:
        """Wait until `wake` selects this task. Return False if the wait ended without a selection."""
        # `hand_on` releases the resource if the task was selected, but its wait ends differently. While the task waits,
        # `ends` contains a function that ends the wait.
        loop: Any = running_loop()
        wait = self._wait_on_asyncio if hasattr(loop, "create_future") else self._wait_on_trio
        return wait(loop, hand_on, seconds, ends)

    async def _wait_on_asyncio(self, loop: Any, hand_on: EndWait, seconds: float, ends: set[EndWait] | None) -> bool:
        waiter = loop.create_future()
        end = partial(_resolve, waiter, False)
        timer = loop.call_later(seconds, end) if seconds < inf else None
        if ends is not None:
            ends.add(end)
        self._waiters[id(waiter)] = waiter
        selected = False
        try:
            selected = bool(await waiter)
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                hand_on()
            raise
        finally:
            if not selected:
                self._waiters.pop(id(waiter), None)
            if timer is not None:
                timer.cancel()
            if ends is not None:
                ends.discard(end)
        return selected

    async def _wait_on_trio(self, loop: Any, hand_on: EndWait, seconds: float, ends: set[EndWait] | None) -> bool:
        waiter, selected = anyio.Event(), False
        with anyio.move_on_after(seconds) as scope:
            if ends is not None:
                ends.add(scope.cancel)
            self._waiters[id(waiter)] = waiter
            try:
                await waiter.wait()
                selected = True
            finally:
                if not selected and self._waiters.pop(id(waiter), None) is None:
                    hand_on()
                if ends is not None:
                    ends.discard(scope.cancel)
        return selected

    def clear(self) -> None:
        """Forget the waiting tasks, whose event loop is closed."""
        self._waiters.clear()

    def wake(self) -> bool:
        """Select the task that has waited longest. Return False if no task waits."""
        while self._waiters:
            _, waiter = self._waiters.popitem(last=False)
            if isinstance(waiter, anyio.Event):
                waiter.set()
                return True
            if _resolve(waiter, True):
                return True
        return False


def _resolve(waiter: Any, selected: bool) -> bool:
    """Set the result of a future. Return False if the future is done."""
    if waiter.done():
        return False
    waiter.set_result(selected)
    return True


class Slots:
    """A limit on the number of tasks that use a resource at the same time."""

    __slots__ = ("_queue", "free")

    def __init__(self, size: int) -> None:
        self.free = size
        self._queue = WaitQueue()

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a slot."""
        return len(self._queue)

    def acquire_nowait(self) -> bool:
        """Take a slot. Return False if none is free."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    async def acquire(self, seconds: float = inf, ends: set[EndWait] | None = None) -> bool:
        """Wait for a free slot and take it. Return False if the wait ended first."""
        return self.acquire_nowait() or await self._queue.wait(self.release, seconds, ends)

    def release(self) -> None:
        """Release a slot."""
        if not self._queue.wake():
            self.free += 1


class Holder(Protocol):
    """A user of `DividedSlots`, such as an account."""

    connections: int  # slots in use

    def __hash__(self) -> int: ...


class DividedSlots:
    """Slots that are divided among accounts."""

    # The last quarter is reserved for accounts that hold no slot. An account takes another slot only if it holds fewer
    # than are free without this reserve. An account whose requests hang thus holds less than half of the slots, and
    # several such accounts do not take all of them.
    __slots__ = ("_free", "_kept", "_queues", "divided")

    def __init__(self, size: int = UNLIMITED) -> None:
        self._free, self._kept = size, size // 4
        self._queues: OrderedDict[Holder, WaitQueue] = OrderedDict()
        self.divided: bool = False

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a slot."""
        return sum(map(len, list(self._queues.values())))

    def acquire_nowait(self, account: Holder) -> bool:
        """Take a slot. Return False if no slot is free for the account."""
        held = account.connections
        if self._free <= 0 or (self.divided and held and held >= self._free - self._kept):
            return False
        self._free -= 1
        account.connections += 1
        return True

    async def acquire(self, account: Holder, seconds: float = inf, ends: set[EndWait] | None = None) -> bool:
        """Wait for a free slot and take it. Return False if the wait ended first."""
        if self.acquire_nowait(account):
            return True
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = WaitQueue()
        try:
            return await queue.wait(partial(self.release, account), seconds, ends)
        finally:
            if not queue and self._queues.get(account) is queue:
                del self._queues[account]

    def release(self, account: Holder) -> None:
        """Release a slot, and give free slots to waiting tasks."""
        self._free += 1
        account.connections -= 1
        for other in list(self._queues) if self._queues else ():
            if self._free <= 0:
                return
            if self.acquire_nowait(other):
                if self._queues[other].wake():
                    self._queues.move_to_end(other)
                else:
                    self._free += 1
                    other.connections -= 1
