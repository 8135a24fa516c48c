"""The coordinator of a distributed job: leases partitions and writes the journal.

It does not depend on an engine. All messages are small and plain: partitions, references, digests, states and counts,
never a row or a credential. It can be killed at any moment: everything that it confirmed is on disk, and a restarted
coordinator continues from there.
"""

from contextlib import closing
from hmac import compare_digest
from pathlib import Path
from time import time
from typing import Any

import anyio
import anyio.to_thread
from attrs import define, field

from wonder_customers.bulk.distributed.leases import LEASE_SECONDS, Leases
from wonder_customers.bulk.distributed.progress import Progress
from wonder_customers.bulk.journal import Change, Journal
from wonder_customers.bulk.journal.digest import Digests, key_mark
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.stop_reasons import ExitStatus, Stop
from wonder_customers.errors import BulkError, ConfigurationError

__all__ = ["Coordinator", "Key", "WorkerConfig", "check_key"]

RESULTS = 500
"""The maximum number of results per message."""

Key = tuple[int, int]
"""Identifies a lease: the index of the partition and the lease's token."""


@define
class WorkerConfig:
    """The configuration of a worker.

    Attributes:
        gateway: The gateway's name, which selects the account in the worker's own environment.
        endpoint: The gateway's base URL according to the journal.
        journal: The journal's path, for messages, and to find the key beside it.
        mark: Identifies the journal's key.
        run: The number of the current run.
        wall: Unix time of the coordinator.
        duration: Seconds for which a lease is valid.
    """

    gateway: str
    endpoint: str
    journal: str
    mark: bytes
    run: int
    wall: float
    duration: float


