"""What follows each way an attempt can end, on the wire and in the error."""

import anyio
import pytest

from scripted import (
    HEX,
    PAYDOCK,
    REFUSED,
    SILENT,
    STALE,
    UUID,
    bench,
    draft,
    lost,
    monri_customer,
    paydock_customer,
    paydock_list,
    reply,
    wonder_account,
    wonder_customer,
)
from wonder_customers import (
    Ambiguous,
    Customer,
    CustomerPatch,
    DeadlineExceeded,
    Duplicate,
    InvalidReply,
    Monri,
    NoAnswer,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    RetryPolicy,
    Unauthorized,
    Unavailable,
    Wonder,
)

pytestmark = pytest.mark.anyio

MADE = reply(200, monri_customer(merchant_customer_id="r-1", name="Ada", phone="+447911123456"))
OTHER = reply(200, monri_customer(merchant_customer_id="r-1", name="Grace", phone="+447911123456"))
MISSING = reply(404, {"status": "invalid-request", "message": "Customer not found"})
TAKEN = reply(400, {"status": "invalid-request", "message": "merchant_customer_id has already been taken"})
DOWN = reply(502, b"<html>")
DOUBTFUL = [SILENT, STALE, DOWN, reply(500, {}), reply(503, {}), reply(504, {}), lost(sent=True, status=500)]

CREATE = "POST /v2/customers"
FIND = "GET /v2/merchants/customers/r-1"
GET = f"GET /v2/customers/{UUID}"


@pytest.fixture(scope="module")
def wonder() -> Wonder:
    return wonder_account()


class TestReads:
    async def test_an_answer_ends_the_call(self) -> None:
        it = bench(MADE)
        answer = await it.get(UUID)
        assert (answer.record.id, answer.attempts, answer.adopted, it.clock.waits) == (UUID, 1, False, [])

    @pytest.mark.parametrize("end", [*DOUBTFUL, lost(sent=True, status=200)])
    async def test_a_read_without_an_answer_is_sent_again(self, end: object) -> None:
        it = bench(end, MADE)  # type: ignore[arg-type]
        answer = await it.get(UUID)
        assert answer.attempts == 2
        assert it.script.lines() == [GET, GET]

    async def test_a_stale_connection_costs_a_read_nothing(self) -> None:
        it = bench(STALE, MADE)
        await it.get(UUID)
        assert it.clock.waits == [0.0]
        assert it.speaker.budget.tokens == 500

    async def test_a_read_that_is_never_answered_changes_nothing(self) -> None:
        it = bench(SILENT, endless=True)
        with pytest.raises(NoAnswer) as caught:
            await it.get(UUID)
        assert (caught.value.applied, caught.value.attempts) == ("no", 3)
        assert it.clock.waits == [0.25, 0.5]
        assert [record.outcome for record in caught.value.history] == ["no answer"] * 3

    async def test_a_read_whose_body_is_lost_is_no_answer(self) -> None:
        it = bench(lost(sent=True, status=200), endless=True)
        with pytest.raises(NoAnswer, match="HTTP 200, but the body was lost") as caught:
            await it.get(UUID)
        assert caught.value.applied == "no"

    async def test_a_broken_gateway_is_unavailable_and_a_read_changed_nothing(self) -> None:
        it = bench(DOWN, endless=True)
        with pytest.raises(Unavailable) as caught:
            await it.get(UUID)
        assert (caught.value.applied, caught.value.status, caught.value.attempts) == ("no", 502, 3)

    async def test_a_read_that_cannot_be_read_changed_nothing(self) -> None:
        with pytest.raises(InvalidReply) as caught:
            await bench(reply(200, b"<html>")).get(UUID)
        assert (caught.value.applied, caught.value.attempts) == ("no", 1)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422])
    async def test_a_refusal_is_final(self, status: int) -> None:
        it = bench(reply(status, {"message": "no"}))
        with pytest.raises(Exception, match=f"HTTP {status}"):
            await it.get(UUID)
        assert len(it.script.sent) == 1


