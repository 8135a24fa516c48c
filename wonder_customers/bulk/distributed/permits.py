"""A rate limit for many processes: one process grants permits, and the others use them. No I/O here.

Permits are evenly spaced, and each is valid for a short time only. The server counts the whole time of validity, and
the client measures it from the moment at which it asked. So the limit holds for the moments at which requests leave,
without a comparison of clocks. Unused permits are lost, so that neither a pause nor a restart is followed by a burst.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

import anyio
from attrs import define, field, frozen

from wonder_customers._support import clock
from wonder_customers.errors import ConfigurationError
from wonder_customers.rate_limit import RequestResult, spacing
from wonder_customers.wire import Transmission

__all__ = ["Grant", "LeasedRateLimit", "PermitServer", "Unreachable", "check_shared_rate"]

HORIZON = 0.2
"""Seconds by which permits are granted ahead at most."""
VALIDITY = 0.06
"""Seconds for which a permit is valid, unless the client asks for more."""
LONGEST = 0.5
"""Seconds of validity for which a client may ask, if the responses take long."""
MARGIN = VALIDITY + 0.04
"""Seconds added to a period: the validity, and the varying time that requests take to reach the gateway."""
PATIENCE = 0.2
"""Seconds between two attempts to reach another process."""


class Unreachable(Exception):
    """Raised when another process of the job cannot be reached."""


@frozen
class Grant:
    """Evenly spaced permits.

    Attributes:
        wait: Seconds from the moment of the grant to the first permit. If there are none: until more can be granted.
        spacing: Seconds between two permits.
        count: The number of permits.
    """

    wait: float
    spacing: float
    count: int


def check_shared_rate(rate: float) -> None:
    """Check a rate.

    Raises:
        ConfigurationError: It is not more than 0.
    """
    if not rate > 0:
        raise ConfigurationError("the rate must be more than 0 requests per second")


@define(eq=False)
class PermitServer:
    """Grants permits: at most `rate` of them can be used in any second.

    A new instance starts after all permits that a previous one could have granted, so that it can replace one that
    died.

    Attributes:
        rate: Permits per second.
        clock: A monotonic clock in seconds.
    """

    rate: float
    clock: Callable[[], float] = monotonic
    _spacing: float = field(init=False)
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        check_shared_rate(self.rate)
        self._spacing = spacing(self.rate, 1.0, MARGIN)
        self._next = self.clock() + HORIZON + LONGEST + self._spacing

    def grant(self, wanted: int, validity: float = VALIDITY) -> Grant:
        """Return the next permits, within `HORIZON`.

        Args:
            wanted: How many can be used now.
            validity: Seconds for which the client will use each of them.
        """
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
    """A rate limit that uses permits of another process.

    Attributes:
        grant: Requests permits: how many, and for how many seconds each is used. Raises `Unreachable`.
        lapsed: The number of permits that came too late to be used.
    """

    grant: Callable[[int, float], Awaitable[Grant]]
    lapsed: int = field(default=0, init=False)
    _permits: "deque[tuple[float, float]]" = field(factory=deque, init=False)
    _asking: anyio.Lock = field(factory=anyio.Lock, init=False)
    _wanted: int = field(default=0, init=False)
    _delays: "deque[float]" = field(factory=lambda: deque(maxlen=5), init=False)

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent, and set how long the permit is valid."""
        self._wanted += 1
        try:
            transmission.valid_until = await self._permit()
        finally:
            self._wanted -= 1

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Do nothing: a permit that was used or lost is not returned."""

    async def _permit(self) -> float:
        """Wait for a permit; return the end of its validity."""
        while True:
            # One task at a time requests permits, so that they are used in order of arrival.
            async with self._asking:
                while not self._permits:
                    await self._ask()
                start, end = self._permits.popleft()
            if (wait := start - clock.monotonic()) > 0:
                await clock.sleep(wait)
            if clock.monotonic() <= end:
                return end
            self.lapsed += 1

    async def _ask(self) -> None:
        asked = clock.monotonic()
        usual = sorted(self._delays)[len(self._delays) // 2] if self._delays else 0.0
        validity = min(LONGEST, max(VALIDITY, 2 * usual))
        try:
            granted = await self.grant(self._wanted, validity)
        except Unreachable:
            await clock.sleep(PATIENCE)
            return
        received = clock.monotonic()
        self._delays.append(received - asked)
        for number in range(granted.count):
            # It was granted after `asked` and before `received`.
            after = granted.wait + number * granted.spacing
            self._permits.append((received + after, asked + after + validity))
        if not granted.count:
            await clock.sleep(max(0.001, granted.wait))
