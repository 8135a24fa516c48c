"""What a call may spend: retries out of the budget, and time until the deadline."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
from core.monri_responses import KEY
from gateway_responses import UUID

from scripted_transport import CREATED, NO_RESPONSE, draft, hang, make_harness, respond, use_real_time
from wonder_customers import (
    DeadlineExceededError,
    InvalidResponseError,
    NoResponseError,
    OutcomeUnknownError,
    RetryPolicy,
    Wonder,
)

pytestmark = pytest.mark.anyio


class TestTheBudget:
    async def test_all_retries_of_a_call_are_given_back(self) -> None:
        it = make_harness(NO_RESPONSE, NO_RESPONSE, CREATED)
        it.account_context.budget.take(100)
        await it.get(UUID)
        assert it.account_context.budget.tokens == 400

    async def test_those_before_an_adoption_too(self) -> None:
        it = make_harness(respond(429, {}), NO_RESPONSE, CREATED)
        it.account_context.budget.take(100)
        await it.create(draft())
        # Five back for the wait, and one that the look earned as a call of its own.
        assert it.account_context.budget.tokens == 401

    async def test_what_failed_keeps_its_price(self) -> None:
        it = make_harness(NO_RESPONSE, endless=True)
        with pytest.raises(NoResponseError):
            await it.get(UUID)
        assert it.account_context.budget.tokens == 500 - 28

    async def test_with_an_empty_budget_the_first_failure_is_the_last(self) -> None:
        it = make_harness(NO_RESPONSE, CREATED)
        it.account_context.budget.take(490)
        with pytest.raises(NoResponseError) as caught:
            await it.get(UUID)
        assert caught.value.attempts == 1


class TestTheDeadline:
    async def test_a_wait_that_would_pass_it_is_not_begun(self) -> None:
        it = make_harness(NO_RESPONSE, endless=True, policy=RetryPolicy(attempts=9, deadline=0.7))
        with pytest.raises(NoResponseError) as caught:
            await it.get(UUID)
        assert (caught.value.attempts, it.clock.waits) == (2, [0.25])

    @pytest.mark.parametrize(
        ("operation", "sent", "status", "kind", "words", "applied"),
        [
            (
                "get",
                False,
                None,
                DeadlineExceededError,
                "it was not sent to https://ipgtest.monri.com: the deadline of 0.05 s passed",
                "no",
            ),
            (
                "get",
                True,
                None,
                DeadlineExceededError,
                "it was sent and received no response: the deadline of 0.05 s passed",
                "no",
            ),
            ("get", True, 200, DeadlineExceededError, "but its body was lost: the deadline of 0.05 s passed", "no"),
            (
                "create",
                False,
                None,
                DeadlineExceededError,
                "it was not sent to https://ipgtest.monri.com: the deadline of 0.05 s passed",
                "no",
            ),
            (
                "create",
                True,
                None,
                OutcomeUnknownError,
                "received no response: the deadline of 0.05 s passed",
                "unknown",
            ),
            (
                "create",
                True,
                201,
                InvalidResponseError,
                "HTTP 201, but its body was lost: the deadline of 0.05 s passed",
                "yes",
            ),
        ],
    )
    async def test_it_ends_whatever_hangs(
        self, operation: str, sent: bool, status: int | None, kind: type[Exception], words: str, applied: str
    ) -> None:
        it = use_real_time(
            make_harness(hang(sent=sent, status=status), endless=True, policy=RetryPolicy(deadline=0.05))
        )
        began = anyio.current_time()
        with anyio.fail_after(2), pytest.raises(kind) as caught:
            await (it.get(UUID) if operation == "get" else it.create(draft()))
        error: Any = caught.value
        assert words in error.reason
        assert (error.applied, type(error)) == (applied, kind)
        assert 0.04 < error.elapsed < 0.25
        assert anyio.current_time() - began < 0.25

    async def test_it_ends_the_wait_for_ones_turn(self) -> None:
        it = use_real_time(make_harness(CREATED, policy=RetryPolicy(deadline=0.05)))

        async def somebody_else(*, task_status: Any) -> None:
            assert await it.executor.order.locks.acquire(KEY, 1)
            task_status.started()
            try:
                await anyio.sleep_forever()
            finally:
                it.executor.order.locks.release(KEY)

        async with anyio.create_task_group() as group:
            await group.start(somebody_else)
            with anyio.fail_after(2), pytest.raises(DeadlineExceededError) as caught:
                await it.create(draft())
            group.cancel_scope.cancel()
        assert caught.value.reason == "it was not sent: another write for this customer did not end before the deadline"
        assert (caught.value.applied, caught.value.gateway, it.script.sent) == ("no", "monri", [])

    async def test_a_look_that_would_pass_it_is_not_waited_for(self) -> None:
        it = make_harness(NO_RESPONSE, policy=RetryPolicy(deadline=0.5, confirmation_window=0.49))
        it.script.takes = 0.1
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        assert it.clock.waits == []

    async def test_a_doubt_as_long_as_it_is_too_long(self, wonder: Wonder) -> None:
        it = make_harness(NO_RESPONSE, endless=True, account=wonder, policy=RetryPolicy(deadline=10, attempts=1))
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        it.account_context.policy = RetryPolicy(deadline=5, attempts=1)
        with pytest.raises(DeadlineExceededError, match=r"unconfirmed and may be applied for another 5\.0 s"):
            await it.create(draft(name="Grace"))
        assert it.clock.waits == []

    async def test_a_date_to_wait_for_is_read_with_the_wall_clock(self) -> None:
        date = format_datetime(datetime.fromtimestamp(1_700_000_007, UTC), usegmt=True)
        it = make_harness(respond(429, {}, retry_after=date), CREATED)
        await it.get(UUID)
        assert it.clock.waits == [7.0 + 3.5]
