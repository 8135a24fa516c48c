"""The default transport: lanes over httpx.

httpx 0.28's pool scans all connections at every request and loses places when requests are cancelled. So there is no
shared pool here: each lane is one httpx transport with one connection. A free lane is taken from a stack, used by one
request, and put back when the answer arrived whole; otherwise it is closed. Nothing can leak, because a lane that saw
trouble is never used again.
"""

import ssl
from collections import deque
from collections.abc import AsyncIterator
from functools import cache
from time import monotonic
from typing import Any, Final

import anyio
import httpx
from attrs import define, field

from wonder_customers._wire import Flight, Origin, Outgoing, WireFailure, WireReply
from wonder_customers.errors import ConfigurationError

__all__ = ["HttpxTransport"]

KEEP_ALIVE: Final = 4.0
"""Seconds an idle connection is kept: below the 5 s after which the earliest servers drop theirs."""

REPLY_LIMIT: Final = 8 * 1024 * 1024
"""Bytes of an answer's body that are read at most."""

_SENDING = "send_request_headers.started"
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_WORDS: Final[tuple[tuple[type[httpx.TransportError], str], ...]] = (
    (httpx.ConnectTimeout, "no connection in time"),
    (httpx.ConnectError, "no connection"),
    (httpx.ReadTimeout, "no answer in time"),
    (httpx.WriteTimeout, "the request could not be written in time"),
    (httpx.ReadError, "the connection broke while waiting for the answer"),
    (httpx.WriteError, "the connection broke while sending"),
    (httpx.RemoteProtocolError, "the connection ended, or the answer was no HTTP"),
    (httpx.LocalProtocolError, "the request could not be put into HTTP"),
    (httpx.ProxyError, "the proxy refused"),
    (httpx.TransportError, "the transport failed"),
)


@cache
def _default_context() -> ssl.SSLContext:
    """One TLS context for the whole process: building it costs as much as hundreds of requests."""
    context = httpx.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@define(eq=False)
class _Lane:
    """One connection at most, for one request at a time."""

    transport: httpx.AsyncBaseTransport
    origin: Origin
    idle_since: float = 0.0
    served: bool = False


@define(eq=False)
class _Watch:
    """Writes into the flight what httpcore reports of the socket."""

    flight: Flight
    seen: bool = False
    received: bool = field(default=False)

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        self.seen = True
        if event.endswith(_SENDING):
            self.flight.sent = True
        elif event.endswith("receive_response_headers.complete"):
            self.received = True


class HttpxTransport:
    """Lanes over ``httpx.AsyncHTTPTransport``, or your own httpx transport.

    Args:
        max_connections: Lanes at most, over all gateways; further requests wait within their deadline.
        ssl_context: For those who pin certificates or trust a private authority. TLS 1.2 is the least.
        proxy: The URL of a proxy. The environment's proxies are not used.
        mounted: An httpx transport to use instead of lanes (``MockTransport``, ``ASGITransport``, …). It stays yours to
            close.

    Raises:
        ConfigurationError: `max_connections` is no positive whole number.
    """

    def __init__(
        self,
        *,
        max_connections: int = 32,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
        mounted: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if type(max_connections) is not int or not 1 <= max_connections <= 10_000:
            raise ConfigurationError("max_connections must be a whole number from 1 to 10000")
        self._max = max_connections
        self._context = ssl_context
        self._proxy = proxy
        self._mounted = mounted
        self._places = anyio.Semaphore(max_connections, fast_acquire=True)
        self._idle: dict[Origin, deque[_Lane]] = {}
        self._open = 0
        self._closed = False

    @property
    def open_lanes(self) -> int:
        """Lanes that exist now, busy ones and idle ones."""
        return self._open

    @property
    def busy_lanes(self) -> int:
        """Requests under way now."""
        return self._max - self._places.value

    async def send(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        """Send one request once, on a lane of its own."""
        await self._places.acquire()
        try:
            return await self._on_a_lane(outgoing, flight)
        finally:
            self._places.release()

    async def _on_a_lane(self, outgoing: Outgoing, flight: Flight) -> WireReply:
        lane, replaced = self._take(outgoing.origin)
        whole = False
        try:
            if replaced is not None:
                await self._close(replaced)
            reply = await self._roundtrip(lane, outgoing, flight)
            whole = reply.headers.get("connection", "").lower() != "close"
        finally:
            if whole and not self._closed:
                await self._put_back(lane)
            else:
                await self._discard(lane)
        return reply

    def _take(self, origin: Origin) -> tuple[_Lane, _Lane | None]:
        """A lane for `origin`, and one of another origin that has to make room for it."""
        idle = self._idle.get(origin)
        if idle:
            return idle.pop(), None
        replaced = None
        if self._open >= self._max:
            replaced = self._oldest_idle()
            self._open -= 1
        return self._new(origin), replaced

    def _oldest_idle(self) -> _Lane:
        # A place was free and no lane of this origin is idle, so some other origin has one.
        stack = min((stack for stack in self._idle.values() if stack), key=lambda stack: stack[0].idle_since)
        return stack.popleft()

    def _new(self, origin: Origin) -> _Lane:
        self._open += 1
        if self._mounted is not None:
            return _Lane(self._mounted, origin)
        # Every lane must have a context of the session's, or httpx would build one for each.
        context = self._context or (_default_context() if origin.scheme == "https" else _plain())
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE)
        transport = httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False, proxy=self._proxy)
        return _Lane(transport, origin)

    async def _put_back(self, lane: _Lane) -> None:
        lane.served = True
        lane.idle_since = now = monotonic()
        stack = self._idle.setdefault(lane.origin, deque())
        stack.append(lane)
        # The stack keeps few lanes warm and lets the others grow old at its bottom.
        while stack and now - stack[0].idle_since > KEEP_ALIVE:
            await self._discard(stack.popleft())

    async def _discard(self, lane: _Lane) -> None:
        self._open -= 1
        await self._close(lane)

    async def _close(self, lane: _Lane) -> None:
        if lane.transport is not self._mounted:
            # Closing reaches the socket before its first wait, so even a cancellation in here leaves nothing open.
            with anyio.CancelScope(shield=True):
                await lane.transport.aclose()

    async def _roundtrip(self, lane: _Lane, outgoing: Outgoing, flight: Flight) -> WireReply:
        watch = _Watch(flight)
        request = _request(outgoing, watch)
        try:
            response = await lane.transport.handle_async_request(request)
            flight.sent = True
            flight.status = response.status_code
            flight.headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw
            }
            return WireReply(flight.status, flight.headers, await _body(response))
        except httpx.TransportError as error:
            failure = _failure(error, lane, watch)
        # Raised out here, so that httpx's error, which holds the whole request, does not hang on to ours.
        raise failure

    async def aclose(self) -> None:
        """Close every idle lane; busy ones close when their request ends."""
        self._closed = True
        while any(self._idle.values()):
            await self._discard(self._oldest_idle())


