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


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of one response."""
    with closing(http.client.HTTPResponse(connection)) as response:
        response.begin()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def exchange(server: SimulatorServer, request: bytes = b"") -> bytes:
    """Send a request, by default a create, and return everything until the server closes the connection."""
    with connect(server) as connection:
        connection.sendall(request or create(server))
        return read_all(connection)


def created(server: SimulatorServer) -> int:
    return server.store.ledger("paydock").get("r", 0)


def status_of(server: SimulatorServer) -> int:
    """Create a customer on a new connection, and return the status of the response."""
    with connect(server) as connection:
        connection.sendall(create(server))
        return answer(connection)[0]
