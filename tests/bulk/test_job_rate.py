"""A job at a gateway with a limit of 200 requests per second."""

import time
from typing import ClassVar

import pytest
from bulk.customers import collect, draft

from wonder_customers import AdaptiveRateLimit, CustomerSession
from wonder_customers.bulk import sync
from wonder_customers.dialects import package
from wonder_customers.dialects.wonder.simulator import WonderSimulator
from wonder_customers.simulator.gateway import GatewayRefusal, ReceivedRequest
from wonder_customers.simulator.server import SimulatorServer


class Limited(WonderSimulator):
    """Wonder with a limit of 200 requests per second and a burst of 20."""

    tokens, last = 20.0, 0.0
    taken: ClassVar[list[float]] = []
    refused = 0

    def authenticate(self, call: ReceivedRequest) -> str:
        now, mine = time.monotonic(), Limited
        mine.tokens, mine.last = min(20.0, mine.tokens + (now - mine.last) * 200), now
        if mine.tokens < 1:
            mine.refused += 1
            raise GatewayRefusal(429, {"message": "Too Many Requests"}, {"Retry-After": "1"})
        mine.tokens -= 1
        mine.taken.append(now)
        return super().authenticate(call)


@pytest.mark.long
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_rate_settles_near_the_limit_of_the_gateway() -> None:
    rows = 6000
    with SimulatorServer([Limited]) as server:
        account = package("wonder").ACCOUNT.from_environment(server.environment())
        async with CustomerSession(account, rate_limit=AdaptiveRateLimit()) as session:
            job = sync(session, (draft(number) for number in range(rows)))
            assert all(outcome.ok for outcome in await collect(job))
    settled = Limited.taken[rows // 2 :]
    assert 180 <= len(settled) / (settled[-1] - settled[0]) <= 220
    assert Limited.refused < 0.02 * (rows + Limited.refused)
    assert job.stats.requests.throttled == Limited.refused
    assert 170 <= (job.rate or 0) <= 220
