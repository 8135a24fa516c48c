"""The journal of a worker for one partition."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import anyio
import anyio.from_thread
from attrs import Factory, define, field

from wonder_customers._support import clock
from wonder_customers.bulk.distributed.coordinator import Coordinator, WorkerConfig, progress_of
from wonder_customers.bulk.distributed.leases import Key
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.bulk.journal.entries import Change, Confirmed, Entry, RowJournal
from wonder_customers.bulk.permits import Unreachable, reach
from wonder_customers.bulk.task_queue import TaskQueue
from wonder_customers.errors import BulkError

__all__ = ["LeasedJournal"]

BEAT = 0.5
"""Seconds between two heartbeats."""
GROUP = 200
"""The maximum number of changes per message."""


@define(eq=False)
class LeasedJournal(RowJournal):
    """The lease of a partition, and the journal of its rows.

    Attributes:
        key: The lease.
        until: When the lease ends, on the monotonic clock.
        grace_until: When the workers of an earlier run have stopped sending, on the monotonic clock.
        lost: Whether another worker may have the partition.
        failure: The error that ended writing; None without an error.
    """

    coordinator: Coordinator
    config: WorkerConfig
    digests: Digests
    key: Key
    until: float
    grace_until: float = 0.0
    run: int = field(init=False, default=Factory(lambda self: self.config.run, takes_self=True))
    name: str = field(init=False, default=Factory(lambda self: self.config.journal, takes_self=True))
    lost: bool = field(default=False, init=False)
    failure: BulkError | None = field(default=None, init=False)
    _job: Job | None = field(default=None, init=False)
    _changes: TaskQueue[tuple[Change, anyio.Event | None]] = field(factory=lambda: TaskQueue(GROUP), init=False)

    def is_valid(self) -> bool:
        """Return whether a request may be sent now."""
        return not self.lost and clock.monotonic() < self.until

    def leave(self) -> None:
        """Mark the lease as lost, and stop the job."""
        self.lost = True
        if self._job is not None:
            self._job.stop()

    async def heartbeat(self, job: Job) -> None:
        """Send heartbeats while the lease is held."""
        self._job = job
        while not self.lost:
            await clock.sleep(BEAT)
            requested = clock.monotonic()
            try:
                result = await self.coordinator.heartbeat(self.key, progress_of(job))
            except Unreachable:
                continue
            self._renew(requested, held=result != "lost")
            if result == "stop":
                job.stop()

    def _renew(self, requested: float, *, held: bool) -> None:
        if held:
            self.until = max(self.until, requested + self.config.duration)
        else:
            self.leave()

    def _check(self) -> None:
        if not self.is_valid():
            self.leave()
            raise BulkError("the lease of these rows has expired; another worker continues with the rows")

    # RowJournal

    @property
    def grace(self) -> float:
        """Seconds for which workers of an earlier run may still send requests."""
        return max(0.0, self.grace_until - clock.monotonic())

    async def serve(self) -> None:
        """Send queued changes until `stop` is called. Raise `BulkError` at the end if a change was not written."""
        with anyio.CancelScope(shield=True):
            while group := await self._changes.get_group(GROUP):
                # After a failure nothing more is written: a row must not be recorded without the earlier rows.
                if self.failure is None:
                    await self._write([change for change, _ in group])
                for _, written in group:
                    if written is not None:
                        written.set()
        self._check_written()

    async def _write(self, changes: list[Change]) -> None:
        async def write() -> None:
            requested = clock.monotonic()
            self._renew(requested, held=await self.coordinator.write(self.key, changes))

        try:
            await reach(write, check=self._check)
            self._check()
        except BulkError as error:
            self.failure = error

    def stop(self) -> None:
        """End `serve` after the last queued change."""
        self._changes.close()

    async def merge(self, changes: Sequence[Change]) -> None:
        """Write changes, and wait until they are on the coordinator's disk."""
        written = anyio.Event()
        for number, change in enumerate(changes, 1):
            self._changes.add((change, written if number == len(changes) else None))
        if changes:
            await written.wait()
        self._check_written()

    def _check_written(self) -> None:
        if self.failure is not None:
            raise self.failure

    def same(self, reference: str, raw: bytes) -> None:
        """Record new raw values of a row whose request body has not changed."""
        anyio.from_thread.run_sync(self._post, "same", (raw, reference))

    def _post(self, kind: str, values: Sequence[Any]) -> None:
        self._changes.add(((kind, values), None))

    def reader(self) -> AbstractContextManager[Callable[[Sequence[str]], dict[str, Entry]]]:
        """Provide a function, for worker threads, that finds the entries of references."""
        return nullcontext(lambda references: anyio.from_thread.run(self._find, list(references)))

    def confirmations(self) -> AbstractContextManager[Callable[[Mapping[str, bytes]], dict[str, Confirmed]]]:
        """Provide a function that finds nothing."""
        # Each query would be a message, and `reader` finds all entries.
        return nullcontext(lambda _: {})

    async def _find(self, references: list[str]) -> dict[str, Entry]:
        # Shielded, because the waiting thread cannot be abandoned when its task is cancelled, and a cancellation
        # delivered before this call would not be delivered again.
        with anyio.CancelScope(shield=True):
            entries = await reach(self.coordinator.find, references, check=self._check)
        return {entry[0]: Entry._make(entry) for entry in entries}
