"""Transport security: TLS, redirects, proxies, and responses about another customer."""

import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, nullcontext, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from attrs import evolve
from backends import ASYNCIO_ONLY
from fault_injection.sessions import fresh, until
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, wonder_customer
from mock_gateway import ACCOUNTS, MockGateway

from raw_sockets import Peer, RawServer
from wonder_customers import (
    ConfigurationError,
    CustomerPatch,
    CustomerSession,
    InvalidResponseError,
    Monri,
    NotSentError,
    Paydock,
    PaymentToken,
    RetryPolicy,
    Secret,
)
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.transports.tls import default_context

ONE_ATTEMPT = RetryPolicy(attempts=1, base=0.0, confirmation_window=0.0)


# TLS


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[tuple[int, list[str | None]]]:
    """Run a TLS server; yield its port and the negotiated versions, None for each failed handshake."""
    seen: list[str | None] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    try:
                        with context.wrap_socket(connection, server_side=True) as encrypted:
                            seen.append(encrypted.version())
                    except (ssl.SSLError, OSError):
                        seen.append(None)
                        connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], seen
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(2)


@ASYNCIO_ONLY
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_tls_1_1_server_receives_no_request(simulator: SimulatorServer, kind: Callable[..., Any]) -> None:
    old = simulator.certificate_authority.server_context("good")
    permissive = simulator.certificate_authority.client_context()
    for context in (old, permissive):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with tls_server(old) as (port, seen):
        with socket.create_connection(("127.0.0.1", port)) as plain:
            permissive.wrap_socket(plain, server_hostname="127.0.0.1").close()
        until(lambda: seen == ["TLSv1.1"])  # the server accepts a permissive client
        account = Paydock("k", base_url=f"https://127.0.0.1:{port}/v1/")
        transport = partial(kind, ssl_context=simulator.certificate_authority.client_context())
        async with CustomerSession(account, retry=ONE_ATTEMPT, transport=transport) as it:
            with pytest.raises(NotSentError):
                await it.get(HEX24)
        until(lambda: seen == ["TLSv1.1", None])


def test_default_context_verifies_certificates_and_logs_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert ssl.create_default_context().keylog_filename == str(tmp_path / "keys"), "a default context logs keys"
    context = default_context.__wrapped__()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.keylog_filename
    assert len(context.get_ca_certs()) > 50


@ASYNCIO_ONLY
async def test_certificate_for_another_host_is_rejected(simulator: SimulatorServer, kind: Callable[..., Any]) -> None:
    port = simulator.tls().rpartition(":")[2]
    seen = sum(simulator.faults.requests.values())
    transport = partial(kind, ssl_context=simulator.certificate_authority.client_context())
    for host, end in (("127.0.0.1", nullcontext()), ("localhost", pytest.raises(NotSentError))):
        account = Paydock(simulator.environment()["PAYDOCK_SECRET_KEY"], base_url=f"https://{host}:{port}/v1/")
        async with CustomerSession(account, retry=ONE_ATTEMPT, transport=transport) as it:
            with end:
                await it.create(fresh("paydock"))
    assert sum(simulator.faults.requests.values()) == seen + 1


