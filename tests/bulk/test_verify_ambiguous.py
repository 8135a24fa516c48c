"""Verification of a reference that two customers have."""

from collections.abc import Callable
from typing import Any

import pytest
from bulk.customers import QUICK, draft

from wonder_customers import CustomerSession
from wonder_customers.bulk import verify
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio


async def test_verify_reports_ambiguous_reference(account: Callable[[str], Any], server: SimulatorServer) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        server.faults.add("duplicate", gateway="paydock", method="POST")
        await session.create(draft(1))
        await session.create(draft(2))
        found = await verify(session, [draft(1), draft(2)])
    assert [(it.reference, it.result) for it in found.findings] == [("c-1", "ambiguous")]
    assert (found.checked, found.wrong) == (2, 1)
