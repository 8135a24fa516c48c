"""The simulated Wonder matches Wonder's documentation."""

import re
import uuid
from typing import Any

import pytest
from signature_vectors import WONDER_VECTORS

from wonder_customers.dialects.wonder.simulator_signature import message
from wonder_customers.simulator import ReceivedRequest

DRAFT = {"name": "禚雨欣", "dial_code": "+852", "phone": "013 9957 0539", "reference_number": "35"}
CARD = {
    "number": "4111 1111 1111 1111",
    "exp_month": "12",
    "exp_year": "2030",
    "holder_name": "A B",
    "cvv": "98765432109",
}
RETURN_URLS = {"success_return_url": "https://shop.test/ok", "fail_return_url": "https://shop.test/no"}


def create(call: Any, **fields: Any) -> Any:
    return call.wonder("POST", "/customers", {"customer": {**DRAFT, **fields}})


def customer(response: Any) -> Any:
    assert response.status_code == 200, response.text
    assert response.json()["code"] == 200
    assert response.json()["message"] == "success"
    return response.json()["data"]["customer"]


def add_card(call: Any, owner: str, **card: Any) -> Any:
    answer = call.wonder("POST", f"/customers/{owner}/payment_tokens", {"card": {**CARD, **card}})
    return answer.json()["data"]["payment_token"]


def check(call: Any, owner: str, token: Any, **fields: Any) -> Any:
    body = {"payment_token": {"token": token, **fields}}
    return call.wonder("POST", f"/customers/{owner}/payment_tokens/check", body)


@pytest.mark.parametrize(("method", "target", "body", "digits"), WONDER_VECTORS)
def test_wonder_signed_message_vectors(call: Any, method: str, target: str, body: bytes, digits: str) -> None:
    made = ReceivedRequest(method, target.encode(), {}, {}, {}, body, "")  # type: ignore[arg-type]  # no headers are read
    assert message("0" * 16, "20240501120123", made).decode() == digits
    assert call.wonder_message("0" * 16, "20240501120123", method, target, body) == digits


@pytest.mark.parametrize("path", ["/svc/payment/api/v1/echo", "/svc/payment/api/v1/openapi/echo"])
def test_wonder_echo(call: Any, path: str) -> None:
    body = b'{"message": "Hello,  Wonder!"}'
    answer = call.send("POST", path, body, call.wonder_headers("POST", path, body))
    assert answer.json()["data"]["message"] == "Hello,  Wonder!"


def test_wonder_signature_is_verified(call: Any) -> None:
    target = "/svc/payment/api/v1/openapi/customers?limit=1"
    good = call.wonder_headers("GET", target, b"")
    assert call.send("GET", target, b"", good).status_code == 200
    wrong = [
        {**good, "Signature": call.wonder_headers("GET", target + "0", b"")["Signature"]},
        {**good, "Signature": "no base64"},
        {**good, "Nonce": "0123456789abcDEX"},
        {**good, "Nonce": "short"},
        {**good, "Credential": good["Credential"].replace("RSA", "HMAC")},
        {**good, "Credential": f"{uuid.uuid4()}/{good['Credential'].partition('/')[2]}"},
        {**good, "Credential": "nonsense"},
        {**good, "Credential": re.sub(r"/\d{14}/", "/20261399999999/", good["Credential"])},
        {**good, "Credential": re.sub(r"/\d{14}/", "/20260230120000/", good["Credential"])},
        {},
    ]
    for headers in wrong:
        answer = call.send("GET", target, b"", headers)
        assert answer.status_code == 401
        assert isinstance(answer.json()["code"], str)
    malformed = call.send("GET", target, b"", {**good, "Credential": "nonsense"})
    assert malformed.json() == {"code": "E000002", "message": "Invalid Credential Format."}


