"""The simulated Paydock matches Paydock's documentation."""

import re
import time
import uuid
from typing import Any

import pytest

GATEWAY = "58b60d8a6da7e425d6e4f6c7"
CARD = {
    "gateway_id": GATEWAY,
    "card_name": "Test Name",
    "card_number": "4111111111111111",
    "expire_year": "2020",
    "expire_month": "09",
    "card_ccv": "98765432109",
}
BANK = {"type": "bsb", "account_name": "test", "account_bsb": "012003", "account_number": "456456"}
OWNER = {"first_name": "John", "last_name": "Smith", "email": "a@b.test", "phone": "+61414958111"}


def data(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert (body["status"], body["error"]) == (status, None)
    return body["resource"]["data"]


def refused(answer: Any, status: int, code: str) -> Any:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["status"] == status
    assert body["error_summary"]["code"] == code
    assert body["error"]["message"] == body["error_summary"]["message"]
    return body["error_summary"]["details"]


def create(call: Any, **fields: Any) -> Any:
    return data(call.paydock("POST", "/customers", fields), 201)


def test_paydock_create_with_card(call: Any, shared_server: Any) -> None:
    answer = call.paydock("POST", "/customers", {**OWNER, "reference": "r", "meta": {"a": "b"}, "payment_source": CARD})
    assert answer.json()["resource"]["type"] == "customer"
    assert uuid.UUID(answer.headers["x-correlation-id"]).version == 4
    made = data(answer, 201)
    assert re.fullmatch("[0-9a-f]{24}", made["_id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["created_at"])
    assert (made["status"], made["archived"], made["meta"]) == ("active", False, {"a": "b"})
    assert made | OWNER | {"reference": "r"} == made
    (source,) = made["payment_sources"]
    assert made["default_source"] == source["_id"]
    assert made["_service"] == {"default_gateway_id": GATEWAY}
    assert (source["type"], source["expire_month"], source["expire_year"]) == ("card", 9, 2020)
    assert (source["card_number_last4"], source["card_scheme"], source["gateway_id"]) == ("1111", "visa", GATEWAY)
    dump = "\n".join(shared_server.store._connection.iterdump())
    assert "4111111111111111" not in dump
    assert "98765432109" not in dump


def test_paydock_create_with_bank_account(call: Any) -> None:
    (source,) = create(call, payment_source={**BANK, "address_city": "Sydney"})["payment_sources"]
    assert source | BANK | {"address_city": "Sydney"} == source


def test_paydock_create_without_source(call: Any) -> None:
    made = create(call, first_name="John")
    assert made["payment_sources"] == []
    assert "default_source" not in made
    assert "last_name" not in made


def test_paydock_create_with_one_time_token(call: Any) -> None:
    token = data(call.paydock("POST", "/payment_sources/tokens", {**CARD, **OWNER}), 201)
    assert uuid.UUID(token).version == 4
    made = create(call, token=token, first_name="Jane")
    assert (made["first_name"], made["last_name"]) == ("Jane", "Smith")
    assert made["payment_sources"][0]["card_number_last4"] == "1111"
    again = call.paydock("POST", "/customers", {"token": token})
    assert refused(again, 400, "unspecified_error") == {"messages": ["No Tokens found with provided id"]}
    assert again.json()["error"] == {"message": "Token Not found", "details": ["No Tokens found with provided id"]}
    assert again.json()["resource"] == {"type": "payment_source", "data": None}


def test_paydock_one_time_token_expires_and_survives_a_refused_create(
    call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = data(call.paydock("POST", "/payment_sources/tokens", CARD), 201)
    refused(call.paydock("POST", "/customers", {"token": token, "phone": "1"}), 400, "validation_error")
    now = time.time()
    monkeypatch.setattr(shared_server.gateways["paydock"], "clock", lambda: now + 3 * 3600 + 1)
    refused(call.paydock("POST", "/customers", {"token": token}), 400, "unspecified_error")
    monkeypatch.undo()
    create(call, token=token)


def vault(call: Any, **fields: Any) -> str:
    return str(data(call.paydock("POST", "/vault/payment_sources", fields or CARD), 201)["vault_token"])


def test_paydock_create_with_vault_token(call: Any) -> None:
    token = vault(call)
    with_gateway = create(call, payment_source={"vault_token": token, "gateway_id": GATEWAY})["payment_sources"][0]
    without = create(call, payment_source={"vault_token": token})["payment_sources"][0]
    assert with_gateway["vault_token"] == without["vault_token"] == token
    assert with_gateway["gateway_id"] == GATEWAY
    assert "gateway_id" not in without
    details = refused(
        call.paydock("POST", "/customers", {"payment_source": {"vault_token": "x"}}), 400, "validation_error"
    )
    assert details["path"] == "payment_source.vault_token"


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"card_number": "41"}, "card_number"),
        ({"card_number": None}, "card_number"),
        ({"card_name": ""}, "card_name"),
        ({"expire_month": "13"}, "expire_month"),
        ({"expire_month": 9}, "expire_month"),
        ({"expire_year": "20200"}, "expire_year"),
        ({"gateway_id": "x"}, "gateway_id"),
        ({"gateway_id": ""}, "gateway_id"),
    ],
)
def test_paydock_mandatory_fields(call: Any, changed: dict[str, Any], path: str) -> None:
    answer = call.paydock("POST", "/customers", {"payment_source": {**CARD, **changed}})
    details = refused(answer, 400, "validation_error")
    assert details["path"] == f"payment_source.{path}"
    assert answer.json()["error"]["code"] == "ValidationError"
    assert answer.json()["error"]["details"] == details


