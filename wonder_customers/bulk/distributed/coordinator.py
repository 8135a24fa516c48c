"""The coordinator of a distributed job: leases partitions and writes the journal.

The coordinator does not depend on an engine such as Ray. All messages are small and plain: partitions, references,
digests, states and counts, never a row or a credential. The coordinator can be killed at any moment: everything that it
has confirmed is on disk, and a restarted coordinator continues from there.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
from attrs import define, field, frozen

from wonder_customers._support import clock
from wonder_customers.bulk.distributed.leases import LEASE_SECONDS, RESULTS, Key, Leases
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Change, Journal
from wonder_customers.bulk.journal.digest import key_mark
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.stop_reasons import ExitStatus, Stop
from wonder_customers.errors import BulkError

__all__ = ["Coordinator", "Totals", "WorkerConfig", "outcome_to_dict", "progress_of"]

Progress = Mapping[str, Mapping[str, Any]]
"""The progress of a part of a job: counts by group and name. `progress_of` shows the groups and names.

``requests``: rows that the gateway ``accepted``, and requests ``sent`` for rows, ``throttled`` by the gateway, and
``failed`` with a server error or without a response. ``limits``: the measured limits of the gateway; ``rate`` is
missing if it has not been measured.
"""
Totals = defaultdict[str, "Counter[str]"]
"""The sum of the progress of several parts."""

_ROWS = ("rows", "counts", "reasons")
_REQUESTS = ("requests", "latencies", "drift")


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
    _done: Totals = field(factory=lambda: defaultdict(Counter), init=False)
    _running: dict[Key, Progress] = field(factory=dict, init=False)
    _closed: bool = field(default=False, init=False)
    _quiet_at: float = field(default=0.0, init=False)

    async def serve(self) -> None:
        """Acquire the journal, and serve calls until `end` is called. Earlier calls wait until the journal is acquired.

        Raises:
            ConfigurationError: The journal cannot be read, or its key is missing or different.
            BulkError: Another process uses the journal, or the journal cannot be written.
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
                for result in leases.results(done):
                    _add(self._done, result["progress"], *_ROWS, *_REQUESTS)
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
                counts = self._done["counts"] + Counter(skipped=self._done["rows"]["skipped"])
                journal.end(self._ending, counts, leased=leases.any_held)
            finally:
                journal.release()

    async def end(self, exit_status: ExitStatus) -> None:
        """Make `serve` record the exit status, release the journal and end. This method does not wait for that."""
        await self._open.wait()
        self._ending = exit_status
        self._over.set()

    async def stop(self, exit_status: ExitStatus, reason: str) -> None:
        """Stop leasing partitions, and make each worker stop at its next heartbeat."""
        await self._open.wait()
        self._halt(Stop(exit_status, reason))

    def _halt(self, stop: Stop) -> None:
        if self.stopped is None:
            self.stopped = stop
            self._leases.remember("stopped", [stop.exit_status, stop.reason])

    async def snapshot(self, after: int) -> dict[str, Any]:
        """Return the state of the job.

        The result contains ``progress``, at most `RESULTS` ``results`` without the first `after`, ``done`` (the number
        of results), and ``stopped`` (the exit status and the reason, or None).
        """
        await self._open.wait()
        # The rows of lost leases are repeated by another worker; their requests are still counted.
        for key in [key for key in self._running if not self._leases.holds(key)]:
            _add(self._done, self._running.pop(key), *_REQUESTS)
        total: Totals = defaultdict(Counter, limits=Counter())
        _add(total, self._done, *_ROWS, *_REQUESTS)
        for progress in self._running.values():
            _add(total, progress, *_ROWS, *_REQUESTS, "limits")
        return {
            "progress": total,
            "results": self._leases.results(after),
            "done": self._leases.done,
            "stopped": self.stopped,
        }

    async def worker_config(self) -> WorkerConfig:
        """Return the configuration of a worker."""
        await self._open.wait()
        it, grace = self._journal, max(0.0, self._quiet_at - clock.monotonic())
        return WorkerConfig(it.gateway, it.endpoint, it.name, key_mark(it.digests), it.run, self.duration, grace)

    async def lease(self) -> tuple[bytes, int] | Literal["wait", "over"]:
        """Lease a partition, and return it as JSON with the token of the lease.

        Return ``wait`` if no partition is free now, and ``over`` if all are completed or the job has ended or stopped.
        """
        await self._open.wait()
        if self.stopped is not None or self._over.is_set() or not self._leases.left:
            return "over"
        return self._leases.take() or "wait"

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes of rows to the journal if the lease is valid. Return whether it is still valid afterwards.

        Raises:
            BulkError: The journal is closed, or the changes could not be written.
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
        """Return the journal's entries for references; references without an entry are left out."""
        await self._open.wait()

        def read() -> list[Entry]:
            with self._journal.reader() as find:
                return list(find(references).values())

        return await anyio.to_thread.run_sync(read)

    async def heartbeat(self, key: Key, progress: Progress) -> Literal["go", "stop", "lost"]:
        """Renew a lease, store the progress of its partition, and stop the job at `max_failures` failed rows.

        The result is ``go`` (continue), ``stop`` (complete the rows in progress, then end) or ``lost`` (send no more).
        """
        await self._open.wait()
        if not self._leases.renew(key):
            return "lost"
        self._running[key] = progress
        failed = sum(it["counts"].get("failed", 0) for it in (self._done, *self._running.values()))
        if self.max_failures is not None and failed >= self.max_failures:
            reason = f"the maximum number of failed rows was reached (max_failures={self.max_failures})"
            self._halt(Stop("failures", reason))
        return "go" if self.stopped is None else "stop"

    async def finish(self, key: Key, result: dict[str, Any], stop: Stop | None) -> None:
        """End a lease and store the result of the partition (``progress`` and ``failures``), unless the lease was lost.

        `stop` is the reason for which the partition is not complete, and also stops the job; None if it is complete.
        """
        await self._open.wait()
        if self._leases.finish(key, {**result, "place": key[0]}, complete=stop is None):
            self._running.pop(key, None)
            _add(self._done, result["progress"], *_ROWS, *_REQUESTS)
        if stop is not None:
            self._halt(stop)


def progress_of(job: Job) -> dict[str, dict[str, Any]]:
    """Return the progress of a job; see `Progress`."""
    stats, requests = job.stats, job.stats.requests
    limits = {"concurrency": requests.concurrency, "rate": requests.rate}
    sent = {"accepted": stats.sent, **{name: getattr(requests, name) for name in ("sent", "throttled", "failed")}}
    return {
        "rows": {"read": job.rows_read, "skipped": job.skipped},
        "counts": dict(stats.counts),
        "reasons": dict(stats.reasons),
        "requests": sent,
        "latencies": {str(bucket): count for bucket, count in stats.latencies.classes.items()},
        "drift": dict(stats.drift),
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
    }


def _add(total: Totals, part: Progress, *groups: str) -> None:
    """Add groups of a part's progress to `total`. Groups that the part does not have are left unchanged."""
    for group in groups:
        total[group].update(part.get(group, {}))


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome of a failed row as plain data, without its draft, its original bytes and its exception."""
    names = ("number", "reference", "status", "id", "reason", "code", "applied", "attempts", "request_id", "place")
    return {name: getattr(outcome, name) for name in names}
