"""A job on many workers, as the one who started it sees it: it knows no engine."""

import glob
import secrets
from collections.abc import Container, Mapping
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from attrs import evolve, frozen

from wonder_customers.bulk.distributed.index import Index
from wonder_customers.bulk.distributed.leases import Leases
from wonder_customers.bulk.distributed.partition import Source
from wonder_customers.bulk.distributed.progress import Progress, outcome_of
from wonder_customers.bulk.distributed.slots import Unreachable
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.stop_reasons import AttemptResult, Stop
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.records import CustomerDraft

__all__ = ["DistributedJob", "DriversView", "Engine", "PartitionedSource"]

LOOK = 0.2
"""Seconds between two looks at how the job stands."""


class DriversView(Protocol):
    """The coordinator, as the driver sees it. Every call raises `Unreachable` while the coordinator cannot be reached."""

    async def stop(self, end_state: AttemptResult, reason: str) -> None:
        """Lease nothing more, and have everybody end."""

    async def standing(self, after: int) -> dict[str, Any]:
        """How the job stands."""

    async def end(self, end_state: AttemptResult) -> None:
        """Write how the run ended, and let go of the journal."""


class Engine(Protocol):
    """An engine: it runs the coordinator and the workers somewhere, and brings back those that die."""

    @property
    def coordinator(self) -> DriversView:
        """The coordinator."""

    async def lead(self) -> None:
        """Keep the coordinator serving until it was asked to end.

        Raises:
            ConfigurationError, BulkError: It cannot serve.
        """

    async def work(self) -> None:
        """Keep the workers working until there is nothing more to do."""

    async def dismiss(self) -> None:
        """End everything, at once."""


@frozen
class PartitionedSource:
    """A source, cut into partitions.

    Attributes:
        source: The source.
        partitions: The file that `Leases` works with.
        rows: Rows in all.
        cut_short: The source has more rows than were asked for.
        first: How many were asked for; None for all.
        values: Read the rows that failed once more, so that their outcomes hold their drafts.
    """

    source: Source
    partitions: Path
    rows: int
    cut_short: bool
    first: int | None = None
    values: bool = False

    @classmethod
    def lay_out(
        cls, source: Source, journal: Path, options: Options, *, size: int, values: bool = False, wait: float = 0.0
    ) -> "PartitionedSource":
        """Cut a source, and write its partitions beside the journal.

        Args:
            source: The source.
            journal: The journal's file.
            options: How the job works: `facts`, `first` and `resume` are what counts here.
            size: Rows per partition, about.
            values: Read the rows that failed once more, so that their outcomes hold their drafts.
            wait: Seconds that the journal may still be in the hands of a job whose driver has been killed.

        Raises:
            ConfigurationError: The source cannot be read.
            BulkError: Another job uses the journal.
        """
        index, facts = Index(source, size, options.first), {"facts": dict(options.facts), "resume": options.resume}
        path = journal.with_name(f"{journal.name}.{secrets.token_hex(4)}.partitions")
        found = Journal.existing(journal)
        _hold(found, monotonic() + wait)
        try:
            # What a process left behind that was killed.
            for old in journal.parent.glob(f"{glob.escape(journal.name)}.*.partitions*"):
                old.unlink(missing_ok=True)
            Leases.create(path, index, facts)
        finally:
            found.release()
        return cls(source, path, index.rows, index.cut_short, options.first, values)

    def remove(self) -> None:
        """Delete the file of partitions, after the job."""
        for end_state in ("", "-wal", "-shm"):
            self.partitions.with_name(self.partitions.name + end_state).unlink(missing_ok=True)

    def drafts(self, place: int, numbers: Container[int]) -> dict[int, CustomerDraft]:
        """The drafts of some rows of a partition; those that cannot be read have none.

        Raises:
            ConfigurationError: The source has changed.
        """
        with closing(Leases(self.partitions)) as leases:
            partition = leases.partition(place)
        with closing(partition.read()) as rows:
            return {row.number: row.draft for row in rows if row.number in numbers and row.draft is not None}


def _hold(journal: Journal, until: float) -> None:
    while True:
        try:
            return journal.hold()
        except BulkError:
            if monotonic() > until:
                raise
        sleep(LOOK)


