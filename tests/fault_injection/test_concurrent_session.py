"""Hundreds of tasks on one session and three gateways, with faults of many kinds and server restarts."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from attrs import evolve
from fault_injection.sessions import GATEWAYS, PATIENT, fresh, names, session

from wonder_customers import CallError, CustomerDraft, InvalidResponseError, OutcomeUnknownError, dialects
from wonder_customers.simulator import SimulatorServer

# No fault here makes a call wait, so on a busy machine too no time limit may end one.
POLICY = evolve(
    PATIENT, attempts=60, deadline=90, base=0.02, throttle_base=0.02, cap=0.2, confirmation_window=2, budget=100_000
)
MIXED_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("read_close", {"applied": True}),
    ("read_close", {"applied": False}),
    ("headers_rst", {}),
    ("truncated_body", {}),
    ("bad_chunk", {}),
    ("rate_limited", {}),
    ("server_error", {"applied": True}),
    ("server_error", {"applied": False}),
    ("zombie", {"delay": 0.3}),
    ("half_close_idle", {}),
    ("stale_rst", {}),
    ("gzip_bomb", {}),
    ("huge_headers", {}),
]


@pytest.mark.parametrize("writers", [90, pytest.param(180, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["asyncio", pytest.param("httpx", marks=pytest.mark.long)], indirect=True)
async def test_concurrent_writes_with_faults_keep_every_customer(
    simulator: SimulatorServer, kind: Callable[..., Any], writers: int
) -> None:
    for number, (name, more) in enumerate(MIXED_FAULTS):
        simulator.faults.add(name, times=None, probability=0.02, seed=number, **more)
    allowed: dict[tuple[str, str], set[str | None]] = defaultdict(lambda: {None})
    failed: list[CallError] = []

    async def write_three_times(view: object, gateway: str) -> None:
        draft = fresh(gateway)
        key = (gateway, str(draft.reference))
        for name in ("First", "Second", "Third"):
            try:
                await view.upsert(CustomerDraft(reference=draft.reference, name=name, phone=draft.phone))  # type: ignore[attr-defined]
            except CallError as error:
                failed.append(error)
                if error.applied != "no":
                    allowed[key] = allowed[key] | {name}
            else:
                allowed[key] = {name}

    transport = kind(max_connections=24)
    async with aclosing(transport), session(simulator, "monri", POLICY, transport=transport) as it:
        views = {
            gateway: it.for_account(dialects.package(gateway).ACCOUNT.from_environment(simulator.environment()))
            for gateway in GATEWAYS
        }
        async with anyio.create_task_group() as group:
            for number in range(writers):
                gateway = GATEWAYS[number % 3]
                group.start_soon(write_three_times, views[gateway], gateway)
            for _ in range(2):
                await anyio.sleep(0.5)
                await anyio.to_thread.run_sync(simulator.restart)
        assert transport.busy_connections == 0
        assert transport.open_connections <= 24
    assert transport.open_connections == 0
    simulator.faults.clear()
    await anyio.sleep(0.5)  # longer than the delay of zombie requests, so all have arrived
    for (gateway, reference), states in allowed.items():
        assert simulator.store.ledger(gateway).get(reference, 0) <= 1
        held = names(simulator, gateway, reference)
        assert (held[0] if held else None) in states
        assert len(held) <= 1
    assert len(allowed) == writers
    # A response that is too large is not requested again, of a lookup neither. Everything else is repeated.
    assert {type(error) for error in failed} <= {InvalidResponseError, OutcomeUnknownError}
    assert set(simulator.faults.seen) >= {name for name, _ in MIXED_FAULTS}
