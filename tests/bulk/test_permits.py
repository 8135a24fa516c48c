"""One rate for many processes: no period of one second contains more requests than allowed, with any faults."""

import asyncio
import random
import socket
import threading
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from attrs import define, field
from bulk.request_rates import busiest_second
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from wonder_customers import ConfigurationError, RateLimit, RateLimiter, RequestResult
from wonder_customers._support import clock
from wonder_customers.bulk.permits import (
    HORIZON,
    LONGEST,
    VALIDITY,
    Grant,
    LeasedRateLimit,
    PermitServer,
    Unreachable,
)  # fmt: skip
from wonder_customers.bulk.shared_limit import TIMEOUT, SharedLimit
from wonder_customers.wire import Transmission

VIRTUAL = [pytest.param(("trio", {"clock": MockClock(autojump_threshold=0)}), id="virtual time")]
virtual_time = pytest.mark.parametrize("anyio_backend", VIRTUAL)


KINDS: list[Any] = ["ok", "ok", "throttled", "failed", "cancelled"]


class EventLoopClock:
    """The clock of the event loop, which is virtual here."""

    def clock(self) -> float:
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


@define(eq=False)
class Network:
    """A permit server on another machine, with delayed responses and restarts."""

    rate: float
    seed: int
    latency: float = 0.01
    rng: random.Random = field(init=False)
    server: PermitServer | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.rng, self.server = random.Random(self.seed), self.start()

    def start(self) -> PermitServer:
        return PermitServer(self.rate, anyio.current_time)

    async def grant(self, wanted: int, validity: float) -> Grant:
        await anyio.sleep(self.rng.random() * self.latency)
        if self.server is None:
            raise Unreachable
        granted = self.server.grant(wanted, validity)
        await anyio.sleep(self.rng.random() * self.latency)
        return granted

    async def restart(self, every: float) -> None:
        while True:
            await anyio.sleep(every * (0.5 + self.rng.random()))
            self.server = None
            await anyio.sleep(self.rng.random() * 0.5)
            self.server = self.start()


async def arrivals(limits: list[RateLimiter], seconds: float, rng: random.Random, stall: float = 0.0) -> list[float]:
    """Return when requests reached the gateway: 24 tasks per limit, with stalls, refusals and failures."""
    times: list[float] = []

    async def send(limit: RateLimiter) -> None:
        while True:
            transmission = Transmission()
            await limit.acquire(transmission)
            if transmission.valid_until < float("inf"):
                transmission.renew = partial(limit.acquire, transmission)
            if stall and rng.random() < 0.2:
                await anyio.sleep(stall * rng.random())  # a slow connection, or a busy event loop
            await transmission.leave()
            transmission.sent = True
            times.append(anyio.current_time())
            await anyio.sleep(0.02 * rng.random())
            limit.release(transmission, RequestResult(rng.choice(KINDS), 0.02, 0.1))

    with anyio.move_on_after(seconds), clock.replaced_by(EventLoopClock()):
        async with anyio.create_task_group() as group:
            for limit in limits:
                for _ in range(24):
                    group.start_soon(send, limit)
    return times


def leased(network: Network, workers: int) -> list[RateLimiter]:
    return [LeasedRateLimit(network.grant) for _ in range(workers)]


@pytest.mark.anyio
@virtual_time
@pytest.mark.parametrize(("rate", "stall"), [(2, 0.0), (2, 3.0), (10, 0.2), (25, 0.0), (25, 3.0), (200, 0.2)])
async def test_no_sliding_second_exceeds_the_rate(rate: int, stall: float) -> None:
    """Invariant: local and distributed limits apply at the moment at which a request is sent."""
    network, seconds = Network(rate, rate), 4 if rate > 100 else 8
    for limits in ([RateLimit(rate)], leased(network, 1), leased(network, 3)):
        times = await arrivals(list(limits), seconds, network.rng, stall)
        assert busiest_second(times) <= rate
        assert stall or len(times) >= 0.8 * rate * (seconds - 1) - 1


@pytest.mark.anyio
@virtual_time
@pytest.mark.parametrize("latency", [0.0, 0.05, 0.2])
async def test_rate_is_nearly_used(latency: float) -> None:
    network = Network(100, 1, latency)
    times = await arrivals(leased(network, 4), 8, network.rng)
    assert busiest_second(times) <= 100
    assert len(times) >= {0.0: 0.85, 0.05: 0.5, 0.2: 0.1}[latency] * 100 * 7


