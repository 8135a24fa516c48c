"""Requests that this library never sends but other clients do."""

import socket

import httpx
import pytest
from simulator.raw_http import connect, read_all

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer


def exchange(server: SimulatorServer, request: bytes) -> bytes:
    """Send raw bytes and return everything until the server closes the connection."""
    with connect(server) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


@pytest.mark.parametrize("moment", ["20261399999999", "20260230120000"])
def test_invalid_timestamp_is_unauthorized(server: SimulatorServer, moment: str) -> None:
    variables = server.environment()
    headers = {"Credential": f"{variables['WONDER_APP_ID']}/{moment}/Wonder-RSA-SHA256", "Nonce": "n"}
    received = httpx.get(
        f"{variables['WONDER_BASE_URL']}/svc/payment/api/v1/openapi/customers", headers=headers, trust_env=False
    )
    assert received.status_code == 401
    assert "Invalid Credential Format." in received.text


def test_incomplete_request_is_not_applied(server: SimulatorServer) -> None:
    head = b"POST /v2/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert exchange(server, head + b'{"merchant_customer_id"') == b""
    assert server.store.requests.total() == 0


def test_head_response_has_no_body(server: SimulatorServer) -> None:
    received = exchange(server, b"HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 404")
    assert received.endswith(b"\r\n\r\n")


def test_second_refuse_does_not_extend_the_first(server: SimulatorServer) -> None:
    server.faults.add("refuse", times=None)
    server.faults.add("refuse", times=None)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.origin, trust_env=False, verify=False)
    server.faults.clear()
    assert httpx.get(server.origin, trust_env=False, verify=False).status_code == 200


def test_certificate_of_a_host_name() -> None:
    with SimulatorServer([dialects.simulator("monri")], host="localhost", faults=True) as server:
        origin = server.tls()
        with httpx.Client(verify=server.certificate_authority.client_context(), trust_env=False) as client:
            assert client.get(origin).status_code == 200
