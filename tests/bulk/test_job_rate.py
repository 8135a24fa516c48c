"""A job at a gateway with a limit of 200 requests per second."""

import pytest
from backends import ASYNCIO_ONLY
from bulk.customers import collect, draft
from bulk.limited_gateway import LimitedWonder

from wonder_customers import AdaptiveRateLimit, CustomerSession
from wonder_customers.bulk import sync
from wonder_customers.dialects import package
from wonder_customers.simulator.server import SimulatorServer


@pytest.mark.nightly
@pytest.mark.anyio
@ASYNCIO_ONLY
async def test_rate_settles_near_the_limit_of_the_gateway() -> None:
    rows = 6000
    with SimulatorServer([LimitedWonder]) as server:
        account = package("wonder").ACCOUNT.from_environment(server.environment())
        async with CustomerSession(account, rate_limit=AdaptiveRateLimit()) as session:
            job = sync(session, (draft(number) for number in range(rows)))
            assert all(outcome.ok for outcome in await collect(job))
    settled = LimitedWonder.taken[rows // 2 :]
    assert 180 <= len(settled) / (settled[-1] - settled[0]) <= 220
    assert LimitedWonder.refused < 0.02 * (rows + LimitedWonder.refused)
    assert job.stats.requests.throttled == LimitedWonder.refused
    assert 170 <= (job.rate or 0) <= 220
