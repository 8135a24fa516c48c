"""The transport over httpx and httpx2."""

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit
from warnings import warn

import anyio
import httpx

from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, concealed
from wonder_customers.transports import check_factory, loopback_guard, patched_library
from wonder_customers.transports.messages import (
    MAX_BODY,
    build_request,
    decode_body,
    is_one_response,
    library_of,
    normalize_headers,
    serialize_request,
    too_large,
)
from wonder_customers.transports.network import BackgroundTask, Resolver, check_peer, connection_error
from wonder_customers.transports.pool import ConnectionPool, PooledConnection, close_all
from wonder_customers.transports.stream_reader import BUFFERED, StreamReader
from wonder_customers.transports.tls import check_alpn, default_context, verified
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

_LARGE: Final = 64 * 1024
"""Minimum size in bytes of a request body that a gateway may refuse before it is sent completely."""

_NOT_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
_DISCONNECTED: Final = frozenset({"RemoteProtocolError", "ReadError", "WriteError"})
_MESSAGES: Final[Mapping[str, str]] = {
    "ConnectTimeout": "no connection could be opened within the connect timeout of {0.connect:g} s",
    "PoolTimeout": "no connection became free within {0.connect:g} s",
    "ReadTimeout": "the read timeout of {0.read:g} s passed",
    "WriteTimeout": "the write timeout of {0.write:g} s passed",
    "ReadError": "the connection broke before the complete response arrived",
    "WriteError": "the connection broke while the request was being sent",
    "RemoteProtocolError": "the connection was closed, or the response is not valid HTTP",
    "LocalProtocolError": "the request line or a header is not valid HTTP",
}
"""Messages, formatted with the `Timeouts`, by the class names of the exceptions of httpx and httpx2."""

_POOLED_WARNING: Final = (
    "httpx.AsyncHTTPTransport loses connections when requests are cancelled (encode/httpcore#1093). Pass a function"
    " that creates a transport instead, such as transport=lambda: httpx.AsyncHTTPTransport(…), so that each connection"
    " has its own transport; or use HttpxTransport(proxy=…, local_address=…, ssl_context=…)."
)


# httpx's pool loses connections when requests are cancelled (encode/httpcore#1093). Therefore each connection has its
# own httpx transport, unless the caller passes a transport.


