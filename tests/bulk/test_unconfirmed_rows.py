"""A row that may have been applied stays unconfirmed after later failures."""

from contextlib import nullcontext
from typing import Any

import pytest
from attrs import evolve
from bulk.customers import QUICK, Jobs, draft

from wonder_customers import BulkError
from wonder_customers.bulk import Options, Outcome, sync
from wonder_customers.dialects import names
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
@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_resume_sends_a_corrected_row_that_failed_in_that_run(corrected: bool, jobs: Jobs) -> None:
    """Invariant: a row that failed is repeated from the journal only as long as it is the same row."""
    jobs.server.faults.add("server_error", method="POST", status=400)
    options = Options(retry=QUICK, failure_share=None)
    for row in (draft(1), draft(1, "2" if corrected else "1")):
        session = jobs.session()
        async with session, sync(session, [row], journal=jobs.journal, options=options) as job:
            (outcome,) = [outcome async for outcome in job]
        options = evolve(options, resume=True)
    assert outcome.status == ("created" if corrected else "failed")
    assert jobs.journal.states() == {"done" if corrected else "failed": 1}