class TestNotSent:
    @pytest.mark.parametrize("reference", ["r-1", None])
    async def test_what_never_left_is_sent_again_for_free(self, reference: str | None) -> None:
        it = bench(REFUSED, REFUSED, MADE)
        answer = await it.create(draft(reference=reference))
        assert answer.attempts == 3
        assert it.speaker.budget.tokens == 500

    async def test_a_gateway_that_cannot_be_reached_was_sent_nothing(self) -> None:
        with pytest.raises(NotSent) as caught:
            await bench(REFUSED, endless=True).create(draft())
        error = caught.value
        assert (error.applied, error.attempts, error.reference, error.gateway, error.operation) == (
            "no",
            3,
            "r-1",
            "monri",
            "create",
        )

    async def test_a_resend_that_never_left_does_not_clear_the_doubt(self) -> None:
        it = bench(SILENT, MISSING, MISSING, MISSING, MISSING, MISSING, REFUSED, REFUSED)
        with pytest.raises(OutcomeUnknown) as caught:
            await it.create(draft())
        assert isinstance(caught.value.__cause__, NotSent)
        assert caught.value.attempts == 3


class TestThrottled:
    @pytest.mark.parametrize("reference", ["r-1", None])
    async def test_too_many_requests_is_waited_out_for_any_call(self, reference: str | None) -> None:
        it = bench(reply(429, {}, retry_after="7"), MADE)
        await it.create(draft(reference=reference))
        assert it.clock.waits == [7.0]

    async def test_a_wait_beyond_the_deadline_is_raised_with_its_number(self) -> None:
        it = bench(reply(429, {}, retry_after="1e9"))
        with pytest.raises(RateLimited) as caught:
            await it.create(draft())
        assert (caught.value.retry_after, caught.value.applied, it.clock.waits) == (1e9, "no", [])

    async def test_without_a_number_the_wait_is_the_throttled_one(self) -> None:
        it = bench(reply(429, {}, retry_after="-5"), reply(429, {}), MADE)
        await it.create(draft())
        assert it.clock.waits == [0.5, 1.0]

    async def test_a_lost_body_of_a_429_is_still_a_429(self) -> None:
        it = bench(lost(sent=True, status=429, retry_after="3"), MADE)
        await it.create(draft(reference=None))
        assert it.clock.waits == [3.0]


