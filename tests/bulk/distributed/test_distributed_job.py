"""Distributed jobs on the in-process backend."""

import random
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from attrs import evolve
from backends import TRIO_IN_LONG_TESTS
from bulk.customers import (
    HEADER,
    QUICK,
    AccountFactory,
    Jobs,
    collect,
    journal_rows,
    line,
    once,
    open_journal,
    run_job,
    write_csv,
)
from bulk.distributed.in_process import InProcessBackend, distribute, left_behind, make_job, until

from wonder_customers import BulkError, ConfigurationError, Monri, Paydock
from wonder_customers.bulk import Journal, Options, Outcome, Source, verify
from wonder_customers.bulk import report as reports
from wonder_customers.bulk.journal.digest import VARIABLE
from wonder_customers.bulk.permits import Grant, LeasedRateLimit, PermitServer, Unreachable
from wonder_customers.bulk.stop_reasons import Stop
from wonder_customers.dialects.paydock.simulator import PaydockSimulator
from wonder_customers.simulator.server import SimulatorServer

# Workers run on asyncio.
pytestmark = [pytest.mark.anyio, TRIO_IN_LONG_TESTS]


def mixed(path: Path, rows: int) -> Path:
    """Write a source with all kinds of rows: repeated, invalid, unreadable and valid rows."""
    lines = [line(number) for number in range(rows)]
    lines[rows // 2] = line(3)
    lines[rows - 2] = line(rows // 3)
    lines[7] = "c-7,Bad,bad@example.com,no-phone"
    lines[rows // 4] = "c-x,too,many,columns,here"
    lines[rows // 5] = f'c-{rows // 5},"Two\nlines",two@example.com,+385 91 234 5678'
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


async def local(account: Any, source: Source, path: Path) -> tuple[Any, list[Outcome]]:
    """Run a job in this process, and return it with the rows that failed."""
    job, outcomes = await run_job(account, source.read(), open_journal(path, account, "paydock"))
    return job, [outcome for outcome in outcomes if not outcome.ok]


def plain(outcomes: list[Outcome]) -> list[Any]:
    return sorted(
        (it.number, it.reference, it.status, it.reason, it.code, it.applied, it.attempts, it.place) for it in outcomes
    )


def report(job: Any) -> dict[str, Any]:
    return reports.build(job, gateway="paydock", source="s", journal=None, seconds=1.0, started=0.0)


def outcome_to_dict(job: Any) -> dict[str, Any]:
    return {name: report(job)[name] for name in ("rows", "adds_up", "failures", "exit_status", "reason")}


async def test_response_drift_of_all_workers_is_in_the_report(jobs: Jobs) -> None:
    jobs.server.quirks.add("booleans-as-numbers")
    write_csv(jobs.source, 20)
    job, _ = await distribute(jobs)
    assert await collect(job) == []
    assert report(job)["drift"] == {"paydock.archived": 20}


async def test_distributed_job_equals_a_local_job(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "one key for both journals")
    source = Source(str(mixed(tmp_path / "c.csv", 80)))
    with SimulatorServer([PaydockSimulator]) as other:
        one, letters = await local(Paydock.from_environment(other.environment()), source, tmp_path / "one")
        state = sorted(body["reference"] for body in other.store.customers("paydock"))
    many, _ = await make_job(
        account("paydock"), "paydock", source, tmp_path / "many", server.environment(), values=True
    )
    outcomes = await collect(many)
    assert [outcome async for outcome in many] == []
    assert many.stopped is None
    assert plain(outcomes) == plain(letters)
    assert {it.number: it.draft for it in outcomes} == {it.number: it.draft for it in letters}
    assert outcome_to_dict(many) == outcome_to_dict(one)
    assert many.stats.requests.sent == one.stats.requests.sent == sum(point.requests for point in many.stats.points)
    assert journal_rows(tmp_path / "many") == journal_rows(tmp_path / "one")
    assert sorted(body["reference"] for body in server.store.customers("paydock")) == state
    assert many.stats.latencies.total() == one.stats.latencies.total()
    last = Journal.existing(tmp_path / "many").last_run()
    assert last is not None
    assert (last.exit_status, dict(last.counts)) == ("finished", dict(one.stats.counts))
    # In a second run, nothing has changed, so nothing is sent.
    again, _ = await make_job(account("paydock"), "paydock", source, tmp_path / "many", server.environment())
    assert len(await collect(again)) == len(letters)
    assert (again.stats.counts["unchanged"], again.stats.requests.sent) == (76, 0)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))])
