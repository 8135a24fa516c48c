"""The connection pool of both transports: a limit on concurrent requests, and a stack of idle connections per origin.

A connection serves one request at a time. It returns to the pool only after a complete response; after anything else,
cancellation included, it is closed. Therefore a broken connection is never used again, and no slot is lost.
"""

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import ClassVar, Final, Generic, Protocol, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled, current_token

from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportTimeout

__all__ = ["KEEP_ALIVE", "MAX_AGE", "ConnectionPool", "PooledConnection", "Waiter"]

KEEP_ALIVE: Final = 4.0
"""Seconds an idle connection is kept. Common servers close theirs after 5 s or more."""

MAX_AGE: Final = 300.0
"""Seconds after which a connection is replaced, so that a changed address of the gateway is found."""

_KEEP_ALIVE_TIMEOUT: Final = re.compile(r"timeout\s*=\s*([0-9]{1,6})\b", re.IGNORECASE)


class PooledConnection(Protocol):
    """A connection for one request at a time; it connects when it is first used.

    Attributes:
        origin: The gateway it leads to.
        created: When it was created, on the monotonic clock.
        idle_since: When its last response was complete.
        due: While it is idle, when it must be closed.
        served: It has returned a complete response, so that the next request uses a kept-alive connection.
    """

    origin: Origin
    created: float
    idle_since: float
    due: float
    served: bool


C = TypeVar("C", bound=PooledConnection)


class Waiter(Protocol):
    """A request that waits for a free slot."""

    def set(self) -> object:
        """Give it the slot."""

    def is_set(self) -> bool:
        """Return whether it was given the slot."""


def check_max_connections(number: object) -> None:
    """Check a limit on connections.

    Raises:
        ConfigurationError: It is not a whole number from 1 to 10,000.
    """
    if type(number) is not int or not 1 <= number <= 10_000:
        raise ConfigurationError("max_connections must be a whole number from 1 to 10000")


