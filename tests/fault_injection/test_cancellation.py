"""Thousands of cancelled calls leak no connections, locks, tasks or files."""

import gc
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from fault_injection.sessions import fresh, session, until

from wonder_customers import CustomerSession, Monri, RetryPolicy, dialects
from wonder_customers.simulator import SimulatorServer

FILES = Path("/proc/self/fd")
Cancel = Callable[[CustomerSession[Monri], str, random.Random], Awaitable[int]]


@pytest.fixture
def plain_simulator() -> Iterator[SimulatorServer]:
    """Start a separate simulator, to count its connections, without the fault proxy, for speed."""
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()]) as server:
        yield server


def open_files() -> int:
    gc.collect()
    return len(list(FILES.iterdir()))


def all_tasks(backend: str) -> set[object]:
    """Return the tasks of the event loop; trio itself fails a run that leaves tasks behind."""
    import asyncio

    return set(asyncio.all_tasks()) if backend == "asyncio" else set()


async def cancel_by_scope(it: CustomerSession[Monri], id: str, rng: random.Random) -> int:
    """Start a batch of calls, cancel all at a random moment, and return the number of cancelled calls."""
    ended = 0

    async def call() -> None:
        nonlocal ended
        await it.get(id)
        ended += 1

    async with anyio.create_task_group() as group:
        for _ in range(64):
            group.start_soon(call)
        await anyio.sleep(rng.uniform(0, 0.02))
        group.cancel_scope.cancel()
    return 64 - ended


async def cancel_by_task(it: CustomerSession[Monri], id: str, rng: random.Random) -> int:
    """Start a batch of asyncio tasks, cancel each at its own moment, and return the number of cancelled calls."""
    import asyncio

    tasks = [asyncio.create_task(it.get(id)) for _ in range(64)]
    for task in tasks:
        if rng.random() < 0.1:
            await asyncio.sleep(rng.uniform(0, 0.002))
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(
        isinstance(result, asyncio.CancelledError) or not isinstance(result, BaseException) for result in results
    )
    return sum(isinstance(result, asyncio.CancelledError) for result in results)


@pytest.mark.parametrize("calls", [80, pytest.param(50_000, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("anyio_backend", "cancel_calls"),
    [("asyncio", cancel_by_scope), ("asyncio", cancel_by_task), ("trio", cancel_by_scope)],
)
@pytest.mark.skipif(not FILES.is_dir(), reason="counts open files in /proc, which exists only on Linux")
async def test_cancelled_calls_leak_nothing(
    plain_simulator: SimulatorServer, kind: Callable[..., Any], anyio_backend: str, cancel_calls: Cancel, calls: int
) -> None:
    before = open_files()
    tasks_before = all_tasks(anyio_backend)
    rng = random.Random(7)
    policy = RetryPolicy(deadline=20)
    transport = kind(max_connections=16)
    async with aclosing(transport), session(plain_simulator, "monri", policy, transport=transport) as it:
        customer = await it.create(fresh("monri"))
        cancelled = 0
        while cancelled < calls:
            cancelled += await cancel_calls(it, customer.id, rng)
        assert transport.busy_connections == 0
        succeeded = 0

        async def call() -> None:
            nonlocal succeeded
            await it.get(customer.id)
            succeeded += 1

        async with anyio.create_task_group() as group:
            for _ in range(32):
                group.start_soon(call)
        assert succeeded == 32
        assert transport.open_connections <= 16
        assert it._shared.executor.order.locks._locks == {}
    assert transport.open_connections == 0
    assert all_tasks(anyio_backend) == tasks_before
    # The server closes its side later, in its own thread.
    until(lambda: open_files() <= before)
