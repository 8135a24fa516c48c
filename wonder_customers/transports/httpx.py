"""The default transport: lanes over httpx.

httpx 0.28's pool scans all connections at every request and loses places when requests are cancelled. So there is no
shared pool here: each lane is one httpx transport with one connection.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache
from time import monotonic
from types import FunctionType
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpcore
import httpx
from attrs import define

from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, concealed
from wonder_customers.transports import loopback_guard
from wonder_customers.transports._line import Line, refuse_compression, told
from wonder_customers.transports._sockets import Backend, Watch, unread
from wonder_customers.transports.pool import KEEP_ALIVE, REPLY_LIMIT, Lanes
from wonder_customers.transports.tls import default_context, verified
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportError, TransportTimeout

__all__ = ["HttpxTransport"]

_SENDING = "send_request_headers.started"
_NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
_CUT = frozenset({"RemoteProtocolError", "ReadError", "WriteError"})
_WORDS: Final[Mapping[str, str]] = {
    "ConnectTimeout": "no connection in time",
    "ConnectError": "no connection",
    "ReadTimeout": "no answer in time",
    "WriteTimeout": "the request could not be written in time",
    "ReadError": "the connection broke while waiting for the answer",
    "WriteError": "the connection broke while sending",
    "RemoteProtocolError": "the connection ended, or the answer was no HTTP",
    "LocalProtocolError": "the request could not be put into HTTP",
    "ProxyError": "the proxy refused",
    "ConnectionNotAvailable": "the connection had ended",
}
"""By the names of the errors, which httpx has from httpcore."""

_ERRORS = (
    httpcore.ConnectionNotAvailable,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)


@define(eq=False)
class _Lane:
    """One connection at most, for one request at a time."""

    carrier: Line | httpx.AsyncBaseTransport
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
        return not self._connection.is_closed() and not self._connection.has_expired() and _is_silent(self._connection)


def _is_silent(connection: Any) -> bool:
    """Whether nothing came after the last answer on a connection of httpcore's, or on the one inside it.

    It would be read as the answer to the next request.
    """
    while connection is not None and not hasattr(connection, "_h11_state"):
        connection = getattr(connection, "_connection", None)
    if connection is None:
        return True
    state, stream = connection._h11_state, connection._network_stream  # noqa: SLF001 - nobody else knows
    return not state.trailing_data[0] and not unread(getattr(stream, "_stream", None))


def _trace(watch: Watch) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """Writes into the watch what a transport of httpcore's reports, for those whose sockets are not ours."""

    async def told(event: str, info: dict[str, Any]) -> None:
        watch.seen = True
        if event.endswith("connect_tcp.started"):
            # Asked at the socket too: a transport of the caller's own, or a proxy, may lead elsewhere.
            loopback_guard.check(str(info["host"]))
        elif event.endswith(_SENDING):
            # To a proxy, the first request is its own: ours follows when the proxy has let it through.
            watch.transmission.sent = info["request"].method != b"CONNECT"
        elif event.endswith("receive_response_headers.complete"):
            watch.heard = True

    return told


class HttpxTransport(Lanes[_Lane]):
    """Lanes over ``httpx.AsyncHTTPTransport``, or your own httpx transport.

    Args:
        max_connections: Lanes at most, over all gateways; further requests wait within their deadline.
        ssl_context: For those who pin certificates or trust a private authority. It must check certificates and host
            names; TLS 1.2 is the least.
        proxy: The URL of a proxy, as a `Secret` where it holds a password. The environment's proxies are not used.
        mounted: An httpx transport to use instead of lanes (``MockTransport``, ``ASGITransport``, …). It stays yours to
            close.

    Raises:
        ConfigurationError: `max_connections` is no positive whole number, `ssl_context` or the one of `mounted` does
            not check, or `proxy` cannot be used.
    """

    @concealed
    def __init__(
        self,
        *,
        max_connections: int = 32,
        ssl_context: ssl.SSLContext | None = None,
        proxy: Secret | str | None = None,
        mounted: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(max_connections)
        self._context = None if ssl_context is None else verified(ssl_context)
        self._proxy = None if proxy is None else _proxy(proxy.reveal() if isinstance(proxy, Secret) else proxy)
        self._mounted = mounted
        # httpx's own transports keep their context here; what others do is known to nobody but their owner.
        theirs = getattr(getattr(mounted, "_pool", None), "_ssl_context", None)
        if theirs is not None:
            verified(theirs)
        # What a transport of the caller's own holds, and on which event loop, is the caller's to know.
        self._binds = mounted is None

    def _new(self, origin: Origin) -> _Lane:
        if self._mounted is not None:
            return _Lane(self._mounted, origin)
        # Every lane must have a context of the session's, or httpx would build one for each.
        context = verified(self._context or default_context()) if origin.scheme == "https" else _plain()
        if self._proxy is None:
            return _Lane(Line(origin, context) if _as_shipped() else _OneConnection(origin, context), origin)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE)
        transport = httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False, proxy=self._proxy)
        return _Lane(transport, origin)

    def _usable(self, lane: _Lane) -> bool:
        carrier = lane.carrier
        if isinstance(carrier, Line):
            return _as_shipped() and carrier.stands()
        if isinstance(carrier, _OneConnection):
            return carrier.stands()
        if carrier is self._mounted:
            return True
        # A pool behind a proxy looks after its one connection, but not for what came unasked.
        pool: Any = getattr(carrier, "_pool", None)
        return all(map(_is_silent, pool.connections))

    async def _close(self, lane: _Lane) -> None:
        if lane.carrier is not self._mounted:
            # Closing reaches the socket before its first wait, so even a cancellation in here leaves nothing open.
            with anyio.CancelScope(shield=True):
                await lane.carrier.aclose()

    async def _roundtrip(
        self, lane: _Lane, signed_request: SignedRequest, transmission: Transmission, until: float
    ) -> HttpResponse:
        watch, carrier = Watch(transmission, until), lane.carrier
        try:
            if isinstance(carrier, Line):
                return await carrier.exchange(signed_request, watch)
            with anyio.move_on_after(until - monotonic()):
                return await _through_httpx(carrier, signed_request, watch)
            failure: TransportError = TransportTimeout("no answer in time")
        except (httpx.TransportError, *_ERRORS) as error:
            failure = _failure(error, lane, watch)
        # Raised out here, so that httpx's error, which holds the whole request, does not hang on to ours.
        raise failure


