"""The coordinator of a distributed job: leases partitions and writes the journal.

The coordinator does not depend on an engine such as Ray. All messages are small and plain: partitions, references,
digests, states and counts, never a row or a credential. The coordinator can be killed at any moment: everything that it
has confirmed is on disk, and a restarted coordinator continues from there.
"""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
from attrs import define, field, frozen

from wonder_customers._support import clock
from wonder_customers.bulk.distributed.leases import LEASE_SECONDS, Key, Leases
from wonder_customers.bulk.distributed.progress import Progress
from wonder_customers.bulk.journal import Change, Journal
from wonder_customers.bulk.journal.digest import key_mark
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.stop_reasons import ExitStatus, Stop
from wonder_customers.errors import BulkError

__all__ = ["Coordinator", "WorkerConfig"]

RESULTS = 500
"""The maximum number of results per message."""


@frozen
class WorkerConfig:
    """The configuration of a worker.

    Attributes:
        gateway: The gateway's name, which selects the account in the worker's own environment.
        endpoint: The gateway's base URL according to the journal.
        journal: The journal's path, for messages, and to find the key beside it.
        mark: Identifies the journal's key.
        run: The number of the current run.
        duration: Seconds for which a lease is valid.
        grace: Seconds for which workers of an earlier run may still send requests.
    """

    gateway: str
    endpoint: str
    journal: str
    mark: bytes
    run: int
    duration: float
    grace: float


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
    _closed: bool = field(default=False, init=False)
    _quiet_at: float = field(default=0.0, init=False)
    _parts: list[dict[str, Any]] = field(factory=list, init=False)

    async def serve(self) -> None:
        """Acquire the journal and serve calls until `end` is called. Calls that arrive earlier wait.

        Raises:
            BulkError: Another process uses the journal, or it cannot be written.
        """
        journal = self._journal = Journal.existing(self.journal)
        leases = self._leases = Leases(self.partitions, duration=self.duration)
        with closing(leases):
            resume = bool(leases.fact("resume")) or leases.fact("run") is not None
            leases.remember("run", journal.begin(leases.fact("facts"), resume=resume, leased=self.duration).number)
            self._quiet_at = clock.monotonic() + journal.grace
            stopped = leases.fact("stopped")
            self.stopped = None if stopped is None else Stop(*stopped)
            for done in range(0, leases.done, RESULTS):
                for result in leases.results(done, RESULTS):
                    self._done.add(Progress.from_dict(result["progress"]))
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(journal.serve)
                    try:
                        self._open.set()
                        await self._over.wait()
                    finally:
                        # Changes that are already queued are still written.
                        self._closed = True
                        journal.stop()
                counts = self._done.counts + Counter(skipped=self._done.skipped)
                journal.end(self._ending, counts, leased=leases.any_held)
            finally:
                journal.release()

    async def end(self, exit_status: ExitStatus) -> None:
        """Record the exit status of the run, and release the journal."""
        await self._open.wait()
        self._ending = exit_status
        self._over.set()

    async def stop(self, exit_status: ExitStatus, reason: str) -> None:
        """Stop leasing partitions, and make all workers stop."""
        await self._open.wait()
        self._halt(Stop(exit_status, reason))

    def _halt(self, stop: Stop) -> None:
        if self.stopped is None:
            self.stopped = stop
            self._leases.remember("stopped", [stop.exit_status, stop.reason])

    async def snapshot(self, after: int) -> dict[str, Any]:
        """Return the state of the job.

        Args:
            after: The number of results that the caller already has.

        Returns:
            ``progress``, ``results`` (of partitions completed since), ``done`` (the number of completed partitions),
            ``parts`` (results of partitions that were returned), and ``stopped``.
        """
        await self._open.wait()
        # The rows of lost leases are repeated by another worker; their requests are still counted.
        for key in [key for key in self._running if not self._leases.holds(key)]:
            self._done.add(self._running.pop(key), rows=False)
        total = Progress.from_dict(self._done.to_dict())
        for progress in self._running.values():
            total.add(progress)
            total.join(progress)
        return {
            "progress": total.to_dict(),
            "results": self._leases.results(after, RESULTS),
            "parts": self._parts,
            "done": self._leases.done,
            "stopped": None if self.stopped is None else (self.stopped.exit_status, self.stopped.reason),
        }

    async def worker_config(self) -> WorkerConfig:
        """Return the configuration of a worker."""
        await self._open.wait()
        it, grace = self._journal, max(0.0, self._quiet_at - clock.monotonic())
        return WorkerConfig(it.gateway, it.endpoint, it.name, key_mark(it.digests), it.run, self.duration, grace)

    async def lease(self) -> tuple[bytes, int] | Literal["wait", "over"]:
        """Lease a partition.

        Returns:
            The partition as JSON and the lease's token; ``wait`` if no partition is free now; ``over`` if all
            partitions are completed or the job is stopped.
        """
        await self._open.wait()
        if self.stopped is not None or self._over.is_set() or not self._leases.left:
            return "over"
        return self._leases.take() or "wait"

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes of rows to the journal; return False if the lease was lost.

        Raises:
            BulkError: The changes could not be written.
        """
        await self._open.wait()
        if self._closed:
            raise BulkError(
                f"the journal {self.journal} is closed. The next run looks up the rows without a recorded result."
            )
        if not self._leases.renew(key):
            return False
        await self._journal.merge(changes)
        # Another worker may have taken the rows over and read the journal before this was written.
        return self._leases.holds(key)

    async def find(self, references: list[str]) -> list[Entry]:
        """Return the journal's entries for references."""
        await self._open.wait()

        def read() -> list[Entry]:
            with self._journal.reader() as find:
                return list(find(references).values())

        return await anyio.to_thread.run_sync(read)

    async def heartbeat(self, key: Key, progress: dict[str, Any]) -> Literal["go", "stop", "lost"]:
        """Renew a lease and store its progress.

        Returns:
            ``go`` to continue, ``stop`` to complete the rows in progress and end, ``lost`` to send no more requests.
        """
        await self._open.wait()
        if not self._leases.renew(key):
            return "lost"
        self._running[key] = Progress.from_dict(progress)
        failed = self._done.counts["failed"] + sum(it.counts["failed"] for it in self._running.values())
        if self.max_failures is not None and failed >= self.max_failures:
            self._halt(Stop("failures", f"{failed} rows failed, and the job stops at this number"))
        return "go" if self.stopped is None else "stop"

    async def finish(self, key: Key, result: dict[str, Any], stop: tuple[ExitStatus, str] | None) -> None:
        """Store a partition's result: ``progress`` and ``failures``.

        Args:
            key: The lease.
            result: The result.
            stop: The reason why the partition is not complete; None if it is complete. A job that is not yet stopped
                is stopped for this reason.
        """
        await self._open.wait()
        result = {**result, "place": key[0]}
        if self._leases.finish(key, result if stop is None else None):
            self._running.pop(key, None)
            self._done.add(Progress.from_dict(result["progress"]))
            if stop is not None:
                self._parts.append(result)
        if stop is not None:
            self._halt(Stop(*stop))
