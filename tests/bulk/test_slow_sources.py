"""Sources that produce their rows slowly: a row is sent when it is available, and the source is closed properly."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from backends import ASYNCIO_ONLY
from bulk.customers import OPTIONS, Jobs, collect, draft, drafts
from bulk.distributed.in_process import until

from wonder_customers import ConfigurationError, CustomerDraft
from wonder_customers.bulk import Job, Options, plan, sync, verify
from wonder_customers.bulk.batches import Batches
from wonder_customers.bulk.change_filter import ChangeFilter

pytestmark = pytest.mark.anyio


async def test_row_is_sent_while_its_source_waits_for_the_outcome(jobs: Jobs) -> None:
    confirmed, awaited = anyio.Event(), 0

    async def rows() -> AsyncIterator[CustomerDraft]:
        nonlocal confirmed, awaited
        for number in range(3):
            yield draft(number)
            await confirmed.wait()
            confirmed = anyio.Event()
            awaited += 1

    async with jobs.session() as session:
        with anyio.fail_after(120):
            async with sync(session, rows(), options=OPTIONS) as job:
                async for outcome in job:
                    assert outcome.number == awaited + 1
                    confirmed.set()
    assert (job.exit_status, awaited) == ("finished", 3)


@pytest.mark.parametrize("kind", ["reader", "generator", "async generator"])
async def test_rows_that_were_already_read_are_refused(kind: str, jobs: Jobs) -> None:
    """A program may read a source once and send it to several gateways. Each job after the first would have no rows."""

    async def asynchronous() -> AsyncIterator[CustomerDraft]:
        yield draft(1)

    jobs.source.write_text("reference,name\nc-1,Ada\n")
    kinds = {"reader": jobs.rows, "generator": lambda: (it for it in drafts(1)), "async generator": asynchronous}
    rows: Any = kinds[kind]()
    calls: tuple[Any, ...] = (sync, plan, verify)
    async with jobs.session() as session:
        job = sync(session, rows, journal=jobs.journal)
        assert (await plan(session, rows)).creates == 1
        with pytest.raises(ConfigurationError, match="the rows were already read, so none are left"):
            await collect(job)
        assert jobs.journal.last_run() is None
        for second in calls:
            with pytest.raises(ConfigurationError, match="the rows were already read, so none are left"):
                await second(session, rows)


@pytest.mark.parametrize("first", [3, 4, 5])
async def test_first_rows_of_a_source_that_does_not_end(first: int, jobs: Jobs) -> None:
    """A job waits only a moment for the row that shows whether the source has ended, and reads no row after it."""
    read = 0

    async def rows() -> AsyncIterator[CustomerDraft]:
        nonlocal read
        for number in range(4):
            read += 1
            yield draft(number)
        await anyio.sleep_forever()

    async def end_later() -> None:
        await until(lambda: job.stats.rows == 4)
        await anyio.sleep(0.5)
        group.cancel_scope.cancel()

    async with jobs.session() as session:
        job = sync(session, rows(), options=Options(retry=OPTIONS.retry, first=first))
        async with anyio.create_task_group() as group:
            if first == 5:
                group.start_soon(end_later)
            with anyio.fail_after(120):
                assert len(await collect(job)) == first
    assert (job.exit_status, read) == ("interrupted" if first == 5 else "paused", 4)


async def test_first_rows_of_a_source_that_has_no_more_rows_are_all_rows(jobs: Jobs) -> None:
    async def rows() -> AsyncIterator[CustomerDraft]:
        yield draft(1)
        await anyio.sleep(0.2)

    async with jobs.session() as session:
        job = sync(session, rows(), options=Options(retry=OPTIONS.retry, first=1))
        assert len(await collect(job)) == 1
    assert job.exit_status == "finished"


async def test_source_that_blocks_leaves_the_event_loop_to_other_tasks(jobs: Jobs) -> None:
    """Also if it is a generator that belongs to the thread."""
    steps = together = longest = sent_before_the_end = 0

    def rows() -> Iterator[CustomerDraft]:
        nonlocal together, longest, sent_before_the_end
        for number in range(12):
            before = steps
            time.sleep(0.15)
            yield draft(number)
            together = 0 if steps > before else together + 1
            longest = max(longest, together)
        sent_before_the_end = jobs.requests()

    async def watch() -> None:
        nonlocal steps
        while True:
            await anyio.sleep(0.001)
            steps += 1

    async with jobs.session() as session, anyio.create_task_group() as group:
        group.start_soon(watch)
        job = sync(session, rows(), options=OPTIONS)
        assert len(await collect(job)) == 12
        group.cancel_scope.cancel()
    assert longest < 5
    assert sent_before_the_end >= 4


async def test_async_source_that_blocks_leaves_the_event_loop_to_other_tasks(jobs: Jobs) -> None:
    numbers = list[int]()

    async def rows() -> AsyncIterator[CustomerDraft]:
        for number in range(6):
            time.sleep(0.1)  # noqa: ASYNC251 - a source that blocks
            numbers.append(number)
            yield draft(number)

    async with jobs.session() as session:
        first = None
        async with sync(session, rows(), options=OPTIONS) as job:
            await anyio.lowlevel.checkpoint()
            while first is None:
                await anyio.sleep(0.01)
                first = len(numbers)
            async for outcome in job:
                assert outcome.ok
    assert first < 6


class Closing:
    """A source with a cancel scope and a task group, in which its rows are produced, and whose end waits."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.tasks = set[int]()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        self.opened += 1
        self.tasks.add(anyio.get_current_task().id)
        try:
            yield
        finally:
            self.tasks.add(anyio.get_current_task().id)
            # As with the end of a transaction. An open cancel scope is not left.
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            self.closed += 1

    async def rows(self) -> AsyncIterator[CustomerDraft]:
        with anyio.fail_after(60):
            async with self._connection(), anyio.create_task_group() as group:
                group.start_soon(anyio.lowlevel.checkpoint)
                for number in range(1000):
                    yield draft(number)


