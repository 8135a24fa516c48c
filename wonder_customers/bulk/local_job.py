"""Bulk jobs in this process."""

from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio

from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock as system_clock
from wonder_customers.bulk.batches import AHEAD, Batches
from wonder_customers.bulk.change_filter import ChangeFilter, PendingRow
from wonder_customers.bulk.continuation import continuation
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.entries import RowJournal
from wonder_customers.bulk.journal.removals import Removals
from wonder_customers.bulk.missing_from_source import RemovalLimit, removal_problem
from wonder_customers.bulk.options import Options, Rows, check_job
from wonder_customers.bulk.removal import Removal, check_deletion, count_missing
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.sources import RowReader
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.stats import LimitMonitor
from wonder_customers.bulk.stop_reasons import ExitStatus, Stop, Thresholds
from wonder_customers.bulk.task_queue import TaskQueue
from wonder_customers.bulk.writer import TRANSIENT, RowWriter
from wonder_customers.errors import (
    AuthenticationError,
    BulkError,
    CallError,
    ConfigurationError,
    OutcomeUnknownError,
    PermissionDeniedError,
    WonderCustomersError,
)
from wonder_customers.session import CustomerSession

__all__ = ["LocalJob", "sync"]

_TICK = 0.2
"""Seconds between two updates of the statistics."""
_BETWEEN_WRITES = 0.5
"""Seconds until a row that failed in an outage is sent again."""
_FATAL: Final = (AuthenticationError, PermissionDeniedError, BulkError)
"""The errors of a row that stop the job."""


