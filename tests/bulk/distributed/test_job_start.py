"""The start of distributed jobs."""

from pathlib import Path

import anyio
import pytest
from backends import TRIO_IN_LONG_TESTS
from bulk.customers import AccountFactory, write_csv
from bulk.distributed.in_process import InProcessBackend, left_behind, make_job, until

from wonder_customers import ConfigurationError
from wonder_customers.bulk import Source
from wonder_customers.simulator.server import SimulatorServer

# Workers run on asyncio.
pytestmark = [pytest.mark.anyio, TRIO_IN_LONG_TESTS]


class Starting(InProcessBackend):
    """A backend that never starts its coordinator."""

    async def run_coordinator(self) -> None:
        await anyio.sleep_forever()


async def test_job_cancelled_before_its_start_leaves_no_files(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source = Source(str(write_csv(tmp_path / "c.csv", 30)))
    job, engine = await make_job(account("monri"), "monri", source, tmp_path / "j", server.environment(), kind=Starting)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(job.__aenter__)
            await until(lambda: len(engine.lines) == 2)
            scope.cancel()
    assert not job.begun
    assert (engine.present, left_behind(tmp_path)) == (None, [])
    assert server.store.ledger("monri") == {}


class Unstartable(InProcessBackend):
    """A backend whose workers cannot be started."""

    def start(self) -> None:
        raise ConfigurationError("Ray cannot be reached")


async def test_workers_are_started_when_the_job_is_opened(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source = Source(str(write_csv(tmp_path / "c.csv", 3)))
    job, _ = await make_job(account("monri"), "monri", source, tmp_path / "j", server.environment(), kind=Unstartable)
    with pytest.raises(ConfigurationError, match="Ray cannot be reached"):
        await job.__aenter__()
    assert not job.begun
    assert left_behind(tmp_path) == []
