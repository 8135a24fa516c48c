"""A worker of a distributed job: takes partitions from the coordinator and runs them on its own session.

It does not depend on an engine: the coordinator may be an object in the same process or a stub for another machine.
Credentials come from the environment of the worker's process.
"""

from collections.abc import Awaitable, Callable, Mapping
from os import environ
from pathlib import Path
from time import monotonic, time
from typing import Any, Protocol, TypeVar

import anyio
from attrs import define, field

from wonder_customers.bulk.distributed.coordinator import Key, WorkerConfig, check_key
from wonder_customers.bulk.distributed.paced import PacedTransport, PerRequest
from wonder_customers.bulk.distributed.partition import Partition, run_partition
from wonder_customers.bulk.distributed.progress import Progress, outcome_to_dict
from wonder_customers.bulk.distributed.remote_journal import RemoteJournal
from wonder_customers.bulk.distributed.slots import PATIENCE, Unreachable
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Change
from wonder_customers.bulk.journal.digest import Digests, key_of
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.options import BULK, Options
from wonder_customers.bulk.pace import Halted, Limiter
from wonder_customers.bulk.stop_reasons import ExitStatus, Stop
from wonder_customers.dialects import package
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.transports import select_transport

__all__ = ["WorkQueue", "Worker"]

T = TypeVar("T")

BEAT = 0.5
"""Seconds between two heartbeats."""
IDLE = 0.1
"""Seconds until a worker without a partition asks again."""


class WorkQueue(Protocol):
    """The coordinator, as used by a worker. Every call raises `Unreachable` while the coordinator cannot be reached."""

    async def worker_config(self) -> WorkerConfig:
        """Return the worker's configuration."""

    async def lease(self, holder: str) -> tuple[bytes, int] | None:
        """Return a partition and the lease's token; None if no partition is free."""

    async def over(self) -> bool:
        """Return whether no partition will become free any more."""

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes of rows; return False if the lease was lost."""

    async def find(self, references: list[str]) -> list[Entry]:
        """Return the journal's entries of references."""

    async def heartbeat(self, key: Key, progress: dict[str, Any]) -> str:
        """Renew the lease; return ``go``, ``stop`` or ``lost``."""

    async def finish(self, key: Key, result: dict[str, Any]) -> bool:
        """Store a partition's result; return False if the lease was lost."""

    async def return_partition(self, key: Key, result: dict[str, Any], exit_status: ExitStatus, reason: str) -> None:
        """Return a partition that is not completed, with its partial result."""


class _Free:
    """The limiter of a worker that has no rows yet."""

    async def take(self, requests: int) -> None:
        """Nothing is sent yet."""


@define(eq=False)
class LeasedPartition:
    """A partition that this worker holds.

    Attributes:
        coordinator: The coordinator.
        partition: The partition.
        token: The lease's token.
        duration: Seconds for which the lease is valid after a renewal.
        limiter: The rate limit of all workers; None without one.
        until: When the lease ends, on the monotonic clock.
        lost: Whether another worker may hold the partition, so that nothing may be sent any more.
    """

    coordinator: WorkQueue
    partition: Partition
    token: int
    duration: float
    limiter: Limiter | None
    until: float
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

    async def take(self, requests: int) -> None:
        """Wait for the rate limit, and check that the lease is still valid."""
        if self.limiter is not None:
            await self.limiter.take(requests)
        if self.lost or monotonic() > self.until:
            self.leave()
            raise Halted

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
class Worker:
    """Runs partitions until the job is over.

    Attributes:
        name: Identifies the worker.
        coordinator: The coordinator.
        limiter: The rate limit of all workers; None without one.
        options: How rows are sent.
        policy: The session's retry policy.
        variables: The environment with the credentials.
        patience: Seconds for which it tries to reach the coordinator.
    """

    name: str
    coordinator: WorkQueue
    limiter: Limiter | None = None
    options: Options = field(factory=Options)
    policy: RetryPolicy = BULK
    variables: Mapping[str, str] = field(default=environ, repr=False)
    patience: float = 120.0

    async def work(self) -> None:
        """Take partitions and run them, until the job is over.

        Raises:
            ConfigurationError: The environment has no credentials, or they do not fit the journal's gateway or key.
            BulkError: The coordinator cannot be reached.
        """
        worker_config, briefed_at = await self._reach(self.coordinator.worker_config), time()
        account = package(worker_config.gateway).ACCOUNT.from_environment(self.variables)
        if account.base_url != worker_config.endpoint:
            raise ConfigurationError(
                f"the journal belongs to {worker_config.gateway} at {worker_config.endpoint}, but this worker's"
                f" environment names {account.base_url}. This worker sent nothing."
            )
        digests = Digests(key_of(Path(worker_config.journal), make=False))
        check_key(digests, worker_config)
        limits = PerRequest(_Free())
        transport = PacedTransport(select_transport(None, max(32, self.options.workers))[0], limits)
        try:
            async with CustomerSession(account, retry=self.policy, transport=transport) as session:
                while (lease := await self._next(worker_config)) is not None:
                    limits.limiter = lease
                    ahead = worker_config.wall - briefed_at
                    journal = RemoteJournal(
                        lease.ship, lease.ask, digests, worker_config.run, worker_config.journal, ahead
                    )
                    await self._run(session, lease, journal, limits)
        finally:
            with anyio.CancelScope(shield=True):
                await transport.aclose()

    async def _next(self, worker_config: WorkerConfig) -> "LeasedPartition | None":
        """Return the next partition; None when the job is over."""
        while True:
            asked = monotonic()
            taken = await self._reach(lambda: self.coordinator.lease(self.name))
            if taken is not None:
                partition, until = Partition.from_json(taken[0]), asked + worker_config.duration
                return LeasedPartition(
                    self.coordinator, partition, taken[1], worker_config.duration, self.limiter, until
                )
            if await self._reach(self.coordinator.over):
                return None
            await anyio.sleep(IDLE)

    async def _run(
        self, session: CustomerSession[Any], lease: LeasedPartition, journal: RemoteJournal, limits: PerRequest
    ) -> None:
        try:
            job = run_partition(lease.partition, session, journal, limits, options=self.options)
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
