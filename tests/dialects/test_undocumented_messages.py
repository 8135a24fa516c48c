"""Undocumented messages of gateways, and the comparison of ids and references."""

from typing import Any

import pytest
from gateway_responses import UUID, monri_customer

from scripted_transport import NO_RESPONSE, PAYDOCK, draft, make_harness, respond
from wonder_customers import (
    ConflictError,
    GatewayError,
    InvalidRequestError,
    InvalidResponseError,
)

pytestmark = pytest.mark.anyio

MISSING = respond(404, {"message": "Customer not found"})
SILENTLY_TAKEN = respond(400, {"status": "invalid-request", "message": "merchant_customer_id is invalid"})


async def test_refusal_after_lost_create_without_a_customer_is_raised() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(NO_RESPONSE, *[MISSING] * 5, SILENTLY_TAKEN, *[MISSING] * 6).create(draft())
    assert (caught.value.applied, caught.value.attempts) == ("unknown", 2)


async def test_paydock_empty_details_fall_back_to_the_older_ones() -> None:
    body = {
        "status": 400,
        "error": {"message": "bad", "details": {"path": "email", "messages": ["must be an e-mail address"]}},
        "error_summary": {"message": "bad", "code": "validation_error", "details": {"messages": []}},
    }
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(respond(400, body), account=PAYDOCK).create(draft())
    assert caught.value.fields == {"email": ("must be an e-mail address",)}


async def test_case_of_references_is_compared() -> None:
    with pytest.raises(InvalidResponseError, match="reference differs"):
        await make_harness(respond(200, monri_customer(merchant_customer_id="R-1"))).create(draft())


@pytest.mark.parametrize(
    ("details", "message", "fields"),
    [
        ({"gateway_specific_code": "51", "gateway_specific_description": "No funds"}, " (51: No funds)", {}),
        ({"messages": [{"status_code": "pending", "description": None}]}, " (pending)", {}),
        ([{"param_name": "card_number", "description": "is not valid"}], "", {"card_number": ("is not valid",)}),
        (
            [{"param_name": "card_number", "gateway_specific_code": "51", "gateway_specific_description": "No funds"}],
            " (card_number: 51: No funds)",
            {"card_number": ("51: No funds",)},
        ),
    ],
)
async def test_paydock_reason_of_a_card_refusal_is_in_the_message_and_in_fields(
    details: object, message: str, fields: dict[str, Any]
) -> None:
    body = {"status": 400, "error_summary": {"message": "declined", "code": "transaction_declined", "details": details}}
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(respond(400, body), account=PAYDOCK).create(draft())
    assert caught.value.message == f"declined{message}"
    assert "{" not in str(caught.value)
    assert fields.items() <= caught.value.fields.items()


async def test_paydock_nested_errors_are_fields() -> None:
    error = {"message": {"message": "bad", "errors": [{"param_name": "phone", "description": "must be E.164"}]}}
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(respond(400, {"status": 400, "error": error}), account=PAYDOCK).create(draft())
    assert (caught.value.message, caught.value.fields) == ("bad", {"phone": ("must be E.164",)})


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, {"error": "no such plan"}, None, "no such plan"),
        (400, {"errors": {"merchant_customer_id": ["has already been taken"]}}, ConflictError, None),
        (400, {"errors": {"name": "is too long"}}, InvalidRequestError, "name is too long"),
        (400, {"status": "invalid-request"}, InvalidRequestError, None),
        (
            422,
            {"errors": ["Id has been taken", "Name is too long"]},
            ConflictError,
            "Id has been taken; Name is too long",
        ),
    ],
)
async def test_monri_refusals_in_forms_of_third_party_clients(
    status: int, body: object, kind: type[Exception] | None, message: str | None
) -> None:
    with pytest.raises(kind or GatewayError) as caught:
        await make_harness(respond(status, body)).create(draft())
    assert isinstance(caught.value, GatewayError)
    assert message is None or caught.value.message == message


async def test_monri_deletion_with_status_deleted_succeeds() -> None:
    await make_harness(respond(200, {"status": "deleted"})).delete(UUID)


async def test_monri_unknown_status_word_with_http_200_leaves_a_create_unknown() -> None:
    with pytest.raises(InvalidResponseError) as caught:
        await make_harness(*[respond(200, {"status": "frozen", "uuid": UUID})] * 2).create(draft())
    assert caught.value.applied == "unknown"
