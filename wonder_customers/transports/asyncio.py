"""The default transport on asyncio and uvloop."""

import asyncio
import socket
import ssl
from math import inf
from time import monotonic
from typing import Final, cast

from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from wonder_customers._support.clock import running_loop
from wonder_customers.errors import ConfigurationError
from wonder_customers.transports.messages import (
    MAX_BODY,
    MAX_HEAD,
    decode_body,
    normalize_headers,
    serialize_request,
    too_large,
)
from wonder_customers.transports.network import Resolver, check_peer, connection_error, is_readable, running_on_asyncio
from wonder_customers.transports.pool import ConnectionPool, PooledConnection
from wonder_customers.transports.tls import check_alpn, default_context, verified
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportError, TransportTimeout

__all__ = ["AsyncioTransport"]

_LENIENCIES: Final = {
    "lenient_headers": True,  # folded lines
    "lenient_chunked_length": True,  # a length beside chunks
    "lenient_spaces_after_chunk_size": True,
    "lenient_optional_cr_before_lf": True,
}
"""The invalid forms that old proxies send and that httpx reads too."""
_NEXT_ADDRESS: Final = 0.25
"""Seconds after which the next address of a host is tried in parallel (RFC 8305, section 5)."""


class AsyncioTransport(ConnectionPool["AsyncioConnection"]):
    """The default transport for asyncio and uvloop.

    A transport belongs to the event loop on which it is first used. Close it after the sessions that use it.

    Args:
        max_connections: Maximum number of connections to all gateways. Further requests wait within their deadline.
        ssl_context: A TLS context for a private certificate authority or pinned certificates. It must verify
            certificates and host names, accept only TLS 1.2 or later, accept no cipher without encryption or
            authentication, and have no keylog_filename. It is not modified.
        local_address: The IP address of this machine to connect from.

    Raises:
        ConfigurationError: `max_connections` is out of range, `local_address` is not an IP address, or `ssl_context`
            does not meet these requirements.
    """

    def __init__(
        self,
        *,
        max_connections: int = 32,
        ssl_context: ssl.SSLContext | None = None,
        local_address: str | None = None,
    ) -> None:
        super().__init__(max_connections, local_address)
        self._context = None if ssl_context is None else verified(ssl_context)
        self._resolver = Resolver()

    def _check_loop(self) -> None:
        if self._loop is None and not running_on_asyncio():
            raise ConfigurationError(
                "AsyncioTransport runs only on asyncio. Nothing was sent. On trio, use HttpxTransport."
            )
        super()._check_loop()

    def _new(self, origin: Origin) -> "AsyncioConnection":
        return AsyncioConnection(origin, self)

    def _close_when_due(self, connection: "AsyncioConnection") -> None:
        if connection.due < connection.timer_due:
            connection.set_timer()

    def discard(self, connection: "AsyncioConnection") -> None:
        """Close a connection if it is idle."""
        if self._remove_idle(connection):
            connection.abort()

    async def aclose(self) -> None:
        """Close all idle connections. Busy connections are closed when their requests end."""
        idle = [connection.closed for stack in self._idle.values() for connection in stack]
        await super().aclose()
        if idle and idle[0].get_loop() is asyncio.get_running_loop():
            await asyncio.wait(idle)

    async def connect(self, connection: "AsyncioConnection", seconds: float, deadline: float) -> asyncio.Transport:
        """Open a connection and return its transport. Raise `TransportError` if this fails."""
        origin = connection.origin
        context = verified(self._context or default_context()) if origin.scheme == "https" else None
        failure = None
        try:
            async with asyncio.timeout(min(seconds, deadline - monotonic())):
                connection.socket = sock = await self._open_socket(origin)
                check_peer(origin.scheme, sock)
                server_hostname = None if context is None else origin.host
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, sock=sock, ssl=context, server_hostname=server_hostname
                )
        except TimeoutError:
            kind = TransportTimeout if monotonic() >= deadline else TransportError
            failure = kind(f"no connection could be opened within the connect timeout of {seconds:g} s")
        except OSError as error:
            failure = connection_error(error)
        finally:
            if connection.transport is None and connection.socket is not None:
                connection.socket.close()
        if failure is not None:
            raise failure  # outside the except block, so that the error has no context whose frames contain the request
        transport = connection.transport
        if transport is None or transport.is_closing():
            raise TransportError("the connection was closed immediately after it was opened")
        check_alpn(transport.get_extra_info("ssl_object"))
        return transport

    async def _open_socket(self, origin: Origin) -> socket.socket:
        addresses = await self._resolver.resolve(origin.host, origin.port)
        local = None if self._local_address is None else socket.getaddrinfo(self._local_address, 0)
        sock = await start_connection(addresses, local_addr_infos=local, happy_eyeballs_delay=_NEXT_ADDRESS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class AsyncioConnection(asyncio.Protocol, PooledConnection):
    """An HTTP/1.1 connection."""

    def __init__(self, origin: Origin, pool: AsyncioTransport) -> None:
        super().__init__(origin)
        self._pool, self._loop = pool, asyncio.get_running_loop()
        self.socket: socket.socket | None = None
        self.transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()  # done when the socket is closed
        self._parser = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**_LENIENCIES)
        self._waiter: asyncio.Future[None] | None = None
        self._reusable = True
        self._timer: asyncio.TimerHandle | None = None
        self.timer_due: float = inf  # when the timer fires

    async def send(self, signed_request: SignedRequest, transmission: Transmission, deadline: float) -> HttpResponse:
        """Send the request over this connection and return the response, or raise `TransportError`."""
        data, timeouts = serialize_request(signed_request), signed_request.timeouts
        transport, is_new = self.transport, self.transport is None
        if transport is None:
            transport = await self._pool.connect(self, timeouts.connect, deadline)
        if is_new or transmission.renew is not None:
            await transmission.leave()
            if not self.is_reusable(monotonic()):
                raise TransportError("the connection was closed before the request was sent")
        self._transmission, self._deadline, self._timeouts = transmission, deadline, timeouts
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._received = self._unsent = 0
        self._complete = self._until_closed = False
        self._error: TransportError | None = None
        self._waiter = waiter = self._loop.create_future()
        transmission.sent = True
        transport.write(data)
        self._expect_within(timeouts.write if self._unsent else timeouts.read)
        await waiter
        if self._error is not None:
            raise self._error
        assert transmission.status is not None  # noqa: S101 - the response is complete
        headers, parts, self._body = transmission.headers, self._body, []  # an idle connection keeps no response
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if "content-encoding" in headers:
            body = decode_body(headers["content-encoding"], body)
        if len(body) > MAX_BODY:
            raise too_large()
        return HttpResponse(transmission.status, headers, body)

    def is_reusable(self, now: float) -> bool:
        """Return whether the connection can be used for another request."""
        if not self._reusable or self.transport is None or self.transport.is_closing():
            return False
        # If the program has blocked the event loop, the end of the connection may not have been reported yet.
        return not self.served or now - self.idle_since < 1 or not is_readable(self.socket)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._loop is running_loop():  # None if the garbage collector closes the call outside of an event loop
            self.abort()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.abort)
        elif self.socket is not None:
            self.socket.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._reusable, self._waiter = False, None
        if self.transport is not None:
            self.transport.abort()

    def set_timer(self) -> None:
        """Start a timer that fires at `due`."""
        if self._timer is not None:
            self._timer.cancel()
        self.timer_due = self.due
        self._timer = self._loop.call_later(self.due - monotonic(), self._check_time)

    def _check_time(self) -> None:
        self.timer_due, now = inf, monotonic()
        if now < self.due:
            self.set_timer()
        elif self._waiter is None:
            self._pool.discard(self)
        elif self._unsent and now < self._deadline and self._has_sent_more():
            self._expect_within(self._timeouts.write)
        else:
            kind = TransportTimeout if now >= self._deadline else TransportError
            name, seconds = ("write", self._timeouts.write) if self._unsent else ("read", self._timeouts.read)
            self._fail(kind(f"the {name} timeout of {seconds:g} s passed"))

    def _has_sent_more(self) -> bool:
        before, self._unsent = self._unsent, cast("asyncio.Transport", self.transport).get_write_buffer_size()
        return self._unsent < before

    def _expect_within(self, seconds: float) -> None:
        # Without a request, `due` is the time when the idle connection is closed.
        self.due: float = min(monotonic() + seconds, self._deadline)
        # A timer that fires earlier is kept, because a new timer for each request would be slower.
        if self.due < self.timer_due:
            self.set_timer()

    def _fail(self, error: TransportError) -> None:
        """End the request after a failure."""
        if not self._complete and self._error is None:
            self._error = error
        self._finish()

    def _finish(self) -> None:
        waiter, self._waiter = self._waiter, None
        if self._error is not None or self._unsent:
            self._reusable = False
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's

    def pause_writing(self) -> None:
        self._unsent = cast("asyncio.Transport", self.transport).get_write_buffer_size()

    def resume_writing(self) -> None:
        self._unsent = 0
        if self._waiter is not None:
            self._expect_within(self._timeouts.read)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            # No request is in progress, and the data must not be read as the response to the next request.
            self._pool.discard(self)
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._reusable = False
            cause = f" ({error})" if type(error) is HttpParserError else ""  # a constant text of httptools
            self._fail(TransportError(f"the response is not valid HTTP{cause}"))
            return
        if self._complete or self._error is not None:
            self._finish()
        elif self._transmission.status is None and self._received > MAX_HEAD:
            self._fail(TransportError(f"the response headers are larger than {MAX_HEAD:,} bytes", retryable=False))
        elif self._received > MAX_HEAD + MAX_BODY:
            self._fail(too_large())
        elif not self._unsent:
            self._expect_within(self._timeouts.read)

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)
        if self._timer is not None:
            self._timer.cancel()
        self.closed.set_result(None)

    def _end(self, error: Exception | None) -> None:
        self._reusable = False
        if self._waiter is None:
            self._pool.discard(self)
        elif self._until_closed and error is None:
            self._complete = True
            self._finish()
        else:
            self._transmission.stale = self.served and not self._received
            cause = "the connection was closed" if error is None else f"the connection broke ({type(error).__name__})"
            part = "a" if self._transmission.status is None else "the complete"
            self._fail(TransportError(f"{cause} before {part} response arrived"))

    # HttpResponseParser

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than one response")  # `feed_data` raises HttpParserError

    def on_header(self, name: bytes, value: bytes) -> None:
        if b"\0" in value or name[-1] in b" \t":  # allowed by the lenience for folded lines
            raise ValueError("not valid in a header")  # `feed_data` raises HttpParserError
        if self._transmission.status is None:  # else it is a trailer, of which there could be millions
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 101:
            self._error = TransportError("the gateway switched to another protocol")
        elif status >= 200:
            headers = normalize_headers(self._fields)
            self._transmission.status, self._transmission.headers = status, headers
            chunked = "chunked" in headers.get("transfer-encoding", "").lower()
            self._until_closed = not chunked and "content-length" not in headers
            if chunked and "content-length" in headers:  # RFC 9112, section 6.3: the connection must be closed
                self._reusable = False
        self._fields.clear()

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._transmission.status is not None:  # else it is an interim response
            self._complete = True
            self._reusable = self._reusable and self._parser.should_keep_alive()
