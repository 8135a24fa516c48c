"""One of the workers of a job: it takes partitions from the coordinator and runs them over one session of its own.

It knows of no engine either: what it calls may be an object beside it, or a stub for one on another machine. Its
credentials come from the environment of the process it runs in.
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
from wonder_customers.bulk.distributed.progress import Progress, told
from wonder_customers.bulk.distributed.shipped import ShippedJournal
from wonder_customers.bulk.distributed.slots import PATIENCE, Unreachable
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Change
from wonder_customers.bulk.journal.digest import Digests, key_of
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.options import BULK, Options
from wonder_customers.bulk.pace import Halted, Limiter
from wonder_customers.bulk.stop_reasons import AttemptResult, Stop
from wonder_customers.dialects import package
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.transports import choose

__all__ = ["Worker", "WorkersView"]

T = TypeVar("T")

BEAT = 0.5
"""Seconds between two signs of life."""
IDLE = 0.1
"""Seconds until a worker without work asks again."""


class WorkersView(Protocol):
    """The coordinator, as a worker sees it. Every call raises `Unreachable` while the coordinator cannot be reached."""

    async def briefing(self) -> WorkerConfig:
        """What a worker has to know beforehand."""

    async def lease(self, holder: str) -> tuple[bytes, int] | None:
        """A partition and the lease's token; None when there is nothing to do now."""

    async def over(self) -> bool:
        """Whether there will be nothing to do any more."""

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes of rows; False when the lease is lost."""

    async def find(self, references: list[str]) -> list[Entry]:
        """What the journal knows of references."""

    async def beat(self, key: Key, progress: dict[str, Any]) -> str:
        """Tell that it goes on; ``go``, ``stop`` or ``lost``."""

    async def finish(self, key: Key, result: dict[str, Any]) -> bool:
        """Hand in a partition's result; False when the lease is lost."""

    async def give_back(self, key: Key, result: dict[str, Any], end_state: AttemptResult, reason: str) -> None:
        """Give back a partition that is not done, with what was done of it."""


class _Free:
    """The limiter of a worker that has no rows yet."""

    async def take(self, requests: int) -> None:
        """Nothing is sent yet."""


@define(eq=False)
class _Tenancy:
    """The work on one partition under one lease.

    Attributes:
        coordinator: The coordinator.
        partition: The partition.
        token: The lease's token.
        lasts: Seconds that a lease lasts.
        limiter: Keeps the rate of all workers together; None without one.
        lost: Whether somebody else may hold the partition now, so that nothing may be sent any more.
    """

    coordinator: WorkersView
    partition: Partition
    token: int
    lasts: float
    limiter: Limiter | None
    until: float
    lost: bool = False
    job: Job | None = None

    @property
    def key(self) -> Key:
        """The lease."""
        return self.partition.place, self.token

    async def reach(self, call: Callable[[], Awaitable[T]], *, renews: bool = False) -> T:
        """Make a call until it gets through.

        Args:
            call: The call.
            renews: Unless the answer is False, it shows that the lease was still ours when it was made.

        Raises:
            BulkError: The lease has ended meanwhile.
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
                    self.until = max(self.until, asked + self.lasts)
                return answer

    def check(self) -> None:
        """Raise when the lease has ended.

        Raises:
            BulkError: It has.
        """
        if self.lost or monotonic() > self.until:
            self.leave()
            raise BulkError("the lease of these rows has ended; whoever takes them over goes on with them")

    def leave(self) -> None:
        """Send nothing more."""
        self.lost = True
        if self.job is not None:
            self.job.stop()

    async def take(self, requests: int) -> None:
        """Wait until so many requests may go, and see whether the rows are still this worker's."""
        if self.limiter is not None:
            await self.limiter.take(requests)
        if self.lost or monotonic() > self.until:
            self.leave()
            raise Halted

    async def ship(self, changes: list[Change]) -> None:
        """Bring changes to the journal; returns when they are on its disk."""
        if not await self.reach(lambda: self.coordinator.write(self.key, changes), renews=True):
            self.leave()
        self.check()

    async def ask(self, references: list[str]) -> list[Entry]:
        """Ask the journal."""
        return await self.reach(lambda: self.coordinator.find(references))

    async def beat(self, job: Job) -> None:
        """Give signs of life until cancelled."""
        while not self.lost:
            await anyio.sleep(BEAT)
            asked = monotonic()
            try:
                answer = await self.coordinator.beat(self.key, Progress.of(job).to_dict())
            except Unreachable:
                continue
            if answer == "lost":
                self.leave()
                return
            self.until = max(self.until, asked + self.lasts)
            if answer == "stop":
                job.stop()


