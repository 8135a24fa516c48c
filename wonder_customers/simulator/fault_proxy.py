"""The fault proxy: accepts connections, relays requests to the gateways, and injects faults."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import h11
import orjson

from wonder_customers.simulator.app import ADMIN
from wonder_customers.simulator.behaviours import FaultContext, relay, simulator_response
from wonder_customers.simulator.cards import without_card_data
from wonder_customers.simulator.faults import FAULT_KINDS, HEADER, Fault, Faults, fault_from_header
from wonder_customers.simulator.proxy_http import (
    ClientConnection,
    GatewayConnection,
    ProxiedRequest,
    RequestTooLargeError,
    bound_socket,
)
from wonder_customers.simulator.request_log import RecordedRequest, RequestLog

_BACKLOG = 1024


class FaultProxy:
    """A reverse proxy for the gateways."""

    def __init__(
        self,
        listening: socket.socket,
        upstream: tuple[str, int],
        faults: Faults,
        resolve_route: Callable[[str], tuple[str, str]],  # the name of the gateway and the route of a path
        *,
        tls: ssl.SSLContext | None = None,
        request_log: RequestLog | None = None,
    ) -> None:
        self._socket = listening
        self._address: tuple[str, int] = listening.getsockname()[:2]
        self._upstream = upstream
        self._faults = faults
        self._resolve_route = resolve_route
        self._tls = tls
        self._request_log = request_log or RequestLog()
        self._refusing = False
        self._reopening: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # The proxy closes these sockets, because a task that is cancelled before its first step cannot do so.
        self._accepted: set[socket.socket] = set()
        self._clients: set[ClientConnection] = set()

    def open(self) -> None:
        """Start accepting connections."""
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        # asyncio's server loses connections that it accepts while it is being closed.
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _shut(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def close(self) -> None:
        """Close the socket and all connections, and cancel all tasks."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._shut()
        while closing := self._tasks.copy():
            for task in closing:
                task.cancel()
            # Since Python 3.12, gather does not yield if all tasks are done, so their callbacks have not run.
            await asyncio.gather(*closing, return_exceptions=True)
            self._tasks -= closing
        for accepted in self._accepted:
            accepted.close()
        for client in self._clients:
            client.abort()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task, which is cancelled when the proxy is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def refuse(self, seconds: float | None) -> None:
        """Refuse new connections, optionally only for `seconds`."""
        if self._refusing:
            return
        self._refusing = True
        self._shut()
        # A bound socket that does not listen refuses connections and keeps the port reserved.
        self._socket = bound_socket(*self._address)
        if seconds is not None:
            self._reopening = asyncio.get_running_loop().call_later(seconds, self.reopen)

    def reopen(self) -> None:
        """Accept connections again."""
        if self._reopening is not None:
            self._reopening.cancel()
        if self._refusing:
            self._refusing = False
            self.open()

    async def deliver_later(self, message: ProxiedRequest, delay: float) -> None:
        """Deliver a request to the gateways after `delay` seconds."""
        await asyncio.sleep(delay)
        upstream = self._new_upstream()
        try:
            await upstream.deliver(message)
        finally:
            upstream.close()

    def count(self, message: ProxiedRequest) -> None:
        """Count a received request."""
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

        # A client that rejects the certificate aborts the handshake.
        with suppress(OSError):
            await loop.connect_accepted_socket(protocol, accepted, ssl=self._tls)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = ClientConnection(reader, writer)
        self._clients.add(client)
        fault = self._faults.for_connection()
        if fault is not None:
            # Pause before the loop starts reading, because these faults must not read anything.
            client.pause()
        self.spawn(self._serve(client, fault))

    async def _serve(self, client: ClientConnection, fault: Fault | None) -> None:
        upstream = self._new_upstream()
        try:
            if fault is not None:
                await self._handle(fault, FaultContext(self, client, upstream, ProxiedRequest(b"", b"", ())))
            else:
                await self._serve_requests(client, upstream)
            await client.close()
        except RequestTooLargeError as error:
            await self._refuse_body(client, str(error))
        except (OSError, h11.ProtocolError):
            client.abort()
        except asyncio.CancelledError:
            client.abort()
            raise
        finally:
            self._clients.discard(client)
            upstream.close()

    async def _refuse_body(self, client: ClientConnection, message: str) -> None:
        response = simulator_response(413, orjson.dumps({"message": message}), (b"Connection", b"close"))
        with suppress(OSError):
            await client.write(response.head() + response.body)
            await client.close()

    async def _serve_requests(self, client: ClientConnection, upstream: GatewayConnection) -> None:
        while (head := await client.next_head()) is not None:
            context = FaultContext(self, client, upstream, head)
            try:
                fault = self._fault_for(head)
            except ValueError as error:  # an invalid fault header
                await context.request()
                await context.send(simulator_response(400, orjson.dumps({"message": str(error)})))
                continue
            if not await self._handle(fault, context):
                return

    def _fault_for(self, head: ProxiedRequest) -> Fault | None:
        if head.path == "/" or head.path.startswith(ADMIN):
            return None
        self.count(head)
        requested = head.header(HEADER)
        if requested is not None:
            fault = fault_from_header(requested)
            self._faults.seen.append(fault.name)
            return fault
        gateway, _ = self._resolve_route(head.path)
        return self._faults.for_request(gateway, head.method.decode(), head.path)

    async def _handle(self, fault: Fault | None, context: FaultContext) -> bool:
        if fault is None:
            return await relay(context)
        context.applied, context.parameters, context.fault = fault.applied, fault.parameters, fault.name
        kind, head = FAULT_KINDS[fault.name], context.head
        recorded = None if (kind.delivers and fault.applied) or not head.method else self._record(fault, head)
        try:
            return await kind.behaviour(context)
        finally:
            if recorded is not None:
                recorded.body = without_card_data(context.body)

    def _record(self, fault: Fault, head: ProxiedRequest) -> RecordedRequest:
        gateway, route = self._resolve_route(head.path)
        recorded = RecordedRequest.received(gateway, route, head.method.decode("latin-1"), head.target, head.headers)
        recorded.fault = fault.name
        self._request_log.add(recorded)
        return recorded
