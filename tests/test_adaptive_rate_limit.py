"""The rules of the adaptive rate limit, one by one, in virtual time."""

from typing import Any

import anyio
import pytest
from attrs import define
from backends import ASYNCIO_ONLY

from wonder_customers import AdaptiveRateLimit, RequestResult
from wonder_customers._support import clock
from wonder_customers._support.request_meter import RequestMeter
from wonder_customers.wire import Transmission

pytestmark = ASYNCIO_ONLY


@define(eq=False)
class JumpingTime:
    """A clock whose waits end at once."""

    now: float = 1000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@define(eq=False)
class Driver:
    """Sends requests through a limit."""

    limit: AdaptiveRateLimit
    time: JumpingTime

    async def send(
        self, kind: Any, count: int = 1, every: float = 0.0, retry_after: float | None = None, elapsed: float = 0.0
    ) -> None:
        """Send requests one after the other, with a wait of `every` seconds before each."""
        for _ in range(count):
            self.time.now += every
            await self.burst([kind], elapsed, retry_after)

    async def burst(self, kinds: list[Any], elapsed: float, retry_after: float | None = None) -> None:
        """Send requests at the same time."""
        sent = [Transmission() for _ in kinds]
        for it in sent:
            await self.limit.acquire(it)
        self.time.now += elapsed
        for it, kind in zip(sent, kinds, strict=True):
            self.limit.release(it, RequestResult(kind, elapsed, retry_after))


@pytest.fixture
def driver() -> Any:
    time = JumpingTime()
    with clock.replaced_by(time):
        yield Driver(AdaptiveRateLimit(), time)


FIRST: list[Any] = [("ok", 40, 0.025), ("throttled",)]
"""The gateway accepts 40 requests in a second, then refuses a request: the rate is 38."""
FOUND: list[Any] = [*FIRST, ("ok", 100), ("throttled",)]
"""The rate grows until a second refusal."""


@pytest.mark.parametrize(
    ("steps", "rate"),
    [
        pytest.param(FIRST[:1], None, id="unlimited until a refusal"),
        pytest.param(FIRST, 38.0, id="below the accepted rate"),
        pytest.param([("ok", 5, 0.025), ("throttled",)], 9.5, id="at least ten at first"),
        pytest.param([*FIRST, ("throttled", 1, 0.29)], 38.0, id="one cut for one congestion"),
        pytest.param([*FIRST, ("throttled", 1, 0.3)], 19.0, id="halved without any success"),
        pytest.param([*FIRST, ("throttled", 40, 60.0)], 1 / 60, id="one request per minute without any success"),
        pytest.param([*FIRST, ("throttled", 40, 60.0), ("ok", 1, 60.0)], 1 / 30, id="grows after the first success"),
        pytest.param([*FIRST, ("throttled", 1, 0.2, None, 0.3)], 38.0, id="sent before the grace period ended"),
        pytest.param([*FIRST, ("ok", 1, 0.1)], 41.8, id="grows by its own size in a second"),
        pytest.param([*FIRST, ("ok", 1, 0.09)], 38.0, id="grows in steps of a tenth of a second"),
        pytest.param([*FIRST, ("ok", 1, 0.1), ("throttled", 1, 1.1)], 35.53, id="cut again"),
        pytest.param([*FIRST, ("ok", 1, 0.1), ("throttled", 1, 1.2)], 3.971, id="not again after 1.3 s"),
        pytest.param([*FIRST, ("ok", 100)], 118.219, id="search"),
        pytest.param(FOUND, 91.2, id="end of the search"),
        pytest.param([*FIRST, ("ok", 5, 0.5), ("throttled",)], 3.61, id="end of the search with few requests"),
        pytest.param([*FOUND, ("ok", 200)], 93.198, id="creep"),
        pytest.param([*FOUND, ("ok", 200), ("throttled",)], 85.5, id="later refusal"),
        pytest.param([*FOUND, ("ok", 2, 1.0), ("throttled",)], 77.52, id="later refusal with few requests"),
        pytest.param([*FOUND, ("ok", 1200)], 103.637, id="calm"),
        pytest.param([*FIRST, ("ok", 100, 0.05)], 50.255, id="unused"),
        pytest.param([*FIRST, ("throttled", 1, 2.0), ("ok", 40)], 19.26, id="creep after it was halved"),
        pytest.param([*FIRST, ("ok", 1, 0.1), ("throttled", 1, 0.3), ("ok", 80)], 36.09, id="creep after another cut"),
        pytest.param([("ok",), ("throttled",), ("throttled", 3, 2.0), ("ok", 10)], 1.258, id="low rate"),
        pytest.param([("ok",), ("throttled",), ("throttled", 6, 2.0), ("ok", 10)], 0.938, id="very low rate"),
    ],
)
async def test_rate_after_refusals(steps: list[Any], rate: float | None, driver: Driver) -> None:
    for step in steps:
        await driver.send(*step)
    assert driver.limit.rate == (rate if rate is None else pytest.approx(rate, rel=0.001))


