"""A bounded queue between the tasks of a job."""

from collections import deque
from typing import Generic, TypeVar

import anyio
from attrs import define, field

__all__ = ["TaskQueue"]

T = TypeVar("T")


@define(eq=False)
class TaskQueue(Generic[T]):
    """A bounded queue between tasks.

    Attributes:
        size: The number of items above which `put` waits.
        closed: Whether no more items follow.
    """

    size: int
    closed: bool = field(default=False, init=False)
    _items: "deque[T]" = field(factory=deque, init=False)
    _changed: anyio.Event | None = field(default=None, init=False)

    def add(self, *items: T) -> bool:
        """Add items without waiting. Return whether the queue has more than `size` items."""
        self._items.extend(items)
        if self._changed is not None:
            self._wake()
        return len(self._items) > self.size

    async def put(self, *items: T) -> None:
        """Add items, and wait like `wait_for_room`."""
        if self.add(*items):
            await self.wait_for_room()

    async def wait_for_room(self) -> None:
        """Wait until the queue has at most `size` items, or is closed."""
        # Unlike a stream of anyio, this yields to the event loop only if the queue is full.
        while len(self._items) > self.size and not self.closed:
            await self._wait()

    async def get(self) -> T | None:
        """Remove and return the first item; None at the end."""
        while not self._items:
            if self.closed:
                return None
            await self._wait()
        item = self._items.popleft()
        if self._changed is not None and len(self._items) <= self.size:
            self._wake()
        return item

    async def get_group(self, most: int) -> list[T]:
        """Remove and return up to `most` items; an empty list at the end."""
        first = await self.get()
        if first is None:
            return []
        return [first, *(self._items.popleft() for _ in range(min(most - 1, len(self._items))))]

    def close(self) -> None:
        """End the queue after its last item."""
        self.closed = True
        self._wake()

    async def _wait(self) -> None:
        # One event is sufficient: the tasks that put items and the tasks that get items never wait at the same time.
        self._changed = self._changed or anyio.Event()
        await self._changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
