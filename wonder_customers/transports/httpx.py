"""The transport for everything but plain asyncio: trio, proxies, and transports of httpx or httpx2 given by the caller.

It uses the documented interface of these libraries: ``handle_async_request`` and the ``trace`` extension. httpx's
connection pool loses connections when requests are cancelled (encode/httpcore#1093), so each connection of our pool is
an httpx transport with one connection.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from importlib import import_module
from time import monotonic
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit
from warnings import warn

import anyio
import httpx
from attrs import define, field

from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, concealed
from wonder_customers.transports import loopback_guard, patched_library
from wonder_customers.transports.messages import MAX_BODY, decode_body, normalize_headers, serialize_request, too_large
from wonder_customers.transports.network import Resolver, connection_error, run_in_background
from wonder_customers.transports.pool import ConnectionPool
from wonder_customers.transports.tls import check_httpx_context, default_context, verified
from wonder_customers.wire import (
    HttpResponse,
    HttpxCompatibleTransport,
    Origin,
    SignedRequest,
    Transmission,
    TransportError,
    TransportTimeout,
)

__all__ = ["HttpxTransport"]

_SWEEP: Final = 0.5
"""Seconds between two checks of the idle connections."""

_NOT_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
_DISCONNECTED: Final = frozenset({"RemoteProtocolError", "ReadError", "WriteError"})
_MESSAGES: Final[Mapping[str, str]] = {
    "ConnectTimeout": "no connection in time",
    "PoolTimeout": "no connection became free in time",
    "ReadTimeout": "no response in time",
    "WriteTimeout": "the request could not be sent in time",
    "ReadError": "the connection broke before the complete response arrived",
    "WriteError": "the connection broke while the request was sent",
    "RemoteProtocolError": "the connection was closed, or the response is not valid HTTP",
    "LocalProtocolError": "the request line or a header is not valid HTTP",
}
"""By the names of the libraries' exceptions."""

_POOLED_WARNING: Final = (
    "httpx.AsyncHTTPTransport loses connections when requests are cancelled (encode/httpcore#1093). Pass a function"
    " that creates it instead, such as transport=lambda: httpx.AsyncHTTPTransport(…), and the session uses one for each"
    " connection; or use HttpxTransport(proxy=…, local_address=…, ssl_context=…)."
)


@define(eq=False)
class _Connection:
    carrier: Any
    origin: Origin
    stream: Any = None  # the innermost network stream that the trace extension reported
    created: float = field(factory=monotonic)
    idle_since: float = 0.0
    due: float = 0.0
    served: bool = False


@define(eq=False)
class _Observed:
    """What the ``trace`` extension reported of one request."""

    connection: _Connection
    transmission: Transmission
    any: bool = False
    response: bool = False

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        self.any = True
        if event.endswith("connect_tcp.started"):
            # Here as well, because a proxy or the caller's own transport may connect to another host.
            loopback_guard.check(str(info["host"]))
        elif event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.connection.stream = info["return_value"]
        elif event.endswith("send_request_headers.started"):
            # The first request to a proxy is CONNECT; ours follows when the proxy has accepted it.
            self.transmission.sent = info["request"].method != b"CONNECT"
        elif event.endswith("receive_response_headers.complete"):
            self.response = True


