"""The same job on Ray: a coordinator, a rate limiter and workers, each an actor in a process of its own.

Ray restarts actors that die and transports calls. `DistributedJob`, `Coordinator` and `Worker` decide what follows, and
do not depend on Ray. Ray itself never repeats a call, because a repeated call could repeat a write. Only descriptors,
references, digests, states and counts travel between processes: each worker reads its rows and finds its credentials
in its own environment.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import anyio
from attrs import define, evolve, field, frozen

from wonder_customers.bulk.distributed.coordinator import Coordinator, Key, WorkerConfig
from wonder_customers.bulk.distributed.distributed_job import DistributedJob, PartitionedSource
from wonder_customers.bulk.distributed.index import SIZE
from wonder_customers.bulk.distributed.partition import Source
from wonder_customers.bulk.distributed.slots import PATIENCE, Grant, LeasedSlots, Slots, Unreachable
from wonder_customers.bulk.distributed.worker import Worker
from wonder_customers.bulk.journal import Change
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.options import BULK, Options
from wonder_customers.bulk.stop_reasons import AttemptResult
from wonder_customers.errors import BulkError, ConfigurationError, WonderCustomersError, needed
from wonder_customers.retry import RetryPolicy

# Before Ray is imported: nothing is reported to anybody, and who has no token cannot send it work.
for _name, _value in {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}.items():
    os.environ.setdefault(_name, _value)

with needed("ray", "ray", by="work on Ray"):
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = ["Cluster", "RayEngine", "sync_on_ray"]

T = TypeVar("T")

OBJECT_STORE = 100_000_000
"""Bytes of the object store of a local Ray: only small things travel."""
DYING = 10.0
"""Seconds within which Ray ends the actors of a driver that was killed."""
MOST_DEATHS = 20
"""How often a worker may die before any partition is done; then something is wrong with it."""


@frozen
class Cluster:
    """Where Ray runs.

    Attributes:
        address: Of a cluster that runs already, as ``HOST:PORT`` or ``auto``; None starts Ray on this machine, and
            stops it in the end.
    """

    address: str | None = None

    @classmethod
    def of(cls, text: str) -> "Cluster":
        """The cluster that ``ray`` or ``ray://HOST:PORT`` names.

        Raises:
            ConfigurationError: The text names none.
        """
        scheme, colon, address = text.partition("://")
        if scheme != "ray" or bool(colon) != bool(address):
            raise ConfigurationError(f"--on takes ray (this machine) or ray://HOST:PORT (a cluster), not {text!r}")
        return cls(address or None)

    def connect(self) -> None:
        """Start Ray, or connect to it.

        Raises:
            ConfigurationError: Nobody answers there.
        """
        if ray.is_initialized():
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
        try:
            if self.address is None:
                store = OBJECT_STORE
                ray.init(address="local", include_dashboard=False, object_store_memory=store, **quiet)
            else:
                ray.init(address=self.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = self.address or "this machine"
            said = str(error).strip().partition("\n")[0]
            raise ConfigurationError(f"Ray at {where} cannot be reached: {said}. Nothing was sent.") from None


class _Limiter:
    """The limiter's actor."""

    def __init__(self, rate: float) -> None:
        self._slots = Slots(rate)

    async def grant(self, wanted: int, least: int) -> Grant:
        """The next slots."""
        return self._slots.grant(wanted, least)


