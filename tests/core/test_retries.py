"""Which requests are sent again: reads, unsent requests, throttled requests, and writes that can be repeated."""

import pytest
from core.monri_responses import DOWN, GET, UNCONFIRMED_ENDS
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, wonder_customer
from mock_gateway import wonder

from scripted_transport import (
    CONNECTION_REFUSED,
    CREATED,
    MONRI,
    NO_RESPONSE,
    NOT_FOUND,
    PAYDOCK,
    STALE_CONNECTION,
    Step,
    draft,
    make_harness,
    no_response,
    respond,
)
from wonder_customers import (
    CallError,
    CustomerPatch,
    GatewayUnavailableError,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitError,
    VaultToken,
)

LOST_BODY = no_response(sent=True, status=200)


async def test_response_ends_the_call() -> None:
    it = make_harness(CREATED)
    response = await it.get(UUID)
    assert (response.record.id, response.attempts, response.recovered, it.clock.waits) == (UUID, 1, False, [])


@pytest.mark.parametrize(
    ("step", "words", "waits"),
    [
        (NO_RESPONSE, "no complete response arrived", [0.25, 0.5]),
        (DOWN, "HTTP 502", [0.25, 0.5]),
        (respond(200, b"<html>"), "HTTP 200", []),
        *((respond(status, {"message": "no"}), f"HTTP {status}", []) for status in (400, 401, 403, 404, 409, 418, 422)),
    ],
)
async def test_failed_read_was_not_applied_and_is_resent_if_the_failure_may_pass(
    step: Step, words: str, waits: list[float]
) -> None:
    it = make_harness(step, endless=True)
    with pytest.raises(CallError, match=words) as caught:
        await it.get(UUID)
    assert (caught.value.applied, caught.value.attempts, it.clock.waits) == ("no", len(waits) + 1, waits)
    assert len({record.outcome for record in caught.value.history}) == 1
    assert len(caught.value.history) == len(it.script.sent) == len(waits) + 1


@pytest.mark.parametrize("end", [*UNCONFIRMED_ENDS, LOST_BODY])
async def test_read_without_response_is_resent(end: Step) -> None:
    it = make_harness(end, CREATED)
    response = await it.get(UUID)
    assert response.attempts == 2
    assert (it.script.lines(), len(it.clock.waits)) == ([GET, GET], 1)


@pytest.mark.parametrize("reference", ["r-1", None])
async def test_unsent_request_is_resent_at_no_cost(reference: str | None) -> None:
    it = make_harness(CONNECTION_REFUSED, CONNECTION_REFUSED, CREATED)
    response = await it.create(draft(reference=reference))
    assert response.attempts == 3
    assert it.account_context.account.budget.tokens == 500


async def test_read_on_a_stale_connection_is_resent_at_no_cost() -> None:
    it = make_harness(STALE_CONNECTION, CREATED)
    await it.get(UUID)
    assert (it.clock.waits, it.account_context.account.budget.tokens) == ([0.0], 500)


@pytest.mark.parametrize("reference", ["r-1", None])
@pytest.mark.parametrize(
    ("ends", "waits"),
    [
        ([respond(429, {}, retry_after="7")], [7.0 + 3.5]),
        ([respond(429, {}, retry_after="-5"), respond(429, {})], [0.5, 1.0]),
        ([no_response(sent=True, status=429, retry_after="3")], [3.0 + 1.5]),
    ],
    ids=["Retry-After", "no valid Retry-After", "lost body"],
)
async def test_http_429_is_waited_out(ends: list[Step], waits: list[float], reference: str | None) -> None:
    it = make_harness(*ends, CREATED)
    await it.create(draft(reference=reference))
    assert it.clock.waits == waits


async def test_retry_after_beyond_the_deadline_raises_rate_limit_error() -> None:
    it = make_harness(respond(429, {}, retry_after="1e9"))
    with pytest.raises(RateLimitError) as caught:
        await it.create(draft())
    assert (caught.value.retry_after, caught.value.applied, it.clock.waits) == (1e9, "no", [])


@pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
async def test_native_upsert_is_resent_with_the_same_body(end: Step) -> None:
    it = make_harness(end, respond(200, wonder_customer()), account=wonder())
    response = await it.create(draft())
    first, second = it.script.sent
    assert (first.body, first.method, first.target) == (second.body, second.method, second.target)
    assert dict(first.headers)[b"Nonce"] != dict(second.headers)[b"Nonce"]
    assert (response.attempts, response.recovered) == (2, False)


@pytest.mark.parametrize("end", [NO_RESPONSE, DOWN])
async def test_native_upsert_that_stays_unconfirmed_has_an_unknown_outcome(end: Step) -> None:
    with pytest.raises(OutcomeUnknownError) as caught:
        await make_harness(end, endless=True, account=wonder()).create(draft())
    assert (caught.value.attempts, caught.value.applied) == (3, "unknown")
    assert isinstance(caught.value.__cause__, GatewayUnavailableError) == (end is DOWN)


async def test_refusal_with_429_after_an_unconfirmed_attempt_leaves_the_outcome_unknown() -> None:
    it = make_harness(NO_RESPONSE, respond(429, {}, retry_after="1e9"), account=wonder())
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft())
    assert isinstance(caught.value.__cause__, RateLimitError)


@pytest.mark.parametrize("end", [*UNCONFIRMED_ENDS, *(no_response(sent=True, status=it) for it in (200, 202))])
async def test_unconfirmed_update_is_resent(end: Step) -> None:
    it = make_harness(end, CREATED)
    await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.script.lines() == [f"POST /v2/customers/{UUID}"] * 2


async def test_update_with_status_201_and_a_lost_body_is_looked_up_by_id() -> None:
    it = make_harness(no_response(sent=True, status=201), CREATED)
    response = await it.update(UUID, CustomerPatch(name="Ada"))
    assert it.script.lines()[1] == GET
    assert response.record.name == "Ada"


@pytest.mark.parametrize("operation", ["create", "delete"])
async def test_write_whose_refusal_with_status_200_is_lost_is_resent_and_refused(operation: str) -> None:
    refused = respond(200, {"code": 10001, "status": "invalid-request", "message": "the e-mail is blocked"})
    it = make_harness(LOST_BODY, refused, account=wonder() if operation == "create" else MONRI)
    with pytest.raises(InvalidRequestError, match="the e-mail is blocked"):
        await (it.create(draft()) if operation == "create" else it.delete(UUID))
    first, second = it.script.lines()
    assert first == second


async def test_refusal_after_an_unconfirmed_update_stays_unknown() -> None:
    it = make_harness(NO_RESPONSE, respond(400, {"message": "name is too long"}))
    with pytest.raises(InvalidRequestError) as caught:
        await it.update(UUID, CustomerPatch(name="Ada"))
    assert (caught.value.applied, caught.value.attempts, caught.value.id) == ("unknown", 2, UUID)


async def test_customer_that_is_not_found_is_deleted_only_after_an_unconfirmed_deletion() -> None:
    assert (await make_harness(NO_RESPONSE, NOT_FOUND).delete(UUID)).recovered
    with pytest.raises(NotFoundError) as caught:
        await make_harness(NOT_FOUND).delete(UUID)
    assert caught.value.applied == "no"


async def test_payment_token_creation_is_never_resent() -> None:
    it = make_harness(respond(200, paydock_customer()), NO_RESPONSE, account=PAYDOCK)
    steps = it.dialect.create_payment_token(HEX24, VaultToken("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.executor.run(it.account_context, "create_payment_token", steps, ("id", HEX24))
    assert (caught.value.id, len(it.script.sent)) == (HEX24, 2)


async def test_calls_throttled_together_are_retried_at_different_times() -> None:
    waits = []
    for draw in (0.0, 0.25, 0.5, 0.75):
        it = make_harness(respond(429, {}, retry_after="1"), respond(200, monri_customer()))
        it.executor.draw = lambda draw=draw: draw  # type: ignore[misc]
        await it.get(UUID)
        waits.append(it.clock.waits[0])
    assert waits == [1.0, 1.25, 1.5, 1.75]
