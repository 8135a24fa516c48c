"""Rate limits: no period contains more requests than allowed, and the adaptive limit finds the gateway's rate."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import define, field
from backends import TRIO_IN_LONG_TESTS

from wonder_customers import AdaptiveRateLimit, ConfigurationError, RateLimit, RateLimiter, RequestResult
from wonder_customers._support import clock
from wonder_customers.rate_limit import spacing
from wonder_customers.wire import Transmission


@define(eq=False)
class VirtualTime:
    """A clock that jumps to the next wake-up when all tasks wait."""

    now: float = 1000.0
    _sleepers: list[tuple[float, anyio.Event]] = field(factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = anyio.Event()
        self._sleepers.append((self.now + seconds, event))
        await event.wait()

    async def advance(self, until: float, ended: Callable[[], bool]) -> None:
        """Run until `ended`, or until the time `until`."""
        while not ended() and self.now < until:
            for _ in range(10):  # every task that was woken runs until it waits again
                await anyio.lowlevel.checkpoint()
            if ended() or not self._sleepers:
                return
            self._sleepers.sort(key=lambda it: it[0])
            self.now, event = self._sleepers.pop(0)
            event.set()


def most_within(moments: list[float], period: float) -> int:
    """Return the largest number of moments in any sliding period."""
    most, window = 0, deque[float]()
    for moment in sorted(moments):
        window.append(moment)
        while window[0] <= moment - period:
            window.popleft()
        most = max(most, len(window))
    return most


@define(eq=False)
class Gateway:
    """Accepts `rate` requests in any second, responds after `latency` seconds, and records when requests arrive."""

    time: VirtualTime
    rate: float = 1e9
    latency: float = 0.05
    per: float = 1.0
    connect: Callable[[int], float] = lambda number: 0.0
    arrivals: list[float] = field(factory=list)
    accepted: list[float] = field(factory=list)
    refused: int = 0
    cancelled: int = 0

    async def request(self, limit: RateLimiter) -> bool:
        transmission = Transmission()
        await limit.acquire(transmission)
        began, kind = self.time.now, "cancelled"
        try:
            delay = self.connect(len(self.arrivals))
            if delay:
                await self.time.sleep(delay)
            transmission.sent = True
            self.arrivals.append(self.time.now)
            kind = "ok" if self._accepts() else "throttled"
            await self.time.sleep(self.latency)
        finally:
            limit.release(transmission, RequestResult(kind, self.time.now - began))  # type: ignore[arg-type]
        return kind == "ok"

    def _accepts(self) -> bool:
        recent = sum(1 for it in reversed(self.accepted[-int(self.rate) - 1 :]) if it > self.time.now - self.per)
        if recent >= self.rate:
            self.refused += 1
            return False
        self.accepted.append(self.time.now)
        return True


async def run(gateway: Gateway, limit: RateLimiter, *, requests: int, workers: int = 32, until: float = 1e9) -> None:
    """Send requests from several workers, each again until it is accepted, in virtual time."""
    left, active = iter(range(requests)), workers

    async def worker() -> None:
        nonlocal active
        for _ in left:
            while not await gateway.request(limit):
                pass
        active -= 1

    with clock.replaced_by(gateway.time):
        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(worker)
            await gateway.time.advance(until, lambda: active == 0)
            group.cancel_scope.cancel()


@pytest.mark.parametrize("rate", [2, 10, 25, 200])
async def test_fixed_rate_is_never_exceeded_in_any_sliding_second(rate: int) -> None:
    gateway = Gateway(VirtualTime())
    await run(gateway, RateLimit(rate), requests=rate * 6)
    assert len(gateway.arrivals) == rate * 6
    assert most_within(gateway.arrivals, 1.0) <= rate
    took = gateway.arrivals[-1] - gateway.arrivals[0]
    assert took < 6 * 1.25, "the rate is used"


async def test_fixed_rate_counts_requests_when_they_are_sent() -> None:
    # Every tenth request first opens a connection for 1.5 s, so it is sent together with later requests.
    gateway = Gateway(VirtualTime(), connect=lambda number: 1.5 if number % 10 == 3 else 0.0)
    await run(gateway, RateLimit(10), requests=100)
    assert most_within(gateway.arrivals, 1.0) <= 10


async def test_permit_counts_from_the_moment_its_request_is_sent() -> None:
    time, limit, permitted = VirtualTime(), RateLimit(2, per=10), list[float]()
    unsent = [Transmission(), Transmission()]

    async def third() -> None:
        await limit.acquire(Transmission())
        permitted.append(time.now)

    with clock.replaced_by(time):
        async with anyio.create_task_group() as group:
            await limit.acquire(unsent[0])
            time.now += 6.0
            await limit.acquire(unsent[1])
            group.start_soon(third)
            await anyio.wait_all_tasks_blocked()
            time.now += 100.0  # both connections are still being opened: no timer runs
            assert (time._sleepers, permitted) == ([], [])
            unsent[0].sent = True
            left = time.now
            await anyio.wait_all_tasks_blocked()
            assert [moment for moment, _ in time._sleepers] == [pytest.approx(left + 10.05)], "one timer"
            await time.advance(time.now + 60.0, lambda: bool(permitted))
            group.cancel_scope.cancel()
    assert permitted == [pytest.approx(left + 10.05)]


@pytest.mark.parametrize("failed", [True, False])
async def test_request_that_ended_unsent_frees_its_permit(failed: bool) -> None:
    time, limit, permitted = VirtualTime(), RateLimit(1, per=10), list[float]()
    unsent = Transmission()

    async def second() -> None:
        await limit.acquire(Transmission())
        permitted.append(time.now)

    with clock.replaced_by(time):
        async with anyio.create_task_group() as group:
            await limit.acquire(unsent)
            time.now += 30.0
            group.start_soon(second)
            await anyio.wait_all_tasks_blocked()
            assert permitted == []
            limit.release(unsent, RequestResult("failed" if failed else "cancelled", 30.0))
            unsent.sent = True  # after its end it is not counted
            await time.advance(time.now + 60.0, lambda: bool(permitted))
            group.cancel_scope.cancel()
    assert permitted == [time.now] == [1030.0]


async def test_fixed_rate_is_kept_after_a_stall() -> None:
    time = VirtualTime()
    gateway, limit = Gateway(time), RateLimit(10)
    await run(gateway, limit, requests=20)
    time.now += 3.0
    await run(gateway, limit, requests=20)
    assert most_within(gateway.arrivals, 1.0) <= 10


async def test_time_that_a_test_sets_is_not_the_time_of_later_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package freezegun replaces `time.monotonic`."""
    limit = RateLimit(100)
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: 1e9)
        await limit.acquire(Transmission())
    with anyio.fail_after(5):
        for _ in range(2):
            await limit.acquire(Transmission())


