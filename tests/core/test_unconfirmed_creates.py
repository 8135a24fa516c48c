"""Unconfirmed creates and upserts are looked up and recovered, and never sent twice without a lookup."""

from typing import Any

import pytest
from core.monri_responses import CREATE, DOWN, FIND, OTHER, UNCONFIRMED_ENDS
from gateway_responses import HEX24, UUID, monri_customer, paydock_list

from scripted_transport import (
    CREATED,
    NO_RESPONSE,
    NOT_FOUND,
    PAYDOCK,
    Step,
    draft,
    make_harness,
    no_response,
    respond,
)
from wonder_customers import (
    AmbiguousReferenceError,
    ConflictError,
    GatewayUnavailableError,
    InvalidResponseError,
    OutcomeUnknownError,
    RetryPolicy,
    StopSignal,
)

pytestmark = pytest.mark.anyio

TWO = paydock_list({"_id": HEX24, "reference": "r-1"}, {"_id": HEX24[::-1], "reference": "r-1"})
TAKEN = respond(400, {"status": "invalid-request", "message": "merchant_customer_id has already been taken"})
INVALID = respond(400, {"status": "invalid-request", "message": "merchant_customer_id is invalid"})


@pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
async def test_unconfirmed_create_is_found_by_lookup(end: object) -> None:
    it = make_harness(end, CREATED)  # type: ignore[arg-type]
    response = await it.create(draft())
    assert (response.record.id, response.recovered, response.attempts) == (UUID, True, 2)
    assert it.script.lines() == [CREATE, FIND]


async def test_unconfirmed_create_is_resent_once_after_the_confirmation_window() -> None:
    it = make_harness(NO_RESPONSE, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, CREATED)
    response = await it.create(draft())
    assert it.script.lines() == [CREATE, *[FIND] * 5, CREATE]
    assert it.clock.waits == [0.5, 1.0, 2.0, 4.0, 2.5, 0.0]
    assert (response.recovered, response.attempts) == (False, 7)
    assert it.script.sent[0].body == it.script.sent[6].body


async def test_create_is_sent_at_most_twice() -> None:
    it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, NO_RESPONSE, *[NOT_FOUND] * 5, policy=RetryPolicy(attempts=9))
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft())
    assert it.script.lines().count(CREATE) == 2
    assert (caught.value.applied, caught.value.attempts, caught.value.reference) == ("unknown", 2, "r-1")
    assert "session.resolve(error)" in str(caught.value)


@pytest.mark.parametrize("refusal", [TAKEN, INVALID], ids=["taken", "invalid"])
async def test_resent_create_that_is_refused_recovers_the_first(refusal: Step) -> None:
    it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, refusal, CREATED)
    response = await it.create(draft())
    assert (response.record.id, response.recovered) == (UUID, True)


async def test_taken_reference_on_first_attempt_is_a_conflict() -> None:
    it = make_harness(TAKEN)
    with pytest.raises(ConflictError) as caught:
        await it.create(draft())
    assert (caught.value.applied, len(it.script.sent)) == ("no", 1)


async def test_lookup_that_finds_a_different_customer_is_a_conflict() -> None:
    it = make_harness(NO_RESPONSE, OTHER)
    with pytest.raises(ConflictError, match="but differs in these fields: name") as caught:
        await it.create(draft())
    assert (caught.value.ids, caught.value.applied, caught.value.reference) == ((UUID,), "unknown", "r-1")


async def test_failed_lookup_leaves_the_outcome_unknown() -> None:
    it = make_harness(NO_RESPONSE, DOWN, DOWN, DOWN)
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft())
    assert isinstance(caught.value.__cause__, GatewayUnavailableError)
    assert it.script.lines() == [CREATE, FIND, FIND, FIND]


async def test_deadline_ends_lookups() -> None:
    it = make_harness(NO_RESPONSE, NOT_FOUND, policy=RetryPolicy(deadline=3.0, confirmation_window=2.9))
    it.script.takes = 1.0
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft())
    assert it.clock.waits == [0.5]
    assert caught.value.elapsed == pytest.approx(2.5)


