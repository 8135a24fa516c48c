"""A worker of a distributed job: takes partitions from the coordinator and runs them on its own session.

It does not depend on an engine: the coordinator may be an object in the same process or a stub for another machine.
Credentials come from the environment of the worker's process.
"""

from collections.abc import Awaitable, Callable, Mapping
from os import environ
from pathlib import Path
from time import monotonic, time
from typing import Any, TypeVar

import anyio
from attrs import define, field

from wonder_customers.bulk.distributed.coordinator import Coordinator, Key, WorkerConfig, check_key
from wonder_customers.bulk.distributed.partition import Partition, run_partition
from wonder_customers.bulk.distributed.progress import Progress, outcome_to_dict
from wonder_customers.bulk.distributed.remote_journal import RemoteJournal
from wonder_customers.bulk.distributed.slots import PATIENCE, Unreachable
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Change
from wonder_customers.bulk.journal.digest import Digests, key_of
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.stop_reasons import Stop
from wonder_customers.dialects import package
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.rate_limit import AdaptiveRateLimit, RateLimiter, RequestResult
from wonder_customers.session import CustomerSession
from wonder_customers.wire import Transmission

__all__ = ["FencedRateLimit", "LeasedPartition", "Worker"]

T = TypeVar("T")

BEAT = 0.5
"""Seconds between two heartbeats."""
IDLE = 0.1
"""Seconds until a worker without a partition asks again."""


@define(eq=False)
class LeasedPartition:
    """A partition that this worker holds.

    Attributes:
        coordinator: The coordinator.
        partition: The partition.
        token: The lease's token.
        duration: Seconds for which the lease is valid after a renewal.
        until: When the lease ends, on the monotonic clock.
        margin: Seconds before that from which no request is permitted any more: it may take so long to leave.
        lost: Whether another worker may hold the partition, so that nothing may be sent any more.
    """

    coordinator: Coordinator
    partition: Partition
    token: int
    duration: float
    until: float
    margin: float
    lost: bool = False
    job: Job | None = None

    @property
    def key(self) -> Key:
        """Identifies the lease."""
        return self.partition.place, self.token

    async def reach(self, call: Callable[[], Awaitable[T]], *, renews: bool = False) -> T:
        """Call the coordinator until it responds.

        Args:
            call: The call.
            renews: Whether a response other than False shows that the lease was valid when the call was made.

        Raises:
            BulkError: The lease ended meanwhile.
        """
        while True:
            asked = monotonic()
            try:
                answer = await call()
            except Unreachable:
                self.check()
                await anyio.sleep(PATIENCE)
            else:
                if renews and answer is not False:
                    self.until = max(self.until, asked + self.duration)
                return answer

    def check(self) -> None:
        """Raise if the lease has ended.

        Raises:
            BulkError: It has ended.
        """
        if self.lost or monotonic() > self.until:
            self.leave()
            raise BulkError("the lease of these rows has ended; another worker continues with them")

    def leave(self) -> None:
        """Stop sending rows."""
        self.lost = True
        if self.job is not None:
            self.job.stop()

    def may_send(self) -> bool:
        """Return whether a request that is permitted now leaves before the lease ends."""
        return not self.lost and monotonic() < self.until - self.margin

    async def ship(self, changes: list[Change]) -> None:
        """Send changes to the journal; return when they are on its disk."""
        if not await self.reach(lambda: self.coordinator.write(self.key, changes), renews=True):
            self.leave()
        self.check()

    async def ask(self, references: list[str]) -> list[Entry]:
        """Return the journal's entries of references."""
        return await self.reach(lambda: self.coordinator.find(references))

    async def heartbeat(self, job: Job) -> None:
        """Send heartbeats until cancelled."""
        while not self.lost:
            await anyio.sleep(BEAT)
            asked = monotonic()
            try:
                answer = await self.coordinator.heartbeat(self.key, Progress.of(job).to_dict())
            except Unreachable:
                continue
            if answer == "lost":
                self.leave()
                return
            self.until = max(self.until, asked + self.duration)
            if answer == "stop":
                job.stop()