async def test_fixed_rate_below_one_per_second() -> None:
    gateway = Gateway(VirtualTime())
    await run(gateway, RateLimit(1, per=10), requests=4)
    gateway.time.now += 10
    await run(gateway, RateLimit(0.1), requests=4)
    assert len(gateway.arrivals) == 8
    gaps = [later - earlier for earlier, later in zip(gateway.arrivals, gateway.arrivals[1:], strict=False)]
    assert min(gaps) >= 10


async def test_waiting_request_can_be_cancelled_and_the_next_one_is_served() -> None:
    time, limit, served = VirtualTime(), RateLimit(1), list[int]()

    async def wait(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            transmission = Transmission()
            await limit.acquire(transmission)
            transmission.sent = True
            served.append(number)

    scopes = [anyio.CancelScope() for _ in range(4)]
    with clock.replaced_by(time):
        async with anyio.create_task_group() as group:
            for number, scope in enumerate(scopes):
                group.start_soon(wait, number, scope)
                await anyio.wait_all_tasks_blocked()
            assert len(time._sleepers) == 1, "only the first waiting request has a timer"
            scopes[1].cancel()
            scopes[2].cancel()
            await time.advance(time.now + 60.0, lambda: len(served) == 2)
            group.cancel_scope.cancel()
    assert served == [0, 3]


@TRIO_IN_LONG_TESTS
async def test_adaptive_limit_settles_near_the_gateways_rate() -> None:
    gateway = Gateway(VirtualTime(), rate=200)
    limit = AdaptiveRateLimit()
    await run(gateway, limit, requests=5_000, workers=32)
    last = [it for it in gateway.arrivals if it > gateway.arrivals[-1] - 10]
    assert 180 <= len(last) / 10 <= 210
    assert gateway.refused < 0.02 * len(gateway.arrivals)


async def test_adaptive_limit_serves_a_gateway_that_takes_one_request_in_ten_seconds() -> None:
    gateway = Gateway(VirtualTime(), rate=1, per=10.0)
    await run(gateway, AdaptiveRateLimit(), requests=20, workers=8, until=1000.0 + 600.0)
    assert len(gateway.accepted) == 20
    assert gateway.refused < 60


async def test_adaptive_limit_keeps_its_ceiling() -> None:
    gateway = Gateway(VirtualTime())
    await run(gateway, AdaptiveRateLimit(ceiling=20), requests=200)
    assert most_within(gateway.arrivals, 1.0) <= 20
    assert len(gateway.arrivals) == 200
    assert gateway.arrivals[-1] - gateway.arrivals[0] < 10.6


async def test_adaptive_limit_reduces_concurrency_when_requests_fail() -> None:
    limit = AdaptiveRateLimit()
    time = VirtualTime()
    with clock.replaced_by(time):
        for _ in range(100):
            transmission = Transmission()
            await limit.acquire(transmission)
            time.now += 0.05
            limit.release(transmission, RequestResult("failed", 0.05))
    assert limit.concurrency == 1.0
    assert (limit.failed, limit.throttled) == (100, 0)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), True, "25", None])
