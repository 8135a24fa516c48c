"""What goes out with every request, and what replies and errors tell of it."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, ClassVar

import anyio
import orjson
import pytest

from scripted import (
    HEX,
    PAYDOCK,
    REFUSED,
    SILENT,
    UUID,
    bench,
    draft,
    hang,
    lost,
    monri_customer,
    paydock_customer,
    real_time,
    reply,
    wonder_account,
    wonder_customer,
)
from wonder_customers import (
    CallFailed,
    CustomerPatch,
    DeadlineExceeded,
    Duplicate,
    InvalidReply,
    Monri,
    NoAnswer,
    NotFound,
    OutcomeUnknown,
    Rejected,
    RetryPolicy,
    Secret,
    Wonder,
)
from wonder_customers._attempt import Attempts
from wonder_customers._scrub import Carried
from wonder_customers._wire import Flight, Timeouts, WireReply, WireRequest
from wonder_customers.retry import Evidence

pytestmark = pytest.mark.anyio

MADE = reply(200, monri_customer(merchant_customer_id="r-1", name="Ada", phone="+447911123456"))
MISSING = reply(404, {"status": "invalid-request", "message": "Customer not found"})
KEY = (1, "reference", "r-1")


@pytest.fixture(scope="module")
def wonder() -> Wonder:
    return wonder_account()


class TestTheRequest:
    async def test_its_headers_are_these_and_no_others(self) -> None:
        it = bench(MADE, MADE)
        await it.create(draft())
        await it.get(UUID)
        created, read = it.script.sent
        headers = dict(created.headers)
        assert re.fullmatch(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers.pop(b"X-Request-ID"))
        assert headers.pop(b"Authorization").startswith(b"WP3-v2.1 ")
        assert headers == {
            b"Host": b"ipgtest.monri.com",
            b"Accept": b"application/json",
            b"Accept-Encoding": b"identity",
            b"Content-Type": b"application/json",
            b"User-Agent": b"wonder-customers",
            b"Content-Length": str(len(created.body)).encode(),
        }
        assert b"Content-Length" not in dict(read.headers)
        assert created.body == b'{"merchant_customer_id":"r-1","name":"Ada","phone":"+447911123456"}'
        assert str(created.origin) == "https://ipgtest.monri.com"

    async def test_a_port_of_its_own_stands_in_the_host(self) -> None:
        it = bench(MADE, account=Monri("k", "t", base_url="http://127.0.0.1:8080"))
        await it.get(UUID)
        assert dict(it.script.sent[0].headers)[b"Host"] == b"127.0.0.1:8080"

    async def test_no_phase_may_last_longer_than_what_is_left(self) -> None:
        it = bench(reply(429, {}, retry_after="52"), MADE)
        await it.get(UUID)
        assert [request.timeouts for request in it.script.sent] == [Timeouts(5.0, 30.0, 10.0), Timeouts(5.0, 8.0, 8.0)]

    async def test_a_wonder_nonce_has_sixteen_characters(self, wonder: Wonder) -> None:
        it = bench(reply(200, wonder_customer()), account=wonder)
        await it.create(draft())
        assert re.fullmatch(rb"[0-9A-Za-z]{16}", dict(it.script.sent[0].headers)[b"Nonce"])

    async def test_without_time_nothing_goes_out(self) -> None:
        it = bench()
        call = next(it.dialect.get(UUID))
        for remaining in (0.0, -1.0):
            ending = await it.exchange.attempts.make(it.speaker, call, Flight(), remaining, None)
            assert (ending.evidence, ending.error.why) == (
                Evidence.NOT_SENT,
                "the deadline passed before it could be sent",
            )
            assert isinstance(ending.error, DeadlineExceeded)
        assert it.script.sent == []

    async def test_with_little_time_it_goes_out(self) -> None:
        it = bench(MADE)
        ending = await it.exchange.attempts.make(it.speaker, next(it.dialect.get(UUID)), Flight(), 0.5, None)
        assert ending.reply is not None


class TestTheReply:
    async def test_it_tells_the_facts_of_the_call(self) -> None:
        it = bench(REFUSED, lost(sent=True), reply(200, monri_customer(), x_request_id="gateway-1"))
        it.script.takes = 0.5
        answer = await it.get(UUID)
        assert (answer.status, answer.headers, answer.request_id) == (200, {"x-request-id": "gateway-1"}, "gateway-1")
        assert (answer.attempts, answer.elapsed, answer.adopted) == (3, 1.5 + 0.25 + 0.5, False)

    async def test_what_an_operation_returns_is_the_record(self) -> None:
        source = {"_id": HEX, "type": "card"}
        it = bench(reply(200, paydock_customer(payment_sources=[source])), account=PAYDOCK)
        answer = await it.exchange.run(it.speaker, "list_payment_tokens", it.dialect.list_payment_tokens(HEX), None)
        assert [token.token for token in answer.record] == [HEX]

    async def test_a_delete_that_had_been_applied_tells_how_that_was_seen(self) -> None:
        it = bench(SILENT, reply(404, {}, x_request_id="gone-1"))
        answer = await it.delete(UUID)
        facts = (answer.record, answer.status, answer.headers, answer.request_id, answer.adopted)
        assert facts == (None, 404, {}, "gone-1", True)

    async def test_a_very_long_request_id_is_cut(self) -> None:
        answer = await bench(reply(200, monri_customer(), x_request_id="x" * 1000)).get(UUID)
        assert answer.request_id == "x" * 100

    async def test_an_unprintable_request_id_is_not_taken_over(self) -> None:
        answer = await bench(reply(200, monri_customer(), x_request_id="a\x1b[31m")).get(UUID)
        assert len(answer.request_id) == 36


class TestTheHistory:
    async def test_it_tells_every_request_in_order(self) -> None:
        it = bench(
            REFUSED,
            SILENT,
            lost(sent=True, status=200),
            reply(502, b""),
            reply(404, {}, x_request_id="last"),
            policy=RetryPolicy(attempts=9),
        )
        it.script.takes = 0.5
        with pytest.raises(NotFound) as caught:
            await it.get(UUID)
        told = [(record.outcome, record.cause, record.elapsed) for record in caught.value.history]
        assert told == [
            ("not sent", "it was not sent to https://ipgtest.monri.com: the wire broke", 0.5),
            ("no answer", "it was sent and not answered: the wire broke", 0.5),
            ("body lost", "it was answered with HTTP 200, but the body was lost: the wire broke", 0.5),
            ("HTTP 502", "refused with HTTP 502", 0.5),
            ("HTTP 404", "refused with HTTP 404", 0.5),
        ]
        ids = [record.request_id for record in caught.value.history]
        assert len(set(ids)) == 5
        assert ids[-1] == caught.value.request_id == "last"
        assert caught.value.elapsed == pytest.approx(2.5 + sum(it.clock.waits))

    async def test_good_answers_on_the_way_are_in_it(self) -> None:
        it = bench(MADE, reply(400, {"message": "no"}))
        with pytest.raises(Rejected) as caught:
            await it.upsert(draft())
        assert [(record.outcome, record.cause) for record in caught.value.history] == [
            ("HTTP 200", "answered"),
            ("HTTP 400", "refused with HTTP 400: no"),
        ]
        assert caught.value.attempts == 1

    async def test_a_lost_body_of_a_write_is_in_it(self) -> None:
        it = bench(lost(sent=True, status=201), endless=False)
        with pytest.raises(InvalidReply) as caught:
            await it.create(draft(reference=None))
        assert [record.outcome for record in caught.value.history] == ["body lost"]
        assert caught.value.why == "it was answered with HTTP 201, but the body was lost: the wire broke"


class TestTheBudget:
    async def test_all_retries_of_a_call_are_given_back(self) -> None:
        it = bench(SILENT, SILENT, MADE)
        it.speaker.budget.take(100)
        await it.get(UUID)
        assert it.speaker.budget.tokens == 400

    async def test_those_before_an_adoption_too(self) -> None:
        it = bench(reply(429, {}), SILENT, MADE)
        it.speaker.budget.take(100)
        await it.create(draft())
        # Five back for the wait, and one that the look earned as a call of its own.
        assert it.speaker.budget.tokens == 401

    async def test_what_failed_keeps_its_price(self) -> None:
        it = bench(SILENT, endless=True)
        with pytest.raises(NoAnswer):
            await it.get(UUID)
        assert it.speaker.budget.tokens == 500 - 28

    async def test_with_an_empty_budget_the_first_failure_is_the_last(self) -> None:
        it = bench(SILENT, MADE)
        it.speaker.budget.take(490)
        with pytest.raises(NoAnswer) as caught:
            await it.get(UUID)
        assert caught.value.attempts == 1


class TestTheDeadline:
    async def test_a_wait_that_would_pass_it_is_not_begun(self) -> None:
        it = bench(SILENT, endless=True, policy=RetryPolicy(attempts=9, deadline=0.7))
        with pytest.raises(NoAnswer) as caught:
            await it.get(UUID)
        assert (caught.value.attempts, it.clock.waits) == (2, [0.25])

    @pytest.mark.parametrize(
        ("operation", "sent", "status", "kind", "words", "applied"),
        [
            (
                "get",
                False,
                None,
                DeadlineExceeded,
                "it was not sent to https://ipgtest.monri.com: the deadline of 0.05 s passed",
                "no",
            ),
            ("get", True, None, DeadlineExceeded, "it was sent and not answered: the deadline of 0.05 s passed", "no"),
            ("get", True, 200, DeadlineExceeded, "but the body was lost: the deadline of 0.05 s passed", "no"),
            (
                "create",
                False,
                None,
                DeadlineExceeded,
                "it was not sent to https://ipgtest.monri.com: the deadline of 0.05 s passed",
                "no",
            ),
            ("create", True, None, OutcomeUnknown, "not answered: the deadline of 0.05 s passed", "unknown"),
            (
                "create",
                True,
                201,
                InvalidReply,
                "HTTP 201, but the body was lost: the deadline of 0.05 s passed",
                "yes",
            ),
        ],
    )
    async def test_it_ends_whatever_hangs(
        self, operation: str, sent: bool, status: int | None, kind: type[Exception], words: str, applied: str
    ) -> None:
        it = real_time(bench(hang(sent=sent, status=status), endless=True, policy=RetryPolicy(deadline=0.05)))
        began = anyio.current_time()
        with anyio.fail_after(2), pytest.raises(kind) as caught:
            await (it.get(UUID) if operation == "get" else it.create(draft()))
        error: Any = caught.value
        assert words in error.why
        assert (error.applied, type(error)) == (applied, kind)
        assert 0.04 < error.elapsed < 0.25
        assert anyio.current_time() - began < 0.25

    async def test_it_ends_the_wait_for_ones_turn(self) -> None:
        it = real_time(bench(MADE, policy=RetryPolicy(deadline=0.05)))

        async def somebody_else(*, task_status: Any) -> None:
            assert await it.exchange.turns.take(KEY, 1)
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                it.exchange.turns.give_back(KEY)

        async with anyio.create_task_group() as group:
            await group.start(somebody_else)
            with anyio.fail_after(2), pytest.raises(DeadlineExceeded) as caught:
                await it.create(draft())
            group.cancel_scope.cancel()
        assert caught.value.why == "it was not sent: an earlier write for this customer took all the time"
        assert (caught.value.applied, caught.value.gateway, it.script.sent) == ("no", "monri", [])

    async def test_a_look_that_would_pass_it_is_not_waited_for(self) -> None:
        it = bench(SILENT, policy=RetryPolicy(deadline=0.5))
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        assert it.clock.waits == []

    async def test_a_doubt_as_long_as_it_is_too_long(self, wonder: Wonder) -> None:
        it = bench(SILENT, endless=True, account=wonder, policy=RetryPolicy(deadline=10, attempts=1))
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        with pytest.raises(DeadlineExceeded, match=r"may still land within 10\.0 s"):
            await it.create(draft(name="Grace"))
        assert it.clock.waits == []

    async def test_a_date_to_wait_for_is_read_with_the_wall_clock(self) -> None:
        date = format_datetime(datetime.fromtimestamp(1_700_000_007, UTC), usegmt=True)
        it = bench(reply(429, {}, retry_after=date), MADE)
        await it.get(UUID)
        assert it.clock.waits == [7.0]


class TestDoubts:
    @pytest.mark.parametrize(
        "end", [MADE, REFUSED, reply(400, {"message": "no"}), reply(429, {}), lost(sent=True, status=404)]
    )
    async def test_a_known_end_leaves_none(self, end: Any) -> None:
        it = bench(end, policy=RetryPolicy(attempts=1))
        with suppress(CallFailed):  # how it ends is told by other tests
            await it.create(draft())
        assert it.exchange.turns.wait([KEY], b"other") == 0

    async def test_a_read_leaves_none(self) -> None:
        it = bench(SILENT, endless=True)
        with pytest.raises(NoAnswer):
            await it.get(UUID)
        assert it.exchange.turns._doubts == {}

    async def test_an_update_in_doubt_holds_back_a_different_one(self) -> None:
        it = bench(SILENT, SILENT, SILENT, MADE)
        with pytest.raises(OutcomeUnknown):
            await it.update(UUID, CustomerPatch(name="Ada"))
        before = it.clock.now
        await it.update(UUID, CustomerPatch(name="Grace"))
        assert it.clock.now - before == pytest.approx(10)

    async def test_a_short_doubt_is_waited_for_too(self) -> None:
        it = bench(SILENT, MADE, policy=RetryPolicy(attempts=1, settle=0.5))
        with pytest.raises(OutcomeUnknown):
            await it.update(UUID, CustomerPatch(name="Ada"))
        await it.update(UUID, CustomerPatch(name="Grace"))
        assert it.clock.waits == [0.5]

    async def test_a_write_with_a_fresh_token_can_be_in_doubt(self) -> None:
        token = {"access_token": "t", "expires_in": 900, "status": "approved"}
        it = bench(
            *(reply(200, token), reply(401, {}), reply(200, token), SILENT),
            account=Monri("k", "t", auth="oauth"),
            policy=RetryPolicy(attempts=1),
        )
        with pytest.raises(OutcomeUnknown):
            await it.update(UUID, CustomerPatch(name="Ada"))
        assert it.exchange.turns.wait([(1, "id", UUID)], b"other") == 10

    async def test_a_doubt_ends_with_its_time(self) -> None:
        it = bench(SILENT, policy=RetryPolicy(attempts=1))
        with pytest.raises(OutcomeUnknown):
            await it.update(UUID, CustomerPatch(name="Ada"))
        it.clock.now += 10
        assert it.exchange.turns.wait([(1, "id", UUID)], b"other") == 0

    async def test_doubts_that_have_ended_are_forgotten(self) -> None:
        turns = bench().exchange.turns
        turns.doubt([KEY], b"one", 10)
        turns.clock.now += 10  # type: ignore[attr-defined]
        turns.doubt([(1, "id", UUID)], b"two", 10)
        assert list(turns._doubts) == [(1, "id", UUID)]

    async def test_a_create_after_a_doubtful_different_one_does_not_adopt_it(self) -> None:
        it = bench(SILENT, *[reply(502, b"")] * 3, MADE)
        with pytest.raises(OutcomeUnknown):
            await it.create(draft())
        with pytest.raises(Duplicate, match="but not with this name"):
            await it.create(draft(name="Grace"))


class TestTheToken:
    TOKEN: ClassVar = {"access_token": "first", "expires_in": 900, "status": "approved"}

    async def test_it_is_fetched_anew_at_the_very_end_of_its_time(self) -> None:
        it = bench(reply(200, self.TOKEN), MADE, reply(200, self.TOKEN), MADE, account=Monri("k", "t", auth="oauth"))
        await it.get(UUID)
        it.clock.now += 810
        await it.get(UUID)
        assert it.script.lines().count("POST /v2/oauth") == 2

    async def test_only_the_refused_one_is_forgotten(self) -> None:
        it = bench(reply(200, self.TOKEN), MADE, MADE, account=Monri("k", "t", auth="oauth"))
        await it.get(UUID)
        bearer: Any = it.speaker.bearer
        bearer.drop(Secret("an older one"))
        await it.get(UUID)
        assert it.script.lines().count("POST /v2/oauth") == 1
        bearer.drop(Secret("first"))
        bearer.drop(Secret("first"))
        assert bearer._token is None


class TestWondersUpdate:
    async def test_it_reads_and_writes_in_the_references_turn(self, wonder: Wonder) -> None:
        held: list[bool] = []

        def written(outgoing: object, flight: Flight) -> WireReply:
            held.append(KEY in it.exchange.turns._turns)
            flight.sent = True
            return WireReply(200, {}, reply_body)

        reply_body = orjson.dumps(wonder_customer(name="Grace"))
        it = bench(reply(200, wonder_customer()), written, account=wonder)
        await it.update(UUID, CustomerPatch(name="Grace"))
        assert [request.method for request in it.script.sent] == ["GET", "POST"]
        assert held == [True]

    async def test_it_reads_again_when_another_write_ended_meanwhile(self, wonder: Wonder) -> None:
        def meanwhile(outgoing: Any, flight: Flight) -> Any:
            it.exchange.turns.finished += 1
            return reply(200, wonder_customer(email="old@example.org"))(outgoing, flight)

        newer = reply(200, wonder_customer(email="new@example.org"))
        it = bench(meanwhile, newer, newer, account=wonder)
        await it.update(UUID, CustomerPatch(name="Ada"))
        assert [request.method for request in it.script.sent] == ["GET", "GET", "POST"]
        assert b"new@example.org" in it.script.sent[2].body


class TestErrors:
    async def test_a_conflict_names_the_customer_and_the_fields(self) -> None:
        other = reply(200, monri_customer(merchant_customer_id="r-1", name="Grace", email="g@example.org"))
        with pytest.raises(Duplicate) as caught:
            await bench(SILENT, other).create(draft(email="a@example.org"))
        assert caught.value.why == f"a customer with this reference is there ({UUID}), but not with this email, name"
        assert caught.value.attempts == 2

    async def test_an_unknown_outcome_tells_why_and_under_which_id(self) -> None:
        it = bench(reply(502, b"", x_request_id="bad-1"))
        with pytest.raises(OutcomeUnknown) as caught:
            await it.create(draft(reference=None))
        assert (caught.value.why, caught.value.request_id) == ("refused with HTTP 502", "bad-1")

    async def test_what_was_applied_stays_applied(self) -> None:
        it = bench(SILENT, *[MISSING] * 5, lost(sent=True, status=201), *[MISSING] * 6)
        with pytest.raises(InvalidReply) as caught:
            await it.create(draft())
        assert caught.value.applied == "yes"

    async def test_what_shows_up_late_is_still_found(self) -> None:
        it = bench(lost(sent=True, status=201), MISSING, MISSING, MADE)
        assert (await it.create(draft())).adopted
        assert it.clock.waits == [0.0, 0.5, 1.0]

    async def test_a_redirect_without_its_body_is_a_redirect(self) -> None:
        it = bench(lost(sent=True, status=300))
        with pytest.raises(InvalidReply, match="redirects are never followed"):
            await it.get(UUID)

    async def test_the_fields_of_a_rejection_are_scrubbed(self) -> None:
        details = {"path": "email", "messages": ["the e-mail of Ada is none", "too long"]}
        body = {"status": 400, "error_summary": {"message": "bad", "code": "validation_error", "details": details}}
        with pytest.raises(Rejected) as caught:
            await bench(reply(400, body), account=PAYDOCK).create(draft(email="ada@example.org"))
        assert caught.value.fields == {"email": ("the e-mail of … is none", "too long")}
        assert caught.value.message == "bad"


class TestScrub:
    @staticmethod
    def request(body: bytes) -> WireRequest:
        return WireRequest("POST", "/customers", "/customers", body)

    BODY = b"""{"customer": {"name": "Ada Lovelace", "first": "Ada", "meta": {"tags": ["VIP"]}, "code": "xy",
                              "others": ["Zoe", "Ann Zoe"]}}"""

    @pytest.mark.parametrize(
        ("words", "left"),
        [
            ("name Ada Lovelace is taken", "name … is taken"),
            ("name ADA LOVELACE is taken", "name … is taken"),
            ("Ada's tag VIP", "…'s tag …"),
            ("both Ann Zoe and Zoe", "both … and …"),
            ("Adamant", "Adamant"),
            ("xy is short", "xy is short"),
            ("write to a.b@example.org now", "write to … now"),
            ("call +44 7911 123456 now", "call … now"),
            ("HTTP 400 in 12 s", "HTTP 400 in 12 s"),
        ],
    )
    def test_what_the_request_carried_goes(self, words: str, left: str) -> None:
        assert Carried(self.request(self.BODY)).out_of(words) == left

    @pytest.mark.parametrize("body", [b"", b"no json", b"[1]"])
    def test_a_body_that_cannot_be_read_is_no_trouble(self, body: bytes) -> None:
        assert Carried(self.request(body)).out_of("a@example.org is bad") == "… is bad"


def test_attempts_read_the_time_by_themselves() -> None:
    assert abs(Attempts(None, RetryPolicy()).wall() - datetime.now(UTC).timestamp()) < 5  # type: ignore[arg-type]
