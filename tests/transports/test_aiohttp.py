"""The transport over aiohttp: the same evidence as on the default one, and what is its own."""

import asyncio
import threading
from typing import Any

import anyio
import pytest

pytest.importorskip("aiohttp", reason="the extra `fast` is not installed")

import aiohttp
from transports.test_lanes import (
    HEAD,
    flown,
    forever,
    once,
    signed_request,
    test_a_cancelled_request_leaves_nothing_open,
    test_a_connection_that_is_never_accepted_was_sent_nothing,
    test_a_connection_that_is_reset_at_once_brings_no_status,
    test_a_connection_that_was_closed_while_idle_is_not_used_again,
    test_a_good_answer_is_whole_and_its_lane_is_kept,
    test_a_kept_connection_that_breaks_before_an_answer_is_stale,
    test_a_lane_says_what_it_saw,
    test_a_number_of_connections_that_cannot_work_is_refused,
    test_a_refused_connection_was_sent_nothing,
    test_a_server_that_says_close_is_believed,
    test_a_transport_has_the_two_methods,
    test_closing_while_a_request_is_under_way_leaves_nothing_open,
    test_lanes_of_one_gateway_make_room_for_another,
    test_no_more_connections_than_allowed,
    test_old_lanes_are_closed_by_the_next_request,
    test_the_request_goes_out_byte_for_byte,
    test_what_cannot_stand_in_http_is_not_sent,
    under_way,
)

from raw_sockets import OK, Peer, RawServer
from wonder_customers import ConfigurationError
from wonder_customers.transports.aiohttp import AiohttpTransport
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Timeouts, Transmission, TransportError

SHARED = (
    test_a_cancelled_request_leaves_nothing_open,
    test_a_connection_that_is_never_accepted_was_sent_nothing,
    test_a_connection_that_is_reset_at_once_brings_no_status,
    test_a_connection_that_was_closed_while_idle_is_not_used_again,
    test_a_good_answer_is_whole_and_its_lane_is_kept,
    test_a_kept_connection_that_breaks_before_an_answer_is_stale,
    test_a_lane_says_what_it_saw,
    test_a_number_of_connections_that_cannot_work_is_refused,
    test_a_refused_connection_was_sent_nothing,
    test_a_server_that_says_close_is_believed,
    test_a_transport_has_the_two_methods,
    test_closing_while_a_request_is_under_way_leaves_nothing_open,
    test_lanes_of_one_gateway_make_room_for_another,
    test_no_more_connections_than_allowed,
    test_old_lanes_are_closed_by_the_next_request,
    test_the_request_goes_out_byte_for_byte,
    test_what_cannot_stand_in_http_is_not_sent,
)
"""Found in this module by pytest, and run with the transport below."""

pytestmark = pytest.mark.anyio


@pytest.fixture
def kind() -> type[AiohttpTransport]:
    return AiohttpTransport


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_get_is_never_sent_twice_in_silence() -> None:
    requests: list[bytes] = []

    def script(peer: Peer) -> None:
        requests.append(peer.request())
        peer.say(OK)
        requests.append(peer.request())
        peer.reset()

    transport = AiohttpTransport()
    with RawServer(script) as server:
        await flown(transport, signed_request(server.port))
        transmission, end = await flown(transport, signed_request(server.port))
        assert server.connections == 1
    assert isinstance(end, TransportError)
    assert transmission.stale
    assert len(requests) == 2


