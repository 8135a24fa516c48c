"""Headers of every request, and the facts on responses and errors."""

import re
from datetime import UTC, datetime

import pytest
from core.monri_responses import DOWN
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, wonder_customer

from scripted_transport import (
    CONNECTION_REFUSED,
    CREATED,
    NO_RESPONSE,
    NOT_FOUND,
    PAYDOCK,
    draft,
    make_harness,
    no_response,
    respond,
)
from wonder_customers import (
    ConflictError,
    DeadlineExceededError,
    InvalidRequestError,
    InvalidResponseError,
    Monri,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
    Wonder,
)
from wonder_customers._core.attempt import AttemptRunner
from wonder_customers._core.context import CallContext
from wonder_customers._core.redaction import Redactor
from wonder_customers.wire import HttpRequest, Timeouts, Transmission

pytestmark = pytest.mark.anyio


class TestTheRequest:
    async def test_its_headers_are_these_and_no_others(self) -> None:
        it = make_harness(CREATED, CREATED)
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
        it = make_harness(CREATED, account=Monri("k", "t", base_url="http://127.0.0.1:8080"))
        await it.get(UUID)
        assert dict(it.script.sent[0].headers)[b"Host"] == b"127.0.0.1:8080"

    async def test_no_phase_may_last_longer_than_what_is_left(self) -> None:
        it = make_harness(respond(429, {}, retry_after="52"), CREATED)
        await it.get(UUID)
        first, second = [request.timeouts for request in it.script.sent]
        assert first == Timeouts(5.0, 30.0, 10.0)
        assert second.connect == second.read == second.write == pytest.approx(4.4)

    async def test_a_wonder_nonce_has_sixteen_characters(self, wonder: Wonder) -> None:
        it = make_harness(respond(200, wonder_customer()), account=wonder)
        await it.create(draft())
        assert re.fullmatch(rb"[0-9A-Za-z]{16}", dict(it.script.sent[0].headers)[b"Nonce"])

    async def test_without_time_nothing_goes_out(self) -> None:
        it = make_harness()
        call = next(it.dialect.get(UUID))
        for remaining in (0.0, -1.0):
            context = CallContext(it.account_context, "get", it.clock.now, it.clock.now + remaining, 0)
            with pytest.raises(DeadlineExceededError, match="it was not sent: the deadline passed"):
                await it.executor.perform(context, call)
        assert it.script.sent == []

    async def test_with_little_time_it_goes_out(self) -> None:
        it = make_harness(CREATED)
        attempt_result = await it.executor.sender.runner.run(
            it.account_context, next(it.dialect.get(UUID)), Transmission(), 0.5, None
        )
        assert attempt_result.response is not None


class TestTheReply:
    async def test_it_tells_the_facts_of_the_call(self) -> None:
        it = make_harness(
            CONNECTION_REFUSED, no_response(sent=True), respond(200, monri_customer(), x_request_id="gateway-1")
        )
        it.script.takes = 0.5
        answer = await it.get(UUID)
        assert (answer.status, answer.headers, answer.request_id) == (200, {"x-request-id": "gateway-1"}, "gateway-1")
        assert (answer.attempts, answer.elapsed, answer.recovered) == (3, 1.5 + 0.25 + 0.5, False)

    async def test_what_an_operation_returns_is_the_record(self) -> None:
        source = {"_id": HEX24, "type": "card"}
        it = make_harness(respond(200, paydock_customer(payment_sources=[source])), account=PAYDOCK)
        answer = await it.executor.run(
            it.account_context, "list_payment_tokens", it.dialect.list_payment_tokens(HEX24), None
        )
        assert [token.token for token in answer.record] == [HEX24]

    async def test_a_delete_that_had_been_applied_tells_how_that_was_seen(self) -> None:
        it = make_harness(NO_RESPONSE, respond(404, {}, x_request_id="gone-1"))
        answer = await it.delete(UUID)
        facts = (answer.record, answer.status, answer.headers, answer.request_id, answer.recovered)
        assert facts == (None, 404, {}, "gone-1", True)

    async def test_a_very_long_request_id_is_cut(self) -> None:
        answer = await make_harness(respond(200, monri_customer(), x_request_id="x" * 1000)).get(UUID)
        assert answer.request_id == "x" * 100

    async def test_an_unprintable_request_id_is_not_taken_over(self) -> None:
        answer = await make_harness(respond(200, monri_customer(), x_request_id="a\x1b[31m")).get(UUID)
        assert len(answer.request_id) == 36


