"""The faults, as a client with a bare socket sees them, and as the ledger tells them."""

import http.client
import json
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from wonder_customers.simulator import KINDS, SimulatorServer

NAMES = (
    "refuse blackhole accept_rst read_close read_hang headers_rst truncated_body drip wrong_length bad_chunk gzip_bomb"
    " huge_headers rate_limited server_error expired_tls zombie duplicate half_close_idle stale_rst"
)


@pytest.fixture
def server(simulators: Any) -> Iterator[SimulatorServer]:
    with SimulatorServer(simulators, faults=True) as server:
        yield server


def connect(server: SimulatorServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.origin.rpartition(":")[2])), timeout=5)


def create(server: SimulatorServer, reference: str = "r", *headers: str) -> bytes:
    """A request that creates a customer."""
    body = json.dumps({"reference": reference}).encode()
    key = server.environment()["PAYDOCK_SECRET_KEY"]
    lines = ["POST /v1/customers HTTP/1.1", "Host: x", f"x-user-secret-key: {key}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def everything(connection: socket.socket) -> bytes:
    """All bytes until the server closes."""
    received = b""
    while piece := connection.recv(1 << 20):
        received += piece
    return received


def answer(connection: socket.socket) -> http.client.HTTPResponse:
    """One whole answer, read as its headers say."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response


def parts(received: bytes) -> tuple[bytes, dict[str, str], bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, dict(line.decode().lower().split(": ", 1) for line in lines), body


def created(server: SimulatorServer) -> int:
    return server.store.ledger("paydock").get("r", 0)


def test_the_names() -> None:
    assert list(KINDS) == NAMES.split()


def test_no_fault(server: SimulatorServer) -> None:
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(create(server))
            with closing(answer(connection)) as response:
                assert response.status == 201
                assert json.loads(response.read())["status"] == 201
                assert response.getheader("x-correlation-id")
        connection.sendall(b"GET /v1/customers HTTP/1.0\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 403")
    assert created(server) == 3
    assert server.faults.seen == []
    assert server.faults.requests["paydock", "POST", "/v1/customers"] == 3


def test_refuse(server: SimulatorServer) -> None:
    with connect(server) as old:
        server.faults.add("refuse", times=None)
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                connect(server)
        old.sendall(create(server))
        assert b"201" in old.recv(65536)
        server.faults.clear()
    with connect(server) as connection:
        connection.sendall(create(server))
        assert b"201" in connection.recv(65536)
    server.faults.add("refuse", seconds=0.05)
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            connect(server).close()
            break
        except ConnectionRefusedError:
            continue
    else:
        pytest.fail("the port stayed closed")
    assert server.faults.seen == ["refuse", "refuse"]


@pytest.mark.parametrize("options", [{}, {"gateway": "paydock"}])
def test_blackhole(server: SimulatorServer, options: Any) -> None:
    server.faults.add("blackhole", **options)
    with connect(server) as connection:
        connection.sendall(create(server))
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert created(server) == 0


def test_accept_rst(server: SimulatorServer) -> None:
    server.faults.add("accept_rst")
    with pytest.raises(ConnectionResetError), connect(server) as connection:
        connection.recv(1)
    with connect(server) as connection:
        connection.sendall(create(server))
        assert b"201" in connection.recv(65536)


@pytest.mark.parametrize("applied", [True, False])
def test_read_close(server: SimulatorServer, applied: bool) -> None:
    server.faults.add("read_close", applied=applied)
    with connect(server) as connection:
        connection.sendall(create(server))
        assert everything(connection) == b""
    assert created(server) == applied


@pytest.mark.parametrize("applied", [True, False])
def test_read_hang(server: SimulatorServer, applied: bool) -> None:
    server.faults.add("read_hang", applied=applied)
    with connect(server) as connection:
        connection.sendall(create(server))
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert created(server) == applied


def test_headers_rst(server: SimulatorServer) -> None:
    server.faults.add("headers_rst")
    received: list[bytes] = []
    with connect(server) as connection:
        connection.sendall(create(server))
        with pytest.raises(ConnectionResetError):
            received.extend(iter(lambda: connection.recv(65536), b""))
    status, _, body = parts(b"".join(received))
    assert (status, body) == (b"HTTP/1.1 201 Created", b"")
    assert created(server) == 1


@pytest.mark.parametrize("applied", [True, False])
def test_truncated_body(server: SimulatorServer, applied: bool) -> None:
    server.faults.add("truncated_body", applied=applied)
    with connect(server) as connection:
        connection.sendall(create(server))
        status, headers, body = parts(everything(connection))
    assert status.startswith(b"HTTP/1.1 20")
    assert 0 < len(body) < int(headers["content-length"])
    assert created(server) == applied


def test_drip(server: SimulatorServer) -> None:
    server.faults.add("drip", interval=0.0001)
    with connect(server) as connection:
        connection.sendall(create(server))
        begin = time.monotonic()
        with closing(answer(connection)) as response:
            assert json.loads(response.read())["status"] == 201
        assert time.monotonic() - begin > 0.03
        connection.sendall(create(server))
        assert b"201" in connection.recv(65536)


def test_wrong_length(server: SimulatorServer) -> None:
    server.faults.add("wrong_length")
    with connect(server) as connection:
        connection.sendall(create(server))
        _, headers, body = parts(everything(connection))
    assert int(headers["content-length"]) == len(body) + 10
    server.faults.add("wrong_length", difference=-5)
    with connect(server) as connection:
        connection.sendall(create(server))
        _, headers, body = parts(connection.recv(65536))
        assert int(headers["content-length"]) == len(body) - 5
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")
    assert created(server) == 3


def test_bad_chunk(server: SimulatorServer) -> None:
    server.faults.add("bad_chunk")
    with connect(server) as connection:
        connection.sendall(create(server))
        _, headers, body = parts(everything(connection))
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    with pytest.raises(ValueError, match="invalid literal"):
        int(body.split(b"\r\n")[0], 16)


def test_gzip_bomb(server: SimulatorServer) -> None:
    server.faults.add("gzip_bomb")
    with connect(server) as connection:
        connection.sendall(create(server, "r", "Accept-Encoding: identity"))
        with closing(answer(connection)) as response:
            assert response.getheader("content-encoding") == "gzip"
            packed = response.read()
    assert 900_000 < len(packed) < 1_200_000
    unpacker, size = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    while not unpacker.eof:
        size += len(unpacker.decompress(packed, 1 << 20))
        packed = unpacker.unconsumed_tail
    assert size == 1 << 30


def test_huge_headers(server: SimulatorServer) -> None:
    server.faults.add("huge_headers")
    with connect(server) as connection:
        connection.sendall(create(server, "r", "Connection: close"))
        received = everything(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    assert len(head) > 100_000
    assert json.loads(body)["status"] == 201


@pytest.mark.parametrize("retry_after", [5, "-5", "1e9", "Fri, 31 Dec 2032 23:59:59 GMT", None])
def test_rate_limited(server: SimulatorServer, retry_after: Any) -> None:
    server.faults.add("rate_limited", retry_after=retry_after)
    with connect(server) as connection:
        connection.sendall(create(server))
        with closing(answer(connection)) as response:
            assert response.status == 429
            assert response.getheader("retry-after") == (None if retry_after is None else str(retry_after))
            response.read()
        assert created(server) == 0
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize(("status", "applied"), [(500, False), (502, True), (503, None), (504, True)])
def test_server_error(server: SimulatorServer, status: int, applied: bool | None) -> None:
    server.faults.add("server_error", status=status, applied=applied, times=2)
    seen = []
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(create(server))
            with closing(answer(connection)) as response:
                seen.append(response.status)
                response.read()
    assert seen == [status, status, 201]
    assert created(server) == (3 if applied else 1)


def test_expired_tls_is_elsewhere(server: SimulatorServer) -> None:
    with pytest.raises(ValueError, match=r"server\.tls"):
        server.faults.add("expired_tls")


def test_zombie(server: SimulatorServer) -> None:
    server.faults.add("zombie", delay=0.1)
    with connect(server) as connection:
        connection.sendall(create(server))
        assert everything(connection) == b""
    assert created(server) == 0
    deadline = time.monotonic() + 5
    while created(server) == 0:
        assert time.monotonic() < deadline
    assert server.faults.requests["paydock", "POST", "/v1/customers"] == 1


def test_a_zombie_dies_with_the_server(server: SimulatorServer) -> None:
    server.faults.add("zombie", delay=60)
    with connect(server) as connection:
        connection.sendall(create(server))
        assert everything(connection) == b""
    server.restart()
    assert created(server) == 0


def test_duplicate(server: SimulatorServer) -> None:
    server.faults.add("duplicate")
    with connect(server) as connection:
        connection.sendall(create(server))
        with closing(answer(connection)) as response:
            first = json.loads(response.read())["resource"]["data"]["_id"]
    assert created(server) == 2
    assert server.store.created("paydock")[0] == first


def test_half_close_idle(server: SimulatorServer) -> None:
    server.faults.add("half_close_idle")
    with connect(server) as connection:
        connection.sendall(create(server))
        status, headers, body = parts(everything(connection))
    assert status == b"HTTP/1.1 201 Created"
    assert "connection" not in headers
    assert len(body) == int(headers["content-length"])


def test_stale_rst(server: SimulatorServer) -> None:
    server.faults.add("stale_rst")
    with connect(server) as connection:
        connection.sendall(create(server))
        with closing(answer(connection)) as response:
            assert response.status == 201
            response.read()
        connection.sendall(create(server))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert created(server) == 1
    assert server.faults.requests["paydock", "POST", "/v1/customers"] == 2


def test_stale_rst_when_the_client_leaves(server: SimulatorServer) -> None:
    server.faults.add("stale_rst")
    with connect(server) as connection:
        connection.sendall(create(server))
        assert b"201" in connection.recv(65536)


def test_faults_choose_their_requests(server: SimulatorServer) -> None:
    server.faults.add("rate_limited", gateway="monri")
    server.faults.add("rate_limited", method="get")
    server.faults.add("rate_limited", path="^/v1/charges")
    server.faults.add("server_error", gateway="paydock", method="POST", path="customers$")
    with connect(server) as connection:
        statuses = []
        for _ in range(2):
            connection.sendall(create(server))
            statuses.append(connection.recv(65536).split()[1])
    assert statuses == [b"503", b"201"]
    assert [fault["method"] for fault in server.faults.waiting()] == [None, "GET", None]
    assert server.faults.seen == ["server_error"]


def test_probability_is_repeatable(server: SimulatorServer) -> None:
    runs = []
    for _ in range(2):
        server.faults.add("server_error", times=None, probability=0.5, seed=7)
        with connect(server) as connection:
            statuses = []
            for _ in range(40):
                connection.sendall(create(server))
                statuses.append(connection.recv(65536).split()[1])
        runs.append(statuses)
        server.faults.clear()
    assert runs[0] == runs[1]
    assert set(Counter(runs[0])) == {b"503", b"201"}


def test_faults_by_header(server: SimulatorServer) -> None:
    with connect(server) as connection:
        connection.sendall(create(server, "r", "X-Simulator-Fault: rate_limited; retry_after=7"))
        with closing(answer(connection)) as response:
            assert (response.status, response.getheader("retry-after")) == (429, "7")
            response.read()
        connection.sendall(create(server, "r", "x-simulator-fault: server_error;status=502;applied=true"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 502")
        for wrong, text in (("nonsense", "known are refuse, blackhole"), ("drip;times=2", "times cannot be chosen")):
            connection.sendall(create(server, "r", f"x-simulator-fault: {wrong}"))
            with closing(answer(connection)) as response:
                assert response.status == 400
                assert text in json.loads(response.read())["message"]
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")
    assert server.faults.seen == ["rate_limited", "server_error"]
    assert created(server) == 2


@pytest.mark.parametrize("name", ["accept_rst", "refuse;seconds=0.01"])
def test_connection_faults_by_header(server: SimulatorServer, name: str) -> None:
    with connect(server) as connection:
        connection.sendall(create(server, "r", f"X-Simulator-Fault: {name}"))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert created(server) == 0


def test_faults_over_http(server: SimulatorServer) -> None:
    def admin(method: str, what: str = "faults", body: Any = None) -> Any:
        connection = http.client.HTTPConnection(server.origin.removeprefix("http://"), timeout=5)
        with closing(connection):
            connection.request(method, f"/_simulator/{what}", json.dumps(body) if body else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    status, shown = admin("POST", body={"name": "server_error", "gateway": "paydock", "status": 500, "times": None})
    assert (status, shown["faults"][0]["status"]) == (200, 500)
    with connect(server) as connection:
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 500")
    assert admin("GET")[1]["seen"] == ["server_error"]
    rows = admin("GET", "requests")[1]["requests"]
    assert rows == [{"gateway": "paydock", "method": "POST", "path": "/v1/customers", "count": 1}]
    assert admin("GET", "ledger")[1]["paydock"] == {}
    assert admin("DELETE")[1]["faults"] == []
    wrong: list[Any] = [{"name": "nonsense"}, {"gateway": "monri"}, [1], {"name": "drip", "color": 1}]
    for body in wrong:
        status, shown = admin("POST", body=body)
        assert status == 400
        assert shown["message"]
    assert admin("POST", body={"name": "refuse", "seconds": 0.05})[0] == 200
    with pytest.raises(ConnectionRefusedError):
        connect(server)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "nonsense"}, "known are refuse, blackhole"),
        ({"name": "drip", "speed": 1}, "drip has no parameter speed; it has interval"),
        ({"name": "bad_chunk", "speed": 1}, "it has none"),
        ({"name": "drip", "interval": "slow"}, "must be of type float"),
        ({"name": "rate_limited", "applied": True}, "applied cannot be chosen"),
        ({"name": "accept_rst", "gateway": "monri"}, "before a request is read"),
        ({"name": "drip", "times": 0}, "times must be 1 or more"),
        ({"name": "drip", "path": "("}, "no regular expression"),
    ],
)
def test_wrong_faults(server: SimulatorServer, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        server.faults.add(**arguments)
    assert server.faults.waiting() == []


def test_stop_is_quick_with_hanging_connections(server: SimulatorServer) -> None:
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
    assert time.monotonic() - begin < 0.5
    assert threading.active_count() == threads - 1
    for connection in [*connections, last]:
        connection.close()


def test_faults_survive_a_restart(server: SimulatorServer) -> None:
    server.faults.add("server_error")
    server.restart()
    with connect(server) as connection:
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 503")
    server.faults.add("refuse", times=None)
    server.restart()
    connect(server).close()


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /v1/x HTTP/1.1\r\nHost"]
)
def test_what_is_no_request(server: SimulatorServer, nonsense: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(nonsense)
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            everything(connection)
    with connect(server) as connection:
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")


def test_a_client_that_leaves_inside_its_request(server: SimulatorServer) -> None:
    with connect(server) as connection:
        connection.sendall(create(server)[:-3])
    with connect(server) as connection:
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")
    assert created(server) == 1


def test_faults_on_https(server: SimulatorServer) -> None:
    server.faults.add("server_error", gateway="paydock")
    origin = server.tls().removeprefix("https://")
    connection = http.client.HTTPSConnection(origin, context=server.authority.client_context(), timeout=5)
    with closing(connection):
        connection.request("GET", "/v1/customers")
        assert connection.getresponse().status == 503