def test_paydock_malformed_optional_fields_are_ignored(call: Any) -> None:
    made = create(call, first_name=7, email="unknown", description=[], meta="x")
    assert not {"first_name", "email", "description", "meta"} & made.keys()


def test_paydock_empty_phone_and_email_count_as_absent(call: Any) -> None:
    made = create(call, first_name="Ada", phone="", email="")
    assert not {"phone", "email"} & made.keys()


def test_paydock_refused_card_has_the_acquirers_reason(call: Any) -> None:
    answer = call.paydock("POST", "/customers", {"payment_source": {**CARD, "card_number": "4242424242420000"}})
    details = refused(answer, 400, "transaction_declined")
    assert details["gateway_specific_description"] == "Do not honour"
    assert data(call.paydock("GET", "/customers?search=none")) == []


def test_paydock_vault_entry_has_the_recorded_form(call: Any) -> None:
    token = vault(call)
    entry = data(call.paydock("GET", f"/vault-tokens/{token}/"))
    assert entry == data(call.paydock("GET", f"/vault/payment_sources/{token}"))
    assert not {"gateway_id", "user_id"} & entry.keys()
    assert (len(entry["card_number_bin"]), entry["vault_type"]) == (8, "session")
    assert entry["_source_ip_address"]


@pytest.mark.parametrize("phone", ["0414958111", "+0414958111", "+614149581112233445", 61414958111, "+614 149"])
def test_paydock_phone_must_be_e164(call: Any, phone: Any) -> None:
    details = refused(call.paydock("POST", "/customers", {"phone": phone}), 400, "validation_error")
    assert details["path"] == "phone"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {"payment_source": "x"}])
def test_paydock_create_rejects_invalid_fields(call: Any, body: Any) -> None:
    refused(call.paydock("POST", "/customers", body), 400, "validation_error")


def test_paydock_authentication_keys(call: Any, shared_server: Any) -> None:
    none = call.paydock("GET", "/customers", x_other="x")
    refused(none, 403, "token_required")
    assert none.json()["error"]["code"] == "token_required"
    wrong = call.paydock("GET", "/customers", x_user_secret_key="x")
    assert wrong.status_code == 403
    assert wrong.json()["error"] == {"message": "No user with provided secret key"}
    assert wrong.json()["resource"] == {"type": "user", "data": None}
    public = call.environment["PAYDOCK_PUBLIC_KEY"]
    refused(call.paydock("GET", "/customers", x_user_public_key=public), 403, "token_required")
    gateway = shared_server.gateways["paydock"]
    token = gateway.access_token()
    assert token.count(".") == 2
    assert token.startswith("eyJ")
    data(call.paydock("GET", "/customers", x_access_token=token))


def test_paydock_public_key_endpoints(call: Any) -> None:
    public = call.environment["PAYDOCK_PUBLIC_KEY"]
    data(call.paydock("POST", "/payment_sources/tokens", CARD, x_user_public_key=public), 201)
    data(call.paydock("POST", f"/payment_sources/tokens?public_key={public}", CARD, x_none="x"), 201)
    refused(call.paydock("POST", "/payment_sources/tokens", CARD, x_user_public_key="x"), 403, "invalid_public_key")
    unreadable = call.paydock("POST", "/payment_sources/tokens", {"card_number": "1"}, x_user_public_key=public)
    refused(unreadable, 400, "validation_error")
    assert unreadable.json()["resource"]["type"] == "token"


