"""A rate limit for many processes: one process grants permits with a time, and the others use them. No I/O here.

A permit is the time at which one request may be sent. Unused permits are lost, so that neither a pause nor a restart is
followed by a burst.
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
"""Seconds by which permits are granted ahead at most."""
LEASE = 0.05
"""The maximum number of permits per response, in seconds' worth."""
LEAD = 0.005
"""Seconds by which a permit is ahead at least, because the response has to travel."""
TOLERANCE = 0.025
"""Seconds by which a request may be late for its permit; the rate of a second may be exceeded by this share of it."""
PATIENCE = 0.2
"""Seconds between two attempts to reach another process."""
DRIFT = 5e-4
"""Seconds per second by which the clocks of two machines may diverge, as corrected by the kernel."""


class Unreachable(Exception):
    """Raised when another process of the job cannot be reached."""


@frozen
class Grant:
    """Evenly spaced permits, on the clock of the process that grants them.

    Attributes:
        author: Identifies the process; a restarted one has another value.
        now: When they were granted.
        first: The time of the first permit.
        every: Seconds between two permits.
        count: The number of permits.
        wait: Seconds after which another request makes sense, if there are none.
    """

    author: str
    now: float
    first: float
    every: float
    count: int
    wait: float


@define(eq=False)
class Slots:
    """Grants permits at a rate, never two for the same time.

    A new instance starts after all permits that a previous one could have granted, so that it can replace one that
    died.

    Attributes:
        rate: Permits per second.
        clock: A monotonic clock in seconds.
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
        """Return the next permits, within `LEASE` and `HORIZON`.

        Args:
            wanted: How many can be used now.
            least: The number of consecutive permits that are needed; fewer are not granted.
        """
        now, every = self.clock(), 1 / self.rate
        first = self._next = max(self._next, now + LEAD)
        # Consecutive permits may span more than the horizon; then they start at once.
        latest = now + max(LEAD, HORIZON - (least - 1) * every)
        if first > latest + 1e-9:
            return Grant(self.author, now, first, every, 0, first - latest)
        due = max(least, int((now + HORIZON - first) * self.rate) + 1)
        count = max(least, min(wanted, due, ceil(self.rate * LEASE)) // least * least)
        self._next += count * every
        return Grant(self.author, now, first, every, count, 0.0)


@define(eq=False)
class LeasedSlots:
    """A rate limit that uses permits of another process, whose clock may differ.

    Every response bounds the difference between the two clocks, because it was sent between the request and its
    arrival. A permit is waited for by the later bound and expires by the earlier one, so that neither a slow network
    nor a busy machine causes bursts.

    Attributes:
        grant: Requests permits: how many, and how many consecutive ones; raises `Unreachable`.
        clock: A monotonic clock in seconds.
        sleep: Waits.
        lapsed: The number of permits that came too late.
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
                # One task at a time requests permits, so that they are used in order of arrival.
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
        """Return the permits that have not expired, by the other clock."""
        before = now - max(TOLERANCE, (len(slots) - 1) * self._every + TOLERANCE / 2)
        kept = [slot for slot in slots if slot >= before]
        self.lapsed += len(slots) - len(kept)
        return kept

    async def _slot(self, least: int) -> float:
        """Return the next permit."""
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
        """Update the bounds of the difference between the clocks."""
        low, high = self._behind
        apart = DRIFT * (got - self._asked_at)
        low, high = max(low - apart, asked - given.now), min(high + apart, got - given.now)
        if given.author != self._author or low > high:
            low, high = asked - given.now, got - given.now
        self._author, self._behind, self._asked_at = given.author, (low, high), got
