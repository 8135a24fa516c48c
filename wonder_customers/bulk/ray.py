"""Distributed jobs on Ray: the coordinator, the rate limit and the workers are actors in their own processes."""

import os
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
from attrs import define, evolve, field

from wonder_customers.bulk.continuation import continuation
from wonder_customers.bulk.distributed.coordinator import Coordinator
from wonder_customers.bulk.distributed.distributed_job import DistributedJob, PartitionedSource
from wonder_customers.bulk.distributed.partition import SIZE
from wonder_customers.bulk.distributed.worker import Worker
from wonder_customers.bulk.options import Options, check_rate
from wonder_customers.bulk.permits import LeasedRateLimit, PermitServer, Unreachable, reach
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.errors import ConfigurationError, WonderCustomersError, needed

# Set before Ray is imported: no usage reports, and only clients with a token can submit work.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")

with needed("ray", "ray", by="running a job on Ray"):
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = ["DistributedJob", "RayBackend", "sync_on_ray"]

OBJECT_STORE = 100_000_000
"""Bytes of the object store of a local Ray. Only small messages are sent."""
SHUTDOWN_SECONDS = 10.0
"""Seconds within which Ray ends the actors of a killed driver."""


def _address(on: str) -> str | None:
    """Return the address of the cluster; None for this machine."""
    scheme, colon, address = on.partition("://")
    if scheme != "ray" or bool(colon) != bool(address):
        raise ConfigurationError(f"`on` (--on) must be ray (this machine) or ray://HOST:PORT (a cluster), not {on!r}")
    return address or None


def _connect(address: str | None) -> None:
    """Start Ray on this machine, or connect to a cluster."""
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    if address is None:
        settings |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        ray.init(address=address or "local", **settings)
    except (ConnectionError, RuntimeError, ValueError) as error:
        message = str(error).strip().partition("\n")[0].rstrip(".")
        failed = "Ray cannot be started on this machine" if address is None else f"Ray at {address} cannot be reached"
        advice = "" if address is None else " Check the address, and that Ray is running."
        raise ConfigurationError(f"{failed}: {message}.{advice}") from None


class _Remote:
    """A stub with the methods of an actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    async def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return await getattr(self._actor, name).remote(*arguments)
        except RayTaskError as error:
            if isinstance(error.cause, WonderCustomersError):
                raise error.cause from None
            raise
        except RayError:
            raise Unreachable from None


class _Worker:
    """The Ray actor that runs a `Worker`."""

    def __init__(self, job: str, options: Options, *, limited: bool) -> None:
        coordinator: Any = _Remote(ray.get_actor(f"{job}-coordinator"))
        limit = LeasedRateLimit(_Remote(ray.get_actor(f"{job}-limiter")).grant) if limited else None
        self._worker, self._working = Worker(coordinator, limit, options), anyio.Lock()

    async def work(self) -> None:
        """Work until the job is over."""
        # A second call, made after a lost response, waits for the first call.
        async with self._working:
            await self._worker.work()


@define(eq=False)
class RayBackend:
    """Runs the coordinator, the rate limit and the workers as actors. `sync_on_ray` describes its settings.

    Attributes:
        address: The address of a running cluster; None to start Ray on this machine.
    """

    address: str | None
    journal: Path
    partitions: Path
    options: Options
    workers: int = 2
    rate: float | None = None
    actors: dict[str, Any] = field(factory=dict, init=False)
    _started_ray: bool = field(default=False, init=False)

    def start(self) -> None:
        """Connect to Ray, unless this process is already connected, and start the actors.

        Raise `ConfigurationError` if it is connected to another address.
        """
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            _connect(self.address)
        elif self.address is not None and self.address != (connected := ray.get_runtime_context().gcs_address):
            raise ConfigurationError(
                f"this process is already connected to Ray at {connected}, not at {self.address}. Nothing was sent. To"
                ' use the connection, pass on="ray". To connect to the other address, call ray.shutdown() first.'
            )
        # The journal is on this node, and the rate requires one clock.
        node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # Ray must not repeat a call: a repeated call would send requests again unchecked.
        always: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0}
        here = {**always, "scheduling_strategy": node}
        # Actors find each other by name, so that constructor arguments are small and can be reused for a restart.
        job, limited = f"wonder-customers-{uuid4().hex}", self.rate is not None
        coordinator = ray.remote(Coordinator).options(**here, name=f"{job}-coordinator")
        most = self.options.max_failures
        self.actors["coordinator"] = coordinator.remote(self.journal, self.partitions, max_failures=most)
        if limited:
            self.actors["limiter"] = ray.remote(PermitServer).options(**here, name=f"{job}-limiter").remote(self.rate)
        # The coordinator counts the failures of all workers.
        options = evolve(self.options, max_failures=None, first=None, resume=False, facts={})
        worker = ray.remote(_Worker).options(**always, scheduling_strategy="SPREAD")
        for name in self.worker_names:
            self.actors[name] = worker.remote(job, options, limited=limited)

    @property
    def coordinator(self) -> Any:
        """The stub of the coordinator's actor."""
        return _Remote(self.actors["coordinator"])

    async def run_coordinator(self) -> None:
        """Keep the coordinator running until it has ended the run."""
        await reach(self.coordinator.serve)

    @property
    def worker_names(self) -> list[str]:
        """The names of the workers."""
        return [f"worker-{number}" for number in range(self.workers)]

    async def run_worker(self, name: str) -> None:
        """Run a worker until the job is over."""
        await _Remote(self.actors[name]).work()

    async def shutdown(self) -> None:
        """End all actors, and Ray if it was started for them."""
        for actor in self.actors.values():
            ray.kill(actor)
        self.actors.clear()
        if self._started_ray:
            await anyio.to_thread.run_sync(ray.shutdown)


