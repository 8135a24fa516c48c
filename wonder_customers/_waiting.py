"""The clock, the waits and the event loop of every session, and the one place where a test puts others in their stead.

An exchange asks here at the moment it looks at the clock or waits, so a replacement reaches sessions that are open
already, on whatever event loop and in whatever task they run.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

import anyio
from anyio.lowlevel import current_token

__all__ = ["Timekeeper", "clock", "here", "kept_by", "sleep"]


class Timekeeper(Protocol):
    """Knows the time, and waits."""

    def clock(self) -> float:
        """Seconds that only grow."""

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on `clock`."""


_keepers: list[Timekeeper] = []


def clock() -> float:
    """Seconds that only grow: the machine's, unless a test keeps the time."""
    # Only differences are ever looked at, and the event loop's own clock is several times as slow to ask.
    return _keepers[-1].clock() if _keepers else monotonic()


async def sleep(seconds: float) -> None:
    """Wait."""
    wait: Callable[[float], Awaitable[None]] = _keepers[-1].sleep if _keepers else anyio.sleep
    await wait(seconds)


def here() -> object:
    """What tells the running event loop from any other."""
    # anyio's token says it on every event loop, but takes ten times as long to ask, and every call asks.
    try:
        return sys.modules["asyncio"].get_running_loop()
    except (KeyError, RuntimeError):
        return current_token()


@contextmanager
def kept_by(keeper: Timekeeper) -> Iterator[None]:
    """Let `keeper` keep the time of all sessions of this process inside the block."""
    _keepers.append(keeper)
    try:
        yield
    finally:
        _keepers.remove(keeper)
