"""The one place of a job on many machines: it leases partitions, and writes the one journal.

It knows of no engine. Everything it takes and gives is small and plain: descriptors, references, digests, states and
counts; never a row, never a credential. It may die at any moment: what it said is on the disk, and its next life goes
on from there.
"""

from contextlib import closing
from hmac import compare_digest
from pathlib import Path
from time import time
from typing import Any

import anyio
import anyio.to_thread
from attrs import define, field

from wonder_customers.bulk.distributed.leases import LASTS, Leases
from wonder_customers.bulk.distributed.progress import Progress
from wonder_customers.bulk.journal import Change, Journal
from wonder_customers.bulk.journal.digest import Digests, key_mark
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.stop_reasons import AttemptResult, Stop
from wonder_customers.errors import BulkError, ConfigurationError

__all__ = ["Coordinator", "Key", "WorkerConfig", "check_key"]

RESULTS = 500
"""Results that are told at once at most."""

Key = tuple[int, int]
"""A lease: the partition's place, and the lease's token."""


@define
class WorkerConfig:
    """What a worker has to know beforehand.

    Attributes:
        gateway: The gateway's name, which is the name of the account in the worker's own environment.
        endpoint: Where the journal says that it listens.
        journal: The journal's path, for messages, and for its key where the worker can reach it.
        mark: Tells whether the worker has the journal's key.
        run: The run under way.
        wall: Unix time where the journal is.
        lasts: Seconds that a lease lasts.
    """

    gateway: str
    endpoint: str
    journal: str
    mark: bytes
    run: int
    wall: float
    lasts: float