def test_wonder_body_is_signed_byte_for_byte(call: Any) -> None:
    target = "/svc/payment/api/v1/openapi/echo"
    headers = call.wonder_headers("POST", target, b'{"message":"a"}')
    assert call.send("POST", target, b'{"message": "a"}', headers).status_code == 401


@pytest.mark.parametrize(("age", "status"), [(29 * 60, 200), (-29 * 60, 200), (31 * 60, 401), (-31 * 60, 401)])
def test_wonder_clock_window(call: Any, age: float, status: int) -> None:
    assert call.wonder("GET", "/customers", age=age).status_code == status


def test_wonder_key_of_another_merchant(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    other = shared_server.gateways["wonder"].add_merchant(shared_server.origin)
    call.environment["WONDER_PRIVATE_KEY"] = other["WONDER_PRIVATE_KEY"]
    assert call.wonder("GET", "/customers").status_code == 401


def test_wonder_create_response_matches_documents(call: Any) -> None:
    made = customer(create(call, email="a@b.test", default_payment_method="Credit Card", company_name="Ltd"))
    assert uuid.UUID(made.pop("uuid")).version == 4
    assert made == {**DRAFT, "email": "a@b.test", "default_payment_method": "Credit Card"}


def test_wonder_create_is_an_upsert(call: Any, shared_server: Any) -> None:
    first = customer(create(call, reference_number="upsert", email="a@b.test", company_name="Ltd"))
    second = customer(create(call, reference_number="upsert", name="New"))
    assert second == {**first, "name": "New"}
    assert shared_server.store.ledger("wonder", call.environment["WONDER_APP_ID"]) == {"upsert": 1}
    history = shared_server.store.history("wonder", "upsert")
    assert [entry["action"] for entry in history] == ["created", "updated"]
    assert history[-1]["body"]["company_name"] == "Ltd"


def test_wonder_null_and_empty_clear(call: Any) -> None:
    create(call, email="a@b.test", company_name="Ltd")
    assert customer(create(call, email=None))["email"] == ""
    assert customer(create(call, dial_code=""))["dial_code"] == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"name": None},
        {"name": ""},
        {"phone": None},
        {"reference_number": None},
        {"name": "x" * 256},
        {"dial_code": "+123456"},
        {"email": 7},
        {"reference_number": 35},
        {"default_payment_token": {}},
    ],
)
def test_wonder_create_rejects_invalid_fields(call: Any, fields: dict[str, Any]) -> None:
    answer = create(call, **fields)
    assert answer.status_code == 400
    assert isinstance(answer.json()["code"], str)
    assert next(iter(fields)) in answer.json()["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {"customer": []}, {"name": "x"}])
def test_wonder_create_rejects_malformed_bodies(call: Any, body: Any) -> None:
    assert call.wonder("POST", "/customers", body).status_code == 400


@pytest.mark.parametrize(
    ("reference", "path"),
    [("a/b?c#d é", "a%2Fb%3Fc%23d%20%C3%A9"), ("%2F", "%252F"), ("a+b", "a+b"), ("../x", "..%2Fx")],
)
def test_wonder_reference_is_decoded_once(call: Any, reference: str, path: str) -> None:
    made = customer(create(call, reference_number=reference))
    assert customer(call.wonder("GET", f"/customers/ref/{path}")) == made


def test_wonder_get_by_uuid_and_not_found(call: Any) -> None:
    made = customer(create(call))
    assert customer(call.wonder("GET", f"/customers/{made['uuid']}")) == made
    missing = [
        ("GET", f"/customers/{uuid.uuid4()}", None),
        ("GET", "/customers/ref/unknown", None),
        ("POST", "/customers/by/token", {"token": "none"}),
        ("PUT", f"/customers/{uuid.uuid4()}", {}),
        ("GET", f"/customers/{uuid.uuid4()}/payment_tokens", None),
    ]
    for method, path, body in missing:
        answer = call.wonder(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (404, "E000404")


def test_wonder_update_by_uuid(call: Any) -> None:
    made = customer(create(call))
    token = add_card(call, made["uuid"])["token"]
    sent = {"default_payment_method": "Alipay", "default_payment_token": token, "reference_number": "other"}
    changed = customer(call.wonder("PUT", f"/customers/{made['uuid']}", sent))
    assert changed["default_payment_method"] == "Alipay"
    assert changed["reference_number"] == made["reference_number"]
    assert changed["default_payment_token"]["token"] == token
    assert changed["default_payment_token"]["default"] is True


def test_wonder_merchants_are_isolated(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = customer(create(call))
    call.environment |= shared_server.gateways["wonder"].add_merchant(shared_server.origin)
    assert call.wonder("GET", f"/customers/{made['uuid']}").status_code == 404
    assert call.wonder("GET", "/customers").json()["data"]["customers"] == []


def references(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [found["reference_number"] for found in answer.json()["data"]["customers"]]


def test_wonder_list(call: Any) -> None:
    for number in range(23):
        create(call, reference_number=f"r{number:02}", email=f"{number % 2}@b.test")
    everyone = [f"r{number:02}" for number in range(23)]
    assert references(call.wonder("GET", "/customers")) == everyone[:20]
    assert references(call.wonder("GET", "/customers?limit=2&offset=21")) == everyone[21:]
    assert references(call.wonder("GET", "/customers?limit=1000&linked_source_type=User")) == everyone
    assert references(call.wonder("GET", "/customers?linked_source_type=Store")) == []
    assert references(call.wonder("GET", "/customers?filter[email][_eq]=1@b.test&limit=2")) == ["r01", "r03"]
    assert references(call.wonder("GET", "/customers?filter%5Breference_number%5D%5B_gte%5D=r21")) == ["r21", "r22"]
    assert references(call.wonder("GET", "/customers?filter[reference_number][_contains]=R1&limit=1")) == ["r10"]
    both = "/customers?filter[email][_neq]=1@b.test&filter[reference_number][_not_contains]=0&limit=2"
    assert references(call.wonder("GET", both)) == ["r12", "r14"]
    assert references(call.wonder("GET", "/customers?filter[created_at][_gt]=2099-01-01T00:00:00%2B08:00")) == []
    past = "/customers?filter[created_at][_gt]=2020-01-01T00:00:00Z&limit=1"
    assert references(call.wonder("GET", past)) == ["r00"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=1001",
        "limit=-1",
        "limit=x",
        "offset=99999999999999999999",
        "linked_source_type=Shop",
        "filter[email][_like]=x",
        "filter[color][_eq]=x",
        "filter[created_at][_eq]=yesterday",
    ],
)
def test_wonder_list_rejects_invalid_queries(call: Any, query: str) -> None:
    assert call.wonder("GET", f"/customers?{query}").status_code == 400


def test_wonder_card_without_3ds(call: Any, shared_server: Any) -> None:
    owner = customer(create(call))["uuid"]
    token = add_card(call, owner)
    assert token["token_type"] == "CreditCard"
    assert (token["state"], token["default"], token["verify_url"]) == ("success", False, None)
    assert token["credit_card"] == {
        "number": "411111******1111",
        "exp_month": "12",
        "exp_year": "2030",
        "holder_name": "A B",
        "brand": "Visa",
        "billing_currency": "HKD",
    }
    assert call.wonder("GET", f"/customers/{owner}/payment_tokens").json()["data"]["payment_tokens"] == [token]
    assert customer(call.wonder("POST", "/customers/by/token", {"token": token["token"]}))["uuid"] == owner
    dump = "\n".join(shared_server.store._connection.iterdump())
    assert "4111111111111111" not in dump
    assert "98765432109" not in dump


@pytest.mark.parametrize(("number", "state"), [("4111111111111111", "success"), ("4000000000000002", "failed")])
def test_wonder_card_with_3ds(call: Any, number: str, state: str) -> None:
    owner = customer(create(call))["uuid"]
    pending = add_card(call, owner, **{"3ds": RETURN_URLS}, number=number)
    assert pending["state"] == "pending"
    old = check(call, owner, pending["token"], verify_uuid=pending["verify_uuid"])
    assert old.json()["data"]["payment_token"]["state"] == "pending"
    assert call.client.get(pending["verify_url"]).status_code == 200
    final = check(call, owner, pending["token"]).json()["data"]["payment_token"]
    assert final["state"] == state
    assert ("error_code" in final) == ("error_msg" in final) == (state == "failed")
    assert check(call, "uuid", pending["token"]).status_code == 200


def test_wonder_checks_until_final(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_server.gateways["wonder"], "checks_until_final", 2)
    owner = customer(create(call))["uuid"]
    token = add_card(call, owner, **{"3ds": RETURN_URLS})["token"]
    states = [check(call, owner, token).json()["data"]["payment_token"]["state"] for _ in range(3)]
    assert states == ["pending", "success", "success"]


def test_wonder_alipay_token(call: Any) -> None:
    owner = customer(create(call))["uuid"]
    body = {"alipay": {"terminal_type": "WEB", "return_url": "https://shop.test"}}
    token = call.wonder("POST", f"/customers/{owner}/payment_tokens", body).json()["data"]["payment_token"]
    assert (token["token_type"], token["state"]) == ("AlipayAutoDebit", "pending")
    assert "credit_card" not in token


def test_wonder_default_token_follows_its_state_and_end(call: Any) -> None:
    owner = customer(create(call))["uuid"]
    token = add_card(call, owner, **{"3ds": RETURN_URLS})
    create(call, default_payment_token=token["token"])
    call.client.get(token["verify_url"])
    assert customer(call.wonder("GET", f"/customers/{owner}"))["default_payment_token"]["state"] == "success"
    listed = call.wonder("GET", f"/customers/{owner}/payment_tokens").json()["data"]["payment_tokens"]
    assert [held["default"] for held in listed] == [True]
    gone = call.wonder("DELETE", f"/customers/{owner}/payment_tokens", {"token": token["token"]})
    assert gone.json()["data"] == {"success": True}
    assert "default_payment_token" not in customer(call.wonder("GET", f"/customers/{owner}"))
    again = call.wonder("DELETE", f"/customers/{owner}/payment_tokens", {"token": token["token"]})
    assert again.status_code == 404


def test_wonder_tokens_of_others(call: Any) -> None:
    owner = customer(create(call))["uuid"]
    other = customer(create(call, reference_number="other"))["uuid"]
    token = add_card(call, owner)["token"]
    assert check(call, other, token).status_code == 404
    assert check(call, owner, token, verify_uuid="wrong").status_code == 404
    assert call.wonder("DELETE", f"/customers/{other}/payment_tokens", {"token": token}).status_code == 404
    assert "default_payment_token" not in customer(create(call, reference_number="other", default_payment_token=token))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"card": {}},
        {"card": {**CARD, "number": "411"}},
        {"card": {**CARD, "holder_name": ""}},
        {"secure_data": {}},
        {"payment_token": 1},
    ],
)
def test_wonder_token_refuses(call: Any, body: Any) -> None:
    owner = customer(create(call))["uuid"]
    assert call.wonder("POST", f"/customers/{owner}/payment_tokens", body).status_code == 400


@pytest.mark.parametrize("body", [{}, {"payment_token": {}}, {"payment_token": "x"}])
def test_wonder_check_refuses(call: Any, body: Any) -> None:
    assert call.wonder("POST", "/customers/uuid/payment_tokens/check", body).status_code == 400


def test_wonder_unknown_path_and_method(call: Any) -> None:
    assert call.wonder("GET", "/orders").json()["code"] == "E000404"
    assert call.wonder("DELETE", "/customers").status_code == 405
    assert call.send("GET", "/svc/payment/3ds/unknown", b"", {}).status_code == 404
