"""A rate limit for many processes: one process grants permits, and the others use them."""

from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

import anyio
from attrs import define, field, frozen

from wonder_customers._support import clock
from wonder_customers.bulk.options import check_rate
from wonder_customers.errors import ConfigurationError
from wonder_customers.rate_limit import IN_USE, RequestResult, spacing
from wonder_customers.wire import Transmission

__all__ = ["Grant", "LeasedRateLimit", "PermitServer", "Unreachable", "reach"]

T = TypeVar("T")

HORIZON = 0.2
"""The maximum time in seconds for which permits are granted in advance."""
VALIDITY = 0.06
"""Seconds for which a permit is valid, unless the client requests a longer time."""
LONGEST = 0.5
"""The maximum validity in seconds that a client requests if the server responds slowly."""
MARGIN = VALIDITY + 0.04
"""Seconds added to a period: the validity, and the varying time that requests take to reach the gateway."""
RETRY_SECONDS = 0.2
"""Seconds between two attempts to reach another process."""


class Unreachable(Exception):
    """Raised when another process of the job cannot be reached."""


async def reach(call: Callable[..., Awaitable[T]], *arguments: Any, check: Callable[[], None] = lambda: None) -> T:
    """Call another process until it responds or `check` raises an error."""
    while True:
        try:
            return await call(*arguments)
        except Unreachable:
            check()
            await clock.sleep(RETRY_SECONDS)


@frozen
class Grant:
    """Evenly spaced permits.

    Attributes:
        wait: Seconds from the grant to the first permit; without permits, seconds until permits are requested again.
        spacing: Seconds between two permits.
        count: The number of permits.
    """

    wait: float
    spacing: float
    count: int


@define(eq=False)
class PermitServer:
    """Grants permits at a rate.

    Attributes:
        rate: Permits per second.
        clock: A monotonic clock in seconds.
    """

    rate: float
    clock: Callable[[], float] = monotonic
    _spacing: float = field(init=False)
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        check_rate(self.rate)
        self._spacing = spacing(self.rate, 1.0, MARGIN)
        # Later than all permits that a previous instance can have granted.
        self._next = self.clock() + HORIZON + LONGEST + self._spacing

    def grant(self, wanted: int, validity: float = VALIDITY) -> Grant:
        """Grant up to `wanted` permits, each valid for `validity` seconds."""
        now = self.clock()
        first = max(self._next, now)
        count = min(wanted, int((now + HORIZON - first) / self._spacing + 1))
        if count < 1:
            # Later than necessary, so that the next response contains several permits.
            return Grant(first - now - HORIZON / 2, self._spacing, 0)
        self._next = first + count * self._spacing + max(0.0, validity - VALIDITY)
        return Grant(first - now, self._spacing, count)


@define(eq=False)
class LeasedRateLimit:
    """A rate limit that uses the permits of a server in another process.

    Attributes:
        grant: Requests permits, given their number and validity in seconds. Raises `Unreachable`.
    """

    grant: Callable[[int, float], Awaitable[Grant]]
    _permits: "deque[tuple[float, float]]" = field(factory=deque, init=False)
    _asking: anyio.Lock = field(factory=anyio.Lock, init=False)
    _requesting: list[Transmission] = field(factory=list, init=False)
    _loop: object = field(default=None, init=False)
    _delays: "deque[float]" = field(factory=lambda: deque(maxlen=5), init=False)

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent, or raise `ConfigurationError` if another event loop uses the limit."""
        if self._loop is not (loop := clock.running_loop()):
            if self._requesting and not clock.is_closed(self._loop):
                raise ConfigurationError(IN_USE)
            self._loop, self._asking, self._requesting = loop, anyio.Lock(), []
        requesting = self._requesting
        requesting.append(transmission)
        try:
            transmission.valid_until = await self._permit()
        finally:
            requesting.pop()

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Do nothing, because permits are not returned."""

    async def _permit(self) -> float:
        """Wait for a permit; return the end of its validity."""
        while True:
            # One task at a time requests permits, so that tasks get permits in the order of their arrival.
            async with self._asking:
                while not self._permits:
                    await self._ask()
                start, end = self._permits.popleft()
            if (wait := start - clock.monotonic()) > 0:
                await clock.sleep(wait)
            if clock.monotonic() <= end:
                return end

    async def _ask(self) -> None:
        asked = clock.monotonic()
        usual = sorted(self._delays)[len(self._delays) // 2] if self._delays else 0.0
        validity = min(LONGEST, max(VALIDITY, 2 * usual))
        try:
            granted = await self.grant(len(self._requesting), validity)
        except Unreachable:
            await clock.sleep(RETRY_SECONDS)
            return
        received = clock.monotonic()
        self._delays.append(received - asked)
        for number in range(granted.count):
            # The permit was granted between `asked` and `received`.
            after = granted.wait + number * granted.spacing
            self._permits.append((received + after, asked + after + validity))
        if not granted.count:
            await clock.sleep(max(0.001, granted.wait))
