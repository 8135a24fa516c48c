"""Start, stop, restart, persistence and https of the server, and behaviour common to all gateways."""

import asyncio
import gc
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from simulator.raw_http import answer, connect, create

from wonder_customers import dialects
from wonder_customers.simulator import SimulatorServer
from wonder_customers.simulator.fault_proxy import FaultProxy
from wonder_customers.simulator.faults import Faults
from wonder_customers.simulator.proxy_http import bound_socket

NAMES = {
    "WONDER_BASE_URL",
    "WONDER_APP_ID",
    "WONDER_PRIVATE_KEY",
    "PAYDOCK_BASE_URL",
    "PAYDOCK_SECRET_KEY",
    "PAYDOCK_PUBLIC_KEY",
    "MONRI_BASE_URL",
    "MONRI_MERCHANT_KEY",
    "MONRI_AUTHENTICITY_TOKEN",
}
BOTH = pytest.mark.parametrize("faults", [False, True])


def port_of(server: SimulatorServer) -> int:
    return int(server.origin.rpartition(":")[2])


def exchange(connection: socket.socket, request: bytes = b"GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n") -> int:
    connection.sendall(request)
    return answer(connection)[0]


def test_environment(shared_server: Any) -> None:
    environment = shared_server.environment()
    assert environment.keys() == NAMES
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", shared_server.origin)
    assert environment["PAYDOCK_BASE_URL"] == f"{shared_server.origin}/v1/"
    assert environment["WONDER_PRIVATE_KEY"].startswith("-----BEGIN PRIVATE KEY-----")
    assert set(shared_server.gateways) == {"wonder", "paydock", "monri"}


def test_all_gateways_on_one_origin(call: Any) -> None:
    assert call.wonder("GET", "/customers").status_code == 200
    assert call.paydock("GET", "/customers").status_code == 200
    assert call.monri("GET", "/customers").status_code == 200
    assert call.client.get(f"{call.server.origin}/elsewhere").status_code == 404
    assert call.client.head(f"{call.server.origin}/v1/customers").status_code == 403


@BOTH
def test_stop_is_fast_and_releases_resources(simulators: Any, faults: bool) -> None:
    threads = threading.active_count()
    server = SimulatorServer(simulators, faults=faults)
    server.start()
    connections = [connect(server) for _ in range(20)]
    for connection in connections:
        assert exchange(connection) == 404
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 50
    assert threading.active_count() == threads
    for connection in connections:
        assert connection.recv(1) == b""
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        connect(server)
    server.stop()
    del server
    gc.collect()


@BOTH
def test_restart_keeps_port_and_state(simulators: Any, faults: bool, caller_of: Any) -> None:
    with SimulatorServer(simulators, faults=faults) as server:
        origin, caller = server.origin, caller_of(server)
        made = caller.paydock("POST", "/customers", {"reference": "r"}).json()["resource"]["data"]
        with connect(server) as old:
            exchange(old)
            server.restart()
            assert old.recv(1) == b""
        assert server.origin == origin
        again = caller_of(server)
        assert again.environment == caller.environment
        assert again.paydock("GET", f"/customers/{made['_id']}").json()["resource"]["data"] == made


def test_database_file_is_persistent(simulators: Any, tmp_path: Path, caller_of: Any) -> None:
    file = str(tmp_path / "state.db")
    with SimulatorServer(simulators, db=file) as server:
        first = caller_of(server)
        first.monri("POST", "/customers", {"merchant_customer_id": "r"})
        draft = {"name": "a", "phone": "1", "reference_number": "w"}
        first.wonder("POST", "/customers", {"customer": draft})
    server.store.close()
    with SimulatorServer(simulators, db=file) as server:
        second = caller_of(server)
        secrets = {"WONDER_PRIVATE_KEY", "WONDER_APP_ID", "PAYDOCK_SECRET_KEY", "MONRI_MERCHANT_KEY"}
        assert all(second.environment[name] == first.environment[name] for name in secrets)
        assert second.monri("GET", "/merchants/customers/r").status_code == 200
        assert second.wonder("GET", "/customers/ref/w").status_code == 200
        assert server.store.ledger("monri") == {"r": 1}
    server.store.close()


def test_port_in_use_error_names_the_port(simulators: Any) -> None:
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = SimulatorServer(simulators, port=port)
        with pytest.raises(OSError, match=f"127.0.0.1 port {port}"):
            server.start()
    assert threading.active_count() == threads
    with server:
        assert port_of(server) == port


