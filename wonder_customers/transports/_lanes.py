"""The pool that both transports share: lanes of one connection each, behind one limiter.

A free lane is taken from a stack, used by one request, and put back when the answer arrived whole; otherwise it is
closed. Nothing can leak, because a lane that saw trouble is never used again.
"""

from abc import ABC, abstractmethod
from collections import deque
from time import monotonic
from typing import Final, Generic, Protocol, TypeVar

import anyio
from anyio.lowlevel import current_token

from wonder_customers._wire import Flight, Origin, Outgoing, WireReply
from wonder_customers.errors import ConfigurationError

KEEP_ALIVE: Final = 4.0
"""Seconds an idle connection is kept: below the 5 s after which the earliest servers drop theirs."""

REPLY_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of an answer's body that are read at most."""


class Lane(Protocol):
    """One connection at most, for one request at a time.

    Attributes:
        origin: Where it leads.
        idle_since: When it was put back last, on the monotonic clock.
        served: It has brought a whole answer, so the next request goes out on a kept connection.
    """

    origin: Origin
    idle_since: float
    served: bool


AnyLane = TypeVar("AnyLane", bound=Lane)


class Lanes(ABC, Generic[AnyLane]):
    """A stack of idle lanes per origin, and the number of requests that may be under way.

    Args:
        max_connections: Lanes at most, over all gateways; further requests wait within their deadline.

    Raises:
        ConfigurationError: `max_connections` is no positive whole number.
    """

    def __init__(self, max_connections: int) -> None:
        if type(max_connections) is not int or not 1 <= max_connections <= 10_000:
            raise ConfigurationError("max_connections must be a whole number from 1 to 10000")
        self._max = max_connections
        self._places = anyio.Semaphore(max_connections, fast_acquire=True)
        self._idle: dict[Origin, deque[AnyLane]] = {}
        self._open = 0
        self._closed = False
        self._home: object = None
        self._binds = True

    @property
    def open_lanes(self) -> int:
        """Lanes that exist now, busy ones and idle ones."""
        return self._open

    @property
    def busy_lanes(self) -> int:
        """Requests under way now."""
        return self._max - self._places.value

    @abstractmethod
    def _new(self, origin: Origin) -> AnyLane:
        """A lane to `origin`; it connects when it is first used."""

    @abstractmethod
    def _usable(self, lane: AnyLane) -> bool:
        """Whether an idle lane's connection still stands, as far as this side can see."""

    @abstractmethod
    async def _roundtrip(self, lane: AnyLane, outgoing: Outgoing, flight: Flight) -> WireReply:
        """Send one request and read its whole answer."""

    @abstractmethod
    async def _close(self, lane: AnyLane) -> None:
        """Close the lane's connection, even when it is cancelled in here."""

    async def send(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        """Send one request once, on a lane of its own.

        Raises:
            ConfigurationError: The connections were opened on another event loop.
            WireFailure: There is no whole answer.
        """
        if self._binds:
            here = current_token()
            self._home = self._home or here
            if self._home != here:
                raise ConfigurationError(
                    "the transport's connections live on another event loop: give each loop its own. Nothing was sent."
                )
        await self._places.acquire()
        try:
            return await self._on_a_lane(outgoing, flight)
        finally:
            self._places.release()

    async def _on_a_lane(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        lane, gone = self._take(outgoing.origin)
        whole = False
        try:
            while gone:
                await self._close(gone.pop())
            reply = await self._roundtrip(lane, outgoing, flight)
            whole = reply.headers.get("connection", "").lower() != "close"
        finally:
            for other in gone:
                await self._close(other)
            if whole and not self._closed:
                await self._put_back(lane)
            else:
                await self._discard(lane)
        return reply

    def _take(self, origin: Origin) -> tuple[AnyLane, list[AnyLane]]:
        """A lane for `origin`, and lanes that have to be closed: dead ones, and one that makes room for it.

        It counts without waiting in between, so that no two requests can take the same room.
        """
        gone: list[AnyLane] = []
        idle = self._idle.get(origin)
        while idle:
            lane = idle.pop()
            if self._usable(lane):
                return lane, gone
            gone.append(lane)
            self._open -= 1
        if self._open >= self._max:
            gone.append(self._oldest_idle())
            self._open -= 1
        self._open += 1
        return self._new(origin), gone

    def _oldest_idle(self) -> AnyLane:
        # A place was free and no lane of this origin is idle, so some other origin has one.
        stack = min((stack for stack in self._idle.values() if stack), key=lambda stack: stack[0].idle_since)
        return stack.popleft()

    async def _put_back(self, lane: AnyLane) -> None:
        lane.served = True
        lane.idle_since = now = monotonic()
        stack = self._idle.setdefault(lane.origin, deque())
        stack.append(lane)
        # The stack keeps few lanes warm and lets the others grow old at its bottom.
        while stack and now - stack[0].idle_since > KEEP_ALIVE:
            await self._discard(stack.popleft())

    async def _discard(self, lane: AnyLane) -> None:
        self._open -= 1
        await self._close(lane)

    async def aclose(self) -> None:
        """Close every idle lane; busy ones close when their request ends."""
        self._closed = True
        while any(self._idle.values()):
            await self._discard(self._oldest_idle())
