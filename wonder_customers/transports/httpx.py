"""The default transport: lanes over httpx.

httpx 0.28's pool scans all connections at every request and loses places when requests are cancelled. So there is no
shared pool here: each lane is one httpx transport with one connection.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Any, Final

import anyio
import httpcore
import httpx
from attrs import define

from wonder_customers import _border
from wonder_customers._wire import Flight, Origin, Outgoing, WireFailure, WireReply
from wonder_customers.errors import ConfigurationError
from wonder_customers.transports._lanes import KEEP_ALIVE, REPLY_LIMIT, Lanes
from wonder_customers.transports._sockets import Backend, Watch
from wonder_customers.transports._tls import default_context

__all__ = ["HttpxTransport"]

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


@define(eq=False)
class _Lane:
    """One connection at most, for one request at a time."""

    transport: httpx.AsyncBaseTransport
    origin: Origin
    idle_since: float = 0.0
    served: bool = False


class _OneConnection(httpx.AsyncHTTPTransport):
    """httpx's transport over a single connection where it has a pool.

    All that the pool would do for one connection is done by the lanes already. Whoever patches httpx's transport, or
    httpcore's connection as respx does, meets the calls here as anywhere.
    """

    def __init__(self, origin: Origin, context: ssl.SSLContext) -> None:
        place = httpcore.Origin(origin.scheme.encode("ascii"), origin.host.encode("ascii"), origin.port)
        self.backend = Backend()
        self._connection = httpcore.AsyncHTTPConnection(
            place, ssl_context=context, keepalive_expiry=KEEP_ALIVE, network_backend=self.backend
        )
        # httpx's own name for what it sends with; a connection and a pool of them have the same two methods.
        self._pool: Any = self._connection

    def stands(self) -> bool:
        """Whether the connection was neither idle for too long nor ended by the gateway."""
        if self._connection.is_closed() or self._connection.has_expired():
            return False
        # What a gateway said after its answer would be read as the answer to the next request.
        state = getattr(getattr(self._connection, "_connection", None), "_h11_state", None)
        return state is None or not state.trailing_data[0]


def _trace(watch: Watch) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """Writes into the watch what a transport of httpcore's reports, for those whose sockets are not ours."""

    async def told(event: str, info: dict[str, Any]) -> None:
        watch.seen = True
        if event.endswith("connect_tcp.started"):
            # Asked at the socket too: a transport of the caller's own, or a proxy, may lead elsewhere.
            _border.check(str(info["host"]))
        elif event.endswith(_SENDING):
            watch.flight.sent = True
        elif event.endswith("receive_response_headers.complete"):
            watch.heard = True

    return told


class HttpxTransport(Lanes[_Lane]):
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
        super().__init__(max_connections)
        self._context = ssl_context
        self._proxy = proxy
        self._mounted = mounted
        # What a transport of the caller's own holds, and on which event loop, is the caller's to know.
        self._binds = mounted is None

    def _new(self, origin: Origin) -> _Lane:
        if self._mounted is not None:
            return _Lane(self._mounted, origin)
        # Every lane must have a context of the session's, or httpx would build one for each.
        context = self._context or (default_context() if origin.scheme == "https" else _plain())
        if self._proxy is None:
            return _Lane(_OneConnection(origin, context), origin)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE)
        transport = httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False, proxy=self._proxy)
        return _Lane(transport, origin)

    def _usable(self, lane: _Lane) -> bool:
        # A pool behind a proxy looks after its connection itself, and a mounted transport is its owner's.
        return not isinstance(lane.transport, _OneConnection) or lane.transport.stands()

    async def _close(self, lane: _Lane) -> None:
        if lane.transport is not self._mounted:
            # Closing reaches the socket before its first wait, so even a cancellation in here leaves nothing open.
            with anyio.CancelScope(shield=True):
                await lane.transport.aclose()

    async def _roundtrip(self, lane: _Lane, outgoing: Outgoing, flight: Flight) -> WireReply:
        watch, request = Watch(flight), _request(outgoing)
        if isinstance(lane.transport, _OneConnection):
            lane.transport.backend.watch = watch
        else:
            request.extensions["trace"] = _trace(watch)
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
        except httpcore.ConnectionNotAvailable:
            failure = WireFailure("the connection had ended")
        # Raised out here, so that httpx's error, which holds the whole request, does not hang on to ours.
        raise failure


@cache
def _plain() -> ssl.SSLContext:
    """A context for lanes that never use TLS: it loads no certificates and so costs nothing."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _root(origin: Origin) -> httpx.URL:
    return httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port)


def _url(origin: Origin, target: str) -> httpx.URL:
    """A URL of httpx's with `target` in it as it stands: to parse it would cost a tenth of the whole request."""
    url = httpx.URL(_root(origin))
    path, mark, query = target.partition("?")
    url._uri_reference = url._uri_reference._replace(path=path, query=query if mark else None)  # noqa: SLF001
    if url.raw_path != target.encode("ascii"):
        raise ConfigurationError("the request's path would be changed on its way: refused")
    return url


def _request(outgoing: Outgoing) -> httpx.Request:
    timeouts = outgoing.timeouts
    times = {
        "connect": timeouts.connect,
        "read": timeouts.read,
        "write": timeouts.write,
        "pool": timeouts.connect,
    }
    return httpx.Request(
        outgoing.method,
        _url(outgoing.origin, outgoing.target),
        headers=list(outgoing.headers),
        stream=_Body(outgoing.body),
        extensions={"timeout": times},
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


def _failure(error: httpx.TransportError, lane: _Lane, watch: Watch) -> WireFailure:
    flight = watch.flight
    if not watch.seen and flight.status is None:
        # A transport that reports nothing (a mock, an ASGI app): its own class of error is all there is to go by.
        flight.sent = not isinstance(error, _NEVER_SENT)
    cut = isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError))
    flight.stale = lane.served and cut and flight.sent and not watch.heard
    words = next(words for kind, words in _WORDS if isinstance(error, kind))
    return WireFailure(f"{words} ({type(error).__name__})")
