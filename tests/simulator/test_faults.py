"""The effect of each fault on a raw client and on the ledger."""

import http.client
import json
import time
import zlib
from contextlib import closing
from typing import Any

import httpx
import pytest
from fault_injection.sessions import until
from simulator.raw_http import answer, connect, create, created, exchange, read_all, status_of

from wonder_customers.simulator import FAULT_KINDS, SimulatorServer

NAMES = (
    "refuse blackhole accept_rst read_close read_hang headers_rst truncated_body drip wrong_length bad_chunk gzip_bomb"
    " huge_headers rate_limited server_error expired_tls zombie duplicate half_close_idle stale_rst"
)


def parts(received: bytes) -> tuple[bytes, dict[str, str], bytes]:
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, dict(line.decode().lower().split(": ", 1) for line in lines), body


def test_fault_kinds_have_documented_names() -> None:
    assert list(FAULT_KINDS) == NAMES.split()


def test_no_fault(server: SimulatorServer) -> None:
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(create(server))
            status, headers, body = answer(connection)
            assert (status, json.loads(body)["status"]) == (201, 201)
            assert headers["x-correlation-id"]
        connection.sendall(b"GET /v1/customers HTTP/1.0\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 403")
    assert created(server) == 3
    assert server.faults.seen == []
    assert server.faults.requests["paydock", "POST", "/v1/customers"] == 3


def test_fault_refuse(server: SimulatorServer) -> None:
    with connect(server) as old:
        server.faults.add("refuse", times=None)
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                connect(server)
        old.sendall(create(server))
        assert b"201" in old.recv(65536)
        server.faults.clear()
    assert status_of(server) == 201
    server.faults.add("refuse", seconds=0.5)
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            connect(server).close()
            break
        except ConnectionRefusedError:
            continue
    else:
        pytest.fail("the port stayed closed")
    assert server.faults.seen == ["refuse", "refuse"]


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        *(("blackhole", it) for it in ({}, {"gateway": "paydock"})),
        *(("read_hang", {"applied": it}) for it in (True, False)),
    ],
)
def test_fault_without_a_response(server: SimulatorServer, fault: str, options: dict[str, Any]) -> None:
    server.faults.add(fault, **options)
    applied = options.get("applied", False)
    with connect(server) as connection:
        connection.sendall(create(server))
        until(lambda: bool(server.faults.seen) and created(server) == applied)
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert created(server) == applied


def test_fault_accept_rst(server: SimulatorServer) -> None:
    server.faults.add("accept_rst")
    with pytest.raises(ConnectionResetError), connect(server) as connection:
        connection.recv(1)
    assert status_of(server) == 201


@pytest.mark.parametrize("applied", [True, False])
def test_fault_read_close(server: SimulatorServer, applied: bool) -> None:
    server.faults.add("read_close", applied=applied)
    assert exchange(server) == b""
    assert created(server) == applied


def test_fault_headers_rst(server: SimulatorServer) -> None:
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
def test_fault_truncated_body(server: SimulatorServer, applied: bool) -> None:
    server.faults.add("truncated_body", applied=applied)
    status, headers, body = parts(exchange(server))
    assert status.startswith(b"HTTP/1.1 20")
    assert 0 < len(body) < int(headers["content-length"])
    assert created(server) == applied


def test_fault_drip(server: SimulatorServer) -> None:
    server.faults.add("drip", interval=0.0001)
    with connect(server) as connection:
        connection.sendall(create(server))
        begin = time.monotonic()
        assert json.loads(answer(connection)[2])["status"] == 201
        assert time.monotonic() - begin > 0.03
        connection.sendall(create(server))
        assert b"201" in connection.recv(65536)


def test_fault_wrong_length(server: SimulatorServer) -> None:
    server.faults.add("wrong_length")
    _, headers, body = parts(exchange(server))
    assert int(headers["content-length"]) == len(body) + 10
    server.faults.add("wrong_length", difference=-5)
    with connect(server) as connection:
        connection.sendall(create(server))
        _, headers, body = parts(connection.recv(65536))
        assert int(headers["content-length"]) == len(body) - 5
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")
    assert created(server) == 3


def test_fault_bad_chunk(server: SimulatorServer) -> None:
    server.faults.add("bad_chunk")
    _, headers, body = parts(exchange(server))
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    with pytest.raises(ValueError, match="invalid literal"):
        int(body.split(b"\r\n")[0], 16)


