"""A queue of waiting tasks: first in, first out, with constant cost for each entry, removal included."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import anyio

__all__ = ["UNLIMITED", "Slots", "WaitQueue"]

UNLIMITED: Final = 1 << 30


class WaitQueue:
    """Tasks that wait for a resource. The owner of the resource wakes them one by one.

    Removal of a waiter takes constant time, so that thousands of waiting tasks can be cancelled at once.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: OrderedDict[int, anyio.Event] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, hand_on: Callable[[], object]) -> None:
        """Wait until `wake` selects this task.

        Args:
            hand_on: Called when the task was selected and is cancelled at the same time, so that the resource can be
                passed on.
        """
        waiter = anyio.Event()
        self._waiters[id(waiter)] = waiter
        try:
            await waiter.wait()
        except BaseException:
            if self._waiters.pop(id(waiter), None) is None:
                hand_on()
            raise

    def wake(self) -> bool:
        """Select the task that has waited longest. Return False when no task waits."""
        if not self._waiters:
            return False
        _, waiter = self._waiters.popitem(last=False)
        waiter.set()
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

    async def acquire(self) -> None:
        """Wait for a slot and take it until `release`."""
        if not self.acquire_nowait():
            await self._queue.wait(self.release)

    def release(self) -> None:
        """Give a slot back; the task that waited longest takes it."""
        if not self._queue.wake():
            self.free += 1
