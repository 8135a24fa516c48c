"""Verification: differences between rows and the gateway's customers."""

import random
from pathlib import Path

import pytest
from bulk.customers import QUICK, AccountFactory, draft, send, write_csv

from wonder_customers import CustomerDraft, CustomerSession
from wonder_customers.bulk import sources, verify
from wonder_customers.bulk.verify import wilson
from wonder_customers.dialects import names
from wonder_customers.records import Phone
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("gateway", names())
async def test_verify_reports_differences(gateway: str, account: AccountFactory, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 40)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        await send(session, [draft(number, version="old" if number == 3 else "1") for number in range(39)])
        found = await verify(session, sources.read(source), retry=QUICK)
        sampled = await verify(session, sources.read(source), sample=10, rng=random.Random(1))
    assert (found.rows, found.checked, found.wrong) == (40, 40, 2)
    assert {(it.reference, it.result) for it in found.findings} == {("c-3", "different"), ("c-39", "missing")}
    assert (sampled.rows, sampled.checked) == (40, 10)
    low, high = sampled.interval
    assert 0 <= low <= high <= 1


async def test_verify_skips_invalid_rows(account: AccountFactory, server: SimulatorServer) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        found = await verify(session, [CustomerDraft(), CustomerDraft("c-1", "x", phone=Phone(None, "1"))])
    assert found.counts == {"unreadable": 2}
    assert found.checked == 0
    assert server.faults.requests.total() == 0


def test_wilson_interval() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(5, 100)
    assert (round(low, 4), round(high, 4)) == (0.0215, 0.1118)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(50, 50)[1] == pytest.approx(1.0)


async def test_verify_reports_ambiguous_reference(account: AccountFactory, server: SimulatorServer) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        server.faults.add("duplicate", gateway="paydock", method="POST")
        await session.create(draft(1))
        await session.create(draft(2))
        found = await verify(session, [draft(1), draft(2)])
    assert [(it.reference, it.result) for it in found.findings] == [("c-1", "ambiguous")]
    assert (found.checked, found.wrong) == (2, 1)
