"""Hostile input: other origins, oversized and malformed requests, foreign database files."""

import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from simulator.raw_http import status_of

from wonder_customers import ConfigurationError
from wonder_customers.simulator import SimulatorServer, Store
from wonder_customers.simulator.faults import path_matches

JSON = {"Content-Type": "application/json"}


def admin(server: SimulatorServer, method: str, path: str, **options: Any) -> httpx.Response:
    with httpx.Client(trust_env=False, verify=False, timeout=60) as client:
        return client.request(method, f"{server.origin}/_simulator/{path}", **options)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "[::1"},
        {"Content-Type": "text/plain"},
    ],
)
def test_admin_refuses_other_origins_hosts_and_content_types(server: SimulatorServer, headers: dict[str, str]) -> None:
    server.faults.add("server_error", times=None, gateway="monri")
    refused = admin(server, "POST", "faults", headers=JSON | headers, content=b'{"name":"drip"}')
    assert refused.status_code == 403
    if "Content-Type" not in headers:
        for method, path in (("DELETE", "faults"), ("GET", "faults"), ("GET", "ledger"), ("GET", "requests")):
            assert admin(server, method, path, headers=headers).status_code == 403
    assert [it["name"] for it in server.faults.active()] == ["server_error"]


def test_admin_accepts_its_own_origin(server: SimulatorServer) -> None:
    headers = JSON | {"Origin": server.origin, "Sec-Fetch-Site": "same-origin"}
    assert admin(server, "POST", "faults", headers=headers, json={"name": "drip"}).status_code == 200


@pytest.mark.parametrize("body", [b"[" * 60_000, b"\xff", b"NaN", b'{"name":"drip","probability":NaN}', b"x" * 70_000])
def test_admin_refuses_malformed_bodies(server: SimulatorServer, body: bytes) -> None:
    refused = admin(server, "POST", "faults", headers=JSON, content=body)
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(("the body is not JSON: ", "the body is larger than 65536 bytes"))
    assert server.faults.active() == []


def test_admin_names_wrong_paths_and_methods(server: SimulatorServer) -> None:
    assert admin(server, "GET", "fault").json() == {"message": "unknown path"}
    refused = admin(server, "POST", "requests", headers=JSON)
    assert (refused.status_code, refused.json()) == (405, {"message": "method not allowed"})


def test_admin_bounds_the_number_of_active_faults(server: SimulatorServer) -> None:
    for _ in range(100):
        server.faults.add("server_error", gateway="monri")
    with pytest.raises(RuntimeError, match="the maximum of 100 faults is already active"):
        server.faults.add("server_error", gateway="monri")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/v1/customers", "/v1/customers", True),
        ("/v1/customers", "/v1/customers/1", False),
        ("/v1/customers/*", "/v1/customers/1", True),
        ("*customers", "/v1/customers", True),
        ("*customers", "/v1/customers/1", False),
        ("/a*b*c", "/axbyc", True),
        ("/a*b*c", "/axyc", False),
        ("/ab*bc", "/abc", False),
        ("(a+)+$", "a" * 40, False),
    ],
)
def test_fault_paths_are_wildcard_patterns(pattern: str, path: str, expected: bool) -> None:
    assert path_matches(pattern, path) is expected


def test_hostile_path_pattern_is_matched_in_linear_time() -> None:
    begin = time.process_time()
    assert not path_matches("*a" * 90 + "*b", "a" * 60_000)
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("faults", [True, False])
def test_oversized_request_bodies_get_413_and_the_server_goes_on(simulators: Any, faults: bool) -> None:
    with SimulatorServer(simulators, faults=faults) as server:
        with httpx.Client(trust_env=False, verify=False, timeout=60) as client:
            try:
                refused = client.post(f"{server.origin}/v1/customers", content=b"x" * 2_000_000)
                assert refused.status_code == 413
            except httpx.WriteError:  # the server closed the connection before the body was sent
                pass
        assert status_of(server) == 201


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])
def test_server_listens_on_loopback_addresses_only(simulators: Any, host: str) -> None:
    with pytest.raises(ConfigurationError, match="only on loopback addresses"):
        SimulatorServer(simulators, host=host)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_database_files_are_readable_by_their_owner_only(tmp_path: Path, simulators: Any) -> None:
    file = tmp_path / "state.db"
    file.touch(mode=0o644)
    with SimulatorServer(simulators, db=str(file)) as server:
        assert {path.name: mode(path) for path in tmp_path.iterdir()} == dict.fromkeys(
            ("state.db", "state.db-wal", "state.db-shm"), 0o600
        )
    server.store.close()
    Store(str(file)).close()


def test_database_of_another_program_is_refused_and_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE customers (name TEXT)")
    other.close()
    file.chmod(0o644)
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match="not a database of the simulator"):
        Store(str(file))
    assert (file.read_bytes(), mode(file)) == (before, 0o644)
    assert [path.name for path in tmp_path.iterdir()] == ["shop.db"]


def test_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are notes, and long enough to be read as a page of a database." * 20)
    before = file.read_bytes()
    with pytest.raises(ConfigurationError, match=r"not a database\. Give the path of a new file"):
        SimulatorServer([], db=str(file))
    assert file.read_bytes() == before
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Store(str(tmp_path / "missing" / "state.db"))
