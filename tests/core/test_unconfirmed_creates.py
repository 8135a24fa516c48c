"""Unconfirmed creates and upserts are looked up and recovered, and never sent twice without a lookup."""

from typing import Any

import pytest
from core.monri_responses import CREATE, DOWN, FIND, OTHER, UNCONFIRMED_ENDS
from gateway_responses import HEX24, UUID, monri_customer, paydock_list, wonder_customer
from mock_gateway import wonder

from scripted_transport import (
    CONNECTION_REFUSED,
    CREATED,
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
    AmbiguousReferenceError,
    CallError,
    ConflictError,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    NoResponseError,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    StopSignal,
)

TWO = paydock_list({"_id": HEX24, "reference": "r-1"}, {"_id": HEX24[::-1], "reference": "r-1"})
TAKEN = respond(400, {"status": "invalid-request", "message": "merchant_customer_id has already been taken"})
INVALID = respond(400, {"status": "invalid-request", "message": "merchant_customer_id is invalid"})
LOST_BODY = no_response(sent=True, status=201)
UNTIL_RESENT = [NO_RESPONSE, *[NOT_FOUND] * 5]
"""A create without a response, and the lookups in the confirmation window. Then, the create is sent again."""
WAITS = [0.5, 1.0, 2.0, 4.0, 2.5, 0.0]


@pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
async def test_unconfirmed_create_is_found_by_lookup(end: Step) -> None:
    it = make_harness(end, CREATED)
    response = await it.create(draft())
    assert (response.record.id, response.recovered, response.attempts) == (UUID, True, 2)
    assert it.script.lines() == [CREATE, FIND]


@pytest.mark.parametrize(
    ("steps", "name", "waits"),
    [
        ([*UNTIL_RESENT, TAKEN, CREATED], "Ada", [*WAITS, 0.0]),
        ([*UNTIL_RESENT, INVALID, CREATED], "Ada", [*WAITS, 0.0]),
        ([LOST_BODY, CREATED], "Ada", [0.0]),
        ([LOST_BODY, NOT_FOUND, NOT_FOUND, CREATED], "Ada", [0.0, 0.5, 1.0]),
        ([LOST_BODY, OTHER], "Grace", [0.0]),
    ],
    ids=["resent and taken", "resent and invalid", "lost body", "lost body, found late", "lost body, changed"],
)
async def test_create_is_recovered(steps: list[Step], name: str, waits: list[float]) -> None:
    it = make_harness(*steps)
    response = await it.create(draft())
    assert (response.record.id, response.record.name, response.recovered) == (UUID, name, True)
    assert it.script.lines().count(CREATE) == 1 + (steps[0] is NO_RESPONSE)
    assert it.clock.waits == waits


@pytest.mark.parametrize("end", [NO_RESPONSE, STALE_CONNECTION])
async def test_unconfirmed_create_is_resent_once_after_the_confirmation_window(end: Step) -> None:
    it = make_harness(end, *[NOT_FOUND] * 5, CREATED)
    response = await it.create(draft())
    assert it.script.lines() == [CREATE, *[FIND] * 5, CREATE]
    assert it.clock.waits == WAITS
    assert (response.record.id, response.recovered, response.attempts) == (UUID, False, 7)
    assert it.script.sent[0].body == it.script.sent[6].body


ONCE, OFTEN = RetryPolicy(attempts=1), RetryPolicy(attempts=9)
FAILED: dict[str, tuple[list[Step], RetryPolicy | None, type[CallError], str, tuple[int, int]]] = {
    "taken": ([TAKEN], None, ConflictError, "no", (1, 0)),
    "no lookup succeeds": ([NO_RESPONSE, *[DOWN] * 3], None, OutcomeUnknownError, "unknown", (1, 3)),
    "sent twice": ([*UNTIL_RESENT, *UNTIL_RESENT], OFTEN, OutcomeUnknownError, "unknown", (2, 10)),
    "no attempt left": (UNTIL_RESENT, ONCE, OutcomeUnknownError, "unknown", (1, 5)),
    "not resent": ([*UNTIL_RESENT, *[CONNECTION_REFUSED] * 2], None, OutcomeUnknownError, "unknown", (3, 5)),
    "resent and invalid": ([*UNTIL_RESENT, INVALID, *[NOT_FOUND] * 6], None, InvalidRequestError, "unknown", (2, 11)),
    "resent, lost body": ([*UNTIL_RESENT, LOST_BODY, *[NOT_FOUND] * 6], None, InvalidResponseError, "yes", (2, 11)),
    "lost body": ([LOST_BODY, *[NOT_FOUND] * 6], None, InvalidResponseError, "yes", (1, 6)),
    "lost body, lookup locked": ([LOST_BODY, respond(409)], None, InvalidResponseError, "yes", (1, 1)),
    "lost body, lookup taken": ([LOST_BODY, TAKEN], None, InvalidResponseError, "yes", (1, 1)),
    "lost body, lookup invalid": ([LOST_BODY, INVALID], None, InvalidResponseError, "yes", (1, 1)),
}
CAUSES = {"no lookup succeeds": GatewayUnavailableError, "not resent": NotSentError}


