"""Lanes: what they see, what they keep, and that nothing of them stays behind."""

import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from attrs import evolve

from raw_sockets import OK, Peer, RawServer, dead_port
from wonder_customers import ConfigurationError
from wonder_customers.transports import choose
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.transports.pool import KEEP_ALIVE, REPLY_LIMIT
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Timeouts, Transmission, Transport, TransportError

pytestmark = pytest.mark.anyio

Kind = type[HttpxTransport]
"""Either transport: both have the same lanes and the same arguments."""


@pytest.fixture
def kind() -> Kind:
    """The transport under test; another file runs the same tests on another one."""
    return HttpxTransport


SOON = Timeouts(connect=0.5, read=0.5, write=0.5)


def signed_request(
    port: int, *, method: str = "GET", body: bytes = b"", timeouts: Timeouts = SOON, host: str = "127.0.0.1"
) -> SignedRequest:
    headers = [(b"Host", f"{host}:{port}".encode()), (b"X-Key", b"secret-of-the-merchant")]
    if method == "POST":
        headers.append((b"Content-Length", str(len(body)).encode()))
    return SignedRequest(Origin("http", host, port), method, "/v1/customers?a=%2F", tuple(headers), body, timeouts)


async def flown(transport: Transport, request: SignedRequest) -> tuple[Transmission, HttpResponse | TransportError]:
    """Send once; what the transport saw and how it ended."""
    transmission = Transmission()
    try:
        return transmission, await transport.send(request, transmission)
    except TransportError as failure:
        return transmission, failure


def once(*data: bytes, then: Callable[[Peer], None] = lambda peer: None) -> Callable[[Peer], None]:
    """Read a request, say `data`, and end."""

    def script(peer: Peer) -> None:
        peer.request()
        for part in data:
            peer.say(part)
        then(peer)

    return script


def forever(peer: Peer) -> None:
    """Answer every request in good order."""
    while peer.request():
        peer.say(OK)


@asynccontextmanager
async def under_way(transport: Transport) -> AsyncIterator[None]:
    """Within it, a request has come to the server; it is answered afterwards."""
    arrived, go = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        arrived.set()
        go.wait(2)
        peer.say(OK)

    with RawServer(script) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(flown, transport, signed_request(server.port, timeouts=Timeouts(2, 2, 2)))
            await anyio.to_thread.run_sync(arrived.wait, 2)
            yield
            go.set()


def hang(peer: Peer) -> None:
    """Read until the client is gone, and say nothing."""
    while peer.socket.recv(65536):
        pass


