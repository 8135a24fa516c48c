"""Threads for slow signatures, so that responses to other calls are not delayed."""

import os
from collections.abc import Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

__all__ = ["SignerPool"]

_CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""The number of cores that this process may use."""


class SignerPool:
    """Computes signatures in threads, at most one per core, and otherwise on the event loop.

    With one core, all signatures are computed on the event loop. While all threads are busy, the next signature is
    computed on the event loop, because waiting for a thread would take longer. The event loop computes one signature at
    a time, so that it serves other tasks in between. The threads are separate from those that the program uses through
    anyio.
    """

    def __init__(self, cores: int = _CORES) -> None:
        self._free = cores if cores > 1 else 0
        self._threads = anyio.CapacityLimiter(cores)
        self._local_lock = anyio.Lock()

    async def make(self, sign: Callable[[], T]) -> T:
        """Return the result of `sign`, which is called in a thread or on the event loop."""
        if not self._free:
            async with self._local_lock:
                return sign()
        self._free -= 1
        try:
            return await anyio.to_thread.run_sync(sign, limiter=self._threads)
        finally:
            self._free += 1