def test_paydock_get_and_not_found(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create(call)
    assert data(call.paydock("GET", f"/customers/{made['_id']}")) == made
    unknown = call.paydock("GET", f"/customers/{'0' * 24}")
    refused(unknown, 404, "not_found")
    assert unknown.json()["error"]["code"] == "NotFound"
    details = refused(call.paydock("GET", "/customers/invalid_id_string"), 400, "validation_error")
    assert details == {"path": "id", "messages": ["id must be a mongodb id"]}
    monkeypatch.setattr(shared_server.gateways["paydock"], "malformed_id_status", 404)
    refused(call.paydock("GET", "/customers/invalid_id_string"), 404, "not_found")


def test_paydock_merchants_are_isolated(call: Any, shared_server: Any) -> None:
    made = create(call)
    call.environment |= shared_server.gateways["paydock"].add_merchant(shared_server.origin)
    refused(call.paydock("GET", f"/customers/{made['_id']}"), 404, "not_found")
    assert data(call.paydock("GET", "/customers")) == []


def test_paydock_update_adds_a_source(call: Any) -> None:
    made = create(call, **OWNER, payment_source=CARD)
    path = f"/customers/{made['_id']}"
    changed = data(call.paydock("POST", path, {"first_name": "John1", "payment_source": BANK}))
    assert (changed["first_name"], changed["last_name"]) == ("John1", "Smith")
    first, second = changed["payment_sources"]
    assert made["default_source"] == first["_id"]
    assert changed["default_source"] == second["_id"]
    chosen = data(call.paydock("POST", path, {"default_source": first["_id"], "email": None}))
    assert chosen["default_source"] == first["_id"]
    assert "email" not in chosen
    kept = data(call.paydock("POST", path, {"default_source": "0" * 24, "email": "wrong"}))
    assert kept["default_source"] == first["_id"]
    named = data(call.paydock("POST", path, {"default_source": first["_id"], "payment_source": BANK}))
    assert named["default_source"] == first["_id"]


def test_paydock_archive(call: Any) -> None:
    made = create(call, reference="gone")
    path = f"/customers/{made['_id']}"
    for _ in range(2):
        assert data(call.paydock("DELETE", path))["archived"] is True
    assert data(call.paydock("GET", path))["archived"] is True
    refused(call.paydock("POST", path, {"first_name": "x"}), 400, "unfulfilled_condition")
    assert data(call.paydock("GET", "/customers?reference=gone")) == []
    assert len(data(call.paydock("GET", "/customers?reference=gone&archived=true"))) == 1


def test_paydock_reference_is_not_unique(call: Any, shared_server: Any) -> None:
    create(call, reference="same")
    create(call, reference="same")
    answer = call.paydock("GET", "/customers?reference=same").json()["resource"]
    assert answer["count"] == len(answer["data"]) == 2
    assert shared_server.store.ledger("paydock")["same"] == 2


def test_paydock_list(call: Any) -> None:
    for number in range(103):
        create(call, reference=f"r{number:03}", first_name=f"N{number % 2}", company_name="Ltd")

    def listed(query: str) -> list[str]:
        return [found["reference"] for found in data(call.paydock("GET", f"/customers{query}"))]

    newest = [f"r{number:03}" for number in range(103)][::-1]
    assert listed("") == listed("/?skip=0") == newest[:100]
    assert listed("?limit=2&skip=101") == newest[101:]
    assert listed("/?limit=5000&skip=x") == newest
    assert listed("?sortkey=created_at&sortdirection=ASC&limit=1") == ["r000"]
    assert listed("?sortkey=first_name&sortdirection=asc&limit=1") == ["r000"]
    assert listed("?search=n1&limit=1") == ["r101"]
    assert listed("?company_name=Ltd&status=active&limit=1") == ["r102"]
    assert listed("?reference=r00") == []
    resource = call.paydock("GET", "/customers/?limit=7&skip=3").json()["resource"]
    assert (resource["type"], resource["count"], resource["limit"], resource["skip"]) == ("customer", 103, 7, 3)
    assert resource["query_token"]


def test_paydock_list_by_source(call: Any) -> None:
    made = create(call, payment_source=CARD)
    create(call, payment_source={**CARD, "gateway_id": "0" * 24})
    (source,) = made["payment_sources"]
    for query in (f"id={made['_id']}", f"gateway_id={GATEWAY}", f"payment_source_id={source['_id']}"):
        assert data(call.paydock("GET", f"/customers?{query}")) == [made]


def test_paydock_fuzzy_reference_and_index_lag(call: Any, shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = shared_server.gateways["paydock"]
    for reference in ("r1", "R10", "x"):
        create(call, reference=reference)
    monkeypatch.setattr(gateway, "fuzzy_reference", True)
    assert {found["reference"] for found in data(call.paydock("GET", "/customers?reference=r1"))} == {"r1", "R10"}
    monkeypatch.setattr(gateway, "index_lag", 30)
    assert data(call.paydock("GET", "/customers?reference=r1")) == []
    now = time.time()
    monkeypatch.setattr(gateway, "clock", lambda: now + 31)
    assert len(data(call.paydock("GET", "/customers?reference=r1"))) == 2


def test_paydock_find_sources_with_the_query_token(call: Any) -> None:
    made = create(call, reference="r", payment_source=CARD)
    create(call, payment_source=BANK)
    token = call.paydock("GET", f"/customers/?id={made['_id']}").json()["resource"]["query_token"]
    public = call.environment["PAYDOCK_PUBLIC_KEY"]
    by_header = call.paydock("GET", f"/customers/payment_sources?query_token={token}", x_user_public_key=public)
    by_query = call.paydock("GET", f"/customers/payment_sources?query_token={token}&public_key={public}", x_none="x")
    (found,) = data(by_header)
    assert data(by_query) == [found]
    assert (found["customer_id"], found["customer_reference"], found["primary"]) == (made["_id"], "r", True)
    assert by_header.json()["resource"]["count"] == 1
    wrong = call.paydock("GET", f"/customers/payment_sources?query_token=x{token}", x_user_public_key=public)
    refused(wrong, 400, "validation_error")


def test_paydock_modify_source(call: Any) -> None:
    made = create(call, payment_source=CARD)
    path = f"/customers/{made['_id']}/payment_sources/{made['default_source']}"
    token = vault(call, **{**CARD, "expire_year": "2031"})
    (source,) = data(call.paydock("POST", path, {"vault_token": token}))["payment_sources"]
    assert (source["_id"], source["expire_year"], source["vault_token"]) == (made["default_source"], 2031, token)
    refused(call.paydock("POST", path, {}), 400, "validation_error")
    refused(call.paydock("POST", path + "0", {"vault_token": token}), 404, "not_found")


def test_paydock_archive_source(call: Any) -> None:
    made = create(call, payment_source=CARD)
    both = data(call.paydock("POST", f"/customers/{made['_id']}", {"payment_source": BANK}))
    first, second = (source["_id"] for source in both["payment_sources"])
    path = f"/customers/{made['_id']}/payment_sources"
    left = data(call.paydock("DELETE", f"{path}/{first}"))
    assert ([source["_id"] for source in left["payment_sources"]], left["default_source"]) == ([second], second)
    assert "default_source" not in data(call.paydock("DELETE", f"{path}/{second}"))
    refused(call.paydock("DELETE", f"{path}/{second}"), 404, "not_found")


def test_paydock_vault(call: Any) -> None:
    first = vault(call)
    once = data(call.paydock("POST", "/payment_sources/tokens", {**BANK, **OWNER}), 201)
    second = data(call.paydock("POST", "/vault/payment_sources", {"token": once}), 201)
    assert second | BANK | OWNER == second
    held = data(call.paydock("GET", f"/vault/payment_sources/{first}"))
    assert (held["card_number_last4"], held["expire_month"]) == ("1111", 9)
    assert [entry["vault_token"] for entry in data(call.paydock("GET", "/vault/payment_sources"))] == [
        second["vault_token"],
        first,
    ]
    refused(call.paydock("GET", f"/vault/payment_sources/{uuid.uuid4()}"), 404, "not_found")
    refused(call.paydock("POST", "/vault/payment_sources", {}), 400, "validation_error")


def test_paydock_unknown_path_and_method(call: Any) -> None:
    for method, path in (("GET", "/charges"), ("PUT", "/customers")):
        answer = call.paydock(method, path)
        assert answer.status_code == 404
        assert answer.json()["error"] == {"message": "Wrong Api path"}