class HttpxTransport(ConnectionPool["HttpxConnection"]):
    """A transport over httpx or httpx2, for trio, for proxies, and for transports of these libraries.

    Args:
        max_connections: Maximum number of connections to all gateways. Further requests wait within their deadline.
        ssl_context: A TLS context; see `AsyncioTransport` for the requirements.
        proxy: The URL of a proxy, as a `Secret` if it contains a password. Environment variables are not read.
        local_address: The IP address of this machine to connect from.
        transport: A transport of httpx or httpx2, such as ``httpx.MockTransport``, used for all requests; or a function
            that returns a new transport for each connection.
        close_transport: Whether `aclose` also closes a `transport` that is used for all requests.

    Raises:
        ConfigurationError: An argument is invalid, or `transport` is combined with one of the previous three arguments.
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
        super().__init__(max_connections, local_address)
        if transport is not None and (ssl_context, proxy, local_address) != (None, None, None):
            raise ConfigurationError(
                "transport must not be combined with ssl_context, proxy or local_address. Pass them to the transport."
            )
        self._context = None if ssl_context is None else verified(ssl_context)
        url = proxy.reveal() if isinstance(proxy, Secret) else proxy
        self._proxy = None if url is None else _proxy(url, self._own_context())
        is_shared = hasattr(transport, "handle_async_request") and not isinstance(transport, type)
        if transport is not None and not is_shared:
            check_factory(transport)
        self._shared: Any = transport if is_shared else None
        self._factory: Any = self._own if transport is None else transport
        self._resolver = Resolver() if proxy is None and transport is None else None
        self._close_shared = close_transport
        self.reaches_origin: bool = transport is None
        self._sweeper: BackgroundTask | None = None
        if isinstance(self._shared, httpx.AsyncHTTPTransport):
            warn(_POOLED_WARNING, stacklevel=4)

    def _check_loop(self) -> None:
        if self._shared is None:  # a transport of the caller may be used on any event loop
            super()._check_loop()

    def _new(self, origin: Origin) -> "HttpxConnection":
        if self._shared is not None:
            return HttpxConnection(origin, self._shared, None, shared=True)
        made = self._factory()
        if not hasattr(made, "handle_async_request"):
            kind = type(made).__name__
            raise ConfigurationError(f"the function passed as transport must return a transport of httpx, not {kind}")
        return HttpxConnection(origin, made, self._resolver)

    def _own_context(self) -> Any:
        return default_context() if self._context is None else _Unchanged(self._context)

    def _own(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(
            verify=self._own_context(),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None),
            trust_env=False,
            proxy=self._proxy,
            local_address=self._local_address,
        )

    def _close_when_due(self, connection: "HttpxConnection") -> None:
        if self._shared is None and self._sweeper is None:
            self._sweeper = BackgroundTask(self._sweep)

    async def _sweep(self) -> None:
        """Close idle connections that can no longer be used."""
        while self.idle_connections:
            await anyio.sleep(_SWEEP)
            now = monotonic()
            idle = [connection for stack in self._idle.values() for connection in stack]
            unusable = [it for it in idle if it.due <= now or not it.is_reusable(now)]
            for connection in unusable:  # removed before the first await, so that no task takes them
                self._remove_idle(connection)
            await close_all(unusable)
        self._sweeper = None

    async def aclose(self) -> None:
        """Close all idle connections. Busy connections are closed when their requests end."""
        await super().aclose()
        if self._sweeper is not None:
            await self._sweeper.stop()
        if self._close_shared and self._shared is not None:
            await self._shared.aclose()


class HttpxConnection(PooledConnection):
    """A connection over a transport of httpx or httpx2."""

    def __init__(self, origin: Origin, carrier: Any, resolver: Resolver | None, *, shared: bool = False) -> None:
        super().__init__(origin)
        self._carrier, self._resolver, self._shared = carrier, resolver, shared
        self._library = library_of(carrier.__class__)
        self._stream: Any = None
        self._reader: StreamReader | None = None
        self._reusable = True
        self._certain = True  # whether `Transmission.sent` is exact
        self._unchanged = False  # whether the last TLS handshake used an `_Unchanged`

    async def send(self, signed_request: SignedRequest, transmission: Transmission, deadline: float) -> HttpResponse:
        """Send the request over this connection and return the response."""
        self._timeouts = signed_request.timeouts
        serialize_request(signed_request)  # raises an error if the request is not valid HTTP
        request = build_request(self._library, signed_request)
        request.extensions["trace"] = self._trace
        self._transmission, self._large = transmission, len(signed_request.body) >= _LARGE
        self._certain, self._responded = True, False
        failure: TransportError = TransportTimeout("no response arrived within the time limit")
        try:
            with anyio.move_on_after(deadline - monotonic()):
                if self._resolver is not None and not self.served and patched_library() is None:
                    await self._resolve(self._resolver)
                self._certain = False
                response = await self._carrier.handle_async_request(request)
                return await self._read(response)
        except (self._library.TransportError, OSError) as error:  # httpx does not wrap errors of TLS
            failure = self._failure(error, deadline)
        finally:
            if not self._certain and not self._is_traced():
                transmission.sent = True
        raise failure  # outside the except block, so that the error has no context that contains the request

    async def _resolve(self, resolver: Resolver) -> None:
        """Resolve the host before httpx does."""
        # A name resolution that hangs in httpx would block a thread of anyio.
        with anyio.move_on_after(self._timeouts.connect):
            await resolver.resolve(self.origin.host, self.origin.port)
            return
        raise TransportError(_MESSAGES["ConnectTimeout"].format(self._timeouts))

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Process a trace event of the request."""
        protocol, _, step = event.partition(".")
        match step:
            case "connect_tcp.started":
                self._certain = True
                # Checked for each connection, because a proxy or a transport of the caller may have another host.
                loopback_guard.check(str(info["host"]))
                self.served = False
            case "connect_unix_socket.started":
                self._certain = True
            case "start_tls.started":
                context = info["ssl_context"]
                self._unchanged = isinstance(context, _Unchanged)
                verified(context.original if self._unchanged else context)
            case "connect_tcp.complete" | "start_tls.complete":
                self._stream, self._reader = info["return_value"], None
                try:
                    check_peer(self.origin.scheme, self._stream.get_extra_info("socket"))
                    if self._unchanged:  # httpx cannot select HTTP/1.1, and would use HTTP/2
                        check_alpn(self._stream.get_extra_info("ssl_object"))
                except TransportError:
                    await self._stream.aclose()  # httpx would leave the stream open
                    raise
            case "send_request_headers.started" if info["request"].method != b"CONNECT":  # CONNECT is for a proxy
                self._certain = True
                await self._transmission.leave()
                self._transmission.sent = True
                if self._stream is not None and protocol == "http11" and not self._shared:
                    self._reader = self._reader or StreamReader(self._stream)
                    self._reader.data = b""
                    if self._large:
                        self._reader.start()
            case "send_request_body.failed":
                self._reusable = False
            case "receive_response_headers.complete":
                self._responded = True

    async def _read(self, response: Any) -> HttpResponse:
        status, headers = response.status_code, normalize_headers(response.headers.raw)
        self._transmission.sent, self._transmission.status, self._transmission.headers = True, status, headers
        parts: list[bytes] = []
        size = 0
        try:
            async for part in response.stream:
                size += len(part)
                parts.append(part)
                if size > MAX_BODY:
                    # Closing the response ends the loop. A `break` would leave httpx's generators suspended.
                    parts.clear()
                    await response.aclose()
        finally:
            await response.aclose()
        if size > MAX_BODY:
            raise too_large()
        if self._reader is not None:
            is_http_1_1 = response.extensions["http_version"] == b"HTTP/1.1"
            is_whole = len(self._reader.data) <= BUFFERED and is_one_response(self._reader.data, headers)
            self._reusable, self._reader.data = self._reusable and is_http_1_1 and is_whole, b""
        return HttpResponse(status, headers, decode_body(headers.get("content-encoding", ""), b"".join(parts)))

    def _failure(self, error: Exception, deadline: float) -> TransportError:
        transmission, names = self._transmission, [kind.__name__ for kind in type(error).__mro__]
        if not self._certain and transmission.status is None:
            self._certain, transmission.sent = True, _NOT_SENT.isdisjoint(names)
        disconnected = transmission.sent and not self._responded and not _DISCONNECTED.isdisjoint(names)
        transmission.stale = self.served and disconnected
        if "ProxyError" in names:
            return _proxy_error(str(error))
        if "ConnectError" in names:
            return connection_error(error, direct=self._resolver is not None)
        message = next((_MESSAGES[name] for name in names if name in _MESSAGES), "the transport failed")
        late = "TimeoutException" in names and monotonic() >= deadline
        message = message.format(self._timeouts)
        return (TransportTimeout if late else TransportError)(f"{message} ({type(error).__name__})")

    def _is_traced(self) -> bool:
        """Return whether the transport reports every request as trace events. Others, such as mocks, may not."""
        original = self._library.AsyncHTTPTransport.handle_async_request
        return getattr(self._carrier.handle_async_request, "__func__", None) is original and patched_library() is None

    def is_reusable(self, now: float) -> bool:
        """Return whether the connection can be used for another request."""
        return self._reader is None or (self._reusable and not self._reader.has_more())

    async def aclose(self) -> None:
        """Close the connection if it does not belong to the caller."""
        if self._shared:
            return
        # Shielded, so that the socket is closed even if the task is cancelled. The result of the request is known.
        with anyio.CancelScope(shield=True):
            with suppress(OSError, self._library.TransportError):
                await self._carrier.aclose()
            if self._stream is not None:
                await self._stream.aclose()  # it is still open after a cancelled TLS handshake
            if self._reader is not None:
                await self._reader.stop()


