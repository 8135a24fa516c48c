"""Unconfirmed creates and upserts are looked up and recovered, and never sent twice without a lookup."""

import pytest
from core.monri_responses import CREATE, DOWN, FIND, OTHER, UNCONFIRMED_ENDS
from gateway_responses import HEX24, UUID, paydock_list

from scripted_transport import CREATED, NO_RESPONSE, NOT_FOUND, PAYDOCK, draft, make_harness, no_response, respond
from wonder_customers import (
    AmbiguousReferenceError,
    ConflictError,
    GatewayUnavailableError,
    InvalidResponseError,
    OutcomeUnknownError,
    RetryPolicy,
)

pytestmark = pytest.mark.anyio

TAKEN = respond(400, {"status": "invalid-request", "message": "merchant_customer_id has already been taken"})


class TestCreateWithLookUp:
    @pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
    async def test_a_create_in_doubt_is_looked_up_and_adopted(self, end: object) -> None:
        it = make_harness(end, CREATED)  # type: ignore[arg-type]
        answer = await it.create(draft())
        assert (answer.record.id, answer.recovered, answer.attempts) == (UUID, True, 2)
        assert it.script.lines() == [CREATE, FIND]

    async def test_it_is_looked_up_until_the_settle_time_and_sent_once_more(self) -> None:
        it = make_harness(NO_RESPONSE, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, CREATED)
        answer = await it.create(draft())
        assert it.script.lines() == [CREATE, *[FIND] * 5, CREATE]
        assert it.clock.waits == [0.5, 1.0, 2.0, 4.0, 2.5, 0.0]
        assert (answer.recovered, answer.attempts) == (False, 7)
        assert it.script.sent[0].body == it.script.sent[6].body

    async def test_after_the_second_silence_it_is_only_looked_up(self) -> None:
        it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, NO_RESPONSE, *[NOT_FOUND] * 5, policy=RetryPolicy(attempts=9))
        with pytest.raises(OutcomeUnknownError) as caught:
            await it.create(draft())
        assert it.script.lines().count(CREATE) == 2
        assert (caught.value.applied, caught.value.attempts, caught.value.reference) == ("unknown", 2, "r-1")
        assert "session.resolve(error)" in str(caught.value)

    async def test_a_second_create_that_finds_its_reference_taken_adopts_the_first(self) -> None:
        it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, TAKEN, CREATED)
        answer = await it.create(draft())
        assert (answer.record.id, answer.recovered) == (UUID, True)

    async def test_a_reference_that_was_taken_before_is_a_duplicate_at_once(self) -> None:
        it = make_harness(TAKEN)
        with pytest.raises(ConflictError) as caught:
            await it.create(draft())
        assert (caught.value.applied, len(it.script.sent)) == ("no", 1)

    async def test_what_is_found_but_is_not_what_was_sent_is_not_adopted(self) -> None:
        it = make_harness(NO_RESPONSE, OTHER)
        with pytest.raises(ConflictError, match="but differs in name") as caught:
            await it.create(draft())
        assert (caught.value.ids, caught.value.applied, caught.value.reference) == ((UUID,), "unknown", "r-1")

    async def test_a_look_that_fails_leaves_the_outcome_unknown(self) -> None:
        it = make_harness(NO_RESPONSE, DOWN, DOWN, DOWN)
        with pytest.raises(OutcomeUnknownError) as caught:
            await it.create(draft())
        assert isinstance(caught.value.__cause__, GatewayUnavailableError)
        assert it.script.lines() == [CREATE, FIND, FIND, FIND]

    async def test_the_deadline_ends_the_looks(self) -> None:
        it = make_harness(NO_RESPONSE, NOT_FOUND, policy=RetryPolicy(deadline=3.0, confirmation_window=2.9))
        it.script.takes = 1.0
        with pytest.raises(OutcomeUnknownError) as caught:
            await it.create(draft())
        assert it.clock.waits == [0.5]
        assert caught.value.elapsed == pytest.approx(2.5)

    async def test_without_attempts_left_it_is_looked_up_and_not_sent_again(self) -> None:
        it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, policy=RetryPolicy(attempts=1))
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        assert it.script.lines().count(CREATE) == 1

    async def test_a_lost_body_means_applied_and_is_fetched_and_never_sent_again(self) -> None:
        it = make_harness(no_response(sent=True, status=201), CREATED)
        answer = await it.create(draft())
        assert (answer.recovered, it.script.lines(), it.clock.waits) == (True, [CREATE, FIND], [0.0])

    async def test_a_lost_body_is_adopted_even_when_the_gateway_changed_it(self) -> None:
        answer = await make_harness(no_response(sent=True, status=201), OTHER).create(draft())
        assert answer.record.name == "Grace"

    async def test_a_lost_body_that_never_shows_up_is_applied_all_the_same(self) -> None:
        it = make_harness(no_response(sent=True, status=201), *[NOT_FOUND] * 6)
        with pytest.raises(InvalidResponseError) as caught:
            await it.create(draft())
        assert (caught.value.applied, caught.value.status) == ("yes", 201)
        assert it.script.lines().count(CREATE) == 1

    async def test_success_gives_the_tokens_back(self) -> None:
        it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, CREATED)
        it.account_context.budget.take(100)
        await it.create(draft())
        assert it.account_context.budget.tokens == 400

    async def test_two_customers_with_the_reference_are_named_and_left_alone(self) -> None:
        two = paydock_list({"_id": HEX24, "reference": "r-1"}, {"_id": HEX24[::-1], "reference": "r-1"})
        it = make_harness(NO_RESPONSE, respond(200, two), account=PAYDOCK)
        with pytest.raises(AmbiguousReferenceError) as caught:
            await it.create(draft())
        assert (set(caught.value.ids), caught.value.applied) == ({HEX24, HEX24[::-1]}, "unknown")