def _as_shipped() -> bool:
    """Whether httpx and httpcore send with their own code, and not with what a test or a tracer put in its place."""
    return all(
        type(method) is FunctionType and method.__globals__["__name__"].startswith(("httpx.", "httpcore."))
        for method in (httpx.AsyncHTTPTransport.handle_async_request, httpcore.AsyncHTTPConnection.handle_async_request)
    )


def _proxy(url: object) -> httpx.Proxy:
    """The proxy at `url`, tried out as far as that goes without a connection."""
    try:
        proxy = httpx.Proxy(url if isinstance(url, str) and urlsplit(url).hostname else "")
        httpx.AsyncHTTPTransport(verify=_plain(), trust_env=False, proxy=proxy)
    except (ValueError, httpx.InvalidURL, ImportError) as error:
        more = "; this one needs `pip install 'httpx[socks]'`" if isinstance(error, ImportError) else ""
        raise ConfigurationError(f"proxy must be the URL of a proxy, such as http://proxy.example:3128{more}") from None
    return proxy


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


def _request(signed_request: SignedRequest) -> httpx.Request:
    timeouts = signed_request.timeouts
    times = {
        "connect": timeouts.connect,
        "read": timeouts.read,
        "write": timeouts.write,
        "pool": timeouts.connect,
    }
    return httpx.Request(
        signed_request.method,
        _url(signed_request.origin, signed_request.target),
        headers=list(signed_request.headers),
        stream=_Body(signed_request.body),
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


async def _through_httpx(
    transport: httpx.AsyncBaseTransport, signed_request: SignedRequest, watch: Watch
) -> HttpResponse:
    """Send with a transport of httpx's.

    Raises:
        httpcore.RemoteProtocolError: The answer's body is compressed, although that was not asked for, or too large.
    """
    request, transmission = _request(signed_request), watch.transmission
    if isinstance(transport, _OneConnection):
        transport.backend.watch = watch
    else:
        request.extensions["trace"] = _trace(watch)
    response = await transport.handle_async_request(request)
    transmission.sent = True
    transmission.status, transmission.headers = response.status_code, told(response.headers.raw)
    parts: list[bytes] = []
    size = 0
    try:
        refuse_compression(transmission)
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
        raise httpcore.RemoteProtocolError("too large")
    return HttpResponse(transmission.status, transmission.headers, b"".join(parts))


def _stream(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what an async transport must return
    return response.stream.__aiter__()


def _failure(error: Exception, lane: _Lane, watch: Watch) -> TransportError:
    transmission, names = watch.transmission, [kind.__name__ for kind in type(error).__mro__]
    if not watch.seen and transmission.status is None:
        # A transport that reports nothing (a mock, an ASGI app): its own class of error is all there is to go by.
        transmission.sent = _NEVER_SENT.isdisjoint(names)
    transmission.stale = lane.served and not _CUT.isdisjoint(names) and transmission.sent and not watch.heard
    words = next((_WORDS[name] for name in names if name in _WORDS), "the transport failed")
    late = "TimeoutException" in names and monotonic() >= watch.until
    return (TransportTimeout if late else TransportError)(f"{words} ({type(error).__name__})")