@pytest.mark.parametrize("size", [1 << 24, pytest.param(1 << 30, marks=pytest.mark.long)])
def test_fault_gzip_bomb(server: SimulatorServer, size: int) -> None:
    server.faults.add("gzip_bomb")
    with connect(server) as connection:
        connection.sendall(create(server, "r", "Accept-Encoding: identity"))
        _, headers, packed = answer(connection)
    assert headers["content-encoding"] == "gzip"
    assert 900_000 < len(packed) < 1_200_000
    assert int.from_bytes(packed[-4:], "little") == 1 << 30
    unpacker, unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    while unpacked < size:
        unpacked += len(unpacker.decompress(packed, 1 << 20))
        packed = unpacker.unconsumed_tail
    assert unpacker.eof or size < 1 << 30


def test_fault_huge_headers(server: SimulatorServer) -> None:
    server.faults.add("huge_headers")
    head, _, body = exchange(server, create(server, "r", "Connection: close")).partition(b"\r\n\r\n")
    assert len(head) > 200_000
    assert json.loads(body)["status"] == 201


@pytest.mark.parametrize("retry_after", [5, "-5", "1e9", "Fri, 31 Dec 2032 23:59:59 GMT", None])
def test_fault_rate_limited(server: SimulatorServer, retry_after: Any) -> None:
    server.faults.add("rate_limited", retry_after=retry_after)
    with connect(server) as connection:
        connection.sendall(create(server))
        status, headers, _ = answer(connection)
        assert (status, headers.get("retry-after")) == (429, None if retry_after is None else str(retry_after))
        assert created(server) == 0
        connection.sendall(create(server))
        assert connection.recv(65536).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize(("status", "applied"), [(500, False), (502, True), (503, None), (504, True)])
def test_fault_server_error(server: SimulatorServer, status: int, applied: bool | None) -> None:
    server.faults.add("server_error", status=status, applied=applied, times=2)
    seen = []
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(create(server))
            seen.append(answer(connection)[0])
    assert seen == [status, status, 201]
    assert created(server) == (3 if applied else 1)


def test_expired_tls_cannot_be_injected(server: SimulatorServer) -> None:
    with pytest.raises(ValueError, match=r"SimulatorServer\.tls"):
        server.faults.add("expired_tls")


def test_zombie_is_applied_after_disconnect(server: SimulatorServer) -> None:
    server.faults.add("zombie", delay=0.5)
    assert exchange(server) == b""
    assert created(server) == 0
    until(lambda: created(server) > 0)
    assert server.faults.requests["paydock", "POST", "/v1/customers"] == 1


def test_pending_zombie_is_cancelled_on_stop(server: SimulatorServer) -> None:
    server.faults.add("zombie", delay=60)
    assert exchange(server) == b""
    server.restart()
    assert created(server) == 0


def test_fault_duplicate(server: SimulatorServer) -> None:
    server.faults.add("duplicate")
    with connect(server) as connection:
        connection.sendall(create(server))
        first = json.loads(answer(connection)[2])["resource"]["data"]["_id"]
    assert created(server) == 2
    assert server.store.created("paydock")[0] == first


def test_fault_half_close_idle(server: SimulatorServer) -> None:
    server.faults.add("half_close_idle")
    status, headers, body = parts(exchange(server))
    assert status == b"HTTP/1.1 201 Created"
    assert "connection" not in headers
    assert len(body) == int(headers["content-length"])


def test_fault_stale_rst(server: SimulatorServer) -> None:
    server.faults.add("stale_rst")
    with connect(server) as connection:
        connection.sendall(create(server))
        assert answer(connection)[0] == 201
        connection.sendall(create(server))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert created(server) == 1
    assert server.faults.requests["paydock", "POST", "/v1/customers"] == 2


def test_stale_rst_when_the_client_leaves(server: SimulatorServer) -> None:
    server.faults.add("stale_rst")
    assert status_of(server) == 201


def test_faults_on_https(server: SimulatorServer) -> None:
    server.faults.add("server_error", gateway="paydock")
    origin = server.tls().removeprefix("https://")
    connection = http.client.HTTPSConnection(origin, context=server.certificate_authority.client_context(), timeout=60)
    with closing(connection):
        connection.request("GET", "/v1/customers")
        assert connection.getresponse().status == 503


def test_second_refuse_does_not_extend_the_first(server: SimulatorServer) -> None:
    server.faults.add("refuse", times=None)
    server.faults.add("refuse", times=None)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.origin, trust_env=False, verify=False)
    server.faults.clear()
    assert httpx.get(server.origin, trust_env=False, verify=False).status_code == 200
