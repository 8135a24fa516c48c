"""Verification: differences between rows and the gateway's customers."""

import random
from pathlib import Path

import pytest
from attrs import evolve
from bulk.customers import QUICK, AccountFactory, draft, line, open_journal, run_job, send, write_csv

from wonder_customers import CustomerDraft, CustomerSession
from wonder_customers.bulk import Verification, sources, verify
from wonder_customers.bulk.verify import MOST_FINDINGS, wilson
from wonder_customers.dialects import names
from wonder_customers.records import Phone
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("gateway", names())
async def test_verify_reports_differences(gateway: str, account: AccountFactory, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 15)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        await send(session, [draft(number, version="old" if number == 3 else "1") for number in range(14)])
        found = await verify(session, sources.read(source), retry=QUICK)
        sampled = await verify(session, sources.read(source), sample=10, rng=random.Random(1))
    assert (found.rows, found.checked, found.wrong) == (15, 15, 2)
    assert {(it.reference, it.result) for it in found.findings} == {("c-3", "different"), ("c-14", "missing")}
    assert (sampled.rows, sampled.checked) == (15, 10)
    low, high = sampled.interval
    assert 0 <= low <= high <= 1


async def test_verify_skips_invalid_rows(account: AccountFactory, server: SimulatorServer) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        found = await verify(session, [CustomerDraft(), CustomerDraft("c-1", "x", phone=Phone(None, "1"))])
    assert found.counts == {"unreadable": 2}
    missing, invalid = (it.reason or "" for it in found.findings)
    assert missing == "row 1: the row has no reference"
    assert invalid.startswith("row 2: phone")
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


def counts_of(found: Verification) -> dict[str, int]:
    return dict(found.counts)


@pytest.mark.parametrize("gateway", names())
async def test_verify_leaves_out_rows_that_were_never_confirmed(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "c.csv", 4)
    source.write_text(f"{source.read_text()}{line(1, '2')}\n,Ada,ada@example.org,+385 91 234 5678\n")
    journal = open_journal(tmp_path / "j", account(gateway), gateway)
    server.faults.add("server_error", gateway=gateway, method="POST", status=400)
    await run_job(account(gateway), sources.read(source), journal, workers=1)
    source.write_text(f"{source.read_text()}{line(100)}\n")
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        found = await verify(session, sources.read(source), journal=journal)
    # Never confirmed: the refused row, the repeated reference, and the row that was added after the run.
    assert counts_of(found) == {"equal": 3, "unsent": 3, "unreadable": 1}
    assert (found.rows, found.checked, found.wrong, found.changed) == (7, 3, 0, 0)


@pytest.mark.parametrize("gateway", names())
async def test_verify_names_rows_that_changed_since_they_were_sent(
    gateway: str, account: AccountFactory, tmp_path: Path
) -> None:
    source, journal = write_csv(tmp_path / "c.csv", 3), open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(source), journal)
    source.write_text(source.read_text().replace("ada.1@example.com", "eve@example.org"))
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        found = await verify(session, sources.read(source), journal=journal)
    assert counts_of(found) == {"equal": 2, "different": 1}
    (finding,) = found.findings
    assert (finding.number, finding.fields, finding.changed, found.changed) == (2, ("email",), True, 1)


async def test_verify_tells_equal_from_equal_after_normalisation(account: AccountFactory, tmp_path: Path) -> None:
    sent = [draft(1), evolve(draft(2), email="Ada.2@example.com")]
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        await send(session, [draft(1), draft(2)])
        found = await verify(session, sent)
    assert counts_of(found) == {"equal": 1, "normalized": 1}
    assert (dict(found.normalized), found.wrong) == ({"email": 1}, 0)


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
async def test_verify_expects_removed_customers_to_be_absent(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source, journal = write_csv(tmp_path / "c.csv", 4), open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(source), journal)
    write_csv(source, 2)
    await run_job(account(gateway), sources.read(source), journal, removed="delete", max_removed=2)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        found = await verify(session, sources.read(source), journal=journal)
        assert (counts_of(found), found.checked, found.wrong) == ({"equal": 2, "removed": 2}, 4, 0)
        journal._execute("UPDATE rows SET state = 'removed' WHERE reference = ?", ["c-1"])
        write_csv(source, 1)
        found = await verify(session, sources.read(source), journal=journal)
        sampled = await verify(session, sources.read(source), journal=journal, sample=1, rng=random.Random(1))
    assert counts_of(found) == {"equal": 1, "removed": 2, "present": 1}
    assert [(it.number, it.reference, it.result) for it in found.findings] == [(0, "c-1", "present")]
    assert sampled.checked == 2


async def test_differences_are_listed_before_rows_that_were_not_compared(account: AccountFactory) -> None:
    rows = [*[CustomerDraft() for _ in range(MOST_FINDINGS)], draft(1), CustomerDraft(), draft(2)]
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        found = await verify(session, rows)
    assert [it.reference for it in found.findings[:3]] == ["c-1", "c-2", None]
    assert (len(found.findings), found.wrong) == (MOST_FINDINGS, 2)


async def test_verify_compares_the_first_valid_row_of_a_reference_only(account: AccountFactory, tmp_path: Path) -> None:
    source, journal = tmp_path / "c.csv", open_journal(tmp_path / "j", account("monri"), "monri")
    equal = "c-1,Ada,ada@example.org\n"
    source.write_text(f"reference,name,email\nc-1,Ada,none\n{equal}{equal}c-2,Eve,\nc-2,Eve,\n")
    await run_job(account("monri"), sources.read(source), journal)
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        found = await verify(session, sources.read(source), journal=journal)
    assert counts_of(found) == {"equal": 2, "unsent": 2, "unreadable": 1}
    assert [(it.number, it.result) for it in found.findings] == [(1, "unreadable"), (3, "unsent"), (5, "unsent")]