class TestCreateWithLookUp:
    @pytest.mark.parametrize("end", DOUBTFUL)
    async def test_a_create_in_doubt_is_looked_up_and_adopted(self, end: object) -> None:
        it = bench(end, MADE)  # type: ignore[arg-type]
        answer = await it.create(draft())
        assert (answer.record.id, answer.adopted, answer.attempts) == (UUID, True, 2)
        assert it.script.lines() == [CREATE, FIND]

    async def test_it_is_looked_up_until_the_settle_time_and_sent_once_more(self) -> None:
        it = bench(SILENT, MISSING, MISSING, MISSING, MISSING, MISSING, MADE)
        answer = await it.create(draft())
        assert it.script.lines() == [CREATE, *[FIND] * 5, CREATE]
        assert it.clock.waits == [0.5, 1.0, 2.0, 4.0, 2.5, 0.0]
        assert (answer.adopted, answer.attempts) == (False, 7)
        assert it.script.sent[0].body == it.script.sent[6].body

    async def test_after_the_second_silence_it_is_only_looked_up(self) -> None:
        it = bench(SILENT, *[MISSING] * 5, SILENT, *[MISSING] * 5, policy=RetryPolicy(attempts=9))
        with pytest.raises(OutcomeUnknown) as caught:
            await it.create(draft())
        assert it.script.lines().count(CREATE) == 2
        assert (caught.value.applied, caught.value.attempts, caught.value.reference) == ("unknown", 2, "r-1")
        assert "error.resolve(session)" in str(caught.value)

    async def test_a_second_create_that_finds_its_reference_taken_adopts_the_first(self) -> None:
        it = bench(SILENT, *[MISSING] * 5, TAKEN, MADE)
        answer = await it.create(draft())
        assert (answer.record.id, answer.adopted) == (UUID, True)

    async def test_a_reference_that_was_taken_before_is_a_duplicate_at_once(self) -> None:
        it = bench(TAKEN)
        with pytest.raises(Duplicate) as caught:
            await it.create(draft())
        assert (caught.value.applied, len(it.script.sent)) == ("no", 1)

    async def test_what_is_found_but_is_not_what_was_sent_is_not_adopted(self) -> None:
        it = bench(SILENT, OTHER)
        with pytest.raises(Duplicate, match="but not with this name") as caught:
            await it.create(draft())
        assert (caught.value.ids, caught.value.applied, caught.value.reference) == ((UUID,), "unknown", "r-1")

    async def test_a_look_that_fails_leaves_the_outcome_unknown(self) -> None:
        it = bench(SILENT, DOWN, DOWN, DOWN)
        with pytest.raises(OutcomeUnknown) as caught:
            await it.create(draft())
        assert isinstance(caught.value.__cause__, Unavailable)
        assert it.script.lines() == [CREATE, FIND, FIND, FIND]

    async def test_the_deadline_ends_the_looks(self) -> None:
        it = bench(SILENT, MISSING, endless=True, policy=RetryPolicy(deadline=3.0))
        with pytest.raises(OutcomeUnknown) as caught:
            await it.create(draft())
        assert it.clock.waits == [0.5, 1.0]
        assert caught.value.elapsed == pytest.approx(1.5)

    async def test_without_attempts_left_it_is_looked_up_and_not_sent_again(self) -> None:
        it = bench(SILENT, *[MISSING] * 5, policy=RetryPolicy(attempts=1))
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        assert it.script.lines().count(CREATE) == 1

    async def test_a_lost_body_means_applied_and_is_fetched_and_never_sent_again(self) -> None:
        it = bench(lost(sent=True, status=201), MADE)
        answer = await it.create(draft())
        assert (answer.adopted, it.script.lines(), it.clock.waits) == (True, [CREATE, FIND], [0.0])

    async def test_a_lost_body_is_adopted_even_when_the_gateway_changed_it(self) -> None:
        answer = await bench(lost(sent=True, status=201), OTHER).create(draft())
        assert answer.record.name == "Grace"

    async def test_a_lost_body_that_never_shows_up_is_applied_all_the_same(self) -> None:
        it = bench(lost(sent=True, status=201), *[MISSING] * 6)
        with pytest.raises(InvalidReply) as caught:
            await it.create(draft())
        assert (caught.value.applied, caught.value.status) == ("yes", 201)
        assert it.script.lines().count(CREATE) == 1

    async def test_success_gives_the_tokens_back(self) -> None:
        it = bench(SILENT, *[MISSING] * 5, MADE)
        it.speaker.budget.take(100)
        await it.create(draft())
        assert it.speaker.budget.tokens == 400

    async def test_two_customers_with_the_reference_are_named_and_left_alone(self) -> None:
        two = paydock_list({"_id": HEX, "reference": "r-1"}, {"_id": HEX[::-1], "reference": "r-1"})
        it = bench(SILENT, reply(200, two), account=PAYDOCK)
        with pytest.raises(Ambiguous) as caught:
            await it.create(draft())
        assert (set(caught.value.ids), caught.value.applied) == ({HEX, HEX[::-1]}, "unknown")


class TestCreateWithoutReference:
    @pytest.mark.parametrize("end", DOUBTFUL)
    async def test_it_is_never_sent_twice(self, end: object) -> None:
        it = bench(end)  # type: ignore[arg-type]
        with pytest.raises(OutcomeUnknown) as caught:
            await it.create(draft(reference=None))
        assert (caught.value.applied, caught.value.attempts, len(it.script.sent)) == ("unknown", 1, 1)
        assert "look for the customer in the gateway's list" in str(caught.value)

    async def test_a_lost_body_is_applied(self) -> None:
        with pytest.raises(InvalidReply) as caught:
            await bench(lost(sent=True, status=201)).create(draft(reference=None))
        assert caught.value.applied == "yes"


