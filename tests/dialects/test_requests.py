"""Each operation of each gateway: the exact request line and body, and the record in the response."""

import pytest
from attrs import evolve
from dialects.bodies import TOKEN, WONDER_PATH, ids_of
from dialects.monri_requests import MONRI
from dialects.request_cases import Case, returns_customer, returns_token, returns_tokens, single
from examples import DRAFT, FULL_CARD
from gateway_responses import HEX24, UUID, paydock_customer, paydock_list, wonder_customer
from mock_gateway import ACCOUNTS, MockGateway, golden, json_response, wonder

from wonder_customers import (
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    PaydockFilter,
    PaymentToken,
    VaultToken,
    WonderFilter,
)

pytestmark = pytest.mark.anyio

SOURCE = "5f0c2f7a9b1e8d0012345678"


HELD = {"reference_number": "35", "name": "Ada Lovelace", "dial_code": "+852", "phone": "12345678"}
"""The customer of `DRAFT` as Wonder stores it."""
WONDER_SENT = {"customer": {"reference_number": "35", "name": "Ada Lovelace", "dial_code": "+852", "phone": "12345678"}}
WONDER = {
    "create": single(
        lambda s: s.create(DRAFT), f"POST {WONDER_PATH}", wonder_customer(**HELD), returns_customer(UUID), WONDER_SENT
    ),
    "upsert": single(
        lambda s: s.upsert(DRAFT), f"POST {WONDER_PATH}", wonder_customer(**HELD), returns_customer(UUID), WONDER_SENT
    ),
    "get": single(lambda s: s.get(UUID), f"GET {WONDER_PATH}/{UUID}", wonder_customer(**HELD), returns_customer(UUID)),
    "get_by_reference": single(
        lambda s: s.get_by_reference("35"), f"GET {WONDER_PATH}/ref/35", wonder_customer(**HELD), returns_customer(UUID)
    ),
    "update": Case(
        lambda s: s.update(UUID, CustomerPatch(name="Augusta", email=None)),
        ((200, wonder_customer(**HELD, email="a@b.c")), (200, wonder_customer(**HELD | {"name": "Augusta"}))),
        (f"GET {WONDER_PATH}/{UUID}", f"POST {WONDER_PATH}"),
        (None, {"customer": {**WONDER_SENT["customer"], "name": "Augusta", "email": None}}),
        returns_customer(UUID),
    ),
    "update keeps an unusual dial code": Case(
        lambda s: s.update(UUID, CustomerPatch(name="Augusta")),
        ((200, wonder_customer(**HELD | {"dial_code": "HK"})), (200, wonder_customer(**HELD | {"name": "Augusta"}))),
        (f"GET {WONDER_PATH}/{UUID}", f"POST {WONDER_PATH}"),
        (None, {"customer": {**WONDER_SENT["customer"], "name": "Augusta", "dial_code": "HK"}}),
        returns_customer(UUID),
    ),
    "update keeps the default token": Case(
        lambda s: s.update(UUID, CustomerPatch(name="Augusta")),
        (
            (200, wonder_customer(**HELD, default_payment_token={"token": TOKEN, "token_type": "CreditCard"})),
            (200, wonder_customer(**HELD | {"name": "Augusta"})),
        ),
        (f"GET {WONDER_PATH}/{UUID}", f"POST {WONDER_PATH}"),
        (None, {"customer": {**WONDER_SENT["customer"], "name": "Augusta", "default_payment_token": TOKEN}}),
        returns_customer(UUID),
    ),
    "list": Case(
        lambda s: ids_of(s, limit=2, filter=WonderFilter(linked_source_type="User")),
        ((200, golden("wonder", "list_response")), (200, {"code": 200, "data": {"customers": []}})),
        (
            f"GET {WONDER_PATH}?limit=2&offset=0&linked_source_type=User",
            f"GET {WONDER_PATH}?limit=2&offset=2&linked_source_type=User",
        ),
        (None, None),
        lambda it: it == ["feac5c50-010a-4582-a84a-673357245ffb", "0b5a7c8e-1f73-4d51-8d36-7ac28f7f5a10"],
    ),
    "list without customers": single(
        ids_of, f"GET {WONDER_PATH}?limit=100&offset=0", {"code": 200, "data": {}}, lambda it: it == []
    ),
    "list_payment_tokens": single(
        lambda s: s.list_payment_tokens(UUID),
        f"GET {WONDER_PATH}/{UUID}/payment_tokens",
        golden("wonder", "list_payment_tokens_response"),
        returns_tokens(TOKEN, "0d4ed1d8-5bd1-4c0c-9c5e-0a1f5c1f7d11", "6d2f6cf0-7f5f-4e0b-a3c6-f5a0f4e0b8a3"),
    ),
    "create_payment_token": single(
        lambda s: s.create_payment_token(UUID, FULL_CARD),
        f"POST {WONDER_PATH}/{UUID}/payment_tokens",
        golden("wonder", "create_payment_token_response_older"),
        returns_token("0d4ed1d8-5bd1-4c0c-9c5e-0a1f5c1f7d11", "pending"),
        golden("wonder", "create_payment_token_request"),
    ),
    "check_payment_token by its text": single(
        lambda s: s.check_payment_token(UUID, TOKEN),
        f"POST {WONDER_PATH}/{UUID}/payment_tokens/check",
        {"code": 200, "data": {"payment_token": {"token": TOKEN, "state": "success"}}},
        returns_token(TOKEN, "success"),
        golden("wonder", "check_payment_token_request"),
    ),
    "check_payment_token by its record": single(
        lambda s: s.check_payment_token(
            UUID,
            PaymentToken("0d4ed1d8-5bd1-4c0c-9c5e-0a1f5c1f7d11", verify_uuid="9a1b0c7e-54a0-4a0a-b2b7-64f5a2f0b9d2"),
        ),
        f"POST {WONDER_PATH}/{UUID}/payment_tokens/check",
        golden("wonder", "create_payment_token_response_older"),
        returns_token("0d4ed1d8-5bd1-4c0c-9c5e-0a1f5c1f7d11", "pending"),
        golden("wonder", "check_payment_token_request_older"),
    ),
    "delete_payment_token": single(
        lambda s: s.delete_payment_token(UUID, TOKEN),
        f"DELETE {WONDER_PATH}/{UUID}/payment_tokens",
        golden("wonder", "delete_payment_token_response"),
        lambda it: it is None,
        golden("wonder", "delete_payment_token_request"),
    ),
}
SOURCES = [{"_id": SOURCE, "type": "card", "card_number_last4": "1111"}]
NEW_SOURCE = {"_id": "5f0c2f7a9b1e8d0099999999", "type": "card", "status": "active"}
PAYDOCK = {
    "create": Case(
        lambda s: s.create(CustomerDraft(reference="35", name="Ada Lovelace", metadata={"tier": "gold"})),
        ((201, paydock_customer()),),
        ("POST /v1/customers",),
        ({"reference": "35", "first_name": "Ada Lovelace", "meta": {"tier": "gold"}},),
        returns_customer(HEX24),
    ),
    "upsert of a new one": Case(
        lambda s: s.upsert(CustomerDraft(reference="a b", first_name="Ada", last_name="Lovelace")),
        ((200, paydock_list(count=0)), (201, paydock_customer(reference="a b"))),
        ("GET /v1/customers?limit=1000&skip=0&reference=a%20b", "POST /v1/customers"),
        (None, {"reference": "a b", "first_name": "Ada", "last_name": "Lovelace"}),
        returns_customer(HEX24),
    ),
    "upsert of a known one": Case(
        lambda s: s.upsert(CustomerDraft(reference="35", first_name="Ada", last_name="Lovelace")),
        ((200, paydock_list({"_id": HEX24, "reference": "35"}, count=1)), (200, paydock_customer())),
        ("GET /v1/customers?limit=1000&skip=0&reference=35", f"POST /v1/customers/{HEX24}"),
        (None, {"reference": "35", "first_name": "Ada", "last_name": "Lovelace"}),
        returns_customer(HEX24),
    ),
    "get": single(lambda s: s.get(HEX24), f"GET /v1/customers/{HEX24}", paydock_customer(), returns_customer(HEX24)),
    "get_by_reference": single(
        lambda s: s.get_by_reference("35"),
        "GET /v1/customers?limit=1000&skip=0&reference=35",
        paydock_list({"_id": "5f0c2f7a9b1e8d0000000135", "reference": "135"}, {"_id": HEX24, "reference": "35"}),
        returns_customer(HEX24),
    ),
    "update": single(
        lambda s: s.update(HEX24, CustomerPatch(first_name="Augusta Ada", phone=None, metadata={"tier": "gold"})),
        f"POST /v1/customers/{HEX24}",
        paydock_customer(),
        returns_customer(HEX24),
        golden("paydock", "update_request"),
    ),
    "delete": single(
        lambda s: s.delete(HEX24),
        f"DELETE /v1/customers/{HEX24}",
        paydock_customer(archived=True),
        lambda it: it is None,
    ),
    "list": Case(
        lambda s: ids_of(s, limit=1, filter=PaydockFilter(search="Ada & Co")),
        (
            (200, paydock_list({"_id": HEX24}, count=2)),
            (200, paydock_list({"_id": "5f0c2f7a9b1e8d0000000002"}, count=2)),
        ),
        (
            "GET /v1/customers?limit=1&skip=0&sortkey=created_at&sortdirection=ASC&search=Ada%20%26%20Co",
            "GET /v1/customers?limit=1&skip=1&sortkey=created_at&sortdirection=ASC&search=Ada%20%26%20Co",
        ),
        (None, None),
        lambda it: it == [HEX24, "5f0c2f7a9b1e8d0000000002"],
    ),
    "list_payment_tokens": single(
        lambda s: s.list_payment_tokens(HEX24),
        f"GET /v1/customers/{HEX24}",
        paydock_customer(payment_sources=SOURCES),
        returns_tokens(SOURCE),
    ),
    "create_payment_token from a vault token": Case(
        lambda s: s.create_payment_token(HEX24, VaultToken(TOKEN, gateway_id=SOURCE)),
        (
            (200, paydock_customer(payment_sources=SOURCES)),
            (200, paydock_customer(payment_sources=[NEW_SOURCE, *SOURCES])),
        ),
        (f"GET /v1/customers/{HEX24}", f"POST /v1/customers/{HEX24}"),
        (None, {"payment_source": {"type": "card", "vault_token": TOKEN, "gateway_id": SOURCE}}),
        returns_token("5f0c2f7a9b1e8d0099999999", "active"),
    ),
    "create_payment_token from a one-time token": Case(
        lambda s: s.create_payment_token(HEX24, OneTimeToken(TOKEN)),
        ((200, paydock_customer()), (200, paydock_customer(payment_sources=[NEW_SOURCE]))),
        (f"GET /v1/customers/{HEX24}", f"POST /v1/customers/{HEX24}"),
        (None, {"token": TOKEN}),
        returns_token("5f0c2f7a9b1e8d0099999999", "active"),
    ),
    "check_payment_token": single(
        lambda s: s.check_payment_token(HEX24, SOURCE),
        f"GET /v1/customers/{HEX24}",
        paydock_customer(payment_sources=SOURCES),
        returns_token(SOURCE, None),
    ),
    "delete_payment_token": single(
        lambda s: s.delete_payment_token(HEX24, PaymentToken(SOURCE)),
        f"DELETE /v1/customers/{HEX24}/payment_sources/{SOURCE}",
        paydock_customer(),
        lambda it: it is None,
    ),
}
CASES = [
    pytest.param(gateway, case, id=f"{gateway}: {name}")
    for gateway, cases in (("wonder", WONDER), ("paydock", PAYDOCK), ("monri", MONRI))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("gateway", "case"), CASES)
