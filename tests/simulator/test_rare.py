"""Requests that clients of this library never send, but others do."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer


@pytest.fixture
def faulty() -> Iterator[SimulatorServer]:
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()], faults=True) as server:
        yield server


def said(server: SimulatorServer, request: bytes) -> bytes:
    """What comes back for bytes that are sent as they are, until the server ends the connection."""
    host, _, port = server.origin.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize("moment", ["20261399999999", "20260230120000"])
def test_a_moment_that_never_was_is_no_credential(faulty: SimulatorServer, moment: str) -> None:
    variables = faulty.environment()
    headers = {"Credential": f"{variables['WONDER_APP_ID']}/{moment}/Wonder-RSA-SHA256", "Nonce": "n"}
    answer = httpx.get(
        f"{variables['WONDER_BASE_URL']}/svc/payment/api/v1/openapi/customers", headers=headers, trust_env=False
    )
    assert answer.status_code == 401
    assert "Invalid Credential Format." in answer.text


def test_a_request_that_breaks_off_is_not_handled(faulty: SimulatorServer) -> None:
    head = b"POST /v2/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert said(faulty, head + b'{"merchant_customer_id"') == b""
    assert faulty.store.requests.total() == 0


def test_head_is_answered_without_a_body(faulty: SimulatorServer) -> None:
    answer = said(faulty, b"HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"\r\n\r\n")


def test_who_refuses_already_goes_on_refusing_until_it_ends(faulty: SimulatorServer) -> None:
    faulty.faults.add("refuse", times=None)
    faulty.faults.add("refuse", times=None)
    with pytest.raises(httpx.ConnectError):
        httpx.get(faulty.origin, trust_env=False)
    faulty.faults.clear()
    assert httpx.get(faulty.origin, trust_env=False).status_code == 404


def test_a_server_with_a_name_has_a_certificate_for_the_name() -> None:
    with SimulatorServer([dialects.simulator("monri")], host="localhost", faults=True) as server:
        origin = server.tls()
        with httpx.Client(verify=server.certificate_authority.client_context(), trust_env=False) as client:
            assert client.get(origin).status_code == 404
