"""The interface of all bulk jobs."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from wonder_customers.bulk.missing_from_source import MissingFromSource
from wonder_customers.bulk.outage import Outage, OutageWatch
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.stats import JobStats
from wonder_customers.bulk.stop_reasons import ExitStatus, Stop, raise_stop, single_error
from wonder_customers.bulk.task_queue import TaskQueue
from wonder_customers.errors import BulkError
from wonder_customers.secret import without_frames

__all__ = ["Job"]


class Job(AsyncIterator[Outcome], ABC):
    """A bulk job, returned by `sync`, `run_partition` and `sync_on_ray`.

    Open the job with ``async with`` and iterate over it to receive outcomes of rows. If the block is left early, the
    job stops and the requests in progress are completed; an exception cancels them. Leaving the block without reading
    an outcome raises `BulkError`. `stats`, `exit_status` and the
    journal's entry for the run are final after the block.

    Args:
        workers: The maximum number of rows in progress at the same time.
        again: The command that continues the job, for messages; None if there is none.

    Attributes:
        stats: Counts and curves so far.
        missing_from_source: The customers missing from the source.
        rows_read: The number of rows read from the source.
        skipped: The number of rows that were read but do not belong to this run.
        notes: The decisions and changes made while the source was read; empty if they are not known.
        begun: Whether the job has started.
        stopped: Why the job is stopping or stopped early; None otherwise.
    """

    _stack: AsyncExitStack

    def __init__(self, workers: int, again: str | None) -> None:
        self.workers = workers
        self.stats: JobStats = JobStats()
        self.missing_from_source: MissingFromSource = MissingFromSource()
        self.rows_read: int = 0
        self.skipped: int = 0
        self.notes: SourceNotes = SourceNotes()
        self.begun: bool = False
        self.stopped: Stop | None = None
        self._again = again
        self._used = self._open = self._received = self._stop_requested = False
        self._outages = OutageWatch(self.stats.requests)
        self._outcomes = TaskQueue[list[Outcome]](workers)
        self._batch: Iterator[Outcome] = iter(())

    @abstractmethod
    def stop(self) -> None:
        """Stop reading and sending rows. Requests in progress are completed. Further calls have no effect."""

    @property
    @abstractmethod
    def fraction(self) -> float | None:
        """The completed fraction of the source, from 0 to 1; None if it is not known."""

    @property
    @abstractmethod
    def rate(self) -> float | None:
        """The current limit in requests per second; None without a limit, or if it is not known."""

    @property
    def outage(self) -> Outage | None:
        """The gateway's current outage; None if none is known."""
        return self._outages.current

    @property
    def past_outages(self) -> Sequence[Outage]:
        """The known outages that have ended."""
        return self._outages.past

    @property
    def unfinished(self) -> int:
        """The number of rows of this run that were read and have no outcome."""
        return self.rows_read - self.skipped - self.stats.rows

    @property
    def exit_status(self) -> ExitStatus:
        """How the job ended. Valid after the ``async with`` block."""
        return "finished" if self.stopped is None else self.stopped.exit_status

    @abstractmethod
    async def _begin(self, stack: AsyncExitStack) -> None:
        """Start the tasks, which `stack` ends."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        # Most outcomes come from a batch that was received before, so this path is kept short.
        for outcome in self._batch:
            return outcome
        if not self._open:
            if self._used:
                raise StopAsyncIteration
            raise BulkError("the job is not open. Nothing was sent. Open the job with `async with job:`.")
        self._received = True
        if (batch := await self._outcomes.get()) is not None:
            self._batch = iter(batch)
            return next(self._batch)
        raise_stop(self.stopped, self.stats.rows, self._again)
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        if self._used:
            raise BulkError(
                "the job has already run, and a job can run only once. Nothing more was sent. Create a new job."
            )
        async with AsyncExitStack() as stack:
            await self._begin(stack)
            stack.push_async_exit(self._complete)
            self._stack = stack.pop_all()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        try:
            await self._stack.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            # A single error is raised as it is, without the exception groups of the internal tasks.
            raised = single_error(group) or group
        else:
            return
        if raised is not error:
            without_frames(raised, keep_others=True)  # they contain rows
            raise raised

    async def _complete(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End the job when its block is left."""
        if error is None:
            # The block was left early: the rows in progress are completed, and their outcomes are discarded.
            unread = not self._received and not self._stop_requested and self.stopped is None
            if not self._outcomes.closed:
                self.stop()
            while await self._outcomes.get() is not None:
                pass
            if unread:
                raise BulkError(
                    "the block of the job was left before any outcome was read, so the job stopped. Rows may have been"
                    " sent. Read the outcomes with `async for outcome in job`, which ends when the job is complete."
                )
        elif self.stopped is None:
            self.stopped = Stop("interrupted", "the job was cancelled")
