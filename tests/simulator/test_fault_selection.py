"""Selection of the requests that a fault applies to, in Python, by header and over HTTP."""

import http.client
import json
from collections import Counter
from contextlib import closing
from typing import Any

import httpx
import pytest
from simulator.raw_http import answer, connect, create, created, status_of

from wonder_customers.simulator import SimulatorServer


def test_faults_select_requests_by_gateway_method_and_path(server: SimulatorServer) -> None:
    server.faults.add("rate_limited", gateway="monri")
    server.faults.add("rate_limited", method="get")
    server.faults.add("rate_limited", path="/v1/charges*")
    server.faults.add("server_error", gateway="paydock", method="POST", path="*customers")
    with connect(server) as connection:
        statuses = []
        for _ in range(2):
            connection.sendall(create(server))
            statuses.append(connection.recv(65536).split()[1])
    assert statuses == [b"503", b"201"]
    assert [fault["method"] for fault in server.faults.active()] == [None, "GET", None]
    assert server.faults.seen == ["server_error"]


def test_invalid_selections_are_refused(server: SimulatorServer) -> None:
    with pytest.raises(ValueError, match="unknown gateway 'monry'; choose from "):
        server.faults.add("server_error", gateway="monry")
    with pytest.raises(ValueError, match="unknown method 'FETCH'; choose from GET, POST"):
        server.faults.add("server_error", method="fetch")
    with pytest.raises(ValueError, match="path must begin with / or"):
        server.faults.add("server_error", path="v2/customers")
    assert server.faults.active() == []


def test_seed_makes_probability_reproducible(server: SimulatorServer) -> None:
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
        status, headers, _ = answer(connection)
        assert (status, headers["retry-after"]) == (429, "7")
        connection.sendall(create(server, "r", "x-simulator-fault: server_error;status=502;applied=true"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 502")
        for wrong, text in (
            ("nonsense", "choose from refuse, blackhole"),
            ("drip;times=2", "times cannot be set"),
            ("read_close; applied=maybe", "applied must be true or false"),
        ):
            connection.sendall(create(server, "r", f"x-simulator-fault: {wrong}"))
            status, _, body = answer(connection)
            assert status == 400
            assert text in json.loads(body)["message"]
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
        connection = http.client.HTTPConnection(server.origin.removeprefix("http://"), timeout=60)
        with closing(connection):
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, f"/_simulator/{what}", json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    status, shown = admin("POST", body={"name": "server_error", "gateway": "paydock", "status": 500, "times": None})
    assert (status, shown["faults"][0]["status"]) == (200, 500)
    assert status_of(server) == 500
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
        ({"name": "nonsense"}, "choose from refuse, blackhole"),
        ({"name": "x" * 10_000}, "unknown fault"),
        ({"name": "drip", "speed": 1}, "drip has no parameter speed; its parameters are: interval"),
        ({"name": "bad_chunk", "speed": 1}, "bad_chunk has no parameter speed; it has no parameters"),
        ({"name": "drip", "interval": "slow"}, "drip: interval must be a number from 0 to 60, not 'slow'"),
        ({"name": "drip", "interval": None}, "drip: interval must be a number from 0 to 60, not None"),
        ({"name": "drip", "interval": 1e9}, "from 0 to 60"),
        ({"name": "huge_headers", "size": 300_000_000}, "from 0 to 1,000,000"),
        ({"name": "server_error", "status": 503.5}, "server_error: status must be an integer from 400 to 599"),
        ({"name": "server_error", "status": 99999}, "from 400 to 599"),
        ({"name": "rate_limited", "applied": True}, "applied cannot be set"),
        ({"name": "rate_limited", "retry_after": "1\r\nX-Injected: 1"}, "retry_after must be"),
        ({"name": "rate_limited", "retry_after": ["1"]}, "retry_after must be"),
        ({"name": "accept_rst", "gateway": "monri"}, "before a request is read"),
        ({"name": "drip", "applied": "yes"}, "applied must be true or false"),
        ({"name": "drip", "gateway": {}}, "gateway must be a string"),
        ({"name": "drip", "times": 0}, "times must be an integer from 1"),
        ({"name": "drip", "times": 1.5}, "times must be an integer"),
        ({"name": "drip", "path": 1}, "path must be a string"),
        ({"name": "drip", "path": "x" * 201}, "path must be a string of at most 200"),
        ({"name": "drip", "probability": "often"}, "probability must be a number from 0 to 1"),
        ({"name": "drip", "probability": True}, "probability must be a number"),
        ({"name": "drip", "seed": [1]}, "seed must be an integer"),
    ],
    ids=lambda it: str(it)[:60] if isinstance(it, dict) else "",
)
def test_invalid_fault_is_refused_in_python_and_over_http(
    server: SimulatorServer, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        server.faults.add(**arguments)
    refused = httpx.post(f"{server.origin}/_simulator/faults", json=arguments, trust_env=False, verify=False)
    assert (refused.status_code, text in refused.json()["message"]) == (400, True)
    assert len(refused.content) < 1000
    assert server.faults.active() == []


def test_faults_survive_a_restart(server: SimulatorServer) -> None:
    server.faults.add("server_error")
    server.restart()
    assert status_of(server) == 503
    server.faults.add("refuse", times=None)
    server.restart()
    connect(server).close()
