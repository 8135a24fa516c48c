"""The clock, the waits and the event loop of every session, and the one place where a test puts others in their stead.

An exchange asks here at the moment it looks at the clock or waits, so a replacement reaches sessions that are open
already, on whatever event loop and in whatever task they run.
"""

import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import anyio
from anyio.lowlevel import current_token

__all__ = ["Clock", "monotonic", "replaced_by", "running_loop", "sleep"]


class Clock(Protocol):
    """Knows the time, and waits."""

    def clock(self) -> float:
        """Seconds that only grow."""

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on `clock`."""


_replacements: list[Clock] = []


def monotonic() -> float:
    """Seconds that only grow: the machine's, unless a test keeps the time."""
    # Only differences are ever looked at, and the event loop's own clock is several times as slow to ask.
    return _replacements[-1].clock() if _replacements else time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait."""
    wait: Callable[[float], Awaitable[None]] = _replacements[-1].sleep if _replacements else anyio.sleep
    await wait(seconds)


def running_loop() -> object:
    """What tells the running event loop from any other."""
    # anyio's token says it on every event loop, but takes ten times as long to ask, and every call asks.
    try:
        return sys.modules["asyncio"].get_running_loop()
    except (KeyError, RuntimeError):
        return current_token()


@contextmanager
def replaced_by(replacement: Clock) -> Iterator[None]:
    """Let `keeper` keep the time of all sessions of this process inside the block."""
    _replacements.append(replacement)
    try:
        yield
    finally:
        _replacements.remove(replacement)
