"""The coordinator of a distributed job: leases partitions and writes the journal."""

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
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.digest import key_mark
from wonder_customers.bulk.journal.entries import Change, Entry
from wonder_customers.bulk.stop_reasons import ExitStatus, Stop
from wonder_customers.errors import BulkError

__all__ = ["Coordinator", "Totals", "WorkerConfig", "progress_of"]

Progress = Mapping[str, Mapping[str, Any]]
"""The progress of a part of a job: counts by group and name. `progress_of` shows the groups and names."""
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
        mark: Identifies the journal's key.
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
    _grace_until: float = field(default=0.0, init=False)

    async def serve(self) -> None:
        """Acquire the journal, and keep it until `end` is called."""
        journal = self._journal = Journal.existing(self.journal)
        leases = self._leases = Leases(self.partitions, duration=self.duration)
        with closing(leases):
            resume = bool(leases.fact("resume")) or leases.fact("run") is not None
            leases.remember("run", journal.begin(leases.fact("facts"), resume=resume, leased=self.duration).number)
            self._grace_until = clock.monotonic() + journal.grace
            stopped = leases.fact("stopped")
            self.stopped = None if stopped is None else Stop(*stopped)
            for done in range(0, leases.done, RESULTS):
                for result in leases.results(done):
                    _add(self._done, result["progress"], *_ROWS, *_REQUESTS)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(journal.writer.serve)  # the workers receive the errors
                    try:
                        self._open.set()
                        await self._over.wait()
                    finally:
                        # Changes that are already queued are still written.
                        self._over.set()
                        journal.stop()
                counts = self._done["counts"] + Counter(skipped=self._done["rows"]["skipped"])
                journal.end(self._ending, counts, leased=leases.any_held)
            finally:
                journal.release()

    async def end(self, exit_status: ExitStatus) -> None:
        """Make `serve` end with an exit status."""
        await self._open.wait()
        self._ending = exit_status
        self._over.set()

    async def stop(self, exit_status: ExitStatus, reason: str) -> None:
        """Stop leasing partitions, and make the workers stop."""
        await self._open.wait()
        self._halt(Stop(exit_status, reason))

    def _halt(self, stop: Stop) -> None:
        if self.stopped is None:
            self.stopped = stop
            self._leases.remember("stopped", [stop.exit_status, stop.reason, stop.invalid])

    async def snapshot(self, after: int) -> dict[str, Any]:
        """Return the state of the job, without the first `after` results."""
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
        it, grace = self._journal, max(0.0, self._grace_until - clock.monotonic())
        return WorkerConfig(it.gateway, it.endpoint, it.name, key_mark(it.digests), it.run, self.duration, grace)

    async def admit(self, mark: str | None) -> None:
        """Raise `ConfigurationError` unless `mark`, the digest of a worker's merchant, is that of the journal."""
        await self._open.wait()
        await anyio.to_thread.run_sync(self._journal.admit, mark)

    async def lease(self) -> tuple[bytes, int] | Literal["wait", "over"]:
        """Lease a partition and return it with its token; otherwise return ``wait`` or ``over``."""
        await self._open.wait()
        if self.stopped is not None or self._over.is_set() or not self._leases.left:
            return "over"
        return self._leases.take() or "wait"

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes to the journal if the lease is valid; return whether the lease is still valid.

        Raise `BulkError` if the journal is closed.
        """
        await self._open.wait()
        if self._over.is_set():
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

    async def heartbeat(self, key: Key, progress: Progress) -> Literal["go", "stop", "lost"]:
        """Try to renew a lease; return what its worker has to do."""
        await self._open.wait()
        if not self._leases.renew(key):
            return "lost"
        self._running[key] = progress
        failed = sum(it["counts"].get("failed", 0) for it in (self._done, *self._running.values()))
        if self.max_failures is not None and failed >= self.max_failures:
            reason = f"the maximum number of failed rows, {self.max_failures:,}, was reached"
            self._halt(Stop("failures", reason))
        return "go" if self.stopped is None else "stop"

    async def finish(self, key: Key, result: dict[str, Any], stop: Stop | None) -> None:
        """Accept the result of a partition from the holder of its lease."""
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
    sent = {"accepted": stats.sent, "sent": requests.issued, "throttled": requests.throttled, "failed": requests.failed}
    return {
        "rows": {"read": job.rows_read, "skipped": job.skipped},
        "counts": dict(stats.counts),
        "reasons": dict(stats.reasons),
        "requests": sent,
        "latencies": {str(bucket): count for bucket, count in stats.latencies.items()},
        "drift": dict(stats.drift),
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
    }


def _add(total: Totals, part: Progress, *groups: str) -> None:
    """Add groups of a part's progress to `total`."""
    for group in groups:
        total[group].update(part.get(group, {}))
