"""A journal belongs to one merchant: the commands refuse the credentials of another merchant."""

import pytest
from bulk.customers import Jobs, count_statuses, journal_rows, write_csv
from bulk.distributed.in_process import distribute

from wonder_customers import ConfigurationError, CustomerSession, Monri
from wonder_customers.bulk import plan, save_plan, verify
from wonder_customers.bulk.journal.digest import merchant_of
from wonder_customers.bulk.stop_reasons import Stop
from wonder_customers.dialects import package
from wonder_customers.errors import BulkError

pytestmark = pytest.mark.anyio
every_gateway = pytest.mark.parametrize("jobs", ["monri", "paydock", "wonder"], indirect=True)
OTHER = r"is the journal of another \w+ account: .* --renewed-credentials once"


def second(jobs: Jobs) -> dict[str, str]:
    """Return the variables of a second merchant."""
    variables: dict[str, str] = jobs.server.gateways[jobs.gateway].add_merchant(jobs.server.origin)
    return variables


def become(jobs: Jobs, variables: dict[str, str]) -> None:
    """Use other credentials for the further jobs."""
    jobs.account = package(jobs.gateway).ACCOUNT.from_environment(variables)


@every_gateway
async def test_another_merchant_is_refused_before_anything_is_read_or_sent(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    await jobs.run()
    before, sent = journal_rows(jobs.journal.path), jobs.server.store.requests.copy()
    become(jobs, second(jobs))
    async with CustomerSession(jobs.account) as session:
        for call in (plan, verify):
            with pytest.raises(ConfigurationError, match=OTHER):
                await call(session, jobs.rows(), journal=jobs.journal)
        path = jobs.source.with_name("plan")
        with pytest.raises(ConfigurationError, match=OTHER):
            await save_plan(path, session, jobs.rows(), journal=jobs.journal)
        assert not path.exists()
    for how in ({}, {"resume": True}, {"removed": "delete"}, {"only": "failed"}):
        if jobs.gateway == "wonder" and "removed" in how:
            continue  # Wonder cannot delete customers
        with pytest.raises(ConfigurationError, match=OTHER):
            await jobs.run(**how)
    last = jobs.last_run()
    assert (last.number, last.exit_status, journal_rows(jobs.journal.path)) == (1, "finished", before)
    assert jobs.server.store.requests == sent


@every_gateway
async def test_renewed_credentials_are_accepted_after_a_confirmation(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    await jobs.run()
    become(jobs, jobs.server.gateways[jobs.gateway].renew_credentials(jobs.server.origin))
    if jobs.gateway == "paydock":  # only its keys identify the merchant
        with pytest.raises(ConfigurationError, match=OTHER):
            await jobs.run()
        jobs.journal.confirm(jobs.account)
    for _ in range(2):
        _, outcomes = await jobs.run()
        assert count_statuses(outcomes) == {"unchanged": 3}


async def test_account_is_not_recorded_until_the_gateway_has_a_row(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    right = jobs.account
    become(jobs, {"PAYDOCK_SECRET_KEY": "mistyped", "PAYDOCK_BASE_URL": right.base_url})
    with pytest.raises(BulkError, match="refused the operation"):
        await jobs.run()
    jobs.account = right
    _, outcomes = await jobs.run(resume=True)
    assert count_statuses(outcomes) == {"created": 3}


async def test_journal_of_an_older_version_gets_the_account_of_its_next_run(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    await jobs.run()
    jobs.journal._execute("DELETE FROM about WHERE name = 'account'", [])
    async with CustomerSession(jobs.account) as session:
        assert (await plan(session, jobs.rows(), journal=jobs.journal)).unchanged == 3
    await jobs.run()
    become(jobs, second(jobs))
    with pytest.raises(ConfigurationError, match=OTHER):
        await jobs.run()


@pytest.mark.parametrize("jobs", ["monri", "paydock"], indirect=True)
async def test_secret_function_is_not_compared(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    await jobs.run()
    name = {"monri": "authenticity_token", "paydock": "secret_key"}[jobs.gateway]
    value = getattr(jobs.account, name).reveal()
    others = {"merchant_key": jobs.account.merchant_key} if jobs.gateway == "monri" else {}
    jobs.account = type(jobs.account)(**others, **{name: lambda: value}, base_url=jobs.account.base_url)
    assert merchant_of(jobs.account) == []
    _, outcomes = await jobs.run()
    assert count_statuses(outcomes) == {"unchanged": 3}


async def test_confirmation_requires_the_gateway_of_the_journal(jobs: Jobs) -> None:
    with pytest.raises(ConfigurationError, match=r"is the journal of paydock at .*, not of monri at"):
        jobs.journal.confirm(Monri("key", "token", base_url=jobs.account.base_url))


@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_workers_of_another_merchant_stop(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    await jobs.run()
    write_csv(jobs.source, 3, version="2")
    job, _ = await distribute(jobs, variables=jobs.server.environment() | second(jobs))
    with pytest.raises(BulkError, match=OTHER):
        async with job:
            _ = [it async for it in job]
    assert isinstance(job.stopped, Stop)
    assert job.stopped.exit_status == "workers"
    assert job.stats.rows == 0


@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_all_workers_need_the_same_account(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    _, engine = await distribute(jobs)
    jobs.journal.admit("first")
    with pytest.raises(ConfigurationError, match=OTHER):
        jobs.journal.admit("second")
    engine.source.remove()
