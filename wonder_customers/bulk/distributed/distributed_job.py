"""A distributed job in the process that started it."""

import glob
import secrets
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Protocol

import anyio
import anyio.to_thread
from attrs import evolve, frozen

from wonder_customers.bulk.distributed.coordinator import Coordinator, Totals
from wonder_customers.bulk.distributed.leases import Leases
from wonder_customers.bulk.distributed.partition import Index
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.permits import Unreachable, reach
from wonder_customers.bulk.rows import Outcome, Row
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.bulk.stop_reasons import Stop
from wonder_customers.errors import BulkError, ConfigurationError, WonderCustomersError

__all__ = ["Backend", "DistributedJob", "PartitionedSource"]

POLL_SECONDS = 0.2
"""Seconds between two queries of the job's state."""
MOST_DEATHS = 20
"""The maximum number of times that a worker may die without completing a partition."""
_NO_ROW = Row(0)


class Backend(Protocol):
    """Runs the coordinator and the workers."""

    @property
    def coordinator(self) -> Coordinator:
        """The coordinator, or its stub."""

    def start(self) -> None:
        """Start the coordinator and the workers."""

    async def run_coordinator(self) -> None:
        """Keep the coordinator running until it has ended the run."""

    @property
    def worker_names(self) -> Sequence[str]:
        """The names of the workers."""

    async def run_worker(self, name: str) -> None:
        """Run a worker until the job is over."""

    async def shutdown(self) -> None:
        """End the coordinator and all workers."""


@frozen
class PartitionedSource:
    """A source that is divided into partitions.

    Attributes:
        partitions: The database file of the partitions, which `Leases` opens.
        rows: The number of rows in all partitions.
        cut_short: Whether the source has more rows than requested.
    """

    partitions: Path
    rows: int
    cut_short: bool

    @classmethod
    def create(
        cls, source: Source, journal: Path, options: Options, *, size: int, wait: float = 0.0
    ) -> "PartitionedSource":
        """Divide a source, and write its partitions beside the journal."""
        index, facts = Index(source, size, options.first), {"facts": dict(options.facts), "resume": options.resume}
        path = journal.with_name(f"{journal.name}.{secrets.token_hex(4)}.partitions")
        found = Journal.existing(journal)
        _hold(found, monotonic() + wait)
        try:
            # Remove the files of killed processes.
            for old in journal.parent.glob(f"{glob.escape(journal.name)}.*.partitions*"):
                old.unlink(missing_ok=True)
            Leases.create(path, index, facts)
        finally:
            found.release()
        return cls(path, index.rows, index.cut_short)

    def remove(self) -> None:
        """Delete the files of the partitions."""
        for suffix in ("", "-wal", "-shm"):
            self.partitions.with_name(self.partitions.name + suffix).unlink(missing_ok=True)

    def rows_of(self, index: int, numbers: Container[int]) -> dict[int, Row]:
        """Return the rows with the given numbers from a partition, if it can be read."""
        with closing(Leases(self.partitions)) as leases:
            partition = leases.partition(index)
        with suppress(ConfigurationError), closing(partition.read()) as rows:
            return {row.number: row for row in rows if row.number in numbers}
        return {}


def _hold(journal: Journal, until: float) -> None:
    while True:
        try:
            return journal.hold()
        except BulkError:
            if monotonic() > until:
                raise
        sleep(POLL_SECONDS)


