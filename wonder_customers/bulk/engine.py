"""The bulk job: reader → sieve → bounded queue → workers → pace → session, with the journal beside it."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import evolve

from wonder_customers.bulk.batches import Batches
from wonder_customers.bulk.change_filter import ChangeFilter, Item
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal.entries import RowJournal
from wonder_customers.bulk.options import Options, Rows
from wonder_customers.bulk.pace import Limiter, Pace
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.sources import RowReader
from wonder_customers.bulk.stop_reasons import AttemptResult, Stop, Thresholds
from wonder_customers.bulk.tries import Trier
from wonder_customers.bulk.upserts import requests_per_upsert
from wonder_customers.bulk.writer import ResultWriter
from wonder_customers.errors import AuthenticationError, BulkError, ConfigurationError, PermissionDeniedError
from wonder_customers.session import CustomerSession

__all__ = ["LocalJob", "sync"]

_TICK = 0.2


def sync(
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: RowJournal | None = None,
    rate: float | None = None,
    workers: int = 16,
    options: Options | None = None,
    limiter: Limiter | None = None,
) -> Job:
    """Bring every row to the gateway, and tell what became of each.

    Iterate over what this returns: ``async for outcome in sync(session, drafts): …``. Where the loop may end early, use
    ``async with sync(…) as job:`` around it: the block's end lets the rows under way end in order.

    Args:
        session: An open session, best with ``retry=BULK``.
        rows: `sources.read`, or any iterable or async iterable of drafts. Every draft needs a reference of its own.
        journal: Remembers what was confirmed, so that an interrupted job can be resumed and unchanged rows are not
            sent. Without one, every row is sent.
        rate: Requests per second at most; None lets the gateway's answers decide.
        workers: Rows under way at a time at most.
        options: Everything else; its `rate` and `workers` are replaced by those given here.
        limiter: Asked before every request, such as a `SharedLimit` that several processes keep together.

    Raises:
        ConfigurationError: An option cannot work.
        BulkError: While iterating, after the last outcome: the job could not go on. The message says why and what to
            type next; `Job.stopped` says it in one word.
    """
    chosen = evolve(options or Options(), rate=rate, workers=workers)
    return LocalJob(session, rows, journal, chosen, limiter=limiter)


class LocalJob(Job):
    """A job in this process: a reader, and workers on one session."""

    def __init__(
        self,
        session: CustomerSession[Any],
        rows: Rows,
        journal: RowJournal | None,
        options: Options,
        *,
        limiter: Limiter | None = None,
        repeats: Mapping[int, int] | None = None,
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        super().__init__(options.workers, None if journal is None else journal.name)
        self._session, self._rows, self._journal, self._options = session, rows, journal, options
        self._clock = clock
        self._sieve = ChangeFilter(session, journal, options.only, options.full, repeats=repeats)
        self._feed = Batches(rows, options.first)
        self._pace = Pace(self.capacity, options.rate, requests_per_upsert(session), clock, limiter=limiter)
        self._thresholds = Thresholds(options.max_failures, options.failure_share)

    # What a caller uses

    def stop(self) -> None:
        """Take no more rows, let those under way end, and end."""
        self._halt("interrupted", "it was interrupted")

    @property
    def begun(self) -> bool:
        """Whether it has the journal, if there is one, and reads."""
        return self._used

    @property
    def fraction(self) -> float | None:
        """How much of the source is done: of a file what was read of it, of any other source nobody knows."""
        read = self._rows.fraction if isinstance(self._rows, RowReader) else None
        if read is None or not self.rows_read:
            return read
        # Reading is ahead of sending.
        return read * (self.tally.rows + self.passed_over) / self.rows_read

    @property
    def rate(self) -> float | None:
        """Requests per second by the ceiling and by what the gateway's answers allow."""
        return self._pace.rate

    @property
    def rows_read(self) -> int:
        """Rows that the feed has read."""
        return self._feed.read

    @property
    def passed_over(self) -> int:
        """Rows that the sieve has left out."""
        return self._sieve.passed_over

    # The machinery

    async def _begin(self, stack: AsyncExitStack) -> MemoryObjectReceiveStream[list[Outcome]]:
        stack.push_async_exit(self._feed)  # for a job that cannot begin: its source may be an open file
        if self._journal is not None:
            self._journal.check(self._session.gateway, self._session.account.base_url)
            self._journal.begin(self._options.facts, resume=self._options.resume)
            stack.callback(self._end)
        self._used = True
        self.tally.begin(self._clock())
        self._stopping = anyio.Event()
        if self.stopped is not None:
            self._stopping.set()
        trier = Trier(self._pace, self._options.tries, self._stopping, self.tally.observe, self._clock)
        self._delivery = ResultWriter(self._session, self._journal, trier)
        if self._journal is not None:
            self._delivery.wall = self._journal.clock
        outcomes, given = anyio.create_memory_object_stream[list[Outcome]](self._options.workers)
        stack.enter_context(given)
        group = await stack.enter_async_context(anyio.create_task_group())
        if self._journal is not None:
            group.start_soon(self._journal.serve)
        group.start_soon(self._run, outcomes)
        return given

    async def _run(self, outcomes: MemoryObjectSendStream[list[Outcome]]) -> None:
        """Everything between the source and the outcomes."""
        workers = self._options.workers
        items, taken = anyio.create_memory_object_stream[Item](workers)
        try:
            async with anyio.create_task_group() as ticking:
                ticking.start_soon(self._tick)
                with outcomes, items, taken:
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._read, items.clone(), outcomes.clone())
                        for _ in range(workers):
                            group.start_soon(self._work, taken.clone(), outcomes.clone())
                        items.close()
                        taken.close()
                ticking.cancel_scope.cancel()
        finally:
            self.tally.tick(self._clock(), self.rate, last=True)
            if self._journal is not None:
                self._journal.stop()

    async def _read(self, items: MemoryObjectSendStream[Item], outcomes: MemoryObjectSendStream[list[Outcome]]) -> None:
        async with self._feed:
            with items, outcomes, self._sieve:
                await self._sift_all(items, outcomes)
        if self._feed.cut_short and self.stopped is None:
            # No halt: the rows that were read are still to be sent.
            self.stopped = Stop("paused", f"the first {self._options.first} rows were asked for")

    async def _sift_all(
        self, items: MemoryObjectSendStream[Item], outcomes: MemoryObjectSendStream[list[Outcome]]
    ) -> None:
        try:
            while not self._stopping.is_set():
                sifted = await self._feed.next(self._sieve)
                if sifted is None:
                    break
                await self._give(outcomes, sifted[0])
                for item in sifted[1]:
                    if self._stopping.is_set():
                        return
                    await items.send(item)
        except ConfigurationError as error:
            self._halt("source", str(error))
        except BulkError as error:
            self._halt("journal", str(error))

    async def _work(
        self, items: MemoryObjectReceiveStream[Item], outcomes: MemoryObjectSendStream[list[Outcome]]
    ) -> None:
        with items, outcomes:
            async for item in items:
                if self._stopping.is_set():
                    continue
                try:
                    outcome = await self._delivery.deliver(item)
                except (AuthenticationError, PermissionDeniedError) as error:
                    self._halt("refused", f"the gateway refused the credentials ({error.reason}). {error.hint}")
                except BulkError as error:
                    self._halt("journal", str(error))
                else:
                    if outcome is not None:
                        self._judge(outcome)
                        await self._give(outcomes, [outcome])

    def _judge(self, outcome: Outcome) -> None:
        self.tally.sent += outcome.applied == "yes"
        too_many = self._thresholds.count(ok=outcome.ok)
        if too_many:
            self._halt("failures", too_many)

    async def _give(self, outcomes: MemoryObjectSendStream[list[Outcome]], given: list[Outcome]) -> None:
        if given:
            self.tally.add(given)
            await outcomes.send(given)

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(_TICK)
            self.tally.tick(self._clock(), self.rate)

    def _halt(self, end_state: AttemptResult, reason: str) -> None:
        if self.stopped is None or self.stopped.end_state == "paused":
            self.stopped = Stop(end_state, reason)
        if self._used:
            self._stopping.set()
            self._pace.halt()

    def _end(self) -> None:
        """After the last row was written."""
        if self._journal is not None:
            self._journal.end(self.end_state, self.tally.counts)
