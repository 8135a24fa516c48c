"""Bulk jobs against the simulated gateways."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
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

from wonder_customers import (
    AdaptiveRateLimit,
    BulkError,
    ConfigurationError,
    CustomerDraft,
    CustomerSession,
    OutcomeUnknownError,
    RateLimit,
)
from wonder_customers.bulk import Journal, Options, Row, sync
from wonder_customers.bulk.forget import forget
from wonder_customers.bulk.report import build
from wonder_customers.dialects import names

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_rows_are_sent_once_and_again_only_when_they_change(jobs: Jobs) -> None:
    new = "written" if jobs.gateway == "wonder" else "created"
    write_csv(jobs.source, 20)
    job, first = await jobs.run()
    assert count_statuses(first) == {new: 20}
    assert all(outcome.id and outcome.applied == "yes" for outcome in first)
    assert (job.rows_read, job.unfinished, job.exit_status) == (20, 0, "finished")
    sent = jobs.requests()
    assert count_statuses((await jobs.run())[1]) == {"unchanged": 20}
    assert jobs.requests() == sent
    jobs.source.write_text(jobs.source.read_text().replace("Ada Nr 7 v1", "Ada Nr 7 v2"))
    assert count_statuses((await jobs.run())[1]) == {"unchanged": 19, "updated": 1}
    assert count_statuses((await jobs.run(full=True))[1]) == {"updated": 20}
    assert jobs.ledger() == once(20)


@pytest.mark.parametrize(("before", "after"), [("007", "7"), ("7", "007"), ("0", "00")])
async def test_reference_with_other_leading_zeros_is_not_a_new_customer(before: str, after: str, jobs: Jobs) -> None:
    names_of_run = [before, "12", "012", "c-1"]
    rows = [evolve(draft(number), reference=name) for number, name in enumerate(names_of_run)]
    await jobs.run(rows, first=2)
    await jobs.run(rows, resume=True)  # both 12 and 012 are customers of the run
    _, again = await jobs.run([evolve(rows[0], reference=after), *rows[1:], evolve(draft(9), reference="13")])
    assert [outcome.status for outcome in again] == ["invalid", "unchanged", "unchanged", "unchanged", "created"]
    assert "differs only in leading zeros" in str(again[0].reason)
    assert jobs.ledger() == dict.fromkeys([*names_of_run, "13"], 1)


@pytest.mark.parametrize(("state", "status"), [("unknown", "invalid"), ("sending", "invalid"), ("removed", "created")])
async def test_reference_with_other_leading_zeros_than_an_unconfirmed_one_is_not_a_new_customer(
    state: str, status: str, jobs: Jobs
) -> None:
    await jobs.run([evolve(draft(1), reference="007")])
    with closing(sqlite3.connect(jobs.journal.path)) as journal, journal:
        journal.execute("UPDATE rows SET state = ?, id = NULL", [state])
    assert [it.status for it in (await jobs.run([evolve(draft(1), reference="7")]))[1]] == [status]


async def test_same_payload_from_other_columns_is_unchanged(jobs: Jobs) -> None:
    await jobs.run(drafts(5))
    sent = jobs.requests()
    write_csv(jobs.source, 5)
    for _ in range(2):
        _, again = await jobs.run()
        assert count_statuses(again) == {"unchanged": 5}
    assert jobs.requests() == sent


async def test_full_run_sends_every_row_once_when_resumed(jobs: Jobs) -> None:
    rows = drafts(16)
    await jobs.run(rows)
    job, first = await jobs.run(rows, full=True, first=6)
    assert (job.exit_status, count_statuses(first)) == ("paused", {"updated": 6})
    _, rest = await jobs.run(rows, full=True, resume=True)
    assert count_statuses(rest) == {"updated": 16}
    assert sum(outcome.replayed for outcome in rest) == 6


async def test_drafts_from_iterables_and_rows_are_sent(jobs: Jobs) -> None:
    def plain() -> Iterator[CustomerDraft]:
        yield from iter(drafts(60))

    async def slow() -> AsyncIterator[CustomerDraft]:
        for number in range(60, 70):
            await anyio.lowlevel.checkpoint()
            yield draft(number)

    for source, size in ((plain(), 60), (slow(), 10), ([Row(5, draft(80))], 1), ([], 0)):
        job, outcomes = await run_job(jobs.account, source)
        assert count_statuses(outcomes) == ({"created": size} if size else {})
        assert job.rows_read == size


async def test_valid_row_replaces_an_invalid_row_with_its_reference_far_before_it(jobs: Jobs) -> None:
    rows = drafts(120)
    rows[0] = evolve(rows[0], email="e" * 300)
    rows[110] = evolve(rows[0], email="ada@example.com")
    _, outcomes = await run_job(jobs.account, rows)
    assert count_statuses(outcomes) == {"created": 119, "invalid": 1}
    assert {outcome.number for outcome in outcomes if outcome.status == "invalid"} == {1}


async def test_invalid_rows_do_not_stop_the_job(jobs: Jobs) -> None:
    jobs.source.write_text(
        "reference,name,email,phone\nc-1,Ada,ada@example.com,+385 91 234 5678\n"
        "c-2,Grace,grace@example.com,0912345678\n"
        "c-1,Ada,ada@example.com,+385 91 234 5678\n,Noor,n@example.com,+385 91 234 5678\nc-5,Jo,jo@example.com,1,9\n"
    )
    _, outcomes = await run_job(jobs.account, jobs.rows())
    found = sorted(outcomes, key=lambda it: it.number)
    assert [it.status for it in found] == ["created", "invalid", "duplicate", "invalid", "invalid"]
    assert (found[1].reason or "").startswith("line 3: phone: must be")
    assert found[2].reason == "line 4: row 3 has the same reference as row 1; only row 1 is sent"
    assert found[3].reason == "line 5: the row has no reference"
    assert "0912345678" not in repr(outcomes) + str(found[1].reason)
    assert jobs.ledger() == {"c-1": 1}


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_rejected_row_is_sent_again_only_on_request(jobs: Jobs) -> None:
    jobs.server.faults.add("server_error", times=None, path="*customers", status=400)
    _, first = await jobs.run([draft(1)])
    assert (first[0].status, first[0].code, first[0].applied) == ("failed", "InvalidRequestError 400", "no")
    assert jobs.journal.states() == {"failed": 1}
    assert jobs.journal.codes() == {"InvalidRequestError 400": 1}
    jobs.server.faults.clear()
    jobs.journal.begin({}, resume=True)
    jobs.journal.release()
    _, resumed = await jobs.run([draft(1)], resume=True)
    assert (resumed[0].status, resumed[0].replayed) == ("failed", True)
    job, retried = await jobs.run([draft(1), draft(2)], only="failed")
    assert count_statuses(retried) == {"written": 1}
    assert (job.skipped, job.unfinished) == (1, 0)


@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_transient_faults_are_retried(jobs: Jobs) -> None:
    for kind in ("server_error", "read_close", "truncated_body", "accept_rst"):
        jobs.server.faults.add(kind, times=1)
    job, outcomes = await jobs.run(drafts(10))
    assert all(outcome.ok for outcome in outcomes), outcomes
    assert jobs.ledger() == once(10)
    assert max(outcome.attempts for outcome in outcomes) > 1
    assert job.stats.requests.failed > 0


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
@pytest.mark.parametrize("limit", [AdaptiveRateLimit, lambda: RateLimit(500), lambda: None])
async def test_requests_are_counted_under_every_rate_limit(jobs: Jobs, limit: Any) -> None:
    jobs.server.faults.add("rate_limited", times=2, retry_after=0.01)
    jobs.server.faults.add("server_error", times=1)
    async with CustomerSession(jobs.account, rate_limit=limit()) as session:
        job = sync(session, drafts(10), options=Options(retry=QUICK))
        await collect(job)
    counted = job.stats.requests
    assert (counted.issued, counted.throttled, counted.failed) == (jobs.requests(), 2, 1) == (13, 2, 1)


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_throttling_reduces_the_rate(jobs: Jobs) -> None:
    jobs.server.faults.add("rate_limited", times=2, retry_after=0.05)
    job, outcomes = await run_job(jobs.account, drafts(10))
    assert count_statuses(outcomes) == {"written": 10}
    assert job.stats.requests.throttled == 2
    assert job.rate is not None
    assert [outcome.attempts for outcome in outcomes].count(2) == 2


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_next_run_resolves_unknown_outcome(jobs: Jobs) -> None:
    jobs.server.faults.add("read_close", times=None, method="POST")
    _, first = await jobs.run([draft(1)], retry=evolve(QUICK, attempts=2))
    assert (first[0].status, first[0].applied) == ("failed", "unknown")
    assert isinstance(first[0].error, OutcomeUnknownError)
    assert "The row may have been applied" in (first[0].reason or "")
    assert jobs.journal.states() == {"unknown": 1}
    jobs.server.faults.clear()
    posts = jobs.server.store.requests.copy()
    _, second = await jobs.run([draft(1)])
    assert count_statuses(second) == {"written": 1}
    # The lookup found an equal customer, so nothing was written.
    assert [key[1] for key in (jobs.server.store.requests - posts)] == ["GET"]
    assert jobs.ledger() == {"c-1": 1}


async def test_job_reports_its_progress(jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    async with jobs.session() as session:
        job = sync(session, jobs.rows(), options=evolve(OPTIONS, workers=2))
        async with job:
            seen = [job.fraction or 0.0 async for _ in job]
        async with sync(session, [draft(1)], options=OPTIONS) as unknown:
            assert [unknown.fraction async for _ in unknown] == [None]
    assert seen == sorted(seen)
    assert seen[0] < 0.2
    assert job.fraction == 1.0


async def test_fixed_rate_is_kept(jobs: Jobs) -> None:
    started = anyio.current_time()
    rows = drafts(15)
    job, outcomes = await run_job(jobs.account, rows, rate_limit=RateLimit(40))
    # 15 rows of two requests each.
    assert anyio.current_time() - started > 0.6
    assert len(outcomes) == 15
    assert job.rate == 40.0


async def test_journal_of_another_gateway_is_refused(account: AccountFactory, tmp_path: Path) -> None:
    open_journal(tmp_path / "j", account("monri"), "monri")
    with pytest.raises(ConfigurationError, match="is the journal of monri"):
        open_journal(tmp_path / "j", account("wonder"), "wonder")


async def test_job_runs_only_once(jobs: Jobs) -> None:
    job, _ = await jobs.run([draft(1)])
    assert [outcome async for outcome in job] == []
    with pytest.raises(BulkError, match="can run only once"):
        await job.__aenter__()


async def test_rows_may_be_a_sequence_without_an_iterator(jobs: Jobs) -> None:
    class Drafts:
        def __getitem__(self, index: int) -> CustomerDraft:
            return [CustomerDraft(reference="c-1", name="Ada Lovelace")][index]

    _, outcomes = await jobs.run(Drafts())
    assert count_statuses(outcomes) == {"created": 1}


async def test_customer_that_was_archived_and_created_again_counts_as_created(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    _, outcomes = await jobs.run()
    async with jobs.session() as session:
        await session.delete(next(it.id for it in outcomes if it.reference == "c-1" and it.id is not None))
    job, _ = await jobs.run(full=True)
    assert (job.stats.counts["created"], job.stats.counts["updated"]) == (1, 2)


async def test_report_counts_the_requests_of_rows_without_an_outcome(jobs: Jobs) -> None:
    write_csv(jobs.source, 5)
    jobs.server.faults.add("rate_limited", times=None)
    options = Options(retry=QUICK, give_up_after=0.5)
    async with CustomerSession(jobs.account, rate_limit=AdaptiveRateLimit()) as session:
        job = sync(session, jobs.rows(), journal=jobs.journal, options=options)
        with pytest.raises(BulkError, match="responds with 429"):
            await collect(job)
    report = build(job, gateway="paydock", source="c.csv", journal=None, seconds=1.0, started=0.0)
    requests = report["requests"]
    assert requests["sent"] == requests["throttled"] == len(jobs.server.request_log.all()) > 0
    assert requests["throttled_share"] == 1.0


@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_second_job_with_the_same_journal_object_is_refused(jobs: Jobs) -> None:
    with pytest.raises(BulkError, match="no run to resume"):
        await jobs.run([draft(1)], resume=True)
    async with jobs.session() as session, sync(session, [draft(1)], journal=jobs.journal) as job:
        for other in (jobs.journal, Journal.existing(jobs.journal.path)):
            with pytest.raises(BulkError, match="another run is using this journal"):
                await run_job(jobs.account, [draft(1, "2")], other)
            with pytest.raises(BulkError, match="another run is using this journal"):
                forget(other, ["c-1"], [])
        assert [outcome.status async for outcome in job] == ["created"]
    assert [it["name"] for it in jobs.server.store.customers("monri")] == ["Ada Nr 1 v1"]


async def test_journal_contains_no_personal_data(jobs: Jobs) -> None:
    write_csv(jobs.source, 20)
    await jobs.run()
    written = b"".join(path.read_bytes() for path in sorted(jobs.source.parent.glob("j*")))
    for personal in (b"Ada", b"example.com", b"91 234", b"+38591", b"91234"):
        assert personal not in written
    assert b"c-17" in written
    assert oct(jobs.source.with_name("j.key").stat().st_mode & 0o777) == "0o600"


async def test_invalid_rows_of_a_slow_source_stop_the_job(jobs: Jobs) -> None:
    """A batch of a slow source has few rows."""

    async def slow() -> AsyncIterator[CustomerDraft]:
        for number in range(1000):
            await anyio.sleep(0.01)
            yield CustomerDraft(f"c-{number}", email="a" * 256)

    with pytest.raises(BulkError, match=r"5\d of 5\d rows cannot be sent for the same reason \(invalid email\)"):
        await run_job(jobs.account, slow(), failure_share=0.2)
    assert jobs.ledger() == {}


async def test_stop_ends_the_wait_for_the_next_row_of_a_source(jobs: Jobs) -> None:
    waiting, closed = anyio.Event(), False

    async def live() -> AsyncIterator[CustomerDraft]:
        nonlocal closed
        try:
            yield CustomerDraft("c-0", name="Ada")
            waiting.set()
            await anyio.sleep_forever()
        finally:
            closed = True

    async with jobs.session() as session:
        job = sync(session, live())
        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                group.start_soon(collect, job)
                await waiting.wait()
                job.stop()
    assert (job.exit_status, closed) == ("interrupted", True)