@define(eq=False)
class Coordinator:
    """Leases the partitions of one job and writes its journal.

    Attributes:
        journal: The journal's file.
        partitions: The file of partitions, as `Leases.create` made it.
        lasts: Seconds after which a lease ends that nobody has renewed.
        max_failures: Failed rows at which the job stops, None for any number.
    """

    journal: Path
    partitions: Path
    lasts: float = LASTS
    max_failures: int | None = None
    stopped: Stop | None = field(default=None, init=False)
    _journal: Journal = field(init=False)
    _leases: Leases = field(init=False)
    _open: anyio.Event = field(factory=anyio.Event, init=False)
    _over: anyio.Event = field(factory=anyio.Event, init=False)
    _ending: AttemptResult = field(default="finished", init=False)
    _done: Progress = field(factory=Progress, init=False)
    _running: dict[Key, Progress] = field(factory=dict, init=False)
    _writing: set[anyio.CancelScope] = field(factory=set, init=False)
    _shut: bool = field(default=False, init=False)
    _parts: list[dict[str, Any]] = field(factory=list, init=False)

    # What the driver uses

    async def serve(self) -> None:
        """Take the journal and answer questions until `end`. Everything asked before waits.

        Raises:
            BulkError: Another process uses the journal, or it cannot be written.
        """
        self._journal = Journal.existing(self.journal)
        self._leases = Leases(self.partitions, lasts=self.lasts)
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
                # After this nobody writes any more, so nobody may wait for it.
                for scope in self._writing:
                    scope.cancel()

    async def end(self, end_state: AttemptResult) -> None:
        """Write how the run ended, and let go of the journal."""
        await self._open.wait()
        self._ending = end_state
        self._over.set()

    async def stop(self, end_state: AttemptResult, reason: str) -> None:
        """Lease nothing more, and have everybody end."""
        await self._open.wait()
        self._halt(Stop(end_state, reason))

    def _halt(self, stop: Stop) -> None:
        if self.stopped is None:
            self.stopped = stop
            self._leases.remember("stopped", [stop.end_state, stop.reason])

    async def release(self, holder: str) -> None:
        """End the leases of a worker that died."""
        await self._open.wait()
        self._leases.release(holder)
        self._drop()

    async def standing(self, after: int) -> dict[str, Any]:
        """How the job stands.

        Args:
            after: How many results the caller has already.

        Returns:
            ``progress``, ``results`` (of partitions that were done since), ``done`` and ``left`` (how many partitions
            are, and are not), ``parts`` (all results of partitions that were given back), and ``stopped``.
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
            "stopped": None if self.stopped is None else (self.stopped.end_state, self.stopped.reason),
        }

    # What workers use

    async def briefing(self) -> WorkerConfig:
        """What a worker has to know beforehand."""
        await self._open.wait()
        made, mark = self._journal, key_mark(self._journal.digests)
        return WorkerConfig(made.gateway, made.endpoint, str(made.path), mark, made.run, time(), self.lasts)

    async def lease(self, holder: str) -> tuple[bytes, int] | None:
        """A partition as JSON and the lease's token; None when there is nothing to do now."""
        await self._open.wait()
        # Who asks holds nothing: the answer to an earlier question may have been lost on its way.
        await self.release(holder)
        if self.stopped is not None or self._over.is_set():
            return None
        taken = self._leases.take(holder)
        return None if taken is None else (taken.partition.to_json(), taken.token)

    async def over(self) -> bool:
        """Whether there will be nothing to do any more."""
        await self._open.wait()
        return self.stopped is not None or not self._leases.left

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes of rows; returns when they are on the disk. False when the lease is lost.

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
            raise BulkError(f"the journal {self.journal} is closed; what was not written is settled by the next run")
        # Who has taken the rows over meanwhile may have looked before this was written, so it must not be sent now.
        return self._leases.holds(key)

    async def find(self, references: list[str]) -> list[Entry]:
        """What the journal knows of references."""
        await self._open.wait()

        def look() -> list[Entry]:
            with self._journal.reader() as find:
                return list(find(references).values())

        return await anyio.to_thread.run_sync(look)

    async def beat(self, key: Key, progress: dict[str, Any]) -> str:
        """Hold a lease for longer, and tell how it goes on; ``go``, ``stop`` (end in order) or ``lost``."""
        await self._open.wait()
        if not self._leases.renew(key):
            return "lost"
        self._running[key] = Progress.from_dict(progress)
        failed = self._done.counts["failed"] + sum(it.counts["failed"] for it in self._running.values())
        if self.max_failures is not None and failed >= self.max_failures:
            self._halt(Stop("failures", f"{failed} rows failed, which is the limit that was set"))
        return "go" if self.stopped is None else "stop"

    async def finish(self, key: Key, result: dict[str, Any]) -> bool:
        """Take a partition's result: ``progress`` and ``failures``. False when the lease is lost."""
        await self._open.wait()
        result = {**result, "place": key[0]}
        if not self._leases.finish(key, result):
            return False
        self._running.pop(key, None)
        self._done.add(Progress.from_dict(result["progress"]))
        return True

    async def give_back(self, key: Key, result: dict[str, Any], end_state: AttemptResult, reason: str) -> None:
        """Take back a partition that is not done, with what was done of it.

        Only a job that stops gives partitions back: when nobody has stopped it yet, it stops for this worker's reason.
        """
        await self._open.wait()
        if self._leases.holds(key):
            self._leases.give_back(key)
            self._running.pop(key, None)
            self._done.add(Progress.from_dict(result["progress"]))
            self._parts.append({**result, "place": key[0]})
        await self.stop(end_state, reason)

    def _drop(self) -> None:
        """Forget the rows of leases that are no more; the requests were sent all the same."""
        for key in [key for key in self._running if not self._leases.holds(key)]:
            self._done.add(self._running.pop(key), rows=False)


def check_key(digests: Digests, briefing: WorkerConfig) -> None:
    """Raise unless a worker has the journal's own key: under another one, every row would look changed.

    Raises:
        ConfigurationError: It has another one.
    """
    if not compare_digest(key_mark(digests), briefing.mark):
        raise ConfigurationError(
            f"this worker has another key than the journal {briefing.journal}: give all workers the same"
            " WONDER_CUSTOMERS_SYNC_KEY, or let them read the key file beside the journal. Nothing was sent by it."
        )
