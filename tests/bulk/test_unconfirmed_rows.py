"""Unconfirmed rows: what may have been applied is neither repeated too early nor confirmed too early."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from time import time
from typing import Any

import anyio
import pytest
from attrs import evolve
from bulk.customers import OPTIONS, QUICK, Jobs, collect, draft

from wonder_customers import BulkError, CustomerSession
from wonder_customers._core import write_locks
from wonder_customers.bulk import Journal, Options, Outcome, sources, sync
from wonder_customers.dialects import names
from wonder_customers.records import CustomerDraft
from wonder_customers.testing import no_waits

pytestmark = pytest.mark.anyio

LATER: dict[str, dict[str, Any]] = {
    "throttled": {"name": "rate_limited", "retry_after": 0},
    "away": {"name": "server_error", "status": 503},
    "refused": {"name": "server_error", "status": 400},
    "locked out": {"name": "server_error", "status": 401},
}


@pytest.mark.parametrize(
    ("jobs", "later"),
    [(gateway, later) for gateway in names() for later in LATER if gateway == "monri" or later == next(iter(LATER))],
    indirect=["jobs"],
)
async def test_row_stays_unconfirmed_after_later_failures(later: str, jobs: Jobs) -> None:
    # A lookup before the write would find the applied customer, so it is applied at Wonder only.
    jobs.server.faults.add("read_close", gateway=jobs.gateway, method="POST", applied=jobs.gateway == "wonder")
    jobs.server.faults.add(**LATER[later], gateway=jobs.gateway, method="POST", times=None)
    outcomes: list[Outcome] = []
    twice = Options(retry=evolve(QUICK, attempts=2, deadline=3.0, base=0.01, cap=0.01), failure_share=None)
    async with jobs.session() as session:
        ends = pytest.raises(BulkError) if later == "locked out" else nullcontext()
        with no_waits(), ends:
            async with sync(session, [draft(1)], journal=jobs.journal, options=twice) as job:
                outcomes = [outcome async for outcome in job]
    assert jobs.server.faults.seen[:2] == ["read_close", LATER[later]["name"]]
    assert jobs.journal.states() == {"unknown": 1}
    assert all(outcome.applied == "unknown" for outcome in outcomes)


@pytest.mark.parametrize("corrected", [False, True])
async def test_resume_sends_a_corrected_row_that_failed_in_that_run(corrected: bool, jobs: Jobs) -> None:
    """Invariant: a row that failed is repeated from the journal only as long as it is the same row."""
    jobs.server.faults.add("server_error", method="POST", status=400)
    for version, resume in (("1", False), ("2" if corrected else "1", True)):
        _, (outcome,) = await jobs.run([draft(1, version)], resume=resume)
    assert outcome.status == ("created" if corrected else "failed")
    assert jobs.journal.states() == {"done" if corrected else "failed": 1}


LATE = 0.2
"""Seconds after which the gateway applies a request of the killed process."""


PATIENT = evolve(OPTIONS, retry=evolve(QUICK, confirmation_window=2.0))
"""Options with a confirmation window that is longer than the delay on a busy machine too."""


async def crash(journal: Journal, session: CustomerSession[Any], sent: CustomerDraft) -> None:
    """Leave the journal in the state of a process that was killed after it recorded `sent`."""
    payload = journal.digests.payload(session.payload(sent))
    journal.begin({})
    async with anyio.create_task_group() as group:
        group.start_soon(journal.serve)
        await journal.announce([(sent.reference or "", 1, None, payload, "{}")])
        journal.stop()
    journal.release()


@asynccontextmanager
async def late(killed: CustomerDraft, account: Any) -> AsyncIterator[None]:
    """Apply the create of a killed process at the gateway while the block runs."""

    async def apply() -> None:
        await anyio.sleep(LATE)
        await session.create(killed)

    async with CustomerSession(account) as session, anyio.create_task_group() as group:
        group.start_soon(apply)
        yield


@pytest.mark.parametrize("clock", [time, lambda: time() - 1000], ids=["same clock", "clock was set forward"])
async def test_create_that_is_applied_late_is_not_sent_again(clock: Callable[[], float], jobs: Jobs) -> None:
    """Invariant: one customer per reference, although requests of a killed process are applied after the resume."""
    path = jobs.journal.path
    jobs.journal = Journal.open(path, gateway="paydock", endpoint=jobs.account.base_url, clock=clock)
    async with CustomerSession(jobs.account) as session:
        await crash(jobs.journal, session, draft(1))
        options = evolve(PATIENT, resume=True)
        async with late(draft(1), jobs.account):
            (outcome,) = await collect(sync(session, [draft(1)], journal=Journal.existing(path), options=options))
    assert (outcome.ok, jobs.ledger()) == (True, {"c-1": 1})


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_late_write_does_not_overwrite_a_reverted_row(jobs: Jobs) -> None:
    """Invariant: the gateway has the values that the last confirmed run sent."""
    async with CustomerSession(jobs.account) as session:
        await session.create(draft(1, "A"))
        await crash(jobs.journal, session, draft(1, "B"))
        async with late(draft(1, "B"), jobs.account):
            (outcome,) = await collect(sync(session, [draft(1, "A")], journal=jobs.journal, options=PATIENT))
        held = await session.get_by_reference("c-1")
    assert (outcome.ok, held.name) == (True, draft(1, "A").name)


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_unconfirmed_row_with_a_field_that_cannot_be_read_is_sent_again(jobs: Jobs) -> None:
    """Invariant: a row is confirmed only if every field that it sends was read back. Wonder returns no company name."""
    async with CustomerSession(jobs.account) as session:
        await session.create(evolve(draft(1), company_name="Old"))
        changed = evolve(draft(1), company_name="New")
        await crash(jobs.journal, session, changed)
        (outcome,) = await collect(sync(session, [changed], journal=jobs.journal, options=OPTIONS))
    assert outcome.ok
    assert [it["company_name"] for it in jobs.server.store.customers("wonder")] == ["New"]


async def test_row_that_was_applied_is_confirmed_without_a_write(jobs: Jobs) -> None:
    async with CustomerSession(jobs.account) as session:
        await session.create(draft(1))
        await crash(jobs.journal, session, draft(1))
    before = jobs.server.store.requests.copy()
    _, (outcome,) = await jobs.run([draft(1)])
    assert outcome.ok
    assert {key[1] for key in (jobs.server.store.requests - before)} == {"GET"}


async def test_changed_card_of_a_row_is_sent(jobs: Jobs) -> None:
    names = ("number", "expire_month", "expire_year", "holder_name", "gateway_id")
    header, results = f"reference,name,email,{','.join(names)}\n", []
    for card in ("4111111111111111", "5555555555554444"):
        jobs.source.write_text(f"{header}c-1,Ada,ada@example.com,{card},12,2030,Ada L,60bf7baa1cc7ee1b8b7d5c2e\n")
        mapping = {name: f"payment_source.{name}" for name in names}
        _, outcomes = await jobs.run(sources.read(jobs.source, mapping=mapping))
        results += [outcome.reason or outcome.status for outcome in outcomes]
    assert results == ["created", "updated"]
    assert b"4111111111111111" not in jobs.journal.path.read_bytes()


@pytest.mark.parametrize("found", [False, True])
async def test_second_run_creates_no_second_customer_if_the_search_finds_none(
    found: bool, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal contains the ids. Another program has started, so no process remembers them."""
    await jobs.run([draft(1)])
    write_locks.UNCONFIRMED_WRITES.clear()
    monkeypatch.setattr(jobs.server.gateways["paydock"], "index_lag", 0 if found else 60)
    _, (outcome,) = await jobs.run([draft(1, "2")], retry=evolve(QUICK, confirmation_window=0.1))
    assert (outcome.status, outcome.applied) == (("updated", "yes") if found else ("failed", "no"))
    assert jobs.ledger() == {draft(1).reference: 1}