async def sync_on_ray(
    source: Source,
    journal: Path,
    *,
    on: str = "ray",
    workers: int = 2,
    rate: float | None = None,
    options: Options | None = None,
    size: int = SIZE,
    values: bool = False,
) -> DistributedJob:
    """Upsert the rows of a source, with workers on one or many machines.

    Await this function, open the returned job with ``async with``, and iterate over it for the outcomes of failed rows.
    All rows are counted in `Job.stats`. The journal must already exist as a local file; create it with `Journal.open`.
    Every worker needs access to the source and to the journal's key.

    Args:
        source: The source.
        journal: The journal's file.
        on: ``ray`` for this machine, or ``ray://HOST:PORT`` for a running cluster. If this process is already connected
            to Ray, ``ray`` uses the connection, and another address is an error.
        workers: The number of workers, each with its own session.
        rate: The maximum number of requests per second, over all workers; None to adapt to the gateway.
        options: The settings of the job. `Options.max_failures` applies to all workers together; `Options.workers` is
            the number of rows in progress in each worker.
        size: The approximate number of rows per partition.
        values: Whether to read failed rows again, to add their drafts to the outcomes.

    Raises:
        ConfigurationError: An argument is invalid, the source cannot be read or divided, the journal or its key cannot
            be used, `Options.removed` is ``delete``, or the options are those of a saved plan. When the job is opened:
            Ray cannot be started or reached, or this process is connected to another address.
        BulkError: Another job uses the journal, or the journal's lock file cannot be opened.
    """
    address = _address(on)
    if workers < 1:
        raise ConfigurationError(f"workers must be at least 1, not {workers}")
    check_rate(rate)
    chosen = options or Options()
    if chosen.removed == "delete":
        raise ConfigurationError(
            "customers missing from the source cannot be deleted on Ray. Send the rows on Ray, then run `sync` on this"
            " machine with the same journal to delete the customers. Confirmed rows are not sent again."
        )
    if chosen.inspect is not None:
        raise ConfigurationError("a saved plan cannot be carried out on Ray. Run the job on this machine with `sync`.")
    journal = await anyio.to_thread.run_sync(journal.resolve)
    create = partial(PartitionedSource.create, source, journal, chosen, size=size, wait=SHUTDOWN_SECONDS)
    divided = await anyio.to_thread.run_sync(create)
    backend = RayBackend(address, journal, divided.partitions, chosen, workers, rate)
    again = continuation(str(journal), chosen.facts)
    return DistributedJob(backend, divided, again, workers=workers * chosen.workers, rate=rate, values=values)
