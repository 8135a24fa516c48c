"""Calls that wait: for a connection, a lock or the rate limit. How they are cancelled, stopped and signed."""

from collections.abc import Callable
from time import process_time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from gateway_responses import UUID, monri_customer

from scripted_transport import CREATED, Harness, draft, hang, make_harness, respond, use_real_time
from wonder_customers import CallError, NotSentError, RateLimit, RetryPolicy, StopSignal
from wonder_customers._support.wait_queue import DividedSlots


def _slots(it: Harness) -> Any:
    it.executor.runner.slots = DividedSlots(1)
    return lambda number: it.get(UUID)


def _lock(it: Harness) -> Any:
    return lambda number: it.create(draft())


def _rate_limit(it: Harness) -> Any:
    it.executor.runner.rate_limit = RateLimit(1, per=1000)
    return lambda number: it.get(UUID)


WAITS = pytest.mark.parametrize("wait", [_slots, _lock, _rate_limit], ids=lambda it: it.__name__)


async def _cost_of_cancelling(wait: Callable[[Harness], Any], calls: int) -> float:
    """Return the CPU time per call of cancelling calls of which all but one wait."""
    it = use_real_time(make_harness(hang(sent=True), endless=True))
    call = wait(it)
    async with anyio.create_task_group() as group:
        for number in range(calls):
            group.start_soon(call, number)
        await anyio.wait_all_tasks_blocked()
        began = process_time()
        group.cancel_scope.cancel()
    assert it.script.concurrent == 0
    return (process_time() - began) / calls


@WAITS
async def test_cost_of_cancelling_waiting_calls_grows_with_their_number_only(wait: Callable[[Harness], Any]) -> None:
    few = min([await _cost_of_cancelling(wait, 25) for _ in range(3)])
    many = min([await _cost_of_cancelling(wait, 300) for _ in range(2)])
    # With a cost per call that grew with the number of calls, this would be 12.
    assert many < 6 * few


@WAITS
async def test_stop_signal_ends_the_wait_and_the_request_in_progress_is_completed(
    wait: Callable[[Harness], Any],
) -> None:
    stop, proceed, stopped, errors = StopSignal(), anyio.Event(), anyio.Event(), list[CallError]()

    async def answer(*_: Any) -> Any:
        await proceed.wait()
        return CREATED(*_)

    it = use_real_time(make_harness(answer))
    it.account_context.stop = stop
    call, results = wait(it), list[Any]()

    async def run(number: int) -> None:
        try:
            results.append(await call(number))
        except CallError as error:
            errors.append(error)
            if len(errors) == 2:
                stopped.set()

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(run, number)
        await anyio.wait_all_tasks_blocked()
        stop.set()
        with anyio.fail_after(120):
            await stopped.wait()
        assert [type(it) for it in errors] == [NotSentError, NotSentError]
        assert all("the stop signal was set" in str(it) for it in errors)
        proceed.set()
    assert (len(results), stop.ends) == (1, set())


async def test_stop_signal_ends_the_wait_for_a_retry_with_the_failure() -> None:
    it = use_real_time(make_harness(respond(503), policy=RetryPolicy(base=1000, cap=1000)))
    it.account_context.stop = stop = StopSignal()
    it.executor.draw = lambda: 0.01
    async with anyio.create_task_group() as group:
        group.start_soon(_expect, it, "not retried, because the stop signal was set")
        await anyio.wait_all_tasks_blocked()
        stop.set()


async def _expect(it: Harness, words: str) -> None:
    with pytest.raises(CallError, match=words):
        await it.get(UUID)


async def test_request_is_signed_after_its_wait_for_a_connection() -> None:
    it = make_harness(respond(200, monri_customer()))
    slots = it.executor.runner.slots = DividedSlots(1)
    now = 1000.0
    it.executor.runner.wall = lambda: now
    account = it.account_context.account
    assert slots.acquire_nowait(account)
    async with anyio.create_task_group() as group:
        group.start_soon(it.get, UUID)
        await anyio.wait_all_tasks_blocked()
        now = 1500.0
        slots.release(account)
    signature = dict(it.script.sent[0].headers)[b"Authorization"]
    assert signature.split()[2] == b"1500"


async def test_lookups_wait_as_long_as_an_unavailable_gateway_asks() -> None:
    unavailable = respond(503, None, retry_after="7")
    it = make_harness(unavailable, CREATED)
    assert (await it.create(draft())).recovered
    assert it.clock.waits[0] >= 7