async def test_operation_sends_the_documented_request_and_returns_the_record(gateway: str, case: Case) -> None:
    wire = MockGateway(*(json_response(status, body) for status, body in case.answers))
    async with wire.session(ACCOUNTS[gateway]()) as session:
        result = await case.call(session)
    assert tuple(wire.lines) == case.lines
    assert tuple(wire.bodies) == case.bodies
    assert case.result(result), result
    assert wire.responses == []


@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_every_operation_is_tested_or_unsupported(gateway: str) -> None:
    operations = {
        "create",
        "upsert",
        "get",
        "get_by_reference",
        "update",
        "delete",
        "list",
        "list_payment_tokens",
        "create_payment_token",
        "check_payment_token",
        "delete_payment_token",
    }
    shown = {name.split(" ")[0] for name in {"wonder": WONDER, "paydock": PAYDOCK, "monri": MONRI}[gateway]}
    assert (
        operations - shown
        == {
            "wonder": {"delete"},
            "paydock": set(),
            "monri": {"create_payment_token", "check_payment_token", "delete_payment_token"},
        }[gateway]
    )


@pytest.mark.parametrize("language", [None, "en", "zh-HK", "zh-CN"])
async def test_wonder_sends_the_language_of_messages(language: str | None) -> None:
    mock = MockGateway(json_response(200, wonder_customer()))
    async with mock.session(evolve(wonder(), language=language)) as session:
        await session.get(UUID)
    assert mock.requests[0].headers.get("x-i18n-lang") == language
