"""A backend inside this process, to test distributed jobs without an engine."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field
from bulk.customers import QUICK

from wonder_customers import BulkError
from wonder_customers.bulk import Options
from wonder_customers.bulk.distributed.coordinator import Coordinator
from wonder_customers.bulk.distributed.distributed_job import DistributedJob, PartitionedSource
from wonder_customers.bulk.distributed.worker import Worker
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.permits import Unreachable
from wonder_customers.bulk.sources.source import Source
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
    problems: list[Exception] = field(factory=list)
    lines: dict[str, Connection] = field(factory=dict)
    _scopes: dict[str, anyio.CancelScope] = field(factory=dict)
    _led: anyio.CancelScope = field(factory=anyio.CancelScope)

    @property
    def coordinator(self) -> Any:
        return Connection(self)

    async def run_coordinator(self) -> None:
        while True:
            self.present = Coordinator(self.journal, self.source.partitions, self.duration, self.max_failures)
            with anyio.CancelScope() as self._led:
                await self.present.serve()
                return

    async def run_workers(self) -> None:
        async with anyio.create_task_group() as group:
            for number in range(self.workers):
                group.start_soon(self._supervise, f"w{number}")

    async def _supervise(self, name: str) -> None:
        while True:
            line: Any = Connection(self)
            self.lines[name] = line
            worker = Worker(line, self.rate_limit, self.options, self.variables)
            with anyio.CancelScope() as self._scopes[name]:
                try:
                    await worker.work()
                except Exception as error:  # noqa: BLE001 - checked by the test
                    self.problems.append(error)
                    with suppress(Unreachable):
                        await self.coordinator.stop("refused", str(error))
                return
            line.cut = True

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
    return DistributedJob(engine, divided, path, workers=options.workers, rate=None, values=values), engine


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    while True:
        if condition():
            return
        await anyio.sleep(0.002)