@define(eq=False)
class FencedRateLimit:
    """The rate limit of a worker's session, which permits requests only while the worker holds a lease.

    Attributes:
        limit: The rate limit of all workers, or one that adapts to the gateway.
        lease: The partition under way; None if there is none.
    """

    limit: Any
    lease: LeasedPartition | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.limit, name)

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent; without a lease, until the job's stop signal ends the call."""
        await self.limit.acquire(transmission)
        if self.lease is not None and not self.lease.may_send():
            self.limit.release(transmission, RequestResult("cancelled", 0.0))
            self.lease.leave()
            await anyio.sleep_forever()

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Report how a permitted request ended."""
        self.limit.release(transmission, result)


@define(eq=False)
class Worker:
    """Runs partitions until the job is over.

    Attributes:
        name: Identifies the worker.
        coordinator: The coordinator.
        rate_limit: The rate limit of all workers; None for one of its own that adapts to the gateway.
        options: How rows are sent.
        variables: The environment with the credentials.
        patience: Seconds for which it tries to reach the coordinator.
    """

    name: str
    coordinator: Coordinator
    rate_limit: RateLimiter | None = None
    options: Options = field(factory=Options)
    variables: Mapping[str, str] = field(default=environ, repr=False)
    patience: float = 120.0

    async def work(self) -> None:
        """Take partitions and run them, until the job is over.

        Raises:
            ConfigurationError: The environment has no credentials, or they do not fit the journal's gateway or key.
            BulkError: The coordinator cannot be reached.
        """
        worker_config, configured_at = await self._reach(self.coordinator.worker_config), time()
        account = package(worker_config.gateway).ACCOUNT.from_environment(self.variables)
        if account.base_url != worker_config.endpoint:
            raise ConfigurationError(
                f"the journal belongs to {worker_config.gateway} at {worker_config.endpoint}, but this worker's"
                f" environment names {account.base_url}. This worker sent nothing."
            )
        digests = Digests(key_of(Path(worker_config.journal), make=False))
        check_key(digests, worker_config)
        limit = FencedRateLimit(self.rate_limit or AdaptiveRateLimit())
        connections = max(32, self.options.workers)
        async with CustomerSession(account, rate_limit=limit, max_connections=connections) as session:
            while (lease := await self._next(worker_config)) is not None:
                limit.lease = lease
                ahead = worker_config.wall - configured_at
                journal = RemoteJournal(lease.ship, lease.ask, digests, worker_config.run, worker_config.journal, ahead)
                await self._run(session, lease, journal)

    async def _next(self, worker_config: WorkerConfig) -> "LeasedPartition | None":
        """Return the next partition; None when the job is over."""
        while True:
            asked = monotonic()
            taken = await self._reach(lambda: self.coordinator.lease(self.name))
            if taken is not None:
                partition, until = Partition.from_json(taken[0]), asked + worker_config.duration
                margin = min(self.options.retry.connect_timeout, worker_config.duration / 3)
                return LeasedPartition(self.coordinator, partition, taken[1], worker_config.duration, until, margin)
            if await self._reach(self.coordinator.over):
                return None
            await anyio.sleep(IDLE)

    async def _run(self, session: CustomerSession[Any], lease: LeasedPartition, journal: RemoteJournal) -> None:
        try:
            job = run_partition(lease.partition, session, journal, options=self.options)
        except ConfigurationError as error:
            reason, nothing = str(error), {"progress": Progress().to_dict(), "failures": []}
            await self._reach(lambda: self.coordinator.return_partition(lease.key, nothing, "source", reason))
            return
        lease.job = job
        failures: list[dict[str, Any]] = []
        async with anyio.create_task_group() as group:
            group.start_soon(lease.heartbeat, job)
            try:
                async with job:
                    failures.extend([outcome_to_dict(outcome) async for outcome in job if not outcome.ok])
            except BulkError:
                pass  # the reason is in `job.stopped`
            group.cancel_scope.cancel()
        if lease.lost:
            return
        result = {"progress": Progress.of(job).to_dict(), "failures": failures}
        if job.stopped is None and not job.unfinished:
            await self._reach(lambda: self.coordinator.finish(lease.key, result))
        else:
            stop = job.stopped or Stop("interrupted", "the job was interrupted")
            await self._reach(
                lambda: self.coordinator.return_partition(lease.key, result, stop.exit_status, stop.reason)
            )

    async def _reach(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call the coordinator until it responds.

        Raises:
            BulkError: It does not respond within `patience`.
        """
        until = monotonic() + self.patience
        while True:
            try:
                return await call()
            except Unreachable:
                if monotonic() > until:
                    raise BulkError(
                        "the coordinator cannot be reached. Rows that were sent are in its journal."
                    ) from None
                await anyio.sleep(PATIENCE)