class TestTheHistory:
    async def test_it_tells_every_request_in_order(self) -> None:
        it = make_harness(
            CONNECTION_REFUSED,
            NO_RESPONSE,
            no_response(sent=True, status=200),
            respond(502, b""),
            respond(404, {}, x_request_id="last"),
            policy=RetryPolicy(attempts=9),
        )
        it.script.takes = 0.5
        with pytest.raises(NotFoundError) as caught:
            await it.get(UUID)
        recorded = [(record.outcome, record.cause, record.elapsed) for record in caught.value.history]
        assert recorded == [
            ("not sent", "it was not sent to https://ipgtest.monri.com: the connection broke", 0.5),
            ("no response", "it was sent and received no response: the connection broke", 0.5),
            ("body lost", "the response had HTTP 200, but its body was lost: the connection broke", 0.5),
            ("HTTP 502", "refused with HTTP 502", 0.5),
            ("HTTP 404", "refused with HTTP 404", 0.5),
        ]
        ids = [record.request_id for record in caught.value.history]
        assert len(set(ids)) == 5
        assert ids[-1] == caught.value.request_id == "last"
        assert caught.value.elapsed == pytest.approx(2.5 + sum(it.clock.waits))

    async def test_good_answers_on_the_way_are_in_it(self) -> None:
        it = make_harness(CREATED, respond(400, {"message": "no"}))
        with pytest.raises(InvalidRequestError) as caught:
            await it.upsert(draft())
        assert [(record.outcome, record.cause) for record in caught.value.history] == [
            ("HTTP 200", "complete response"),
            ("HTTP 400", "refused with HTTP 400: no"),
        ]
        assert caught.value.attempts == 1

    async def test_a_lost_body_of_a_write_is_in_it(self) -> None:
        it = make_harness(no_response(sent=True, status=201), endless=False)
        with pytest.raises(InvalidResponseError) as caught:
            await it.create(draft(reference=None))
        assert [record.outcome for record in caught.value.history] == ["body lost"]
        assert caught.value.reason == "the response had HTTP 201, but its body was lost: the connection broke"


class TestErrors:
    async def test_request_data_is_removed_from_the_message_of_the_gateway(self) -> None:
        words = "email ada@example.org of Ada Lovelace (+447911123456) is bad"
        it = make_harness(respond(400, {"status": "invalid-request", "message": words}))
        with pytest.raises(InvalidRequestError) as caught:
            await it.create(draft(name="Ada Lovelace", email="ada@example.org"))
        for text in (str(caught.value), repr(caught.value), caught.value.message or ""):
            assert "ada@example.org" not in text
            assert "Lovelace" not in text
            assert "7911123456" not in text
        assert "is bad" in str(caught.value)

    async def test_the_gateways_request_id_is_told(self) -> None:
        with pytest.raises(NotFoundError, match="request id abc-1"):
            await make_harness(respond(404, {}, x_correlation_id="abc-1")).get(UUID)

    async def test_without_one_our_own_is_told(self) -> None:
        it = make_harness(respond(404, {}))
        with pytest.raises(NotFoundError) as caught:
            await it.get(UUID)
        assert (caught.value.request_id or "").encode() == dict(it.script.sent[0].headers)[b"X-Request-ID"]

    async def test_the_history_tells_every_request(self) -> None:
        it = make_harness(CONNECTION_REFUSED, NO_RESPONSE, *[NOT_FOUND] * 5, DOWN, CREATED)
        answer = await it.create(draft())
        assert answer.attempts == 9

    async def test_a_conflict_names_the_customer_and_the_fields(self) -> None:
        other = respond(200, monri_customer(merchant_customer_id="r-1", name="Grace", email="g@example.org"))
        with pytest.raises(ConflictError) as caught:
            await make_harness(NO_RESPONSE, other).create(draft(email="a@example.org"))
        assert caught.value.reason == f"a customer with this reference exists ({UUID}), but differs in email, name"
        assert caught.value.attempts == 2

    async def test_an_unknown_outcome_tells_why_and_under_which_id(self) -> None:
        it = make_harness(respond(502, b"", x_request_id="bad-1"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await it.create(draft(reference=None))
        assert (caught.value.reason, caught.value.request_id) == ("refused with HTTP 502", "bad-1")

    async def test_what_was_applied_stays_applied(self) -> None:
        it = make_harness(NO_RESPONSE, *[NOT_FOUND] * 5, no_response(sent=True, status=201), *[NOT_FOUND] * 6)
        with pytest.raises(InvalidResponseError) as caught:
            await it.create(draft())
        assert caught.value.applied == "yes"

    async def test_what_shows_up_late_is_still_found(self) -> None:
        it = make_harness(no_response(sent=True, status=201), NOT_FOUND, NOT_FOUND, CREATED)
        assert (await it.create(draft())).recovered
        assert it.clock.waits == [0.0, 0.5, 1.0]

    async def test_a_redirect_without_its_body_is_a_redirect(self) -> None:
        it = make_harness(no_response(sent=True, status=300))
        with pytest.raises(InvalidResponseError, match="redirects are not followed"):
            await it.get(UUID)

    async def test_the_fields_of_a_rejection_are_scrubbed(self) -> None:
        details = {"path": "email", "messages": ["the e-mail of Ada is none", "too long"]}
        body = {"status": 400, "error_summary": {"message": "bad", "code": "validation_error", "details": details}}
        with pytest.raises(InvalidRequestError) as caught:
            await make_harness(respond(400, body), account=PAYDOCK).create(draft(email="ada@example.org"))
        assert caught.value.fields == {"email": ("the e-mail of … is none", "too long")}
        assert caught.value.message == "bad"


class TestScrub:
    @staticmethod
    def request(body: bytes) -> HttpRequest:
        return HttpRequest("POST", "/customers", "/customers", body)

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
        assert Redactor(self.request(self.BODY)).redact(words) == left

    @pytest.mark.parametrize("body", [b"", b"no json", b"[1]"])
    def test_a_body_that_cannot_be_read_is_no_trouble(self, body: bytes) -> None:
        assert Redactor(self.request(body)).redact("a@example.org is bad") == "… is bad"


def test_attempts_read_the_time_by_themselves() -> None:
    assert abs(AttemptRunner(None).wall() - datetime.now(UTC).timestamp()) < 5
