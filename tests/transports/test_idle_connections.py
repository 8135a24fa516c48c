"""Idle connections are closed in time, when their server closes them, and with their session."""

import asyncio
import gc
import threading
import tracemalloc
import warnings
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from backends import ASYNCIO_ONLY
from transports.sending import forever, once, response_to, send, signed_request

from raw_sockets import OK, Peer, RawServer
from wonder_customers.transports import pool
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.transports.tls import default_context
from wonder_customers.wire import Timeouts, Transmission


async def until_closed(transport: Any, seconds: float = 120) -> None:
    """Wait until the transport has no connection, without sending anything."""
    with anyio.fail_after(seconds):
        while transport.open_connections:  # noqa: ASYNC110 - no event reports it
            await anyio.sleep(0.01)


def connected_sockets(port: int) -> list[str]:
    """Return the states of this process's TCP sockets that lead to `port`: 01 established, 08 CLOSE_WAIT."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return [row[3] for row in rows if int(row[2].rpartition(":")[2], 16) == port and row[3] in {"01", "08"}]


def descriptors() -> int:
    """Return how many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_idle_connection_is_closed_in_time(transport: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE", 0.2)
    with RawServer(forever) as server:
        await response_to(transport, signed_request(server.port))
        assert transport.idle_connections == 1
        await until_closed(transport)
        await anyio.sleep(0.05)  # the event loop closes the socket in its next iteration
        assert "08" not in connected_sockets(server.port)


async def test_idle_connection_keeps_no_response(transport: Any) -> None:
    name = b"".join(bytes([90 - number]) for number in range(20))  # a new object, and no part of another text

    def script(peer: Peer) -> None:
        while peer.request():
            peer.say(b"HTTP/1.1 200 OK\r\nX-Name: %b\r\nContent-Length: 24\r\n\r\n{%b}  " % (name, name))

    def kept() -> list[object]:
        gc.collect()
        longer = (it for held in gc.get_objects() for it in gc.get_referents(held) if isinstance(it, bytes))
        return [it for it in longer if name in it and it != name]

    with RawServer(script) as server:
        response = await response_to(transport, signed_request(server.port))
        assert kept() == [response.body]
        del response
        assert (transport.idle_connections, kept()) == (1, [])


@ASYNCIO_ONLY
async def test_trailers_take_no_memory() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    response = head + b"a: b\r\n" * 100_000 + b"\r\n"
    async with aclosing(AsyncioTransport()) as transport:
        with RawServer(once(response)) as server:
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            assert (await response_to(transport, signed_request(server.port))).body == b"{}"
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak - before < 3_000_000


async def test_error_of_closing_a_connection_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE", 0.2)

    class Failing(httpx.AsyncHTTPTransport):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError

    async with aclosing(HttpxTransport(transport=Failing)) as transport:
        with RawServer(forever) as server:
            for _ in range(2):  # the background task that closes connections must start again
                await response_to(transport, signed_request(server.port))
                await until_closed(transport, 20)


async def test_connection_that_the_server_closes_is_closed(transport: Any) -> None:
    close = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        close.wait(60)

    with RawServer(script) as server:
        await response_to(transport, signed_request(server.port))
        assert (transport.open_connections, transport.idle_connections) == (1, 1)
        close.set()
        await until_closed(transport)
        await anyio.sleep(0.05)  # the event loop closes the socket in its next iteration
        assert "08" not in connected_sockets(server.port)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"Keep-Alive: timeout=60, max=100", 48.0),
        (b"Keep-Alive: timeout=2", 1.6),
        (b"keep-alive: Timeout = 5", 4.0),
        (b"Keep-Alive: max=100", pool.KEEP_ALIVE),
        (b"Keep-Alive: timeout=nonsense", pool.KEEP_ALIVE),
        (b"Keep-Alive: timeout=999999", pool.MAX_AGE),
        (b"X-Other: 1", pool.KEEP_ALIVE),
    ],
)
async def test_keep_alive_header_is_followed(transport: Any, header: bytes, kept: float) -> None:
    def script(peer: Peer) -> None:
        while peer.request():
            peer.say(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\n{}" % header)

    with RawServer(script) as server:
        await response_to(transport, signed_request(server.port))
        ((connection,),) = transport._idle.values()
        assert abs(connection.due - connection.idle_since - kept) < 0.5


async def test_keep_alive_of_zero_closes_the_connection(transport: Any) -> None:
    def script(peer: Peer) -> None:
        while peer.request():
            peer.say(b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0\r\nContent-Length: 2\r\n\r\n{}")

    with RawServer(script) as server:
        await response_to(transport, signed_request(server.port))
        assert transport.open_connections == 0


async def test_connection_is_replaced_after_its_maximum_age(transport: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_AGE", 0.2)
    with RawServer(forever) as server:
        with anyio.fail_after(120):
            while server.connections < 2:
                await response_to(transport, signed_request(server.port))
                await anyio.sleep(0.01)


async def test_idle_connections_are_closed_while_others_are_used(
    kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE", 0.3)
    async with aclosing(kind(max_connections=8)) as transport:
        with RawServer(forever) as server:
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(send, transport, signed_request(server.port))
            assert transport.open_connections > 1
            with anyio.fail_after(120):
                while transport.open_connections > 1:
                    await response_to(transport, signed_request(server.port))
                    await anyio.sleep(0.01)


async def test_idle_connection_that_is_used_again_stays_open_while_another_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE", 60)
    closing, asked, respond, responded = anyio.Event(), threading.Event(), threading.Event(), threading.Event()

    class SlowlyClosed(httpx.AsyncHTTPTransport):
        async def aclose(self) -> None:
            await super().aclose()
            if not closing.is_set():
                closing.set()
                await anyio.to_thread.run_sync(asked.wait, 60)
                respond.set()
                responded.wait(60)  # the event loop does not read the response before this connection is closed

    def script(peer: Peer) -> None:
        while peer.request():
            last = closing.is_set()
            if last:
                asked.set()
                respond.wait(60)
            peer.say(OK)
            if last:
                responded.set()

    with RawServer(script) as server:
        async with aclosing(HttpxTransport(transport=lambda: SlowlyClosed(verify=default_context()))) as transport:
            async with anyio.create_task_group() as group:
                group.start_soon(send, transport, signed_request(server.port))
                group.start_soon(send, transport, signed_request(server.port))
            ((oldest, _),) = transport._idle.values()
            await response_to(transport, signed_request(server.port))
            oldest.due = 0.0
            await closing.wait()
            patient = signed_request(server.port, timeouts=Timeouts(60, 60, 60))
            assert (await response_to(transport, patient)).status == 200
        assert server.connections == 2


async def test_closed_transport_leaves_no_socket_task_or_thread(kind: Callable[..., Any]) -> None:
    with RawServer(forever) as server:
        before = descriptors()
        transport = kind()
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(send, transport, signed_request(server.port))
        await transport.aclose()
        assert connected_sockets(server.port) == []
        with anyio.fail_after(120):
            while descriptors() > before:  # noqa: ASYNC110 - the server closes its ends
                await anyio.sleep(0.01)


def test_transport_closed_on_another_event_loop_leaves_no_socket() -> None:
    with RawServer(forever) as server:
        transport = AsyncioTransport()
        asyncio.run(response_to(transport, signed_request(server.port)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # asyncio's transport was not closed on its own loop
            asyncio.run(transport.aclose())
            assert connected_sockets(server.port) == []
            assert transport.open_connections == 0
            del transport
            gc.collect()


def test_request_that_ends_outside_of_its_event_loop_is_closed() -> None:
    def silent(peer: Peer) -> None:
        peer.request()
        peer.request()

    with RawServer(silent) as server, asyncio.Runner() as runner:
        transport, transmission = AsyncioTransport(), Transmission()
        request = transport.send(signed_request(server.port, timeouts=Timeouts(60, 60, 60)), transmission)

        async def begin() -> asyncio.Task[Any]:
            task = asyncio.create_task(request)
            while not transmission.sent:  # noqa: ASYNC110 - no event reports it
                await asyncio.sleep(0.01)
            return task

        task = runner.run(begin())
        request.close()  # as the garbage collector does, outside of an event loop
        runner.run(anyio.sleep(0.05))
        assert (transport.open_connections, transport.busy_connections) == (0, 0)
        assert connected_sockets(server.port) == []
        task.cancel()
