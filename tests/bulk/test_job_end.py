"""How a job ends: errors, cancellation and early exits."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from bulk.customers import QUICK, collect, draft, write_csv

from wonder_customers import BulkError, ConfigurationError, CustomerSession, SessionClosedError
from wonder_customers.bulk import Job, Journal, Options, Outcome, sources, sync
from wonder_customers.records import CustomerDraft
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio

Account = Callable[[str], Any]


async def test_job_stopped_before_its_start_sends_nothing(account: Account, server: SimulatorServer) -> None:
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        job = sync(session, [draft(number) for number in range(20)])
        job.stop()
        assert await collect(job) == []
    assert (job.exit_status, server.store.ledger("monri")) == ("interrupted", {})


async def test_job_that_cannot_start_closes_its_source(account: Account, tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", gateway="wonder", endpoint=account("wonder").base_url)
    rows = sources.read(write_csv(tmp_path / "c.csv", 3))
    assert rows.file is not None
    assert not rows.file.closed
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        with pytest.raises(ConfigurationError):
            await collect(sync(session, rows, journal=journal))
    assert rows.file.closed


async def test_journal_of_another_gateway_is_refused(account: Account, server: SimulatorServer, tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", gateway="wonder", endpoint=account("wonder").base_url)
    async with CustomerSession(account("monri"), retry=QUICK) as session:
        with pytest.raises(
            ConfigurationError, match=r"is the journal of wonder at .*, not of monri at .* Nothing was sent"
        ):
            await collect(sync(session, [draft(1)], journal=journal))
        assert session.gateway == "monri"
    assert (journal.states(), server.store.ledger("monri")) == ({}, {})
    journal.hold()  # it was not taken


@pytest.mark.parametrize("within", [True, False])
async def test_error_of_the_caller_is_raised_unchanged_while_workers_wait(within: bool, account: Account) -> None:
    """Unread outcomes block the workers."""
    error = ValueError()

    async def fail(job: Job) -> None:
        async with job:
            if within:
                await anext(job)
            while job.stats.rows < 3:
                await checkpoint()
            raise error

    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        job = sync(session, [draft(number) for number in range(40)], options=Options(workers=2))
        with pytest.raises(ValueError) as caught:
            await fail(job)
    assert (caught.value, job.exit_status) == (error, "interrupted")


async def test_job_cancelled_while_waiting_for_its_source_ends_in_order(account: Account) -> None:
    async def slowly() -> AsyncIterator[CustomerDraft]:
        yield draft(1)
        await anyio.sleep_forever()

    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        job, heard = sync(session, slowly()), 0
        with anyio.move_on_after(0.3) as scope:
            async with job:
                async for _ in job:
                    heard += 1
    assert (scope.cancelled_caught, heard, job.exit_status) == (True, 0, "interrupted")


async def test_job_cancelled_after_last_row_ends_in_order(account: Account) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        job, heard = sync(session, [draft(number) for number in range(3)], options=Options(workers=1)), 0
        with anyio.CancelScope() as scope:
            async with job:
                async for _ in job:
                    heard += 1
                    if heard == 3:
                        scope.cancel()
    assert (scope.cancelled_caught, heard, job.stats.rows) == (True, 3, 3)


def _broken() -> Iterator[CustomerDraft]:
    yield draft(1)
    raise LookupError


async def test_error_of_the_source_is_raised_unchanged(account: Account) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        with pytest.raises(LookupError):
            await collect(sync(session, _broken()))


async def collect_within(job: Job, seconds: float) -> list[Outcome]:
    async with job:
        with anyio.fail_after(seconds):
            return [outcome async for outcome in job]


async def test_timeout_around_the_loop_is_raised_as_timeout(account: Account) -> None:
    async def endless() -> AsyncIterator[CustomerDraft]:
        yield draft(1)
        await anyio.sleep_forever()

    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        job = sync(session, endless())
        with pytest.raises(TimeoutError):
            await collect_within(job, 0.5)
    assert job.exit_status == "interrupted"


async def test_timeout_scope_around_a_complete_loop_is_left_in_order(account: Account) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        job = sync(session, [draft(number) for number in range(5)])
        outcomes = await collect_within(job, 30)
    assert (len(outcomes), job.exit_status) == (5, "finished")


async def test_iterating_outside_async_with_is_refused(account: Account, server: SimulatorServer) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        job = sync(session, [draft(1)])
        with pytest.raises(BulkError, match="async with"):
            await anext(job)
        assert [outcome.ok for outcome in await collect(job)] == [True]
    assert server.store.ledger("paydock") == {"c-1": 1}


async def test_row_that_is_not_a_draft_is_reported(account: Account) -> None:
    rows: list[Any] = [draft(1), "Ada"]
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        with pytest.raises(BulkError, match="row 2 must be a CustomerDraft, not str"):
            await collect(sync(session, rows))


async def test_closed_session_raises_session_closed_error(account: Account) -> None:
    async with CustomerSession(account("paydock"), retry=QUICK) as session:
        pass
    with pytest.raises(SessionClosedError):
        await collect(sync(session, [draft(1)], options=Options(workers=1)))
