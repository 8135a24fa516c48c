"""Responses that are not strictly valid HTTP are read if they are unambiguous."""

from collections.abc import Callable
from typing import Any

import pytest
from transports.sending import failure_of, forever, in_pieces, once, send, session_with, signed_request

from raw_sockets import Peer, RawServer
from wonder_customers import CustomerDraft
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.wire import HttpResponse, TransportError

STATUS = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b'{"uuid": "c-1"}'
LENGTH = b"Content-Length: 15\r\n"
CHUNKS = b"\r\nf\r\n%b\r\n0\r\n\r\n" % BODY

READABLE = {
    "capital letter in the coding": STATUS + b"Transfer-Encoding: Chunked\r\n" + CHUNKS,
    "padded chunk sizes": STATUS + CHUNKED + CHUNKS.replace(b"f\r", b"f       \r"),
    "equal lengths": STATUS + LENGTH * 2 + b"\r\n" + BODY,
    "list of equal lengths": STATUS + b"Content-Length: 15, 15\r\n\r\n" + BODY,
    "chunks after a length": STATUS + LENGTH + CHUNKED + CHUNKS,
    "chunks before a length": STATUS + CHUNKED + b"Content-Length: 3\r\n" + CHUNKS,
    "folded header": STATUS + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
    "folded length": STATUS + b"Content-Length:\r\n 15\r\n\r\n" + BODY,
    "folded coding": STATUS + b"Transfer-Encoding:\r\n\tchunked\r\n" + CHUNKS,
    "line ends without CR": (STATUS + b"X: a\r\n" + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + BODY,
    "interim response": b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n b\r\n\r\n" + STATUS + LENGTH + b"\r\n" + BODY,
}
"""Responses that httpx reads, too."""
ONLY_HTTPX = {"equal lengths", "list of equal lengths"}
"""Responses that only httpx reads."""


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("size", [1, 1000], ids=["byte by byte", "at once"])
async def test_unambiguous_response_is_read(kind: Callable[..., Any], name: str, size: int) -> None:
    transport = kind()
    with RawServer(in_pieces(READABLE[name], size)) as server:
        for _ in range(2):
            transmission, end = await send(transport, signed_request(server.port))
            if kind is AsyncioTransport and name in ONLY_HTTPX:
                assert isinstance(end, TransportError)
                assert "Content-Length" in str(end)
                continue
            assert isinstance(end, HttpResponse), end
            assert (end.status, end.body, transmission.status) == (200, BODY, 200)
        if name.startswith("chunks"):
            assert server.connections == 2
        await transport.aclose()


async def test_spaces_around_a_header_value_do_not_belong_to_it(transport: Any) -> None:
    with RawServer(once(STATUS + b"X-Total-Entries: \t 230 \t\r\nX: \r\n" + LENGTH + b"\r\n" + BODY)) as server:
        _, end = await send(transport, signed_request(server.port))
    assert isinstance(end, HttpResponse), end
    assert (end.headers["x-total-entries"], end.headers["x"]) == ("230", "")


@pytest.mark.parametrize("name", sorted(READABLE.keys() - ONLY_HTTPX))
async def test_data_after_the_response_is_not_the_next_response(transport: Any, name: str) -> None:
    foreign = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nelse"
    with RawServer(once(READABLE[name] + foreign, then=forever)) as server:
        for _ in range(2):
            _, end = await send(transport, signed_request(server.port))
            assert isinstance(end, HttpResponse)
            assert end.body == BODY
    assert server.connections == 2


@pytest.mark.parametrize(
    "data",
    [
        STATUS + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY,
        STATUS + b"Content-Length: 15, 3\r\n\r\n" + BODY,
        STATUS + b"Content-Length: +15\r\n\r\n" + BODY,
        STATUS + b"Content-Length : 15\r\n\r\n" + BODY,
        STATUS + b"X: a\0b\r\n" + LENGTH + b"\r\n" + BODY,
        STATUS + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + BODY,
        STATUS + CHUNKED + CHUNKS.replace(b"\r\nf\r\n", b"\r\n0xf\r\n"),
        STATUS + CHUNKED + CHUNKS.replace(b"0\r\n", b"-1\r\n"),
    ],
    ids=["lengths", "list", "sign", "space", "nul", "identity", "prefix", "negative"],
)
async def test_ambiguous_response_is_refused(transport: Any, data: bytes) -> None:
    with RawServer(once(data)) as server:
        transmission, _ = await failure_of(transport, signed_request(server.port))
    assert transmission.sent
    assert (transport.open_connections, transport.idle_connections) == (0, 0)


@pytest.mark.parametrize("name", [name for name in READABLE if name != "capital letter in the coding"])
@pytest.mark.parametrize("share", [0.3, 0.95], ids=["in the headers", "in the body"])
async def test_part_of_an_imprecise_response_is_no_response(transport: Any, name: str, share: float) -> None:
    data = READABLE[name]
    with RawServer(once(data[: int(len(data) * share)])) as server:
        _, _ = await failure_of(transport, signed_request(server.port))


BROKEN = {
    "no length": (STATUS + b"Connection: close\r\n\r\n" + BODY[:9], Peer.reset),
    "no length, line ends without CR": (STATUS.replace(b"\r", b"") + b"X: a\n\n" + BODY[:9], Peer.reset),
    "capital letter in the coding": (READABLE["capital letter in the coding"][:-9], lambda peer: None),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_write_whose_response_breaks_off_is_looked_up(kind: Callable[..., Any], name: str) -> None:
    start, end = BROKEN[name]
    made = b'{"status":"approved","uuid":"u-1","merchant_customer_id":"c-1","name":"Ada"}'
    methods: list[bytes] = []

    def script(peer: Peer) -> None:
        while request := peer.request():
            methods.append(request.split(b" ", 1)[0])
            if methods[-1] == b"POST":
                peer.say(start)
                peer.socket.settimeout(0.2)
                try:
                    peer.socket.recv(1)  # gives the client time to read the data, which a reset may discard
                except TimeoutError:
                    end(peer)
                return
            peer.say(STATUS + b"Content-Length: %d\r\n\r\n%b" % (len(made), made))

    async with session_with(script, kind, confirmation_window=5) as session:
        response = await session.raw.create(CustomerDraft(reference="c-1", name="Ada"))
    assert response.recovered
    assert methods == [b"POST", b"GET"]


async def test_response_without_length_ends_with_the_connection(transport: Any) -> None:
    with RawServer(once(STATUS.replace(b"\r", b"") + b"X: a\n\n" + BODY)) as server:
        _, end = await send(transport, signed_request(server.port))
    assert isinstance(end, HttpResponse)
    assert end.body == BODY
