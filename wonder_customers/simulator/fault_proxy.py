"""The proxied: takes the clients' connections, relays their requests to the gateways, and commits faults."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import h11
import orjson

from wonder_customers.simulator.app import ADMIN
from wonder_customers.simulator.behaviours import FaultContext, made_up, relay
from wonder_customers.simulator.faults import FAULT_KINDS, HEADER, Fault, Faults, fault_from_header
from wonder_customers.simulator.proxy_http import ClientConnection, GatewayConnection, ProxiedRequest, bound_socket

_BACKLOG = 1024

RouteResolver = Callable[[str], tuple[str, str]]
"""Gives the gateway and the route of a path."""


class FaultProxy:
    """A listening socket in proxy of the gateways.

    Args:
        listening: The bound socket; the proxy closes it.
        upstream: Host and port of the gateways' web server.
        faults: What to commit.
        resolve_route: Knows whose path is whose.
        tls: The TLS context of an https proxy.
    """

    def __init__(
        self,
        listening: socket.socket,
        upstream: tuple[str, int],
        faults: Faults,
        resolve_route: RouteResolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._socket = listening
        self._address: tuple[str, int] = listening.getsockname()[:2]
        self._upstream = upstream
        self._faults = faults
        self._resolve_route = resolve_route
        self._tls = tls
        self._refusing = False
        self._reopening: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # A task that is cancelled before its first step closes nothing, so that the proxy itself must be able to.
        self._accepted: set[socket.socket] = set()
        self._clients: set[ClientConnection] = set()

    def open(self) -> None:
        """Start to take connections."""
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        # asyncio's own server loses connections that it accepts in the moment in which it is closed.
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _shut(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def close(self) -> None:
        """End everything: the socket, all connections, all that was to happen later."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._shut()
        while closing := self._tasks.copy():
            for task in closing:
                task.cancel()
            # From Python 3.12 on this does not wait at all when all are done, so that none would have left the set.
            await asyncio.gather(*closing, return_exceptions=True)
            self._tasks -= closing
        for accepted in self._accepted:
            accepted.close()
        for client in self._clients:
            client.abort()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something until it is done or the proxy closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def refuse(self, seconds: float | None) -> None:
        """Refuse connections for some time; None: until `reopen`. Those that are open stay."""
        if self._refusing:
            return
        self._refusing = True
        self._shut()
        # Bound but not listening, the port refuses connections and nobody else can take it.
        self._socket = bound_socket(*self._address)
        if seconds is not None:
            self._reopening = asyncio.get_running_loop().call_later(seconds, self.reopen)

    def reopen(self) -> None:
        """Take connections again."""
        if self._reopening is not None:
            self._reopening.cancel()
        if self._refusing:
            self._refusing = False
            self.open()

    async def deliver_later(self, message: ProxiedRequest, delay: float) -> None:
        """Have the gateways handle a request after some time."""
        await asyncio.sleep(delay)
        upstream = self._new_upstream()
        try:
            await upstream.deliver(message)
        finally:
            upstream.close()

    def count(self, message: ProxiedRequest) -> None:
        """Count a request that came in."""
        gateway, route = self._resolve_route(message.path)
        self._faults.requests[gateway, message.method.decode(), route] += 1

    def _new_upstream(self) -> GatewayConnection:
        return GatewayConnection(self._upstream, "http" if self._tls is None else "https")

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                accepted, _ = self._socket.accept()
                accepted.setblocking(False)
                self._accepted.add(accepted)
                self.spawn(self._connect(accepted))

    async def _connect(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._accepted.discard(accepted)

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), self._connected, loop=loop)

        # A client that does not like the certificate ends the handshake, which is its right.
        with suppress(OSError):
            await loop.connect_accepted_socket(protocol, accepted, ssl=self._tls)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = ClientConnection(reader, writer)
        self._clients.add(client)
        fault = self._faults.for_connection()
        if fault is not None:
            # Before the loop begins to read: these faults promise that nothing is read.
            client.ignore()
        self.spawn(self._serve(client, fault))

    async def _serve(self, client: ClientConnection, fault: Fault | None) -> None:
        upstream = self._new_upstream()
        try:
            if fault is not None:
                await self._commit(fault, client, upstream, ProxiedRequest(b"", b"", ()))
            else:
                await self._serve_requests(client, upstream)
            await client.close()
        except (OSError, h11.ProtocolError):
            client.abort()
        except asyncio.CancelledError:
            client.abort()
            raise
        finally:
            self._clients.discard(client)
            upstream.close()

    async def _serve_requests(self, client: ClientConnection, upstream: GatewayConnection) -> None:
        while (head := await client.next_head()) is not None:
            try:
                fault = self._fault_for(head)
            except ValueError as error:
                context = FaultContext(self, client, upstream, head, applied=False, parameters={})
                await context.message()
                await context.send(made_up(400, orjson.dumps({"message": str(error)})))
                continue
            if not await self._commit(fault, client, upstream, head):
                return

    def _fault_for(self, head: ProxiedRequest) -> Fault | None:
        if head.path.startswith(ADMIN):
            return None
        self.count(head)
        asked = head.header(HEADER)
        if asked is not None:
            fault = fault_from_header(asked)
            self._faults.seen.append(fault.name)
            return fault
        gateway, _ = self._resolve_route(head.path)
        return self._faults.for_request(gateway, head.method.decode(), head.path)

    async def _commit(
        self, fault: Fault | None, client: ClientConnection, upstream: GatewayConnection, head: ProxiedRequest
    ) -> bool:
        if fault is None:
            return await relay(FaultContext(self, client, upstream, head, applied=True, parameters={}))
        context = FaultContext(self, client, upstream, head, applied=fault.applied, parameters=fault.parameters)
        return await FAULT_KINDS[fault.name].behaviour(context)
