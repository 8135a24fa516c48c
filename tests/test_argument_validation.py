"""Arguments that no verb can use: one clear error, nothing sent, and nothing private in what it says."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from error_checks import EACH_GATEWAY, invalid_record_error, visible_text
from examples import CARD
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, Session

from wonder_customers import (
    CardSource,
    Customer,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidRecordError,
    OneTimeToken,
    PaymentToken,
    Phone,
    VaultToken,
)

UNSAFE: dict[str, Any] = {
    "dots": "..",
    "dot": ".",
    "empty": "",
    "newline": "a\nb",
    "null": "a\x00b",
    "delete": "a\x7fb",
    "C1 control": "a\x85b",
    "lone surrogate": "Lovelace\ud800",
    "10,000 characters": "Lovelace" * 1250,
    "None": None,
    "number": 35,
    "bytes": b"Lovelace",
    "list": ["Lovelace"],
}
UNSAFE_TEXTS = pytest.mark.parametrize("value", UNSAFE.values(), ids=UNSAFE)
CARDS = {
    "Wonder": CARD,
    "Paydock": CardSource(
        "4111111111111111", expire_month="12", expire_year="2030", holder_name="Ada Lovelace", gateway_id=HEX24
    ),
}
PLACES: dict[str, Callable[[Session, Any], Awaitable[Any]]] = {
    "get": lambda session, value: session.get(value),
    "get_by_reference": lambda session, value: session.get_by_reference(value),
    "update": lambda session, value: session.update(value, CustomerPatch(name="Ada")),
    "delete": lambda session, value: session.delete(value),
    "list_payment_tokens": lambda session, value: session.list_payment_tokens(value),
    "create_payment_token": lambda session, value: session.create_payment_token(
        value, CARDS[type(session.account).__name__]
    ),
    "check_payment_token (customer)": lambda session, value: session.check_payment_token(value, "t"),
    "check_payment_token (token)": lambda session, value: session.check_payment_token(UUID, value),
    "check_payment_token (record)": lambda session, value: session.check_payment_token(UUID, PaymentToken(value)),
    "delete_payment_token (customer)": lambda session, value: session.delete_payment_token(value, "t"),
    "delete_payment_token (token)": lambda session, value: session.delete_payment_token(UUID, value),
}
UNSUPPORTED = {("wonder", "delete")} | {
    ("monri", name) for name in PLACES if name.startswith(("create_p", "check_p", "delete_p"))
}


@pytest.mark.parametrize(
    ("gateway", "place"),
    [(gateway, place) for gateway in ACCOUNTS for place in PLACES if (gateway, place) not in UNSUPPORTED],
)
@UNSAFE_TEXTS
@pytest.mark.anyio
async def test_an_id_or_reference_that_cannot_stand_in_a_path_is_refused(gateway: str, place: str, value: Any) -> None:
    error = await invalid_record_error(gateway, lambda session: PLACES[place](session, value))
    (violation,) = error.violations
    if place.endswith(("(token)", "(record)")):
        assert violation.field == "token"
    else:
        assert violation.field in ({"reference"} if place == "get_by_reference" else {"id", "customer_id"})
    assert "Lovelace" not in visible_text(error)


@EACH_GATEWAY
@UNSAFE_TEXTS
@pytest.mark.anyio
async def test_a_draft_whose_reference_cannot_stand_in_a_path_is_refused(gateway: str, value: Any) -> None:
    if value is None and gateway != "wonder":
        return  # there a customer may be without one
    draft = CustomerDraft(reference=value, name="Ada", phone=Phone("+852", "12345678"))
    for verb in ("create", "upsert"):
        error = await invalid_record_error(gateway, lambda session, verb=verb: getattr(session, verb)(draft))  # type: ignore[misc]
        assert [it.field for it in error.violations] == ["reference"]
        assert "Lovelace" not in visible_text(error)


SOURCES: list[Any] = [None, "4111111111111111", 5, {"number": "4111"}, PaymentToken("t"), CardSource]


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
@pytest.mark.parametrize("source", SOURCES, ids=[type(it).__name__ for it in SOURCES])
@pytest.mark.anyio
async def test_what_is_no_payment_source_is_refused(gateway: str, source: Any) -> None:
    error = await invalid_record_error(gateway, lambda session: session.create_payment_token(UUID, source))
    assert [it.field for it in error.violations] == ["payment_source"]
    assert "4111" not in str(error)


@pytest.mark.anyio
async def test_wonder_takes_cards_only_and_paydocks_sources_keep_their_forms() -> None:
    for source in (OneTimeToken(UUID), VaultToken(UUID)):
        await invalid_record_error("wonder", lambda session, source=source: session.create_payment_token(UUID, source))  # type: ignore[misc]
    for broken in (OneTimeToken("private"), VaultToken("private"), VaultToken(UUID, gateway_id="private")):
        error = await invalid_record_error(
            "paydock",
            lambda session, broken=broken: session.create_payment_token(HEX24, broken),  # type: ignore[misc]
        )
        assert "private" not in str(error)


NO_DRAFTS: list[Any] = [None, {}, {"name": "Lovelace"}, "Lovelace", CustomerPatch(), CustomerDraft, 5]


@EACH_GATEWAY
@pytest.mark.parametrize("draft", NO_DRAFTS, ids=[type(it).__name__ for it in NO_DRAFTS])
@pytest.mark.anyio
async def test_what_is_no_draft_is_refused_by_create_and_upsert(gateway: str, draft: Any) -> None:
    for verb in ("create", "upsert"):
        error = await invalid_record_error(gateway, lambda session, verb=verb: getattr(session, verb)(draft))  # type: ignore[misc]
        assert [it.field for it in error.violations] == ["draft"]
        assert "Lovelace" not in visible_text(error)


@EACH_GATEWAY
@pytest.mark.parametrize("draft", [*NO_DRAFTS, b"Lovelace"], ids=[*(type(it).__name__ for it in NO_DRAFTS), "bytes"])
def test_what_is_no_draft_is_refused_where_nothing_is_sent_either(gateway: str, draft: Any) -> None:
    session, held = CustomerSession(ACCOUNTS[gateway]()), Customer(id="1")
    verbs = (session.validate, session.payload, lambda it: session.differences(it, held))
    for verb in verbs:
        with pytest.raises(InvalidRecordError) as caught:
            verb(draft)
        assert [it.field for it in caught.value.violations] == ["draft"]
        assert "Lovelace" not in visible_text(caught.value)


@EACH_GATEWAY
@pytest.mark.parametrize("customer", [None, {}, CustomerDraft(), Customer], ids=repr)
def test_what_is_no_customer_is_not_compared(gateway: str, customer: Any) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        CustomerSession(ACCOUNTS[gateway]()).differences(CustomerDraft(reference="c-1"), customer)
    assert [it.field for it in caught.value.violations] == ["customer"]


@EACH_GATEWAY
@pytest.mark.parametrize("patch", [None, {}, {"name": "Lovelace"}, CustomerDraft(), CustomerPatch], ids=repr)
@pytest.mark.anyio
async def test_what_is_no_patch_is_refused_by_update(gateway: str, patch: Any) -> None:
    error = await invalid_record_error(gateway, lambda session: session.update(HEX24, patch))
    assert [it.field for it in error.violations] == ["patch"]


async def _walk(session: Session, **options: Any) -> None:
    async for _ in session.list(**options):
        raise AssertionError("there is nothing to list")


@EACH_GATEWAY
@pytest.mark.parametrize(
    "limit", [0, -1, 1001, True, False, 1.0, "5", [5], 10**30], ids=lambda it: f"{type(it).__name__} {it}"
)
@pytest.mark.anyio
async def test_a_page_size_outside_of_1_to_1000_is_refused(gateway: str, limit: Any) -> None:
    error = await invalid_record_error(gateway, lambda session: _walk(session, limit=limit))
    assert [it.field for it in error.violations] == ["limit"]


@EACH_GATEWAY
@pytest.mark.parametrize(
    "cursor", ["", "abc", "-1", "1.5", " 1", "1\n", "\uff11", "9" * 40, 5, True, ["0"], b"0"], ids=repr
)
@pytest.mark.anyio
async def test_a_cursor_that_no_page_carried_is_refused(gateway: str, cursor: Any) -> None:
    error = await invalid_record_error(gateway, lambda session: _walk(session, cursor=cursor))
    assert [it.field for it in error.violations] == ["cursor"]


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
@pytest.mark.parametrize(
    "filters",
    [{"limit": "5"}, {1: "x"}, {"search": 5}, {"search": None}, {"search": "\ud800"}, {"\ud800": "x"}, "search=x", 5],
    ids=repr,
)
@pytest.mark.anyio
async def test_filters_that_are_no_texts_or_would_move_the_page_are_refused(gateway: str, filters: Any) -> None:
    error = await invalid_record_error(gateway, lambda session: _walk(session, filters=filters))
    assert [it.field for it in error.violations] == ["filters"]
