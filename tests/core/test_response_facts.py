"""The headers of every request, and the attributes of responses and errors."""

import pickle
import re
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest
from core.monri_responses import DOWN
from gateway_responses import UUID, monri_customer

from scripted_transport import (
    CONNECTION_REFUSED,
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
    CallError,
    ConflictError,
    CustomerDraft,
    DeadlineExceededError,
    InvalidRequestError,
    InvalidResponseError,
    Monri,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
)
from wonder_customers._core.attempt import AttemptRunner
from wonder_customers._core.context import CallContext
from wonder_customers.wire import Timeouts


async def test_request_headers_are_exact() -> None:
    it = make_harness(CREATED, CREATED)
    await it.create(draft())
    await it.get(UUID)
    created, read = it.script.sent
    headers = dict(created.headers)
    assert re.fullmatch(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers.pop(b"X-Request-ID"))
    assert headers.pop(b"Authorization").startswith(b"WP3-v2.1 ")
    assert headers.pop(b"User-Agent").startswith(b"wonder-customers")
    assert headers == {
        b"Host": b"ipgtest.monri.com",
        b"Accept": b"application/json",
        b"Accept-Encoding": b"identity",
        b"Content-Type": b"application/json",
        b"Content-Length": str(len(created.body)).encode(),
    }
    assert b"Content-Length" not in dict(read.headers)
    assert created.body == b'{"merchant_customer_id":"r-1","name":"Ada","phone":"+447911123456"}'
    assert str(created.origin) == "https://ipgtest.monri.com"
    it = make_harness(CREATED, account=Monri("k", "t", base_url="http://127.0.0.1:8080"))
    await it.get(UUID)
    assert dict(it.script.sent[0].headers)[b"Host"] == b"127.0.0.1:8080"


async def test_timeouts_are_limited_by_the_remaining_time() -> None:
    it = make_harness(respond(429, {}, retry_after="50"), CREATED)
    it.script.takes = 2.0
    await it.get(UUID)
    first, second = it.script.sent
    remaining = pytest.approx(60.0 - 2.0 - it.clock.waits[0])
    assert (first.within, first.timeouts) == (60.0, Timeouts(5.0, 30.0, 10.0))
    assert second.within == second.timeouts.connect == second.timeouts.read == second.timeouts.write == remaining


@pytest.mark.parametrize(("remaining", "sent"), [(-1.0, 0), (0.0, 0), (0.5, 1)])
async def test_request_is_sent_until_the_deadline(remaining: float, sent: int) -> None:
    it = make_harness(CREATED)
    context = CallContext(it.account_context, "get", it.clock.now, it.clock.now + remaining)
    late = pytest.raises(DeadlineExceededError, match="the request was not sent: the deadline passed")
    with nullcontext() if sent else late:
        await it.executor.perform(context, next(it.dialect.get(UUID)))
    assert len(it.script.sent) == sent


async def test_response_contains_the_facts_of_the_call() -> None:
    answer = respond(200, monri_customer(), x_request_id="gateway-1")
    it = make_harness(CONNECTION_REFUSED, NO_RESPONSE, answer)
    it.script.takes = 0.5
    response = await it.get(UUID)
    assert (response.status, response.headers, response.request_id) == (200, {"x-request-id": "gateway-1"}, "gateway-1")
    assert (response.attempts, response.elapsed, response.recovered) == (3, 1.5 + 0.25 + 0.5, False)


async def test_recovered_delete_reports_status_and_request_id() -> None:
    it = make_harness(NO_RESPONSE, respond(404, {}, x_request_id="gone-1"))
    response = await it.delete(UUID)
    facts = (response.record, response.status, response.headers, response.request_id, response.recovered)
    assert facts == (None, 404, {}, "gone-1", True)


@pytest.mark.parametrize(("sent", "left"), [("x" * 1000, "x{100}"), ("a\x1b[31m", "[0-9a-f-]{36}")], ids=ascii)
async def test_request_id_is_truncated_or_replaced(sent: str, left: str) -> None:
    response = await make_harness(respond(200, monri_customer(), x_request_id=sent)).get(UUID)
    assert re.fullmatch(left, response.request_id)


async def test_history_lists_every_request_in_order() -> None:
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
        ("not sent", "the request was not sent to https://ipgtest.monri.com: the connection broke", 0.5),
        ("no response", "the request was sent, but no complete response arrived: the connection broke", 0.5),
        ("body lost", "the response had HTTP status 200, but its body could not be read: the connection broke", 0.5),
        ("HTTP 502", "the gateway responded with HTTP 502", 0.5),
        ("HTTP 404", "the gateway refused the request with HTTP 404", 0.5),
    ]
    ids = [record.request_id for record in caught.value.history]
    assert len(set(ids)) == 5
    assert ids[-1] == caught.value.request_id == "last"
    assert caught.value.elapsed == pytest.approx(2.5 + sum(it.clock.waits))


