"""The evidence that both transports report, the connections that they keep, and that they leave no connection open."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from attrs import evolve
from transports.sending import (
    HEAD,
    failure_of,
    forever,
    hang,
    in_pieces,
    once,
    request_in_progress,
    response_to,
    send,
    signed_request,
)

from raw_sockets import OK, Peer, RawServer, dead_port
from wonder_customers import ConfigurationError
from wonder_customers.transports import select_transport
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.messages import MAX_BODY
from wonder_customers.wire import HttpResponse, Timeouts, Transmission, Transport

Kind = Callable[..., Any]

FAILURES: list[tuple[str, Callable[[Peer], None], int | None]] = [
    ("read all then close", once(), None),
    ("read all then RST", once(then=Peer.reset), None),
    ("read all then hang", hang, None),
    ("headers then RST", once(HEAD + b"Content-Length: 9\r\n\r\n", then=Peer.reset), 201),
    ("truncated body", once(HEAD + b"Content-Length: 9\r\n\r\n{}"), 201),
    ("bad chunk", once(HEAD + b"Transfer-Encoding: chunked\r\n\r\nXYZ\r\n{}\r\n"), 201),
    ("damaged gzip", once(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"), 201),
    ("endless headers", once(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000), None),
    ("not HTTP", once(b"hello\r\n\r\n"), None),
    ("a body without end", once(HEAD + b"\r\n" + b"x" * (MAX_BODY + 1)), 201),
]


@pytest.mark.parametrize(("name", "script", "status"), FAILURES, ids=[failure[0] for failure in FAILURES])
async def test_failed_response_leaves_correct_evidence(
    transport: Any, name: str, script: Callable[[Peer], None], status: int | None
) -> None:
    with RawServer(script) as server:
        transmission, error = await failure_of(transport, signed_request(server.port, method="POST", body=b"{}"))
    assert (transmission.sent, transmission.status, transmission.stale) == (True, status, False)
    assert "secret" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None, "the error of the HTTP library contains the request"
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


async def test_connection_reset_at_once_has_no_status(kind: Kind) -> None:
    with RawServer(Peer.reset) as server:
        transmission, _ = await failure_of(kind(), signed_request(server.port))
    # The reset may arrive before or after the request was sent.
    assert transmission.status is None


async def test_refused_connection_sent_nothing(kind: Kind) -> None:
    with dead_port() as port:
        transmission, _ = await failure_of(kind(), signed_request(port))
    assert not transmission.sent


async def test_connection_that_is_never_accepted_sent_nothing(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        transmission, _ = await failure_of(kind(), signed_request(port, timeouts=Timeouts(0.2, 0.2, 0.2)))
        for filler in fillers:
            filler.close()
    assert not transmission.sent


async def test_connection_is_kept_after_complete_response(kind: Kind) -> None:
    transport = kind()
    with RawServer(forever) as server:
        for _ in range(3):
            transmission, response = await send(transport, signed_request(server.port))
            assert isinstance(response, HttpResponse)
            assert (response.status, response.body, transmission.status) == (200, b"{}", 200)
        assert server.connections == 1
        assert (transport.open_connections, transport.busy_connections) == (1, 0)
        await transport.aclose()
    assert transport.open_connections == 0
    assert isinstance(transport, Transport)


async def test_request_is_sent_byte_for_byte(transport: Any) -> None:
    received: list[bytes] = []

    def script(peer: Peer) -> None:
        received.append(peer.request())
        peer.say(OK)

    with RawServer(script) as server:
        await send(transport, signed_request(server.port, method="POST", body=b'{"a":1}'))
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /v1/customers?a=%2F HTTP/1.1"
    assert body == b'{"a":1}'
    assert b"accept-encoding" not in head.lower(), "the transport adds no header"


@pytest.mark.parametrize(
    "head", [b"1.1 200 OK\r\nConnection: close", b"1.1 200 OK\r\nConnection: a, close", b"1.0 200 OK"]
)
async def test_connection_that_ends_after_a_response_is_replaced(transport: Any, head: bytes) -> None:
    with RawServer(once(b"HTTP/" + head + b"\r\nContent-Length: 2\r\n\r\n{}")) as server:
        for _ in range(3):
            assert (await response_to(transport, signed_request(server.port))).status == 200
            assert transport.open_connections == 0


async def test_body_that_ends_with_the_connection_is_read(transport: Any) -> None:
    with RawServer(once(b"HTTP/1.1 200 OK\r\n\r\n", b"{", b"}")) as server:
        assert (await response_to(transport, signed_request(server.port))).body == b"{}"
        assert transport.open_connections == 0


async def test_connection_closed_while_idle_is_not_reused(transport: Any) -> None:
    closed = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        peer.socket.close()
        closed.set()

    with RawServer(script) as server:
        for _ in range(3):
            assert (await response_to(transport, signed_request(server.port))).status == 200
            assert await anyio.to_thread.run_sync(closed.wait, 60)
            closed.clear()


async def test_connection_closed_while_the_program_blocked_is_not_reused(transport: Any) -> None:
    closed = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        peer.socket.close()
        closed.set()

    with RawServer(script) as server:
        await send(transport, signed_request(server.port))
        closed.wait(60)
        time.sleep(1.1)  # noqa: ASYNC251 - the event loop must not see the end of the connection
        assert (await response_to(transport, signed_request(server.port))).status == 200


async def test_kept_connection_that_breaks_before_a_response_is_stale(transport: Any) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        peer.request()
        peer.reset()

    with RawServer(script) as server:
        await send(transport, signed_request(server.port))
        transmission, _ = await failure_of(transport, signed_request(server.port))
    assert (transmission.sent, transmission.stale) == (True, True)


async def test_request_is_never_sent_twice(transport: Any) -> None:
    requests: list[bytes] = []

    def script(peer: Peer) -> None:
        requests.append(peer.request())
        peer.say(OK)
        requests.append(peer.request())
        peer.reset()

    with RawServer(script) as server:
        await send(transport, signed_request(server.port))
        await send(transport, signed_request(server.port))
        assert server.connections == 1
    assert len(requests) == 2


async def test_number_of_connections_is_limited(kind: Kind) -> None:
    transport = kind(max_connections=3)
    with RawServer(forever) as server:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(send, transport, signed_request(server.port))
        assert server.connections <= 3
        assert transport.open_connections <= 3
        await transport.aclose()


async def test_idle_connections_of_one_gateway_make_room_for_another(kind: Kind) -> None:
    transport = kind(max_connections=2)
    with RawServer(forever) as one, RawServer(forever) as other:
        for server in (one, one, other, one, other, other):
            async with anyio.create_task_group() as group:
                group.start_soon(send, transport, signed_request(server.port))
                group.start_soon(send, transport, signed_request(server.port))
            assert transport.open_connections <= 2
        await transport.aclose()


async def test_cancelled_requests_leave_nothing_open(kind: Kind) -> None:
    transport = kind(max_connections=4)
    with RawServer(hang) as server:
        with anyio.move_on_after(0.1):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(send, transport, signed_request(server.port))
        assert (transport.open_connections, transport.busy_connections) == (0, 0)


async def test_closing_during_a_request_leaves_nothing_open(kind: Kind) -> None:
    transport = kind()
    async with request_in_progress(transport):
        await transport.aclose()
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


async def test_cookies_and_redirects_are_ignored(transport: Any) -> None:
    received: list[bytes] = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            received.append(request)
            peer.say(b"HTTP/1.1 302 Found\r\nLocation: /else\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as server:
        for _ in range(2):
            assert (await response_to(transport, signed_request(server.port))).status == 302
    assert len(received) == 2
    assert not any(b"cookie" in request.lower() or b"/else" in request for request in received)


async def test_interim_responses_are_skipped(transport: Any) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    with RawServer(once(interim + OK)) as server:
        transmission, response = await send(transport, signed_request(server.port))
    assert isinstance(response, HttpResponse)
    assert (response.body, transmission.status, "link" in response.headers) == (b"{}", 200, False)


async def test_protocol_switch_is_an_error(transport: Any) -> None:
    with RawServer(once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")) as server:
        transmission, _ = await failure_of(transport, signed_request(server.port))
    assert transmission.sent
    assert transport.open_connections == 0


@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 80])
async def test_response_may_arrive_in_any_pieces(transport: Any, pieces: int) -> None:
    whole = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with RawServer(in_pieces(whole, -(-len(whole) // pieces))) as server:
        for _ in range(3):
            response = await response_to(transport, signed_request(server.port))
            assert (response.status, response.body) == (201, b"{}")
        assert server.connections == 1


NOT_HTTP: list[dict[str, Any]] = [
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\r\nX-Other: 1"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\nX-Other: 1"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\r"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\0"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\x1b[2J"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X Key", b"private"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key:", b"private"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X\r\nKey", b"private"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"", b"private"))},
    {"target": "/private HTTP/1.1\r\nX-Other:"},
    {"target": "/private one"},
    {"target": "/priv\u00e9"},
    {"target": ""},
    {"method": "GET /private"},
]


@pytest.mark.parametrize("change", NOT_HTTP)
async def test_request_that_is_not_valid_http_is_not_sent(change: dict[str, Any], transport: Any) -> None:
    with RawServer(forever) as server:
        transmission, error = await send(transport, evolve(signed_request(server.port), **change))
        assert transmission == Transmission()
        assert str(error) == "the request line or a header is not valid HTTP"
        assert transport.open_connections == 0
        assert (await response_to(transport, signed_request(server.port))).status == 200


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "32", None, 10_001])
def test_invalid_number_of_connections_is_rejected(kind: Kind, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_connections"):
        kind(max_connections=wrong)
    with pytest.raises(ConfigurationError, match="max_connections"):
        select_transport(httpx.MockTransport(lambda request: httpx.Response(200)), wrong)


async def test_large_request_is_sent_completely(transport: Any) -> None:
    received: list[bytes] = []

    def script(peer: Peer) -> None:
        received.append(peer.request())
        peer.say(OK)

    body = b"".join(b"%07d\n" % number for number in range(1_000_000))
    with RawServer(script) as server:
        large = signed_request(server.port, method="POST", body=body, timeouts=Timeouts(60, 60, 60))
        response = await response_to(transport, large)
    assert response.status == 200
    assert received[0].partition(b"\r\n\r\n")[2] == body


async def test_large_request_that_is_not_read_ends_in_time(transport: Any) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        done.wait(60)

    with RawServer(script) as server:
        large = signed_request(server.port, method="POST", body=b"x" * 30_000_000, timeouts=Timeouts(1, 0.2, 0.2))
        transmission, _ = await failure_of(transport, large)
        done.set()
    assert transmission.sent
    assert transport.open_connections == 0


def test_asyncio_transport_is_rejected_on_trio() -> None:
    async def call() -> None:
        transport = AsyncioTransport()
        with pytest.raises(ConfigurationError, match="only on asyncio"):
            await transport.send(signed_request(9), Transmission())
        await transport.aclose()

    anyio.run(call, backend="trio")


def test_transport_is_rejected_on_another_event_loop(kind: Kind) -> None:
    with RawServer(forever) as server:

        async def call(transport: Any) -> None:
            await transport.send(signed_request(server.port), Transmission())

        async def first() -> Any:
            transport = kind()
            await call(transport)
            return transport

        with asyncio.Runner() as runner:
            transport = runner.run(first())
            with asyncio.Runner() as other, pytest.raises(ConfigurationError, match="another event loop"):
                other.run(call(transport))
            runner.run(transport.aclose())