async def test_cookies_and_redirects_are_left_alone() -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            seen.append(request)
            peer.say(b"HTTP/1.1 302 Found\r\nLocation: /else\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    transport = AiohttpTransport()
    with RawServer(script) as server:
        for _ in range(2):
            _, end = await flown(transport, signed_request(server.port))
            assert isinstance(end, HttpResponse)
            assert end.status == 302
        await transport.aclose()
    assert len(seen) == 2
    assert not any(b"cookie" in request.lower() or b"/else" in request for request in seen)


async def test_an_interim_answer_is_passed_over() -> None:
    transport = AiohttpTransport()
    with RawServer(once(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)) as server:
        transmission, end = await flown(transport, signed_request(server.port))
        await transport.aclose()
    assert isinstance(end, HttpResponse)
    assert (end.body, transmission.status) == (b"{}", 200)


@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
async def test_an_answer_may_come_in_any_pieces(pieces: int) -> None:
    whole = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    size = -(-len(whole) // pieces)

    def script(peer: Peer) -> None:
        peer.socket.setsockopt(6, 1, 1)
        while peer.request():
            for start in range(0, len(whole), size):
                peer.say(whole[start : start + size])

    transport = AiohttpTransport()
    with RawServer(script) as server:
        for _ in range(3):
            _, end = await flown(transport, signed_request(server.port))
            assert isinstance(end, HttpResponse)
            assert (end.status, end.body) == (201, b"{}")
        assert server.connections == 1
        await transport.aclose()


async def test_an_answer_that_nobody_asked_for_ends_the_lane() -> None:
    transport = AiohttpTransport()
    bodies = []

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK + b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}')
        forever(peer)

    with RawServer(script) as server:
        for _ in range(2):
            _, end = await flown(transport, signed_request(server.port))
            assert isinstance(end, HttpResponse)
            bodies.append(end.body)
        assert server.connections == 2
        await transport.aclose()
    assert bodies == [b"{}", b"{}"]


@pytest.mark.parametrize(
    "header", [(b"X-A", b"1\r\nX-B: 2"), (b"X-A", b"1\n2"), (b"X-A", b"1\r2"), (b"X\r\nA", b"1"), (b"X-A", b"\0")]
)
async def test_no_header_can_smuggle_another(header: tuple[bytes, bytes]) -> None:
    request = SignedRequest(Origin("http", "127.0.0.1", 9), "GET", "/", (header,), b"", Timeouts(1, 1, 1))
    transmission, end = await flown(AiohttpTransport(), request)
    assert isinstance(end, TransportError)
    assert not transmission.sent


async def test_a_request_that_is_too_large_for_the_socket_at_once_is_waited_for() -> None:
    got: list[int] = []

    def script(peer: Peer) -> None:
        got.append(len(peer.request()))
        peer.say(OK)

    transport = AiohttpTransport()
    with RawServer(script) as server:
        big = signed_request(server.port, method="POST", body=b"x" * 8_000_000, timeouts=Timeouts(2, 2, 2))
        _, end = await flown(transport, big)
        await transport.aclose()
    assert isinstance(end, HttpResponse)
    assert got[0] > 8_000_000


async def test_a_request_that_the_gateway_does_not_read_ends_in_time() -> None:
    done = threading.Event()
    transport = AiohttpTransport()

    def script(peer: Peer) -> None:
        done.wait(5)

    with RawServer(script) as server:
        big = signed_request(server.port, method="POST", body=b"x" * 30_000_000, timeouts=Timeouts(1, 0.2, 0.2))
        transmission, end = await flown(transport, big)
        done.set()
    assert isinstance(end, TransportError)
    assert transmission.sent
    assert transport.open_connections == 0


def test_trio_is_refused_by_name() -> None:
    async def call() -> None:
        transport = AiohttpTransport()
        with pytest.raises(ConfigurationError, match="asyncio only"):
            await transport.send(signed_request(9), Transmission())
        await transport.aclose()

    anyio.run(call, backend="trio")


def test_another_event_loop_is_refused_by_name() -> None:
    with RawServer(forever) as server:

        async def call(transport: AiohttpTransport) -> None:
            await transport.send(signed_request(server.port), Transmission())

        async def first() -> AiohttpTransport:
            transport = AiohttpTransport()
            await call(transport)
            return transport

        with asyncio.Runner() as runner:
            transport = runner.run(first())
            with asyncio.Runner() as other, pytest.raises(ConfigurationError, match="another event loop"):
                other.run(call(transport))
            runner.run(transport.aclose())


async def test_closing_under_way_ends_what_all_lanes_share(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[aiohttp.TCPConnector] = []
    close = aiohttp.TCPConnector.close

    def closing(self: aiohttp.TCPConnector, **more: Any) -> Any:
        closed.append(self)
        return close(self, **more)

    monkeypatch.setattr(aiohttp.TCPConnector, "close", closing)
    transport = AiohttpTransport()
    async with under_way(transport):
        await transport.aclose()
        assert not closed
    assert len(closed) == 1
    assert closed[0].closed
