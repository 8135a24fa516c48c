"""The wait for a permit of the rate limit: what the limit and the observers learn, how it ends, and renewed permits."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import define, field
from backends import ASYNCIO_ONLY
from gateway_responses import UUID

from scripted_transport import (
    CONNECTION_REFUSED,
    CREATED,
    NO_RESPONSE,
    NOT_FOUND,
    STALE_CONNECTION,
    Harness,
    hang,
    make_harness,
    respond,
    use_real_time,
)
from wonder_customers import (
    CallError,
    ConfigurationError,
    DeadlineExceededError,
    NotSentError,
    RequestResult,
    RetryPolicy,
    StopSignal,
)
from wonder_customers._core.observers import ObserverGroup
from wonder_customers.events import Event, Waiting
from wonder_customers.wire import Transmission


@define(eq=False)
class ScriptedLimit:
    """A rate limit that runs its steps in order, and records its calls."""

    steps: list[Callable[[Transmission], Awaitable[None]]]
    acquired: list[Transmission] = field(factory=list)
    released: list[tuple[Transmission, RequestResult]] = field(factory=list)

    async def acquire(self, transmission: Transmission, /) -> None:
        self.acquired.append(transmission)
        await self.steps.pop(0)(transmission)

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        self.released.append((transmission, result))


def limited(it: Harness, *steps: Callable[[Transmission], Awaitable[None]]) -> ScriptedLimit:
    it.executor.runner.rate_limit = limit = ScriptedLimit(list(steps))
    return limit


async def at_once(transmission: Transmission) -> None:
    """Permit the request without a wait."""


async def after_two_waits(transmission: Transmission) -> None:
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()


async def after_a_timeout(transmission: Transmission) -> None:
    with anyio.move_on_after(0.001):
        await anyio.sleep_forever()


async def never(transmission: Transmission) -> None:
    await anyio.sleep_forever()


async def failing(transmission: Transmission) -> None:
    await anyio.lowlevel.checkpoint()
    raise ZeroDivisionError("division")


async def expired(transmission: Transmission) -> None:
    transmission.valid_until = 0.0


async def valid(transmission: Transmission) -> None:
    transmission.valid_until = inf


@pytest.mark.parametrize(
    ("step", "kind", "retry_after"),
    [
        (CREATED, "ok", None),
        (NOT_FOUND, "ok", None),
        (respond(429, {}, retry_after="7"), "throttled", 7.0),
        (respond(503, None, retry_after="3"), "failed", 3.0),
        (NO_RESPONSE, "failed", None),
        (STALE_CONNECTION, "failed", None),
        (CONNECTION_REFUSED, "failed", None),
        (hang(sent=True), "cancelled", None),
    ],
)
async def test_rate_limit_receives_the_result_of_a_request(step: Any, kind: str, retry_after: float | None) -> None:
    it = make_harness(step, policy=RetryPolicy(attempts=1))
    limit, it.script.takes = limited(it, at_once), 0.25
    async with anyio.create_task_group() as group:
        group.start_soon(_ended, it)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    assert limit.released == [(limit.acquired[0], RequestResult(kind, 0.25, retry_after))]  # type: ignore[arg-type]
    assert it.account_context.account.connections == 0


async def _ended(it: Harness) -> None:
    with suppress(CallError):
        await it.get(UUID)


@pytest.mark.parametrize(("permit", "waits"), [(at_once, 0), (after_two_waits, 1), (after_a_timeout, 1)])
async def test_wait_for_a_permit_is_reported_once(permit: Any, waits: int) -> None:
    it, waiting, events = make_harness(CREATED), list[int](), list[Event]()
    it.executor.observers = ObserverGroup([events.append])
    counts = it.account_context.account.counts

    async def watched(transmission: Transmission) -> None:
        await permit(transmission)
        waiting.append(counts.waiting_for_rate_limit)

    limit = limited(it, watched)
    await it.get(UUID)
    assert [(it.reason, it.seconds) for it in events if isinstance(it, Waiting)] == [("rate_limit", 60.0)] * waits
    assert (waiting, counts.waiting_for_rate_limit) == ([waits], 0)
    assert (limit.acquired[0].renew, it.script.sent[0].within) == (None, 60.0)


@ASYNCIO_ONLY
async def test_task_that_is_cancelled_while_it_waits_for_a_permit_sends_nothing() -> None:
    import asyncio

    it = make_harness()
    limit = limited(it, after_two_waits)
    call = asyncio.create_task(it.get(UUID))
    await asyncio.sleep(0)
    assert limit.acquired
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (it.script.sent, it.account_context.account.connections) == ([], 0)


@pytest.mark.parametrize(
    ("permit", "error", "words"),
    [
        (never, DeadlineExceededError, "the rate limit did not permit the request before the deadline"),
        (failing, ZeroDivisionError, "division"),
    ],
)
async def test_request_without_a_permit_is_not_sent(permit: Any, error: type[Exception], words: str) -> None:
    it = use_real_time(make_harness(policy=RetryPolicy(deadline=0.3)))
    limit = limited(it, permit)
    with pytest.raises(error, match=words):
        await it.get(UUID)
    account = it.account_context.account
    assert (account.connections, account.counts.waiting_for_rate_limit, limit.released) == (0, 0, [])


async def test_stopped_job_takes_neither_a_connection_nor_a_permit() -> None:
    it = make_harness()
    limit, it.account_context.stop = limited(it), StopSignal(is_set=True)
    with pytest.raises(NotSentError, match="the stop signal was set"):
        await it.get(UUID)
    assert (limit.acquired, it.account_context.account.connections) == ([], 0)


async def test_expired_permit_is_renewed_before_the_request_is_sent() -> None:
    it = make_harness(CREATED)
    limit = limited(it, expired, valid)
    await it.get(UUID)
    assert limit.acquired == [limit.released[0][0]] * 2
    assert len(limit.released) == 1


async def test_request_whose_permit_is_not_renewed_is_not_sent() -> None:
    it = use_real_time(make_harness(policy=RetryPolicy(deadline=0.3, attempts=1)))
    it.script.ends_in_time = True
    it.executor.runner.use(it.script)
    limit = limited(it, expired, never)
    with pytest.raises(NotSentError, match="no other permit was available") as caught:
        await it.get(UUID)
    assert (caught.value.attempts, [result.kind for _, result in limit.released]) == (1, ["failed"])


async def test_permits_that_have_always_expired_end_at_the_deadline() -> None:
    it = use_real_time(make_harness(policy=RetryPolicy(deadline=0.3, attempts=1)))
    it.script.ends_in_time = True
    it.executor.runner.use(it.script)
    limited(it, *([expired] * 100_000))
    with pytest.raises(NotSentError, match="no other permit was available"):
        await it.get(UUID)


async def test_limit_without_an_async_acquire_is_reported() -> None:
    class Plain(ScriptedLimit):
        def acquire(self, transmission: Transmission, /) -> Any:
            return None

    it = make_harness()
    it.executor.runner.rate_limit = Plain([])
    with pytest.raises(
        ConfigurationError, match=r"must be an async method, but it returned NoneType\. Nothing was sent"
    ):
        await it.get(UUID)
    assert it.account_context.account.connections == 0
