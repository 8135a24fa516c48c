"""Data that a gateway sends after a response is never read as the response to the next request."""

import ssl
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from attrs import evolve
from transports.sending import send, signed_request, tls_contexts

from raw_sockets import OK, Peer, RawServer
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, Origin, SignedRequest

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
FOREIGN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nelse"
AT_A_TIME = 65_536


def of_size(size: int) -> bytes:
    """Return a response of this size in bytes, headers included."""
    head = b"HTTP/1.1 200 OK\r\nX-Fill: %b\r\nContent-Length: 2\r\n\r\n{}"
    return head % (b"x" * (size - len(head) + 2))


async def bodies(transport: Any, request: SignedRequest, between: Callable[[], Any] = lambda: None) -> list[bytes]:
    """Send a request twice, and return the bodies of the responses."""
    found = []
    for _ in range(2):
        _, end = await send(transport, request)
        assert isinstance(end, HttpResponse), end
        found.append(end.body)
        await anyio.to_thread.run_sync(between)
    await transport.aclose()
    return found


class SendsMore:
    """A server script that sends more data after its first response."""

    def __init__(self, answer: bytes, behind: bytes, later: bytes = b"") -> None:
        self.answer, self.behind, self.later = answer, behind, later
        self.first = True

    def __call__(self, peer: Peer) -> None:
        if self.first and peer.request():
            self.first = False
            peer.say(self.answer + self.behind)
            if peer.request():
                peer.say(self.later)
        while peer.request():
            peer.say(OK)


@pytest.mark.parametrize(
    ("answer", "behind", "later"),
    [
        (OK, FOREIGN, b""),
        (OK, FOREIGN[:20], FOREIGN[20:]),
        (CHUNKED, FOREIGN, b""),
        (CHUNKED, FOREIGN[:20], FOREIGN[20:]),
        (of_size(AT_A_TIME), FOREIGN, b""),
        (of_size(AT_A_TIME), FOREIGN[:20], FOREIGN[20:]),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1", FOREIGN[8:]),
    ],
    ids=["whole", "partial", "whole, chunked", "partial, chunked", "whole, 64 KiB", "partial, 64 KiB", "no body"],
)
async def test_data_after_a_response_is_discarded(
    kind: Callable[..., Any], answer: bytes, behind: bytes, later: bytes
) -> None:
    with RawServer(SendsMore(answer, behind, later)) as server:
        assert (await bodies(kind(), signed_request(server.port)))[1] == b"{}"
        assert server.connections == 2


async def test_data_without_a_request_is_discarded(kind: Callable[..., Any]) -> None:
    asked, said = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        if not said.is_set() and asked.wait(60):
            peer.say(FOREIGN[:20])
            said.set()
            peer.request()
            peer.say(FOREIGN[20:])

    def between() -> None:
        asked.set()
        said.wait(60)

    with RawServer(script) as server:
        assert await bodies(kind(), signed_request(server.port), between) == [b"{}", b"{}"]
        assert server.connections == 2


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def contexts(request: pytest.FixtureRequest) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of the server and of the client."""
    theirs, ours = tls_contexts()
    theirs.maximum_version, ours.minimum_version = request.param, ssl.TLSVersion.TLSv1_2
    return theirs, ours


class TlsServer:
    """The server's end of a TLS connection, which sends several records at once."""

    def __init__(self, peer: Peer, context: ssl.SSLContext) -> None:
        self._socket, self._came, self._goes = peer.socket, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_side=True)
        self._done(self._tls.do_handshake)

    def _done(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.say()
                data = self._socket.recv(65_536)
                if not data:
                    raise ConnectionError from None
                self._came.write(data)
            else:
                self.say()
                return result

    def request(self) -> None:
        while b"\r\n\r\n" not in self._done(lambda: self._tls.read(65_536)):
            pass

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._tls.write(piece)
        self._socket.sendall(self._goes.read())


@pytest.mark.parametrize(("records", "connections"), [([OK, FOREIGN], 2), ([OK], 1)], ids=["further", "one"])
async def test_data_in_a_further_tls_record_is_discarded(
    kind: Callable[..., Any], contexts: tuple[ssl.SSLContext, ssl.SSLContext], records: list[bytes], connections: int
) -> None:
    (theirs, ours), first = contexts, [*records]

    def script(peer: Peer) -> None:
        tls = TlsServer(peer, theirs)
        while True:
            tls.request()
            tls.say(*(first or [OK]))
            first.clear()

    with RawServer(script) as server:
        request = evolve(signed_request(server.port), origin=Origin("https", "127.0.0.1", server.port))
        assert await bodies(kind(ssl_context=ours), request) == [b"{}", b"{}"]
        assert server.connections == connections


async def test_data_after_a_response_through_a_proxy_is_discarded() -> None:
    with RawServer(SendsMore(OK, FOREIGN)) as proxy:
        transport = HttpxTransport(proxy=f"http://127.0.0.1:{proxy.port}")
        assert await bodies(transport, signed_request(9)) == [b"{}", b"{}"]
        assert proxy.connections == 2
