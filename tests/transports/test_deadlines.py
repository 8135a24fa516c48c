"""A transport ends each request that exceeds its time limit with `TransportTimeout`, in every phase."""

import threading
import time
from collections.abc import Callable
from time import monotonic
from typing import Any

import anyio
import pytest
from attrs import evolve
from transports.sending import HEAD, forever, hang, send, signed_request

from raw_sockets import OK, Peer, RawServer
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Timeouts, TransportTimeout

PATIENT = Timeouts(60, 60, 60)


def within(seconds: float, port: int, **more: Any) -> SignedRequest:
    return evolve(signed_request(port, timeouts=PATIENT, **more), within=seconds)


def trickle(peer: Peer) -> None:
    """Respond byte by byte, so slowly that the limit is exceeded although each wait is short."""
    peer.request()
    peer.say(HEAD + b"Content-Length: 1000\r\n\r\n")
    pause = threading.Event()
    while not pause.wait(0.02):
        peer.say(b"x")  # until the client closes the connection


@pytest.mark.parametrize(("script", "status"), [(hang, None), (trickle, 201)], ids=["no response", "slow response"])
async def test_slow_response_ends_in_time(transport: Any, script: Any, status: int | None) -> None:
    with RawServer(script) as server:
        began = monotonic()
        transmission, end = await send(transport, within(0.2, server.port))
        took = monotonic() - began
    assert isinstance(end, TransportTimeout)
    assert (transmission.sent, transmission.status, transmission.stale) == (True, status, False)
    assert 0.15 <= took < 50
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


async def test_waiting_for_a_connection_ends_in_time(kind: Callable[..., Any]) -> None:
    transport = kind(max_connections=1)
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        arrived.set()
        hang(peer)

    with RawServer(script) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(send, transport, within(60, server.port))
            assert await anyio.to_thread.run_sync(arrived.wait, 60)
            transmission, end = await send(transport, within(0.1, server.port))
            assert isinstance(end, TransportTimeout)
            assert not transmission.sent
            assert (transport.waiting_requests, transport.busy_connections) == (0, 1)
            group.cancel_scope.cancel()
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


async def test_free_connection_goes_to_the_next_request_that_still_waits(kind: Callable[..., Any]) -> None:
    transport, ends = kind(max_connections=1), []
    release, ended = threading.Event(), anyio.Event()

    def script(peer: Peer) -> None:
        peer.request()
        release.wait(60)
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        forever(peer)

    async def call(seconds: float) -> None:
        ends.append((await send(transport, within(seconds, server.port)))[1])
        ended.set()

    with RawServer(script) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(call, 60)
            await anyio.sleep(0.05)
            group.start_soon(call, 0.05)
            group.start_soon(call, 60)
            await ended.wait()
            release.set()
        await transport.aclose()
    assert sum(isinstance(end, TransportTimeout) for end in ends) == 1
    assert sum(isinstance(end, HttpResponse) for end in ends) == 2


async def test_connection_that_becomes_free_too_late_is_not_used(kind: Callable[..., Any]) -> None:
    transport, first, go = kind(max_connections=1), [], threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        go.wait(60)
        peer.say(OK)
        forever(peer)

    async def call() -> None:
        first.append((await send(transport, within(60, server.port)))[1])

    with RawServer(script) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.sleep(0.05)

            async def block() -> None:
                await anyio.sleep(0.05)
                go.set()
                time.sleep(0.3)  # noqa: ASYNC251 - the response and the deadline come while the event loop is blocked

            group.start_soon(block)
            transmission, end = await send(transport, within(0.15, server.port))
        await transport.aclose()
    assert isinstance(first[0], HttpResponse)
    assert isinstance(end, TransportTimeout)
    assert not transmission.sent
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


@pytest.mark.parametrize("seconds", [0, -1])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_connection_is_opened_after_the_deadline(transport: Any, seconds: float, scheme: str) -> None:
    with RawServer(hang) as server:
        request = evolve(within(seconds, server.port), origin=Origin(scheme, "127.0.0.1", server.port))
        with anyio.fail_after(120):
            transmission, end = await send(transport, request)
    assert isinstance(end, TransportTimeout)
    assert not transmission.sent


@pytest.mark.parametrize("seconds", [0.2, pytest.param(5.1, marks=pytest.mark.long)])
async def test_slow_tls_handshake_ends_in_time(transport: Any, seconds: float) -> None:
    with RawServer(hang) as server:
        request = evolve(within(seconds, server.port), origin=Origin("https", "127.0.0.1", server.port))
        began = monotonic()
        transmission, end = await send(transport, request)
    assert monotonic() - began < 50
    assert isinstance(end, TransportTimeout)
    assert not transmission.sent
