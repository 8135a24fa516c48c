"""The default transport on asyncio and uvloop.

It handles every byte itself, so the evidence in a `Transmission` is exact.
"""

import asyncio
import socket
import ssl
from math import inf
from time import monotonic
from typing import Any, Final, cast

from wonder_customers.errors import ConfigurationError
from wonder_customers.transports import loopback_guard
from wonder_customers.transports._connection import Connection, DeadlineTimer
from wonder_customers.transports.network import Resolver, connection_error
from wonder_customers.transports.pool import ConnectionPool, Waiter
from wonder_customers.transports.tls import default_context, verified
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Transmission, TransportError, TransportTimeout

__all__ = ["AsyncioTransport"]

_NEXT_ADDRESS: Final = 0.25
"""Seconds before the next address of a host is tried at the same time (RFC 8305, section 5)."""


class _Waiter:
    """A request that waits for a free slot."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given = False

    def set(self) -> None:
        self._given = True
        self.expire(0)

    def is_set(self) -> bool:
        return self._given

    def expire(self, now: float) -> None:
        if not self.future.done():
            self.future.set_result(None)
        self.due = inf


class AsyncioTransport(ConnectionPool[Connection]):
    """Transport for asyncio and uvloop, and the default there.

    It belongs to the event loop on which it is first used. Close it when the sessions that use it have ended.

    Args:
        max_connections: Largest number of connections to all gateways. Further requests wait within their deadline.
        ssl_context: For a private certificate authority or pinned certificates. It must verify certificates and host
            names, and accept only TLS 1.2 or later. It is not changed.
        local_address: The IP address of this machine to connect from.

    Raises:
        ConfigurationError: `max_connections` is out of range, or `ssl_context` does not verify.
    """

    loop: asyncio.AbstractEventLoop
    timer: DeadlineTimer

    def __init__(
        self,
        *,
        max_connections: int = 32,
        ssl_context: ssl.SSLContext | None = None,
        local_address: str | None = None,
    ) -> None:
        super().__init__(max_connections)
        self._context = None if ssl_context is None else verified(ssl_context)
        self._local_address = local_address
        self._resolver = Resolver()

    def _current_loop(self) -> asyncio.AbstractEventLoop:
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("AsyncioTransport runs on asyncio only. Nothing was sent.") from None

    def _check_loop(self) -> None:
        if self._loop is None:
            self.loop = self._current_loop()
            self.timer = DeadlineTimer()
        super()._check_loop()

    def _new_waiter(self) -> Waiter:
        return _Waiter(inf)

    async def _wait(self, waiter: Waiter, deadline: float) -> None:
        it = cast("_Waiter", waiter)
        it.due = deadline
        self.timer.watched.add(it)
        self.timer.schedule(deadline)
        try:
            await it.future
        finally:
            self.timer.watched.discard(it)

    def _new(self, origin: Origin) -> Connection:
        return Connection(origin, self.timer, self._discard_idle)

    def _is_reusable(self, connection: Connection) -> bool:
        return connection.is_reusable()

    def _close_when_due(self, connection: Connection) -> None:
        self.timer.schedule(connection.due)

    def _discard_idle(self, connection: Connection) -> None:
        """Close a connection if it is idle."""
        if self._remove_idle(connection):
            connection.abort()

    async def _close(self, connection: Connection) -> None:
        if self._runs_here():
            connection.abort()
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(connection.abort)
        elif connection.socket is not None:
            connection.socket.close()

    def _runs_here(self) -> bool:
        return self._current_loop() is self.loop

    async def aclose(self) -> None:
        """Close all idle connections. Busy ones are closed when their request ends."""
        idle = [connection.lost for stack in self._idle.values() for connection in stack]
        await super().aclose()
        if idle and self._runs_here():
            # A transport closes its socket in a later iteration of the event loop.
            await asyncio.wait(idle)

    async def _send_and_receive(
        self, connection: Connection, signed_request: SignedRequest, transmission: Transmission, deadline: float
    ) -> HttpResponse:
        if connection.transport is None:
            await self._connect(connection, signed_request.timeouts.connect, deadline)
        await connection.begin(signed_request, transmission, deadline)
        return connection.result()

    async def _connect(self, connection: Connection, limit: float, deadline: float) -> None:
        origin = connection.origin
        loopback_guard.check(origin.host)
        context = verified(self._context or default_context()) if origin.scheme == "https" else None
        failure: TransportError | None = None
        try:
            async with asyncio.timeout(min(limit, deadline - monotonic())):
                connection.socket = await self._open_socket(origin)
                await self.loop.create_connection(
                    lambda: connection,
                    sock=connection.socket,
                    ssl=context,
                    server_hostname=None if context is None else origin.host,
                )
        except TimeoutError:
            failure = (TransportTimeout if monotonic() >= deadline else TransportError)("no connection in time")
        except OSError as error:
            failure = connection_error(error)
        finally:
            if connection.transport is None and connection.socket is not None:
                connection.socket.close()
        if failure is not None:
            raise failure  # here, without the original error: its frames hold the request
        self.timer.watched.add(connection)
        tls = cast("asyncio.Transport", connection.transport).get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() not in {None, "http/1.1"}:
            raise TransportError("the ssl_context negotiated a protocol other than HTTP/1.1", retryable=False)

    async def _open_socket(self, origin: Origin) -> socket.socket:
        """Connect to the first address of a host that accepts, trying another one every `_NEXT_ADDRESS` seconds."""
        addresses = list(await self._resolver.resolve(origin.host, origin.port))
        attempts: set[asyncio.Task[socket.socket]] = set()
        try:
            while True:
                if addresses:
                    attempts.add(self.loop.create_task(self._open_socket_to(addresses.pop(0))))
                wait = _NEXT_ADDRESS if addresses else None
                done, _ = await asyncio.wait(attempts, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    attempts.remove(attempt)
                    if attempt.exception() is None or not (attempts or addresses):
                        return attempt.result()
        finally:
            for attempt in attempts:
                attempt.cancel()
                attempt.add_done_callback(_close_socket)

    async def _open_socket_to(self, address: Any) -> socket.socket:
        family, kind, protocol, _, place = address
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._local_address is not None:
                sock.bind((self._local_address, 0))
            await self.loop.sock_connect(sock, place)
        except BaseException:
            sock.close()
            raise
        return sock


def _close_socket(attempt: "asyncio.Task[socket.socket]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
