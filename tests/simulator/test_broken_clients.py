"""Clients that stall, disconnect or send malformed requests do not affect the server."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from simulator.raw_http import connect, create, created, read_all, status_of

from wonder_customers.simulator import SimulatorServer


def test_stop_is_fast_with_stalled_connections(server: SimulatorServer) -> None:
    for name in ("blackhole", "read_hang", "drip"):
        server.faults.add(name, gateway="paydock")
    connections = [connect(server) for _ in range(4)]
    for connection in connections[:3]:
        connection.sendall(create(server))
    server.faults.add("blackhole")
    last = connect(server)
    threads = threading.active_count()
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 50
    assert threading.active_count() == threads - 1
    for connection in [*connections, last]:
        connection.close()


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /v1/x HTTP/1.1\r\nHost"]
)
def test_malformed_requests_close_the_connection(server: SimulatorServer, nonsense: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(nonsense)
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            read_all(connection)
    assert status_of(server) == 201


def test_client_disconnect_during_request(server: SimulatorServer) -> None:
    with connect(server) as connection:
        connection.sendall(create(server)[:-3])
    assert status_of(server) == 201
    assert created(server) == 1
