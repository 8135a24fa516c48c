"""Undocumented messages of gateways, and the comparison of ids and references."""

import pytest
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, wonder_customer

from scripted_transport import CREATED, NO_RESPONSE, PAYDOCK, draft, make_harness, respond, wonder_account
from wonder_customers import (
    ConflictError,
    GatewayError,
    InvalidRequestError,
    InvalidResponseError,
)

pytestmark = pytest.mark.anyio

MISSING = respond(404, {"message": "Customer not found"})
SILENTLY_TAKEN = respond(400, {"status": "invalid-request", "message": "merchant_customer_id is invalid"})


async def test_refusal_after_lost_create_finds_the_first_create() -> None:
    answer = await make_harness(NO_RESPONSE, *[MISSING] * 5, SILENTLY_TAKEN, CREATED).create(draft())
    assert (answer.record.id, answer.recovered) == (UUID, True)


async def test_refusal_after_lost_create_without_a_customer_is_raised() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(NO_RESPONSE, *[MISSING] * 5, SILENTLY_TAKEN, *[MISSING] * 6).create(draft())
    assert (caught.value.applied, caught.value.attempts) == ("unknown", 2)


async def test_refused_create_is_not_repeated() -> None:
    it = make_harness(SILENTLY_TAKEN)
    with pytest.raises(InvalidRequestError) as caught:
        await it.create(draft())
    assert (caught.value.applied, len(it.script.sent)) == ("no", 1)


async def test_monri_list_of_errors_is_read() -> None:
    with pytest.raises(ConflictError, match="has already been taken; Name is too long"):
        await make_harness(respond(422, {"errors": ["Reference has already been taken", "Name is too long"]})).create(
            draft()
        )


async def test_paydock_empty_details_fall_back_to_the_older_ones() -> None:
    body = {
        "status": 400,
        "error": {"message": "bad", "details": {"path": "email", "messages": ["must be an e-mail address"]}},
        "error_summary": {"message": "bad", "code": "validation_error", "details": {"messages": []}},
    }
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(respond(400, body), account=PAYDOCK).create(draft())
    assert caught.value.fields == {"email": ("must be an e-mail address",)}


async def test_case_of_ids_is_ignored() -> None:
    assert (await make_harness(respond(200, monri_customer())).get(UUID.upper())).record.id == UUID
    assert (await make_harness(respond(200, paydock_customer()), account=PAYDOCK).get(HEX24.upper())).record.id == HEX24
    wonder = wonder_account()
    assert (await make_harness(respond(200, wonder_customer()), account=wonder).get(UUID.upper())).record.id == UUID


async def test_case_of_references_is_compared() -> None:
    with pytest.raises(InvalidResponseError, match="reference differs"):
        await make_harness(respond(200, monri_customer(merchant_customer_id="R-1"))).create(draft())


@pytest.mark.parametrize(
    ("details", "message"),
    [
        (
            {"gateway_specific_code": "51", "gateway_specific_description": "Insufficient funds"},
            "51: Insufficient funds",
        ),
        ({"messages": [{"status_code": "pending", "description": None}]}, "pending"),
        ([{"param_name": "card_number", "description": "is not valid"}], None),
    ],
)
async def test_paydock_reason_of_a_card_refusal_is_in_the_message(details: object, message: str | None) -> None:
    body = {"status": 400, "error_summary": {"message": "declined", "code": "transaction_declined", "details": details}}
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(respond(400, body), account=PAYDOCK).create(draft())
    assert caught.value.message == (f"declined ({message})" if message else "declined")
    assert "{" not in str(caught.value)
    if message is None:
        assert caught.value.fields == {"card_number": ("is not valid",)}


async def test_paydock_nested_errors_are_fields() -> None:
    error = {"message": {"message": "bad", "errors": [{"param_name": "phone", "description": "must be E.164"}]}}
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(respond(400, {"status": 400, "error": error}), account=PAYDOCK).create(draft())
    assert (caught.value.message, caught.value.fields) == ("bad", {"phone": ("must be E.164",)})


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"error": "no such plan"}, None, "no such plan"),
        ({"errors": {"merchant_customer_id": ["has already been taken"]}}, ConflictError, None),
        ({"errors": {"name": "is too long"}}, InvalidRequestError, "name is too long"),
        ({"status": "invalid-request"}, InvalidRequestError, None),
    ],
)
async def test_monri_refusals_in_forms_of_third_party_clients(
    body: object, kind: type[Exception] | None, message: str | None
) -> None:
    with pytest.raises(kind or GatewayError) as caught:
        await make_harness(respond(400, body)).create(draft())
    assert isinstance(caught.value, GatewayError)
    assert message is None or caught.value.message == message


async def test_monri_deletion_with_status_deleted_succeeds() -> None:
    await make_harness(respond(200, {"status": "deleted"})).delete(UUID)


async def test_monri_unknown_status_word_with_http_200_leaves_a_create_unknown() -> None:
    with pytest.raises(InvalidResponseError) as caught:
        await make_harness(respond(200, {"status": "frozen", "uuid": UUID})).create(draft())
    assert caught.value.applied == "unknown"
