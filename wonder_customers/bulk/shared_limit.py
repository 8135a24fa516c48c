"""A rate limit shared by several plain processes through Valkey or Redis, with the library ``limits``.

Time is divided into ticks, and each tick has room for a number of requests. A process reserves room in a tick that is
about to start, waits for it, and sends; room that is used too late is discarded. The requests of all processes are
therefore evenly spaced. The clocks of the processes must agree within some milliseconds, as with NTP.
"""

from collections.abc import Callable
from functools import partial
from math import floor
from os import environ
from time import time
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from attrs import define, field

from wonder_customers.bulk.distributed.slots import TOLERANCE
from wonder_customers.errors import ConfigurationError, needed
from wonder_customers.rate_limit import RequestResult
from wonder_customers.secret import guarded
from wonder_customers.wire import Transmission

__all__ = ["PASSWORD", "SharedLimit"]

PASSWORD = "WONDER_CUSTOMERS_LIMIT_PASSWORD"  # noqa: S105 - a variable's name
"""The environment variable with the server's password."""

TICK = 0.02
"""The approximate length of a tick in seconds."""
AHEAD = 0.3
"""The maximum number of seconds by which room is reserved ahead."""
TIMEOUT = 1.0
"""Seconds within which the server must respond."""
AGAIN = 0.5
"""Seconds until a server that did not respond is tried again."""


def _silent(_reason: str) -> None:
    """Discard a message."""


@guarded
@define(eq=False)
class SharedLimit:
    """A rate limit shared by all processes that use the same server and name. Pass it to a session as ``rate_limit``.

    While the server cannot be reached, no request is permitted.

    Attributes:
        url: The server, as ``redis://HOST:PORT/DATABASE``; ``rediss`` for TLS. It must not contain a password, which is
            read from the environment variable ``WONDER_CUSTOMERS_LIMIT_PASSWORD``.
        rate: The maximum number of requests per second, over all processes.
        name: Identifies the limit, such as the merchant's name.
        tell: Called with a message when the server cannot be reached, and when it responds again.
        clock: Returns Unix time.
    """

    url: str
    rate: float
    name: str = "default"
    tell: Callable[[str], None] = _silent
    clock: Callable[[], float] = time
    room: int = field(init=False)
    _tick: float = field(init=False)
    _hit: Callable[[int, int], bool] = field(init=False)
    _errors: type[Exception] = field(init=False)
    _from: int = field(default=0, init=False)
    _away: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        if not self.rate > 0:
            raise ConfigurationError("the rate of a shared limit must be more than 0 requests per second")
        self.room = max(1, floor(self.rate * TICK))
        self._tick = self.room / self.rate
        if urlsplit(self.url).password:
            raise ConfigurationError(
                f"the shared limit's address contains a password, which is visible to others: put it into {PASSWORD}"
            )
        self._connect()

    def _connect(self) -> None:
        with needed("shared-limit", "limits", "redis", by="a shared limit"):
            from limits import RateLimitItemPerSecond  # noqa: PLC0415 - an extra
            from limits.errors import StorageError  # noqa: PLC0415
            from limits.storage import storage_from_string  # noqa: PLC0415
            from limits.strategies import FixedWindowRateLimiter  # noqa: PLC0415
            from redis.backoff import NoBackoff  # noqa: PLC0415
            from redis.retry import Retry  # noqa: PLC0415
        # A restarted server has lost the reservations, so reconnecting must not happen silently.
        how: dict[str, Any] = {
            "wrap_exceptions": True,
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
        }
        if environ.get(PASSWORD):
            how["password"] = environ[PASSWORD]
        if urlsplit(self.url).scheme not in {"redis", "rediss"}:
            raise ConfigurationError("the shared limit's address is redis://HOST:PORT or rediss://HOST:PORT")
        limiter = FixedWindowRateLimiter(storage_from_string(self.url, **how))
        item = RateLimitItemPerSecond(self.room, 1, "wonder-customers")

        def hit(tick: int, requests: int) -> bool:
            return bool(limiter.hit(item, self.name, str(tick), cost=requests))

        self._hit, self._errors = hit, StorageError

    async def check(self) -> None:
        """Check that the server responds.

        Raises:
            ConfigurationError: It does not respond.
        """
        try:
            await anyio.to_thread.run_sync(self._hit, -1, 0)
        except self._errors as error:
            raise ConfigurationError(
                f"the shared limit at {self._where} cannot be reached ({error.__cause__ or error}). Nothing was sent."
            ) from None

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent."""
        await self.take(1)

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Do nothing: room that was used or lost is not returned."""

    async def take(self, requests: int) -> None:
        """Wait until `requests` requests may be sent."""
        while requests > 0:
            some = min(requests, self.room)
            while not await self._reached(some):
                pass
            requests -= some

    async def _reached(self, requests: int) -> bool:
        """Reserve room in the next tick and wait for it; return False if that failed."""
        tick = max(self._from, floor(self.clock() / self._tick) + 1)
        early = tick * self._tick - self.clock() - AHEAD
        if early > 0:
            await anyio.sleep(early)
            return False
        try:
            taken = await anyio.to_thread.run_sync(partial(self._hit, tick, requests))
        except self._errors as error:
            await self._wait(error)
            return False
        if self._away:
            self._away = False
            self.tell(f"The shared limit at {self._where} responds again.")
        if not taken:
            self._from = max(self._from, tick + 1)
            return False
        wait = tick * self._tick - self.clock()
        if wait > 0:
            await anyio.sleep(wait)
        return self.clock() <= tick * self._tick + TOLERANCE

    async def _wait(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            self.tell(
                f"The shared limit at {self._where} cannot be reached ({error.__cause__ or error}). Nothing is sent"
                " until it responds."
            )
        await anyio.sleep(AGAIN)
        # Reservations that other processes made before the failure are over by then.
        self._from = max(self._from, floor((self.clock() + AHEAD) / self._tick) + 1)

    @property
    def _where(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or 6379}"