@define(eq=False)
class Worker:
    """Works until the job is over.

    Attributes:
        name: Tells it from the other workers.
        coordinator: The coordinator.
        limiter: Keeps the rate of all workers together; None without one.
        options: How rows are sent.
        policy: The session's retry policy.
        variables: The environment with the credentials.
        patience: Seconds that it tries to reach a coordinator that is away.
    """

    name: str
    coordinator: WorkersView
    limiter: Limiter | None = None
    options: Options = field(factory=Options)
    policy: RetryPolicy = BULK
    variables: Mapping[str, str] = field(default=environ, repr=False)
    patience: float = 120.0

    async def work(self) -> None:
        """Take partitions and run them, until there will be none any more.

        Raises:
            ConfigurationError: The environment holds no credentials, or others than the journal's gateway and key.
            BulkError: The coordinator is gone.
        """
        briefing, briefed_at = await self._reach(self.coordinator.briefing), time()
        account = package(briefing.gateway).ACCOUNT.from_environment(self.variables)
        if account.base_url != briefing.endpoint:
            raise ConfigurationError(
                f"the journal is of {briefing.gateway} at {briefing.endpoint}, this worker's environment names"
                f" {account.base_url}. Nothing was sent by it."
            )
        digests = Digests(key_of(Path(briefing.journal), make=False))
        check_key(digests, briefing)
        limits = PerRequest(_Free())
        transport = PacedTransport(choose(None, max(32, self.options.workers)), limits)
        try:
            async with CustomerSession(account, retry=self.policy, transport=transport) as session:
                while (tenancy := await self._next(briefing)) is not None:
                    limits.limiter = tenancy
                    ahead = briefing.wall - briefed_at
                    journal = ShippedJournal(tenancy.ship, tenancy.ask, digests, briefing.run, briefing.journal, ahead)
                    await self._run(session, tenancy, journal, limits)
        finally:
            with anyio.CancelScope(shield=True):
                await transport.aclose()

    async def _next(self, briefing: WorkerConfig) -> "_Tenancy | None":
        """The next partition to work on; None when there will be none any more."""
        while True:
            asked = monotonic()
            taken = await self._reach(lambda: self.coordinator.lease(self.name))
            if taken is not None:
                partition, until = Partition.from_json(taken[0]), asked + briefing.lasts
                return _Tenancy(self.coordinator, partition, taken[1], briefing.lasts, self.limiter, until)
            if await self._reach(self.coordinator.over):
                return None
            await anyio.sleep(IDLE)

    async def _run(
        self, session: CustomerSession[Any], tenancy: _Tenancy, journal: ShippedJournal, limits: PerRequest
    ) -> None:
        try:
            job = run_partition(tenancy.partition, session, journal, limits, options=self.options)
        except ConfigurationError as error:
            reason, nothing = str(error), {"progress": Progress().to_dict(), "failures": []}
            await self._reach(lambda: self.coordinator.give_back(tenancy.key, nothing, "source", reason))
            return
        tenancy.job = job
        failures: list[dict[str, Any]] = []
        async with anyio.create_task_group() as group:
            group.start_soon(tenancy.beat, job)
            try:
                async with job:
                    failures.extend([told(outcome) async for outcome in job if not outcome.ok])
            except BulkError:
                # Why it stopped, the job knows itself.
                pass
            group.cancel_scope.cancel()
        if tenancy.lost:
            return
        result = {"progress": Progress.of(job).to_dict(), "failures": failures}
        if job.stopped is None and not job.unfinished:
            await self._reach(lambda: self.coordinator.finish(tenancy.key, result))
        else:
            stop = job.stopped or Stop("interrupted", "it was interrupted")
            await self._reach(lambda: self.coordinator.give_back(tenancy.key, result, stop.end_state, stop.reason))

    async def _reach(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call until it gets through.

        Raises:
            BulkError: It does not for too long.
        """
        until = monotonic() + self.patience
        while True:
            try:
                return await call()
            except Unreachable:
                if monotonic() > until:
                    raise BulkError("the coordinator is gone. What was sent is in its journal.") from None
                await anyio.sleep(PATIENCE)