@define(eq=False)
class Coordinator:
    """Leases the partitions of one job and writes its journal.

    Attributes:
        journal: The journal's file.
        partitions: The file of partitions, created by `Leases.create`.
        duration: Seconds after which a lease ends if it is not renewed.
        max_failures: The number of failed rows at which the job stops; None for no limit.
    """

    journal: Path
    partitions: Path
    duration: float = LEASE_SECONDS
    max_failures: int | None = None
    stopped: Stop | None = field(default=None, init=False)
    _journal: Journal = field(init=False)
    _leases: Leases = field(init=False)
    _open: anyio.Event = field(factory=anyio.Event, init=False)
    _over: anyio.Event = field(factory=anyio.Event, init=False)
    _ending: ExitStatus = field(default="finished", init=False)
    _done: Progress = field(factory=Progress, init=False)
    _running: dict[Key, Progress] = field(factory=dict, init=False)
    _writing: set[anyio.CancelScope] = field(factory=set, init=False)
    _shut: bool = field(default=False, init=False)
    _parts: list[dict[str, Any]] = field(factory=list, init=False)

    async def serve(self) -> None:
        """Acquire the journal and serve calls until `end`. Earlier calls wait.

        Raises:
            BulkError: Another process uses the journal, or it cannot be written.
        """
        self._journal = Journal.existing(self.journal)
        self._leases = Leases(self.partitions, duration=self.duration)
        with closing(self._leases):
            begun = self._leases.fact("run")
            resume = bool(self._leases.fact("resume")) or begun is not None
            run = self._journal.begin(self._leases.fact("facts"), resume=resume)
            self._leases.remember("run", run.number)
            stopped = self._leases.fact("stopped")
            self.stopped = None if stopped is None else Stop(*stopped)
            for done in range(0, self._leases.done, RESULTS):
                for result in self._leases.results(done, RESULTS):
                    self._done.add(Progress.from_dict(result["progress"]))
            try:
                await self._answer()
                self._journal.end(self._ending, self._done.counts)
            finally:
                self._journal.release()

    async def _answer(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._journal.serve)
            try:
                self._open.set()
                await self._over.wait()
            finally:
                self._shut = True
                self._journal.stop()
                # Nothing is written after this, so no call may wait for it.
                for scope in self._writing:
                    scope.cancel()

    async def end(self, exit_status: ExitStatus) -> None:
        """Record how the run ended, and release the journal."""
        await self._open.wait()
        self._ending = exit_status
        self._over.set()

    async def stop(self, exit_status: ExitStatus, reason: str) -> None:
        """Stop leasing partitions, and tell all workers to end."""
        await self._open.wait()
        self._halt(Stop(exit_status, reason))

    def _halt(self, stop: Stop) -> None:
        if self.stopped is None:
            self.stopped = stop
            self._leases.remember("stopped", [stop.exit_status, stop.reason])

    async def release(self, holder: str) -> None:
        """End the leases of a worker that died."""
        await self._open.wait()
        self._leases.release(holder)
        self._drop()

    async def snapshot(self, after: int) -> dict[str, Any]:
        """Return the state of the job.

        Args:
            after: The number of results that the caller already has.

        Returns:
            ``progress``, ``results`` (of partitions completed since), ``done`` and ``left`` (the numbers of completed
            and open partitions), ``parts`` (results of partitions that were returned), and ``stopped``.
        """
        await self._open.wait()
        self._drop()
        sum_up = Progress.from_dict(self._done.to_dict())
        for progress in self._running.values():
            sum_up.add(progress)
            sum_up.join(progress)
        return {
            "progress": sum_up.to_dict(),
            "results": self._leases.results(after, RESULTS),
            "parts": self._parts,
            "done": self._leases.done,
            "left": self._leases.left,
            "stopped": None if self.stopped is None else (self.stopped.exit_status, self.stopped.reason),
        }

    async def worker_config(self) -> WorkerConfig:
        """Return the configuration of a worker."""
        await self._open.wait()
        made, mark = self._journal, key_mark(self._journal.digests)
        return WorkerConfig(made.gateway, made.endpoint, str(made.path), mark, made.run, time(), self.duration)

    async def lease(self, holder: str) -> tuple[bytes, int] | None:
        """Return a partition as JSON and the lease's token; None if no partition is free."""
        await self._open.wait()
        # A worker that asks holds no partition: the response to an earlier call may have been lost.
        await self.release(holder)
        if self.stopped is not None or self._over.is_set():
            return None
        taken = self._leases.take(holder)
        return None if taken is None else (taken.partition.to_json(), taken.token)

    async def over(self) -> bool:
        """Return whether no partition will become free any more."""
        await self._open.wait()
        return self.stopped is not None or not self._leases.left

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes of rows to the journal; return False if the lease was lost.

        Raises:
            BulkError: They could not be written.
        """
        await self._open.wait()
        if not self._leases.renew(key):
            return False
        with anyio.CancelScope() as scope:
            self._writing.add(scope)
            if self._shut:
                scope.cancel()
            try:
                await self._journal.merge(changes)
            finally:
                self._writing.discard(scope)
        if scope.cancelled_caught:
            raise BulkError(f"the journal {self.journal} is closed; the next run looks up the remaining rows")
        # Another worker may have taken the rows over and read the journal before this was written.
        return self._leases.holds(key)

    async def find(self, references: list[str]) -> list[Entry]:
        """Return the journal's entries of references."""
        await self._open.wait()

        def look() -> list[Entry]:
            with self._journal.reader() as find:
                return list(find(references).values())

        return await anyio.to_thread.run_sync(look)

    async def heartbeat(self, key: Key, progress: dict[str, Any]) -> str:
        """Renew a lease and store its progress; return ``go``, ``stop`` (end in order) or ``lost``."""
        await self._open.wait()
        if not self._leases.renew(key):
            return "lost"
        self._running[key] = Progress.from_dict(progress)
        failed = self._done.counts["failed"] + sum(it.counts["failed"] for it in self._running.values())
        if self.max_failures is not None and failed >= self.max_failures:
            self._halt(Stop("failures", f"{failed} rows failed, which is the configured limit"))
        return "go" if self.stopped is None else "stop"

    async def finish(self, key: Key, result: dict[str, Any]) -> bool:
        """Store a partition's result: ``progress`` and ``failures``. Return False if the lease was lost."""
        await self._open.wait()
        result = {**result, "place": key[0]}
        if not self._leases.finish(key, result):
            return False
        self._running.pop(key, None)
        self._done.add(Progress.from_dict(result["progress"]))
        return True

    async def return_partition(self, key: Key, result: dict[str, Any], exit_status: ExitStatus, reason: str) -> None:
        """Accept a partition that is not completed, with its partial result.

        Workers return partitions only when a job stops: if it was not stopped yet, it stops for this worker's reason.
        """
        await self._open.wait()
        if self._leases.holds(key):
            self._leases.return_partition(key)
            self._running.pop(key, None)
            self._done.add(Progress.from_dict(result["progress"]))
            self._parts.append({**result, "place": key[0]})
        await self.stop(exit_status, reason)

    def _drop(self) -> None:
        """Discard the rows of lost leases; their requests are still counted."""
        for key in [key for key in self._running if not self._leases.holds(key)]:
            self._done.add(self._running.pop(key), rows=False)


def check_key(digests: Digests, worker_config: WorkerConfig) -> None:
    """Check that a worker has the journal's key: with another key, every row would appear changed.

    Raises:
        ConfigurationError: It has another key.
    """
    if not compare_digest(key_mark(digests), worker_config.mark):
        raise ConfigurationError(
            f"this worker's key differs from that of the journal {worker_config.journal}: set the same"
            " WONDER_CUSTOMERS_SYNC_KEY for all workers, or let them read the key file beside the journal. This worker"
            " sent nothing."
        )
