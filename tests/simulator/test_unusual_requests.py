"""Requests that this library never sends but other clients do: malformed, incomplete or unusual ones."""

import socket
from contextlib import suppress

import pytest
from simulator.raw_http import connect, create, created, read_all, status_of

from wonder_customers.simulator import SimulatorServer


def half_closed(server: SimulatorServer, request: bytes) -> bytes:
    """Send raw bytes and return everything until the server closes the connection."""
    with connect(server) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def test_incomplete_request_is_not_applied(server: SimulatorServer) -> None:
    head = b"POST /v2/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert half_closed(server, head + b'{"merchant_customer_id"') == b""
    assert server.store.requests.total() == 0


def test_head_response_has_no_body(server: SimulatorServer) -> None:
    received = half_closed(server, b"HEAD /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 404")
    assert received.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /v1/x HTTP/1.1\r\nHost"]
)
def test_malformed_requests_close_the_connection(server: SimulatorServer, nonsense: bytes) -> None:
    with suppress(ConnectionResetError):
        half_closed(server, nonsense)
    assert status_of(server) == 201


def test_client_disconnect_during_request(server: SimulatorServer) -> None:
    with connect(server) as connection:
        connection.sendall(create(server)[:-3])
    assert status_of(server) == 201
    assert created(server) == 1