@pytest.mark.parametrize("case", FAILED)
async def test_create_that_is_not_recovered_raises(case: str) -> None:
    steps, policy, kind, applied, (creates, lookups) = FAILED[case]
    it = make_harness(*steps, policy=policy)
    with pytest.raises(kind) as caught:
        await it.create(draft())
    error = caught.value
    assert (type(error), error.applied, error.attempts, error.reference) == (kind, applied, creates, "r-1")
    assert (it.script.lines().count(CREATE), it.script.lines().count(FIND)) == (creates, lookups)
    assert case not in CAUSES or isinstance(error.__cause__, CAUSES[case])
    assert ("session.resolve(error)" in str(error)) == (kind is OutcomeUnknownError)


async def test_native_upsert_with_status_201_and_a_lost_body_is_looked_up() -> None:
    it = make_harness(LOST_BODY, respond(200, wonder_customer()), account=wonder())
    await it.create(draft())
    assert it.script.lines()[1] == "GET /svc/payment/api/v1/openapi/customers/ref/r-1"


async def test_deadline_ends_lookups() -> None:
    it = make_harness(NO_RESPONSE, NOT_FOUND, policy=RetryPolicy(deadline=3.0, confirmation_window=2.9))
    it.script.takes = 1.0
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft())
    assert it.clock.waits == [0.5]
    assert caught.value.elapsed == pytest.approx(2.5)


@pytest.mark.parametrize("how", ["closed", "stopped"])
async def test_no_lookup_is_sent_after_the_end_of_the_session_or_job(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    it = make_harness(NO_RESPONSE)
    it.account_context.stop = stop = StopSignal()

    async def end(seconds: float) -> None:
        it.executor.runner.closed, stop.is_set = how == "closed", how == "stopped"

    monkeypatch.setattr("wonder_customers._support.clock.sleep", end)
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


@pytest.mark.parametrize(("end", "applied"), [(NO_RESPONSE, "unknown"), (LOST_BODY, "yes")])
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


@pytest.mark.parametrize("end", [*UNCONFIRMED_ENDS, LOST_BODY])
async def test_create_without_reference_is_never_resent(end: Step) -> None:
    it = make_harness(end)
    with pytest.raises(InvalidResponseError if end is LOST_BODY else OutcomeUnknownError) as caught:
        await it.create(draft(reference=None))
    applied = "yes" if end is LOST_BODY else "unknown"
    assert (caught.value.applied, caught.value.attempts, len(it.script.sent)) == (applied, 1, 1)
    hint = (
        "Read the customer or the payment tokens to see" if end is LOST_BODY else "search the gateway's customer list"
    )
    assert hint in str(caught.value)


async def test_upsert_updates_a_different_customer_found_after_a_lost_create() -> None:
    it = make_harness(NOT_FOUND, NO_RESPONSE, OTHER, OTHER, CREATED)
    response = await it.upsert(draft())
    assert response.record.name == "Ada"


@pytest.mark.parametrize(("end", "cause"), [(NO_RESPONSE, NoResponseError), (DOWN, GatewayUnavailableError)])
async def test_unconfirmed_create_stays_unknown_after_reads(end: Step, cause: type[Exception]) -> None:
    it = make_harness(NOT_FOUND, NO_RESPONSE, OTHER, end, end, end)
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.upsert(draft())
    error = caught.value
    assert (error.applied, error.reference, error.gateway, error.operation) == ("unknown", "r-1", "monri", "upsert")
    assert (type(error.__cause__), error.attempts, len(error.history)) == (cause, 3, 6)


async def test_refusal_after_an_unconfirmed_create_stays_unknown() -> None:
    it = make_harness(NOT_FOUND, NO_RESPONSE, OTHER, NOT_FOUND)
    with pytest.raises(ConflictError) as caught:
        await it.upsert(draft())
    assert caught.value.applied == "unknown"