class TestCreateWithoutReference:
    @pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
    async def test_it_is_never_sent_twice(self, end: object) -> None:
        it = make_harness(end)  # type: ignore[arg-type]
        with pytest.raises(OutcomeUnknownError) as caught:
            await it.create(draft(reference=None))
        assert (caught.value.applied, caught.value.attempts, len(it.script.sent)) == ("unknown", 1, 1)
        assert "search the gateway's customer list" in str(caught.value)

    async def test_a_lost_body_is_applied(self) -> None:
        with pytest.raises(InvalidResponseError) as caught:
            await make_harness(no_response(sent=True, status=201)).create(draft(reference=None))
        assert caught.value.applied == "yes"


class TestUpsertByLookUp:
    async def test_it_creates_what_is_missing(self) -> None:
        it = make_harness(NOT_FOUND, CREATED)
        await it.upsert(draft())
        assert it.script.lines() == [FIND, CREATE]

    async def test_it_updates_what_is_there(self) -> None:
        it = make_harness(OTHER, CREATED)
        answer = await it.upsert(draft())
        assert it.script.lines() == [FIND, f"POST /v2/customers/{UUID}"]
        assert answer.record.name == "Ada"

    async def test_it_updates_what_somebody_else_made_meanwhile(self) -> None:
        it = make_harness(NOT_FOUND, TAKEN, OTHER, CREATED)
        await it.upsert(draft())
        assert it.script.lines() == [FIND, CREATE, FIND, f"POST /v2/customers/{UUID}"]

    async def test_it_updates_what_a_lost_create_did_not_make(self) -> None:
        it = make_harness(NOT_FOUND, NO_RESPONSE, OTHER, OTHER, CREATED)
        answer = await it.upsert(draft())
        assert answer.record.name == "Ada"

    async def test_two_paydock_customers_are_ambiguous_before_anything_is_written(self) -> None:
        two = paydock_list({"_id": HEX24, "reference": "r-1"}, {"_id": HEX24[::-1], "reference": "r-1"})
        it = make_harness(respond(200, two), account=PAYDOCK)
        with pytest.raises(AmbiguousReferenceError) as caught:
            await it.upsert(draft())
        assert caught.value.applied == "no"