class TestNaturalUpsert:
    @pytest.mark.parametrize("end", DOUBTFUL)
    async def test_the_same_bytes_go_out_again(self, end: object, wonder: Wonder) -> None:
        it = bench(end, reply(200, wonder_customer()), account=wonder)  # type: ignore[arg-type]
        answer = await it.create(draft())
        first, second = it.script.sent
        assert (first.body, first.method, first.target) == (second.body, second.method, second.target)
        assert dict(first.headers)[b"Nonce"] != dict(second.headers)[b"Nonce"]
        assert (answer.attempts, answer.adopted) == (2, False)

    async def test_a_lost_body_is_fetched(self, wonder: Wonder) -> None:
        it = bench(lost(sent=True, status=200), reply(200, wonder_customer()), account=wonder)
        await it.create(draft())
        assert it.script.lines()[1] == "GET /svc/payment/api/v1/openapi/customers/ref/r-1"

    async def test_silence_to_the_end_is_an_unknown_outcome(self, wonder: Wonder) -> None:
        with pytest.raises(OutcomeUnknown) as caught:
            await bench(SILENT, endless=True, account=wonder).create(draft())
        assert (caught.value.attempts, caught.value.applied) == (3, "unknown")

    async def test_a_broken_gateway_may_have_applied_it(self, wonder: Wonder) -> None:
        with pytest.raises(Unavailable) as caught:
            await bench(DOWN, endless=True, account=wonder).create(draft())
        assert (caught.value.attempts, caught.value.applied) == (3, "unknown")


class TestUpdateAndDelete:
    @pytest.mark.parametrize("end", DOUBTFUL)
    async def test_an_update_in_doubt_is_sent_again(self, end: object) -> None:
        it = bench(end, MADE)  # type: ignore[arg-type]
        await it.update(UUID, CustomerPatch(name="Ada"))
        assert it.script.lines() == [f"POST /v2/customers/{UUID}"] * 2

    async def test_an_updates_lost_body_is_fetched_by_id(self) -> None:
        it = bench(lost(sent=True, status=200), MADE)
        answer = await it.update(UUID, CustomerPatch(name="Ada"))
        assert it.script.lines()[1] == GET
        assert answer.record.name == "Ada"

    async def test_a_refusal_after_a_doubt_does_not_clear_it(self) -> None:
        with pytest.raises(Rejected) as caught:
            await bench(SILENT, reply(400, {"message": "name is too long"})).update(UUID, CustomerPatch(name="Ada"))
        assert (caught.value.applied, caught.value.attempts, caught.value.id) == ("unknown", 2, UUID)

    async def test_gone_after_a_doubtful_delete_means_done(self) -> None:
        it = bench(SILENT, MISSING)
        assert (await it.delete(UUID)).adopted

    async def test_gone_at_the_first_try_is_not_found(self) -> None:
        with pytest.raises(NotFound) as caught:
            await bench(MISSING).delete(UUID)
        assert caught.value.applied == "no"

    async def test_a_deletes_lost_body_means_done(self) -> None:
        it = bench(lost(sent=True, status=200))
        await it.delete(UUID)
        assert len(it.script.sent) == 1

    async def test_a_write_that_adds_something_is_never_repeated(self) -> None:
        from wonder_customers import VaultToken

        it = bench(reply(200, paydock_customer()), SILENT, account=PAYDOCK)
        steps = it.dialect.create_payment_token(HEX, VaultToken("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"))
        with pytest.raises(OutcomeUnknown) as caught:
            await it.exchange.run(it.speaker, "create_payment_token", steps, ("id", HEX))
        assert (caught.value.id, len(it.script.sent)) == (HEX, 2)