class _Remote:
    """Calls to an actor, whose failures are those of the library."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def call(self, name: str, *arguments: Any) -> Any:
        """Make a call.

        Raises:
            Unreachable: The actor has died, or cannot be reached.
            WonderCustomersError: What it raised itself.
        """
        try:
            return await getattr(self._actor, name).remote(*arguments)
        except RayTaskError as error:
            if isinstance(error.cause, WonderCustomersError):
                raise error.cause from None
            raise
        except RayError:
            raise Unreachable from None


class _RemoteLimiter(_Remote):
    """The limiter, wherever it is."""

    async def grant(self, wanted: int, least: int) -> Grant:
        """The next slots."""
        granted: Grant = await self.call("grant", wanted, least)
        return granted


class _RemoteCoordinator(_Remote):
    """The coordinator, wherever it is."""

    async def serve(self) -> None:
        """Take the journal and answer questions until `end`."""
        await self.call("serve")

    async def end(self, end_state: AttemptResult) -> None:
        """Write how the run ended, and let go of the journal."""
        await self.call("end", end_state)

    async def stop(self, end_state: AttemptResult, reason: str) -> None:
        """Lease nothing more, and have everybody end."""
        await self.call("stop", end_state, reason)

    async def release(self, holder: str) -> None:
        """End the leases of a worker that died."""
        await self.call("release", holder)

    async def standing(self, after: int) -> dict[str, Any]:
        """How the job stands."""
        found: dict[str, Any] = await self.call("standing", after)
        return found

    async def briefing(self) -> WorkerConfig:
        """What a worker has to know beforehand."""
        found: WorkerConfig = await self.call("briefing")
        return found

    async def lease(self, holder: str) -> tuple[bytes, int] | None:
        """A partition and the lease's token; None when there is nothing to do now."""
        found: tuple[bytes, int] | None = await self.call("lease", holder)
        return found

    async def over(self) -> bool:
        """Whether there will be nothing to do any more."""
        return bool(await self.call("over"))

    async def write(self, key: Key, changes: list[Change]) -> bool:
        """Write changes of rows; False when the lease is lost."""
        return bool(await self.call("write", key, changes))

    async def find(self, references: list[str]) -> list[Entry]:
        """What the journal knows of references."""
        found: list[Entry] = await self.call("find", references)
        return found

    async def beat(self, key: Key, progress: dict[str, Any]) -> str:
        """Tell that it goes on."""
        return str(await self.call("beat", key, progress))

    async def finish(self, key: Key, result: dict[str, Any]) -> bool:
        """Hand in a partition's result; False when the lease is lost."""
        return bool(await self.call("finish", key, result))

    async def give_back(self, key: Key, result: dict[str, Any], end_state: AttemptResult, reason: str) -> None:
        """Give back a partition that is not done, with what was done of it."""
        await self.call("give_back", key, result, end_state, reason)


class _Worker:
    """A worker's actor."""

    def __init__(self, name: str, job: str, options: Options, policy: RetryPolicy) -> None:
        slots = None
        if options.rate is not None:
            slots = LeasedSlots(_RemoteLimiter(ray.get_actor(f"{job}-limiter")).grant)
            options = evolve(options, rate=None)
        self._worker = Worker(name, _RemoteCoordinator(ray.get_actor(f"{job}-coordinator")), slots, options, policy)

    async def work(self) -> None:
        """Work until the job is over."""
        await self._worker.work()


