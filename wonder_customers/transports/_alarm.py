"""Waits on asyncio that end in time, over one timer for all of them.

A timer for each would cost as much as sending the request.
"""

import asyncio
from math import inf
from time import monotonic
from typing import Final, Protocol

__all__ = ["Alarm", "Place"]

_TICK: Final = 0.005
"""Seconds between two looks at what is due: so much later may a wait end."""


class Waiting(Protocol):
    """Something that waits, but not for ever.

    Attributes:
        due: Until when, on the monotonic clock.
    """

    due: float

    def too_late(self) -> None:
        """End the wait."""


class Alarm:
    """One timer for all waits of a transport: one for each would cost as much as sending the request."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.clock: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings = inf

    def watch(self, it: Waiting) -> None:
        """End the wait of `it` when it is due. It may be put off by moving its `due`."""
        self.clock.add(it)
        if it.due < self._rings:
            self._wind(it.due, monotonic())

    def forget(self, it: Waiting) -> None:
        """The wait of `it` has ended. The timer stays: the next wait needs it as well."""
        self.clock.discard(it)

    def stop(self) -> None:
        """Nobody waits any more."""
        self._rings = inf
        if self._timer is not None:
            self._timer.cancel()

    def _wind(self, due: float, now: float) -> None:
        self.stop()
        self._rings = due
        self._timer = self._loop.call_later(max(due - now, _TICK), self._ring)

    def _ring(self) -> None:
        self._rings, now = inf, monotonic()
        for it in [it for it in self.clock if it.due <= now]:
            it.too_late()
        due = min((it.due for it in self.clock if it.due > now), default=inf)
        if due < inf:
            self._wind(due, now)


class Place:
    """Waits for a place among the requests under way."""

    def __init__(self) -> None:
        self.due = inf
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rang = False

    def set(self) -> None:
        """The place is there."""
        self._rang = True
        self.too_late()

    def is_set(self) -> bool:
        """Whether the place is there."""
        return self._rang

    def too_late(self) -> None:
        """Stop waiting."""
        if not self.answer.done():
            self.answer.set_result(None)
