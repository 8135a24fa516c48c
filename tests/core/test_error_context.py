"""The attributes of an error: the customer, whether the operation was applied, and the request."""

import traceback
import uuid
from contextlib import suppress
from typing import Any

import anyio
import pytest
from gateway_responses import HEX24, UUID, monri_customer, wonder_customer
from mock_gateway import wonder

from scripted_transport import (
    CONNECTION_REFUSED,
    NO_RESPONSE,
    PAYDOCK,
    draft,
    make_harness,
    no_response,
    respond,
    use_real_time,
)
from wonder_customers import (
    ConflictError,
    CustomerPatch,
    DeadlineExceededError,
    InvalidRequestError,
    Monri,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
)
from wonder_customers._core.attempt import AttemptRunner
from wonder_customers.dialects.base import LockCustomer, Steps
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

SENT_BODY = monri_customer(merchant_customer_id="r-1", name="Ada", phone="+447911123456")
SENT = respond(200, SENT_BODY)
OTHER = respond(200, SENT_BODY | {"name": "ADA"})
MISSING = respond(404, {"message": "Customer not found"})
DOWN = respond(503, b"")


async def test_unsent_update_of_an_unconfirmed_upsert_names_the_customer() -> None:
    it = make_harness(MISSING, NO_RESPONSE, OTHER, OTHER, CONNECTION_REFUSED, CONNECTION_REFUSED, CONNECTION_REFUSED)
    with pytest.raises(OutcomeUnknownError, match="the request was not sent to ") as caught:
        await it.upsert(draft())
    error = caught.value
    assert (error.applied, error.reference, error.id, error.attempts) == ("unknown", "r-1", UUID, 3)
    assert isinstance(error.__cause__, NotSentError)
    assert error.__cause__.__traceback__ is None


async def test_confirmed_create_does_not_affect_a_later_error() -> None:
    it = make_harness(NO_RESPONSE, SENT, MISSING)

    def steps() -> Steps[Any]:
        yield from it.dialect.create(draft())
        return (yield from it.dialect.get(UUID))

    with pytest.raises(NotFoundError) as caught:
        await it.executor.run(it.account_context, "create", steps(), ("reference", "r-1"))
    assert caught.value.applied == "no"


@pytest.mark.parametrize("subject", [("reference", "r-1"), ("id", UUID), None])
async def test_request_without_subject_has_that_of_its_operation(subject: tuple[str, str] | None) -> None:
    it = make_harness(NO_RESPONSE, *[MISSING] * 5, CONNECTION_REFUSED, policy=RetryPolicy(attempts=1))

    def steps() -> Steps[Any]:
        with suppress(OutcomeUnknownError):
            yield from it.dialect.create(draft())
        return (yield from it.dialect.page(1, None))

    with pytest.raises(OutcomeUnknownError) as caught:
        await it.executor.run(it.account_context, "upsert", steps(), subject)
    assert it.executor.order.locks.released_since((1, "reference", "r-1"), 0), "a write locks its customer"
    named = {"reference": None, "id": None} | dict([subject] if subject else [])
    assert {"reference": caught.value.reference, "id": caught.value.id} == named


async def test_every_attempt_has_its_own_request_id() -> None:
    it = make_harness(
        respond(200, SENT_BODY, x_request_id="of the read"),
        no_response(sent=True),
        no_response(sent=True),
        no_response(sent=True),
    )
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.upsert(draft(name="Grace"))
    first, *others = (attempt.request_id for attempt in caught.value.history)
    assert first == "of the read"
    assert [str(uuid.UUID(str(own))) for own in others] == others
    assert {uuid.UUID(str(own)).version for own in others} == {4}