@pytest.mark.parametrize("how", ["closed", "stopped"])
async def test_no_lookup_is_sent_after_the_end_of_the_session_or_job(how: str) -> None:
    it = make_harness(NO_RESPONSE)
    it.account_context.stop = stop = StopSignal()

    async def end(seconds: float) -> None:
        it.executor.runner.closed, stop.is_set = how == "closed", how == "stopped"

    it.executor.waits.sleep = end
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    assert it.script.lines() == [CREATE]


@pytest.mark.parametrize(("age", "recovered"), [(11, True), (12, False)])
async def test_customer_that_is_older_than_the_call_is_not_recovered(age: int, recovered: bool) -> None:
    """The call has taken one second before the lookup, and the clocks of the gateway may differ by ten."""
    created_at = f"2026-11-28T12:00:{59 - age:02}Z"
    made = monri_customer(merchant_customer_id="r-1", name="Ada", phone="+447911123456", created_at=created_at)
    it = make_harness(NO_RESPONSE, respond(200, made, date="Sat, 28 Nov 2026 12:00:59 GMT"))
    it.script.takes = 0.5
    if recovered:
        assert (await it.create(draft())).recovered
    else:
        with pytest.raises(ConflictError, match="was created before this call"):
            await it.create(draft())


async def test_create_without_attempts_left_is_only_looked_up() -> None:
    it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, policy=RetryPolicy(attempts=1))
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    assert it.script.lines().count(CREATE) == 1


async def test_create_with_lost_body_is_looked_up_and_not_resent() -> None:
    it = make_harness(no_response(sent=True, status=201), CREATED)
    response = await it.create(draft())
    assert (response.recovered, it.script.lines(), it.clock.waits) == (True, [CREATE, FIND], [0.0])


async def test_create_with_lost_body_is_recovered_with_changed_values() -> None:
    response = await make_harness(no_response(sent=True, status=201), OTHER).create(draft())
    assert response.record.name == "Grace"


async def test_create_with_lost_body_that_is_not_found_reports_applied() -> None:
    it = make_harness(no_response(sent=True, status=201), *[NOT_FOUND] * 6)
    with pytest.raises(InvalidResponseError) as caught:
        await it.create(draft())
    assert (caught.value.applied, caught.value.status) == ("yes", 201)
    assert it.script.lines().count(CREATE) == 1


@pytest.mark.parametrize("refusal", [respond(409, {"message": "locked"}), TAKEN, INVALID])
async def test_create_with_lost_body_whose_lookup_is_refused_reports_applied(refusal: Step) -> None:
    it = make_harness(no_response(sent=True, status=201), refusal)
    with pytest.raises(InvalidResponseError) as caught:
        await it.create(draft())
    assert (caught.value.applied, it.script.lines()) == ("yes", [CREATE, FIND])


@pytest.mark.parametrize(("end", "applied"), [(NO_RESPONSE, "unknown"), (no_response(sent=True, status=201), "yes")])
async def test_lookup_that_finds_two_customers_is_ambiguous(end: Any, applied: str) -> None:
    found = respond(200, TWO)
    it = make_harness(end, found, found, account=PAYDOCK)
    with pytest.raises(AmbiguousReferenceError) as caught:
        await it.create(draft())
    assert (set(caught.value.ids), caught.value.applied) == ({HEX24, HEX24[::-1]}, applied)
    if applied == "unknown":
        with pytest.raises(AmbiguousReferenceError) as caught:
            await it.create(draft())
        assert (caught.value.applied, caught.value.gateway, len(caught.value.history)) == ("no", "paydock", 1)


@pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
async def test_create_without_reference_is_never_resent(end: object) -> None:
    it = make_harness(end)  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft(reference=None))
    assert (caught.value.applied, caught.value.attempts, len(it.script.sent)) == ("unknown", 1, 1)
    assert "search the gateway's customer list" in str(caught.value)


async def test_create_without_reference_and_with_lost_body_reports_applied() -> None:
    with pytest.raises(InvalidResponseError) as caught:
        await make_harness(no_response(sent=True, status=201)).create(draft(reference=None))
    assert (caught.value.applied, caught.value.hint) == (
        "yes",
        "Read the customer or the payment tokens to see the result.",
    )


async def test_upsert_updates_a_different_customer_found_after_a_lost_create() -> None:
    it = make_harness(NOT_FOUND, NO_RESPONSE, OTHER, OTHER, CREATED)
    response = await it.upsert(draft())
    assert response.record.name == "Ada"
