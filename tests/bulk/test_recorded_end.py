"""How a job ends is recorded in the job and in its journal."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from attrs import evolve
from bulk.customers import OPTIONS, Jobs, collect, count_statuses, draft, drafts

from wonder_customers import BulkError, ConfigurationError, CustomerDraft
from wonder_customers.bulk import Job, Journal, Options, sync
from wonder_customers.bulk.journal.removals import Removals

pytestmark = pytest.mark.anyio


async def listen(job: Job, outcomes: list[bool], after: Callable[[], object] = lambda: None) -> None:
    """Run a job, keep its outcomes also if it ends with an error, and then call `after`."""
    async with job:
        async for outcome in job:
            outcomes.append(outcome.ok)  # noqa: PERF401 - a comprehension loses its items
        after()


@pytest.mark.parametrize("wanted", ["result", "start"])
async def test_journal_that_lost_the_last_results_does_not_finish(wanted: str, jobs: Jobs) -> None:
    """The rows have arrived, and the next run looks them up. `start`: even the database cannot be opened."""
    connect = jobs.journal.writer.connect

    def failing() -> sqlite3.Connection:
        if wanted == "start":
            raise sqlite3.OperationalError("unable to open database file")
        connection = connect()
        connection.execute("CREATE TEMP TRIGGER t BEFORE UPDATE ON rows BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
        connection.execute(
            "CREATE TEMP TRIGGER u BEFORE INSERT ON rows WHEN new.state = 'done' BEGIN SELECT RAISE(FAIL, 'full'); END"
        )
        return connection

    jobs.journal.writer.connect = failing
    outcomes, rows = list[bool](), drafts(20)
    async with jobs.session() as session:
        job = sync(session, rows, journal=jobs.journal, options=OPTIONS)
        with pytest.raises(BulkError, match=r"could not be written .*The next run looks up the customers"):
            await listen(job, outcomes)
    sent = 0 if wanted == "start" else 20
    assert (job.exit_status, outcomes, job.unfinished) == ("journal", [True] * sent, 20 - sent)
    jobs.journal = Journal.existing(jobs.journal.path)
    assert jobs.journal.states() == ({"sending": 20} if sent else {})
    _, outcomes_again = await jobs.run(rows, resume=True)
    assert count_statuses(outcomes_again) in ({"created": 20}, {"written": 20})
    assert set(jobs.ledger().values()) == {1}


@pytest.mark.parametrize(
    ("deleted", "message"),
    [(False, "only the end of the run is missing"), (True, "was moved or deleted during the run. Restore it")],
)
async def test_end_of_the_run_that_cannot_be_recorded_is_part_of_the_exit_status(
    deleted: bool, message: str, jobs: Jobs
) -> None:
    outcomes = list[bool]()

    def drop() -> None:
        if deleted:
            jobs.journal.path.unlink()
            return
        with closing(sqlite3.connect(jobs.journal.path)) as database:
            database.execute("DROP TABLE runs")

    async with jobs.session() as session:
        job = sync(session, [draft(1)], journal=jobs.journal, options=OPTIONS)
        with pytest.raises(BulkError, match=message):
            await listen(job, outcomes, drop)
    assert (job.exit_status, outcomes, jobs.journal.path.exists()) == ("journal", [True], not deleted)


def _inspect(*_: object) -> None:
    raise LookupError


async def _raising() -> AsyncIterator[CustomerDraft]:
    yield draft(1)
    raise KeyError


def _broken() -> Iterator[CustomerDraft]:
    yield draft(1)
    raise LookupError


class SourceExit(BaseException):
    """An error like `SystemExit`."""


def _exiting() -> Iterator[CustomerDraft]:
    yield draft(1)
    raise SourceExit


@pytest.mark.parametrize(
    ("rows", "options", "error"),
    [
        (_broken, OPTIONS, LookupError),
        (_raising, OPTIONS, KeyError),
        (_exiting, OPTIONS, SourceExit),
        (lambda: [draft(1)], evolve(OPTIONS, inspect=_inspect), LookupError),
    ],
)
async def test_run_that_ends_with_an_error_is_not_recorded_as_finished(
    rows: Callable[[], Any], options: Options, error: type[BaseException], jobs: Jobs
) -> None:
    """The number of its rows does not replace that of the last finished run, which limits deletions."""
    await jobs.run(drafts(3))
    async with jobs.session() as session:
        job = sync(session, rows(), journal=jobs.journal, options=options)
        with pytest.raises(error):
            await collect(job)
    last = jobs.journal.last_run()
    assert (job.exit_status, last and last.exit_status) == ("interrupted", "interrupted")
    assert Removals(jobs.journal).rows_before() == 3


def test_journal_that_cannot_be_opened_is_reported(jobs: Jobs) -> None:
    jobs.journal.path.write_bytes(b"other contents" * 1000)
    for reading in (jobs.journal.reader, jobs.journal.confirmations):
        with pytest.raises(ConfigurationError, match="cannot be used as a journal"), reading():
            pass
    with pytest.raises(ConfigurationError, match="cannot be used as a journal"):
        next(Removals(jobs.journal).written(lambda _: []))
