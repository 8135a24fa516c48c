"""Servers and proxies that end connections unusually."""

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from attrs import evolve
from transports.sending import send, signed_request

from raw_sockets import Peer, RawServer
from wonder_customers import (
    CustomerDraft,
    CustomerSession,
    Monri,
    OutcomeUnknownError,
)
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import Origin, TransportError

pytestmark = pytest.mark.anyio


async def test_broken_tls_record_leaves_the_outcome_unknown(kind: Callable[..., Any]) -> None:
    authority = trustme.CA()
    server_side, client_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            inside = server_side.wrap_socket(connection.dup(), server_side=True)
            inside.recv(65536)
            connection.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
            inside.detach()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        transport = kind(ssl_context=client_side)
        account = Monri("k", "t", base_url=f"https://127.0.0.1:{listening.getsockname()[1]}")
        async with CustomerSession(account, transport=transport) as session:
            with pytest.raises(OutcomeUnknownError) as caught:
                await session.create(CustomerDraft(name="Ada"))
        thread.join()
    assert caught.value.applied == "unknown"
    assert (transport.open_connections, transport.busy_connections) == (0, 0)


@pytest.mark.parametrize("then", [Peer.reset, lambda peer: None, lambda peer: peer.socket.recv(1)])
async def test_request_is_not_sent_if_the_proxy_does_not_connect(then: Callable[[Peer], None]) -> None:
    def script(peer: Peer) -> None:
        assert peer.request().startswith(b"CONNECT ")
        then(peer)

    with RawServer(script) as proxy:
        transport = HttpxTransport(proxy=f"http://127.0.0.1:{proxy.port}")
        request = evolve(signed_request(9), origin=Origin("https", "127.0.0.1", 9))
        transmission, error = await send(transport, request)
        await transport.aclose()
    assert isinstance(error, TransportError)
    assert not transmission.sent
