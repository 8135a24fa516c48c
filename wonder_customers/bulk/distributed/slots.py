"""One rate for many processes: slots of time, granted by one place and used by many. No I/O here.

A slot is the moment at which one request may go. Whoever grants them never looks back: a slot that nobody uses is lost,
so that no pause and no restart is followed by a burst.
"""

import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from math import ceil, inf
from time import monotonic
from typing import Any

import anyio
from attrs import define, field, frozen

from wonder_customers.errors import ConfigurationError
from wonder_customers.rate_limit import RequestResult
from wonder_customers.wire import Transmission

__all__ = ["Grant", "LeasedSlots", "Slots", "Unreachable"]

HORIZON = 0.1
"""Seconds that slots are granted ahead at most."""
LEASE = 0.05
"""Seconds' worth of slots that one request for them gets at most."""
LEAD = 0.005
"""Seconds ahead that a slot is at least: an answer has to travel before it can be used."""
TOLERANCE = 0.025
"""Seconds that a request may be behind its slot: its share of a second is how far a second's rate can be passed."""
PATIENCE = 0.2
"""Seconds between two tries to reach whoever grants the slots."""
DRIFT = 5e-4
"""Seconds per second that two machines' clocks may run apart: what the kernel corrects them by at most."""


class Unreachable(Exception):
    """Whoever grants the slots cannot be reached now."""


@frozen
class Grant:
    """Slots at even distances, on the clock of the one who grants them.

    Attributes:
        author: Tells one life of the limiter from the next.
        now: When they were granted.
        first: The first slot.
        every: Seconds from one to the next.
        count: How many there are.
        wait: Seconds after which asking again makes sense, when there are none.
    """

    author: str
    now: float
    first: float
    every: float
    count: int
    wait: float


@define(eq=False)
class Slots:
    """Grants slots, so many a second and never two for the same moment.

    A new one starts after everything that one before it could have granted, so it may replace one that died at once.

    Attributes:
        rate: Slots per second.
        clock: Seconds that only grow.
    """

    rate: float
    clock: Callable[[], float] = monotonic
    author: str = field(factory=lambda: secrets.token_hex(4), init=False)
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        if not self.rate > 0:
            raise ConfigurationError("the rate must be more than 0 requests per second")
        self._next = self.clock() + HORIZON + 2 / self.rate

    def grant(self, wanted: int, least: int = 1) -> Grant:
        """The next slots: as many as are wanted, a lease's worth at most, none beyond the horizon.

        Args:
            wanted: How many can be used now.
            least: How many have to follow each other, for requests that go together; fewer are not given.
        """
        now, every = self.clock(), 1 / self.rate
        first = self._next = max(self._next, now + LEAD)
        # So many that go together may be further apart than the horizon is away; then they begin at once.
        latest = now + max(LEAD, HORIZON - (least - 1) * every)
        if first > latest + 1e-9:
            return Grant(self.author, now, first, every, 0, first - latest)
        due = max(least, int((now + HORIZON - first) * self.rate) + 1)
        count = max(least, min(wanted, due, ceil(self.rate * LEASE)) // least * least)
        self._next += count * every
        return Grant(self.author, now, first, every, count, 0.0)


@define(eq=False)
class LeasedSlots:
    """Uses slots that are granted elsewhere, perhaps on a machine whose clock says something else.

    The distance between the two clocks is bounded by every answer: it was given between the question and its arrival.
    A slot is waited for by the later bound and lapses by the earlier one, so that neither a slow network nor a busy
    machine lets requests bunch up.

    Attributes:
        grant: Asks for so many slots, at least so many in a row; raises `Unreachable` while nobody answers.
        clock: Seconds that only grow.
        sleep: Waits.
        lapsed: Slots that came too late to be used.
    """

    grant: Callable[[int, int], Awaitable[Grant]]
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], Any] = anyio.sleep
    lapsed: int = field(default=0, init=False)
    _slots: "deque[float]" = field(factory=deque, init=False)
    _turn: anyio.Lock = field(factory=anyio.Lock, init=False)
    _wanted: int = field(default=0, init=False)
    _every: float = field(default=0.0, init=False)
    _author: str = field(default="", init=False)
    _behind: tuple[float, float] = field(default=(-inf, inf), init=False)
    _asked_at: float = field(default=0.0, init=False)

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent."""
        await self.take(1)

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Do nothing: a permit that was used or lost is not returned."""

    async def take(self, requests: int) -> None:
        """Wait until `requests` requests may be sent."""
        self._wanted += requests
        slots: list[float] = []
        try:
            while len(slots) < requests:
                # One after the other asks, so that the slots go to who waits longest; each waits for its own by itself.
                async with self._turn:
                    while len(slots) < requests:
                        slots.append(await self._slot(requests - len(slots)))
                        slots = self._usable(slots, slots[-1])
                wait = slots[-1] + self._behind[1] - self.clock()
                if wait > 0:
                    await self.sleep(wait)
                slots = self._usable(slots, self.clock() - self._behind[0])
        finally:
            self._wanted -= requests

    def _usable(self, slots: list[float], now: float) -> list[float]:
        """The slots that have not lapsed at a time on the other clock, for requests that go together."""
        before = now - max(TOLERANCE, (len(slots) - 1) * self._every + TOLERANCE / 2)
        kept = [slot for slot in slots if slot >= before]
        self.lapsed += len(slots) - len(kept)
        return kept

    async def _slot(self, least: int) -> float:
        """The next slot."""
        while not self._slots:
            await self._more(least)
        return self._slots.popleft()

    async def _more(self, least: int) -> None:
        asked = self.clock()
        try:
            given = await self.grant(self._wanted, least)
        except Unreachable:
            await self.sleep(PATIENCE)
            return
        self._compare(given, asked, self.clock())
        self._every = given.every
        self._slots.extend(given.first + place * given.every for place in range(given.count))
        if not given.count:
            await self.sleep(max(0.001, given.wait))

    def _compare(self, given: Grant, asked: float, got: float) -> None:
        """Bound how far this clock is ahead of the other one."""
        low, high = self._behind
        apart = DRIFT * (got - self._asked_at)
        low, high = max(low - apart, asked - given.now), min(high + apart, got - given.now)
        if given.author != self._author or low > high:
            low, high = asked - given.now, got - given.now
        self._author, self._behind, self._asked_at = given.author, (low, high), got
