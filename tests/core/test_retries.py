"""What is sent again, per way of breaking: reads, what never left, what was throttled, and writes that may repeat."""

import pytest
from core.monri_responses import DOWN, GET, UNCONFIRMED_ENDS
from gateway_responses import HEX24, UUID, paydock_customer, wonder_customer

from scripted_transport import (
    CONNECTION_REFUSED,
    CREATED,
    NO_RESPONSE,
    NOT_FOUND,
    PAYDOCK,
    STALE_CONNECTION,
    draft,
    make_harness,
    no_response,
    respond,
)
from wonder_customers import (
    CustomerPatch,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    NoResponseError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitError,
    Wonder,
)

pytestmark = pytest.mark.anyio


class TestReads:
    async def test_an_answer_ends_the_call(self) -> None:
        it = make_harness(CREATED)
        answer = await it.get(UUID)
        assert (answer.record.id, answer.attempts, answer.recovered, it.clock.waits) == (UUID, 1, False, [])

    @pytest.mark.parametrize("end", [*UNCONFIRMED_ENDS, no_response(sent=True, status=200)])
    async def test_a_read_without_an_answer_is_sent_again(self, end: object) -> None:
        it = make_harness(end, CREATED)  # type: ignore[arg-type]
        answer = await it.get(UUID)
        assert answer.attempts == 2
        assert it.script.lines() == [GET, GET]

    async def test_a_stale_connection_costs_a_read_nothing(self) -> None:
        it = make_harness(STALE_CONNECTION, CREATED)
        await it.get(UUID)
        assert it.clock.waits == [0.0]
        assert it.account_context.budget.tokens == 500

    async def test_a_read_that_is_never_answered_changes_nothing(self) -> None:
        it = make_harness(NO_RESPONSE, endless=True)
        with pytest.raises(NoResponseError) as caught:
            await it.get(UUID)
        assert (caught.value.applied, caught.value.attempts) == ("no", 3)
        assert it.clock.waits == [0.25, 0.5]
        assert [record.outcome for record in caught.value.history] == ["no response"] * 3

    async def test_a_read_whose_body_is_lost_is_no_answer(self) -> None:
        it = make_harness(no_response(sent=True, status=200), endless=True)
        with pytest.raises(NoResponseError, match="HTTP 200, but its body was lost") as caught:
            await it.get(UUID)
        assert caught.value.applied == "no"

    async def test_a_broken_gateway_is_unavailable_and_a_read_changed_nothing(self) -> None:
        it = make_harness(DOWN, endless=True)
        with pytest.raises(GatewayUnavailableError) as caught:
            await it.get(UUID)
        assert (caught.value.applied, caught.value.status, caught.value.attempts) == ("no", 502, 3)

    async def test_a_read_that_cannot_be_read_changed_nothing(self) -> None:
        with pytest.raises(InvalidResponseError) as caught:
            await make_harness(respond(200, b"<html>")).get(UUID)
        assert (caught.value.applied, caught.value.attempts) == ("no", 1)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422])
    async def test_a_refusal_is_final(self, status: int) -> None:
        it = make_harness(respond(status, {"message": "no"}))
        with pytest.raises(Exception, match=f"HTTP {status}"):
            await it.get(UUID)
        assert len(it.script.sent) == 1


class TestNotSent:
    @pytest.mark.parametrize("reference", ["r-1", None])
    async def test_what_never_left_is_sent_again_for_free(self, reference: str | None) -> None:
        it = make_harness(CONNECTION_REFUSED, CONNECTION_REFUSED, CREATED)
        answer = await it.create(draft(reference=reference))
        assert answer.attempts == 3
        assert it.account_context.budget.tokens == 500

    async def test_a_gateway_that_cannot_be_reached_was_sent_nothing(self) -> None:
        with pytest.raises(NotSentError) as caught:
            await make_harness(CONNECTION_REFUSED, endless=True).create(draft())
        error = caught.value
        assert (error.applied, error.attempts, error.reference, error.gateway, error.operation) == (
            "no",
            3,
            "r-1",
            "monri",
            "create",
        )

    async def test_a_resend_that_never_left_does_not_clear_the_doubt(self) -> None:
        it = make_harness(
            NO_RESPONSE, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND, CONNECTION_REFUSED, CONNECTION_REFUSED
        )
        with pytest.raises(OutcomeUnknownError) as caught:
            await it.create(draft())
        assert isinstance(caught.value.__cause__, NotSentError)
        assert caught.value.attempts == 3