class LocalJob(Job):
    """A job in this process."""

    notes: SourceNotes
    rows_read: int
    skipped: int
    stopped: Stop | None

    def __init__(
        self,
        session: CustomerSession[Any],
        rows: Rows,
        journal: RowJournal | None,
        options: Options,
        *,
        repeats: Mapping[int, int] | None = None,
    ) -> None:
        name = None if journal is None else journal.name
        again = None if name is None else continuation(name, options.facts, gateway=session.gateway)
        super().__init__(options.workers, again)
        self._stop = StopSignal(observe=self._outages.record)
        self._session = session.with_options(retry=options.retry, stop=self._stop)
        self._rows, self._journal, self._options = rows, journal, options
        if isinstance(rows, RowReader):
            self.notes = rows.notes
        self._limit = LimitMonitor(session.rate_limit)
        self._drift_before = Counter(session.stats().drift)
        self._change_filter = ChangeFilter(self._session, journal, options, repeats=repeats or {}, notes=self.notes)
        self._batches = Batches(rows, options.first, self._stop)
        self._pending = TaskQueue[PendingRow](max(options.workers, AHEAD))
        self._thresholds = Thresholds(options.max_failures, options.failure_share)
        self._source_ended, self._whole_source = False, repeats is None
        self.missing_from_source.rule = options.removed
        self._busy = 0

    def stop(self) -> None:
        """Request the job to stop."""
        self._halt("interrupted", "the job was interrupted")

    @property
    def fraction(self) -> float | None:
        """The completed fraction of the source, from 0 to 1; None if unknown."""
        read = self._rows.fraction if isinstance(self._rows, RowReader) else None
        if read is None or not self.rows_read:
            return read
        # Reading is ahead of sending.
        return read * (self.stats.rows + self.skipped) / self.rows_read

    @property
    def rate(self) -> float | None:
        """The current limit in requests per second; None without a limit, or if it is not known."""
        return self._limit.rate

    async def _begin(self, stack: AsyncExitStack) -> None:
        stack.push_async_exit(self._batches)  # closes the source of a job that cannot start
        self._batches.check_unread()  # by another job, after this job was created
        if self._options.removed == "delete":
            check_deletion(self._session.account)
            if not isinstance(self._journal, Journal):
                raise ConfigurationError(
                    "customers missing from the source can be deleted only with a journal. Pass"
                    " journal=Journal.open(…)."
                )
        if isinstance(self._journal, Journal):
            owner = self._session.account
            self._journal.begin(self._options.facts, resume=self._options.resume, account=owner)
            stack.callback(self._end, self._journal)
        self._used = self.begun = True
        self.stats.begin(anyio.current_time())
        confirm_after = system_clock.monotonic() + self._options.retry.confirmation_window
        if self._journal is not None:
            confirm_after += self._journal.grace
        self._writer = RowWriter(self._session, self._journal, self._stop, confirm_after, self.stats.observe)
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(self._run)

    async def _run(self) -> None:
        """Run the tasks of the job."""
        try:
            async with anyio.create_task_group() as serving:
                if self._journal is not None:
                    serving.start_soon(self._serve, self._journal)
                try:
                    async with anyio.create_task_group() as ticking:
                        ticking.start_soon(self._tick)
                        await self._process()
                        ticking.cancel_scope.cancel()
                finally:
                    if self._journal is not None:
                        self._journal.stop()
        except BaseException:
            # Recorded before the outcomes end, because the caller may leave its block before the error is raised there.
            if self.stopped is None or self.stopped.exit_status == "paused":
                self.stopped = Stop("interrupted", "an error was raised")
            raise
        finally:
            self._outcomes.close()
            self._tick_once(last=True)

    async def _process(self) -> None:
        """Process all rows, and then the customers that are missing from the source."""
        with self._change_filter:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read)
                for _ in range(self._options.workers):
                    group.start_soon(self._work)
            if not self._source_ended and self.stopped is None:
                self.stopped = Stop("interrupted", "the source was cancelled")
            await anyio.to_thread.run_sync(self._change_filter.note_near_duplicates)
            try:
                await self._remove_left()
            except ConfigurationError as error:  # the journal cannot be read any more
                self._halt("journal", str(error))

    async def _serve(self, journal: RowJournal) -> None:
        try:
            await journal.serve()
        except BulkError as error:
            # The outcomes are not affected, but the job has not finished.
            if self.stopped is not None and self.stopped.exit_status == "interrupted":
                self.stopped = None
            self._halt("journal", str(error))

    async def _read(self) -> None:
        """Read the source and queue the rows to send."""
        async with self._batches:
            try:
                await self._queue_all()
            except ConfigurationError as error:
                unsent = not self.rows_read and self._whole_source
                self._halt("source", f"{str(error).rstrip('.')}.{' Nothing was sent.' if unsent else ''}")
            except BulkError as error:
                self._halt("journal", str(error))
            finally:
                self._pending.close()
        if self._batches.cut_short and self.stopped is None:
            # Not `_halt`: the rows that were read are still sent.
            self.stopped = Stop("paused", f"only the first {self._options.first} rows were requested")

    async def _queue_all(self) -> None:
        while not self._stop.is_set:
            try:
                batch = await self._batches.next(self._change_filter)
            finally:
                self.rows_read, self.skipped = self._batches.read, self._change_filter.skipped
            if batch is None:
                self._source_ended = not self._batches.cut_short
                return
            if batch[0] and self._report(batch[0]):
                await self._outcomes.wait_for_room()
            systematic = self._thresholds.count_invalid(batch[0], len(batch[0]) + len(batch[1]))
            if systematic:
                self._halt("failures", systematic, invalid=True)
                return
            for first in range(0, len(batch[1]), AHEAD):
                if self.stopped is not None:
                    return
                await self._queue(batch[1][first : first + AHEAD])

    async def _queue(self, rows: list[PendingRow]) -> None:
        """Record rows in the journal, and queue them for the workers."""
        if self._journal is not None:
            # Rows with an unconfirmed write are recorded when that write is resolved.
            await self._journal.announce([row.announcement for row in rows if not row.unconfirmed])
        await self._pending.put(*rows)

    async def _work(self) -> None:
        """Process the rows of the queue."""
        while (row := await self._pending.get()) is not None:
            if self._stop.is_set:
                self._writer.hold(row)
                continue
            self._busy += 1
            try:
                outcome = await self._writer.write(row)
                while outcome is not None and outcome.error is not None and self._waits_for_gateway(outcome.error):
                    with self._stop.interrupting():
                        await system_clock.sleep(_BETWEEN_WRITES)
                    outcome = await self._writer.write_again(row, outcome)
            except _FATAL as error:
                self._halt_for(error)
                continue
            finally:
                self._busy -= 1
            if outcome is not None:
                self._count(outcome)
                if self._report([outcome]):
                    await self._outcomes.wait_for_room()

    def _halt_for(self, error: CallError | BulkError) -> None:
        """Stop the job because of a fatal error."""
        if isinstance(error, BulkError):
            self._halt("journal", str(error))
        else:
            what = "credentials" if isinstance(error, AuthenticationError) else "operation"
            self._halt("refused", f"the gateway refused the {what} ({error.reason}). {error.hint}")

    async def _remove_left(self) -> None:
        """Process the customers that are missing from the source."""
        delete, journal = self._options.removed == "delete", self._journal
        complete = self._source_ended and self._whole_source and self._options.only == "all" and self.stopped is None
        # A caller's own rows may be incomplete, so missing customers are counted only for a deletion.
        if not complete or not isinstance(journal, Journal) or not (delete or isinstance(self._rows, RowReader)):
            return
        records, missing = Removals(journal), self._change_filter.missing
        await anyio.to_thread.run_sync(count_missing, records, self.missing_from_source, missing)
        if not delete:
            return

        async def report(outcome: Outcome) -> None:
            self.missing_from_source.removed += outcome.ok
            self.missing_from_source.kept += not outcome.ok
            self._count(outcome)
            await self._outcomes.put([outcome])

        removal = Removal(self._session, records, missing, self._stop, self._writer.wait_for_window, report)
        limit = RemovalLimit.parse(self._options.max_removed)
        problem = removal_problem(self.missing_from_source, self.rows_read, self.stats.failures, limit)
        if problem is not None:
            self.missing_from_source.problem, stops = problem
            if stops:
                advice = self.missing_from_source.advice(journal.name, self._options.facts, self.rows_read)
                self._halt("removal", f"{problem[0]}. No customer was removed. {advice}")
            return
        try:
            await removal.run(self._options.workers)
        except _FATAL as error:
            self._halt_for(error)

    def _waits_for_gateway(self, error: WonderCustomersError) -> bool:
        # A row is repeated only while another is in progress, because a single row may cause the failures.
        if self._options.give_up_after is None or not self._outages.lasts or self._busy < 2 or self._stop.is_set:
            return False
        return isinstance(error, (*TRANSIENT, OutcomeUnknownError))

    def _count(self, outcome: Outcome) -> None:
        """Count an outcome, and apply the failure thresholds."""
        self.stats.sent += outcome.applied == "yes" and outcome.status != "removed"
        self.stats.requests.sent += outcome.attempts
        too_many = self._thresholds.count(ok=outcome.ok)
        if too_many:
            self._halt("failures", too_many)

    def _report(self, batch: list[Outcome]) -> bool:
        """Count outcomes and queue them for the caller. Return whether the queue is full."""
        self.stats.add(batch)
        return self._outcomes.add(batch)

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(_TICK)
            self._tick_once()

    def _tick_once(self, *, last: bool = False) -> None:
        self._limit.update(self.stats.requests, self.workers)
        self.stats.drift = Counter(self._session.stats().drift) - self._drift_before
        self.stats.tick(anyio.current_time(), last=last)
        outage, limit = self._outages.current, self._options.give_up_after
        if outage is not None and limit is not None and outage.seconds >= limit:
            self._halt(
                "outage", f"{outage.text}; the gateway has processed no request for {outage.seconds:,.0f} seconds"
            )
        if limit is not None and (unreachable := self._limit.unreachable_seconds) >= limit:
            self._halt("outage", f"the server of the shared limit has not responded for {unreachable:,.0f} seconds")
        if last:
            self._outages.end()

    def _halt(self, exit_status: ExitStatus, reason: str, *, invalid: bool = False) -> None:
        """Stop reading and sending rows."""
        if self.stopped is None or self.stopped.exit_status == "paused":
            self.stopped = Stop(exit_status, reason, invalid)
        self._stop.set()

    def _end(self, journal: Journal) -> None:
        """Record the end of the run, and release the journal."""
        # Skipped rows are included, because the next run compares the numbers of rows of the source.
        try:
            journal.end(self.exit_status, self.stats.counts + Counter(skipped=self.skipped))
        except (BulkError, ConfigurationError) as error:
            self._halt("journal", str(error))
            if isinstance(error, BulkError):
                raise
            raise BulkError(f"the end of the run could not be recorded: {error}") from None


def sync(
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: RowJournal | None = None,
    options: Options | None = None,
) -> Job:
    """Upsert the rows of a source and report the outcome of each.

    Open the job and iterate over it:

        async with sync(session, sources.read("customers.csv"), journal=journal) as job:
            async for outcome in job:
                ...

    Args:
        session: An open session. Its ``rate_limit`` is the rate of the job, such as ``AdaptiveRateLimit()``.
        rows: The result of `sources.read`, or any iterable or async iterable of drafts. Every draft needs a unique
            reference.
        journal: Records the result of each row, so that an interrupted job can be resumed and unchanged rows are not
            sent again; None for no journal.
        options: All settings of the job. See `Options` for the defaults.

    Raises:
        ConfigurationError: An argument has a wrong type, or the rows were already read. When the job is opened: the
            rows were read meanwhile, the journal cannot be read or belongs to another account, or customers cannot be
            deleted.
        BulkError: When the job is opened, if the journal is in use or cannot be written; while iterating, after the
            last outcome, if the job stopped because of a problem. `Job.stopped` contains the reason.
    """
    check_job(session, journal, options)
    return LocalJob(session, rows, journal, options or Options())