HEAD = b"HTTP/1.1 201 Created\r\n"
ENDINGS: list[tuple[str, Callable[[Peer], None], bool, int | None]] = [
    ("read all then close", once(), True, None),
    ("read all then RST", once(then=Peer.reset), True, None),
    ("read all then hang", hang, True, None),
    ("headers then RST", once(HEAD + b"Content-Length: 9\r\n\r\n", then=Peer.reset), True, 201),
    ("truncated body", once(HEAD + b"Content-Length: 9\r\n\r\n{}"), True, 201),
    ("bad chunk", once(HEAD + b"Transfer-Encoding: chunked\r\n\r\nXYZ\r\n{}\r\n"), True, 201),
    ("unasked compression", once(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"), True, 201),
    ("endless headers", once(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000), True, None),
    ("no HTTP", once(b"hello\r\n\r\n"), True, None),
    ("a body without end", once(HEAD + b"\r\n" + b"x" * (REPLY_LIMIT + 1)), True, 201),
]


@pytest.mark.parametrize(
    ("name", "script", "sent", "status"), ENDINGS, ids=[attempt_result[0] for attempt_result in ENDINGS]
)
async def test_a_lane_says_what_it_saw(
    kind: Kind, name: str, script: Callable[[Peer], None], sent: bool, status: int | None
) -> None:
    transport = kind()
    with RawServer(script) as server:
        transmission, end = await flown(transport, signed_request(server.port, method="POST", body=b"{}"))
    assert isinstance(end, TransportError), name
    assert (transmission.sent, transmission.status, transmission.stale) == (sent, status, False)
    assert "secret" not in str(end)
    assert end.__cause__ is None
    assert end.__context__ is None, "httpx's error holds the request"
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


async def test_a_connection_that_is_reset_at_once_brings_no_status(kind: Kind) -> None:
    with RawServer(Peer.reset) as server:
        transmission, end = await flown(kind(), signed_request(server.port))
    # Whether the request was under way when the reset came in is the network's to say.
    assert isinstance(end, TransportError)
    assert transmission.status is None


async def test_a_refused_connection_was_sent_nothing(kind: Kind) -> None:
    with dead_port() as port:
        transmission, end = await flown(kind(), signed_request(port))
    assert isinstance(end, TransportError)
    assert not transmission.sent


async def test_a_connection_that_is_never_accepted_was_sent_nothing(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        transmission, end = await flown(kind(), signed_request(port, timeouts=Timeouts(0.2, 0.2, 0.2)))
        for filler in fillers:
            filler.close()
    assert isinstance(end, TransportError)
    assert not transmission.sent


async def test_a_good_answer_is_whole_and_its_lane_is_kept(kind: Kind) -> None:
    transport = kind()
    with RawServer(forever) as server:
        for _ in range(3):
            transmission, end = await flown(transport, signed_request(server.port))
            assert isinstance(end, HttpResponse)
            assert (end.status, end.body, transmission.status) == (200, b"{}", 200)
        assert server.connections == 1
        assert (transport.open_connections, transport.busy_connections) == (1, 0)
        await transport.aclose()
    assert transport.open_connections == 0


async def test_the_request_goes_out_byte_for_byte(kind: Kind) -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.say(OK)

    transport = kind()
    with RawServer(script) as server:
        await flown(transport, signed_request(server.port, method="POST", body=b'{"a":1}'))
        await transport.aclose()
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /v1/customers?a=%2F HTTP/1.1"
    assert body == b'{"a":1}'
    assert b"accept-encoding" not in head.lower(), "nothing is added to the headers that the exchange chose"


async def test_a_server_that_says_close_is_believed(kind: Kind) -> None:
    transport = kind()
    with RawServer(once(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")) as server:
        await flown(transport, signed_request(server.port))
        assert transport.open_connections == 0


async def test_a_connection_that_was_closed_while_idle_is_not_used_again(kind: Kind) -> None:
    closed = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        peer.socket.close()
        closed.set()

    transport = kind()
    with RawServer(script) as server:
        for _ in range(3):
            transmission, end = await flown(transport, signed_request(server.port))
            assert isinstance(end, HttpResponse), end
            assert transmission.sent
            assert await anyio.to_thread.run_sync(closed.wait, 2)
            closed.clear()
        await transport.aclose()


async def test_a_kept_connection_that_breaks_before_an_answer_is_stale(kind: Kind) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        peer.request()
        peer.reset()

    transport = kind()
    with RawServer(script) as server:
        await flown(transport, signed_request(server.port))
        transmission, end = await flown(transport, signed_request(server.port))
    assert isinstance(end, TransportError)
    assert (transmission.sent, transmission.stale) == (True, True)


async def test_no_more_connections_than_allowed(kind: Kind) -> None:
    transport = kind(max_connections=3)
    with RawServer(forever) as server:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(flown, transport, signed_request(server.port))
        assert server.connections <= 3
        assert transport.open_connections <= 3
        await transport.aclose()


async def test_lanes_of_one_gateway_make_room_for_another(kind: Kind) -> None:
    transport = kind(max_connections=2)
    with RawServer(forever) as one, RawServer(forever) as other:
        for server in (one, one, other, one, other, other):
            async with anyio.create_task_group() as group:
                group.start_soon(flown, transport, signed_request(server.port))
                group.start_soon(flown, transport, signed_request(server.port))
            assert transport.open_connections <= 2
        await transport.aclose()


async def test_old_lanes_are_closed_by_the_next_request(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    from wonder_customers.transports import pool as module

    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    transport = kind()
    with RawServer(forever) as server:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(flown, transport, signed_request(server.port))
        assert transport.open_connections == 5
        now[0] += KEEP_ALIVE + 0.1
        await flown(transport, signed_request(server.port))
        assert transport.open_connections == 1
        await transport.aclose()
    assert KEEP_ALIVE < 5


async def test_a_cancelled_request_leaves_nothing_open(kind: Kind) -> None:
    transport = kind(max_connections=4)
    with RawServer(hang) as server:
        with anyio.move_on_after(0.1):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(flown, transport, signed_request(server.port))
        assert (transport.open_connections, transport.busy_connections) == (0, 0)


async def test_closing_while_a_request_is_under_way_leaves_nothing_open(kind: Kind) -> None:
    transport = kind()
    async with under_way(transport):
        await transport.aclose()
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


NOT_HTTP: list[dict[str, Any]] = [
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\r\nX-Other: 1"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\nX-Other: 1"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\r"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\0"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key", b"private\x1b[2J"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X Key", b"private"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"X-Key:", b"private"))},
    {"headers": ((b"Host", b"127.0.0.1"), (b"", b"private"))},
    {"target": "/private HTTP/1.1\r\nX-Other:"},
    {"target": "/private one"},
    {"target": "/priv\u00e9"},
    {"target": ""},
    {"method": "GET /private"},
]


@pytest.mark.parametrize("what", NOT_HTTP)
async def test_what_cannot_stand_in_http_is_not_sent(what: dict[str, Any], kind: Kind) -> None:
    transport = kind()
    with RawServer(forever) as server:
        transmission, ended = await flown(transport, evolve(signed_request(server.port), **what))
        assert transmission == Transmission()
        assert str(ended) == "the request could not be put into HTTP"
        assert transport.open_connections == 0
        assert isinstance((await flown(transport, signed_request(server.port)))[1], HttpResponse)
        await transport.aclose()


async def test_an_httpx_transport_of_your_own_is_used_and_stays_yours() -> None:
    closed: list[bool] = []

    class Own(httpx.MockTransport):
        async def aclose(self) -> None:
            closed.append(True)

    own = Own(lambda request: httpx.Response(200, json={"path": request.url.raw_path.decode()}))
    transport: Any = choose(own, 4)
    _, end = await flown(transport, signed_request(443, host="example.org"))
    assert isinstance(end, HttpResponse)
    assert end.body == b'{"path":"/v1/customers?a=%2F"}'
    await transport.aclose()
    assert closed == []


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.PoolTimeout, False),
        (httpx.ProxyError, False),
        (httpx.ReadTimeout, True),
        (httpx.ReadError, True),
        (httpx.WriteError, True),
        (httpx.WriteTimeout, True),
        (httpx.RemoteProtocolError, True),
    ],
)
async def test_a_transport_that_reports_nothing_is_judged_by_its_errors(error: type[Exception], sent: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error("secret-of-the-merchant")

    transmission, end = await flown(choose(httpx.MockTransport(answer), 4), signed_request(1))
    assert isinstance(end, TransportError)
    assert transmission.sent is sent
    assert "secret" not in str(end)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "32", None, 10_001])
def test_a_number_of_connections_that_cannot_work_is_refused(kind: Kind, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_connections"):
        kind(max_connections=wrong)


@pytest.mark.parametrize("wrong", ["https://example.org", 5, object()])
def test_what_is_no_transport_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="transport must be"):
        choose(wrong, 32)


def test_a_transport_has_the_two_methods(kind: Kind) -> None:
    assert isinstance(kind(), Transport)
