"""Plans: every row is counted, and nothing is written."""

import threading
from pathlib import Path

import pytest
from attrs import evolve
from bulk.customers import QUICK, AccountFactory, Jobs, draft, drafts, open_journal, send, write_csv

from wonder_customers import AdaptiveRateLimit, CallError, CustomerSession, InvalidRequestError
from wonder_customers.bulk import plan, sources
from wonder_customers.bulk.reference_index import ReferenceIndex
from wonder_customers.dialects import names
from wonder_customers.records import CustomerDraft
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio


def writes(server: SimulatorServer) -> int:
    return sum(count for (_, method, _), count in server.store.requests.items() if method != "GET")


@pytest.mark.parametrize("gateway", names())
async def test_plan_counts_every_row_and_writes_nothing(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account(gateway), gateway)
    source = write_csv(tmp_path / "c.csv", 30)
    limit = AdaptiveRateLimit(200)
    async with CustomerSession(account(gateway), retry=QUICK, rate_limit=limit) as session:
        await send(session, [draft(number) for number in range(10)], journal)
        await send(session, [draft(10), draft(11, version="old")])
        text = (
            source.read_text().replace("Ada Nr 3 v1", "Ada Nr 3 v2")
            + "c-1,Twice,a@example.com,+385 91 234 5678\n,x,,\n"
        )
        source.write_text(text)
        before = writes(server)
        found = await plan(session, sources.read(source), journal=journal)
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
    assert found.seconds == found.requests / 200
    assert (capped.looked_up, capped.open) == (5, 15)
    assert "Twice" not in repr(found)


async def test_plan_and_job_note_drafts_whose_references_differ_only_in_case(jobs: Jobs) -> None:
    rows = [draft(0), evolve(draft(1), reference="C-0")]
    async with jobs.session() as session:
        found = await plan(session, rows)
    job, outcomes = await jobs.run(rows)
    assert all(outcome.ok for outcome in outcomes)
    assert found.notes.as_dict() == job.notes.as_dict()
    assert (job.notes.near_duplicates, job.notes.near_duplicate_rows) == (1, [(1, 2)])


async def test_references_that_differ_only_in_case_are_counted_outside_of_the_event_loop(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, threads = ReferenceIndex.near_duplicates, list[threading.Thread]()

    def counted(index: ReferenceIndex) -> list[tuple[int, int]]:
        threads.append(threading.current_thread())
        return count(index)

    monkeypatch.setattr(ReferenceIndex, "near_duplicates", counted)
    async with jobs.session() as session:
        await plan(session, drafts(2))
    await jobs.run(drafts(2))
    assert len(threads) == 2
    assert threading.current_thread() not in threads


async def test_plan_names_the_fields_that_the_gateway_cannot_clear(jobs: Jobs) -> None:
    await jobs.run([CustomerDraft("c-1", "Ada", default_payment_token="5" * 24)])
    async with jobs.session() as session:
        planned = await plan(session, [CustomerDraft("c-1", "Ada")], journal=jobs.journal)
    assert (dict(planned.clears), dict(planned.uncleared)) == ({}, {"default_payment_token": 1})


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_plan_looks_up_unconfirmed_rows(jobs: Jobs) -> None:
    jobs.server.faults.add("read_close", times=None, method="POST")
    _, outcomes = await jobs.run(drafts(3), retry=evolve(QUICK, attempts=1))
    assert [outcome.applied for outcome in outcomes] == ["unknown"] * 3
    jobs.server.faults.clear()
    async with jobs.session() as session:
        found = await plan(session, [draft(0), draft(1, version="2"), draft(2)], journal=jobs.journal)
    assert (found.unchanged, found.updates, found.unconfirmed, found.looked_up) == (2, 1, 1, 3)
    assert found.adds_up


async def test_plan_retries_transient_faults_and_raises_others(jobs: Jobs) -> None:
    async with jobs.session() as session:
        jobs.server.faults.add("rate_limited", times=2)
        assert (await plan(session, drafts(5))).creates == 5
        jobs.server.faults.add("server_error", times=None, status=401)
        with pytest.raises(CallError):
            await plan(session, drafts(5))


@pytest.mark.parametrize("gateway", names())
async def test_plan_reports_a_row_whose_lookup_is_refused(gateway: str, account: AccountFactory) -> None:
    refused = evolve(draft(1), reference="fail-422-1")
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        rows = [draft(0), refused, draft(2)]
        if gateway == "paydock":
            rows.append(draft(3))
            await session.create(draft(3))
            await session.create(draft(3))
        found = await plan(session, rows)
        with pytest.raises(InvalidRequestError):  # no lookup succeeds, so the cause is not a single row
            await plan(session, [refused, evolve(refused, reference="fail-422-2")])
    assert (found.creates, found.invalid, found.adds_up) == (2, len(rows) - 2, True)
    assert [it.reference for it in found.problems] == ["fail-422-1", "c-3"][: found.invalid]
    assert all(it.reason and it.reason.startswith(f"row {it.number}: ") for it in found.problems)
    assert max(found.reasons).startswith("InvalidRequestError 422")
