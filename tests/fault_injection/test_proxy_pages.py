"""A proxy without a route to the gateway responds with HTTP 404 and a page: this does not show what exists."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from bulk.customers import QUICK, draft, open_journal, run_job

from wonder_customers import (
    CallError,
    CustomerSession,
    InvalidResponseError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
)
from wonder_customers.bulk import Options, plan, verify
from wonder_customers.simulator.server import SimulatorServer

Account = Callable[[str], Any]
ROW = draft(1)
DELETING = pytest.mark.parametrize("gateway", ["paydock", "monri"])


def answer_with_pages(server: SimulatorServer, method: str, times: int | None = None, **facts: Any) -> None:
    """Answer requests with HTTP 404 and an HTML page; without `applied`, the gateway does not receive them."""
    server.faults.add("server_error", status=404, method=method, times=times, **facts)


@pytest.mark.parametrize("operation", ["create", "upsert"])
async def test_page_in_place_of_a_search_never_leads_to_a_create(
    kind: Callable[..., Any], operation: str, account: Account, server: SimulatorServer
) -> None:
    async with CustomerSession(account("paydock"), transport=kind, retry=QUICK) as session:
        if operation == "create":
            server.faults.add("read_close", method="POST")
        else:
            await session.create(ROW)
        answer_with_pages(server, "GET")
        with pytest.raises(CallError) as caught:
            await getattr(session, operation)(ROW)
        assert server.store.ledger("paydock") == {"c-1": 1}
    if operation == "create":
        assert isinstance(caught.value, OutcomeUnknownError)
        assert isinstance(caught.value.__cause__, InvalidResponseError)
    else:
        assert isinstance(caught.value, InvalidResponseError)
        assert caught.value.applied == "no"
        assert "Check base_url and the proxies" in caught.value.hint


@pytest.mark.parametrize("status", [404, 410])
async def test_list_is_never_answered_with_not_found(
    gateway: str, status: int, account: Account, server: SimulatorServer
) -> None:
    server.faults.add("server_error", status=status, times=None)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        for call in (session.raw.page, session.check, lambda: anext(aiter(session.list()))):
            with pytest.raises(InvalidResponseError, match=f"HTTP {status} reports that something was not found"):
                await call()


async def test_read_that_gets_a_page_names_the_proxy(gateway: str, account: Account, server: SimulatorServer) -> None:
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        with pytest.raises(NotFoundError) as caught:
            await session.get("f" * 24)
        assert caught.value.certain
        answer_with_pages(server, "GET")
        for read in (session.get("f" * 24), *([] if gateway == "paydock" else [session.get_by_reference("c-1")])):
            with pytest.raises(NotFoundError, match="no JSON object, so a proxy may have sent it") as caught:
                await read
            assert (caught.value.certain, caught.value.status, caught.value.applied) == (False, 404, "no")
            assert caught.value.hint == "Check base_url and the proxies on the way to the gateway."
        unknown = OutcomeUnknownError("x", operation="update", applied="unknown", id="f" * 24)
        with pytest.raises(OutcomeUnknownError):
            await session.resolve(unknown)


@pytest.mark.parametrize("lost", [False, True])
@DELETING
async def test_page_does_not_confirm_a_deletion(
    kind: Callable[..., Any], gateway: str, lost: bool, account: Account, server: SimulatorServer
) -> None:
    async with CustomerSession(account(gateway), transport=kind, retry=QUICK) as session:
        held = await session.create(ROW)
        if lost:
            server.faults.add("read_close", method="DELETE", applied=False)
        answer_with_pages(server, "DELETE")
        with pytest.raises(InvalidResponseError, match="a proxy may have sent it") as caught:
            await session.delete(held.id)
        assert (caught.value.applied, caught.value.status) == ("unknown", 404)
        assert not (await session.get(held.id)).deleted


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
async def test_page_does_not_confirm_the_deletion_of_a_token(
    gateway: str, account: Account, server: SimulatorServer
) -> None:
    answer_with_pages(server, "DELETE")
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        with pytest.raises(InvalidResponseError) as caught:
            await session.delete_payment_token("f" * 24, "a" * 24)
    assert caught.value.applied == "unknown"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@DELETING
async def test_job_does_not_record_a_customer_as_removed_after_a_page(
    gateway: str, method: str, account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    owner = account(gateway)
    journal = open_journal(tmp_path / "j", owner, gateway)
    await run_job(owner, [ROW, draft(2)], journal)
    answer_with_pages(server, method)
    job, outcomes = await run_job(owner, [draft(2)], journal, removed="delete", max_removed=1)
    (kept,) = [it for it in outcomes if it.reference == "c-1"]
    assert (kept.status, kept.applied) == ("kept", "no" if method == "GET" else "unknown")
    assert job.missing_from_source.removed == 0
    server.faults.clear()
    job, _ = await run_job(owner, [draft(2)], journal, removed="delete", max_removed=1)
    assert job.missing_from_source.removed == 1
    assert [it["action"] for it in server.store.history(gateway, "c-1")].count("deleted") == 1
    answer_with_pages(server, "GET")
    async with CustomerSession(owner, retry=QUICK) as session:
        with pytest.raises((NotFoundError, InvalidResponseError), match="HTTP 404"):
            await verify(session, [], journal=journal, options=Options(retry=QUICK))


async def test_job_does_not_create_a_customer_after_a_page(
    account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    owner = account("paydock")
    journal = open_journal(tmp_path / "j", owner, "paydock")
    await run_job(owner, [ROW], journal)
    answer_with_pages(server, "GET")
    _, outcomes = await run_job(owner, [evolve(ROW, name="Ada Byron")], journal)
    assert [(it.status, it.applied, it.code) for it in outcomes] == [("failed", "no", "InvalidResponseError")]
    assert server.store.ledger("paydock") == {"c-1": 1}


async def test_row_that_a_firewall_blocks_fails_and_does_not_stop_the_job(
    account: Account, server: SimulatorServer, tmp_path: Path
) -> None:
    owner, path = account("monri"), "/v2/merchants/customers/c-7"
    journal = open_journal(tmp_path / "j", owner, "monri")
    server.faults.add("server_error", status=403, method="GET", path=path, times=None)
    job, outcomes = await run_job(owner, [draft(number) for number in range(60)], journal)
    assert job.exit_status == "finished"
    ((reference, code, reason),) = [(it.reference, it.code, it.reason) for it in outcomes if not it.ok]
    assert (reference, code) == ("c-7", "PermissionDeniedError 403")
    assert "without a JSON object, so a firewall or a proxy may have sent the response" in (reason or "")
    assert len(server.store.ledger("monri")) == 59


async def test_page_with_http_403_does_not_refuse_the_credentials(
    gateway: str, account: Account, server: SimulatorServer
) -> None:
    server.faults.add("server_error", status=403, times=None)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        with pytest.raises(PermissionDeniedError, match="The credentials may be valid") as caught:
            await session.check()
    assert not caught.value.certain


async def test_plan_and_verification_fail_instead_of_counting_customers_as_missing(
    gateway: str, account: Account, server: SimulatorServer
) -> None:
    answer_with_pages(server, "GET")
    rows = [ROW, draft(2)]
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        for run in (plan(session, rows), verify(session, rows, options=Options(retry=QUICK))):
            with pytest.raises((NotFoundError, InvalidResponseError), match=r"HTTP 404"):
                await run
