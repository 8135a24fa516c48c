"""Undocumented messages of gateways, and the comparison of ids and references."""

import pytest
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, wonder_customer

from scripted_transport import CREATED, MONRI, NO_RESPONSE, PAYDOCK, draft, make_harness, respond, wonder_account
from wonder_customers import ConfigurationError, ConflictError, InvalidRequestError, InvalidResponseError, Monri, Wonder

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


async def test_app_id_with_a_slash_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="slash"):
        Wonder("a/20260101000000", wonder_account().private_key)


async def test_base_url_with_port_zero_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="port 0"):
        Monri("k", "t", base_url=MONRI.base_url + ":0")
