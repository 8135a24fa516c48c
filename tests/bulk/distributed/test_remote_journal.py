"""A journal that is somewhere else, as a worker's threads have it."""

import math
import threading

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from wonder_customers.bulk.distributed.remote_journal import RemoteJournal
from wonder_customers.bulk.journal import Change
from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.bulk.journal.entries import Entry

pytestmark = pytest.mark.anyio


async def test_cancelled_job_does_not_wait_for_a_journal_query() -> None:
    """A cancellation delivered before the query starts is not delivered again, so the query must not wait for one."""
    asking, cancelled, patience = threading.Event(), threading.Event(), list[float]()

    async def ask(references: list[str]) -> list[Entry]:
        patience.append(anyio.current_effective_deadline())
        return []

    async def ship(changes: list[Change]) -> None:
        raise AssertionError

    journal = RemoteJournal(ship, ask, Digests(b"key"), 1, "j")

    def look() -> None:
        asking.set()
        assert cancelled.wait(5)
        with journal.reader() as find:
            assert find(["r-1"]) == {}

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, look)
        with anyio.fail_after(5):
            while not asking.is_set():
                await checkpoint()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await checkpoint()
        cancelled.set()
    assert patience == [math.inf]