def test_invalid_rate_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a positive finite number"):
        RateLimit(wrong)
    with pytest.raises(ConfigurationError, match="must be a positive finite number"):
        RateLimit(1, per=wrong)
    if wrong is not None:
        with pytest.raises(ConfigurationError, match="must be a positive finite number"):
            AdaptiveRateLimit(wrong)


@pytest.mark.parametrize("kind", [partial(RateLimit, 100), AdaptiveRateLimit])
def test_limit_is_used_by_one_event_loop_at_a_time(kind: Callable[[], Any]) -> None:
    limit, transmission = kind(), Transmission()
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(limit.acquire(transmission))
        with pytest.raises(ConfigurationError, match=r"in use on another event loop\. Nothing was sent"):
            second.run(limit.acquire(Transmission()))
        with pytest.raises(ConfigurationError):
            anyio.run(limit.acquire, Transmission(), backend="trio")
        limit.release(transmission, RequestResult("ok", 0.1))
        second.run(limit.acquire(transmission))
        limit.release(transmission, RequestResult("ok", 0.1))
    for backend in ("trio", "asyncio", "asyncio"):
        anyio.run(limit.acquire, transmission, backend=backend)
        limit.release(transmission, RequestResult("ok", 0.1))


@pytest.mark.parametrize(
    "kind", [partial(RateLimit, 100), partial(RateLimit, 1, per=0.05), partial(AdaptiveRateLimit, 100)]
)
def test_limit_forgets_the_tasks_of_a_closed_event_loop(kind: Callable[[], Any]) -> None:
    limit, loop = kind(), asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # called when the garbage collector finds the tasks
    tasks = [loop.create_task(limit.acquire(Transmission())) for _ in range(12)]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert not all(task.done() for task in tasks)

    async def use() -> None:
        with anyio.fail_after(5):
            for transmission in [Transmission() for _ in range(10)]:
                await limit.acquire(transmission)
                limit.release(transmission, RequestResult("ok", 0.1))

    anyio.run(use)


def test_limits_show_their_settings() -> None:
    assert repr(RateLimit(25)) == "RateLimit(25, per=1)"
    assert repr(AdaptiveRateLimit()) == "<AdaptiveRateLimit unlimited, 8 concurrent>"


def test_requests_below_one_per_period_are_spaced_by_several_periods() -> None:
    assert spacing(0.5, 1.0, 0.25) == 2.25
    assert spacing(1, 1.0, 0.25) == spacing(1.5, 1.0, 0.25) == 1.25
    assert spacing(2.5, 1.0, 0.25) == 0.625
    limits: list[Any] = [RateLimit(requests, per) for requests, per in ((0.5, 1.0), (1.5, 1.0), (1, 0.1), (1, 10))]
    assert [(it._window._requests, it._window.period, it._spacing) for it in limits] == [
        *((1, 2.05, 2.05), (1, 1.05, 1.05), (1, pytest.approx(0.105), pytest.approx(0.105)), (1, 10.05, 10.05))
    ]
