"""A job checks each row once: for card data, and for the gateway's limits."""

from collections import Counter
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import anyio
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
)
from mock_gateway import ACCOUNTS, MockGateway, monri, paydock

from wonder_customers import CustomerDraft, CustomerPatch, CustomerSession, InvalidRecordError
from wonder_customers._core import operations
from wonder_customers.bulk import sync
from wonder_customers.dialects import field_rules, names

pytestmark = pytest.mark.anyio


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> "Counter[str]":
    """Count the searches for card data and the checks of limits."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        original = getattr(module, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    count(operations, "find_card_data")
    count(field_rules, "violations")
    return counts


@pytest.mark.parametrize("gateway", names())
@pytest.mark.parametrize("journaled", [False, True])
async def test_each_sent_row_is_checked_once(
    gateway: str, journaled: bool, account: AccountFactory, checks: "Counter[str]", tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account(gateway), gateway) if journaled else None
    _, outcomes = await run_job(account(gateway), [draft(number) for number in range(12)], journal)
    assert count_statuses(outcomes) == {"written" if gateway == "wonder" else "created": 12}
    assert checks == {"find_card_data": 12, "violations": 12}


async def test_row_with_metadata_is_checked_once(account: AccountFactory, checks: "Counter[str]") -> None:
    _, outcomes = await run_job(account("monri"), [evolve(draft(1), metadata={"plan": "gold"})])
    assert count_statuses(outcomes) == {"created": 1}
    assert checks == {"find_card_data": 1, "violations": 1}


@pytest.mark.parametrize("gateway", ["monri", "paydock"])
async def test_metadata_changed_after_the_check_of_a_row_is_not_sent(gateway: str) -> None:
    session = MockGateway().session(ACCOUNTS[gateway]())
    given = evolve(draft(1), metadata={"plan": "gold"})
    before = deepcopy(session.payload(given))
    checked = session.raw._checked(given)
    cast("dict[str, Any]", given.metadata)["plan"] = "4111111111111111"
    assert checked.body == before


async def test_body_does_not_share_nested_metadata_with_the_draft() -> None:
    given = evolve(draft(1), metadata={"plan": {"name": "gold"}})
    body = MockGateway().session(monri()).payload(given)
    cast("dict[str, Any]", given.metadata)["plan"]["name"] = "4111111111111111"
    assert body["metadata"] == {"plan": {"name": "gold"}}


@pytest.mark.parametrize("gateway", ["monri", "paydock"])
@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("clear", [(), ("email",)])
async def test_metadata_changed_while_a_job_runs_is_not_sent(
    gateway: str, exists: bool, clear: tuple[str, ...], account: AccountFactory, tmp_path: Path
) -> None:
    metadata = {"plan": "gold"}
    given = evolve(draft(1), metadata=metadata, email=None, clear=clear)
    changed = cast("dict[str, Any]", given.metadata)
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        if exists:
            await session.upsert(evolve(given, metadata={"plan": "silver"}))
        journal = open_journal(tmp_path / "j", account(gateway), gateway)
        options = evolve(OPTIONS, inspect=lambda *_: changed.update(plan=object()))
        outcomes = await collect(sync(session, [given], journal=journal, options=options))
        assert all(outcome.ok for outcome in outcomes)
        assert (await session.get_by_reference("c-1")).metadata == metadata


@pytest.mark.parametrize("gateway", ["monri", "paydock"])
async def test_metadata_changed_during_a_call_is_not_sent(gateway: str, account: AccountFactory) -> None:
    given = evolve(draft(1), metadata={"plan": "gold"})
    patch = CustomerPatch(metadata={"plan": "platinum"})
    found = list[Any]()
    async with CustomerSession(account(gateway), retry=QUICK) as session:
        held = await session.upsert(evolve(given, metadata={"plan": "silver"}))

        async def write(call: Callable[[], Awaitable[Any]]) -> None:
            found.append((await call()).metadata)

        async with anyio.create_task_group() as group:
            group.start_soon(write, lambda: session.upsert(given))
            group.start_soon(write, lambda: session.update(held.id, patch))  # waits for the upsert
            await anyio.wait_all_tasks_blocked()
            for record in (given, patch):
                cast("dict[str, Any]", record.metadata)["plan"] = object()
    assert found == [{"plan": "gold"}, {"plan": "platinum"}]


async def test_draft_checked_by_another_session_is_checked_again() -> None:
    wire = MockGateway()
    async with wire.session(paydock()) as first, wire.session(monri()) as second:
        checked = first.raw._checked(CustomerDraft("c-1", company_name="Analytical Engines"))
        with pytest.raises(InvalidRecordError, match="company_name"):
            await second.raw._upsert_checked(checked)
    assert wire.requests == []


@pytest.mark.parametrize("gateway", sorted(ACCOUNTS))
def test_checked_body_is_the_payload_and_is_not_shown(gateway: str) -> None:
    session = MockGateway().session(ACCOUNTS[gateway]())
    checked = session.raw._checked(draft(1))
    assert checked.body == session.payload(draft(1))
    assert "Ada" not in repr(checked)
    with pytest.raises(InvalidRecordError):
        session.raw._checked(evolve(draft(1), email="x" * 300))


async def test_rows_whose_fields_are_cleared_are_checked_with_the_cleared_fields(
    account: AccountFactory, checks: "Counter[str]", tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account("monri"), "monri")
    await run_job(account("monri"), [draft(1)], journal)
    checks.clear()
    job, outcomes = await run_job(account("monri"), [evolve(draft(1), email=None)], journal)
    assert (count_statuses(outcomes), job.stats.cleared) == ({"updated": 1}, {"email": 1})
    assert checks["find_card_data"] == 2
