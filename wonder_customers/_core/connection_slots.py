"""Limits the requests in progress to the number of connections, so that a request is signed when it can be sent."""

from typing import Final

from wonder_customers._support.wait_queue import WaitQueue

__all__ = ["UNLIMITED", "ConnectionSlots"]

UNLIMITED: Final = 1 << 30


class ConnectionSlots:
    """One slot for each connection that a session may open.

    A request waits for a slot before it is permitted by the rate limit and signed. A signature holds the time, so it
    must not wait for a connection.
    """

    __slots__ = ("_free", "_queue")

    def __init__(self, size: int = UNLIMITED) -> None:
        self._free = size
        self._queue = WaitQueue()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a slot."""
        return len(self._queue)

    def acquire_nowait(self) -> bool:
        """Take a slot until `release`. Return False when none is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def acquire(self) -> None:
        """Wait for a slot and take it until `release`."""
        await self._queue.wait(self.release)

    def release(self) -> None:
        """Give a slot back; the request that waited longest takes it."""
        if not self._queue.wake():
            self._free += 1