async def test_access_token_in_a_refusal_is_redacted() -> None:
    token = {"access_token": "open-sesame", "token_type": "Bearer", "expires_in": 900, "status": "approved"}
    renewed, message = token | {"access_token": "new-word"}, {"message": "open-sesame or new-word is bad"}
    it = make_harness(
        *(respond(200, token), respond(401, {}), respond(200, renewed), respond(422, message)),
        account=Monri("k", "t", auth="oauth"),
    )
    with pytest.raises(InvalidRequestError) as caught:
        await it.get(UUID)
    assert caught.value.message == "… or … is bad"


@pytest.mark.parametrize("own", [True, None])
async def test_transport_with_its_own_deadline_is_not_cancelled(own: bool | None) -> None:
    async def late(signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        await anyio.sleep(0.3)
        response = SENT(signed_request, transmission)
        assert isinstance(response, HttpResponse)
        return response

    it = use_real_time(make_harness(late, policy=RetryPolicy(deadline=0.1)))
    if own is None:
        del it.script.ends_in_time  # as in a transport without this attribute
    else:
        it.script.ends_in_time = own
    it.executor.runner = AttemptRunner(it.script, it.executor.order)
    if own:
        assert (await it.get(UUID)).record.id == UUID
    else:
        with pytest.raises(DeadlineExceededError):
            await it.get(UUID)


async def test_create_refused_because_of_a_different_customer_was_not_sent() -> None:
    it = make_harness(NO_RESPONSE, *[DOWN] * 3)
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft(name="ADA"))
    it.script.steps[:] = [OTHER]
    with pytest.raises(ConflictError, match="but differs in these fields: name") as caught:
        await it.create(draft())
    assert caught.value.applied == "no"
    assert it.script.lines().count("POST /v2/customers") == 1


async def test_delete_with_lost_body_has_an_unknown_outcome_and_the_gateways_request_id() -> None:
    lost = no_response(sent=True, status=200, x_request_id="theirs")
    with pytest.raises(OutcomeUnknownError) as caught:
        await make_harness(lost, policy=RetryPolicy(attempts=1)).delete(UUID)
    assert (caught.value.applied, caught.value.request_id) == ("unknown", "theirs")


async def test_operation_without_requests_returns_its_result() -> None:
    it = make_harness()

    def steps() -> Steps[str]:
        yield LockCustomer("reference", "r-1")
        return "nothing to do"

    done = await it.executor.run(it.account_context, "update", steps(), None)
    assert (done.record, done.status, done.attempts, it.executor.order.locks._locks) == ("nothing to do", 0, 0, {})


async def test_details_of_a_refusal_are_limited() -> None:
    names = ["n" * 201, *(f"field-{number}" for number in range(100))]
    details = [{"param_name": name, "description": f"wrong {time}"} for name in names for time in range(21)]
    refused = respond(422, {"status": 422, "error": {"message": "invalid", "details": details}})
    with pytest.raises(InvalidRequestError) as caught:
        await make_harness(refused, account=PAYDOCK).update(HEX24, CustomerPatch(name="Ada"))
    fields = caught.value.fields
    assert (len(fields), {len(messages) for messages in fields.values()}) == (100, {20})
    assert max(len(name) for name in fields) == 200


async def test_unconfirmed_wonder_update_names_the_customer() -> None:
    it = make_harness(respond(200, wonder_customer()), NO_RESPONSE, NO_RESPONSE, NO_RESPONSE, account=wonder())
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.update(UUID, CustomerPatch(name="Ada L."))
    assert (caught.value.reference, caught.value.id) == ("r-1", UUID)


async def test_message_of_a_failed_lookup_does_not_contain_values_of_the_write() -> None:
    locked = respond(503, {"message": "Customer Ada Lovelace is locked"})
    it = make_harness(NO_RESPONSE, locked, locked, locked)
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft(name="Ada Lovelace"))
    assert [it.name for it in traceback.extract_tb(caught.value.__traceback__)][-2:] == ["create", "run"]
    cause = caught.value.__cause__
    while cause is not None:
        assert "Lovelace" not in str(cause)
        assert cause.__traceback__ is None
        cause = cause.__cause__
