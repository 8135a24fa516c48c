"""A rate limit that several processes share through a Valkey or Redis server."""

from collections.abc import Callable
from functools import partial
from os import environ
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
from attrs import define, field

from wonder_customers._support import clock
from wonder_customers.bulk.options import check_rate
from wonder_customers.bulk.permits import HORIZON, LONGEST, MARGIN, VALIDITY, Grant, LeasedRateLimit, Unreachable
from wonder_customers.errors import ConfigurationError, needed
from wonder_customers.rate_limit import RequestResult, spacing
from wonder_customers.secret import guarded, without_frames
from wonder_customers.wire import Transmission

__all__ = ["PASSWORD", "SharedLimit"]

PASSWORD = "WONDER_CUSTOMERS_LIMIT_PASSWORD"  # noqa: S105 - a variable's name
"""The environment variable with the server's password."""

TIMEOUT = 1.0
"""Seconds within which the server must respond."""
_MOST_RUNNING = 4
"""Maximum number of unfinished requests to the server. Each keeps its thread."""

_INVALID = "the address of the shared limit must be redis://HOST:PORT/DATABASE or, for TLS, rediss://HOST:PORT/DATABASE"
_GRANT = f"""
local time, spacing, held = redis.call('TIME'), tonumber(ARGV[1]), redis.call('GET', KEYS[1])
local now, first = time[1] + time[2] / 1e6, tonumber(held or 'inf')
local function keep(moment)
    redis.call('SET', KEYS[1], string.format('%.6f', moment), 'EX', 3600 + math.ceil(spacing))
end
-- Without a state, or when the clock was set back: after all permits that may have been granted.
local safe = now + {HORIZON + LONGEST} + spacing
if first > safe then first = safe; keep(first) end
if first < now then first = now end
local fit = math.floor((now + {HORIZON} - first) / spacing + 1)
local count = math.min(tonumber(ARGV[2]), fit)
if count < 1 then return {{tostring(first - now - {HORIZON / 2}), '0'}} end
keep(first + count * spacing + math.max(0, tonumber(ARGV[3]) - {VALIDITY}))
return {{tostring(first - now), tostring(count)}}
"""


@guarded
@define(eq=False)
class SharedLimit:
    """A rate limit shared by all processes that use the same server and name. Pass it to a session as ``rate_limit``.

    While the server cannot be reached, no request is permitted. The server's clock must not be set forward while the
    limit is used.

    Attributes:
        url: The server, as ``redis://HOST:PORT/DATABASE``; ``rediss`` for TLS. It must not contain a password, which is
            read from the environment variable ``WONDER_CUSTOMERS_LIMIT_PASSWORD``.
        rate: The maximum number of requests per second, over all processes.
        name: Identifies the limit, such as the merchant's name.
        notify: Called with a message when the server cannot be reached, and when it responds again.
        unreachable_since: When the server stopped responding, on the monotonic clock; None while it responds.

    Raises:
        ConfigurationError: The URL contains a password, or its scheme is not redis or rediss; the rate is invalid; or
            the package redis is not installed.
    """

    url: str
    rate: float
    name: str = "default"
    notify: Callable[[str], None] = lambda _: None
    _leased: LeasedRateLimit = field(init=False)
    _script: Callable[..., Any] = field(init=False)
    _errors: type[Exception] = field(init=False)
    unreachable_since: float | None = field(default=None, init=False)
    _running: list[int] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        check_rate(self.rate)
        try:
            address = urlsplit(self.url)
            _ = address.port  # raises ValueError for an invalid port
        except ValueError:
            raise ConfigurationError(_INVALID) from None
        if address.password or "password" in address.query.casefold():
            raise ConfigurationError(
                "the address of the shared limit contains a password, which other users can see. Set the environment"
                f" variable {PASSWORD} instead."
            )
        if address.scheme not in {"redis", "rediss"}:
            raise ConfigurationError(_INVALID)
        self._leased = LeasedRateLimit(self._grant)
        with needed("shared-limit", "redis", by="a shared limit"):
            from redis import Redis, RedisError  # noqa: PLC0415 - an extra
            from redis.backoff import NoBackoff  # noqa: PLC0415
            from redis.retry import Retry  # noqa: PLC0415
        try:
            server = Redis.from_url(
                self.url,
                password=environ.get(PASSWORD),
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(NoBackoff(), 0),  # a permit of a repeated request would be older than it seems
            )
            server.connection_pool.make_connection()  # not opened; raises TypeError for an unknown option
        except (TypeError, ValueError):
            raise ConfigurationError(f"{_INVALID}; an option after the question mark is invalid") from None
        self._script, self._errors = server.register_script(_GRANT), RedisError

    async def check(self) -> None:
        """Raise `ConfigurationError` if the server does not respond, or refuses the command."""
        try:
            await self._run(0, VALIDITY)
        except self._errors as error:
            raise ConfigurationError(
                f"the shared limit at {self._where} cannot be reached ({error}). Check the address, the server, and"
                f" the password in the environment variable {PASSWORD}."
            ) from None

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent."""
        await self._leased.acquire(transmission)

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Do nothing, because permits are not returned."""

    async def _run(self, count: int, validity: float) -> Grant:
        between = spacing(self.rate, 1.0, MARGIN)
        if len(self._running) >= _MOST_RUNNING:
            raise self._errors("earlier requests have not returned")
        try:
            # Abandoned at the deadline: permits that the server grants later are lost.
            run = partial(self._ask, [between, count, validity])
            wait, granted = await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
        except self._errors as error:
            # The server may repeat the command, and the frames contain it.
            without_frames(error)
            password = environ.get(PASSWORD)
            error.args = (str(error).replace(password, "***") if password else str(error),)
            raise
        except (TypeError, ValueError):
            raise self._errors("it does not respond like a Redis or Valkey server") from None
        return Grant(float(wait), between, int(granted))

    def _ask(self, arguments: list[float]) -> Any:
        self._running.append(1)
        try:
            return self._script(keys=[f"wonder-customers:{self.name}"], args=arguments)
        finally:
            self._running.pop()

    async def _grant(self, count: int, validity: float) -> Grant:
        try:
            granted = await self._run(count, validity)
        except self._errors as error:
            if self.unreachable_since is None:
                self.unreachable_since = clock.monotonic()
                self.notify(
                    f"The shared limit at {self._where} cannot be reached ({error}). No request is sent until the"
                    " server responds."
                )
            raise Unreachable from None
        if self.unreachable_since is not None:
            self.unreachable_since = None
            self.notify(f"The shared limit at {self._where} responds again.")
        return granted

    @property
    def _where(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or 6379}"
