"""A queue of waiting tasks: first in, first out, with constant cost for each entry, removal included."""

from collections import OrderedDict
from collections.abc import Callable

import anyio

__all__ = ["WaitQueue"]


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
