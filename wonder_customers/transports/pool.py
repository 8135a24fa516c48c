"""The connection pool of both transports."""

import re
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Mapping
from ipaddress import ip_address
from math import inf
from time import monotonic
from typing import ClassVar, Final, Generic, NoReturn, TypeVar

from anyio.lowlevel import checkpoint_if_cancelled

from wonder_customers._support.clock import running_loop
from wonder_customers._support.wait_queue import Slots
from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportTimeout

KEEP_ALIVE: Final = 4.0
"""Seconds for which an idle connection is kept by default. Common servers wait for 5 s or more."""

MAX_AGE: Final = 300.0
"""Maximum age of a connection in seconds, so that a change of the gateway's address is noticed."""

_KEEP_ALIVE_TIMEOUT: Final = re.compile(r"timeout\s*=\s*([0-9]{1,6})\b", re.IGNORECASE)


class PooledConnection(ABC):
    """A connection for one request at a time, opened on first use."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.created: float = monotonic()
        self.idle_since: float = 0.0
        self.due = inf  # when the idle connection must be closed
        self.served = False  # whether it has returned a complete response

    @abstractmethod
    async def send(self, signed_request: SignedRequest, transmission: Transmission, deadline: float) -> HttpResponse:
        """Send a request and return the response. `deadline` is on the monotonic clock."""

    @abstractmethod
    def is_reusable(self, now: float) -> bool:
        """Return whether the connection can be used for another request."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connection, even if the current task is cancelled."""


C = TypeVar("C", bound=PooledConnection)


def check_max_connections(number: object) -> None:
    """Raise `ConfigurationError` unless `number` is an integer from 1 to 10,000."""
    if type(number) is not int or not 1 <= number <= 10_000:
        raise ConfigurationError(f"max_connections must be an integer from 1 to 10000, not {number!r:.50}")


class ConnectionPool(ABC, Generic[C]):
    """Base class of both transports."""

    # See `wonder_customers.wire.Transport`.
    ends_in_time: ClassVar[bool] = True
    reaches_origin: bool = True

    def __init__(self, max_connections: int, local_address: str | None = None) -> None:
        check_max_connections(max_connections)
        try:
            self._local_address = None if local_address is None else str(ip_address(local_address))
        except ValueError:
            raise ConfigurationError(f"local_address must be an IP address, not {local_address!r:.50}") from None
        self.open_connections: int = 0
        self._max = max_connections
        self._slots = Slots(max_connections)
        self._idle: defaultdict[Origin, deque[C]] = defaultdict(deque)
        self._closed = False
        self._loop: object = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport cannot be pickled, because it may contain the password of a proxy")

    @property
    def busy_connections(self) -> int:
        """Number of requests in progress."""
        return self._max - self._slots.free

    @property
    def idle_connections(self) -> int:
        """Number of open connections that are not in use."""
        return sum(map(len, list(self._idle.values())))

    @property
    def waiting_requests(self) -> int:
        """Number of requests that wait for a free connection."""
        return self._slots.waiting

    @abstractmethod
    def _new(self, origin: Origin) -> C:
        """Return a connection to `origin` that is not open yet."""

    @abstractmethod
    def _close_when_due(self, connection: C) -> None:
        """Schedule the closing of an idle connection."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Send one request once and return its complete response.

        Raises:
            ConfigurationError: The transport was used on another event loop before, or does not allow this request.
            TransportError: No complete response arrived.
            TransportTimeout: No complete response arrived within the request's time limit.
        """
        if running_loop() is not self._loop:
            self._check_loop()
        if signed_request.method != "GET":
            await checkpoint_if_cancelled()  # a cancelled task must not send a write
        now = monotonic()
        deadline = now + signed_request.within
        waits = not self._slots.acquire_nowait()
        if waits:
            now = await self._wait_for_slot(deadline)
        try:
            if waits:
                await transmission.leave()  # the session may have been closed meanwhile
            connection, unusable = self._take(signed_request.origin, now)
            kept = False  # only a connection with a complete response is used again
            try:
                if unusable:
                    await close_all(unusable)
                response = await connection.send(signed_request, transmission, deadline)
                kept = self._put_back(connection, response.headers)
            finally:
                if not kept:
                    self.open_connections -= 1
                    await close_all([*unusable, connection])
            return response
        finally:
            self._slots.release()

    def _check_loop(self) -> None:
        loop = running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop != loop:
            raise ConfigurationError(
                "the transport was used on another event loop. Nothing was sent. Use a separate transport for each"
                " event loop."
            )

    async def _wait_for_slot(self, deadline: float) -> float:
        """Take a slot, and return the time."""
        if await self._slots.acquire(deadline - monotonic()):
            if (now := monotonic()) < deadline:
                return now
            self._slots.release()
        raise TransportTimeout("no connection became free within the time limit")

    def _take(self, origin: Origin, now: float) -> tuple[C, list[C]]:
        """Return a connection to `origin`, and the connections that must be closed first."""
        # Not async, so that two requests cannot take the same connection.
        unusable: list[C] = []
        stack = self._idle[origin]
        while stack:
            connection = stack.pop()
            if now < connection.due and connection.is_reusable(now):
                return connection, unusable
            unusable.append(connection)
            self.open_connections -= 1
        connection = self._new(origin)
        if self.open_connections >= self._max:
            unusable.append(self._pop_oldest_idle())
        self.open_connections += 1
        return connection, unusable

    def _pop_oldest_idle(self) -> C:
        stack = min((stack for stack in self._idle.values() if stack), key=lambda stack: stack[0].idle_since)
        self.open_connections -= 1
        return stack.popleft()

    def _put_back(self, connection: C, headers: Mapping[str, str]) -> bool:
        """Return a connection to the pool. Return False if it must be closed."""
        now = monotonic()
        if self._closed or "close" in headers.get("connection", "").lower() or not connection.is_reusable(now):
            return False
        keep_alive = _idle_time(headers["keep-alive"]) if "keep-alive" in headers else KEEP_ALIVE
        connection.served, connection.idle_since = True, now
        connection.due = due = min(now + keep_alive, connection.created + MAX_AGE)
        if due <= now:
            return False
        self._idle[connection.origin].append(connection)
        self._close_when_due(connection)
        return True

    def _remove_idle(self, connection: C) -> bool:
        """Remove a connection from the pool. Return False if it is not idle."""
        stack = self._idle[connection.origin]
        if connection not in stack:
            return False
        stack.remove(connection)
        self.open_connections -= 1
        return True

    async def aclose(self) -> None:
        """Close all idle connections. Busy connections are closed when their requests end."""
        self._closed = True
        while any(self._idle.values()):
            await self._pop_oldest_idle().aclose()


async def close_all(connections: list[C]) -> None:
    """Close the connections, and empty the list."""
    while connections:
        await connections.pop().aclose()


def _idle_time(keep_alive: str) -> float:
    """Return the seconds to keep an idle connection, given a Keep-Alive header."""
    found = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
    # Less than the timeout, because the server started to count earlier.
    return KEEP_ALIVE if found is None else int(found[1]) * 0.8