async def test_killed_processes_leave_each_customer_once(seed: int, jobs: Jobs) -> None:
    rows, rng = 150, random.Random(seed)
    write_csv(jobs.source, rows)
    job, engine = await distribute(jobs, duration=1.0)
    deaths = 0

    def reached(goal: int) -> bool:
        return jobs.requests() >= goal

    async def strike() -> None:
        nonlocal deaths
        for goal in accumulate(rng.randrange(20, 60) for _ in range(6)):
            await until(partial(reached, goal))
            engine.depose() if rng.random() < 0.3 else engine.kill(rng.choice(["w0", "w1"]))
            deaths += 1

    async with anyio.create_task_group() as group:
        group.start_soon(strike)
        with anyio.fail_after(120):
            outcomes = await collect(job)
        group.cancel_scope.cancel()
    assert deaths >= 3
    assert (outcomes, job.stopped) == ([], None)
    assert jobs.ledger() == once(rows)
    assert (job.exit_status, job.rows_read, job.unfinished, reports.adds_up(job)) == ("finished", rows, 0, True)
    assert Journal.existing(jobs.journal.path).states() == {"done": rows}
    async with jobs.session() as session:
        found = await verify(session, jobs.rows(), options=Options(retry=QUICK))
    assert found.counts["equal"] == rows


@pytest.mark.long
@pytest.mark.alone
async def test_worker_without_network_stops_sending(jobs: Jobs) -> None:
    write_csv(jobs.source, 400)
    job, engine = await distribute(jobs, workers=1, duration=0.6, size=400)
    async with anyio.create_task_group() as group:
        group.start_soon(collect, job)
        await until(lambda: jobs.requests() >= 100)
        engine.lines["w0"].cut = True
        await anyio.sleep(0.7)
        before = jobs.requests()
        await anyio.sleep(0.3)
        assert jobs.requests() == before
        assert before < 400
        engine.lines["w0"].cut = False
        with anyio.fail_after(120):
            await until(lambda: job.stats.rows == 400)
    assert jobs.ledger() == once(400)
    assert job.exit_status == "finished"


async def test_interrupted_job_is_resumed(jobs: Jobs) -> None:
    rows = 600  # so many that the job cannot end between two checks of `until`
    write_csv(jobs.source, rows)
    options = Options(retry=QUICK, failure_share=None, facts={"source": str(jobs.source)})
    job, _ = await distribute(jobs, options=options)
    async with anyio.create_task_group() as group:
        group.start_soon(collect, job)
        await until(lambda: jobs.requests() >= 80)
        job.stop()
    assert job.exit_status == "interrupted"
    assert 0 < job.stats.rows < rows
    last = jobs.last_run()
    assert (last.number, last.exit_status, last.facts) == (1, "interrupted", options.facts)
    job, _ = await distribute(jobs, options=evolve(options, resume=True))
    assert await collect(job) == []
    assert (job.exit_status, job.stats.counts["created"]) == ("finished", rows)
    assert job.stats.requests.sent < 2 * rows
    assert jobs.ledger() == once(rows)
    last = jobs.last_run()
    assert (last.number, last.exit_status) == (1, "finished")