class _Unchanged:
    """A TLS context whose ALPN protocols httpx cannot change."""

    def __init__(self, original: ssl.SSLContext) -> None:
        self.original = original

    def set_alpn_protocols(self, protocols: object) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def _proxy(url: object, context: Any) -> httpx.Proxy:
    """Return the proxy at `url`."""
    try:
        proxy = httpx.Proxy(url if isinstance(url, str) and urlsplit(url).hostname else "")
        # The default context of httpx obeys SSL_CERT_FILE and SSLKEYLOGFILE.
        proxy.ssl_context = context if proxy.url.scheme == "https" else None
        # Most errors are raised only when a transport is created with the proxy.
        httpx.AsyncHTTPTransport(verify=default_context(), trust_env=False, proxy=proxy)
    except ImportError:
        raise ConfigurationError("a SOCKS proxy requires socksio. Run: pip install 'httpx[socks]'") from None
    except (ValueError, httpx.InvalidURL):
        raise ConfigurationError("proxy must be the URL of a proxy, such as http://proxy.example:3128") from None
    return proxy


def _proxy_error(message: str) -> TransportError:
    status = message[:3]  # such as "407 Proxy Authentication Required"
    if status == "407":
        hint = "Check both in the URL: HttpxTransport(proxy=Secret('http://user:password@host:port'))."
        reason = "the proxy requires a user name and password, or refused them (HTTP 407)"
        return TransportError(reason, retryable=False, hint=hint)
    cause = f"refused the connection (HTTP {status})" if status.isdecimal() else "failed"
    return TransportError(f"the proxy {cause}", hint="It is safe to call again. Check the proxy and its URL.")
