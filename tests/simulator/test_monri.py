"""The simulated Monri matches Monri's documentation."""

import hashlib
import time
import uuid
from typing import Any

import pytest
from signature_vectors import MONRI_BODY, MONRI_DIGEST, MONRI_KEY, MONRI_PATH, MONRI_TIME, MONRI_TOKEN

DRAFT = {
    "merchant_customer_id": "customer-id-1234",
    "description": "Customer",
    "email": "email@email.com",
    "name": "Test",
    "country": "BA",
    "zip_code": "71000",
    "metadata": {"key": "value"},
}


def create(call: Any, **fields: Any) -> Any:
    return call.monri("POST", "/customers", {**DRAFT, **fields})


def customer(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "approved"
    return answer.json()


def refused(answer: Any, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == ("error" if status == 401 else "invalid-request")
    return str(answer.json()["message"])


def test_monri_published_digest_vector(call: Any, shared_server: Any) -> None:
    changed = {"key": MONRI_KEY, "token": MONRI_TOKEN, "timestamp": MONRI_TIME}
    assert call.monri_headers(MONRI_PATH, MONRI_BODY, **changed)["Authorization"].endswith(MONRI_DIGEST)
    gateway = shared_server.gateways["monri"]
    gateway.merchants[MONRI_TOKEN] = {"merchant_key": MONRI_KEY, "authenticity_token": MONRI_TOKEN}
    assert customer(call.monri("POST", "/customers", {}, **changed))["uuid"]


def test_monri_create_response_matches_documents(call: Any) -> None:
    made = customer(create(call))
    assert str(uuid.UUID(made["uuid"])) == made["uuid"]
    assert made["created_at"] == made["updated_at"]
    assert time.strptime(made["created_at"], "%Y-%m-%dT%H:%M:%SZ")
    rest = {"phone": None, "city": None, "address": None, "deleted": False, "deleted_at": None, "status": "approved"}
    assert made == {**DRAFT, **rest, **{key: made[key] for key in ("uuid", "created_at", "updated_at")}}


def test_monri_create_without_fields(call: Any) -> None:
    made = customer(call.monri("POST", "/customers", {}))
    assert made["merchant_customer_id"] is None
    assert made["metadata"] == {}
    assert customer(call.monri("POST", "/customers", {"merchant_customer_id": 17}))["merchant_customer_id"] == "17"


def test_monri_digest_is_verified(call: Any) -> None:
    target = "/v2/customers?limit=1&offset=0"
    good = call.monri_headers(target, b"")
    assert call.send("GET", target, None, good).status_code == 200
    scheme, token, timestamp, digest = good["Authorization"].split()
    wrong = [
        call.monri_headers("/v2/customers", b"")["Authorization"],
        call.monri_headers(target, b"", key="other")["Authorization"],
        f"{scheme} {'0' * 40} {timestamp} {digest}",
        f"{scheme} {token} soon {digest}",
        f"{scheme} {token} {timestamp} {digest.upper()}",
        f"WP3-v2 {token} {timestamp} {digest}",
        f"{scheme} {token} {timestamp}",
        "",
    ]
    for authorization in wrong:
        assert refused(call.send("GET", target, None, {"Authorization": authorization}), 401)
    body = b'{"name":"a"}'
    assert refused(call.send("POST", "/v2/customers", b"{}", call.monri_headers("/v2/customers", body)), 401)


def test_monri_digest_of_get_ignores_body(call: Any) -> None:
    assert call.send("GET", "/v2/customers", b"{}", call.monri_headers("/v2/customers", b"")).status_code == 200


def test_monri_clock_window(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = int(time.time())
    old, milliseconds = str(now - 1000), str(now * 1000)
    assert call.monri("GET", "/customers", timestamp=old).status_code == 200
    monkeypatch.setattr(shared_server.gateways["monri"], "clock_window", 300)
    assert refused(call.monri("GET", "/customers", timestamp=old), 401)
    assert call.monri("GET", "/customers", timestamp=milliseconds).status_code == 200


def bearer(call: Any, **changed: Any) -> Any:
    body = {
        "client_id": call.environment["MONRI_AUTHENTICITY_TOKEN"],
        "client_secret": call.environment["MONRI_MERCHANT_KEY"],
        "grant_type": "client_credentials",
        "scopes": ["customers"],
        **changed,
    }
    return call.send("POST", "/v2/oauth", body, {})


def test_monri_bearer(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = shared_server.gateways["monri"]
    answer = bearer(call).json()
    assert (answer["status"], answer["token_type"], answer["expires_in"]) == ("approved", "Bearer", 3600)
    headers = {"authorization": f"Bearer {answer['access_token']}"}
    assert customer(call.send("POST", "/v2/customers", {"name": "A"}, headers))["name"] == "A"
    now = time.time()
    monkeypatch.setattr(gateway, "clock", lambda: now + 3601)
    assert refused(call.send("GET", "/v2/customers", None, headers), 401)
    monkeypatch.undo()
    assert call.send("GET", "/v2/customers", None, headers).status_code == 200
    gateway.revoke_tokens()
    assert refused(call.send("GET", "/v2/customers", None, headers), 401)


def test_monri_token_lifetime(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_server.gateways["monri"], "token_lifetime", 0)
    answer = bearer(call).json()
    assert answer["expires_in"] == 0
    assert refused(call.send("GET", "/v2/customers", None, {"Authorization": f"Bearer {answer['access_token']}"}), 401)


def test_monri_oauth_rejects_invalid_requests(call: Any) -> None:
    assert refused(bearer(call, client_secret="other"), 401)
    assert refused(bearer(call, client_id=None), 401)
    assert refused(bearer(call, grant_type="password"))
    assert refused(call.send("POST", "/v2/oauth", b"nonsense", {}))


def test_monri_duplicate(call: Any, shared_server: Any) -> None:
    made = customer(create(call, merchant_customer_id="taken"))
    assert "has already been taken" in refused(create(call, merchant_customer_id="taken"))
    token = call.environment["MONRI_AUTHENTICITY_TOKEN"]
    assert shared_server.store.ledger("monri", token) == {"taken": 1}
    call.monri("DELETE", f"/customers/{made['uuid']}")
    assert "has already been taken" in refused(create(call, merchant_customer_id="taken"))
    other = customer(create(call, merchant_customer_id="other"))
    assert refused(call.monri("POST", f"/customers/{other['uuid']}", {"merchant_customer_id": "taken"}))
    assert customer(call.monri("POST", f"/customers/{other['uuid']}", {"merchant_customer_id": "other"}))


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("merchant_customer_id", 100),
        ("description", 200),
        ("email", 200),
        ("name", 50),
        ("phone", 30),
        ("zip_code", 9),
        ("city", 30),
        ("address", 100),
        ("country", 2),
    ],
)
def test_monri_lengths(call: Any, field: str, longest: int) -> None:
    assert customer(create(call, **{field: "ž" * longest}))[field] == "ž" * longest
    for value in ("x" * (longest + 1), "", ["x"], True):
        assert field in refused(create(call, **{"merchant_customer_id": None, field: value}))


def test_monri_city_and_address_have_minimum_lengths(call: Any) -> None:
    assert refused(create(call, city="ab"))
    assert refused(create(call, address="ab"))
    assert refused(create(call, metadata="x"))
    assert refused(call.monri("POST", "/customers", b"[]"))


@pytest.mark.parametrize(
    ("reference", "path"),
    [("a/b?c#d é", "a%2Fb%3Fc%23d%20%C3%A9"), ("%2F", "%252F"), ("a+b", "a+b"), ("customers", "customers")],
)
def test_monri_reference_is_decoded_once(call: Any, reference: str, path: str) -> None:
    made = customer(create(call, merchant_customer_id=reference))
    assert customer(call.monri("GET", f"/merchants/customers/{path}")) == made


def test_monri_get_and_not_found(call: Any) -> None:
    made = customer(create(call))
    assert customer(call.monri("GET", f"/customers/{made['uuid']}")) == made
    unknown = uuid.uuid4()
    refused(call.monri("GET", f"/customers/{unknown}"), 404)
    refused(call.monri("GET", "/merchants/customers/unknown"), 404)
    refused(call.monri("POST", f"/customers/{unknown}", {}), 404)
    refused(call.monri("DELETE", f"/customers/{unknown}"), 404)
    refused(call.monri("GET", f"/customers/{unknown}/payment-methods"), 404)


def test_monri_merchants_are_isolated(call: Any, shared_server: Any) -> None:
    made = customer(create(call))
    call.environment |= shared_server.gateways["monri"].add_merchant(shared_server.origin)
    refused(call.monri("GET", f"/customers/{made['uuid']}"), 404)
    assert customer(create(call))["uuid"] != made["uuid"]


def test_monri_update_is_partial(call: Any) -> None:
    made = customer(create(call, metadata={"a": "1", "b": "2"}))
    path = f"/customers/{made['uuid']}"
    changed = customer(call.monri("POST", path, {"name": "New", "metadata": {"a": None, "c": "3"}}))
    assert changed == {**made, "name": "New", "metadata": {"b": "2", "c": "3"}, "updated_at": changed["updated_at"]}
    cleared = customer(call.monri("POST", path, {"email": None, "metadata": None}))
    assert (cleared["email"], cleared["metadata"]) == (None, {})
    assert cleared["name"] == "New"
    assert customer(call.monri("GET", path)) == cleared


def test_monri_delete_is_soft(call: Any) -> None:
    made = customer(create(call))
    path = f"/customers/{made['uuid']}"
    for _ in range(2):
        gone = customer(call.monri("DELETE", path))
        assert gone == {"status": "approved", "id": made["uuid"], "uuid": made["uuid"], "deleted": True}
    held = customer(call.monri("GET", path))
    assert held["deleted"] is True
    assert held["deleted_at"]
    assert customer(call.monri("GET", "/merchants/customers/customer-id-1234"))["deleted"] is True
    assert customer(call.monri("GET", "/customers"))["data"] == []
    assert refused(call.monri("POST", path, {"name": "New"}))


def test_monri_list(call: Any) -> None:
    for number in range(53):
        create(call, merchant_customer_id=f"r{number:02}")
    newest = [f"r{number:02}" for number in range(53)][::-1]

    def listed(query: str) -> list[str]:
        data = customer(call.monri("GET", f"/customers{query}"))["data"]
        assert all(found["id"] == found["uuid"] for found in data)
        return [found["merchant_customer_id"] for found in data]

    assert listed("") == newest[:50]
    assert listed("?limit=2&offset=50") == newest[50:52]
    assert listed("?limit=1000") == newest
    for query in ("?limit=x", "?offset=-1", "?limit=99999999999999999999"):
        assert refused(call.monri("GET", f"/customers{query}"))


def test_monri_payment_methods(call: Any, shared_server: Any) -> None:
    gateway = shared_server.gateways["monri"]
    made = customer(create(call))
    first = gateway.add_payment_method(made["uuid"], "4058400000000005", expires=(2025, 2))
    second = gateway.add_payment_method(made["uuid"])
    other = gateway.add_payment_method(customer(create(call, merchant_customer_id="other"))["uuid"])
    assert first["masked_pan"] == "405840******0005"
    assert first["expiration_date"] == "2025-02-28"
    assert (first["expired"], second["expired"]) == (True, False)
    assert first["id"] == first["token"]
    path = f"/customers/{made['uuid']}/payment-methods"
    assert customer(call.monri("GET", path))["data"] == [second, first]
    assert customer(call.monri("GET", f"{path}?limit=1&offset=1"))["data"] == [first]
    assert customer(call.monri("GET", "/customers/customer-id-1234/payment-methods"))["data"] == [second, first]
    assert customer(call.monri("GET", "/payment-methods"))["data"] == [other, second, first]
    with pytest.raises(LookupError):
        gateway.add_payment_method("unknown")


def temp_tokenize(call: Any, **changed: Any) -> Any:
    moment = "2026-01-02T03:04:05+01:00"
    signed = f"{call.environment['MONRI_MERCHANT_KEY']}temp{moment}"
    body = {
        "cvv": "111",
        "type": "card",
        "pan": "4341 7920 0000 0044",
        "expiration_date": "3012",
        "temp_card_id": "temp",
        "timestamp": moment,
        "digest": hashlib.sha512(signed.encode()).hexdigest(),
        "authenticity_token": call.environment["MONRI_AUTHENTICITY_TOKEN"],
        **changed,
    }
    return call.send("POST", "/v2/temp-tokenize", body, {})


def test_monri_temp_tokenize(call: Any) -> None:
    answer = customer(temp_tokenize(call))
    assert (answer["id"], answer["masked_pan"], answer["cc_type"]) == ("temp", "434179******0044", "visa")
    assert answer["cc_issuer"]
    refused(temp_tokenize(call, digest="x"), 401)
    refused(temp_tokenize(call, authenticity_token="x"), 401)
    assert refused(temp_tokenize(call, cvv="")) == "cvv can't be blank"
    assert refused(temp_tokenize(call, pan="41")) == "pan is not a card number"


def test_monri_unknown_path_and_method(call: Any) -> None:
    assert refused(call.monri("GET", "/payment/new"), 404)
    assert refused(call.monri("PUT", "/customers"), 405)