@define(eq=False)
class RayEngine:
    """Runs the coordinator, the limiter and the workers as actors.

    The coordinator and the limiter stay on this node: the journal is here, and one clock is enough for the rate.

    Attributes:
        cluster: Where Ray runs.
        journal: The journal's file.
        partitions: The file of partitions.
        options: How rows are sent; the rate is that of all workers together, the number of rows under way of each.
        workers: How many workers there are.
        policy: The retry policy of the workers' sessions.
    """

    cluster: Cluster
    journal: Path
    partitions: Path
    options: Options
    workers: int = 2
    policy: RetryPolicy = BULK
    actors: dict[str, Any] = field(factory=dict, init=False)
    _mine: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start Ray where it does not run, and the actors.

        Raises:
            ConfigurationError: Ray cannot be reached.
        """
        self._mine = not ray.is_initialized()
        self.cluster.connect()
        node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        always: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0}
        here = {**always, "scheduling_strategy": node}
        # Actors find each other by name, so that what a constructor takes is small enough to be kept for its next life.
        job = f"wonder-customers-{uuid4().hex}"
        coordinator = ray.remote(Coordinator).options(**here, name=f"{job}-coordinator")
        self.actors["coordinator"] = coordinator.remote(
            self.journal, self.partitions, max_failures=self.options.max_failures
        )
        if self.options.rate is not None:
            limiter = ray.remote(_Limiter).options(**here, name=f"{job}-limiter")
            self.actors["limiter"] = limiter.remote(self.options.rate)
        # The failures of all workers are counted by the coordinator.
        options = evolve(self.options, max_failures=None, first=None, resume=False, facts={})
        worker = ray.remote(_Worker).options(**always, scheduling_strategy="SPREAD")
        for number in range(self.workers):
            name = f"worker-{number}"
            self.actors[name] = worker.remote(name, job, options, self.policy)

    @property
    def coordinator(self) -> _RemoteCoordinator:
        """The coordinator."""
        return _RemoteCoordinator(self.actors["coordinator"])

    async def lead(self) -> None:
        """Keep the coordinator serving until it was asked to end.

        Raises:
            BulkError: It cannot serve.
        """
        await self._until_it_gets_through(self.coordinator.serve)

    async def work(self) -> None:
        """Keep the workers working until there is nothing more to do."""
        async with anyio.create_task_group() as group:
            for number in range(self.workers):
                group.start_soon(self._tend, f"worker-{number}")

    async def _tend(self, name: str) -> None:
        """Keep one worker working; whenever it dies, its partition is free for whoever asks first."""
        deaths, done, worker = 0, 0, _Remote(self.actors[name])
        while True:
            try:
                await worker.call("work")
            except Unreachable:
                pass
            except WonderCustomersError as error:
                await self._stop("journal" if isinstance(error, BulkError) else "refused", str(error))
                return
            else:
                return
            await self._until_it_gets_through(lambda: self.coordinator.release(name))
            standing = await self._until_it_gets_through(lambda: self.coordinator.standing(1 << 62))
            deaths, done = (1 if standing["done"] > done else deaths + 1), standing["done"]
            if deaths > MOST_DEATHS:
                await self._stop("journal", f"{name} died {deaths} times, and nothing was done meanwhile")
                return

    async def _stop(self, end_state: AttemptResult, reason: str) -> None:
        await self._until_it_gets_through(lambda: self.coordinator.stop(end_state, reason))

    async def _until_it_gets_through(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            with suppress(Unreachable):
                return await call()
            await anyio.sleep(PATIENCE)

    async def dismiss(self) -> None:
        """End all actors, and Ray where it was started for them."""
        for actor in self.actors.values():
            ray.kill(actor)
        self.actors.clear()
        if self._mine:
            await anyio.to_thread.run_sync(ray.shutdown)


async def sync_on_ray(
    source: Source,
    journal: Path,
    *,
    cluster: Cluster | None = None,
    workers: int = 2,
    options: Options | None = None,
    policy: RetryPolicy = BULK,
    size: int = SIZE,
    values: bool = False,
) -> DistributedJob:
    """Bring every row of a source to a gateway, with workers on one or many machines.

    Iterate over what this returns for the rows that did not arrive; all are counted in its `tally`. The journal is on
    this machine and of `Journal.open`; the source, and the journal's key, must be in reach of every worker.

    Args:
        source: The source.
        journal: The journal's file.
        cluster: Where Ray runs; by default it is started on this machine.
        workers: How many workers there are, each with a session of its own.
        options: How rows are sent. Its rate and `max_failures` are those of all workers together, its `workers` the
            rows under way of each.
        policy: The retry policy of the workers' sessions.
        size: Rows per partition, about.
        values: Read the rows that failed once more, so that their outcomes hold their drafts.

    Raises:
        ConfigurationError: The source cannot be read, or Ray cannot be reached.
        BulkError: Another job uses the journal.
    """
    if workers < 1:
        raise ConfigurationError("a job needs at least 1 worker")
    chosen = options or Options()
    journal = await anyio.to_thread.run_sync(journal.resolve)
    lay_out = partial(PartitionedSource.lay_out, source, journal, chosen, size=size, values=values, wait=DYING)
    divided = await anyio.to_thread.run_sync(lay_out)
    engine = RayEngine(cluster or Cluster(), journal, divided.partitions, chosen, workers, policy)
    try:
        engine.start()
    except BaseException:
        await anyio.to_thread.run_sync(divided.remove)
        raise
    return DistributedJob(engine, divided, journal, workers=workers * chosen.workers, rate=chosen.rate)
