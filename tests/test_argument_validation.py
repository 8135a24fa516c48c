"""Invalid arguments of session methods: one error, nothing sent, no value shown."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from error_checks import invalid_record_errors, visible_text
from examples import CARD
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, Session, read_empty_list

from scripted_transport import CREATED, make_harness
from wonder_customers import (
    BankAccountSource,
    CardSource,
    Customer,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidRecordError,
    OneTimeToken,
    PaymentSource,
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
CARDS = {
    "Wonder": CARD,
    "Paydock": CardSource(
        "4111111111111111", expire_month="12", expire_year="2030", holder_name="Ada Lovelace", gateway_id=HEX24
    ),
}
CALLS: dict[str, Callable[[Session, Any], Awaitable[Any]]] = {
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
    ("monri", name) for name in CALLS if name.startswith(("create_p", "check_p", "delete_p"))
}

WriteDraft = Callable[[Session, Any], Awaitable[Any]]
WRITES = pytest.mark.parametrize(
    "write",
    [lambda session, draft: session.create(draft), lambda session, draft: session.upsert(draft)],
    ids=["create", "upsert"],
)


@pytest.mark.parametrize(
    ("gateway", "call"),
    [(gateway, call) for gateway in ACCOUNTS for call in CALLS if (gateway, call) not in UNSUPPORTED],
)
async def test_id_or_reference_with_invalid_characters_is_rejected(gateway: str, call: str) -> None:
    for error in await invalid_record_errors(gateway, CALLS[call], UNSAFE.values()):
        (violation,) = error.violations
        if call.endswith(("(token)", "(record)")):
            assert violation.field == "token"
        else:
            assert violation.field in ({"reference"} if call == "get_by_reference" else {"id", "customer_id"})
        assert "Lovelace" not in visible_text(error)


@WRITES
async def test_draft_reference_with_invalid_characters_is_rejected(gateway: str, write: WriteDraft) -> None:
    # The reference is optional at the other gateways.
    values = [it for it in UNSAFE.values() if it is not None or gateway == "wonder"]
    drafts = [CustomerDraft(reference=it, name="Ada", phone=Phone("+852", "12345678")) for it in values]
    for error in await invalid_record_errors(gateway, write, drafts):
        assert [it.field for it in error.violations] == ["reference"]
        assert "Lovelace" not in visible_text(error)


SOURCES: list[Any] = [None, "4111111111111111", 5, {"number": "4111"}, PaymentToken("t"), CardSource]


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
async def test_payment_source_of_another_type_is_rejected(gateway: str) -> None:
    for error in await invalid_record_errors(
        gateway, lambda it, source: it.create_payment_token(UUID, source), SOURCES
    ):
        assert [it.field for it in error.violations] == ["payment_source"]
        assert "4111" not in str(error)


async def test_wonder_accepts_only_cards_and_paydock_checks_token_formats() -> None:
    sources = [OneTimeToken(UUID), VaultToken(UUID)]
    await invalid_record_errors("wonder", lambda session, it: session.create_payment_token(UUID, it), sources)
    broken = [OneTimeToken("private"), VaultToken("private"), VaultToken(UUID, gateway_id="private")]
    for error in await invalid_record_errors(
        "paydock", lambda it, source: it.create_payment_token(HEX24, source), broken
    ):
        assert "private" not in str(error)


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        (CardSource("4111111111111111", expire_month="12", expire_year="2030"), ["gateway_id", "holder_name"]),
        (CardSource("4111111111111111", holder_name="Ada", gateway_id=HEX24), ["expire_month", "expire_year"]),
        (BankAccountSource("12345678"), ["holder_name"]),
    ],
    ids=["holder", "expiry", "bank"],
)
async def test_incomplete_payment_source_is_not_sent(source: PaymentSource, missing: list[str]) -> None:
    drafts, patches = [CustomerDraft("c-1", payment_source=source)], [CustomerPatch(payment_source=source)]
    errors = await invalid_record_errors("paydock", lambda it, made: it.create_payment_token(HEX24, made), [source])
    errors += await invalid_record_errors("paydock", lambda it, patch: it.update(HEX24, patch), patches)
    for write in (CustomerSession.create, CustomerSession.upsert):
        errors += await invalid_record_errors("paydock", write, drafts)
    for error in errors:
        assert [it.field for it in error.violations] == [f"payment_source.{name}" for name in missing]


NOT_DRAFTS: list[Any] = [None, {}, {"name": "Lovelace"}, "Lovelace", CustomerPatch(), CustomerDraft, 5]


@WRITES
async def test_create_and_upsert_require_a_draft(gateway: str, write: WriteDraft) -> None:
    for error in await invalid_record_errors(gateway, write, NOT_DRAFTS):
        assert [it.field for it in error.violations] == ["draft"]
        assert "Lovelace" not in visible_text(error)


@pytest.mark.parametrize("draft", [*NOT_DRAFTS, b"Lovelace"], ids=[*(type(it).__name__ for it in NOT_DRAFTS), "bytes"])
def test_validate_payload_and_compare_require_a_draft(gateway: str, draft: Any) -> None:
    session, held = CustomerSession(ACCOUNTS[gateway]()), Customer(id="1")
    methods = (session.validate, session.payload, lambda it: session.compare(it, held))
    for method in methods:
        with pytest.raises(InvalidRecordError) as caught:
            method(draft)
        assert [it.field for it in caught.value.violations] == ["draft"]
        assert "Lovelace" not in visible_text(caught.value)


@pytest.mark.parametrize("customer", [None, {}, CustomerDraft(), Customer], ids=repr)
def test_compare_requires_a_customer(gateway: str, customer: Any) -> None:
    with pytest.raises(InvalidRecordError) as caught:
        CustomerSession(ACCOUNTS[gateway]()).compare(CustomerDraft(reference="c-1"), customer)
    assert [it.field for it in caught.value.violations] == ["customer"]


INVALID: dict[str, tuple[Callable[[Session, Any], Awaitable[Any]], list[Any]]] = {
    "patch": (
        lambda session, it: session.update(HEX24, it),
        [None, {}, {"name": "Lovelace"}, CustomerDraft(), CustomerPatch],
    ),
    "limit": (
        lambda session, it: read_empty_list(session, limit=it),
        [0, -1, 1001, True, False, 1.0, "5", [5], 10**30],
    ),
    "cursor": (
        lambda session, it: read_empty_list(session, cursor=it),
        ["", "abc", "-1", "1.5", " 1", "1\n", "\uff11", "9" * 40, 5, True, ["0"], b"0"],
    ),
}


@pytest.mark.parametrize("argument", INVALID)
async def test_invalid_argument_is_rejected(gateway: str, argument: str) -> None:
    call, values = INVALID[argument]
    for error in await invalid_record_errors(gateway, call, values):
        assert [it.field for it in error.violations] == [argument]


async def test_subclass_of_customer_draft_is_accepted() -> None:
    class Ours(CustomerDraft):
        pass

    assert (await make_harness(CREATED).create(Ours(reference="r-1", name="Ada"))).record.id == UUID