def changed(*, ciphers: str = "", **settings: Any) -> ssl.SSLContext:
    """Return a default context with other settings."""
    context = ssl.create_default_context()
    if ciphers:
        context.set_ciphers(ciphers)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: changed(check_hostname=False, verify_mode=ssl.CERT_NONE), "must verify certificates"),
        (lambda: changed(check_hostname=False), "host names"),
        (lambda: changed(minimum_version=ssl.TLSVersion.MINIMUM_SUPPORTED), "TLS 1.2"),
        (lambda: changed(ciphers="aNULL:@SECLEVEL=0"), "ciphers without encryption or authentication"),
        (lambda: changed(ciphers="eNULL:@SECLEVEL=0"), "ciphers without encryption or authentication"),
        (lambda: changed(keylog_filename=os.devnull), "must not write its keys to a file"),
        (lambda: False, "must be an ssl.SSLContext, not bool"),
        (lambda: "ca.pem", "must be an ssl.SSLContext, not str"),
        (lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "must verify certificates"),
    ],
)
def test_insecure_ssl_context_is_rejected(kind: Callable[..., Any], make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        kind(ssl_context=make())


@ASYNCIO_ONLY
async def test_ssl_context_changed_to_insecure_is_rejected(
    simulator: SimulatorServer, kind: Callable[..., Any]
) -> None:
    context = simulator.certificate_authority.client_context()
    account = Paydock("k", base_url=f"{simulator.tls()}/v1/")
    async with aclosing(kind(ssl_context=context)) as transport:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        async with CustomerSession(account, retry=ONE_ATTEMPT, transport=transport) as it:
            with pytest.raises(ConfigurationError, match="must verify certificates"):
                await it.get(HEX24)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_httpx_transport_without_verification_sends_nothing(simulator: SimulatorServer, library: Any) -> None:
    account = Paydock("k", base_url=f"{simulator.tls()}/v1/")
    before = sum(simulator.faults.requests.values())
    async with CustomerSession(account, transport=lambda: library.AsyncHTTPTransport(verify=False)) as it:
        with pytest.raises(ConfigurationError, match="must verify certificates"):
            await it.get(HEX24)
    assert sum(simulator.faults.requests.values()) == before


# Responses

STATUSES = (300, 301, 302, 303, 307, 308)
OPERATIONS: dict[str, Callable[[CustomerSession[Any]], Awaitable[Any]]] = {
    "create": lambda it: it.create(fresh("paydock")),
    "get": lambda it: it.get(HEX24),
    "get_by_reference": lambda it: it.get_by_reference("35"),
    "update": lambda it: it.update(HEX24, CustomerPatch(email="a@example.org")),
    "delete": lambda it: it.delete(HEX24),
    "list": lambda it: it.raw.page(10),
    "list_payment_tokens": lambda it: it.list_payment_tokens(HEX24),
    "delete_payment_token": lambda it: it.delete_payment_token(HEX24, PaymentToken(HEX24)),
}


@ASYNCIO_ONLY
async def test_redirect_is_not_followed(kind: Callable[..., Any]) -> None:
    received: list[bytes] = []
    status = 0

    def script(peer: Peer) -> None:
        while request := peer.request():
            received.append(request)
            location = b"Location: http://127.0.0.1:%d/other\r\nContent-Length: 2\r\n\r\n{}" % server.port
            peer.say(b"HTTP/1.1 %d Redirect\r\n%b" % (status, location))

    with RawServer(script) as server:
        account = Paydock("k", base_url=f"http://127.0.0.1:{server.port}/v1/")
        async with CustomerSession(account, retry=ONE_ATTEMPT, transport=kind) as it:
            for call, status in product(OPERATIONS.values(), STATUSES):
                words = rf"redirect \(HTTP {status}\), which is not followed"
                with pytest.raises(InvalidResponseError, match=words):
                    await call(it)
    assert len(received) == (len(OPERATIONS) + 1) * len(STATUSES)  # the create is looked up
    assert all(b" /v1/customers" in request.partition(b"\r\n")[0] for request in received)


CUSTOMER: dict[str, Callable[..., dict[str, Any]]] = {
    "wonder": partial(wonder_customer, reference_number="35"),
    "paydock": partial(paydock_customer, reference="35", first_name="Ada"),
    "monri": partial(monri_customer, merchant_customer_id="35", name="Ada", deleted=None),
}
ID_FIELDS = {
    "wonder": ("uuid", "reference_number"),
    "paydock": ("_id", "reference"),
    "monri": ("uuid", "merchant_customer_id"),
}
OTHER = {"id": "11111111-2222-4333-8444-555555555555", "reference": "53"}


CALLS: dict[str, tuple[str, Callable[[CustomerSession[Any], str], Awaitable[Any]]]] = {
    "get": ("id", lambda it, customer_id: it.get(customer_id)),
    "update": ("id", lambda it, customer_id: it.update(customer_id, CustomerPatch(email="a@example.org"))),
    "delete": ("id", lambda it, customer_id: it.delete(customer_id)),
    "list_payment_tokens": ("id", lambda it, customer_id: it.list_payment_tokens(customer_id)),
    "check_payment_token": (
        "id",
        lambda it, customer_id: it.check_payment_token(customer_id, PaymentToken(customer_id)),
    ),
    "get_by_reference": ("reference", lambda it, _: it.get_by_reference("35")),
    "create": ("reference", lambda it, _: it.create(evolve(fresh("paydock"), reference="35"))),
}


@ASYNCIO_ONLY
@pytest.mark.parametrize(
    ("gateway", "operation"),
    [
        (gateway, operation)
        for gateway in ACCOUNTS
        for operation in CALLS
        # Wonder cannot delete and lists tokens without their customer; Monri cannot check tokens; Paydock finds a
        # reference in a list and ignores other customers.
        if (gateway, operation)
        not in {("wonder", "delete"), ("wonder", "list_payment_tokens"), ("monri", "check_payment_token")}
        | {("paydock", "get_by_reference")}
    ],
)
async def test_response_about_another_customer_is_rejected(gateway: str, operation: str) -> None:
    kind, call = CALLS[operation]
    name = ID_FIELDS[gateway][kind == "reference"]
    customer_id = HEX24 if gateway == "paydock" else UUID
    if (gateway, operation) == ("wonder", "check_payment_token"):
        bodies: list[Any] = [{"code": 200, "data": {"payment_token": {"token": OTHER["id"]}}}]
    elif (gateway, operation) == ("monri", "list_payment_tokens"):
        tokens = [{"token": "t", "customer_uuid": UUID}, {"token": "u", "customer_uuid": OTHER["id"]}]
        bodies = [{"status": "approved", "data": tokens}]
    else:
        bodies = [CUSTOMER[gateway](**{name: OTHER[kind]})]
    if (gateway, operation) == ("wonder", "update"):  # the read before the write is checked as well
        bodies = [CUSTOMER[gateway](), *bodies]
    async with MockGateway(*bodies).session(gateway) as session:
        with pytest.raises(InvalidResponseError, match=r"another (customer|payment token)") as caught:
            await call(session, customer_id)
    written = "yes" if (gateway, operation) == ("wonder", "update") else "unknown"
    assert caught.value.applied == (written if operation in {"create", "update", "delete"} else "no")


@ASYNCIO_ONLY
async def test_ids_compare_without_regard_to_case(gateway: str) -> None:
    customer_id = (HEX24 if gateway == "paydock" else UUID).upper()
    reads = 2 if gateway == "wonder" else 1
    async with MockGateway(*[CUSTOMER[gateway]()] * (1 + reads + 1)).session(gateway) as session:
        assert (await session.get(customer_id)).id == customer_id.lower()
        assert (await session.update(customer_id, CustomerPatch(email="a@example.org"))).id == customer_id.lower()
        if gateway != "wonder":
            await session.delete(customer_id)


# Proxies


@ASYNCIO_ONLY
async def test_environment_proxies_are_ignored(
    simulator: SimulatorServer, kind: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(lambda peer: peer.say(b"HTTP/1.1 502 Proxy\r\nContent-Length: 0\r\n\r\n")) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with httpx.AsyncClient() as plain:
            assert (await plain.get(f"{simulator.origin}/v2/customers")).status_code == 502
        assert proxy.connections == 1, "httpx uses the proxy by default"
        context = simulator.certificate_authority.client_context()
        key = simulator.environment()["PAYDOCK_SECRET_KEY"]
        for origin in (simulator.origin, simulator.tls()):
            account = Paydock(key, base_url=f"{origin}/v1/")
            transport = partial(kind, ssl_context=context)
            async with CustomerSession(account, retry=ONE_ATTEMPT, transport=transport) as it:
                await it.create(fresh("paydock"))
        assert proxy.connections == 1


async def test_configured_proxy_is_used(simulator: SimulatorServer) -> None:
    received: list[bytes] = []

    def script(peer: Peer) -> None:
        received.append(peer.request())
        peer.say(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as proxy:
        url = f"http://user:pass@127.0.0.1:{proxy.port}"
        account = Monri("k", "t", base_url="https://gateway.localhost")
        for given in (url, Secret(url)):
            made = partial(HttpxTransport, proxy=given)
            async with CustomerSession(account, retry=ONE_ATTEMPT, transport=made) as it:
                with pytest.raises(NotSentError, match="the proxy requires a user name and password"):
                    await it.get(UUID)
    assert [request.split(b" ")[:2] for request in received] == [[b"CONNECT", b"gateway.localhost:443"]] * 2
    assert all(b"Proxy-Authorization: Basic dXNlcjpwYXNz" in request for request in received)


@pytest.mark.parametrize("url", ["", "proxy.example", "ftp://proxy.example", "http://[", 5, b"http://proxy.example"])
def test_invalid_proxy_url_is_rejected(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="proxy must be the URL of a proxy"):
        HttpxTransport(proxy=url)
