"""`WriteLocks`: acquired in order, and never lost by a cancellation."""

import asyncio
import gc
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import define
from backends import ASYNCIO_ONLY

from wonder_customers._core import write_locks
from wonder_customers._core.write_locks import UnconfirmedWrites, WriteLocks, shared_locks
from wonder_customers._support import clock
from wonder_customers._support.clock import running_loop

KEY = ("merchant", "reference", "ref-1")


async def test_free_lock_is_acquired_at_once_and_removed_after_release() -> None:
    it = WriteLocks()
    assert await it.acquire(KEY, 0)
    assert it.acquire_nowait(KEY) is False
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 1)
    assert await it.acquire(KEY, 0)
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 2), "every release is counted"


async def test_waiters_acquire_the_lock_in_order() -> None:
    it, order = WriteLocks(), list[int]()

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


async def test_timed_out_waiter_leaves_the_queue() -> None:
    it = WriteLocks()
    assert await it.acquire(KEY, 1)
    assert not await it.acquire(KEY, 0.01)
    assert it.waiting == 0
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 1)
    assert await it.acquire(KEY, 0)
    it.release(KEY)
    assert (it._locks, it.released) == ({}, 2), "every release is counted"


async def test_cancelled_waiter_leaves_the_queue() -> None:
    it = WriteLocks()
    assert await it.acquire(KEY, 1)
    with anyio.move_on_after(0.01):
        await it.acquire(KEY, 5)
    assert it.waiting == 0
    it.release(KEY)
    assert it._locks == {}


@pytest.mark.parametrize("cancelled_first", [False, True])
async def test_lock_granted_to_a_cancelled_waiter_goes_to_the_next(cancelled_first: bool) -> None:
    it, got = WriteLocks(), list[str]()
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
        if cancelled_first:
            first.cancel()
        it.release(KEY)
        first.cancel()
    assert got in (["second"], ["first", "second"])
    assert it._locks == {}


@ASYNCIO_ONLY
async def test_lock_granted_to_a_cancelled_task_is_released() -> None:
    import asyncio

    it = WriteLocks()
    assert await it.acquire(KEY, 1)
    waiting = asyncio.create_task(it.acquire(KEY, 5))
    await anyio.wait_all_tasks_blocked()
    it.release(KEY)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    timers: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert all(timer.cancelled() for timer in timers)
    assert it._locks == {}


@ASYNCIO_ONLY
async def test_event_loop_is_known_while_another_thread_imports_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trio", "trio.lowlevel"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert running_loop() is asyncio.get_running_loop()


def test_unconfirmed_writes_are_bounded_and_take_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now, writes = 0.0, UnconfirmedWrites()
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    for number in range(10_000):
        now += 0.01
        writes.add([("m", "id", str(number))], b"body", 1.0)
    assert len(writes) <= 110
    writes.add_known(KEY, "id-1")
    writes.clear()
    assert (len(writes), writes.known(KEY)) == (0, None)
    monkeypatch.setattr(write_locks, "_MOST", 3)
    writes.add([("m", "id", str(number)) for number in (0, 1, 2, 3, 0, 4)], b"body", 1.0)
    assert list(writes._writes) == [("m", "id", str(number)) for number in (3, 0, 4)]


@define(eq=False)
class InterruptedKey:
    """A key that runs a function at the `left`-th access to its entry in a table."""

    left: int
    run: Callable[[], None]

    def __hash__(self) -> int:
        self.left -= 1
        if self.left == 0:
            self.run()
        return 1


@pytest.mark.parametrize("moment", range(1, 5))
def test_newer_write_of_another_thread_is_kept(moment: int) -> None:
    writes = UnconfirmedWrites()

    def interrupt() -> None:
        other.start()
        other.join(0.01)

    keys: list[Any] = [InterruptedKey(moment, interrupt)]
    other = Thread(target=writes.add, args=(keys, b"newer", 60.0))
    writes.add(keys, b"expires at once", 0.0)
    other.join()
    assert writes.remaining(keys, None) > 0


@pytest.mark.parametrize("allocations", range(1, 30))
def test_garbage_collector_may_add_a_write_while_another_is_added(allocations: int) -> None:
    writes = UnconfirmedWrites()
    for number in range(8):
        writes._writes["m", "id", str(number)] = b"", 0.0

    class AbandonedCall:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            writes.add([("m", "id", "abandoned")], b"body", 60.0)

    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()
    AbandonedCall()
    try:
        gc.set_threshold(allocations)
        gc.enable()
        writes.add([KEY], b"body", 60.0)
    finally:
        gc.enable()
        gc.set_threshold(*thresholds)
    gc.collect()
    assert writes.remaining([KEY], None) > 0


@pytest.mark.parametrize("writes", [2_000, pytest.param(5_000, marks=pytest.mark.long)])
async def test_thousands_of_waiting_writes_are_cancelled_quickly(writes: int) -> None:
    locks, key = WriteLocks(), ("m", "id", "1")
    assert locks.acquire_nowait(key)
    async with anyio.create_task_group() as group:
        for _ in range(writes):
            group.start_soon(locks.acquire, key, 60.0)
        await anyio.sleep(0.5)
        assert locks.waiting == writes
        group.cancel_scope.cancel()
    assert locks.waiting == 0
    locks.release(key)
    assert locks._locks == {}


async def test_oldest_links_releases_and_known_customers_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_locks, "_LINKS", 2)
    it = WriteLocks()
    for number in (1, 2, 1, 3):
        key = ("merchant", "id", f"id-{number}")
        it.link(key, ("merchant", "reference", f"ref-{number}"))
        assert it.acquire_nowait(key)
        it.release(key)
        it.unconfirmed.add_known(("merchant", "reference", f"ref-{number}"), f"id-{number}")
    assert [key[2] for key in it._links] == ["id-1", "id-3"]
    known = [it.unconfirmed.known(("merchant", "reference", f"ref-{number}")) for number in (1, 2, 3)]
    assert known == ["id-1", None, "id-3"]
    reference, by_id = ("merchant", "reference", "ref-3"), ("merchant", "id", "id-3")
    assert it.with_linked([by_id]) == it.with_linked([reference, by_id]) == [reference, by_id]
    assert list(it._last.values()) == [3, 4], "the second release of the first key is newer than that of the second"


async def _shared() -> WriteLocks:
    return shared_locks(running_loop())


async def test_locks_of_a_running_event_loop_are_kept_and_those_of_ended_ones_are_not(anyio_backend: str) -> None:
    """A server runs for weeks, while its threads run many short event loops."""
    locks, before = await _shared(), len(write_locks._BY_LOOP)
    for _ in range(100):
        other = await anyio.to_thread.run_sync(partial(anyio.run, _shared, backend=anyio_backend))
        assert (other is locks, other.unconfirmed is locks.unconfirmed) == (False, True)
    assert await _shared() is locks
    gc.collect()
    assert len(write_locks._BY_LOOP) <= before


def test_locks_for_which_tasks_wait_do_not_keep_a_closed_event_loop() -> None:
    async def wait() -> None:
        locks = await _shared()
        assert locks.acquire_nowait(KEY)
        waiting.append(asyncio.create_task(locks.acquire(KEY, 100)))
        await asyncio.sleep(0)

    waiting = list[Any]()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(wait())
    loop.close()
    asyncio.run(_shared())
    assert loop not in write_locks._BY_LOOP
    waiting.pop()._log_destroy_pending = False


def test_session_can_be_opened_without_an_event_loop() -> None:
    assert shared_locks(None) is not shared_locks(None)
