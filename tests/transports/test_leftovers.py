"""What a gateway says behind its answer is never the answer to the next request."""

import ssl
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trustme
from attrs import evolve
from transports.sending import send, signed_request

from raw_sockets import OK, Peer, RawServer
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, Origin, SignedRequest

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
FOREIGN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nelse"
AT_A_TIME = 65_536


def of_size(size: int) -> bytes:
    """An answer of so many bytes in all."""
    head = b"HTTP/1.1 200 OK\r\nX-Fill: %b\r\nContent-Length: 2\r\n\r\n{}"
    return head % (b"x" * (size - len(head) + 2))


async def bodies(transport: Any, request: SignedRequest, between: Callable[[], Any] = lambda: None) -> list[bytes]:
    """The bodies of two answers."""
    found = []
    for _ in range(2):
        _, end = await send(transport, request)
        assert isinstance(end, HttpResponse), end
        found.append(end.body)
        await anyio.to_thread.run_sync(between)
    await transport.aclose()
    return found


class Talkative:
    """The gateway's end: it answers its first request with something behind the answer."""

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
    ids=["whole", "a piece", "whole, chunked", "a piece, chunked", "at the brim", "a piece at the brim", "no body"],
)
async def test_what_comes_with_an_answer(kind: Callable[..., Any], answer: bytes, behind: bytes, later: bytes) -> None:
    with RawServer(Talkative(answer, behind, later)) as server:
        assert (await bodies(kind(), signed_request(server.port)))[1] == b"{}"
        assert server.connections == 2


async def test_what_comes_while_nobody_asks(kind: Callable[..., Any]) -> None:
    asked, said = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.say(OK)
        if not said.is_set() and asked.wait(2):
            peer.say(FOREIGN[:20])
            said.set()
            peer.request()
            peer.say(FOREIGN[20:])

    def between() -> None:
        asked.set()
        said.wait(2)

    with RawServer(script) as server:
        assert await bodies(kind(), signed_request(server.port), between) == [b"{}", b"{}"]
        assert server.connections == 2


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def contexts(request: pytest.FixtureRequest) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    authority = trustme.CA()
    theirs, ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    theirs.maximum_version, ours.minimum_version = request.param, ssl.TLSVersion.TLSv1_2
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    authority.configure_trust(ours)
    return theirs, ours


class Sealed:
    """TLS on the gateway's end, which seals pieces apart and sends them together."""

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


async def test_what_comes_with_an_answer_but_is_sealed_apart(
    kind: Callable[..., Any], contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    theirs, ours = contexts
    first = [OK, FOREIGN]

    def script(peer: Peer) -> None:
        sealed = Sealed(peer, theirs)
        while True:
            sealed.request()
            sealed.say(*(first or [OK]))
            first.clear()

    with RawServer(script) as server:
        request = evolve(signed_request(server.port), origin=Origin("https", "127.0.0.1", server.port))
        assert await bodies(kind(ssl_context=ours), request) == [b"{}", b"{}"]
        assert server.connections == 2


async def test_a_sealed_connection_with_nothing_left_over_is_kept(
    kind: Callable[..., Any], contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    theirs, ours = contexts

    def script(peer: Peer) -> None:
        sealed = Sealed(peer, theirs)
        while True:
            sealed.request()
            sealed.say(OK)

    with RawServer(script) as server:
        request = evolve(signed_request(server.port), origin=Origin("https", "127.0.0.1", server.port))
        assert await bodies(kind(ssl_context=ours), request) == [b"{}", b"{}"]
        assert server.connections == 1


async def test_what_comes_with_an_answer_through_a_proxy() -> None:
    with RawServer(Talkative(OK, FOREIGN)) as proxy:
        transport = HttpxTransport(proxy=f"http://127.0.0.1:{proxy.port}")
        assert await bodies(transport, signed_request(9)) == [b"{}", b"{}"]
        assert proxy.connections == 2
