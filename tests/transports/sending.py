"""Functions that send requests directly over a transport, and scripts for the server that receives them."""

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import trustme
from attrs import evolve
from mock_gateway import ACCOUNTS

from raw_sockets import OK, Peer, RawServer
from wonder_customers import CustomerSession, RetryPolicy
from wonder_customers.wire import HttpResponse, Origin, SignedRequest, Timeouts, Transmission, Transport, TransportError

SOON = Timeouts(connect=0.5, read=0.5, write=0.5)
HEAD = b"HTTP/1.1 201 Created\r\n"


def signed_request(
    port: int, *, method: str = "GET", body: bytes = b"", timeouts: Timeouts = SOON, host: str = "127.0.0.1"
) -> SignedRequest:
    """Return a request to a local server, with a secret in its headers."""
    headers = [(b"Host", f"{host}:{port}".encode()), (b"X-Key", b"secret-of-the-merchant")]
    if method == "POST":
        headers.append((b"Content-Length", str(len(body)).encode()))
    return SignedRequest(Origin("http", host, port), method, "/v1/customers?a=%2F", tuple(headers), body, timeouts)


async def send(transport: Transport, request: SignedRequest) -> tuple[Transmission, HttpResponse | TransportError]:
    """Send a request once; return what the transport observed, and the response or the error."""
    transmission = Transmission()
    try:
        return transmission, await transport.send(request, transmission)
    except TransportError as failure:
        return transmission, failure


async def failure_of(transport: Transport, request: SignedRequest) -> tuple[Transmission, TransportError]:
    """Send a request that fails; return what the transport observed, and the error."""
    transmission, error = await send(transport, request)
    assert isinstance(error, TransportError), error
    return transmission, error


async def response_to(transport: Transport, request: SignedRequest) -> HttpResponse:
    """Send a request and return its response."""
    _, result = await send(transport, request)
    assert isinstance(result, HttpResponse), result
    return result


def once(*data: bytes, then: Callable[[Peer], None] = lambda peer: None) -> Callable[[Peer], None]:
    """Return a script that reads a request, sends `data` and closes the connection."""

    def script(peer: Peer) -> None:
        peer.request()
        for part in data:
            peer.say(part)
        then(peer)

    return script


def in_pieces(data: bytes, size: int) -> Callable[[Peer], None]:
    """Return a script that responds to every request with `data`, `size` bytes at a time."""

    def script(peer: Peer) -> None:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while peer.request():
            for start in range(0, len(data), size):
                peer.say(data[start : start + size])

    return script


def forever(peer: Peer) -> None:
    """Respond to every request."""
    while peer.request():
        peer.say(OK)


def hang(peer: Peer) -> None:
    """Read until the client closes the connection, and send nothing."""
    while peer.socket.recv(65536):
        pass


@asynccontextmanager
async def session_with(
    script: Callable[[Peer], None], transport: Any, *, gateway: str = "monri", **policy: Any
) -> AsyncIterator[Any]:
    """Run a server, and open a session with it whose retries do not wait unless `policy` says so."""
    with RawServer(script) as server:
        made: Any = ACCOUNTS[gateway]()
        account = evolve(made, base_url=f"http://127.0.0.1:{server.port}")
        retry = RetryPolicy(**{"base": 0.0} | policy)
        async with CustomerSession(account, transport=transport, retry=retry) as session:
            yield session


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a server on this machine and of its client."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@asynccontextmanager
async def request_in_progress(transport: Transport) -> AsyncIterator[int]:
    """Inside the block, the server has a request and has not responded; it responds afterwards. Yield its port."""
    arrived, respond = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        arrived.set()
        respond.wait(60)
        peer.say(OK)

    with RawServer(script) as server:
        async with anyio.create_task_group() as group:
            group.start_soon(send, transport, signed_request(server.port, timeouts=Timeouts(60, 60, 60)))
            await anyio.to_thread.run_sync(arrived.wait, 60)
            yield server.port
            respond.set()