class HttpxTransport(ConnectionPool[_Connection]):
    """Transport over httpx or httpx2, for trio, proxies and their own transports.

    Args:
        max_connections: Largest number of connections to all gateways. Further requests wait within their deadline.
        ssl_context: For a private certificate authority or pinned certificates. It must verify certificates and host
            names, and accept only TLS 1.2 or later. It is not changed.
        proxy: The URL of a proxy, as a `Secret` if it holds a password. Proxies in environment variables are not used.
        local_address: The IP address of this machine to connect from.
        transport: A transport of httpx or httpx2, such as ``httpx.MockTransport``, used for all requests. Or a function
            that returns a new one, called for each connection.
        close_transport: Close `transport` together with this one. By default the caller closes it.

    Raises:
        ConfigurationError: `max_connections` is out of range, a TLS context does not verify, or `proxy` cannot be used.
    """

    @concealed
    def __init__(
        self,
        *,
        max_connections: int = 32,
        ssl_context: ssl.SSLContext | None = None,
        proxy: Secret | str | None = None,
        local_address: str | None = None,
        transport: HttpxCompatibleTransport | Callable[[], HttpxCompatibleTransport] | None = None,
        close_transport: bool = False,
    ) -> None:
        super().__init__(max_connections)
        self._context = None if ssl_context is None else verified(ssl_context)
        self._proxy = None if proxy is None else _proxy(proxy.reveal() if isinstance(proxy, Secret) else proxy)
        self._local_address = local_address
        is_shared = hasattr(transport, "handle_async_request") and not isinstance(transport, type)
        self._shared: Any = transport if is_shared else None
        self._factory: Any = transport if self._shared is None else None
        self._resolver = Resolver() if proxy is None and transport is None else None
        self._close_shared = close_transport
        self._sweeper: anyio.CancelScope | None = None
        self._swept = anyio.Event()
        check_httpx_context(self._shared)
        if isinstance(self._shared, httpx.AsyncHTTPTransport):
            warn(_POOLED_WARNING, stacklevel=4)

    def _check_loop(self) -> None:
        if self._shared is None:  # the caller knows the event loop of the caller's transport
            super()._check_loop()

    def _new(self, origin: Origin) -> _Connection:
        if self._shared is not None:
            return _Connection(self._shared, origin)
        if self._factory is not None:
            carrier = self._factory()
            check_httpx_context(carrier)
            return _Connection(carrier, origin)
        # With a plain context httpx does not load its own certificates.
        context: Any = _plain_context()
        if origin.scheme == "https":
            context = default_context() if self._context is None else _Unchanged(verified(self._context))
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        carrier = httpx.AsyncHTTPTransport(
            verify=context,
            limits=limits,
            trust_env=False,
            proxy=self._proxy,
            local_address=self._local_address,
        )
        return _Connection(carrier, origin)

    def _is_reusable(self, connection: _Connection) -> bool:
        return connection.carrier is self._shared or not _has_unread_data(connection)

    def _close_when_due(self, connection: _Connection) -> None:
        if self._shared is None and self._sweeper is None:
            self._sweeper, self._swept = anyio.CancelScope(), anyio.Event()
            run_in_background(self._sweep)

    async def _sweep(self) -> None:
        """Close idle connections that are due or that the gateway has closed, while there are any."""
        assert self._sweeper is not None  # noqa: S101 - created by the caller
        with self._sweeper:
            while self.idle_connections:
                await anyio.sleep(_SWEEP)
                idle = [connection for stack in self._idle.values() for connection in stack]
                for connection in idle:
                    if connection.due <= monotonic() or not self._is_reusable(connection):
                        self._remove_idle(connection)
                        await self._close(connection)
        self._sweeper = None
        self._swept.set()

    async def _close(self, connection: _Connection) -> None:
        if connection.carrier is not self._shared:
            # Closing reaches the socket before its first wait, so that even a cancellation leaves nothing open.
            with anyio.CancelScope(shield=True):
                await connection.carrier.aclose()
                if connection.stream is not None:
                    await connection.stream.aclose()  # a cancelled TLS handshake leaves it open

    async def aclose(self) -> None:
        """Close all idle connections. Busy ones are closed when their request ends."""
        await super().aclose()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await self._swept.wait()
        if self._close_shared and self._shared is not None:
            await self._shared.aclose()

    async def _send_and_receive(
        self, connection: _Connection, signed_request: SignedRequest, transmission: Transmission, deadline: float
    ) -> HttpResponse:
        serialize_request(signed_request)  # refuses what is not valid HTTP
        library, observed = _library_of(connection.carrier.__class__), _Observed(connection, transmission)
        request = _request(library, signed_request)
        request.extensions["trace"] = observed.trace
        failure: TransportError = TransportTimeout("no response in time")
        try:
            with anyio.move_on_after(deadline - monotonic()):
                if self._resolver is not None and not connection.served and patched_library() is None:
                    await _resolve(self._resolver, signed_request)
                response = await connection.carrier.handle_async_request(request)
                return await _read(response, transmission)
        except (library.TransportError, OSError) as error:  # httpx does not wrap errors of TLS
            failure = _failure(error, connection, observed, deadline)
        raise failure  # here, without the original error: it holds the request


class _Unchanged:
    """A TLS context that httpx cannot change: it would set the protocols offered by ALPN."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def set_alpn_protocols(self, protocols: object) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


async def _resolve(resolver: Resolver, signed_request: SignedRequest) -> None:
    """Resolve the host before httpx does, whose lookups take threads from the program while they hang."""
    host, port = signed_request.origin.host, signed_request.origin.port
    loopback_guard.check(host)
    failure = TransportError("no connection in time")
    try:
        with anyio.move_on_after(signed_request.timeouts.connect):
            await resolver.resolve(host, port)
            return
    except OSError as error:
        failure = connection_error(error)
    raise failure


def _proxy(url: object) -> httpx.Proxy:
    """Return the proxy at `url` after creating a transport for it, which finds most errors."""
    try:
        proxy = httpx.Proxy(url if isinstance(url, str) and urlsplit(url).hostname else "")
        httpx.AsyncHTTPTransport(verify=_plain_context(), trust_env=False, proxy=proxy)
    except (ValueError, httpx.InvalidURL, ImportError) as error:
        more = "; this one needs `pip install 'httpx[socks]'`" if isinstance(error, ImportError) else ""
        raise ConfigurationError(f"proxy must be the URL of a proxy, such as http://proxy.example:3128{more}") from None
    return proxy


@cache
def _plain_context() -> ssl.SSLContext:
    """Return a context for connections without TLS. It loads no certificates, so it costs nothing."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _library_of(kind: type) -> ModuleType:
    modules = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return import_module("httpx2" if "httpx2" in modules else "httpx")


