"""Requests that this library never sends but other clients do."""

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
    """Send raw bytes and return everything until the server closes the connection."""
    host, _, port = server.origin.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize("moment", ["20261399999999", "20260230120000"])
def test_invalid_timestamp_is_unauthorized(faulty: SimulatorServer, moment: str) -> None:
    variables = faulty.environment()
    headers = {"Credential": f"{variables['WONDER_APP_ID']}/{moment}/Wonder-RSA-SHA256", "Nonce": "n"}
    answer = httpx.get(
        f"{variables['WONDER_BASE_URL']}/svc/payment/api/v1/openapi/customers", headers=headers, trust_env=False
    )
    assert answer.status_code == 401
    assert "Invalid Credential Format." in answer.text


def test_incomplete_request_is_not_applied(faulty: SimulatorServer) -> None:
    head = b"POST /v2/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert said(faulty, head + b'{"merchant_customer_id"') == b""
    assert faulty.store.requests.total() == 0


def test_head_response_has_no_body(faulty: SimulatorServer) -> None:
    answer = said(faulty, b"HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(b"\r\n\r\n")


def test_second_refuse_does_not_extend_the_first(faulty: SimulatorServer) -> None:
    faulty.faults.add("refuse", times=None)
    faulty.faults.add("refuse", times=None)
    with pytest.raises(httpx.ConnectError):
        httpx.get(faulty.origin, trust_env=False)
    faulty.faults.clear()
    assert httpx.get(faulty.origin, trust_env=False).status_code == 200


def test_certificate_of_a_host_name() -> None:
    with SimulatorServer([dialects.simulator("monri")], host="localhost", faults=True) as server:
        origin = server.tls()
        with httpx.Client(verify=server.certificate_authority.client_context(), trust_env=False) as client:
            assert client.get(origin).status_code == 200
