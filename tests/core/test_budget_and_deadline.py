"""Limits of a call: the retry budget and the deadline."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
from core.monri_responses import KEY
from gateway_responses import UUID
from mock_gateway import wonder

from scripted_transport import CREATED, NO_RESPONSE, NOT_FOUND, Step, draft, hang, make_harness, respond, use_real_time
from wonder_customers import (
    DeadlineExceededError,
    InvalidResponseError,
    NoResponseError,
    OutcomeUnknownError,
    RetryPolicy,
)


@pytest.mark.parametrize(
    ("operation", "steps", "tokens"),
    [
        ("get", (NO_RESPONSE, NO_RESPONSE, CREATED), 400),
        ("create", (NO_RESPONSE, *[NOT_FOUND] * 5, CREATED), 400),
        # Five for the wait are returned, and one is added because the lookup succeeded without a retry.
        ("create", (respond(429, {}), NO_RESPONSE, CREATED), 401),
    ],
)
async def test_successful_call_returns_all_retry_tokens(operation: str, steps: tuple[Step, ...], tokens: int) -> None:
    it = make_harness(*steps)
    it.account_context.account.budget.take(100)
    await (it.get(UUID) if operation == "get" else it.create(draft()))
    assert it.account_context.account.budget.tokens == tokens


async def test_failed_call_keeps_its_retry_tokens() -> None:
    it = make_harness(NO_RESPONSE, endless=True)
    with pytest.raises(NoResponseError):
        await it.get(UUID)
    assert it.account_context.account.budget.tokens == 500 - 28


async def test_empty_budget_prevents_retries() -> None:
    it = make_harness(NO_RESPONSE, CREATED)
    it.account_context.account.budget.take(490)
    with pytest.raises(NoResponseError, match="the retry budget of this account is used up") as caught:
        await it.get(UUID)
    assert caught.value.attempts == 1
    assert caught.value.reason in repr(caught.value)


async def test_retry_wait_beyond_the_deadline_is_not_started() -> None:
    it = make_harness(NO_RESPONSE, endless=True, policy=RetryPolicy(attempts=9, deadline=0.7))
    with pytest.raises(NoResponseError) as caught:
        await it.get(UUID)
    assert (caught.value.attempts, it.clock.waits) == (2, [0.25])


LATE = "the deadline of 0.3 s passed"
NOT_SENT = f"the request was not sent to https://ipgtest.monri.com: {LATE}"


@pytest.mark.parametrize(
    ("operation", "sent", "status", "kind", "words", "applied"),
    [
        ("get", False, None, DeadlineExceededError, NOT_SENT, "no"),
        ("get", True, None, DeadlineExceededError, f"was sent, but no complete response arrived: {LATE}", "no"),
        ("get", True, 200, DeadlineExceededError, f"but its body could not be read: {LATE}", "no"),
        ("create", False, None, DeadlineExceededError, NOT_SENT, "no"),
        ("create", True, None, OutcomeUnknownError, f"no complete response arrived: {LATE}", "unknown"),
        ("create", True, 201, InvalidResponseError, f"status 201, but its body could not be read: {LATE}", "yes"),
    ],
)
async def test_deadline_ends_a_hanging_request(
    operation: str, sent: bool, status: int | None, kind: type[Exception], words: str, applied: str
) -> None:
    it = use_real_time(make_harness(hang(sent=sent, status=status), endless=True, policy=RetryPolicy(deadline=0.3)))
    with anyio.fail_after(120), pytest.raises(kind) as caught:
        await (it.get(UUID) if operation == "get" else it.create(draft()))
    error: Any = caught.value
    assert words in error.reason
    assert (error.applied, type(error)) == (applied, kind)
    assert 0.25 < error.elapsed < 60


async def test_deadline_ends_the_wait_for_a_write_lock() -> None:
    it = use_real_time(make_harness(CREATED, policy=RetryPolicy(deadline=0.3)))

    async def other_write(*, task_status: Any) -> None:
        assert await it.executor.order.locks.acquire(KEY, 1)
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            it.executor.order.locks.release(KEY)

    async with anyio.create_task_group() as group:
        await group.start(other_write)
        with anyio.fail_after(120), pytest.raises(DeadlineExceededError) as caught:
            await it.create(draft())
        group.cancel_scope.cancel()
    assert (
        caught.value.reason
        == "the request was not sent: another write for this customer did not end before the deadline"
    )
    assert (caught.value.applied, caught.value.gateway, it.script.sent) == ("no", "monri", [])


async def test_lookup_wait_beyond_the_deadline_is_not_started() -> None:
    it = make_harness(NO_RESPONSE, policy=RetryPolicy(deadline=0.75, confirmation_window=0.5))
    it.script.takes = 0.25
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    assert it.clock.waits == []


async def test_confirmation_window_equal_to_the_deadline_is_not_waited_for() -> None:
    it = make_harness(NO_RESPONSE, endless=True, account=wonder(), policy=RetryPolicy(deadline=10, attempts=1))
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    it.account_context.policy = RetryPolicy(deadline=5, attempts=1)
    with pytest.raises(DeadlineExceededError, match=r"unconfirmed and may still be applied in the next 5\.0 s"):
        await it.create(draft(name="Grace"))
    assert it.clock.waits == []


async def test_retry_after_date_is_compared_with_the_wall_clock() -> None:
    date = format_datetime(datetime.fromtimestamp(1_700_000_007, UTC), usegmt=True)
    it = make_harness(respond(429, {}, retry_after=date), CREATED)
    await it.get(UUID)
    assert it.clock.waits == [7.0 + 3.5]