def test_startup_failure_raises(simulators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("wonder_customers.simulator.server.build_app", broken)
    server = SimulatorServer(simulators)
    with pytest.raises(ZeroDivisionError):
        server.start()
    with pytest.raises(RuntimeError, match="not run"):
        server.tls()


def test_invalid_state_raises_runtime_error(simulators: Any) -> None:
    server = SimulatorServer(simulators)
    with pytest.raises(RuntimeError, match="until the server has started"):
        _ = server.origin
    with server:
        with pytest.raises(RuntimeError, match="already running"):
            server.start()
        with pytest.raises(RuntimeError, match="faults=True"):
            server.faults.add("read_close")
    server.wait()


def test_wait_returns_on_stop(simulators: Any) -> None:
    server = SimulatorServer(simulators)
    server.start()
    waiter = threading.Thread(target=server.wait)
    waiter.start()
    server.stop()
    waiter.join(60)
    assert not waiter.is_alive()


def test_server_starts_in_a_running_event_loop(simulators: Any) -> None:
    async def main() -> int:
        with SimulatorServer(simulators) as server:
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                return (await client.get(f"{server.origin}/v2/x")).status_code

    assert asyncio.run(main()) == 404


def test_store_can_be_read_from_other_threads(simulators: Any, caller_of: Callable[[Any], Any]) -> None:
    with SimulatorServer(simulators) as server:
        caller = caller_of(server)
        ended = threading.Event()
        seen: list[int] = []

        def read() -> None:
            while not ended.is_set():
                seen.append(len(server.store.customers("monri")))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(30):
            assert caller.monri("POST", "/customers", {"merchant_customer_id": f"r{number}"}).status_code == 200
        ended.set()
        reader.join()
        assert seen == sorted(seen)
        assert len(server.store.created("monri")) == 30
        assert server.store.requests["monri", "POST", "/v2/customers"] == 30


def test_ledger_and_requests_over_http(simulators: Any, caller_of: Callable[[Any], Any]) -> None:
    with SimulatorServer(simulators) as server:
        caller = caller_of(server)
        caller.paydock("POST", "/customers/", {"reference": "r"})
        ledger = caller.client.get(f"{server.origin}/_simulator/ledger").json()
        assert ledger == {"wonder": {}, "paydock": {"r": 1}, "monri": {}}
        rows = caller.client.get(f"{server.origin}/_simulator/requests").json()["requests"]
        assert rows == [{"gateway": "paydock", "method": "POST", "path": "/v1/customers", "count": 1}]


@BOTH
def test_https(simulators: Any, faults: bool, caller_of: Callable[[Any], Any]) -> None:
    with SimulatorServer(simulators, faults=faults) as server:
        trusted = server.certificate_authority.client_context()
        good, expired = server.tls(), server.tls("expired")
        assert good != expired
        with httpx.Client(verify=trusted, trust_env=False) as client:
            key = server.environment()["PAYDOCK_SECRET_KEY"]
            answer = client.get(f"{good}/v1/customers", headers={"x-user-secret-key": key})
            assert answer.status_code == 200
            with pytest.raises(httpx.ConnectError, match="certificate has expired"):
                client.get(expired)
        strangers = ssl.create_default_context()
        with httpx.Client(verify=strangers, trust_env=False) as client, pytest.raises(httpx.ConnectError):
            client.get(good)
        with pytest.raises(ValueError, match="good or expired"):
            server.tls("old")
        draft = {"name": "a", "phone": "1", "reference_number": "w"}
        caller = caller_of(server)
        owner = caller.wonder("POST", "/customers", {"customer": draft}).json()["data"]["customer"]["uuid"]
        card = {"number": "4" + "1" * 15, "exp_month": "1", "exp_year": "2030", "holder_name": "A", "3ds": {}}
        target = f"/svc/payment/api/v1/openapi/customers/{owner}/payment_tokens"
        with httpx.Client(verify=trusted, trust_env=False) as client:
            body = b'{"card": %s}' % str(card).replace("'", '"').encode()
            headers = caller.wonder_headers("POST", target, body)
            token = client.post(good + target, content=body, headers=headers).json()["data"]["payment_token"]
            assert token["verify_url"].startswith(f"{good}/")


def test_chunked_bodies_and_expect(simulators: Any) -> None:
    for faults in (False, True):
        with SimulatorServer(simulators, faults=faults) as server, connect(server) as connection:
            key = server.environment()["PAYDOCK_SECRET_KEY"].encode()
            head = b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nx-user-secret-key: " + key + b"\r\n"
            chunks = b'8\r\n{"refere\r\n7\r\nnce":1}\r\n0\r\n\r\n'
            assert exchange(connection, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks) == 201
            connection.sendall(head + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")
            assert exchange(connection, b"{}") == 201


def ends(work: Callable[[], None], within: float) -> bool:
    """Return whether the function ends; a blocked event loop cannot be interrupted from inside."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(within)
    return not thread.is_alive()


def test_proxy_closes_when_its_last_task_has_just_ended() -> None:
    async def nothing() -> None:
        pass

    async def close_at_once() -> None:
        front = FaultProxy(bound_socket("127.0.0.1", 0), ("127.0.0.1", 1), Faults(()), lambda path: ("", ""))
        front.open()
        front.spawn(nothing())
        await asyncio.sleep(0)
        await front.close()

    assert ends(lambda: asyncio.run(close_at_once()), within=10)


def test_stop_timeout_raises_runtime_error(monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()

    class Busy(SimulatorServer):
        def busy(self) -> None:
            self._running_loop().call_soon_threadsafe(going_on.wait)

    it = Busy([dialects.simulator("monri")])
    it.start()
    thread = it._thread
    assert thread is not None
    it.busy()
    with monkeypatch.context() as patched:
        patched.setattr("wonder_customers.simulator.server._TIMEOUT", 0.1)
        with pytest.raises(RuntimeError, match=r"did not stop within 0\.1 s, so its port may still be in use"):
            it.stop()
        it._thread = thread  # `tls` requires a server that is not stopped
        with pytest.raises(TimeoutError, match=r"the server did not open an https origin within 0\.1 s"):
            it.tls()
    going_on.set()
    thread.join(60)
    assert not thread.is_alive()


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


def test_certificate_of_a_host_name() -> None:
    with SimulatorServer([dialects.simulator("monri")], host="localhost", faults=True) as server:
        origin = server.tls()
        with httpx.Client(verify=server.certificate_authority.client_context(), trust_env=False) as client:
            assert client.get(origin).status_code == 200