@pytest.mark.parametrize(
    ("steps", "wait"),
    [
        pytest.param([("ok", 40, 0.025), ("throttled", 1, 0.0, 7.0)], 0.0, id="first refusal"),
        pytest.param([("throttled", 1, 0.0, 7.0)], 0.0, id="first request"),
        pytest.param([*FIRST, ("throttled", 1, 2.0, 7.0)], 7.0, id="nothing accepted since the last cut"),
        pytest.param([*FIRST, ("ok", 1, 0.1), ("throttled", 1, 0.3, 7.0)], 7.0, id="refused again"),
        pytest.param([*FIRST, ("throttled", 1, 2.0, 7.0), ("throttled", 1, 0.0, 5.0)], 5.0, id="later refusal"),
    ],
)
async def test_retry_after_pauses_a_gateway_that_refuses_the_reduced_rate(
    steps: list[Any], wait: float, driver: Driver
) -> None:
    for step in steps:
        await driver.send(*step)
    began = driver.time.now
    await driver.send("ok")
    assert driver.time.now - began == pytest.approx(wait, abs=0.2)


OK3, OK4, OK5 = (["ok"] * number for number in (3, 4, 5))
SAMPLE = [(OK5, 0.25)] * 2
"""Ten requests, the last of them 0.25 s after the first: the concurrency grows from 8 to 9."""


@pytest.mark.parametrize(
    ("bursts", "concurrency"),
    [
        pytest.param(SAMPLE, 9.0, id="ten requests"),
        pytest.param([(OK4, 0.125)] * 3, 9.0, id="half is used"),
        pytest.param([(OK3, 0.125)] * 4, 8.0, id="less than half is used"),
        pytest.param([(OK4, 0.25)] * 2, 8.0, id="too few requests"),
        pytest.param([(OK4, 0.124)] * 3, 8.0, id="too early"),
        pytest.param([*SAMPLE, (OK5, 0.125), (OK5, 0.124)], 9.0, id="second sample too early"),
        pytest.param([*SAMPLE, (OK5, 0.125), (OK5, 0.125)], 10.0, id="second sample"),
        pytest.param([([*OK4, "failed"], 0.25), ([*OK4, "failed"], 0.25)], 8.0 * 0.7, id="one fifth failed"),
        pytest.param([([*OK4, "failed"], 0.25), (OK5, 0.25)], 9.0, id="one tenth failed"),
        pytest.param([*SAMPLE, *[(OK5, 0.76)] * 2], 9.0 * 0.9, id="slow"),
        pytest.param([*SAMPLE, *[(OK5, 0.75)] * 2], 10.0, id="not slow"),
        pytest.param([*[(OK5, 0.0625)] * 5, *[(OK5, 0.5)] * 2], 9.0 * 0.9, id="slow with fewer requests"),
        pytest.param([*SAMPLE, *[(OK5, 0.766)] * 6], 9.0 * 0.9 * 0.9 + 1, id="usual latency rises by a fiftieth"),
        pytest.param([*[(OK4, 0.03125)] * 9, *[(OK5, 0.125)] * 2], 10.0, id="short latencies vary"),
        pytest.param([*[(OK4, 0.03125)] * 9, *[(OK5, 0.14)] * 4], 10.0 * 0.9, id="short latencies that are too long"),
        pytest.param([(["failed"] * 4, 0.125)] * 40, 1.0, id="at least one"),
        pytest.param([*SAMPLE, *[(["failed"], 0.125)] * 90, *[(["ok"], 1.0)] * 30], 1.0, id="at least one when slow"),
        pytest.param([(["throttled"] * 4, 0.125)] * 3, 9.0, id="throttled"),
        pytest.param([(["cancelled"] * 4, 0.125)] * 9, 8.0, id="cancelled"),
    ],
)
async def test_concurrency_after_requests(bursts: list[Any], concurrency: float, driver: Driver) -> None:
    for kinds, elapsed in bursts:
        count = int(driver.limit.concurrency)
        await driver.burst(kinds[:count], elapsed)
    assert driver.limit.concurrency == pytest.approx(concurrency)


async def test_request_beyond_the_concurrency_waits_for_a_response(driver: Driver) -> None:
    sent, permitted = [Transmission() for _ in range(9)], list[bool]()

    async def ninth() -> None:
        await driver.limit.acquire(sent[8])
        permitted.append(True)

    for it in sent[:8]:
        await driver.limit.acquire(it)
    async with anyio.create_task_group() as group:
        group.start_soon(ninth)
        await anyio.wait_all_tasks_blocked()
        assert not permitted
        driver.limit.release(sent[0], RequestResult("ok", 0.1))
    assert permitted


async def test_request_meter_counts_the_last_seconds() -> None:
    meter = RequestMeter()
    for number in range(800):
        meter.count(number / 20)
    assert len(meter.tenths) == 300
    assert [meter.rate(39.95, seconds) for seconds in (0.5, 1.0, 30.0)] == [20.0] * 3


async def test_requests_are_counted_by_their_result(driver: Driver) -> None:
    for kind, count in (("ok", 4), ("throttled", 3), ("failed", 2), ("cancelled", 1)):
        await driver.send(kind, count)
    assert (driver.limit.accepted, driver.limit.throttled, driver.limit.failed) == (6, 3, 2)