@pytest.mark.parametrize(
    ("steps", "reference", "history"),
    [
        (
            [CREATED, respond(400, {"message": "no"})],
            "r-1",
            [("HTTP 200", "complete response"), ("HTTP 400", "the gateway refused the request with HTTP 400: no")],
        ),
        (
            [no_response(sent=True, status=201)],
            None,
            [("body lost", "the response had HTTP status 201, but its body could not be read: the connection broke")],
        ),
    ],
    ids=["read before the write", "lost body of a write"],
)
async def test_history_of_a_write_contains_its_reads_and_lost_bodies(
    steps: list[Step], reference: str | None, history: list[tuple[str, str]]
) -> None:
    it = make_harness(*steps)
    with pytest.raises(CallError) as caught:
        await it.upsert(draft(reference=reference))
    assert [(record.outcome, record.cause) for record in caught.value.history] == history
    assert (caught.value.reason, caught.value.attempts) == (history[-1][1], 1)


@pytest.mark.parametrize("headers", [{"x_correlation_id": "abc-1"}, {}], ids=["of the gateway", "sent"])
async def test_error_contains_the_request_id(headers: dict[str, str]) -> None:
    it = make_harness(respond(404, {}, **headers))
    with pytest.raises(NotFoundError) as caught:
        await it.get(UUID)
    expected = headers.get("x_correlation_id") or dict(it.script.sent[0].headers)[b"X-Request-ID"].decode()
    assert caught.value.request_id == expected
    assert f"request id {expected}" in str(caught.value)


async def test_attempts_count_every_request() -> None:
    it = make_harness(CONNECTION_REFUSED, NO_RESPONSE, *[NOT_FOUND] * 5, DOWN, CREATED)
    response = await it.create(draft())
    assert response.attempts == 9


async def test_conflict_names_the_customer_and_the_different_fields() -> None:
    body = monri_customer(merchant_customer_id="r-1", phone="+447911123456", name="Grace", email="g@example.org")
    other = respond(200, body)
    with pytest.raises(ConflictError) as caught:
        await make_harness(NO_RESPONSE, other).create(draft(email="a@example.org"))
    found = f"a customer with this reference exists ({UUID}), but differs in these fields: email, name"
    assert (caught.value.reason, caught.value.attempts, caught.value.ids) == (found, 2, (UUID,))
    assert (caught.value.applied, caught.value.reference) == ("unknown", "r-1")


async def test_unknown_outcome_has_reason_request_id_and_rate_limit() -> None:
    it = make_harness(respond(502, b"", x_request_id="bad-1", x_ratelimit_remaining="3"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await it.create(draft(reference=None))
    assert (caught.value.reason, caught.value.request_id) == ("the gateway responded with HTTP 502", "bad-1")
    assert caught.value.rate_limit_headers == {"x-ratelimit-remaining": "3"}


async def test_redirect_with_lost_body_is_reported_as_redirect() -> None:
    it = make_harness(no_response(sent=True, status=300))
    with pytest.raises(InvalidResponseError, match=r"redirect .*not followed"):
        await it.get(UUID)


def test_attempt_runner_uses_the_wall_clock() -> None:
    assert abs(AttemptRunner(None, make_harness().executor.order).wall() - datetime.now(UTC).timestamp()) < 5


LIMITS = {"x_ratelimit_remaining": "7", "ratelimit_reset": "30", "x_ratelimit_limit_minute": "60"}


async def test_response_has_the_headers_about_rate_limits() -> None:
    it = make_harness(respond(200, monri_customer(uuid=UUID), **LIMITS, retry_after="5", server="other", date="today"))
    response = await it.get(UUID)
    assert response.rate_limit_headers == {
        "x-ratelimit-remaining": "7",
        "ratelimit-reset": "30",
        "x-ratelimit-limit-minute": "60",
        "retry-after": "5",
    }


async def test_error_has_the_headers_about_rate_limits_without_values_of_the_request() -> None:
    it = make_harness(respond(404, {}, **LIMITS, ratelimit_policy=f"for {UUID}-ada@example.org", rate_limit="a\x07b"))
    with pytest.raises(NotFoundError) as caught:
        await it.executor.run(
            it.account_context, "get_by_reference", it.dialect.get_by_reference("ada@example.org"), None
        )
    found = caught.value.rate_limit_headers
    assert found["x-ratelimit-remaining"] == "7"
    assert "rate-limit" not in found
    assert pickle.loads(pickle.dumps(caught.value)).rate_limit_headers == found


async def test_limit_in_an_error_of_a_write_repeats_no_value_of_its_body() -> None:
    it = make_harness(respond(400, {}, ratelimit_policy="10;user=ada@example.org", x_ratelimit_remaining="0"))
    with pytest.raises(InvalidRequestError) as caught:
        await it.create(CustomerDraft("r-1", name="Ada", email="ada@example.org"))
    assert caught.value.rate_limit_headers == {"ratelimit-policy": "…", "x-ratelimit-remaining": "0"}


async def test_history_of_an_error_repeats_no_value_of_a_successful_request() -> None:
    empty = {"status": 200, "error": None, "resource": {"type": "customer", "data": [], "count": 0}}
    steps = (respond(200, empty, x_request_id="for-reference-77"), respond(401, {}))
    it = make_harness(*steps, account=PAYDOCK)
    with pytest.raises(CallError) as caught:
        await it.upsert(CustomerDraft("reference-77", first_name="Ada"))
    assert caught.value.history[0].request_id == "for-…"
