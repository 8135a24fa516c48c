"""Latency, rate limit, magic references, recorded requests, and export and import of the state."""

import time
from typing import Any

import httpx
import pytest
from simulator.conftest import Caller
from simulator.test_wonder import DRAFT

from wonder_customers.simulator import Conditions, SimulatorServer


def create(caller: Caller, gateway: str, reference: str) -> httpx.Response:
    """Create a customer with a reference."""
    if gateway == "wonder":
        return caller.wonder("POST", "/customers", {"customer": {**DRAFT, "reference_number": reference}})
    if gateway == "paydock":
        return caller.paydock("POST", "/customers", {"reference": reference})
    return caller.monri("POST", "/customers", {"merchant_customer_id": reference})


def test_rate_limit_refuses_excess_requests_per_gateway(server: SimulatorServer, caller: Caller, gateway: str) -> None:
    server.conditions.rate_limit = 0.5
    assert create(caller, gateway, "r-1").is_success
    refused = create(caller, gateway, "r-2")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "2"
    other = "monri" if gateway != "monri" else "paydock"
    assert create(caller, other, "r-1").is_success
    server.conditions.rate_limit = None
    assert create(caller, gateway, "r-2").is_success
    assert server.store.ledger(gateway) == {"r-1": 1, "r-2": 1}


def test_latency_delays_responses(server: SimulatorServer, caller: Caller) -> None:
    server.conditions.latency = (0.15, 0.2)
    begin = time.monotonic()
    assert create(caller, "monri", "r-1").is_success
    assert time.monotonic() - begin >= 0.15


@pytest.mark.parametrize("status", [400, 422, 503])
def test_fail_reference_is_refused_after_authentication(
    server: SimulatorServer, caller: Caller, gateway: str, status: int
) -> None:
    refused = create(caller, gateway, f"fail-{status}-1")
    assert refused.status_code == status
    assert "magic reference" in refused.text
    assert "404" not in refused.text
    assert server.store.ledger(gateway) == {}
    caller.environment = {name: "wrong" if name.endswith("_KEY") else it for name, it in caller.environment.items()}
    if gateway != "wonder":  # an RSA key cannot be replaced with another text
        assert create(caller, gateway, f"fail-{status}-1").status_code in {401, 403}


def test_slow_reference_delays_the_response(caller: Caller) -> None:
    begin = time.monotonic()
    assert create(caller, "paydock", "slow-150ms-1").is_success
    assert time.monotonic() - begin >= 0.15


@pytest.mark.parametrize("reference", ["fail-200-1", "unfail-422-1", "fail-4222-1", "slow-s-1", "fail-422"])
def test_other_references_are_not_magic(caller: Caller, reference: str) -> None:
    assert create(caller, "monri", reference).is_success


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"latency": [0.2, 0.1]}, "greater than the maximum"),
        ({"latency": [0, 61]}, "from 0 to 60"),
        ({"latency": [True, 1]}, "must be a number"),
        ({"latency": 1}, "a list of two numbers"),
        ({"rate_limit": 0}, "greater than 0"),
        ({"rate_limit": "20"}, "must be a number"),
        ({"latency": [0.1, 0.2], "rate_limit": 0}, "greater than 0"),
        ({"speed": 1}, "latency and rate_limit"),
        ([], "latency and rate_limit"),
    ],
)
def test_invalid_conditions_are_refused(values: Any, text: str) -> None:
    conditions = Conditions()
    with pytest.raises(ValueError, match=text):
        conditions.change(values)
    assert conditions.described() == {"latency": None, "rate_limit": None}


def test_conditions_and_health_over_http(server: SimulatorServer, caller: Caller) -> None:
    address = f"{server.origin}/_simulator/conditions"
    changed = caller.client.post(address, json={"latency": [0.001, 0.002], "rate_limit": 1000})
    assert changed.json() == {"latency": [0.001, 0.002], "rate_limit": 1000.0}
    assert server.conditions.latency == (0.001, 0.002)
    assert caller.client.post(address, json={"latency": "x"}).status_code == 400
    assert caller.client.post(address, json={"latency": None}).json()["latency"] is None
    health = caller.client.get(f"{server.origin}/_simulator/health").json()
    assert health == {"status": "ok", "gateways": list(server.gateways)}


