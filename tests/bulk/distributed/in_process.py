"""A backend inside this process, to test distributed jobs without an engine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field
from bulk.customers import QUICK, Jobs

from wonder_customers import BulkError
from wonder_customers.bulk import Options
from wonder_customers.bulk.continuation import continuation
from wonder_customers.bulk.distributed.coordinator import Coordinator
from wonder_customers.bulk.distributed.distributed_job import DistributedJob, PartitionedSource
from wonder_customers.bulk.distributed.worker import Worker
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.permits import Unreachable
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.rate_limit import RateLimiter


class Connection:
    """A connection to the current coordinator, which can be interrupted."""

    def __init__(self, engine: "InProcessBackend") -> None:
        self._engine, self.cut = engine, False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            if self.cut or self._engine.present is None:
                raise Unreachable
            present = self._engine.present
            try:
                answer = await getattr(present, name)(*arguments)
            except BulkError:
                if self._engine.present is present:
                    raise
                # The coordinator has died meanwhile.
                raise Unreachable from None
            if self.cut:
                raise Unreachable
            return answer

        return call


@define(eq=False)
class InProcessBackend:
    """Runs all components in tasks, which `kill` and `depose` end like a lost machine."""

    journal: Path
    source: PartitionedSource
    variables: Mapping[str, str]
    workers: int = 2
    options: Options = field(factory=lambda: Options(retry=QUICK, failure_share=None))
    rate_limit: RateLimiter | None = None
    duration: float = 1.0
    max_failures: int | None = None
    present: Coordinator | None = None
    lines: dict[str, Connection] = field(factory=dict)
    _scopes: dict[str, anyio.CancelScope] = field(factory=dict)
    _led: anyio.CancelScope = field(factory=anyio.CancelScope)

    @property
    def coordinator(self) -> Any:
        return Connection(self)

    def start(self) -> None:
        """Do nothing, because all parts are objects in this process."""

    async def run_coordinator(self) -> None:
        while True:
            self.present = Coordinator(self.journal, self.source.partitions, self.duration, self.max_failures)
            with anyio.CancelScope() as self._led:
                await self.present.serve()
                return

    @property
    def worker_names(self) -> list[str]:
        return [f"w{number}" for number in range(self.workers)]

    async def run_worker(self, name: str) -> None:
        line: Any = Connection(self)
        self.lines[name] = line
        worker = Worker(line, self.rate_limit, self.options, self.variables)
        with anyio.CancelScope() as self._scopes[name]:
            return await worker.work()
        line.cut = True
        raise Unreachable

    async def shutdown(self) -> None:
        self.depose()

    def kill(self, name: str) -> None:
        """End a worker; its later calls fail."""
        self.lines[name].cut = True
        self._scopes[name].cancel()

    def depose(self) -> None:
        """End the coordinator."""
        self.present = None
        self._led.cancel()


async def make_job(
    account: Any, gateway: str, source: Source, path: Path, variables: Mapping[str, str], *, size: int = 20, **how: Any
) -> tuple[DistributedJob, InProcessBackend]:
    """Return a distributed job and its backend."""
    options = how.pop("options", None) or Options(retry=QUICK, failure_share=None)
    Journal.open(path, gateway=gateway, endpoint=account.base_url)
    divided = PartitionedSource.create(source, path, options, size=size)
    values = how.pop("values", False)
    engine = how.pop("kind", InProcessBackend)(path, divided, variables, options=options, **how)
    again = continuation(str(path), options.facts)
    return DistributedJob(engine, divided, again, workers=options.workers, rate=None, values=values), engine


async def distribute(jobs: Jobs, **how: Any) -> tuple[DistributedJob, InProcessBackend]:
    """Return a distributed job of the source and the journal, and its backend."""
    variables = how.pop("variables", jobs.server.environment())
    return await make_job(jobs.account, jobs.gateway, Source(str(jobs.source)), jobs.journal.path, variables, **how)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    while True:
        if condition():
            return
        await anyio.sleep(0.002)


def left_behind(folder: Path) -> list[str]:
    """Return files of partitions left in the folder."""
    return [path.name for path in folder.iterdir() if "partitions" in path.name]