class TestThrottled:
    @pytest.mark.parametrize("reference", ["r-1", None])
    async def test_too_many_requests_is_waited_out_for_any_call(self, reference: str | None) -> None:
        it = make_harness(respond(429, {}, retry_after="7"), CREATED)
        await it.create(draft(reference=reference))
        assert it.clock.waits == [7.0 + 3.5]

    async def test_a_wait_beyond_the_deadline_is_raised_with_its_number(self) -> None:
        it = make_harness(respond(429, {}, retry_after="1e9"))
        with pytest.raises(RateLimitError) as caught:
            await it.create(draft())
        assert (caught.value.retry_after, caught.value.applied, it.clock.waits) == (1e9, "no", [])

    async def test_without_a_number_the_wait_is_the_throttled_one(self) -> None:
        it = make_harness(respond(429, {}, retry_after="-5"), respond(429, {}), CREATED)
        await it.create(draft())
        assert it.clock.waits == [0.5, 1.0]

    async def test_a_lost_body_of_a_429_is_still_a_429(self) -> None:
        it = make_harness(no_response(sent=True, status=429, retry_after="3"), CREATED)
        await it.create(draft(reference=None))
        assert it.clock.waits == [3.0 + 1.5]


class TestNaturalUpsert:
    @pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
    async def test_the_same_bytes_go_out_again(self, end: object, wonder: Wonder) -> None:
        it = make_harness(end, respond(200, wonder_customer()), account=wonder)  # type: ignore[arg-type]
        answer = await it.create(draft())
        first, second = it.script.sent
        assert (first.body, first.method, first.target) == (second.body, second.method, second.target)
        assert dict(first.headers)[b"Nonce"] != dict(second.headers)[b"Nonce"]
        assert (answer.attempts, answer.recovered) == (2, False)

    async def test_a_lost_body_is_fetched(self, wonder: Wonder) -> None:
        it = make_harness(no_response(sent=True, status=200), respond(200, wonder_customer()), account=wonder)
        await it.create(draft())
        assert it.script.lines()[1] == "GET /svc/payment/api/v1/openapi/customers/ref/r-1"

    async def test_silence_to_the_end_is_an_unknown_outcome(self, wonder: Wonder) -> None:
        with pytest.raises(OutcomeUnknownError) as caught:
            await make_harness(NO_RESPONSE, endless=True, account=wonder).create(draft())
        assert (caught.value.attempts, caught.value.applied) == (3, "unknown")

    async def test_a_broken_gateway_may_have_applied_it(self, wonder: Wonder) -> None:
        with pytest.raises(OutcomeUnknownError) as caught:
            await make_harness(DOWN, endless=True, account=wonder).create(draft())
        assert (caught.value.attempts, caught.value.applied) == (3, "unknown")
        assert isinstance(caught.value.__cause__, GatewayUnavailableError)


class TestUpdateAndDelete:
    @pytest.mark.parametrize("end", UNCONFIRMED_ENDS)
    async def test_an_update_in_doubt_is_sent_again(self, end: object) -> None:
        it = make_harness(end, CREATED)  # type: ignore[arg-type]
        await it.update(UUID, CustomerPatch(name="Ada"))
        assert it.script.lines() == [f"POST /v2/customers/{UUID}"] * 2

    async def test_an_updates_lost_body_is_fetched_by_id(self) -> None:
        it = make_harness(no_response(sent=True, status=200), CREATED)
        answer = await it.update(UUID, CustomerPatch(name="Ada"))
        assert it.script.lines()[1] == GET
        assert answer.record.name == "Ada"

    async def test_a_refusal_after_a_doubt_does_not_clear_it(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            await make_harness(NO_RESPONSE, respond(400, {"message": "name is too long"})).update(
                UUID, CustomerPatch(name="Ada")
            )
        assert (caught.value.applied, caught.value.attempts, caught.value.id) == ("unknown", 2, UUID)

    async def test_gone_after_a_doubtful_delete_means_done(self) -> None:
        it = make_harness(NO_RESPONSE, NOT_FOUND)
        assert (await it.delete(UUID)).recovered

    async def test_gone_at_the_first_try_is_not_found(self) -> None:
        with pytest.raises(NotFoundError) as caught:
            await make_harness(NOT_FOUND).delete(UUID)
        assert caught.value.applied == "no"

    async def test_a_deletes_lost_body_means_done(self) -> None:
        it = make_harness(no_response(sent=True, status=200))
        await it.delete(UUID)
        assert len(it.script.sent) == 1

    async def test_a_write_that_adds_something_is_never_repeated(self) -> None:
        from wonder_customers import VaultToken

        it = make_harness(respond(200, paydock_customer()), NO_RESPONSE, account=PAYDOCK)
        steps = it.dialect.create_payment_token(HEX24, VaultToken("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await it.executor.run(it.account_context, "create_payment_token", steps, ("id", HEX24))
        assert (caught.value.id, len(it.script.sent)) == (HEX24, 2)
