"""Bulk jobs against the simulated gateways."""

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve
from bulk.customers import QUICK, collect, draft, write_csv

from wonder_customers import (
    AdaptiveRateLimit,
    BulkError,
    ConfigurationError,
    CustomerDraft,
    CustomerSession,
    OutcomeUnknownError,
    RateLimit,
    RateLimiter,
)
from wonder_customers.bulk import Job, Journal, Options, Outcome, Row, sources, sync
from wonder_customers.dialects import names
from wonder_customers.rate_limit import RequestResult
from wonder_customers.simulator.server import SimulatorServer
from wonder_customers.wire import Transmission

pytestmark = pytest.mark.anyio

Account = Callable[[str], Any]
OPTIONS = Options(retry=QUICK, failure_share=None)


def journal_for(path: Path, account: Any, gateway: str) -> Journal:
    return Journal.open(path, gateway=gateway, endpoint=account.base_url)


async def outcomes_of(
    account: Any, rows: Any, journal: Journal | None = None, *, rate_limit: RateLimiter | None = None, **options: Any
) -> tuple[Job, list[Outcome]]:
    async with CustomerSession(account, rate_limit=rate_limit or AdaptiveRateLimit()) as session:
        chosen = Options(**{"retry": QUICK, "failure_share": None, **options})
        job = sync(session, rows, journal=journal, options=chosen)
        return job, await collect(job)


def counted(outcomes: list[Outcome]) -> dict[str, int]:
    return dict(Counter(outcome.status for outcome in outcomes))


@pytest.mark.parametrize("gateway", names())
async def test_rows_are_sent_once_and_again_only_when_they_change(
    gateway: str, server: SimulatorServer, account: Account, tmp_path: Path
) -> None:
    new = "written" if gateway == "wonder" else "created"
    source, journal = write_csv(tmp_path / "c.csv", 60), journal_for(tmp_path / "j", account(gateway), gateway)
    job, first = await outcomes_of(account(gateway), sources.read(source), journal)
    assert counted(first) == {new: 60}
    assert all(outcome.id and outcome.applied == "yes" for outcome in first)
    assert (job.rows_read, job.unfinished, job.exit_status) == (60, 0, "finished")
    sent = server.faults.requests.total()
    _, again = await outcomes_of(account(gateway), sources.read(source), journal)
    assert counted(again) == {"unchanged": 60}
    assert server.faults.requests.total() == sent
    source.write_text(source.read_text().replace("Ada Nr 7 v1", "Ada Nr 7 v2"))
    _, changed = await outcomes_of(account(gateway), sources.read(source), journal)
    assert counted(changed) == {"unchanged": 59, "updated": 1}
    _, full = await outcomes_of(account(gateway), sources.read(source), journal, full=True)
    assert counted(full) == {"updated": 60}
    assert server.store.ledger(gateway) == {f"c-{number}": 1 for number in range(60)}