class TestUpsertByLookUp:
    async def test_it_creates_what_is_missing(self) -> None:
        it = bench(MISSING, MADE)
        await it.upsert(draft())
        assert it.script.lines() == [FIND, CREATE]

    async def test_it_updates_what_is_there(self) -> None:
        it = bench(OTHER, MADE)
        answer = await it.upsert(draft())
        assert it.script.lines() == [FIND, f"POST /v2/customers/{UUID}"]
        assert answer.record.name == "Ada"

    async def test_it_updates_what_somebody_else_made_meanwhile(self) -> None:
        it = bench(MISSING, TAKEN, OTHER, MADE)
        await it.upsert(draft())
        assert it.script.lines() == [FIND, CREATE, FIND, f"POST /v2/customers/{UUID}"]

    async def test_it_updates_what_a_lost_create_did_not_make(self) -> None:
        it = bench(MISSING, SILENT, OTHER, OTHER, MADE)
        answer = await it.upsert(draft())
        assert answer.record.name == "Ada"

    async def test_two_paydock_customers_are_ambiguous_before_anything_is_written(self) -> None:
        two = paydock_list({"_id": HEX, "reference": "r-1"}, {"_id": HEX[::-1], "reference": "r-1"})
        it = bench(reply(200, two), account=PAYDOCK)
        with pytest.raises(Ambiguous) as caught:
            await it.upsert(draft())
        assert caught.value.applied == "no"


class TestTurns:
    async def test_writes_for_one_reference_take_turns(self) -> None:
        it = bench(MADE, endless=True)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(it.create, draft())
        assert it.script.most_concurrent == 1

    async def test_writes_for_other_references_do_not_wait(self) -> None:
        it = bench(reply(200, monri_customer()), endless=True)
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(it.create, draft(reference=f"r-{number}"))
        assert it.script.most_concurrent == 5

    async def test_a_newer_write_waits_until_a_doubtful_one_must_have_landed(self, wonder: Wonder) -> None:
        it = bench(SILENT, SILENT, SILENT, reply(200, wonder_customer(name="Grace")), account=wonder)
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        before = it.clock.now
        await it.create(draft(name="Grace"))
        assert it.clock.now - before == pytest.approx(10.0)

    async def test_the_very_same_bytes_need_not_wait(self, wonder: Wonder) -> None:
        it = bench(SILENT, SILENT, SILENT, reply(200, wonder_customer()), account=wonder)
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        before = it.clock.now
        await it.create(draft())
        assert it.clock.now == before

    async def test_a_create_after_a_doubtful_one_looks_first(self) -> None:
        it = bench(SILENT, DOWN, DOWN, DOWN, MADE)
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        answer = await it.create(draft())
        assert it.script.lines() == [CREATE, FIND, FIND, FIND, FIND]
        assert answer.adopted

    async def test_an_upsert_after_a_doubtful_create_does_not_look_too_early(self) -> None:
        it = bench(SILENT, DOWN, DOWN, DOWN, OTHER, MADE)
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        doubted_until = it.clock.now - sum(it.clock.waits) + 10.0
        await it.upsert(draft())
        assert it.clock.now >= doubted_until

    async def test_a_doubt_that_outlasts_the_deadline_is_told_and_nothing_is_sent(self, wonder: Wonder) -> None:
        it = bench(SILENT, endless=True, account=wonder, policy=RetryPolicy(deadline=5, attempts=1))
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        with pytest.raises(DeadlineExceeded, match="may still land") as caught:
            await it.create(draft(name="Grace"))
        assert (caught.value.applied, len(it.script.sent)) == ("no", 1)

    async def test_an_update_that_is_seen_to_have_landed_leaves_no_doubt(self) -> None:
        it = bench(SILENT, MADE, MADE)
        await it.create(draft())
        before = it.clock.now
        await it.create(draft(name="Grace"))
        assert it.clock.now == before

    async def test_a_cancelled_write_is_in_doubt(self, wonder: Wonder) -> None:
        it = bench(account=wonder)

        async def hang(outgoing: object, flight: object) -> object:
            flight.sent = True  # type: ignore[attr-defined]
            started.set()
            await anyio.sleep_forever()
            raise AssertionError

        started = anyio.Event()
        it.script.send = hang  # type: ignore[method-assign,assignment]
        async with anyio.create_task_group() as group:
            group.start_soon(it.create, draft())
            await started.wait()
            group.cancel_scope.cancel()
        assert it.exchange.turns.wait([(1, "reference", "r-1")], b"other") == pytest.approx(10.0)


