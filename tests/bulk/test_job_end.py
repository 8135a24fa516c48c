"""How a job ends: errors, cancellation and early exits."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import evolve
from bulk.customers import (
    OPTIONS,
    QUICK,
    AccountFactory,
    Jobs,
    collect,
    count_statuses,
    draft,
    drafts,
    once,
    open_journal,
    run_job,
    write_csv,
)

from wonder_customers import BulkError, ConfigurationError, CustomerSession, SessionClosedError
from wonder_customers.bulk import Job, Journal, Options, batches, sources, sync
from wonder_customers.rate_limit import RequestResult
from wonder_customers.records import CustomerDraft
from wonder_customers.simulator.server import SimulatorServer
from wonder_customers.wire import Transmission

pytestmark = pytest.mark.anyio


async def test_job_stopped_before_its_start_sends_nothing(jobs: Jobs) -> None:
    async with jobs.session() as session:
        job = sync(session, drafts(20))
        job.stop()
        assert await collect(job) == []
    assert (job.exit_status, jobs.ledger()) == ("interrupted", {})


async def test_job_whose_outcomes_are_not_read_raises(jobs: Jobs) -> None:
    async with jobs.session() as session:
        with pytest.raises(BulkError, match=r"left before any outcome was read.*Read the outcomes with `async for"):
            async with sync(session, [draft(1)], journal=jobs.journal):
                pass
        async with sync(session, [draft(1)], journal=jobs.journal) as job:
            job.stop()
    assert job.exit_status == "interrupted"


async def test_journal_of_another_gateway_is_refused_and_the_source_is_closed(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account("wonder"), "wonder")
    rows: Any = sources.read(write_csv(tmp_path / "c.csv", 3))
    assert not rows.file.closed
    with pytest.raises(ConfigurationError, match=r"is the journal of wonder at .*, not of monri at"):
        await run_job(account("monri"), rows, journal)
    assert (journal.states(), server.store.ledger("monri")) == ({}, {})
    journal.hold()  # the lock was not acquired
    assert rows.file.closed


@pytest.mark.parametrize("within", [True, False])
async def test_error_of_the_caller_is_raised_unchanged_while_workers_wait(within: bool, jobs: Jobs) -> None:
    """Unread outcomes block the workers."""
    error = ValueError()

    async def fail(job: Job) -> None:
        async with job:
            if within:
                await anext(job)
            while job.stats.rows < 3:
                await checkpoint()
            raise error

    async with jobs.session() as session:
        job = sync(session, drafts(40), options=Options(workers=2))
        with pytest.raises(ValueError) as caught:
            await fail(job)
    assert (caught.value, job.exit_status) == (error, "interrupted")


async def test_job_cancelled_after_the_last_row_is_complete(jobs: Jobs) -> None:
    async with jobs.session() as session:
        job, heard = sync(session, drafts(3), options=Options(workers=1)), 0
        with anyio.CancelScope() as scope:
            async with job:
                async for _ in job:
                    heard += 1
                    if heard == 3:
                        scope.cancel()
    assert (scope.cancelled_caught, heard, job.stats.rows) == (True, 3, 3)


async def test_timeout_around_the_loop_is_raised_as_timeout(jobs: Jobs) -> None:
    async def endless() -> AsyncIterator[CustomerDraft]:
        yield draft(1)
        await anyio.sleep_forever()

    async def limited(job: Job) -> None:
        async with job:
            with anyio.fail_after(0.5):
                _ = [outcome async for outcome in job]

    async with jobs.session() as session:
        job = sync(session, endless())
        with pytest.raises(TimeoutError):
            await limited(job)
    assert (job.stats.rows, job.exit_status) == (1, "interrupted")


async def test_iterating_outside_async_with_is_refused(jobs: Jobs) -> None:
    async with jobs.session() as session:
        job = sync(session, [draft(1)])
        with pytest.raises(BulkError, match="async with"):
            await anext(job)
        assert [outcome.ok for outcome in await collect(job)] == [True]
    assert jobs.ledger() == {"c-1": 1}


async def test_row_that_is_not_a_draft_is_reported(jobs: Jobs) -> None:
    rows: list[Any] = [draft(1), "Ada"]
    async with jobs.session() as session:
        with pytest.raises(BulkError, match="row 2 must be a CustomerDraft or a Row, not str"):
            await collect(sync(session, rows))


async def test_closed_session_raises_session_closed_error(jobs: Jobs) -> None:
    async with jobs.session() as session:
        pass
    with pytest.raises(SessionClosedError):
        await collect(sync(session, [draft(1)], options=Options(workers=1)))


async def test_refused_credentials_stop_the_job(jobs: Jobs) -> None:
    jobs.server.faults.add("server_error", times=None, status=401)
    rows = drafts(500)
    async with jobs.session() as session:
        job = sync(session, rows, journal=jobs.journal, options=evolve(OPTIONS, workers=4))
        message = r"refused the credentials.*the same program with the same journal"
        with pytest.raises(BulkError, match=message) as caught:
            await collect(job)
    assert job.exit_status == "refused"
    assert jobs.requests() <= 4
    assert jobs.journal.states().keys() <= {"held"}
    assert "Nothing" not in str(caught.value) or "applied" in str(caught.value)
    jobs.server.faults.clear()
    resumed, outcomes = await jobs.run(rows[:20], resume=True)
    assert count_statuses(outcomes) == {"created": 20}
    assert resumed.exit_status == "finished"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"max_failures": 5}, "the maximum number of failed rows, 5, was reached"),
        ({"failure_share": 0.2}, "of the last 50"),
    ],
)
@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_too_many_failures_stop_the_job(limits: dict[str, Any], words: str, jobs: Jobs) -> None:
    jobs.server.faults.add("server_error", times=None, status=400, method="POST")
    async with jobs.session() as session:
        options = Options(**{"retry": QUICK, "failure_share": None, **limits})
        job = sync(session, iter(drafts(10_000)), options=evolve(options, workers=4))
        with pytest.raises(BulkError, match=words):
            await collect(job)
    assert job.exit_status == "failures"
    assert job.rows_read < 200


async def test_stop_completes_rows_in_progress(jobs: Jobs) -> None:
    seen = 0
    rows = iter(drafts(10_000))
    async with jobs.session() as session, sync(session, rows, journal=jobs.journal, options=OPTIONS) as job:
        async for _ in job:
            seen += 1
            if seen == 20:
                job.stop()
    assert (job.exit_status, seen < 100) == ("interrupted", True)
    assert jobs.journal.states().get("done") == seen
    assert "sending" not in jobs.journal.states()
    last = jobs.last_run()
    assert (last.exit_status, last.counts) == ("interrupted", {"created": seen})


@pytest.mark.parametrize("how", ["generator", "async generator"])
async def test_leaving_the_block_early_interrupts_the_job_and_closes_the_source(how: str, jobs: Jobs) -> None:
    closed = False

    async def asynchronous() -> AsyncIterator[CustomerDraft]:
        for row in synchronous():
            yield row

    def synchronous() -> Iterator[CustomerDraft]:
        nonlocal closed
        try:
            yield from drafts(10_000)
        finally:
            closed = True

    rows = synchronous() if how == "generator" else asynchronous()
    async with jobs.session() as session, sync(session, rows, journal=jobs.journal, options=OPTIONS) as job:
        async for _ in job:
            break
    assert (job.exit_status, closed) == ("interrupted", True)
    assert "sending" not in jobs.journal.states()


async def test_cancelled_job_can_be_resumed(jobs: Jobs) -> None:
    rows = drafts(200)
    async with jobs.session() as session:
        with anyio.move_on_after(10) as scope:
            async with sync(session, rows, journal=jobs.journal, options=OPTIONS) as job:
                async for outcome in job:
                    if outcome.number == 10:
                        scope.cancel()
    assert job.exit_status == "interrupted"
    assert sum(jobs.journal.states().values()) < 200
    _, outcomes = await jobs.run(rows, resume=True)
    assert len(outcomes) == 200
    assert all(outcome.ok for outcome in outcomes)
    assert jobs.ledger() == once(200)


async def test_full_disk_stops_the_job_before_another_request(jobs: Jobs) -> None:
    connect = jobs.journal.writer.connect

    def small() -> sqlite3.Connection:
        connection = connect()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 3}").close()
        return connection

    jobs.journal.writer.connect = small
    rows = drafts(2000)
    async with jobs.session() as session:
        job = sync(session, rows, journal=jobs.journal, options=OPTIONS)
        with pytest.raises(BulkError, match=r"could not be written .*full.*the same program with the same journal"):
            await collect(job)
    assert job.exit_status == "journal"
    made = jobs.ledger()
    assert 0 < len(made) < 1000
    states = Journal.existing(jobs.journal.path).states()
    assert states.get("done", 0) + states.get("sending", 0) >= len(made)
    jobs.journal = Journal.existing(jobs.journal.path)
    _, outcomes = await jobs.run(rows[:100], resume=True)
    assert all(outcome.ok for outcome in outcomes)
    assert set(jobs.ledger().values()) == {1}


async def test_unreadable_rest_of_a_source_stops_the_job(jobs: Jobs) -> None:
    jobs.source = jobs.source.with_suffix(".jsonl")
    jobs.source.write_text('{"reference": "c-1", "name": "Ada"}\n{"reference": "c-2", "cvv": "123"}\n')
    with pytest.raises(BulkError, match="security codes"):
        await jobs.run()


async def test_late_key_in_the_second_file_of_a_folder_is_reported_after_rows_were_sent(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 200)
    (folder := tmp_path / "customers").mkdir()
    write_csv(folder / "a.csv", 250)
    late = '{"reference":"d-1","name":"Ada"}\n{"reference":"d-2","name":"Bo","shoe size":38}\n'
    (folder / "b.jsonl").write_text(late)
    with pytest.raises(BulkError, match=r"shoe size") as caught:
        await jobs.run(sources.read(folder))
    assert jobs.ledger()
    assert "Nothing was sent" not in str(caught.value)


class NeverPermits:
    """A rate limit that permits no request, such as a shared limit whose server cannot be reached."""

    async def acquire(self, transmission: Transmission, /) -> None:
        await anyio.sleep_forever()

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        raise AssertionError


async def test_stop_ends_a_wait_for_the_rate_limit(jobs: Jobs) -> None:
    async with CustomerSession(jobs.account, rate_limit=NeverPermits()) as session:
        with anyio.fail_after(120):
            async with sync(session, drafts(100), journal=jobs.journal) as job:
                await anyio.sleep(0.1)
                job.stop()
    assert (job.exit_status, job.stats.rows, jobs.requests()) == ("interrupted", 0, 0)
    assert jobs.journal.states().keys() == {"held"}