class DistributedJob(Job):
    """A job on many workers. Iterating yields the outcomes of failed rows; all rows are counted in `stats`.

    Args:
        backend: Runs the coordinator and the workers.
        source: The source.
        again: The command that continues the job, for messages; None if there is none.
        workers: The maximum number of rows in progress, over all workers.
        rate: The maximum number of requests per second, over all workers; None to adapt to the gateway.
        values: Whether to read failed rows again, to add their drafts to the outcomes.
    """

    rows_read: int
    skipped: int

    def __init__(
        self,
        backend: Backend,
        source: PartitionedSource,
        again: str | None,
        *,
        workers: int,
        rate: float | None,
        values: bool = False,
    ) -> None:
        super().__init__(workers, again)
        self._backend, self._source, self._ceiling, self._values = backend, source, rate, values
        self._results = 0
        self._workers_ended = False
        self._ended, self._decided = anyio.Event(), anyio.Event()
        self._refused: ConfigurationError | BulkError | None = None

    def stop(self) -> None:
        """Stop reading and sending rows. Requests in progress are completed."""
        self._stop_requested = True

    @property
    def fraction(self) -> float | None:
        """The completed fraction of the source, from 0 to 1."""
        return (self.stats.rows + self.skipped) / self._source.rows if self._source.rows else 1.0

    @property
    def rate(self) -> float | None:
        """The current limit in requests per second, over all workers; None without a limit, or if it is not known."""
        return min((it for it in (self._ceiling, self.stats.requests.rate) if it is not None), default=None)

    async def _begin(self, stack: AsyncExitStack) -> None:
        self._used = True
        self.stats.begin(anyio.current_time())
        try:
            self._backend.start()
        except BaseException:
            await self._clean_up()
            raise
        group = await stack.enter_async_context(anyio.create_task_group())
        group.start_soon(self._run)
        # Like a local job, the job has started when it has acquired the journal.
        await self._decided.wait()
        if not self.begun:
            await stack.aclose()
            raise self._refused or BulkError("the job ended before its first row. Nothing was sent. Run the job again.")

    async def _run(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._run_coordinator, group.cancel_scope)
                await self._work()
        finally:
            self._outcomes.close()
            self._decided.set()
            self.stats.tick(anyio.current_time(), last=True)
            await self._clean_up()

    async def _clean_up(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._backend.shutdown()
            await anyio.to_thread.run_sync(self._source.remove)

    async def _run_coordinator(self, scope: anyio.CancelScope) -> None:
        try:
            await self._backend.run_coordinator()
            self._ended.set()
        except (ConfigurationError, BulkError) as error:
            if self.begun:
                self.stopped = Stop("journal", str(error))
            self._refused = error
            scope.cancel()

    async def _work(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._poll)
            async with anyio.create_task_group() as workers:
                for name in self._backend.worker_names:
                    workers.start_soon(self._supervise, name)
            self._workers_ended = True
        if self._source.cut_short and self.stopped is None:
            self.stopped = Stop("paused", f"only the first {self._source.rows} rows were requested")
        # Repeated until the coordinator has ended, because it may be killed after it accepted the call.
        while not self._ended.is_set():
            with suppress(Unreachable):
                await self._backend.coordinator.end(self.exit_status)
            with anyio.move_on_after(POLL_SECONDS):
                await self._ended.wait()

    async def _supervise(self, name: str) -> None:
        """Keep a worker running."""
        deaths = done = 0
        while True:
            try:
                return await self._backend.run_worker(name)
            except Unreachable:
                snapshot = await reach(self._backend.coordinator.snapshot, 1 << 62)
                deaths, done = (1 if snapshot["done"] > done else deaths + 1), snapshot["done"]
                if deaths <= MOST_DEATHS:
                    continue
                reason = (
                    f"{name} crashed {deaths} times without completing a partition. Check the worker's log. If the"
                    " machine has too little memory, use fewer workers. If the worker crashes at one row of the source,"
                    " correct or remove this row"
                )
            except WonderCustomersError as error:
                reason = str(error)
            return await reach(self._backend.coordinator.stop, "workers", reason)

    async def _poll(self) -> None:
        """Query the state of the job repeatedly."""
        while True:
            workers_ended = self._workers_ended
            with suppress(Unreachable):
                if await self._update() and workers_ended:
                    return
            await anyio.sleep(POLL_SECONDS)

    async def _update(self) -> bool:
        """Update the state of the job; return whether all results are known."""
        if self._stop_requested:
            await self._backend.coordinator.stop("interrupted", "the job was interrupted")
        snapshot = await self._backend.coordinator.snapshot(self._results)
        self.begun = True
        self._decided.set()
        self._count(snapshot["progress"])
        self.stopped = snapshot["stopped"] or self.stopped
        for result in snapshot["results"]:
            await self._report(result)
            self._results += 1
        return bool(self._results == snapshot["done"])

    def _count(self, progress: Totals) -> None:
        rows, found, limits = progress["rows"], progress["requests"], progress["limits"]
        self.rows_read, self.skipped = rows["read"], rows["skipped"]
        latencies = {int(bucket): count for bucket, count in progress["latencies"].items()}
        self.stats.replace(progress["counts"], progress["reasons"], found["accepted"], latencies)
        self.stats.drift = Counter(progress["drift"])
        requests = self.stats.requests
        requests.sent = requests.issued = found["sent"]
        requests.throttled, requests.failed = found["throttled"], found["failed"]
        requests.concurrency = limits.get("concurrency") or requests.concurrency
        requests.rate = limits.get("rate")
        self.stats.tick(anyio.current_time())

    async def _report(self, result: Mapping[str, Any]) -> None:
        """Send the outcomes of failed rows."""
        failed = [Outcome(**plain) for plain in result["failures"]]
        if failed and self._values:
            # Rows are never sent between processes, so the failed rows are read again here.
            numbers = {it.number for it in failed}
            rows = await anyio.to_thread.run_sync(self._source.rows_of, result["place"], numbers)
            both = [(it, rows.get(it.number, _NO_ROW)) for it in failed]
            failed = [evolve(it, draft=row.draft, original=None if row.draft else row.original) for it, row in both]
        if failed:
            await self._outcomes.put(failed)
