"""Failed connections: the message and the hint name the cause, and attempts that cannot succeed are not repeated."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, aclosing
from functools import partial
from typing import Any

import anyio
import pytest
from attrs import evolve
from backends import ASYNCIO_ONLY
from transports.sending import failure_of, forever, response_to, send, signed_request, tls_contexts

from raw_sockets import Peer, RawServer, dead_port
from wonder_customers import CustomerDraft, CustomerSession, Monri, NotSentError, OutcomeUnknownError, RetryPolicy
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import Origin, Timeouts, TransportError

QUICK = RetryPolicy(base=0.01)


async def failed_call(kind: Callable[..., Any], base_url: str, **options: Any) -> NotSentError:
    """Return the error of a call to `base_url`."""
    account = Monri("k", "t", base_url=base_url)
    async with CustomerSession(account, retry=QUICK, transport=partial(kind, **options)) as session:
        with pytest.raises(NotSentError) as caught:
            await session.get("c-1")
    return caught.value


@pytest.mark.parametrize(
    ("host", "validity", "trusted", "cause"),
    [
        ("127.0.0.1", "good", False, "not signed by a trusted authority"),
        ("localhost", "good", True, "for another host name"),
        ("127.0.0.1", "expired", True, "has expired"),
    ],
)
async def test_certificate_error_is_named_and_not_retried(
    simulator: SimulatorServer, kind: Callable[..., Any], host: str, validity: str, trusted: bool, cause: str
) -> None:
    port = simulator.tls(validity).rpartition(":")[2]
    options = {"ssl_context": simulator.certificate_authority.client_context()} if trusted else {}
    before = simulator.faults.requests.total()
    error = await failed_call(kind, f"https://{host}:{port}", **options)
    assert f"the server's certificate {'is ' if 'expired' not in cause else ''}{cause}" in error.reason
    assert (error.attempts, error.applied) == (1, "no")
    assert "safe to call again" not in error.hint
    assert simulator.faults.requests.total() == before, "nothing was sent"


async def test_refused_connection_is_named(kind: Callable[..., Any]) -> None:
    with dead_port() as port:
        error = await failed_call(kind, f"http://127.0.0.1:{port}")
    assert "no connection could be opened: the connection was refused" in error.reason
    assert "port" in error.hint
    assert error.attempts == 3
    assert "proxy" not in error.hint


async def test_refused_connection_to_a_proxy_names_the_proxy() -> None:
    with dead_port() as port:
        error = await failed_call(HttpxTransport, "https://gateway.localhost", proxy=f"http://127.0.0.1:{port}")
    assert "the connection was refused" in error.reason
    assert "Check the proxy of the transport, if it has one, or the port" in error.hint


async def test_unknown_host_name_is_named_without_the_network(
    kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = await failed_call(kind, "http://gateway.localhost:9")
    assert "no connection could be opened: the host name could not be resolved" in error.reason
    assert "DNS" in error.hint


async def test_server_without_tls_is_named(kind: Callable[..., Any], simulator: SimulatorServer) -> None:
    error = await failed_call(kind, simulator.origin.replace("http://", "https://"))
    assert "no connection" in error.reason


@pytest.mark.parametrize(
    ("status", "message", "attempts"),
    [
        (
            b"407 Proxy Authentication Required",
            "the proxy requires a user name and password, or refused them (HTTP 407)",
            1,
        ),
        (b"502 Bad Gateway", "the proxy refused the connection (HTTP 502)", 3),
    ],
)
async def test_proxy_errors_are_named(status: bytes, message: str, attempts: int) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.say(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)

    with RawServer(script) as proxy:
        error = await failed_call(HttpxTransport, "https://gateway.localhost", proxy=f"http://127.0.0.1:{proxy.port}")
    assert message in error.reason
    assert error.attempts == attempts


async def test_hanging_lookup_blocks_neither_the_program_nor_other_hosts(
    kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, hanging, end = socket.getaddrinfo, threading.active_count(), threading.Event()

    def getaddrinfo(host: Any, *more: Any, **options: Any) -> Any:
        if host == "slow.localhost":
            end.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return original(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    transport = kind(max_connections=100)
    request = signed_request(9, host="slow.localhost", timeouts=Timeouts(0.3, 1, 1))
    results: list[tuple[Any, Any]] = []

    async def call() -> None:
        results.append(await send(transport, request))

    async with anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(call)
        await anyio.sleep(0.1)
        assert threading.active_count() <= hanging + 5, "one thread for all lookups of a name"
        with anyio.fail_after(120):
            await anyio.to_thread.run_sync(lambda: None)
    end.set()
    await transport.aclose()
    assert all(isinstance(error, TransportError) and not transmission.sent for transmission, error in results)
    assert {str(error) for _, error in results} == {"no connection could be opened within the connect timeout of 0.3 s"}


async def test_lookup_succeeds_after_one_that_could_not_start_its_thread(
    kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with RawServer(forever) as server:
        request = signed_request(server.port, host="localhost", timeouts=Timeouts(60, 60, 60))
        async with aclosing(kind()) as transport:
            with monkeypatch.context() as limited:
                limited.setattr(threading.Thread, "start", start)
                transmission, error = await failure_of(transport, request)
            assert "no thread could be started to resolve the host name" in str(error)
            assert not transmission.sent
            assert (await response_to(transport, request)).status == 200


async def test_server_that_selects_http_2_is_reported(kind: Callable[..., Any]) -> None:
    server_side, client_side = tls_contexts()
    for context in (server_side, client_side):
        context.set_alpn_protocols(["h2", "http/1.1"])
    requests = []

    def script(peer: Peer) -> None:
        with server_side.wrap_socket(peer.socket.dup(), server_side=True) as inside:
            requests.append(inside.recv(65536))

    with RawServer(script) as server:
        error = await failed_call(kind, f"https://127.0.0.1:{server.port}", ssl_context=client_side)
    assert "the TLS handshake negotiated 'h2', but the transport supports only HTTP/1.1" in error.reason
    assert (error.attempts, error.hint) == (1, 'Call ssl_context.set_alpn_protocols(["http/1.1"]).')
    assert b"".join(requests) == b""


async def test_given_ssl_context_is_not_changed(kind: Callable[..., Any], simulator: SimulatorServer) -> None:
    class Recording(ssl.SSLContext):
        def set_alpn_protocols(self, alpn_protocols: Any) -> None:
            raise AssertionError("the caller's context was changed")

    context = Recording(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for certificate in simulator.certificate_authority.client_context().get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=certificate)
    account = Monri("k", "t", base_url=simulator.tls("good"))
    async with aclosing(kind(ssl_context=context)) as transport:
        transmission, _ = await send(
            transport, evolve(signed_request(1), origin=account.dialect().origin, timeouts=Timeouts(60, 60, 60))
        )
    assert transmission.status is not None


@ASYNCIO_ONLY
async def test_second_address_is_tried_when_the_first_does_not_respond(
    monkeypatch: pytest.MonkeyPatch, simulator: SimulatorServer
) -> None:
    port = int(simulator.origin.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())

        def getaddrinfo(*_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", it) for it in (full.getsockname(), ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        async with aclosing(AsyncioTransport()) as transport:
            request = signed_request(port, host="two.localhost", timeouts=Timeouts(2, 2, 2))
            transmission, _ = await send(transport, request)
    assert transmission.status is not None


async def test_broken_tls_record_leaves_the_outcome_unknown(kind: Callable[..., Any]) -> None:
    server_side, client_side = tls_contexts()

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
        transmission, _ = await failure_of(transport, request)
        await transport.aclose()
    assert not transmission.sent
