"""Calls that wait: for a connection, a lock or the rate limit. How they are cancelled, stopped and signed."""

import asyncio
import threading
import warnings
from collections.abc import Callable
from time import process_time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from backends import ASYNCIO_ONLY
from gateway_responses import UUID, monri_customer
from mock_gateway import MockGateway, json_response, paydock

from scripted_transport import CREATED, Harness, draft, hang, make_harness, respond, use_real_time
from wonder_customers import (
    CallError,
    CustomerSession,
    DeadlineExceededError,
    Monri,
    NotSentError,
    Paydock,
    RateLimit,
    RetryPolicy,
    StopSignal,
)
from wonder_customers._core.account_state import AccountState, AccountStates
from wonder_customers._support.wait_queue import DividedSlots, Slots

pytestmark = pytest.mark.anyio


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


def test_accounts_without_views_are_forgotten() -> None:
    now = 0.0
    states = AccountStates(lambda: now, 500)

    def made(number: int) -> AccountState:
        account = Monri("key", f"token-{number}", auth="oauth")
        return states.of(account, account.dialect())

    for number in range(1200):
        made(number).counts.started += 1
    assert len(states) == 1000
    kept = made(1199)
    assert kept is made(1199)
    now = 301.0
    last = made(1200)
    assert len(states) == 2, "the account in use, and the last one"
    assert last.credentials is not kept.credentials
    assert states.totals().started == 1200, "the calls of forgotten accounts still count"


def test_accounts_are_identified_by_their_values() -> None:
    states = AccountStates(lambda: 0.0, 500)
    accounts: list[Any] = [
        Monri("a", "bc"),
        Monri("ab", "c"),
        Monri("a", "bc", auth="oauth"),
        Paydock("a"),
        Monri("a", "bc"),
    ]
    found = [states.of(it, it.dialect()) for it in accounts]
    assert [found.index(it) for it in found] == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("closed", [False, True])
def test_views_can_be_created_in_several_threads(*, closed: bool) -> None:
    """Web frameworks call functions that are not async in threads, such as one that selects a tenant."""
    order: list[str] = []
    account = Monri("key", "token")

    def change(name: str, *, close: bool = False) -> None:
        if close:
            session._shared.accounts.forget_views()
        else:
            session.for_account(account)
        order.append(name)

    other = threading.Thread(target=change, args=["second"], kwargs={"close": closed})

    def clock() -> float:  # called while the first view is created
        if other.ident is None:
            other.start()
            other.join(0.05)
        return 0.0

    session = CustomerSession(account)
    session._shared.accounts.clock = clock
    change("first")
    other.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize("how", ["aclose", "async with", "exhausted"])
async def test_listing_that_is_left_early_warns_of_nothing(how: str) -> None:
    page = {"resource": {"data": [{"_id": f"{n:024x}"} for n in range(3)], "count": 3}, "error": None, "status": 200}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with MockGateway(json_response(200, page)).session(paydock()) as session:
            listing = session.list()
            if how == "async with":
                async with listing as customers:
                    async for _ in customers:
                        break
            else:
                async for _ in listing:
                    if how == "aclose":
                        break
            await listing.aclose()
            assert listing._open == []


def test_account_takes_every_slot_and_no_more() -> None:
    slots, account = DividedSlots(2), make_harness().account_context.account
    for _ in range(2):
        assert [slots.acquire_nowait(account) for _ in range(3)] == [True, True, False]
        slots.release(account)
        slots.release(account)


async def test_slots_are_divided_among_accounts_and_passed_on_in_rotation() -> None:
    first, second = (make_harness().account_context.account for _ in range(2))
    slots, taken = DividedSlots(4), list[str]()
    slots.divided = True
    assert [slots.acquire_nowait(first) for _ in range(3)] == [True, True, False]
    assert [slots.acquire_nowait(second) for _ in range(2)] == [True, False]

    async def take(name: str, account: AccountState) -> None:
        assert await slots.acquire(account, 100)
        taken.append(name)
        await anyio.lowlevel.checkpoint()
        slots.release(account)

    slots = DividedSlots(1)
    assert slots.acquire_nowait(first)
    async with anyio.create_task_group() as group:
        for name, account in (("a", first), ("b", first), ("c", second), ("d", second)):
            group.start_soon(take, name, account)
            while slots.waiting <= "abcd".index(name):
                await anyio.lowlevel.checkpoint()
        slots.release(first)
    assert (taken, slots._queues, slots._free) == (["a", "c", "b", "d"], {}, 1)


@ASYNCIO_ONLY
async def test_slot_is_not_passed_to_a_cancelled_request() -> None:
    slots, account = DividedSlots(1), make_harness().account_context.account
    assert slots.acquire_nowait(account)
    waiting = asyncio.create_task(slots.acquire(account, 100))
    await asyncio.sleep(0)
    waiting.cancel()
    slots.release(account)  # before the task removes its waiter
    assert (slots._free, account.connections) == (1, 0)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (slots._free, slots._queues) == (1, {})


async def test_slot_of_a_cancelled_task_goes_to_the_next_one() -> None:
    slots, taken, scopes = Slots(1), list[int](), [anyio.CancelScope() for _ in range(4)]
    assert slots.acquire_nowait()

    async def take(number: int) -> None:
        with scopes[number]:
            await slots.acquire(100)
            taken.append(number)
            slots.release()

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(take, number)
            await anyio.wait_all_tasks_blocked()
        slots.release()  # selects the first task, which is cancelled before it runs
        scopes[0].cancel()
        scopes[1].cancel()  # is still in the queue when the slot is passed on
    assert taken in ([2, 3], [0, 2, 3])  # anyio on asyncio cancels a selected task at its next wait
    assert (slots.free, slots.waiting) == (1, 0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_slot_of_a_cancelled_asyncio_task_is_passed_on() -> None:
    slots = Slots(1)
    assert slots.acquire_nowait()
    tasks = [asyncio.create_task(slots.acquire(100)) for _ in range(3)]
    await anyio.wait_all_tasks_blocked()
    slots.release()
    tasks[0].cancel()
    tasks[1].cancel()
    assert await tasks[2]
    assert (tasks[0].cancelled(), tasks[1].cancelled(), slots.free, slots.waiting) == (True, True, 0, 0)


async def test_wait_for_a_slot_ends_in_time_and_by_a_stop_signal() -> None:
    slots, ends = Slots(1), set[Any]()
    assert slots.acquire_nowait()
    assert not await slots.acquire(0.01)
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            assert not await slots.acquire(100, ends)

        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        for end in list(ends):
            end()
    slots.release()
    assert (slots.free, slots.waiting, ends) == (1, 0, set())


async def test_function_that_hangs_occupies_a_limited_number_of_threads() -> None:
    release, calls = threading.Event(), list[int]()

    def read() -> str:
        calls.append(1)
        release.wait(30)
        return "key"

    account = Paydock(read, base_url="http://127.0.0.1:1/")
    async with CustomerSession(account, retry=RetryPolicy(deadline=0.2, attempts=1)) as session:
        try:
            while len(calls) < 4:
                with pytest.raises(DeadlineExceededError):
                    await session.get("a")
            with pytest.raises(NotSentError, match="the function for secret_key was not called: 4 earlier calls"):
                await session.get("a")
            assert len(calls) == 4
        finally:
            release.set()