class ConnectionPool(ABC, Generic[C]):
    """Base class of both transports: limits the number of concurrent requests and reuses connections.

    Args:
        max_connections: Largest number of connections to all gateways. Further requests wait within their deadline.

    Raises:
        ConfigurationError: `max_connections` is not a whole number from 1 to 10,000.
    """

    ends_in_time: ClassVar[bool] = True

    def __init__(self, max_connections: int) -> None:
        check_max_connections(max_connections)
        self._max = max_connections
        self._free = max_connections
        self._waiters: deque[Waiter] = deque()
        self._idle: dict[Origin, deque[C]] = {}
        self._open = 0
        self._closed = False
        self._loop: object = None

    @property
    def open_connections(self) -> int:
        """Number of connections, busy and idle."""
        return self._open

    @property
    def busy_connections(self) -> int:
        """Number of requests in progress."""
        return self._max - self._free

    @property
    def idle_connections(self) -> int:
        """Number of connections that wait for a request."""
        return sum(map(len, list(self._idle.values())))

    @property
    def waiting_requests(self) -> int:
        """Number of requests that wait for a free connection."""
        return len(self._waiters)

    @abstractmethod
    def _new(self, origin: Origin) -> C:
        """Return a connection to `origin` that is not connected yet."""

    @abstractmethod
    def _is_reusable(self, connection: C) -> bool:
        """Return whether an idle connection is still open, with nothing received after its last response."""

    @abstractmethod
    async def _send_and_receive(
        self, connection: C, signed_request: SignedRequest, transmission: Transmission, deadline: float
    ) -> HttpResponse:
        """Send a request and return its response; raise `TransportTimeout` at `deadline` on the monotonic clock."""

    @abstractmethod
    async def _close(self, connection: C) -> None:
        """Close a connection, even if the current task is cancelled."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Send one request once and return its complete response.

        Raises:
            ConfigurationError: The transport was used on another event loop before.
            TransportError: No complete response arrived.
            TransportTimeout: No complete response arrived within the request's time limit.
        """
        self._check_loop()
        # A task that is cancelled already must not send anything.
        await checkpoint_if_cancelled()
        deadline = monotonic() + signed_request.within
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_slot(deadline)
        try:
            return await self._send_on_connection(signed_request, transmission, deadline)
        finally:
            self._release_slot()

    def _current_loop(self) -> object:
        """Return an object that identifies the running event loop."""
        return current_token()

    def _check_loop(self) -> None:
        loop = self._current_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop != loop:
            raise ConfigurationError(
                "the transport was used on another event loop before; use one transport per event loop."
                " Nothing was sent."
            )

    async def _wait_for_slot(self, deadline: float) -> None:
        waiter = self._new_waiter()
        self._waiters.append(waiter)
        try:
            await self._wait(waiter, deadline)
        except BaseException:
            self._leave_queue(waiter)
            raise
        if not waiter.is_set() or monotonic() >= deadline:
            self._leave_queue(waiter)
            raise TransportTimeout("no connection became free in time")

    def _new_waiter(self) -> Waiter:
        return anyio.Event()

    async def _wait(self, waiter: Waiter, deadline: float) -> None:
        """Return when `waiter` has its slot, or at `deadline`."""
        assert isinstance(waiter, anyio.Event)  # noqa: S101 - created above
        with anyio.move_on_after(deadline - monotonic()):
            await waiter.wait()

    def _leave_queue(self, waiter: Waiter) -> None:
        if waiter.is_set():
            self._release_slot()  # it was given the slot at the same moment
        else:
            self._waiters.remove(waiter)

    def _release_slot(self) -> None:
        if self._waiters:
            self._waiters.popleft().set()
        else:
            self._free += 1

    async def _send_on_connection(
        self, signed_request: SignedRequest, transmission: Transmission, deadline: float
    ) -> HttpResponse:
        connection, unusable = self._take(signed_request.origin)
        kept = False
        try:
            while unusable:
                await self._close(unusable.pop())
            response = await self._send_and_receive(connection, signed_request, transmission, deadline)
            kept = self._put_back(connection, response.headers)
        finally:
            for other in unusable:
                await self._close(other)
            if not kept:
                self._open -= 1
                await self._close(connection)
        return response

    def _take(self, origin: Origin) -> tuple[C, list[C]]:
        """Return a connection to `origin`, and connections to close: unusable ones, or one to make room.

        It does not wait, so that two requests cannot take the same connection.
        """
        unusable: list[C] = []
        stack = self._idle.get(origin)
        now = monotonic()
        while stack:
            connection = stack.pop()
            if now < connection.due and self._is_reusable(connection):
                return connection, unusable
            unusable.append(connection)
            self._open -= 1
        if self._open >= self._max:
            unusable.append(self._remove_oldest_idle())
        self._open += 1
        return self._new(origin), unusable

    def _remove_oldest_idle(self) -> C:
        stack = min((stack for stack in self._idle.values() if stack), key=lambda stack: stack[0].idle_since)
        self._open -= 1
        return stack.popleft()

    def _put_back(self, connection: C, headers: Mapping[str, str]) -> bool:
        """Keep a connection after a complete response; return False if it must be closed."""
        if self._closed or headers.get("connection", "").lower() == "close":
            return False
        keep_alive = KEEP_ALIVE if (announced := headers.get("keep-alive")) is None else _announced(announced)
        now = monotonic()
        connection.served, connection.idle_since = True, now
        connection.due = min(now + keep_alive, connection.created + MAX_AGE)
        if connection.due <= now or not self._is_reusable(connection):
            return False
        stack = self._idle.get(connection.origin)
        if stack is None:
            stack = self._idle[connection.origin] = deque()
        stack.append(connection)
        self._close_when_due(connection)
        return True

    @abstractmethod
    def _close_when_due(self, connection: C) -> None:
        """Arrange that an idle connection is closed when it is due."""

    def _remove_idle(self, connection: C) -> bool:
        """Take a connection out of the pool; return False if it is not idle."""
        stack = self._idle.get(connection.origin, ())
        if connection not in stack:
            return False
        self._idle[connection.origin].remove(connection)
        self._open -= 1
        return True

    async def aclose(self) -> None:
        """Close all idle connections. Busy ones are closed when their request ends."""
        self._closed = True
        while any(self._idle.values()):
            await self._close(self._remove_oldest_idle())


def _announced(keep_alive: str) -> float:
    """Return how long to keep an idle connection, for the value of a Keep-Alive header such as ``timeout=5, max=100``.

    It is a fifth shorter than announced, because the server's time began earlier.
    """
    found = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
    return KEEP_ALIVE if found is None else int(found[1]) * 0.8
