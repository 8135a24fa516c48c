"""A worker of a distributed job."""

from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from math import inf
from os import environ
from pathlib import Path
from typing import Any, TypeVar

import anyio
from attrs import define, field

from wonder_customers._support import clock
from wonder_customers.bulk.distributed.coordinator import Coordinator, WorkerConfig, progress_of
from wonder_customers.bulk.distributed.leased_journal import LeasedJournal
from wonder_customers.bulk.distributed.partition import Partition, run_partition
from wonder_customers.bulk.journal.digest import VARIABLE, Digests, account_mark, key_mark, key_of
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.permits import reach
from wonder_customers.bulk.stop_reasons import Stop
from wonder_customers.dialects import package
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.rate_limit import AdaptiveRateLimit, RateLimiter, RequestResult
from wonder_customers.session import CustomerSession
from wonder_customers.transports import transport_from_environment
from wonder_customers.wire import Transmission

__all__ = ["FencedRateLimit", "Worker", "digests_for"]

T = TypeVar("T")

_SENT = ("number", "reference", "status", "id", "reason", "code", "applied", "attempts", "request_id", "place")
"""The attributes of the outcome of a failed row that the job receives."""
TIMEOUT = 120.0
"""Seconds after which an unreachable coordinator is an error."""
IDLE = 0.1
"""Seconds after which a worker without a partition requests a partition again."""


@define(eq=False)
class FencedRateLimit:
    """The rate limit of a worker's session, with a check of the lease.

    Attributes:
        limit: The rate limit of all workers, or a separate `AdaptiveRateLimit`.
        lease: The lease of the current partition; None if there is none.
    """

    limit: Any
    lease: LeasedJournal | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.limit, name)

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent."""
        renewed, transmission.valid_until = transmission.renew is not None, inf
        if not (renewed and isinstance(self.limit, AdaptiveRateLimit)):
            await self.limit.acquire(transmission)
        if self.lease is None:
            return
        if not self.lease.is_valid():
            if not renewed:
                self.limit.release(transmission, RequestResult("cancelled", 0.0))
            self.lease.leave()
            # The job is stopping and cancels this task.
            await anyio.sleep_forever()
        transmission.valid_until = min(transmission.valid_until, self.lease.until)

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Report how a permitted request ended."""
        self.limit.release(transmission, result)


@define(eq=False)
class Worker:
    """Runs partitions until the job is over.

    Attributes:
        rate_limit: The rate limit of all workers; None for a separate limit that adapts to the gateway.
        variables: The environment with the credentials.
    """

    coordinator: Coordinator
    rate_limit: RateLimiter | None = None
    options: Options = field(factory=Options)
    variables: Mapping[str, str] = field(default=environ, repr=False)

    async def work(self) -> None:
        """Take partitions and run them, until the job is over.

        Raises:
            ConfigurationError: The account or the key of this worker cannot be used, or the account is not the
                journal's.
            BulkError: The coordinator cannot be reached.
        """
        config = await self._reach(self.coordinator.worker_config)
        grace_until = clock.monotonic() + config.grace
        account = package(config.gateway).ACCOUNT.from_environment(self.variables)
        if account.base_url != config.endpoint:
            raise ConfigurationError(
                f"the journal belongs to {config.gateway} at {config.endpoint}, but the account of this worker is at"
                f" {account.base_url}. This worker sent nothing. Set the same base URL for all workers, for"
                f" example with {config.gateway.upper()}_BASE_URL."
            )
        digests = digests_for(config)
        await self._reach(self.coordinator.admit, account_mark(account, digests))
        limit = FencedRateLimit(self.rate_limit or AdaptiveRateLimit())
        connections = max(32, self.options.workers)
        transport = transport_from_environment(account.base_url, connections, self.variables)
        async with CustomerSession(
            account, transport=transport, rate_limit=limit, max_connections=connections
        ) as session:
            while True:
                requested = clock.monotonic()
                taken = await self._reach(self.coordinator.lease)
                if taken == "over":
                    return
                if taken == "wait":
                    await clock.sleep(IDLE)
                    continue
                partition, key = Partition.from_json(taken[0]), taken[1]
                until = requested + config.duration
                limit.lease = LeasedJournal(
                    self.coordinator, config, digests, (partition.place, key), until, grace_until
                )
                await self._run(session, partition, limit.lease)

    async def _run(self, session: CustomerSession[Any], partition: Partition, journal: LeasedJournal) -> None:
        failures: list[dict[str, Any]] = []
        try:
            job = run_partition(partition, session, journal, options=self.options)
        except ConfigurationError as error:
            result: dict[str, Any] = {"progress": {}, "failures": failures}
            return await self._reach(self.coordinator.finish, journal.key, result, Stop("source", str(error)))
        async with anyio.create_task_group() as group:
            group.start_soon(journal.heartbeat, job)
            try:
                async with job:
                    async for it in job:
                        if not it.ok:  # not a comprehension, which loses its items if the job ends with an error
                            failures.append({name: getattr(it, name) for name in _SENT})  # noqa: PERF401
            except BulkError:
                pass  # the reason is in `job.stopped`
            group.cancel_scope.cancel()
        if journal.lost:
            return None
        stopped = job.stopped or (Stop("interrupted", "the job was interrupted") if job.unfinished else None)
        result = {"progress": progress_of(job), "failures": failures}
        return await self._reach(self.coordinator.finish, journal.key, result, stopped)

    async def _reach(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Call the coordinator until it responds."""
        until = clock.monotonic() + TIMEOUT

        def check() -> None:
            if clock.monotonic() > until:
                raise BulkError("the coordinator cannot be reached. Rows that were sent are recorded in the journal.")

        return await reach(call, *arguments, check=check)


def digests_for(config: WorkerConfig) -> Digests:
    """Return the digests with the journal's key, or raise `ConfigurationError` if this worker has another key."""
    digests = Digests(key_of(Path(config.journal), make=False))
    if not compare_digest(key_mark(digests), config.mark):
        raise ConfigurationError(
            f"this worker's key differs from the key of the journal {config.journal}. This worker sent nothing. If the"
            f" journal was created with {VARIABLE}, set the same value for all workers; otherwise unset {VARIABLE} and"
            " give them access to the key file beside the journal."
        )
    return digests
