"""Plain http is not sent to other machines, neither by a name that resolves elsewhere nor through a proxy."""

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from backends import ASYNCIO_ONLY
from gateway_responses import HEX24

from raw_sockets import OK, Peer, RawServer
from wonder_customers import ConfigurationError, CustomerSession, NotSentError, Paydock, RetryPolicy
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.transports.network import check_peer
from wonder_customers.wire import TransportError

ONE_ATTEMPT = RetryPolicy(attempts=1, base=0.0, confirmation_window=0.0)


@pytest.fixture
def own_address() -> str:
    """Return an address of this machine that is not a loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("the machine has no network")
        address: str = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("the machine has loopback addresses only")
    return address


@pytest.fixture
def received(own_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, list[bytes]]]:
    """Run a server to which names below ``localhost`` resolve; yield its port and what it received."""
    requests: list[bytes] = []

    def script(peer: Peer) -> None:
        requests.append(peer.request())
        peer.say(OK)

    resolve = socket.getaddrinfo

    def resolved(host: Any, *arguments: Any, **named: Any) -> Any:
        named_localhost = host in {"gateway.localhost", b"gateway.localhost"}
        return resolve(own_address if named_localhost else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with RawServer(script, own_address) as server:
        yield server.port, requests


@ASYNCIO_ONLY
async def test_name_below_localhost_that_leads_elsewhere_receives_nothing(
    kind: Callable[..., Any], received: tuple[int, list[bytes]]
) -> None:
    port, requests = received
    account = Paydock("sk-hidden", base_url=f"http://gateway.localhost:{port}/v1/")
    async with CustomerSession(account, retry=ONE_ATTEMPT, transport=kind) as it:
        with pytest.raises(NotSentError, match="plain http is allowed only to this machine") as caught:
            await it.get(HEX24)
    assert caught.value.applied == "no"
    assert not any(requests)


@ASYNCIO_ONLY
async def test_plain_http_is_not_sent_through_a_proxy_of_another_machine(received: tuple[int, list[bytes]]) -> None:
    port, requests = received
    transport = partial(HttpxTransport, proxy=f"http://gateway.localhost:{port}")
    account = Paydock("sk-hidden", base_url="http://127.0.0.1:1/v1/")
    async with CustomerSession(account, retry=ONE_ATTEMPT, transport=transport) as it:
        with pytest.raises(NotSentError, match="plain http is allowed only to this machine"):
            await it.get(HEX24)
    assert not any(requests)


@ASYNCIO_ONLY
async def test_https_proxy_gets_the_ssl_context_of_the_transport(
    simulator: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    requests: list[bytes] = []
    server_context = simulator.certificate_authority.server_context("good")

    def script(peer: Peer) -> None:
        with server_context.wrap_socket(peer.socket, server_side=True) as encrypted:
            requests.append(encrypted.recv(65536))
            encrypted.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as proxy:
        context = simulator.certificate_authority.client_context()
        context.keylog_filename = None  # type: ignore[assignment]  # typeshed allows only a path
        transport = partial(HttpxTransport, proxy=f"https://127.0.0.1:{proxy.port}", ssl_context=context)
        account = Paydock("sk-hidden", base_url="https://gateway.localhost/v1/")
        async with CustomerSession(account, retry=ONE_ATTEMPT, transport=transport) as it:
            with pytest.raises(NotSentError, match="the proxy refused the connection"):
                await it.get(HEX24)
            context.check_hostname = False
            with pytest.raises(ConfigurationError, match="must verify certificates"):
                await it.get(HEX24)
    assert [request.partition(b" HTTP")[0] for request in requests] == [b"CONNECT gateway.localhost:443"]
    assert await anyio.Path(tmp_path / "keys").exists() is False, "no TLS key was logged"


def test_peer_of_a_plain_connection_must_be_a_loopback_address(own_address: str) -> None:
    with socket.create_server((own_address, 0)) as listening, socket.create_connection(listening.getsockname()) as sock:
        check_peer("https", sock)
        with pytest.raises(TransportError, match="plain http"):
            check_peer("http", sock)
    left, right = socket.socketpair()
    with left, right:
        check_peer("http", left)