@pytest.mark.parametrize("how", ["stop", "break", "first", "error", "cancel"])
async def test_source_with_cancel_scopes_is_closed_in_the_task_that_read_it(how: str, jobs: Jobs) -> None:
    source = Closing()
    options = Options(retry=OPTIONS.retry, first=20 if how == "first" else None)

    async def run() -> None:
        async with sync(session, source.rows(), options=options) as job:
            async for outcome in job:
                if how == "stop":
                    job.stop()
                elif how == "break":
                    break
                elif how == "error":
                    raise LookupError(outcome.reference)
                elif how == "cancel":
                    scope.cancel()

    async with jobs.session() as session:
        with anyio.CancelScope() as scope:
            if how == "error":
                with pytest.raises(LookupError):
                    await run()
            else:
                await run()
    assert (source.opened, source.closed, len(source.tasks)) == (1, 1, 1)
    assert scope.cancelled_caught == (how == "cancel")


async def test_source_with_cancel_scopes_is_read_by_plan_and_verify(jobs: Jobs) -> None:
    for first in (5, None):
        source = Closing()
        async with jobs.session() as session:
            found = await plan(session, source.rows(), options=Options(first=first), look_up=0)
        assert (found.rows, source.closed, len(source.tasks)) == (first or 1000, 1, 1)
    source = Closing()
    async with jobs.session() as session:
        assert (await verify(session, source.rows(), sample=3)).rows == 1000
    assert (source.closed, len(source.tasks)) == (1, 1)


async def test_error_of_a_source_is_raised_once_and_unchanged_by_plan(jobs: Jobs) -> None:
    async def rows(after: float) -> AsyncIterator[CustomerDraft]:
        yield draft(1)
        await anyio.sleep(after)
        raise LookupError

    async with jobs.session() as session:
        for after in (0.0, 0.3):
            with pytest.raises(LookupError):
                await plan(session, rows(after))


async def stop_after_first(job: Job) -> None:
    async with job:
        async for _ in job:
            job.stop()


async def test_error_while_a_source_is_closed_is_raised(jobs: Jobs) -> None:
    async def rows() -> AsyncIterator[CustomerDraft]:
        try:
            for number in range(1000):
                yield draft(number)
        finally:
            raise LookupError

    async with jobs.session() as session:
        job = sync(session, rows(), options=OPTIONS)
        with pytest.raises(LookupError):
            await stop_after_first(job)
    assert job.exit_status == "interrupted"


@ASYNCIO_ONLY
async def test_cancellation_raised_by_a_source_does_not_finish_the_run(jobs: Jobs) -> None:
    async def rows() -> AsyncIterator[CustomerDraft]:
        yield draft(1)
        await anyio.sleep(0.3)
        raise anyio.get_cancelled_exc_class()

    async with jobs.session() as session:
        job = sync(session, rows(), journal=jobs.journal, options=OPTIONS)
        with suppress(anyio.get_cancelled_exc_class()):
            await collect(job)
    last = jobs.journal.last_run()
    assert (job.exit_status, last and last.exit_status) == ("interrupted", "interrupted")


async def test_rows_of_a_fast_source_are_read_together(jobs: Jobs) -> None:
    async def rows() -> AsyncIterator[CustomerDraft]:
        for number in range(400):
            yield draft(number)

    async with jobs.session() as session, Batches(rows()) as batches:
        change_filter, sizes = ChangeFilter(session, None), list[int]()
        with change_filter:
            while (batch := await batches.next(change_filter)) is not None:
                sizes.append(len(batch[1]))
    # On a busy machine, a batch may end before it is full.
    assert (sum(sizes), max(sizes), len(sizes) < 10) == (400, 90, True)