class TestBearer:
    TOKEN = staticmethod(
        reply(200, {"access_token": "first", "token_type": "Bearer", "expires_in": 900, "status": "approved"})
    )
    NEXT = staticmethod(
        reply(200, {"access_token": "second", "token_type": "Bearer", "expires_in": 900, "status": "approved"})
    )
    ACCOUNT = Monri("key", "token", auth="oauth")

    async def test_a_refused_token_is_fetched_anew_once(self) -> None:
        it = bench(self.TOKEN, reply(401, {}), self.NEXT, MADE, account=self.ACCOUNT)
        await it.create(draft())
        assert [dict(out.headers).get(b"Authorization") for out in it.script.sent] == [
            None,
            b"Bearer first",
            None,
            b"Bearer second",
        ]

    async def test_two_refusals_are_the_credentials(self) -> None:
        it = bench(self.TOKEN, reply(401, {}), self.NEXT, reply(401, {}), account=self.ACCOUNT)
        with pytest.raises(Unauthorized):
            await it.create(draft())

    async def test_a_token_that_cannot_be_fetched_ends_the_call_with_its_error(self) -> None:
        it = bench(reply(401, {"message": "no such client"}), account=self.ACCOUNT)
        with pytest.raises(Unauthorized) as caught:
            await it.create(draft())
        assert caught.value.applied == "no"

    async def test_a_token_is_used_until_shortly_before_it_expires(self) -> None:
        it = bench(self.TOKEN, MADE, MADE, self.NEXT, MADE, account=self.ACCOUNT)
        await it.get(UUID)
        it.clock.now += 809
        await it.get(UUID)
        it.clock.now += 2
        await it.get(UUID)
        assert it.script.lines().count("POST /v2/oauth") == 2


class TestErrors:
    async def test_what_the_request_carried_is_taken_out_of_the_gateways_words(self) -> None:
        words = "email ada@example.org of Ada Lovelace (+447911123456) is bad"
        it = bench(reply(400, {"status": "invalid-request", "message": words}))
        with pytest.raises(Rejected) as caught:
            await it.create(draft(name="Ada Lovelace", email="ada@example.org"))
        for text in (str(caught.value), repr(caught.value), caught.value.message or ""):
            assert "ada@example.org" not in text
            assert "Lovelace" not in text
            assert "7911123456" not in text
        assert "is bad" in str(caught.value)

    async def test_the_gateways_request_id_is_told(self) -> None:
        with pytest.raises(NotFound, match="request id abc-1"):
            await bench(reply(404, {}, x_correlation_id="abc-1")).get(UUID)

    async def test_without_one_our_own_is_told(self) -> None:
        it = bench(reply(404, {}))
        with pytest.raises(NotFound) as caught:
            await it.get(UUID)
        assert (caught.value.request_id or "").encode() == dict(it.script.sent[0].headers)[b"X-Request-ID"]

    async def test_the_history_tells_every_request(self) -> None:
        it = bench(REFUSED, SILENT, *[MISSING] * 5, DOWN, MADE)
        answer = await it.create(draft())
        assert answer.attempts == 9

    async def test_an_unknown_outcome_can_be_resolved_later(self) -> None:
        made = Customer(UUID, "r-1")

        class Session:
            async def get_by_reference(self, reference: str, /) -> Customer:
                assert reference == "r-1"
                return made

        with pytest.raises(OutcomeUnknown) as caught:
            await bench(SILENT, DOWN, DOWN, DOWN).create(draft())
        assert await caught.value.resolve(Session()) is made  # type: ignore[arg-type]
