"""One rate for many processes: slots on even distances, whatever the network, the clocks and deaths do."""

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest
from bulk.request_rates import busiest_second
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from wonder_customers import ConfigurationError
from wonder_customers.bulk.distributed.slots import HORIZON, LEAD, LEASE, Grant, LeasedSlots, Slots, Unreachable

VIRTUAL = [pytest.param(("trio", {"clock": MockClock(autojump_threshold=0)}), id="virtual time")]


class Network:
    """A limiter somewhere else: answers take their time, clocks disagree, and it dies now and then."""

    def __init__(self, rate: float, seed: int, latency: float) -> None:
        self.dice, self.rate, self.latency = random.Random(seed), rate, latency
        self.epoch = self.dice.uniform(-1e6, 1e6)
        self.slots: Slots | None = self.made()

    def made(self) -> Slots:
        return Slots(self.rate, lambda: anyio.current_time() + self.epoch)

    async def grant(self, wanted: int, least: int) -> Grant:
        await anyio.sleep(self.dice.random() * self.latency)
        if self.slots is None:
            raise Unreachable
        answer = self.slots.grant(wanted, least)
        await anyio.sleep(self.dice.random() * self.latency)
        return answer

    async def restarts(self, every: float) -> None:
        while True:
            await anyio.sleep(every * (0.5 + self.dice.random()))
            self.slots = None
            await anyio.sleep(self.dice.random() * 0.5)
            self.slots = self.made()


async def requests(
    grants: list[Callable[[int, int], Awaitable[Grant]]], seconds: float, per_row: int, dice: random.Random
) -> list[float]:
    """When requests of workers, 24 rows at a time each, went out."""
    times: list[float] = []

    async def rows(slots: LeasedSlots) -> None:
        while True:
            await slots.take(per_row)
            times.extend([anyio.current_time()] * per_row)
            await anyio.sleep(0.02 * dice.random())

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as group:
            for grant in grants:
                apart = dice.uniform(-1e6, 1e6)
                slots = LeasedSlots(grant, lambda apart=apart: anyio.current_time() + apart)  # type: ignore[misc]
                for _ in range(24):
                    group.start_soon(rows, slots)
    return times


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", VIRTUAL)
@pytest.mark.parametrize("workers", [1, 2, pytest.param(7, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("rate", "per_row"), [(40, 1), (100, 2), pytest.param(1000, 2, marks=pytest.mark.long), (1.5, 1)]
)
async def test_rate_is_kept_in_every_second_and_nearly_used(workers: int, rate: float, per_row: int) -> None:
    network = Network(rate, workers, latency=0.01)
    times = await requests([network.grant] * workers, 15, per_row, network.dice)
    assert busiest_second(times) <= max(rate * 1.05, rate + per_row)
    assert len(times) >= 0.9 * rate * 15 - 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", VIRTUAL)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 10))])
async def test_restarted_permit_server_grants_no_burst(seed: int) -> None:
    network = Network(200, seed, latency=0.02)
    async with anyio.create_task_group() as group:
        group.start_soon(network.restarts, 0.8)
        times = await requests([network.grant] * 4, 20, 2, network.dice)
        group.cancel_scope.cancel()
    assert busiest_second(times) <= 210
    assert len(times) > 0.3 * 200 * 20


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", VIRTUAL)
async def test_unreachable_permit_server_permits_nothing() -> None:
    network = Network(200, 1, latency=0.0)
    begun = anyio.current_time()

    async def leave() -> None:
        await anyio.sleep(2)
        network.slots = None

    async with anyio.create_task_group() as group:
        group.start_soon(leave)
        times = await requests([network.grant] * 2, 20, 1, network.dice)
    assert len(times) > 300
    assert max(times) <= begun + 2 + HORIZON


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", VIRTUAL)
async def test_late_permit_is_not_used() -> None:
    slots = Slots(100, anyio.current_time)
    await anyio.sleep(1)
    held: list[Grant] = []

    async def slow(wanted: int, least: int) -> Grant:
        answer = slots.grant(wanted, least)
        held.append(answer)
        await anyio.sleep(0.2 if len(held) == 1 else 0.0)
        return answer

    leased = LeasedSlots(slow, anyio.current_time)
    await leased.take(1)
    assert leased.lapsed == held[0].count == 1
    assert anyio.current_time() >= held[1].first


@given(
    wanted=st.lists(st.tuples(st.integers(1, 200), st.integers(1, 4), st.floats(0, 2)), max_size=60),
    rate=st.sampled_from([0.3, 7, 25, 999.0]),
)
def test_permits_do_not_overlap_or_exceed_the_horizon(wanted: list[tuple[int, int, float]], rate: float) -> None:
    now = 0.0
    slots, last = Slots(rate, lambda: now), 0.0
    for count, least, passed in wanted:
        now += passed
        grant = slots.grant(count, least)
        if grant.count:
            assert grant.count <= max(least, min(count, rate * LEASE + 1))
            assert grant.count % least == 0
            assert grant.first >= last
            assert now < grant.first
            beyond = (least - 1) * grant.every
            assert grant.first + (grant.count - 1) * grant.every <= now + max(HORIZON, LEAD + beyond) + 1e-9
            last = grant.first + grant.count * grant.every * (1 - 1e-9)
        else:
            now += grant.wait
            assert slots.grant(count, least).count >= least
            last = now


def test_rate_of_zero_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="more than 0"):
        Slots(0)
