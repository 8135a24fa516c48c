"""The limits a job finds by itself, against gateways in virtual time."""

import heapq
import random
from collections.abc import Callable

import pytest

from wonder_customers.bulk.capacity import Capacity, Decision
from wonder_customers.bulk.stats import MOST_POINTS, JobStats, Latencies

Gateway = Callable[[float], bool]


def bucket(rate: float, burst: float) -> Gateway:
    """A gateway that allows `rate` requests per second, and `burst` at once."""
    tokens, last = burst, 0.0

    def allows(now: float) -> bool:
        nonlocal tokens, last
        tokens, last = min(burst, tokens + (now - last) * rate), now
        if tokens < 1:
            return False
        tokens -= 1
        return True

    return allows


def windows(rate: int) -> Gateway:
    """A gateway that counts requests per second of the clock."""
    window, used = -1, 0

    def allows(now: float) -> bool:
        nonlocal window, used
        if int(now) != window:
            window, used = int(now), 0
        used += 1
        return used <= rate

    return allows


def run(
    gateway: Gateway, seconds: float, *, latency: float = 0.02, workers: int = 16
) -> tuple[Capacity, list[float], int]:
    """Workers that send as fast as they may; what was accepted when, and how many were refused."""
    capacity, dice = Capacity(workers), random.Random(7)
    accepted: list[float] = []
    refused, due = 0, 0.0
    free = [(0.0, worker) for worker in range(workers)]
    while free[0][0] < seconds:
        now, worker = heapq.heappop(free)
        if worker >= int(capacity.concurrency):
            heapq.heappush(free, (now + 0.05, worker))
            continue
        began = now if capacity.rate is None else max(now, due)
        if capacity.rate is not None:
            due = began + 1 / capacity.rate
        good = gateway(began)
        verdict: Decision = "ok" if good else "throttled"
        ended = began + latency * (0.5 + dice.random())
        capacity.ended(verdict, began=began, now=ended, busy=int(capacity.concurrency))
        if good:
            accepted.append(began)
        refused += not good
        heapq.heappush(free, (ended if good else ended + dice.random(), worker))
    return capacity, accepted, refused


@pytest.mark.parametrize(
    "gateway",
    [bucket(200, 1), bucket(200, 20), bucket(200, 200), windows(200)],
    ids=["no burst", "20", "200", "windows"],
)
def test_the_rate_settles_near_what_the_gateway_takes(gateway: Gateway) -> None:
    capacity, accepted, refused = run(gateway, 60)
    settled = [at for at in accepted if at >= 20]
    assert 180 <= len(settled) / 40 <= 220
    assert refused < 0.02 * (len(accepted) + refused)
    assert capacity.rate is not None
    assert 170 <= capacity.rate <= 220


def test_more_room_is_noticed() -> None:
    slow, fast = bucket(50, 5), bucket(200, 5)
    _, accepted, _ = run(lambda now: slow(now) if now < 30 else fast(now), 100)
    assert len([at for at in accepted if 20 <= at < 30]) < 550
    assert len([at for at in accepted if at >= 80]) > 20 * 150


def test_without_refusals_there_is_no_rate_and_all_workers_work() -> None:
    capacity, accepted, refused = run(lambda _: True, 20)
    assert capacity.rate is None
    assert refused == 0
    assert capacity.concurrency == 16
    assert len(accepted) > 20 * 500


def test_single_faults_say_nothing_and_many_shrink_the_concurrency() -> None:
    capacity = Capacity(16)
    for number in range(2000):
        capacity.ended("trouble" if number % 50 == 0 else "ok", began=number / 100, now=number / 100 + 0.01, busy=16)
    assert capacity.concurrency == 16
    for number in range(2000, 3000):
        capacity.ended("trouble" if number % 2 else "ok", began=number / 100, now=number / 100 + 0.01, busy=16)
    assert capacity.concurrency == 1
    assert capacity.troubled == 40 + 500


def test_a_gateway_that_slows_down_gets_fewer_at_a_time() -> None:
    capacity = Capacity(16)
    for number in range(1000):
        capacity.ended("ok", began=number / 100, now=number / 100 + 0.02, busy=16)
    before = capacity.concurrency
    for number in range(1000, 1500):
        capacity.ended("ok", began=number / 100, now=number / 100 + 1.0, busy=16)
    assert before == 16
    assert capacity.concurrency < 10


def test_one_congestion_is_one_cut() -> None:
    capacity = Capacity(16)
    for number in range(200):
        capacity.ended("ok", began=number / 200, now=number / 200)
    for _ in range(16):
        assert not capacity.ended("throttled", began=0.99, now=1.0)
    assert capacity.rate is not None
    assert 170 < capacity.rate < 195
    assert capacity.ended("throttled", began=1.4, now=1.45)


def test_latencies_are_told_in_classes() -> None:
    latencies = Latencies()
    assert latencies.share(0.5) is None
    for number in range(1, 1001):
        latencies.add(number / 1000)
    assert latencies.share(0.5) == pytest.approx(0.5, rel=0.15)
    assert latencies.share(0.95) == pytest.approx(0.95, rel=0.15)


def test_a_long_job_has_no_more_points_than_a_short_one() -> None:
    stats = JobStats(Capacity(4))
    stats.begin(0.0)
    for second in range(1, 5001):
        stats.counts["created"] += 10
        stats.observe(0.01, "ok")
        stats.tick(float(second), 25.0)
    assert len(stats.points) < MOST_POINTS
    assert sum(point.rows for point in stats.points) == pytest.approx(50_000, abs=10 * stats.interval)
    assert stats.points[-1].at == pytest.approx(5000, abs=stats.interval)
