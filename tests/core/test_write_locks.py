"""WriteLocks: one after the other, in order, and never lost by a cancellation."""

import anyio
import anyio.lowlevel
import pytest

from wonder_customers._core.write_locks import WriteLocks

pytestmark = pytest.mark.anyio
KEY = ("merchant", "reference", "ref-1")


def turns() -> WriteLocks:
    return WriteLocks()


async def test_a_free_turn_is_taken_at_once_and_leaves_nothing() -> None:
    it = turns()
    assert await it.acquire(KEY, 0)
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 1)
    assert await it.acquire(KEY, 0)
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 2), "each that ends is seen by those that began before it"


async def test_those_who_wait_come_in_order() -> None:
    it, order = turns(), list[int]()

    async def work(number: int) -> None:
        assert await it.acquire(KEY, 5)
        order.append(number)
        await anyio.lowlevel.checkpoint()
        it.release(KEY)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, number)
            await anyio.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]
    assert it._locks == {}


async def test_who_waits_in_vain_is_told_and_leaves_the_line() -> None:
    it = turns()
    assert await it.acquire(KEY, 1)
    assert not await it.acquire(KEY, 0.01)
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 1)
    assert await it.acquire(KEY, 0)
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 2), "each that ends is seen by those that began before it"


async def test_a_cancelled_wait_leaves_the_line() -> None:
    it = turns()
    assert await it.acquire(KEY, 1)
    with anyio.move_on_after(0.01):
        await it.acquire(KEY, 5)
    it.release(KEY)
    assert it._locks == {}


async def test_a_turn_that_came_with_a_cancellation_goes_on_to_the_next() -> None:
    it, got = turns(), list[str]()
    assert await it.acquire(KEY, 1)

    async def wait(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            assert await it.acquire(KEY, 5)
            got.append(name)
            it.release(KEY)

    first, second = anyio.CancelScope(), anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(wait, "first", first)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(wait, "second", second)
        await anyio.wait_all_tasks_blocked()
        it.release(KEY)
        first.cancel()
    assert got in (["second"], ["first", "second"])
    assert it._locks == {}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_same_with_a_task_that_is_cancelled_after_its_turn_came() -> None:
    import asyncio

    it = turns()
    assert await it.acquire(KEY, 1)
    waiting = asyncio.create_task(it.acquire(KEY, 5))
    await anyio.wait_all_tasks_blocked()
    it.release(KEY)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert it._locks == {}
