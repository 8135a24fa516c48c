"""Tens of thousands of cancelled calls: nothing stays behind, and the next calls are as good as the first."""

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from chaos.gateways import fresh, session, until
from wonder_customers import CustomerSession, Monri, RetryPolicy, dialects
from wonder_customers.simulator import SimulatorServer

pytestmark = pytest.mark.anyio

FILES = Path("/proc/self/fd")


@pytest.fixture
def plain_simulator() -> Iterator[SimulatorServer]:
    """A simulator of its own, so that its connections can be counted, and without the front, for speed."""
    with SimulatorServer([dialects.simulator(name) for name in dialects.names()]) as server:
        yield server


def open_files() -> int:
    gc.collect()
    return len(list(FILES.iterdir()))


def all_tasks(backend: str) -> set[object]:
    """The tasks of the event loop; trio keeps count of its own and would fail the run with one left."""
    import asyncio

    return set(asyncio.all_tasks()) if backend == "asyncio" else set()


async def cancel_by_scope(it: CustomerSession[Monri], id: str, dice: random.Random) -> int:
    """Start a batch of calls and cancel them all at a random moment; how many did not end by themselves."""
    ended = 0

    async def call() -> None:
        nonlocal ended
        await it.get(id)
        ended += 1

    async with anyio.create_task_group() as group:
        for _ in range(64):
            group.start_soon(call)
        await anyio.sleep(dice.uniform(0, 0.02))
        group.cancel_scope.cancel()
    return 64 - ended


async def cancel_by_task(it: CustomerSession[Monri], id: str, dice: random.Random) -> int:
    """The same with asyncio's own cancellation, each task at its own moment."""
    import asyncio

    tasks = [asyncio.create_task(it.get(id)) for _ in range(64)]
    for task in tasks:
        if dice.random() < 0.1:
            await asyncio.sleep(dice.uniform(0, 0.002))
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(
        isinstance(result, asyncio.CancelledError) or not isinstance(result, BaseException) for result in results
    )
    return sum(isinstance(result, asyncio.CancelledError) for result in results)


@pytest.mark.parametrize("calls", [600, pytest.param(50_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("way", [cancel_by_scope, cancel_by_task])
@pytest.mark.skipif(not FILES.is_dir(), reason="counts open files in /proc, which only Linux has")
async def test_cancelled_calls_leave_nothing_behind(
    plain_simulator: SimulatorServer, kind: Callable[..., Any], anyio_backend: str, way: object, calls: int
) -> None:
    if anyio_backend == "trio" and way is cancel_by_task:
        pytest.skip("trio has no cancellation of single tasks but by scope")
    before = open_files()
    tasks_before = all_tasks(anyio_backend)
    dice = random.Random(7)
    policy = RetryPolicy(deadline=20)
    transport = kind(max_connections=16)
    async with aclosing(transport), session(plain_simulator, "monri", policy, transport=transport) as it:
        customer = await it.create(fresh("monri"))
        cancelled = 0
        while cancelled < calls:
            cancelled += await way(it, customer.id, dice)  # type: ignore[operator]
        assert transport.busy_connections == 0
        succeeded = 0

        async def call() -> None:
            nonlocal succeeded
            await it.get(customer.id)
            succeeded += 1

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(call)
        assert succeeded == 100
        assert transport.open_connections <= 16
        assert it._shared.executor.order.locks._locks == {}
    assert transport.open_connections == 0
    assert all_tasks(anyio_backend) == tasks_before
    # The server's ends close when it notices, in its own thread.
    until(lambda: open_files() <= before)