@cache
def _body_class(library: ModuleType) -> Any:
    """Return a class for request bodies.

    The library's own one is an async generator, and trio warns of generators that a broken connection leaves suspended.
    """
    return type("Body", (_Body, library.AsyncByteStream), {})


class _Body:
    def __init__(self, body: bytes) -> None:
        self._parts = [body] if body else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._parts:
            raise StopAsyncIteration
        return self._parts.pop()


def _request(library: ModuleType, signed_request: SignedRequest) -> Any:
    origin, target, timeouts = signed_request.origin, signed_request.target.encode("ascii"), signed_request.timeouts
    url = library.URL(scheme=origin.scheme, host=origin.host, port=origin.port, raw_path=target)
    if url.raw_path != target:
        raise ConfigurationError("httpx would change the path of the request. Nothing was sent.")
    limits = {"connect": timeouts.connect, "read": timeouts.read, "write": timeouts.write, "pool": timeouts.connect}
    return library.Request(
        signed_request.method,
        url,
        headers=list(signed_request.headers),
        stream=_body_class(library)(signed_request.body),
        extensions={"timeout": limits},
    )


async def _read(response: Any, transmission: Transmission) -> HttpResponse:
    transmission.sent, transmission.status = True, response.status_code
    transmission.headers = headers = normalize_headers(response.headers.raw)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.stream:
            size += len(part)
            parts.append(part)
            if size > MAX_BODY:
                # Leaving the loop would leave httpx's generators suspended; they end when the response is closed.
                parts.clear()
                await response.aclose()
    finally:
        await response.aclose()
    if size > MAX_BODY:
        raise too_large()
    return HttpResponse(
        response.status_code, headers, decode_body(headers.get("content-encoding", ""), b"".join(parts))
    )


def _failure(error: Exception, connection: _Connection, observed: _Observed, deadline: float) -> TransportError:
    transmission, names = observed.transmission, [kind.__name__ for kind in type(error).__mro__]
    if not observed.any and transmission.status is None:
        # A transport that reports nothing, such as a mock: the class of its error is the only evidence.
        transmission.sent = _NOT_SENT.isdisjoint(names)
    disconnected = transmission.sent and not observed.response and not _DISCONNECTED.isdisjoint(names)
    transmission.stale = connection.served and disconnected
    if "ProxyError" in names:
        return _proxy_error(str(error))
    if "ConnectError" in names:
        return connection_error(error)
    message = next((_MESSAGES[name] for name in names if name in _MESSAGES), "the transport failed")
    late = "TimeoutException" in names and monotonic() >= deadline
    return (TransportTimeout if late else TransportError)(f"{message} ({type(error).__name__})")


def _proxy_error(message: str) -> TransportError:
    status = message[:3]  # such as "407 Proxy Authentication Required"
    if status == "407":
        hint = "Pass them in its URL: HttpxTransport(proxy=Secret('http://user:password@host:port'))."
        return TransportError("the proxy requires a user name and password (HTTP 407)", retryable=False, hint=hint)
    return TransportError(
        f"the proxy refused the connection (HTTP {status})" if status.isdecimal() else "the proxy failed"
    )


def _has_unread_data(connection: _Connection) -> bool:
    """Return whether a connection has ended, or has received data after its last response.

    httpx would take such data for the response to the next request. Only private attributes show all of it.
    """
    if connection.stream is None:  # a mock, or a transport that does not support tracing
        return False
    connections = getattr(getattr(connection.carrier, "_pool", None), "connections", ())
    if not connections or any(map(_has_parsed_less, connections)):
        return True
    if connection.stream.get_extra_info("is_readable"):
        return True
    stream = getattr(connection.stream, "_stream", None)
    while stream is not None:
        if getattr(getattr(stream, "_protocol", None), "read_queue", None):
            return True
        stream = getattr(stream, "transport_stream", None)
    tls = connection.stream.get_extra_info("ssl_object")
    return tls is not None and _has_record(tls)


def _has_parsed_less(connection: Any) -> bool:
    """Return whether httpx's HTTP parser holds data after the end of the response."""
    while connection is not None and not hasattr(connection, "_h11_state"):
        connection = getattr(connection, "_connection", None)  # a proxy's connection contains another one
    return connection is not None and bool(connection._h11_state.trailing_data[0])  # noqa: SLF001


def _has_record(tls: ssl.SSLObject) -> bool:
    try:
        tls.read(1)  # the only way to know whether a further record was received
    except ssl.SSLWantReadError:
        return False
    except ssl.SSLError:
        return True
    return True