async def test_stopped_job_may_be_left_without_reading_outcomes(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    job, _ = await distribute(jobs)
    async with job:
        job.stop()
    assert job.exit_status in {"interrupted", "finished"}


@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_only_the_first_rows_are_sent(jobs: Jobs) -> None:
    write_csv(jobs.source, 100)
    job, _ = await distribute(jobs, options=Options(retry=QUICK, first=50))
    assert await collect(job) == []
    assert (job.exit_status, job.stats.rows, job.unfinished) == ("paused", 50, 0)
    assert job.stopped is not None
    assert job.stopped.reason == "only the first 50 rows were requested"
    assert jobs.last_run().exit_status == "paused"


@pytest.mark.long
async def test_failures_are_counted_over_all_workers(jobs: Jobs) -> None:
    jobs.server.faults.add("server_error", times=None, method="POST", status=400)
    permits = PermitServer(200.0)

    async def grant(wanted: int, validity: float) -> Grant:
        return permits.grant(wanted, validity)

    write_csv(jobs.source, 2000)
    job, _ = await distribute(jobs, size=200, max_failures=30, rate_limit=LeasedRateLimit(grant))
    with pytest.raises(BulkError, match="the maximum number of failed rows, 30, was reached"):
        await collect(job)
    assert job.exit_status == "failures"
    assert 30 <= job.stats.counts["failed"] < 2000


async def test_failed_rows_of_a_partition_that_stops_the_job_are_reported(jobs: Jobs) -> None:
    lines = [f"c-{number},Ada Nr {number},not an address," for number in range(60)]
    jobs.source.write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")
    job, _ = await distribute(jobs, size=100, options=Options(retry=QUICK))
    outcomes: list[Outcome] = []

    async def receive() -> None:
        async with job:
            async for outcome in job:
                outcomes.append(outcome)  # noqa: PERF401 - the job ends with an error

    with pytest.raises(BulkError, match="60 of 60 rows cannot be sent for the same reason"):
        await receive()
    assert [outcome.number for outcome in outcomes] == list(range(1, 61))
    assert job.stats.counts == {"invalid": 60}


@pytest.mark.parametrize(
    ("changes", "words", "status"),
    [
        ({"MONRI_MERCHANT_KEY": "0" * 24}, "refused the credentials", "refused"),
        (None, "MONRI_", "workers"),
        ({"MONRI_BASE_URL": "http://127.0.0.1:1"}, "the account of this worker is at", "workers"),
    ],
    ids=["credentials", "none", "endpoint"],
)
@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_worker_with_wrong_settings_reports_the_reason(
    changes: dict[str, str] | None, words: str, status: str, jobs: Jobs
) -> None:
    write_csv(jobs.source, 30)
    variables = {} if changes is None else jobs.server.environment() | changes
    job, _ = await distribute(jobs, variables=variables)
    with pytest.raises(BulkError, match=f"{words}.*After fixing the cause, continue with"):
        await collect(job)
    assert (job.exit_status, jobs.ledger()) == (status, {})


@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_workers_trust_the_authorities_of_their_environment(jobs: Jobs, tmp_path: Path) -> None:
    write_csv(jobs.source, 3)
    (tmp_path / "ca.pem").write_text(jobs.server.certificate_authority.pem)
    variables = {**jobs.server.environment(), "MONRI_BASE_URL": jobs.server.tls()}
    variables["WONDER_CUSTOMERS_CA_FILE"] = str(tmp_path / "ca.pem")
    account, path = Monri.from_environment(variables), tmp_path / "tls.journal"
    job, _ = await make_job(account, "monri", Source(str(jobs.source)), path, variables)
    await collect(job)
    assert (job.exit_status, len(jobs.ledger())) == ("finished", 3)


class DyingWorkers(InProcessBackend):
    """A backend whose workers die at once."""

    async def run_worker(self, name: str) -> None:
        raise Unreachable


async def test_repeated_deaths_of_a_worker_stop_the_job(jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    job, _ = await distribute(jobs, kind=DyingWorkers, workers=1)
    advice = r"w0 crashed 21 times without completing a partition\. Check the worker's log\. .* After fixing the cause,"
    with pytest.raises(BulkError, match=advice):
        await collect(job)
    assert job.exit_status == "workers"


async def test_changed_source_stops_the_job(jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    job, _ = await distribute(jobs)
    write_csv(jobs.source, 31)
    with pytest.raises(BulkError, match="changed after its rows were counted"):
        await collect(job)
    assert (job.exit_status, jobs.ledger()) == ("source", {})


async def test_journal_in_use_is_reported(jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    job, _ = await distribute(jobs)
    other = Journal.existing(jobs.journal.path)
    other.begin({})
    with pytest.raises(BulkError, match="another run is using this journal"):
        await collect(job)
    assert not job.begun
    assert left_behind(jobs.source.parent) == []
    left = jobs.source.with_name("j.1.partitions")
    left.touch()
    with pytest.raises(BulkError, match="another run is using this journal"):
        await distribute(jobs)
    assert left.exists()
    other.release()
    await distribute(jobs)
    assert not left.exists()
    assert jobs.ledger() == {}


async def test_restarted_coordinator_remembers_that_the_job_stopped(jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    _, engine = await distribute(jobs)
    async with anyio.create_task_group() as group:
        group.start_soon(engine.run_coordinator)
        await until(lambda: engine.present is not None)
        assert await engine.coordinator.lease() not in {"over", "wait"}
        await engine.coordinator.stop("failures", "too many")
        await engine.coordinator.stop("interrupted", "")
        engine.depose()
        await until(lambda: engine.present is not None)
        assert await engine.coordinator.lease() == "over"
        assert (await engine.coordinator.snapshot(0))["stopped"] == Stop("failures", "too many")
        await engine.coordinator.end("failures")


@pytest.mark.long
async def test_early_exit_of_a_distributed_job_ends_in_order(jobs: Jobs) -> None:
    mixed(jobs.source, 300)
    job, _ = await distribute(jobs)
    async with job:
        async for _ in job:
            break
    assert job.exit_status in {"interrupted", "finished"}
    assert reports.adds_up(job)
    assert "sending" not in Journal.existing(jobs.journal.path).states()


@pytest.mark.long
async def test_error_in_the_loop_of_a_distributed_job_is_raised_unchanged(jobs: Jobs) -> None:
    mixed(jobs.source, 100)
    job, engine = await distribute(jobs)

    async def divide() -> None:
        async with job:
            async for outcome in job:
                outcome.number / 0

    with pytest.raises(ZeroDivisionError):
        await divide()
    assert (job.exit_status, engine.present) == ("interrupted", None)
    with pytest.raises(BulkError, match="can run only once"):
        await job.__aenter__()


class Starting(InProcessBackend):
    """A backend that never starts its coordinator."""

    async def run_coordinator(self) -> None:
        await anyio.sleep_forever()


async def test_job_cancelled_before_its_start_leaves_no_files(jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    job, engine = await distribute(jobs, kind=Starting)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(job.__aenter__)
            await until(lambda: len(engine.lines) == 2)
            scope.cancel()
    assert not job.begun
    assert (engine.present, left_behind(jobs.source.parent)) == (None, [])
    assert jobs.ledger() == {}


class Unstartable(InProcessBackend):
    """A backend whose workers cannot be started."""

    def start(self) -> None:
        raise ConfigurationError("Ray cannot be reached")


async def test_workers_are_started_when_the_job_is_opened(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    job, _ = await distribute(jobs, kind=Unstartable)
    with pytest.raises(ConfigurationError, match="Ray cannot be reached"):
        await job.__aenter__()
    assert not job.begun
    assert left_behind(jobs.source.parent) == []
