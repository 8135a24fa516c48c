"""Plan, verify and migrate, against the simulated gateways."""

import random
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from bulk.customers import QUICK, collect, draft, write_csv

from wonder_customers import CallError, CustomerDraft, CustomerSession
from wonder_customers.bulk import Journal, Options, losses, migrated, plan, sources, sync, verify
from wonder_customers.bulk.verify import wilson
from wonder_customers.dialects import names
from wonder_customers.records import Address, Phone
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio

Account = Callable[[str], Any]
OPTIONS = Options(retry=QUICK, failure_share=None)


async def send(session: CustomerSession[Any], rows: Any, journal: Journal | None = None) -> None:
    outcomes = await collect(sync(session, rows, journal=journal, options=OPTIONS))
    assert all(outcome.ok for outcome in outcomes), outcomes


def writes(server: SimulatorServer) -> int:
    return sum(count for (_, method, _), count in server.store.requests.items() if method != "GET")


@pytest.mark.parametrize("gateway", names())
async def test_a_plan_counts_every_row_and_writes_nothing(
    gateway: str, account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = Journal.open(tmp_path / "j", gateway=gateway, endpoint=account(gateway).base_url)
    source = write_csv(tmp_path / "c.csv", 30)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        await send(session, [draft(number) for number in range(10)], journal)
        await send(session, [draft(10), draft(11, version="old")])
        text = (
            source.read_text().replace("Ada Nr 3 v1", "Ada Nr 3 v2")
            + "c-1,Twice,a@example.com,+385 91 234 5678\n,x,,\n"
        )
        source.write_text(text)
        before = writes(server)
        found = await plan(session, sources.read(source), journal=journal, rate=20.0)
        assert writes(server) == before
        capped = await plan(session, sources.read(source), journal=journal, look_up=5)
    assert found.adds_up
    assert capped.adds_up
    assert (found.rows, found.creates, found.updates, found.unchanged) == (32, 18, 3, 9)
    assert (found.duplicates, found.invalid, found.open, found.looked_up) == (1, 1, 0, 20)
    assert [(it.reference, it.fields) for it in found.differences] == [
        ("c-11", ("first_name",) if gateway == "paydock" else ("name",))
    ]
    assert found.requests == 21 * (1 if gateway == "wonder" else 2)
    assert found.seconds == found.requests / 20
    assert (capped.looked_up, capped.open) == (5, 15)
    assert "Twice" not in repr(found)


async def test_plan_looks_up_unconfirmed_rows(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", gateway="wonder", endpoint=account("wonder").base_url)
    server.faults.add("read_close", times=None, method="POST")
    async with CustomerSession(account("wonder"), retry=QUICK) as session:
        rows = [draft(number) for number in range(3)]
        once = Options(retry=evolve(QUICK, attempts=1), failure_share=None)
        outcomes = await collect(sync(session, rows, journal=journal, options=once))
        assert [outcome.applied for outcome in outcomes] == ["unknown"] * 3
        server.faults.clear()
        found = await plan(session, [draft(0), draft(1, version="2"), draft(2)], journal=journal)
    assert (found.unchanged, found.updates, found.unconfirmed, found.looked_up) == (2, 1, 1, 3)
    assert found.adds_up


async def test_plan_retries_transient_faults_and_raises_others(account: Account, server: SimulatorServer) -> None:
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        server.faults.add("rate_limited", times=2)
        found = await plan(session, [draft(number) for number in range(5)])
        assert found.creates == 5
        server.faults.add("server_error", times=None, status=401)
        with pytest.raises(CallError):
            await plan(session, [draft(number) for number in range(5)])


@pytest.mark.parametrize("gateway", names())
async def test_verify_reports_differences(gateway: str, account: Account, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 40)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        await send(session, [draft(number, version="old" if number == 3 else "1") for number in range(39)])
        found = await verify(session, sources.read(source), retry=QUICK)
        sampled = await verify(session, sources.read(source), sample=10, dice=random.Random(1))
    assert (found.rows, found.checked, found.wrong) == (40, 40, 2)
    assert {(it.reference, it.result) for it in found.findings} == {("c-3", "different"), ("c-39", "missing")}
    assert (sampled.rows, sampled.checked) == (40, 10)
    low, high = sampled.interval
    assert 0 <= low <= high <= 1


async def test_verify_skips_invalid_rows(account: Account, server: SimulatorServer) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        found = await verify(session, [CustomerDraft(), CustomerDraft("c-1", "x", phone=Phone(None, "1"))])
    assert found.counts == {"unreadable": 2}
    assert found.checked == 0
    assert server.faults.requests.total() == 0


def test_wilsons_interval() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(5, 100)
    assert (round(low, 4), round(high, 4)) == (0.0215, 0.1118)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(50, 50)[1] == pytest.approx(1.0)


async def test_migration_reports_losses_and_sends_the_rest(account: Account, server: SimulatorServer) -> None:
    people = [
        CustomerDraft(
            f"m-{number}",
            "Ada Lovelace",
            email=f"m{number}@example.com",
            phone=Phone("+385", "912345678"),
            description="met in Vienna",
            address=Address(city="Wien", country="AT") if number % 2 else None,
        )
        for number in range(10)
    ]
    async with (
        CustomerSession(account("monri"), retry=QUICK) as source,
        CustomerSession(account("wonder"), retry=QUICK) as target,
    ):
        await send(source, people)
        gone = await source.create(people[0].__class__("m-gone", "Gone", email="g@example.com"))
        await source.delete(gone.id)
        found = await losses(source, target)
        # Monri's list leaves deleted customers out by itself.
        assert (found.customers, found.deleted, found.without_reference) == (10, 0, 0)
        assert dict(found.fields) == {"description": 10, "address.city": 5, "address.country": 5}
        assert not found.refused
        assert server.store.ledger("wonder") == {}
        await send(target, migrated(source, target))
        assert server.store.ledger("wonder") == {f"m-{number}": 1 for number in range(10)}
        brought = await target.get_by_reference("m-3")
        assert (brought.name, brought.email) == ("Ada Lovelace", "m3@example.com")


@pytest.mark.parametrize(
    ("origin", "goal"),
    # Each gateway once on each side in the usual run, all pairs in the long one.
    [
        pytest.param(*pair, marks=[pytest.mark.long] * (place not in {0, 3, 4}))
        for place, pair in enumerate(permutations(sorted(names()), 2))
    ],
)
async def test_any_gateway_to_any_other(origin: str, goal: str, account: Account, server: SimulatorServer) -> None:
    async with (
        CustomerSession(account(origin), retry=QUICK) as source,
        CustomerSession(account(goal), retry=QUICK) as target,
    ):
        await send(source, [draft(number) for number in range(5)])
        found = await losses(source, target)
        assert not found.any
        await send(target, migrated(source, target))
    assert server.store.ledger(goal) == {f"c-{number}": 1 for number in range(5)}
