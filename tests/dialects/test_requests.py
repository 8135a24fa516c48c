"""Each operation of each gateway: the exact request line and body, and the record in the response."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve
from dialects.bodies import TOKEN, WONDER_PATH, ids_of
from dialects.monri_requests import MONRI
from dialects.request_cases import Case, case, returns_nothing, returns_token, returns_tokens
from examples import DRAFT, FULL_CARD
from gateway_responses import HEX24, UUID, paydock_customer, paydock_list, wonder_customer
from mock_gateway import MockGateway, Session, golden, wonder

from wonder_customers import (
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    PaydockFilter,
    PaymentToken,
    UnsupportedOperationError,
    VaultToken,
    WonderFilter,
)

SOURCE = "5f0c2f7a9b1e8d0012345678"


HELD = {"reference_number": "35", "name": "Ada Lovelace", "dial_code": "+852", "phone": "12345678"}
"""The customer of `DRAFT` as Wonder stores it."""
WRITTEN = (f"POST {WONDER_PATH}", {"customer": HELD}, wonder_customer(**HELD))
READ = (f"GET {WONDER_PATH}/{UUID}", None, wonder_customer(**HELD))
OLDER_TOKEN = "0d4ed1d8-5bd1-4c0c-9c5e-0a1f5c1f7d11"


def wonder_update(patch: CustomerPatch, held: dict[str, Any], sent: dict[str, Any]) -> Case:
    """Return an update, which reads the customer and sends all of its fields back."""
    return case(
        lambda s: s.update(UUID, patch),
        (f"GET {WONDER_PATH}/{UUID}", None, wonder_customer(**HELD | held)),
        (f"POST {WONDER_PATH}", {"customer": HELD | sent}, wonder_customer(**HELD | {"name": "Augusta"})),
    )


WONDER = {
    "create": case(lambda s: s.create(DRAFT), WRITTEN),
    "upsert": case(lambda s: s.upsert(DRAFT), WRITTEN),
    "get": case(lambda s: s.get(UUID), READ),
    "get_by_reference": case(
        lambda s: s.get_by_reference("35"), (f"GET {WONDER_PATH}/ref/35", None, wonder_customer(**HELD))
    ),
    "update": wonder_update(
        CustomerPatch(name="Augusta", email=None), {"email": "a@b.c"}, {"name": "Augusta", "email": None}
    ),
    "update keeps an unusual dial code": wonder_update(
        CustomerPatch(name="Augusta"), {"dial_code": "HK"}, {"name": "Augusta", "dial_code": "HK"}
    ),
    "update keeps the default token": wonder_update(
        CustomerPatch(name="Augusta"),
        {"default_payment_token": {"token": TOKEN, "token_type": "CreditCard"}},
        {"name": "Augusta", "default_payment_token": TOKEN},
    ),
    "list": case(
        lambda s: ids_of(s, limit=2, filter=WonderFilter(linked_source_type="User")),
        (f"GET {WONDER_PATH}?limit=2&offset=0&linked_source_type=User", None, golden("wonder", "list_response")),
        (f"GET {WONDER_PATH}?limit=2&offset=2&linked_source_type=User", None, {"code": 200, "data": {"customers": []}}),
        result=lambda it: it == ["feac5c50-010a-4582-a84a-673357245ffb", "0b5a7c8e-1f73-4d51-8d36-7ac28f7f5a10"],
    ),
    "list without customers": case(
        ids_of, (f"GET {WONDER_PATH}?limit=100&offset=0", None, {"code": 200, "data": {}}), result=lambda it: it == []
    ),
    "list_payment_tokens": case(
        lambda s: s.list_payment_tokens(UUID),
        (f"GET {WONDER_PATH}/{UUID}/payment_tokens", None, golden("wonder", "list_payment_tokens_response")),
        result=returns_tokens(TOKEN, OLDER_TOKEN, "6d2f6cf0-7f5f-4e0b-a3c6-f5a0f4e0b8a3"),
    ),
    "create_payment_token": case(
        lambda s: s.create_payment_token(UUID, FULL_CARD),
        (
            f"POST {WONDER_PATH}/{UUID}/payment_tokens",
            golden("wonder", "create_payment_token_request"),
            golden("wonder", "create_payment_token_response_older"),
        ),
        result=returns_token(OLDER_TOKEN, "pending"),
    ),
    "check_payment_token by its text": case(
        lambda s: s.check_payment_token(UUID, TOKEN),
        (
            f"POST {WONDER_PATH}/{UUID}/payment_tokens/check",
            golden("wonder", "check_payment_token_request"),
            {"code": 200, "data": {"payment_token": {"token": TOKEN, "state": "success"}}},
        ),
        result=returns_token(TOKEN, "success"),
    ),
    "check_payment_token by its record": case(
        lambda s: s.check_payment_token(
            UUID, PaymentToken(OLDER_TOKEN, verify_uuid="9a1b0c7e-54a0-4a0a-b2b7-64f5a2f0b9d2")
        ),
        (
            f"POST {WONDER_PATH}/{UUID}/payment_tokens/check",
            golden("wonder", "check_payment_token_request_older"),
            golden("wonder", "create_payment_token_response_older"),
        ),
        result=returns_token(OLDER_TOKEN, "pending"),
    ),
    "delete_payment_token": case(
        lambda s: s.delete_payment_token(UUID, TOKEN),
        (
            f"DELETE {WONDER_PATH}/{UUID}/payment_tokens",
            golden("wonder", "delete_payment_token_request"),
            golden("wonder", "delete_payment_token_response"),
        ),
        result=returns_nothing,
    ),
}
SOURCES = [{"_id": SOURCE, "type": "card", "card_number_last4": "1111"}]
NEW_SOURCE = {"_id": "5f0c2f7a9b1e8d0099999999", "type": "card", "status": "active"}
CUSTOMER = f"/v1/customers/{HEX24}"
SEARCH = "GET /v1/customers?limit=1000&skip=0&reference="
ADA: dict[str, Any] = {"first_name": "Ada", "last_name": "Lovelace"}
SEARCH_PAGE = "GET /v1/customers?limit=1&skip={}&sortkey=created_at&sortdirection=ASC&search=Ada%20%26%20Co"
PAYDOCK = {
    "create": case(
        lambda s: s.create(CustomerDraft(reference="35", name="Ada Lovelace", metadata={"tier": "gold"})),
        (
            "POST /v1/customers",
            {"reference": "35", "first_name": "Ada Lovelace", "meta": {"tier": "gold"}},
            (201, paydock_customer()),
        ),
    ),
    "upsert of a new one": case(
        lambda s: s.upsert(CustomerDraft(reference="a b", **ADA)),
        (f"{SEARCH}a%20b", None, paydock_list(count=0)),
        ("POST /v1/customers", {"reference": "a b", **ADA}, (201, paydock_customer(reference="a b"))),
    ),
    "upsert of a known one": case(
        lambda s: s.upsert(CustomerDraft(reference="35", **ADA)),
        (f"{SEARCH}35", None, paydock_list({"_id": HEX24, "reference": "35"}, count=1)),
        (f"POST {CUSTOMER}", {"reference": "35", **ADA}, paydock_customer()),
    ),
    "get": case(lambda s: s.get(HEX24), (f"GET {CUSTOMER}", None, paydock_customer())),
    "get_by_reference": case(
        lambda s: s.get_by_reference("35"),
        (
            f"{SEARCH}35",
            None,
            paydock_list({"_id": "5f0c2f7a9b1e8d0000000135", "reference": "135"}, {"_id": HEX24, "reference": "35"}),
        ),
    ),
    "update": case(
        lambda s: s.update(HEX24, CustomerPatch(first_name="Augusta Ada", phone=None, metadata={"tier": "gold"})),
        (f"POST {CUSTOMER}", golden("paydock", "update_request"), paydock_customer()),
    ),
    "delete": case(
        lambda s: s.delete(HEX24), (f"DELETE {CUSTOMER}", None, paydock_customer(archived=True)), result=returns_nothing
    ),
    "list": case(
        lambda s: ids_of(s, limit=1, filter=PaydockFilter(search="Ada & Co")),
        (SEARCH_PAGE.format(0), None, paydock_list({"_id": HEX24}, count=2)),
        (SEARCH_PAGE.format(1), None, paydock_list({"_id": "5f0c2f7a9b1e8d0000000002"}, count=2)),
        result=lambda it: it == [HEX24, "5f0c2f7a9b1e8d0000000002"],
    ),
    "list_payment_tokens": case(
        lambda s: s.list_payment_tokens(HEX24),
        (f"GET {CUSTOMER}", None, paydock_customer(payment_sources=SOURCES)),
        result=returns_tokens(SOURCE),
    ),
    "create_payment_token from a vault token": case(
        lambda s: s.create_payment_token(HEX24, VaultToken(TOKEN, gateway_id=SOURCE)),
        (f"GET {CUSTOMER}", None, paydock_customer(payment_sources=SOURCES)),
        (
            f"POST {CUSTOMER}",
            {"payment_source": {"type": "card", "vault_token": TOKEN, "gateway_id": SOURCE}},
            paydock_customer(payment_sources=[NEW_SOURCE, *SOURCES]),
        ),
        result=returns_token("5f0c2f7a9b1e8d0099999999", "active"),
    ),
    "create_payment_token from a one-time token": case(
        lambda s: s.create_payment_token(HEX24, OneTimeToken(TOKEN)),
        (f"GET {CUSTOMER}", None, paydock_customer()),
        (f"POST {CUSTOMER}", {"token": TOKEN}, paydock_customer(payment_sources=[NEW_SOURCE])),
        result=returns_token("5f0c2f7a9b1e8d0099999999", "active"),
    ),
    "check_payment_token": case(
        lambda s: s.check_payment_token(HEX24, SOURCE),
        (f"GET {CUSTOMER}", None, paydock_customer(payment_sources=SOURCES)),
        result=returns_token(SOURCE, None),
    ),
    "delete_payment_token": case(
        lambda s: s.delete_payment_token(HEX24, PaymentToken(SOURCE)),
        (f"DELETE {CUSTOMER}/payment_sources/{SOURCE}", None, paydock_customer()),
        result=returns_nothing,
    ),
}
CASES = [
    pytest.param(gateway, case, id=f"{gateway}: {name}")
    for gateway, cases in (("wonder", WONDER), ("paydock", PAYDOCK), ("monri", MONRI))
    for name, case in cases.items()
]


@pytest.mark.parametrize(("gateway", "case"), CASES)
async def test_operation_sends_the_documented_request_and_returns_the_record(gateway: str, case: Case) -> None:
    wire = MockGateway(*(response for _, _, response in case.exchanges))
    async with wire.session(gateway) as session:
        result = await case.call(session)
    assert list(zip(wire.lines, wire.bodies, strict=True)) == [it[:2] for it in case.exchanges]
    assert case.result(result), result
    assert wire.responses == []


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
    mock = MockGateway(wonder_customer())
    async with mock.session(evolve(wonder(), language=language)) as session:
        await session.get(UUID)
    assert mock.requests[0].headers.get("x-i18n-lang") == language


@pytest.mark.parametrize(
    ("gateway", "operation", "call"),
    [
        ("wonder", "delete", lambda s: s.delete(UUID)),
        ("monri", "create_payment_token", lambda s: s.create_payment_token(UUID, VaultToken(TOKEN))),
        ("monri", "check_payment_token", lambda s: s.check_payment_token(UUID, TOKEN)),
        ("monri", "delete_payment_token", lambda s: s.delete_payment_token(UUID, TOKEN)),
        ("monri", "filters on lists", lambda s: ids_of(s, filter=WonderFilter())),
        ("monri", "filters on lists", lambda s: s.raw.page(filter=PaydockFilter(search="Ada"))),
    ],
)
async def test_unsupported_operation_raises_without_a_request(
    gateway: str, operation: str, call: Callable[[Session], Awaitable[Any]]
) -> None:
    wire = MockGateway()
    async with wire.session(gateway) as session:
        with pytest.raises(UnsupportedOperationError) as caught:
            await call(session)
    assert wire.requests == []
    assert (caught.value.gateway, caught.value.operation) == (gateway, operation)
    assert str(caught.value).endswith("Nothing was sent.")
