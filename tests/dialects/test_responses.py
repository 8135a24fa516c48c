"""Responses that do not match the request: another customer, several customers, an endless list."""

from typing import Any

import pytest
from dialects.bodies import TOKEN
from dialects.failures import failure
from examples import DRAFT
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, MockGateway, Session, SessionCall, json_response

from wonder_customers import (
    AmbiguousReferenceError,
    CustomerDraft,
    CustomerPatch,
    InvalidResponseError,
    NotFoundError,
    PaydockFilter,
    Phone,
    VaultToken,
)

pytestmark = pytest.mark.anyio


async def test_wonder_update_with_another_uuid_in_response_was_applied() -> None:
    held = {"uuid": UUID, "reference_number": "35", "name": "Ada", "phone": "1"}
    good = {"code": 200, "data": {"customer": held}}
    other = {"code": 200, "data": {"customer": {**held, "uuid": "other"}}}
    error = await failure(
        "wonder", (200, good), (200, other), operation=lambda s: s.update(UUID, CustomerPatch(name="Augusta"))
    )
    assert isinstance(error, InvalidResponseError)
    assert error.applied == "yes"


async def test_upsert_with_ambiguous_paydock_reference_writes_nothing() -> None:
    data = [{"_id": "a" * 24, "reference": "35"}, {"_id": "b" * 24, "reference": "35"}]
    body = {"status": 200, "error": None, "resource": {"type": "customer", "data": data, "count": 2}}
    error = await failure("paydock", (200, body), operation=lambda s: s.upsert(DRAFT))
    assert isinstance(error, AmbiguousReferenceError)
    assert (error.ids, error.reference, error.applied) == (("a" * 24, "b" * 24), "35", "no")


async def test_paydock_response_without_the_added_source_was_applied() -> None:
    body = {"status": 200, "error": None, "resource": {"data": {"_id": HEX24, "payment_sources": []}}}
    operation: SessionCall = lambda s: s.create_payment_token(HEX24, VaultToken(TOKEN))  # noqa: E731
    error = await failure("paydock", (200, body), (200, body), operation=operation)
    assert isinstance(error, InvalidResponseError)
    assert error.applied == "yes"


async def test_unknown_payment_token_is_not_found() -> None:
    body = {"status": 200, "error": None, "resource": {"data": {"_id": HEX24, "payment_sources": [{"_id": "x"}]}}}
    assert isinstance(
        await failure("paydock", (200, body), operation=lambda s: s.check_payment_token(HEX24, "y")), NotFoundError
    )
    async with MockGateway(json_response(200, body)).session(ACCOUNTS["paydock"]()) as session:
        assert (await session.check_payment_token(HEX24, "X")).token == "x"


async def test_list_that_ignores_the_offset_raises() -> None:
    page = {"status": "approved", "data": [{"uuid": f"u{number}"} for number in range(2)]}
    wire = MockGateway(json_response(200, page), json_response(200, page))
    async with wire.session(ACCOUNTS["monri"]()) as session:
        with pytest.raises(InvalidResponseError, match="the same page twice"):
            _ = [it async for it in session.list(limit=2)]


async def test_customer_that_moves_to_the_next_page_is_returned_once() -> None:
    pages = [["a", "b"], ["b", "c"], []]
    wire = MockGateway(
        *(json_response(200, {"status": "approved", "data": [{"uuid": it} for it in page]}) for page in pages)
    )
    async with wire.session(ACCOUNTS["monri"]()) as session:
        assert [it.id async for it in session.list(limit=2)] == ["a", "b", "c"]


def paydock_page(*keys: str) -> dict[str, Any]:
    """Return a page of customers. Only the customer x has the e-mail address x@shop.test."""
    items = [{"_id": it * 24, "email": "x@shop.test" if it == "x" else f"{it}.x@shop.test"} for it in keys]
    return {"status": 200, "error": None, "resource": {"type": "customer", "data": items}}


async def test_customer_with_the_email_address_that_moves_to_the_next_page_is_returned_once() -> None:
    wire = MockGateway(*(json_response(200, paydock_page(*it)) for it in ("ax", "xb", "")))
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        listing = session.list(limit=2, filter=PaydockFilter(email="x@shop.test"))
        assert [it.email async for it in listing] == ["x@shop.test"]


async def test_list_that_ignores_the_offset_raises_if_no_customer_has_the_email_address() -> None:
    wire = MockGateway(*2 * [json_response(200, paydock_page("a", "b"))])
    async with wire.session(ACCOUNTS["paydock"]()) as session:
        with pytest.raises(InvalidResponseError, match="the same page twice"):
            _ = [it async for it in session.list(limit=2, filter=PaydockFilter(email="x@shop.test"))]


@pytest.mark.parametrize(
    ("gateway", "body"),
    [
        ("wonder", {"code": 200, "data": {"customers": {}}}),
        ("paydock", {"status": 200, "error": None, "resource": {"data": {}}}),
        ("paydock", {"status": 200, "error": None, "resource": {"data": None}}),
        ("monri", {"status": "approved", "data": {}}),
        ("monri", {"status": "approved"}),
    ],
)
async def test_list_of_another_type_raises(gateway: str, body: Any) -> None:
    async def walk(session: Session) -> None:
        assert [it async for it in session.list()]

    assert isinstance(await failure(gateway, (200, body), operation=walk), InvalidResponseError)


async def test_personal_data_is_removed_from_gateway_messages() -> None:
    draft = CustomerDraft(reference="35", name="Ada Lovelace", email="ada@example.com", phone=Phone("+1", "2345678901"))
    quoting = "name Ada Lovelace, email ada@example.com, phone +12345678901 are not good enough"
    bodies = {
        "wonder": {"code": "E1", "message": quoting},
        "paydock": {"error_summary": {"message": quoting, "details": {"path": "name", "messages": [quoting]}}},
        "monri": {"status": "invalid-request", "message": quoting},
    }
    for gateway, body in bodies.items():
        error = await failure(gateway, (400, body), operation=lambda s: s.create(draft))
        shown = f"{error} {error!r} {vars(error)}"
        assert "are not good enough" in shown
        for private in ("Lovelace", "ada@", "2345678901"):
            assert private not in shown