@cache
def _plain() -> ssl.SSLContext:
    """A context for lanes that never use TLS: it loads no certificates and so costs nothing."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _request(outgoing: Outgoing, watch: _Watch) -> httpx.Request:
    origin, timeouts = outgoing.origin, outgoing.timeouts
    url = httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=outgoing.target.encode("ascii"))
    if url.raw_path != outgoing.target.encode("ascii"):
        raise ConfigurationError("the request's path would be changed on its way: refused")
    times = {
        "connect": timeouts.connect,
        "read": timeouts.read,
        "write": timeouts.write,
        "pool": timeouts.connect,
    }
    return httpx.Request(
        outgoing.method,
        url,
        headers=list(outgoing.headers),
        stream=_Body(outgoing.body),
        extensions={"timeout": times, "trace": watch},
    )


class _Body(httpx.AsyncByteStream):
    """The request's body, in one piece.

    httpx's own stream is a generator, which trio warns of when a broken connection leaves it half-way.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __aiter__(self) -> "_Once":
        return _Once(self._body)


class _Once(AsyncIterator[bytes]):
    """Gives its piece once, when there is one."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    async def __anext__(self) -> bytes:
        piece, self._piece = self._piece, b""
        if not piece:
            raise StopAsyncIteration
        return piece


async def _body(response: httpx.Response) -> bytes:
    """The body's bytes as sent.

    Raises:
        httpx.RemoteProtocolError: It is compressed, although that was not asked for, or too large.
    """
    parts: list[bytes] = []
    size = 0
    try:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise httpx.RemoteProtocolError("unasked compression")
        async for part in _stream(response):
            size += len(part)
            parts.append(part)
            if size > REPLY_LIMIT:
                # Leaving the loop would leave httpx's generators half-way; with the connection closed they end.
                parts.clear()
                await response.aclose()
    finally:
        await response.aclose()
    if size > REPLY_LIMIT:
        raise httpx.RemoteProtocolError("too large")
    return b"".join(parts)


def _stream(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what an async transport must return
    return response.stream.__aiter__()


def _failure(error: httpx.TransportError, lane: _Lane, watch: _Watch) -> WireFailure:
    flight = watch.flight
    if not watch.seen and flight.status is None:
        # A transport that reports nothing (a mock, an ASGI app): its own class of error is all there is to go by.
        flight.sent = not isinstance(error, _NEVER_SENT)
    cut = isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError))
    flight.stale = lane.served and cut and flight.sent and not watch.received
    words = next(words for kind, words in _WORDS if isinstance(error, kind))
    return WireFailure(f"{words} ({type(error).__name__})")