class DistributedJob(Job):
    """A job on many workers. Iterate over it for the rows that did not arrive; the others are only counted.

    Args:
        engine: Runs the coordinator and the workers.
        source: What there is to do.
        journal: The journal, for messages.
        workers: Rows under way at a time at most, of all workers together.
        rate: Requests per second at most, of all workers together.
    """

    def __init__(
        self, engine: Engine, source: PartitionedSource, journal: Path, *, workers: int, rate: float | None
    ) -> None:
        super().__init__(workers, str(journal))
        self._engine, self._source, self._ceiling = engine, source, rate
        self._progress = Progress()
        self._told = self._parts = 0
        self._asked_to_stop = self._answered = self._worked = False
        self._led, self._decided = anyio.Event(), anyio.Event()
        self._refused: ConfigurationError | BulkError | None = None

    # What a caller uses

    def stop(self) -> None:
        """Take no more rows, let those under way end, and end."""
        self._asked_to_stop = True

    @property
    def begun(self) -> bool:
        """Whether the coordinator has the journal."""
        return self._answered

    @property
    def fraction(self) -> float | None:
        """How much of the source is done: its rows were counted."""
        return (self.tally.rows + self.passed_over) / self._source.rows if self._source.rows else 1.0

    @property
    def rate(self) -> float | None:
        """Requests per second by the ceiling and by what all workers have found."""
        return min((it for it in (self._ceiling, self.capacity.rate) if it is not None), default=None)

    @property
    def rows_read(self) -> int:
        """Rows that all workers have read."""
        return self._progress.read

    @property
    def passed_over(self) -> int:
        """Rows that all workers have left out."""
        return self._progress.passed_over

    # The machinery

    async def _begin(self, stack: AsyncExitStack) -> MemoryObjectReceiveStream[list[Outcome]]:
        self._used = True
        self.tally.begin(anyio.current_time())
        outcomes, given = anyio.create_memory_object_stream[list[Outcome]](1)
        stack.enter_context(given)
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(self._run, outcomes)
        # As a job in this process, it has not begun before it has the journal.
        await self._decided.wait()
        if not self.begun:
            self._closed = True
            await stack.aclose()
            raise self._refused or BulkError("the job ended before it began. Nothing was sent.")
        return given

    async def _run(self, outcomes: MemoryObjectSendStream[list[Outcome]]) -> None:
        try:
            with outcomes:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._lead, group.cancel_scope)
                    await self._work(outcomes)
        finally:
            self._decided.set()
            self.tally.tick(anyio.current_time(), self.rate, last=True)
            with anyio.CancelScope(shield=True):
                await self._engine.dismiss()
                await anyio.to_thread.run_sync(self._source.remove)

    async def _lead(self, scope: anyio.CancelScope) -> None:
        try:
            await self._engine.lead()
            self._led.set()
        except (ConfigurationError, BulkError) as error:
            if self.begun:
                self.stopped = Stop("journal", str(error))
            self._refused = error
            scope.cancel()

    async def _work(self, outcomes: MemoryObjectSendStream[list[Outcome]]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._look, outcomes)
            await self._engine.work()
            self._worked = True
        if self._source.cut_short and self.stopped is None:
            self.stopped = Stop("paused", f"the first {self._source.first} rows were asked for")
        # Until it has really ended: it may die between its word and the deed.
        while not self._led.is_set():
            with suppress(Unreachable):
                await self._engine.coordinator.end(self.end_state)
            with anyio.move_on_after(LOOK):
                await self._led.wait()

    async def _look(self, outcomes: MemoryObjectSendStream[list[Outcome]]) -> None:
        """See how the job stands, until there is nothing more to see."""
        while True:
            worked, known = self._worked, False
            with suppress(Unreachable):
                known = await self._take_note(outcomes)
            if worked and known:
                return
            await anyio.sleep(LOOK)

    async def _take_note(self, outcomes: MemoryObjectSendStream[list[Outcome]]) -> bool:
        """Whether everything that there is to know is known."""
        if self._asked_to_stop:
            await self._engine.coordinator.stop("interrupted", "it was interrupted")
        standing = await self._engine.coordinator.standing(self._told)
        self._answered = True
        self._decided.set()
        found = self._progress = Progress.from_dict(standing["progress"])
        self.tally.replace(found.counts, found.reasons, found.sent, found.latencies)
        self.capacity.accepted, self.capacity.throttled = found.accepted, found.throttled
        self.capacity.troubled, self.capacity.rate = found.troubled, found.rate
        self.capacity.concurrency = found.concurrency or self.capacity.concurrency
        self.tally.tick(anyio.current_time(), self.rate)
        if standing["stopped"] is not None:
            self.stopped = Stop(*standing["stopped"])
        for result in standing["results"]:
            await self._tell(result, outcomes)
            self._told += 1
        for result in standing["parts"][self._parts :]:
            await self._tell(result, outcomes)
            self._parts += 1
        return bool(self._told == standing["done"])

    async def _tell(self, result: Mapping[str, Any], outcomes: MemoryObjectSendStream[list[Outcome]]) -> None:
        """Give the outcomes of the rows that did not arrive."""
        told, drafts = [outcome_of(plain) for plain in result["failures"]], dict[int, CustomerDraft]()
        if told and self._source.values:
            # A row does not travel, so the few whose values were asked for are read once more, here.
            numbers = {outcome.number for outcome in told}
            with suppress(ConfigurationError):
                drafts = await anyio.to_thread.run_sync(self._source.drafts, result["place"], numbers)
        if told:
            await outcomes.send([evolve(outcome, draft=drafts.get(outcome.number)) for outcome in told])
