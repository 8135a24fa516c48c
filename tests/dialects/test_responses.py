"""Responses that do not match the request: another customer, no customer, no token."""

from dialects.bodies import TOKEN
from dialects.failures import failure
from examples import CARD
from gateway_responses import HEX24, UUID
from mock_gateway import MockGateway, SessionCall

from wonder_customers import CustomerDraft, CustomerPatch, InvalidResponseError, NotFoundError, Phone, VaultToken


async def test_wonder_update_with_another_uuid_in_response_was_applied() -> None:
    held = {"uuid": UUID, "reference_number": "35", "name": "Ada", "phone": "1"}
    good = {"code": 200, "data": {"customer": held}}
    other = {"code": 200, "data": {"customer": {**held, "uuid": "other"}}}
    error = await failure(
        "wonder", (200, good), (200, other), operation=lambda s: s.update(UUID, CustomerPatch(name="Augusta"))
    )
    assert isinstance(error, InvalidResponseError)
    assert error.applied == "yes"


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
    async with MockGateway(body).session("paydock") as session:
        assert (await session.check_payment_token(HEX24, "X")).token == "x"


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


async def test_created_token_missing_in_response_may_have_been_created() -> None:
    body = {"code": 200, "data": {"payment_token": None}}
    error = await failure("wonder", (200, body), operation=lambda s: s.create_payment_token(UUID, CARD))
    assert isinstance(error, InvalidResponseError)
    assert error.applied == "unknown"
    assert isinstance(
        await failure("wonder", (200, body), operation=lambda s: s.check_payment_token(UUID, "t")), NotFoundError
    )