async def test_same_payload_from_other_columns_is_unchanged(
    account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = journal_for(tmp_path / "j", account("monri"), "monri")
    await outcomes_of(account("monri"), [draft(number) for number in range(5)], journal)
    sent = server.faults.requests.total()
    source = write_csv(tmp_path / "c.csv", 5)
    for _ in range(2):
        _, again = await outcomes_of(account("monri"), sources.read(source), journal)
        assert counted(again) == {"unchanged": 5}
    assert server.faults.requests.total() == sent


async def test_full_run_sends_every_row_once_when_resumed(account: Account, tmp_path: Path) -> None:
    journal, drafts = journal_for(tmp_path / "j", account("monri"), "monri"), [draft(number) for number in range(40)]
    await outcomes_of(account("monri"), drafts, journal)
    job, first = await outcomes_of(account("monri"), drafts, journal, full=True, first=15)
    assert (job.exit_status, counted(first)) == ("paused", {"updated": 15})
    _, rest = await outcomes_of(account("monri"), drafts, journal, full=True, resume=True)
    assert counted(rest) == {"updated": 40}
    assert sum(outcome.replayed for outcome in rest) == 15


async def test_drafts_from_iterables_and_rows_are_sent(account: Account) -> None:
    def plain() -> Iterator[CustomerDraft]:
        yield from (draft(number) for number in range(60))

    async def slow() -> AsyncIterator[CustomerDraft]:
        for number in range(60, 70):
            await anyio.lowlevel.checkpoint()
            yield draft(number)

    for source, size in ((plain(), 60), (slow(), 10), ([Row(5, draft(80))], 1), ([], 0)):
        job, outcomes = await outcomes_of(account("monri"), source)
        assert counted(outcomes) == ({"created": size} if size else {})
        assert job.rows_read == size


async def test_invalid_rows_do_not_stop_the_job(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    source = tmp_path / "c.csv"
    source.write_text(
        "reference,name,email,phone\nc-1,Ada,ada@example.com,+385 91 234 5678\n"
        "c-2,Grace,grace@example.com,secret-phone\n"
        "c-1,Ada,ada@example.com,+385 91 234 5678\n,Noor,n@example.com,+385 91 234 5678\nc-5,Jo,jo@example.com,1,9\n"
    )
    _, outcomes = await outcomes_of(account("paydock"), sources.read(source))
    by_number = {outcome.number: outcome for outcome in outcomes}
    assert {number: outcome.status for number, outcome in by_number.items()} == {
        1: "created",
        2: "invalid",
        3: "duplicate",
        4: "invalid",
        5: "invalid",
    }
    assert (by_number[2].reason or "").startswith("line 3: phone (on the wire: phone): must be")
    assert by_number[3].reason == "line 4: row 1 has the same reference; only that one is sent"
    assert by_number[4].reason == "line 5: has no reference"
    assert "secret-phone" not in repr(outcomes) + str(by_number[2].reason)
    assert server.store.ledger("paydock") == {"c-1": 1}


async def test_rejected_row_is_sent_again_only_on_request(
    account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = journal_for(tmp_path / "j", account("wonder"), "wonder")
    server.faults.add("server_error", times=None, path="*customers", status=400)
    _, first = await outcomes_of(account("wonder"), [draft(1)], journal)
    assert (first[0].status, first[0].code, first[0].applied) == ("failed", "InvalidRequestError 400", "no")
    assert journal.states() == {"failed": 1}
    assert journal.codes() == {"InvalidRequestError 400": 1}
    server.faults.clear()
    journal.begin({}, resume=True)
    journal.release()
    _, resumed = await outcomes_of(account("wonder"), [draft(1)], journal, resume=True)
    assert (resumed[0].status, resumed[0].replayed) == ("failed", True)
    job, retried = await outcomes_of(account("wonder"), [draft(1), draft(2)], journal, only="failed")
    assert counted(retried) == {"written": 1}
    assert (job.skipped, job.unfinished) == (1, 0)


@pytest.mark.parametrize("gateway", names())
async def test_transient_faults_are_retried(
    gateway: str, account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    for kind in ("server_error", "read_close", "truncated_body", "accept_rst"):
        server.faults.add(kind, times=1)
    journal = journal_for(tmp_path / "j", account(gateway), gateway)
    job, outcomes = await outcomes_of(account(gateway), [draft(number) for number in range(20)], journal)
    assert all(outcome.ok for outcome in outcomes), outcomes
    assert server.store.ledger(gateway) == {f"c-{number}": 1 for number in range(20)}
    assert max(outcome.attempts for outcome in outcomes) > 1
    assert job.stats.requests.failed > 0


async def test_throttling_reduces_the_rate(account: Account, server: SimulatorServer) -> None:
    server.faults.add("rate_limited", times=2, retry_after=0.05)
    job, outcomes = await outcomes_of(account("wonder"), [draft(number) for number in range(10)])
    assert counted(outcomes) == {"written": 10}
    assert job.stats.requests.throttled == 2
    assert job.rate is not None
    assert [outcome.attempts for outcome in outcomes].count(2) == 2


async def test_next_run_resolves_unknown_outcome(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    journal = journal_for(tmp_path / "j", account("wonder"), "wonder")
    server.faults.add("read_close", times=None, method="POST")
    _, first = await outcomes_of(account("wonder"), [draft(1)], journal, retry=evolve(QUICK, attempts=2))
    assert (first[0].status, first[0].applied) == ("failed", "unknown")
    assert isinstance(first[0].error, OutcomeUnknownError)
    assert "It may have been applied" in (first[0].reason or "")
    assert journal.states() == {"unknown": 1}
    server.faults.clear()
    posts = server.store.requests.copy()
    _, second = await outcomes_of(account("wonder"), [draft(1)], journal)
    assert counted(second) == {"written": 1}
    # The customer was there and equal: the gateway was asked, and nothing was written.
    assert [key[1] for key in (server.store.requests - posts)] == ["GET"]
    assert server.store.ledger("wonder") == {"c-1": 1}


async def test_refused_credentials_stop_the_job(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    server.faults.add("server_error", times=None, status=401)
    journal = journal_for(tmp_path / "j", account("monri"), "monri")
    job: Job | None = None
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        job = sync(
            session, [draft(number) for number in range(500)], journal=journal, options=evolve(OPTIONS, workers=4)
        )
        with pytest.raises(BulkError, match=r"refused the credentials.*wonder-customers resume") as caught:
            await collect(job)
    assert job.exit_status == "refused"
    assert server.faults.requests.total() <= 4
    assert journal.states().keys() <= {"held"}
    assert "Nothing" not in str(caught.value) or "applied" in str(caught.value)
    server.faults.clear()
    resumed, outcomes = await outcomes_of(
        account("monri"), [draft(number) for number in range(500)][:20], journal, resume=True
    )
    assert counted(outcomes) == {"created": 20}
    assert resumed.exit_status == "finished"


@pytest.mark.parametrize(
    ("limits", "words"), [({"max_failures": 5}, "5 rows failed"), ({"failure_share": 0.2}, "of the last 50")]
)
async def test_too_many_failures_stop_the_job(
    limits: dict[str, Any], words: str, account: Account, server: SimulatorServer
) -> None:
    server.faults.add("server_error", times=None, status=400, method="POST")
    async with CustomerSession(account("wonder"), retry=QUICK) as session:
        options = Options(**{"retry": QUICK, "failure_share": None, **limits})
        job = sync(session, (draft(number) for number in range(10_000)), options=evolve(options, workers=4))
        with pytest.raises(BulkError, match=words):
            await collect(job)
    assert job.exit_status == "failures"
    assert job.rows_read < 200


async def test_stop_completes_rows_under_way(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    journal = journal_for(tmp_path / "j", account("monri"), "monri")
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        job = sync(session, (draft(number) for number in range(10_000)), journal=journal, options=OPTIONS)
        seen = 0
        async with job:
            async for _ in job:
                seen += 1
                if seen == 20:
                    job.stop()
    assert job.exit_status == "interrupted"
    assert seen < 100
    assert journal.states().get("done") == seen
    assert "sending" not in journal.states()
    last = journal.last_run()
    assert last is not None
    assert (last.exit_status, last.counts) == ("interrupted", {"created": seen})


async def test_leaving_the_block_early_ends_in_order(account: Account, tmp_path: Path) -> None:
    journal = journal_for(tmp_path / "j", account("monri"), "monri")
    drafts = (draft(number) for number in range(10_000))
    async with (
        CustomerSession(account("monri"), retry=QUICK) as session,
        sync(session, drafts, journal=journal, options=OPTIONS) as job,
    ):
        async for _ in job:
            break
    assert job.exit_status == "interrupted"
    assert "sending" not in journal.states()


async def test_an_async_source_is_closed_when_the_job_stops(account: Account) -> None:
    closed = anyio.Event()

    async def endless() -> AsyncIterator[CustomerDraft]:
        try:
            for number in range(10_000):
                yield draft(number)
        finally:
            closed.set()

    async with (
        CustomerSession(account("monri"), retry=QUICK) as session,
        sync(session, endless(), options=OPTIONS) as job,
    ):
        async for _ in job:
            job.stop()
    assert closed.is_set()


async def test_a_cancelled_job_can_be_resumed(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    journal = journal_for(tmp_path / "j", account("paydock"), "paydock")
    drafts = [draft(number) for number in range(200)]
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        with anyio.move_on_after(10) as scope:
            async with sync(session, drafts, journal=journal, options=OPTIONS) as job:
                async for outcome in job:
                    if outcome.number == 30:
                        scope.cancel()
    assert job.exit_status == "interrupted"
    assert sum(journal.states().values()) < 200
    _, outcomes = await outcomes_of(account("paydock"), drafts, journal, resume=True)
    assert len(outcomes) == 200
    assert all(outcome.ok for outcome in outcomes)
    assert server.store.ledger("paydock") == {f"c-{number}": 1 for number in range(200)}


async def test_error_in_the_loop_body_is_raised_unchanged(account: Account, tmp_path: Path) -> None:
    journal = journal_for(tmp_path / "j", account("monri"), "monri")

    async def fail(session: CustomerSession[Any]) -> None:
        async with sync(session, [draft(1), draft(2)], journal=journal, options=OPTIONS) as job:
            async for _ in job:
                raise KeyError("mine")

    async with CustomerSession(account("monri"), retry=QUICK) as session:
        with pytest.raises(KeyError, match="mine"):
            await fail(session)


async def test_a_full_disk_stops_the_job_before_another_request(
    account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = journal_for(tmp_path / "j", account("monri"), "monri")
    connect = journal.writer.connect

    def small() -> sqlite3.Connection:
        connection = connect()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 3}").close()
        return connection

    journal.writer.connect = small
    drafts = [draft(number) for number in range(2000)]
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        job = sync(session, drafts, journal=journal, options=OPTIONS)
        with pytest.raises(BulkError, match=r"could not be written .*full.*wonder-customers resume"):
            await collect(job)
    assert job.exit_status == "journal"
    made = server.store.ledger("monri")
    assert 0 < len(made) < 1000
    states = Journal.existing(tmp_path / "j").states()
    assert states.get("done", 0) + states.get("sending", 0) >= len(made)
    fresh = Journal.existing(tmp_path / "j")
    _, outcomes = await outcomes_of(account("monri"), drafts[:300], fresh, resume=True)
    assert all(outcome.ok for outcome in outcomes)
    assert set(server.store.ledger("monri").values()) == {1}


async def test_job_reports_its_progress(account: Account, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 60)
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        job = sync(session, sources.read(source), options=evolve(OPTIONS, workers=2))
        async with job:
            seen = [job.fraction or 0.0 async for _ in job]
        async with sync(session, [draft(1)], options=OPTIONS) as unknown:
            assert [unknown.fraction async for _ in unknown] == [None]
    assert seen == sorted(seen)
    assert seen[0] < 0.2
    assert job.fraction == 1.0


async def test_only_the_first_rows_are_sent(account: Account, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 30)
    job, outcomes = await outcomes_of(account("monri"), sources.read(source), first=10)
    assert (len(outcomes), job.exit_status, job.unfinished) == (10, "paused", 0)
    job, outcomes = await outcomes_of(account("monri"), [draft(number) for number in range(5)], first=5)
    assert (len(outcomes), job.exit_status) == (5, "finished")


async def test_unreadable_rest_of_a_source_stops_the_job(account: Account, tmp_path: Path) -> None:
    source = tmp_path / "c.jsonl"
    source.write_text('{"reference": "c-1", "name": "Ada"}\n{"reference": "c-2", "cvv": "123"}\n')
    with pytest.raises(BulkError, match="security codes"):
        await outcomes_of(account("monri"), sources.read(source))


async def test_fixed_rate_is_kept(account: Account) -> None:
    started = anyio.current_time()
    drafts = [draft(number) for number in range(15)]
    job, outcomes = await outcomes_of(account("monri"), drafts, rate_limit=RateLimit(40))
    # 15 rows of two requests each.
    assert 0.6 < anyio.current_time() - started < 3
    assert len(outcomes) == 15
    assert job.rate == 40.0


async def test_invalid_options_and_journals_are_refused(account: Account, tmp_path: Path) -> None:
    for wrong in ({"workers": 0}, {"first": 0}, {"max_failures": 0}):
        with pytest.raises(ConfigurationError):
            Options(**wrong)  # type: ignore[arg-type]
    journal = journal_for(tmp_path / "j", account("monri"), "monri")
    with pytest.raises(ConfigurationError, match="is the journal of monri"):
        journal_for(tmp_path / "j", account("wonder"), "wonder")
    other = Journal.existing(tmp_path / "j")
    other.begin({})
    with pytest.raises(BulkError, match="another run is using this journal"):
        await outcomes_of(account("monri"), [draft(1)], journal)
    other.release()
    job, _ = await outcomes_of(account("monri"), [draft(1)], journal)
    assert [outcome async for outcome in job] == []
    with pytest.raises(BulkError, match="can run only once"):
        await job.__aenter__()


async def test_journal_contains_no_personal_data(account: Account, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 40)
    journal = journal_for(tmp_path / "j", account("paydock"), "paydock")
    await outcomes_of(account("paydock"), sources.read(source), journal)
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("j*")))  # noqa: ASYNC240 - small files
    for personal in (b"Ada", b"example.com", b"91 234", b"+38591", b"91234"):
        assert personal not in written
    assert b"c-17" in written
    assert oct((tmp_path / "j.key").stat().st_mode & 0o777) == "0o600"


class NeverPermits:
    """A rate limit that permits no request, such as a shared one whose store cannot be reached."""

    async def acquire(self, transmission: Transmission, /) -> None:
        await anyio.sleep_forever()

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        raise AssertionError


async def test_stop_ends_a_wait_for_the_rate_limit(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    journal = journal_for(tmp_path / "j", account("monri"), "monri")
    async with CustomerSession(account("monri"), rate_limit=NeverPermits()) as session:
        with anyio.fail_after(2):
            async with sync(session, [draft(number) for number in range(100)], journal=journal) as job:
                await anyio.sleep(0.1)
                job.stop()
    assert (job.exit_status, job.stats.rows, server.faults.requests.total()) == ("interrupted", 0, 0)
    assert journal.states().keys() == {"held"}