@pytest.mark.anyio
@virtual_time
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 10))])
async def test_restarted_permit_server_grants_no_burst(seed: int) -> None:
    network = Network(50, seed, latency=0.02)
    async with anyio.create_task_group() as group:
        group.start_soon(network.restart, 2.0)
        times = await arrivals(leased(network, 4), 12, network.rng, stall=0.1)
        group.cancel_scope.cancel()
    assert busiest_second(times) <= 50
    assert len(times) > 0.2 * 50 * 12


@pytest.mark.anyio
@virtual_time
async def test_unreachable_permit_server_permits_nothing() -> None:
    network = Network(200, 1, latency=0.0)
    begun = anyio.current_time()

    async def leave() -> None:
        await anyio.sleep(2)
        network.server = None

    async with anyio.create_task_group() as group:
        group.start_soon(leave)
        times = await arrivals(leased(network, 2), 20, network.rng)
    assert len(times) > 200
    assert max(times) <= begun + 2 + HORIZON + VALIDITY


@pytest.mark.anyio
@virtual_time
async def test_late_permit_is_not_used() -> None:
    server = PermitServer(100, anyio.current_time)
    await anyio.sleep(1)
    answers: list[Grant] = []

    async def slow(wanted: int, validity: float) -> Grant:
        answers.append(server.grant(wanted, validity))
        await anyio.sleep(0.2 if len(answers) == 1 else 0.0)
        return answers[-1]

    limit, transmission = LeasedRateLimit(slow), Transmission()
    with clock.replaced_by(EventLoopClock()):
        await limit.acquire(transmission)
    assert len(answers) == 2
    assert anyio.current_time() <= transmission.valid_until <= anyio.current_time() + LONGEST


def test_limit_is_used_by_one_event_loop_at_a_time_and_forgets_the_tasks_of_a_closed_one() -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # called when the garbage collector finds the task

    async def grant(wanted: int, validity: float) -> Grant:
        if asyncio.get_running_loop() is loop:
            await loop.create_future()
        return Grant(0.0, 1.0, wanted)

    limit = LeasedRateLimit(grant)
    waiting = limit.acquire(Transmission())
    task = loop.create_task(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    with pytest.raises(ConfigurationError, match="in use on another event loop"):
        asyncio.run(asyncio.wait_for(limit.acquire(Transmission()), 20))
    loop.close()
    asyncio.run(asyncio.wait_for(limit.acquire(Transmission()), 20))
    assert not task.done()
    with suppress(RuntimeError):  # the lock requires an event loop
        waiting.close()


@given(
    wanted=st.lists(st.tuples(st.integers(1, 200), st.floats(0, 2), st.floats(0, LONGEST)), max_size=60),
    rate=st.sampled_from([0.3, 7, 25, 999.0]),
)
def test_any_use_of_permits_keeps_the_rate(wanted: list[tuple[int, float, float]], rate: float) -> None:
    """A permit may be used at any moment of its validity: compare the last moment of each with later first moments."""
    now = 0.0
    server, permits = PermitServer(rate, lambda: now), list[tuple[float, float]]()
    most, period = max(1, int(rate)), max(1.0, 1 / rate)
    for count, passed, validity in wanted:
        now += passed
        granted = server.grant(count, validity)
        assert granted.count <= count
        for number in range(granted.count):
            start = now + granted.wait + number * granted.spacing
            assert start <= now + HORIZON + 1e-9
            permits.append((start, start + max(VALIDITY, validity)))
        if not granted.count:
            now += granted.wait
    for first, later in zip(permits, permits[most:], strict=False):
        assert later[0] - first[1] >= period - 1e-6


def test_rate_of_zero_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 request per hour"):
        PermitServer(0)


@pytest.mark.anyio
async def test_silent_server_of_a_shared_limit_delays_no_deadline_and_keeps_few_threads() -> None:
    pytest.importorskip("redis", reason="needs the extra shared-limit")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limit = SharedLimit(f"redis://127.0.0.1:{silent.getsockname()[1]}", 10.0)
        began, threads = anyio.current_time(), threading.active_count()
        for _ in range(9):
            with anyio.move_on_after(0.02):
                await limit.acquire(Transmission())
        assert anyio.current_time() - began < TIMEOUT
        assert threading.active_count() - threads <= 4
