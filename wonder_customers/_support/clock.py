"""The clock and the waits of every session. Tests can replace them.

The functions look up the replacement on every call, so it also affects sessions that are already open, on every event
loop and in every task.
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
    """A clock that can also wait."""

    def clock(self) -> float:
        """Return seconds on a monotonic clock."""

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on `clock`."""


_replacements: list[Clock] = []


def monotonic() -> float:
    """Return seconds on a monotonic clock: that of the machine, unless a test replaced it."""
    # Only differences matter, and the clock of the event loop is several times slower.
    return _replacements[-1].clock() if _replacements else time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait for `seconds`."""
    wait: Callable[[float], Awaitable[None]] = _replacements[-1].sleep if _replacements else anyio.sleep
    await wait(seconds)


def running_loop() -> object:
    """Return an object that identifies the running event loop; None if none is running."""
    # The token of anyio works on every event loop, but takes ten times as long, and every call needs it.
    try:
        return sys.modules["asyncio"].get_running_loop()
    except (KeyError, RuntimeError):
        try:
            return current_token()
        except RuntimeError:
            return None


@contextmanager
def replaced_by(replacement: Clock) -> Iterator[None]:
    """Use `replacement` as the clock of all sessions of this process inside the block."""
    _replacements.append(replacement)
    try:
        yield
    finally:
        _replacements.remove(replacement)
