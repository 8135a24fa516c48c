"""An HTTP client on a raw socket, and queries of the ledger."""

import http.client
import json
import socket
from contextlib import closing

from wonder_customers.simulator import SimulatorServer


def connect(server: SimulatorServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.origin.rpartition(":")[2])), timeout=60)


def create(server: SimulatorServer, reference: str = "r", *headers: str) -> bytes:
    """Return a raw request that creates a customer at Paydock."""
    body = json.dumps({"reference": reference}).encode()
    key = server.environment()["PAYDOCK_SECRET_KEY"]
    lines = ["POST /v1/customers HTTP/1.1", "Host: x", f"x-user-secret-key: {key}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection."""
    received = b""
    while piece := connection.recv(1 << 20):
        received += piece
    return received


def read_response(connection: socket.socket) -> http.client.HTTPResponse:
    """Read the headers of one response."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response


def created(server: SimulatorServer) -> int:
    return server.store.ledger("paydock").get("r", 0)


def status_of(server: SimulatorServer) -> int:
    """Create a customer on a new connection, and return the status of the response."""
    with connect(server) as connection:
        connection.sendall(create(server))
        with closing(read_response(connection)) as response:
            response.read()
            return response.status
