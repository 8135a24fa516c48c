"""The pool that both transports share: lanes of one connection each, behind one limiter.

A free lane is taken from a stack, used by one request, and put back when the answer arrived whole; otherwise it is
closed. Nothing can leak, because a lane that saw trouble is never used again.
"""

from abc import ABC, abstractmethod
from collections import deque
from time import monotonic
from typing import ClassVar, Final, Generic, Protocol, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled, current_token

from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportTimeout

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


class Bell(Protocol):
    """Tells one request in the queue that a place is its own now; an `anyio.Event` is one."""

    def set(self) -> object:
        """Ring."""

    def is_set(self) -> bool:
        """Whether it rang."""


class Lanes(ABC, Generic[AnyLane]):
    """A stack of idle lanes per origin, and the number of requests that may be under way.

    Args:
        max_connections: Lanes at most, over all gateways; further requests wait within their deadline.

    Raises:
        ConfigurationError: `max_connections` is no positive whole number.
    """

    ends_in_time: ClassVar[bool] = True

    def __init__(self, max_connections: int) -> None:
        if type(max_connections) is not int or not 1 <= max_connections <= 10_000:
            raise ConfigurationError("max_connections must be a whole number from 1 to 10000")
        self._max = max_connections
        self._free = max_connections
        self._queue: deque[Bell] = deque()
        self._idle: dict[Origin, deque[AnyLane]] = {}
        self._open = 0
        self._closed = False
        self._home: object = None
        self._binds = True

    @property
    def open_connections(self) -> int:
        """Lanes that exist now, busy ones and idle ones."""
        return self._open

    @property
    def busy_connections(self) -> int:
        """Requests under way now."""
        return self._max - self._free

    @property
    def idle_connections(self) -> int:
        """Lanes that wait for a request."""
        return sum(len(stack) for stack in list(self._idle.values()))

    @property
    def waiting_requests(self) -> int:
        """Requests that wait for a place."""
        return len(self._queue)

    @abstractmethod
    def _new(self, origin: Origin) -> AnyLane:
        """A lane to `origin`; it connects when it is first used."""

    @abstractmethod
    def _usable(self, lane: AnyLane) -> bool:
        """Whether an idle lane's connection still stands, as far as this side can see."""

    @abstractmethod
    async def _roundtrip(
        self, lane: AnyLane, signed_request: SignedRequest, transmission: Transmission, until: float
    ) -> HttpResponse:
        """Send one request and read its whole answer; raise `TransportTimeout` at `until` on the monotonic clock."""

    @abstractmethod
    async def _close(self, lane: AnyLane) -> None:
        """Close the lane's connection, even when it is cancelled in here."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Send one request once, on a lane of its own.

        Raises:
            ConfigurationError: The connections were opened on another event loop.
            TransportError: There is no whole answer.
        """
        if self._binds:
            self._stay_home()
        # Whoever is cancelled already must not write first and hear of it then.
        await checkpoint_if_cancelled()
        until = monotonic() + signed_request.within
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_a_place(until)
        try:
            return await self._on_a_lane(signed_request, transmission, until)
        finally:
            self._pass_on()

    def _here(self) -> object:
        """What tells this event loop from any other."""
        return current_token()

    def _stay_home(self) -> None:
        here = self._here()
        self._home = self._home or here
        if self._home != here:
            raise ConfigurationError(
                "the transport's connections live on another event loop: give each loop its own. Nothing was sent."
            )

    async def _wait_for_a_place(self, until: float) -> None:
        bell = self._bell()
        self._queue.append(bell)
        try:
            await self._hear(bell, until)
        except BaseException:
            # The place may have come at the same moment: then it goes on to the next.
            self._leave(bell)
            raise
        if not bell.is_set() or monotonic() >= until:
            self._leave(bell)
            raise TransportTimeout("no connection was free in time")

    def _bell(self) -> Bell:
        return anyio.Event()

    async def _hear(self, bell: Bell, until: float) -> None:
        """Wait until `bell` rings, or until it is too late."""
        assert isinstance(bell, anyio.Event)  # noqa: S101 - made above
        with anyio.move_on_after(until - monotonic()):
            await bell.wait()

    def _leave(self, bell: Bell) -> None:
        if bell.is_set():
            self._pass_on()
        else:
            self._queue.remove(bell)

    def _pass_on(self) -> None:
        """Give a place to whoever waited longest, or back."""
        if self._queue:
            self._queue.popleft().set()
        else:
            self._free += 1

    async def _on_a_lane(self, signed_request: SignedRequest, transmission: Transmission, until: float) -> HttpResponse:
        lane, gone = self._take(signed_request.origin)
        whole = False
        try:
            while gone:
                await self._close(gone.pop())
            reply = await self._roundtrip(lane, signed_request, transmission, until)
            said = reply.headers.get("connection")
            whole = said is None or said.lower() != "close"
        finally:
            for other in gone:
                await self._close(other)
            if not whole or self._closed:
                await self._discard(lane)
            elif self._put_back(lane):
                await self._drop_old(lane.origin)
        return reply

    def _take(self, origin: Origin) -> tuple[AnyLane, list[AnyLane]]:
        """A lane for `origin`, and lanes that have to be closed: dead ones, and one that makes room for it.

        It counts without waiting in between, so that no two requests can take the same room.
        """
        gone: list[AnyLane] = []
        idle = self._idle.get(origin)
        young = monotonic() - KEEP_ALIVE
        while idle:
            lane = idle.pop()
            if lane.idle_since >= young and self._usable(lane):
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

    def _put_back(self, lane: AnyLane) -> bool:
        """Keep the lane; True when there are old ones to drop."""
        lane.served = True
        lane.idle_since = now = monotonic()
        stack = self._idle.get(lane.origin)
        if stack is None:
            stack = self._idle[lane.origin] = deque()
        stack.append(lane)
        # The stack keeps few lanes warm and lets the others grow old at its bottom.
        return now - stack[0].idle_since > KEEP_ALIVE

    async def _drop_old(self, origin: Origin) -> None:
        stack = self._idle[origin]
        while stack and monotonic() - stack[0].idle_since > KEEP_ALIVE:
            await self._discard(stack.popleft())

    async def _discard(self, lane: AnyLane) -> None:
        self._open -= 1
        await self._close(lane)

    async def aclose(self) -> None:
        """Close every idle lane; busy ones close when their request ends."""
        self._closed = True
        while any(self._idle.values()):
            await self._discard(self._oldest_idle())
