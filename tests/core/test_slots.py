"""`Slots` and `DividedSlots`: taken in order and in rotation, and never lost by a cancellation."""

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from backends import ASYNCIO_ONLY

from scripted_transport import make_harness
from wonder_customers._core.account_state import AccountState
from wonder_customers._support.wait_queue import DividedSlots, Slots


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
