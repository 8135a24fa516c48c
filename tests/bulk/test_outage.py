"""Outages of the gateway: what a job reports, how long it waits, and how it ends."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from bulk.customers import AccountFactory, Jobs, draft, drafts, once

from wonder_customers import BulkError, CustomerSession
from wonder_customers.bulk import BULK, Job, Options, Outcome, sync
from wonder_customers.bulk.outage import OutageWatch
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.errors import GatewayUnavailableError, NoResponseError, NotSentError
from wonder_customers.retry import Evidence
from wonder_customers.simulator.server import SimulatorServer
from wonder_customers.testing import no_waits

pytestmark = pytest.mark.anyio

NEVER = NotSentError("no attempt was made")


def _text(watch: OutageWatch) -> str | None:
    return None if watch.current is None else watch.current.text


async def _collect(job: Job, begins: Callable[[], None], failed: list[Outcome]) -> None:
    """Run a job and collect the rows that failed; an outage begins with the first outcome."""
    async with job:
        async for outcome in job:
            begins()
            if not outcome.ok:
                failed.append(outcome)


def test_outage_is_named_by_its_last_request_and_counted() -> None:
    watch = OutageWatch()
    with no_waits() as waits:
        watch.record(Evidence.UNKNOWN, GatewayUnavailableError("busy", status=503))
        assert _text(watch) is None  # too short to be reported
        waits.waits.append(60.0)
        for error, text in (
            (GatewayUnavailableError("busy", status=503), "the gateway responds with 503 (2 times)"),
            (NotSentError("it was not sent to https://x: no connection: connection refused"), "connection refused (3 "),
            (
                NoResponseError("it was sent and received no response: timeout"),
                "the gateway does not respond (4 times)",
            ),
        ):
            watch.record(Evidence.NOT_SENT, error)
            assert (_text(watch) or "").startswith(text)
        watch.record(Evidence.RESPONSE, NEVER)
        watch.record(Evidence.STALE, NEVER)  # too short to be reported
        watch.record(Evidence.RESPONSE, NEVER)
        assert not watch.lasts
    assert [(it.requests, round(it.seconds)) for it in watch.past] == [(4, 60)]


async def test_job_waits_for_the_end_of_an_outage(jobs: Jobs) -> None:
    """The outage lasts for more requests than the attempts of a row."""
    jobs.server.faults.add("server_error", gateway=jobs.gateway, status=503, times=300)
    with no_waits():
        job, outcomes = await jobs.run(drafts(20), retry=BULK, give_up_after=1e6)
    assert [outcome.reason for outcome in outcomes if not outcome.ok] == []
    assert jobs.ledger() == once(20)
    assert [(it.reason, it.requests) for it in job.past_outages] == [("the gateway responds with 503", 300)]


async def test_job_gives_up_in_order_and_can_be_resumed(jobs: Jobs) -> None:
    failed: list[Outcome] = []
    begins = partial(jobs.server.faults.add, "server_error", gateway=jobs.gateway, status=503, times=None)
    words = r"the gateway responds with 503 \([\d,]+ times\).*same program"
    async with CustomerSession(jobs.account) as session:
        job = sync(session, drafts(30), journal=jobs.journal, options=Options(give_up_after=600))
        with no_waits(), pytest.raises(BulkError, match=words):
            await _collect(job, begins, failed)
    assert job.exit_status == "outage"
    assert {outcome.applied for outcome in failed} <= {"unknown"}  # rows that were under way at the end
    assert job.past_outages[-1].seconds >= 600
    assert 0 < len(jobs.server.store.created(jobs.gateway)) < 30
    jobs.server.faults.clear()
    with no_waits():
        resumed, outcomes = await jobs.run(drafts(30), resume=True, retry=BULK)
    assert resumed.exit_status == "finished"
    assert [outcome for outcome in outcomes if not outcome.ok] == []
    assert jobs.ledger() == once(30)


async def test_row_that_fails_alone_does_not_wait_for_an_outage(jobs: Jobs) -> None:
    jobs.server.faults.add("server_error", status=500, times=None, method="POST")
    with no_waits():
        job, (outcome,) = await jobs.run([draft(1)], retry=BULK, give_up_after=1e6)
    assert (job.exit_status, outcome.status) == ("finished", "failed")


async def test_job_gives_up_if_the_server_of_its_shared_limit_does_not_respond(jobs: Jobs) -> None:
    pytest.importorskip("redis")
    async with CustomerSession(jobs.account, rate_limit=SharedLimit("redis://127.0.0.1:1", 100)) as session:
        job = sync(session, drafts(30), options=Options(retry=BULK, give_up_after=0.1))
        with pytest.raises(BulkError, match="the server of the shared limit has not responded for"):
            await _collect(job, lambda: None, [])
    assert (job.exit_status, jobs.requests()) == ("outage", 0)


@pytest.mark.parametrize("fault", ["503", "429 with a Retry-After of an hour", "429"])
async def test_stop_ends_every_wait(account: AccountFactory, server: SimulatorServer, fault: str) -> None:
    parameters: dict[str, Any] = {} if "429" in fault else {"status": 503}
    if "Retry-After" in fault:
        parameters["retry_after"] = 3600
    server.faults.add("rate_limited" if "429" in fault else "server_error", times=None, **parameters)
    async with CustomerSession(account("paydock")) as session:
        options = Options(retry=BULK, give_up_after=3600)
        job = sync(session, [draft(number) for number in range(100)], options=options)
        async with job:
            await anyio.sleep(0.5)
            stopped = time.monotonic()
            job.stop()
            async for _ in job:
                pass
        assert time.monotonic() - stopped < 60
    assert job.exit_status == "interrupted"
