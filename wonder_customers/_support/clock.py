"""The clock and the sleep function of all sessions, which tests can replace."""

import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol

import anyio
from anyio.lowlevel import current_token


class Clock(Protocol):
    """A monotonic clock, and a function that waits on it."""

    def clock(self) -> float:
        """Return seconds on a monotonic clock."""

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on `clock`."""


# Not `time.monotonic` itself, which freezegun replaces: rate limits outlive a test. The time of the event loop is not
# used, because reading it is several times slower.
monotonic: Callable[[], float] = partial(time.monotonic)
"""Return the time of the current clock in seconds."""
sleep: Callable[[float], Awaitable[None]] = anyio.sleep
"""Sleep for some seconds on the current clock."""

_SYSTEM: Final = monotonic, sleep
_replacements: list[Clock] = []


def running_loop() -> object:
    """Return an object that identifies the running event loop; None outside of an event loop."""
    # anyio's token works on every event loop, but reading it takes ten times as long, and every call does it.
    # Another thread may import trio at this moment.
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    if in_trio_task is not None and in_trio_task():  # perhaps as a guest of asyncio
        return current_token().native_token
    try:
        return sys.modules["asyncio"].get_running_loop()
    except (KeyError, RuntimeError):
        try:
            return current_token().native_token  # the same object in every call, unlike anyio's token
        except RuntimeError:
            return None


def is_closed(loop: Any) -> bool:
    """Return whether an event loop of asyncio is closed."""
    return hasattr(loop, "is_closed") and loop.is_closed() is True


@contextmanager
def replaced_by(replacement: Clock) -> Iterator[None]:
    """Use `replacement` as the clock of all sessions of this process inside the block."""
    _replacements.append(replacement)
    _use_latest()
    try:
        yield
    finally:
        _replacements.remove(replacement)
        _use_latest()


def _use_latest() -> None:
    global monotonic, sleep
    monotonic, sleep = (_replacements[-1].clock, _replacements[-1].sleep) if _replacements else _SYSTEM
