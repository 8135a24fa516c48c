"""Runs after a crash: rows whose outcome is unknown are neither repeated too early nor confirmed too early."""

from collections.abc import Callable
from time import time
from typing import Any

import anyio
import pytest
from attrs import evolve
from bulk.customers import OPTIONS, QUICK, Jobs, collect, draft

from wonder_customers import CustomerDraft, CustomerSession
from wonder_customers.bulk import Journal, sources, sync

pytestmark = pytest.mark.anyio

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


@pytest.mark.parametrize("clock", [time, lambda: time() - 1000], ids=["same clock", "clock was set forward"])
async def test_create_that_is_applied_late_is_not_sent_again(clock: Callable[[], float], jobs: Jobs) -> None:
    """Invariant: one customer per reference, although requests of a killed process are applied after the resume."""
    path = jobs.journal.path
    jobs.journal = Journal.open(path, gateway="paydock", endpoint=jobs.account.base_url, clock=clock)
    async with CustomerSession(jobs.account) as session, CustomerSession(jobs.account) as killed:
        await crash(jobs.journal, session, draft(1))
        resumed = Journal.existing(path)

        async def apply_late() -> None:
            await anyio.sleep(LATE)
            await killed.create(draft(1))

        async with anyio.create_task_group() as group:
            group.start_soon(apply_late)
            options = evolve(PATIENT, resume=True)
            (outcome,) = await collect(sync(session, [draft(1)], journal=resumed, options=options))
    assert outcome.ok
    assert jobs.server.store.ledger("paydock") == {"c-1": 1}


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_late_write_does_not_overwrite_a_reverted_row(jobs: Jobs) -> None:
    """Invariant: the gateway has the values that the last confirmed run sent."""
    async with CustomerSession(jobs.account) as session, CustomerSession(jobs.account) as killed:
        await session.create(draft(1, "A"))
        await crash(jobs.journal, session, draft(1, "B"))

        async def apply_late() -> None:
            await anyio.sleep(LATE)
            await killed.create(draft(1, "B"))

        async with anyio.create_task_group() as group:
            group.start_soon(apply_late)
            (outcome,) = await collect(sync(session, [draft(1, "A")], journal=jobs.journal, options=PATIENT))
        held = await session.get_by_reference("c-1")
    assert outcome.ok
    assert held.name == draft(1, "A").name


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
        (outcome,) = await collect(sync(session, [draft(1)], journal=jobs.journal, options=OPTIONS))
    assert outcome.ok
    assert {key[1] for key in (jobs.server.store.requests - before)} == {"GET"}


async def test_changed_card_of_a_row_is_sent(jobs: Jobs) -> None:
    names = ("number", "expire_month", "expire_year", "holder_name", "gateway_id")
    mapping = {name: f"payment_source.{name}" for name in names}
    header = "reference,name,email,number,expire_month,expire_year,holder_name,gateway_id\n"
    results = []
    async with CustomerSession(jobs.account) as session:
        for card in ("4111111111111111", "5555555555554444"):
            jobs.source.write_text(f"{header}c-1,Ada,ada@example.com,{card},12,2030,Ada L,60bf7baa1cc7ee1b8b7d5c2e\n")
            rows = sources.read(jobs.source, mapping=mapping)
            outcomes = await collect(sync(session, rows, journal=jobs.journal))
            results += [outcome.reason or outcome.status for outcome in outcomes]
    assert results == ["created", "updated"]
    assert b"4111111111111111" not in jobs.journal.path.read_bytes()
