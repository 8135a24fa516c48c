"""The start of distributed jobs."""

import anyio
import pytest
from backends import TRIO_IN_LONG_TESTS
from bulk.customers import Jobs, write_csv
from bulk.distributed.in_process import InProcessBackend, distribute, left_behind, until

from wonder_customers import ConfigurationError

# Workers run on asyncio.
pytestmark = [pytest.mark.anyio, TRIO_IN_LONG_TESTS]


class Starting(InProcessBackend):
    """A backend that never starts its coordinator."""

    async def run_coordinator(self) -> None:
        await anyio.sleep_forever()


async def test_job_cancelled_before_its_start_leaves_no_files(jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    job, engine = await distribute(jobs, kind=Starting)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(job.__aenter__)
            await until(lambda: len(engine.lines) == 2)
            scope.cancel()
    assert not job.begun
    assert (engine.present, left_behind(jobs.source.parent)) == (None, [])
    assert jobs.ledger() == {}


class Unstartable(InProcessBackend):
    """A backend whose workers cannot be started."""

    def start(self) -> None:
        raise ConfigurationError("Ray cannot be reached")


async def test_workers_are_started_when_the_job_is_opened(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    job, _ = await distribute(jobs, kind=Unstartable)
    with pytest.raises(ConfigurationError, match="Ray cannot be reached"):
        await job.__aenter__()
    assert not job.begun
    assert left_behind(jobs.source.parent) == []
