"""Threads for slow signatures."""

import os
from collections.abc import Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

_CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""The number of cores that this process may use."""


class SignerPool:
    """Computes signatures in threads or on the event loop."""

    def __init__(self, cores: int = _CORES) -> None:
        self._free = cores if cores > 1 else 0
        self._threads = anyio.CapacityLimiter(cores)
        self._local_lock = anyio.Lock()

    async def make(self, sign: Callable[[], T]) -> T:
        """Return the result of `sign`."""
        if self._free:  # else waiting for a thread would take longer
            self._free -= 1
            try:
                return await anyio.to_thread.run_sync(sign, limiter=self._threads)
            except RuntimeError:
                pass  # no thread could be started
            finally:
                self._free += 1
        # One signature at a time, so that the event loop serves other tasks in between.
        async with self._local_lock:
            return sign()