def test_requests_are_recorded_in_order(server: SimulatorServer, caller: Caller) -> None:
    server.faults.add("read_close", method="POST", gateway="monri")
    server.faults.add("rate_limited", method="POST", gateway="paydock")
    with pytest.raises(httpx.RemoteProtocolError):
        create(caller, "monri", "r-1")
    create(caller, "paydock", "r-2")
    caller.paydock("GET", "/customers?limit=1")
    lost, refused, listed = server.request_log.all()
    assert (lost.gateway, lost.method, lost.path, lost.route) == ("monri", "POST", "/v2/customers", "/v2/customers")
    assert (lost.status, lost.fault, lost.json["merchant_customer_id"]) == (200, "read_close", "r-1")
    assert lost.response_json["merchant_customer_id"] == "r-1"
    assert (refused.status, refused.fault, refused.response_json) == (None, "rate_limited", None)
    assert refused.json == {"reference": "r-2"}
    assert (listed.query, listed.status, listed.fault) == ("limit=1", 200, None)
    assert listed.duration is not None
    assert "x-user-secret-key" in listed.headers
    assert not any(name.startswith("x-simulator") for it in (lost, refused, listed) for name in it.headers)
    secret = server.environment()["PAYDOCK_SECRET_KEY"]
    assert secret not in repr(server.request_log.all())


def test_recorded_bodies_contain_no_card_data(server: SimulatorServer, caller: Caller) -> None:
    source = {
        "card_name": "Ada",
        "card_number": "4111 1111 1111 1111",
        "expire_month": "12",
        "expire_year": "2034",
        "card_ccv": "917",
    }
    caller.paydock("POST", "/customers", {"reference": "1234567890123", "payment_source": source})
    (recorded,) = server.request_log.all()
    assert recorded.json["payment_source"]["card_number"].endswith("1111")
    assert b"4111" not in recorded.body.replace(b"*1111", b"")
    assert b"917" not in recorded.body
    assert recorded.json["reference"] == "1234567890123"


def test_state_can_be_exported_and_imported(simulators: Any, server: SimulatorServer, caller_of: Any) -> None:
    first = caller_of(server)
    for gateway in ("wonder", "paydock", "monri"):
        create(first, gateway, "r-1")
    state = first.client.get(f"{server.origin}/_simulator/state").json()
    with SimulatorServer(simulators) as other:
        address = f"{other.origin}/_simulator/state"
        headers = {"Content-Type": "application/json"}
        assert httpx.post(address, json=state, headers=headers, trust_env=False, verify=False).json() == state
        second = caller_of(other)
        assert {**other.environment(), **server.environment()} == server.environment() | {
            name: value for name, value in other.environment().items() if name not in server.environment()
        }
        assert second.monri("GET", "/merchants/customers/r-1").is_success
        assert other.store.ledger("wonder") == {"r-1": 1}
        cleared = second.client.delete(address).json()
        assert (cleared["customers"], cleared["history"], cleared["merchants"]) == ([], [], state["merchants"])
        assert second.monri("GET", "/merchants/customers/r-1").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"customers": {}},
        {"customers": [{"id": "1"}]},
        {"customers": [[]]},
        {"other": []},
        {"merchants": [{"gateway": "monri", "id": 1, "credentials": {}}]},
        {"merchants": [{"gateway": "monri", "id": "1", "credentials": {}}] * 2},
    ],
)
def test_invalid_states_change_nothing(server: SimulatorServer, caller: Caller, change: dict[str, Any]) -> None:
    create(caller, "monri", "r-1")
    before = server.export_state()
    refused = caller.client.post(f"{server.origin}/_simulator/state", json=before | change)
    assert refused.status_code == 400
    assert server.export_state() == before
