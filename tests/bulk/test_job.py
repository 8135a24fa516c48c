"""Bulk jobs against the simulated gateways."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve
from bulk.customers import (
    OPTIONS,
    QUICK,
    AccountFactory,
    collect,
    count_statuses,
    draft,
    open_journal,
    run_job,
    write_csv,
)

from wonder_customers import (
    BulkError,
    ConfigurationError,
    CustomerDraft,
    CustomerSession,
    OutcomeUnknownError,
    RateLimit,
)
from wonder_customers.bulk import Journal, Options, Row, sources, sync
from wonder_customers.bulk.forget import forget
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("gateway", names())
async def test_rows_are_sent_once_and_again_only_when_they_change(
    gateway: str, server: SimulatorServer, account: AccountFactory, tmp_path: Path
) -> None:
    new = "written" if gateway == "wonder" else "created"
    source, journal = write_csv(tmp_path / "c.csv", 20), open_journal(tmp_path / "j", account(gateway), gateway)
    job, first = await run_job(account(gateway), sources.read(source), journal)
    assert count_statuses(first) == {new: 20}
    assert all(outcome.id and outcome.applied == "yes" for outcome in first)
    assert (job.rows_read, job.unfinished, job.exit_status) == (20, 0, "finished")
    sent = server.faults.requests.total()
    _, again = await run_job(account(gateway), sources.read(source), journal)
    assert count_statuses(again) == {"unchanged": 20}
    assert server.faults.requests.total() == sent
    source.write_text(source.read_text().replace("Ada Nr 7 v1", "Ada Nr 7 v2"))
    _, changed = await run_job(account(gateway), sources.read(source), journal)
    assert count_statuses(changed) == {"unchanged": 19, "updated": 1}
    _, full = await run_job(account(gateway), sources.read(source), journal, full=True)
    assert count_statuses(full) == {"updated": 20}
    assert server.store.ledger(gateway) == {f"c-{number}": 1 for number in range(20)}


async def test_same_payload_from_other_columns_is_unchanged(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account("monri"), "monri")
    await run_job(account("monri"), [draft(number) for number in range(5)], journal)
    sent = server.faults.requests.total()
    source = write_csv(tmp_path / "c.csv", 5)
    for _ in range(2):
        _, again = await run_job(account("monri"), sources.read(source), journal)
        assert count_statuses(again) == {"unchanged": 5}
    assert server.faults.requests.total() == sent


async def test_full_run_sends_every_row_once_when_resumed(account: AccountFactory, tmp_path: Path) -> None:
    journal, drafts = open_journal(tmp_path / "j", account("monri"), "monri"), [draft(number) for number in range(16)]
    await run_job(account("monri"), drafts, journal)
    job, first = await run_job(account("monri"), drafts, journal, full=True, first=6)
    assert (job.exit_status, count_statuses(first)) == ("paused", {"updated": 6})
    _, rest = await run_job(account("monri"), drafts, journal, full=True, resume=True)
    assert count_statuses(rest) == {"updated": 16}
    assert sum(outcome.replayed for outcome in rest) == 6


async def test_drafts_from_iterables_and_rows_are_sent(account: AccountFactory) -> None:
    def plain() -> Iterator[CustomerDraft]:
        yield from (draft(number) for number in range(60))

    async def slow() -> AsyncIterator[CustomerDraft]:
        for number in range(60, 70):
            await anyio.lowlevel.checkpoint()
            yield draft(number)

    for source, size in ((plain(), 60), (slow(), 10), ([Row(5, draft(80))], 1), ([], 0)):
        job, outcomes = await run_job(account("monri"), source)
        assert count_statuses(outcomes) == ({"created": size} if size else {})
        assert job.rows_read == size


async def test_valid_row_replaces_an_invalid_row_with_its_reference_far_before_it(account: AccountFactory) -> None:
    drafts = [draft(number) for number in range(120)]
    drafts[0] = evolve(drafts[0], email="e" * 300)
    drafts[110] = evolve(drafts[0], email="ada@example.com")
    _, outcomes = await run_job(account("monri"), drafts)
    assert count_statuses(outcomes) == {"created": 119, "invalid": 1}
    assert {outcome.number for outcome in outcomes if outcome.status == "invalid"} == {1}


async def test_invalid_rows_do_not_stop_the_job(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source = tmp_path / "c.csv"
    source.write_text(
        "reference,name,email,phone\nc-1,Ada,ada@example.com,+385 91 234 5678\n"
        "c-2,Grace,grace@example.com,0912345678\n"
        "c-1,Ada,ada@example.com,+385 91 234 5678\n,Noor,n@example.com,+385 91 234 5678\nc-5,Jo,jo@example.com,1,9\n"
    )
    _, outcomes = await run_job(account("paydock"), sources.read(source))
    by_number = {outcome.number: outcome for outcome in outcomes}
    assert {number: outcome.status for number, outcome in by_number.items()} == {
        1: "created",
        2: "invalid",
        3: "duplicate",
        4: "invalid",
        5: "invalid",
    }
    assert (by_number[2].reason or "").startswith("line 3: phone (on the wire: phone): must be")
    assert by_number[3].reason == "line 4: row 3 has the same reference as row 1; only row 1 is sent"
    assert by_number[4].reason == "line 5: the row has no reference"
    assert "0912345678" not in repr(outcomes) + str(by_number[2].reason)
    assert server.store.ledger("paydock") == {"c-1": 1}


async def test_rejected_row_is_sent_again_only_on_request(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account("wonder"), "wonder")
    server.faults.add("server_error", times=None, path="*customers", status=400)
    _, first = await run_job(account("wonder"), [draft(1)], journal)
    assert (first[0].status, first[0].code, first[0].applied) == ("failed", "InvalidRequestError 400", "no")
    assert journal.states() == {"failed": 1}
    assert journal.codes() == {"InvalidRequestError 400": 1}
    server.faults.clear()
    journal.begin({}, resume=True)
    journal.release()
    _, resumed = await run_job(account("wonder"), [draft(1)], journal, resume=True)
    assert (resumed[0].status, resumed[0].replayed) == ("failed", True)
    job, retried = await run_job(account("wonder"), [draft(1), draft(2)], journal, only="failed")
    assert count_statuses(retried) == {"written": 1}
    assert (job.skipped, job.unfinished) == (1, 0)


@pytest.mark.parametrize("gateway", names())
async def test_transient_faults_are_retried(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    for kind in ("server_error", "read_close", "truncated_body", "accept_rst"):
        server.faults.add(kind, times=1)
    journal = open_journal(tmp_path / "j", account(gateway), gateway)
    job, outcomes = await run_job(account(gateway), [draft(number) for number in range(10)], journal)
    assert all(outcome.ok for outcome in outcomes), outcomes
    assert server.store.ledger(gateway) == {f"c-{number}": 1 for number in range(10)}
    assert max(outcome.attempts for outcome in outcomes) > 1
    assert job.stats.requests.failed > 0


async def test_throttling_reduces_the_rate(account: AccountFactory, server: SimulatorServer) -> None:
    server.faults.add("rate_limited", times=2, retry_after=0.05)
    job, outcomes = await run_job(account("wonder"), [draft(number) for number in range(10)])
    assert count_statuses(outcomes) == {"written": 10}
    assert job.stats.requests.throttled == 2
    assert job.rate is not None
    assert [outcome.attempts for outcome in outcomes].count(2) == 2


async def test_next_run_resolves_unknown_outcome(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account("wonder"), "wonder")
    server.faults.add("read_close", times=None, method="POST")
    _, first = await run_job(account("wonder"), [draft(1)], journal, retry=evolve(QUICK, attempts=2))
    assert (first[0].status, first[0].applied) == ("failed", "unknown")
    assert isinstance(first[0].error, OutcomeUnknownError)
    assert "The row may have been applied" in (first[0].reason or "")
    assert journal.states() == {"unknown": 1}
    server.faults.clear()
    posts = server.store.requests.copy()
    _, second = await run_job(account("wonder"), [draft(1)], journal)
    assert count_statuses(second) == {"written": 1}
    # The lookup found an equal customer, so nothing was written.
    assert [key[1] for key in (server.store.requests - posts)] == ["GET"]
    assert server.store.ledger("wonder") == {"c-1": 1}


async def test_job_reports_its_progress(account: AccountFactory, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 30)
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        job = sync(session, sources.read(source), options=evolve(OPTIONS, workers=2))
        async with job:
            seen = [job.fraction or 0.0 async for _ in job]
        async with sync(session, [draft(1)], options=OPTIONS) as unknown:
            assert [unknown.fraction async for _ in unknown] == [None]
    assert seen == sorted(seen)
    assert seen[0] < 0.2
    assert job.fraction == 1.0


async def test_only_the_first_rows_are_sent(account: AccountFactory, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 30)
    job, outcomes = await run_job(account("monri"), sources.read(source), first=10)
    assert (len(outcomes), job.exit_status, job.unfinished) == (10, "paused", 0)
    job, outcomes = await run_job(account("monri"), [draft(number) for number in range(5)], first=5)
    assert (len(outcomes), job.exit_status) == (5, "finished")


async def test_fixed_rate_is_kept(account: AccountFactory) -> None:
    started = anyio.current_time()
    drafts = [draft(number) for number in range(15)]
    job, outcomes = await run_job(account("monri"), drafts, rate_limit=RateLimit(40))
    # 15 rows of two requests each.
    assert anyio.current_time() - started > 0.6
    assert len(outcomes) == 15
    assert job.rate == 40.0


async def test_invalid_options_and_journals_are_refused(account: AccountFactory, tmp_path: Path) -> None:
    for wrong in ({"workers": 0}, {"first": 0}, {"max_failures": 0}, {"failure_share": 20}, {"failure_share": -0.1}):
        with pytest.raises(ConfigurationError):
            Options(**wrong)
    journal = open_journal(tmp_path / "j", account("monri"), "monri")
    with pytest.raises(ConfigurationError, match="is the journal of monri"):
        open_journal(tmp_path / "j", account("wonder"), "wonder")
    job, _ = await run_job(account("monri"), [draft(1)], journal)
    assert [outcome async for outcome in job] == []
    with pytest.raises(BulkError, match="can run only once"):
        await job.__aenter__()


async def test_second_job_with_the_same_journal_object_is_refused(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account("monri"), "monri")
    with pytest.raises(BulkError, match="no run to resume"):
        await run_job(account("monri"), [draft(1)], journal, resume=True)
    async with CustomerSession(account("monri")) as session, sync(session, [draft(1)], journal=journal) as job:
        for other in (journal, Journal.existing(journal.path)):
            with pytest.raises(BulkError, match="another run is using this journal"):
                await run_job(account("monri"), [draft(1, "2")], other)
            with pytest.raises(BulkError, match="another run is using this journal"):
                forget(other, ["c-1"], [])
        assert [outcome.status async for outcome in job] == ["created"]
    assert [it["name"] for it in server.store.customers("monri")] == ["Ada Nr 1 v1"]


async def test_journal_contains_no_personal_data(account: AccountFactory, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 20)
    journal = open_journal(tmp_path / "j", account("paydock"), "paydock")
    await run_job(account("paydock"), sources.read(source), journal)
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("j*")))  # noqa: ASYNC240 - small files
    for personal in (b"Ada", b"example.com", b"91 234", b"+38591", b"91234"):
        assert personal not in written
    assert b"c-17" in written
    assert oct((tmp_path / "j.key").stat().st_mode & 0o777) == "0o600"


async def test_invalid_rows_of_a_slow_source_stop_the_job(account: AccountFactory, server: SimulatorServer) -> None:
    """A batch of a slow source has few rows."""

    async def slow() -> AsyncIterator[CustomerDraft]:
        for number in range(1000):
            await anyio.sleep(0.01)
            yield CustomerDraft(f"c-{number}", email="a" * 256)

    with pytest.raises(BulkError, match=r"5\d of 5\d rows cannot be sent for the same reason \(invalid email\)"):
        await run_job(account("paydock"), slow(), failure_share=0.2)
    assert server.store.ledger("paydock") == {}


async def test_stop_ends_the_wait_for_the_next_row_of_a_source(account: AccountFactory) -> None:
    waiting, closed = anyio.Event(), False

    async def live() -> AsyncIterator[CustomerDraft]:
        nonlocal closed
        try:
            yield CustomerDraft("c-0", name="Ada")
            waiting.set()
            await anyio.sleep_forever()
        finally:
            closed = True

    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        job = sync(session, live())
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(collect, job)
                await waiting.wait()
                job.stop()
    assert (job.exit_status, closed) == ("interrupted", True)
