"""`session.stats()`: counters, waiting calls, and the connections of each transport."""

from typing import Any

import anyio
import attrs
import pytest
from fault_injection.sessions import fresh, session
from gateway_responses import HEX24, UUID
from mock_gateway import paydock

from scripted_transport import NO_RESPONSE, WithoutConnections, draft, make_harness, respond
from wonder_customers import (
    CustomerPatch,
    CustomerSession,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitError,
    RetryPolicy,
)
from wonder_customers.simulator import SimulatorServer


async def test_stats_count_calls_and_requests(gateway: str, simulator: SimulatorServer) -> None:
    before = simulator.faults.requests.total()
    async with session(simulator, gateway, max_connections=3) as it:
        made = await it.upsert(fresh(gateway))
        with pytest.raises(NotFoundError):
            await it.get("0" * 24)
        simulator.faults.add("rate_limited", gateway=gateway)
        await it.get(made.id)
        for _ in range(2):
            it.for_account(it.account)
        stats = it.stats()
        assert (stats.started, stats.succeeded, dict(stats.failed)) == (3, 2, {"NotFoundError": 1})
        assert (stats.failures, stats.in_progress, stats.retries, stats.lookups, stats.views) == (1, 0, 1, 0, 2)
        assert stats.attempts == simulator.faults.requests.total() - before
        connections = stats.connections
        assert connections is not None
        assert (connections.open, connections.busy, connections.idle, connections.waiting) == (1, 0, 1, 0)
        assert dict(stats.retry_tokens) == {str(simulator.origin): 500}
    assert it.stats() == attrs.evolve(stats, connections=attrs.evolve(connections, open=0, idle=0))


async def test_failed_throttled_call_does_not_return_its_retry_tokens() -> None:
    it = make_harness(respond(429, {}), endless=True)
    with pytest.raises(RateLimitError):
        await it.get(UUID)
    assert (it.account_context.account.budget.tokens, it.account_context.account.counts.retries) == (
        500 - 5 * it.account_context.account.counts.retries,
        len(it.script.sent) - 1,
    )
    assert it.clock.now - 1000 > 50, "the deadline is spent"
    assert it.account_context.account.counts.failed == {"RateLimitError": 1}


async def test_stats_show_waiting_calls_and_requests(simulator: SimulatorServer) -> None:
    simulator.faults.add("read_hang", times=None)
    async with session(simulator, "paydock", max_connections=2) as it:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(it.get, HEX24)
            for _ in range(3):
                group.start_soon(it.update, HEX24, CustomerPatch(name="Ada"))
            with anyio.fail_after(120):
                while it.stats().attempts < 6 or it.stats().waiting_for_lock < 2:
                    await anyio.lowlevel.checkpoint()
            stats = await anyio.to_thread.run_sync(it.stats)
            group.cancel_scope.cancel()
        assert (stats.in_progress, stats.waiting_for_lock) == (8, 2)
        assert stats.connections is not None
        assert (stats.connections.busy, stats.connections.waiting) == (2, 4)
        after = it.stats()
    assert (after.in_progress, after.waiting_for_lock, dict(after.failed)) == (0, 0, {"Cancelled": 8})
    assert after.connections is not None
    assert (after.connections.busy, after.connections.waiting) == (0, 0)


async def test_transport_without_connection_stats() -> None:
    class Plain(WithoutConnections):
        async def send(self, signed_request: object, transmission: object) -> Any:
            raise AssertionError

    async with CustomerSession(paydock(), transport=Plain()) as it:
        assert it.stats().connections is None


async def test_lookups_are_counted() -> None:
    missing = respond(404, {"message": "Customer not found"})
    it = make_harness(NO_RESPONSE, missing, missing, missing, missing, missing, policy=RetryPolicy(attempts=1))
    with pytest.raises(OutcomeUnknownError):
        await it.create(draft())
    assert it.account_context.account.counts.lookups == it.script.lines().count("GET /v2/merchants/customers/r-1") == 5
