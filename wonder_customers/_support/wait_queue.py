"""Waiting for a resource: first in, first out, with constant cost for each entry, removal included."""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any, Final

import anyio

from wonder_customers._support.clock import running_loop

__all__ = ["UNLIMITED", "Slots", "WaitQueue"]

UNLIMITED: Final = 1 << 30

EndWait = Callable[[], object]


class WaitQueue:
    """Tasks that wait for a resource. The owner of the resource wakes them one by one.

    Removal of a waiter takes constant time, so that thousands of waiting tasks can be cancelled at once. On asyncio a
    task waits for a future of the event loop, because the events and cancel scopes of anyio cost several times more.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiters)

    def wait(
        self, hand_on: EndWait, seconds: float = inf, ends: set[EndWait] | None = None
    ) -> Coroutine[Any, Any, bool]:
        """Wait until `wake` selects this task. Return False if it was not selected.

        Args:
            hand_on: Called when the task was selected and is cancelled at the same time, so that the resource can be
                passed on.
            seconds: How long to wait.
            ends: Contains a function that ends the wait while it lasts.
        """
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

    def wake(self) -> bool:
        """Select the task that has waited longest. Return False when no task waits."""
        while self._waiters:
            _, waiter = self._waiters.popitem(last=False)
            if isinstance(waiter, anyio.Event):
                waiter.set()
                return True
            if _resolve(waiter, True):
                return True
        return False


def _resolve(waiter: Any, selected: bool) -> bool:
    """Set the result of a future. Return False if it has one, or if its task was cancelled."""
    if waiter.done():
        return False
    waiter.set_result(selected)
    return True


class Slots:
    """A limit on the number of tasks that use a resource at the same time. Tasks that wait take turns."""

    __slots__ = ("_queue", "free")

    def __init__(self, size: int) -> None:
        self.free = size
        self._queue = WaitQueue()

    @property
    def waiting(self) -> int:
        """Number of tasks that wait for a slot."""
        return len(self._queue)

    def acquire_nowait(self) -> bool:
        """Take a slot until `release`. Return False when none is free."""
        if self.free <= 0:
            return False
        self.free -= 1
        return True

    async def acquire(self, seconds: float = inf, ends: set[EndWait] | None = None) -> bool:
        """Wait for a slot and take it until `release`. Return False if none became free; see `WaitQueue.wait`."""
        return self.acquire_nowait() or await self._queue.wait(self.release, seconds, ends)

    def release(self) -> None:
        """Give a slot back; the task that waited longest takes it."""
        if not self._queue.wake():
            self.free += 1
