"""Empty cells: a source clears only the fields that it filled in an earlier run."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bulk.customers import AccountFactory, draft, open_journal, run_job

from wonder_customers import CLEAR, CustomerDraft, CustomerSession
from wonder_customers.bulk import plan, sources, verify
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio

REQUIRED = {"wonder": "reference,name,phone", "paydock": "reference", "monri": "reference"}
OPTIONAL = {
    "wonder": {"email": "ada@example.org", "company_name": "Analytics Ltd"},
    "paydock": {
        "name": "Ada",
        "email": "ada@example.org",
        "phone": "+385912345678",
        "description": "vip",
        "company_name": "Analytics Ltd",
        "metadata.plan": "pro",
    },
    "monri": {
        "name": "Ada",
        "email": "ada@example.org",
        "phone": "+385912345678",
        "address.line1": "Ilica 1",
        "address.city": "Zagreb",
        "address.postcode": "10000",
        "address.country": "HR",
        "metadata.plan": "pro",
        "metadata.color": "red",
    },
}
EARLIER_FORMAT = """
ALTER TABLE rows RENAME TO new;
CREATE TABLE rows (
    reference TEXT PRIMARY KEY, number INTEGER NOT NULL, run INTEGER NOT NULL, state TEXT NOT NULL, result TEXT,
    raw BLOB, payload BLOB, id TEXT, attempts INTEGER NOT NULL, code TEXT, at REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO rows SELECT reference, number, run, state, result, raw, payload, id, attempts, code, at FROM new;
DROP TABLE new;
"""
"""Makes the journal one of version 0.1.0, which has no record of the fields."""


def write(path: Path, gateway: str, *, empty: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Path:
    """Write a source of one customer with all fields, some cells empty and some columns missing."""
    row = {"reference": "c-1"} | ({"name": "Ada", "phone": "+385912345678"} if gateway == "wonder" else {})
    row |= OPTIONAL[gateway] | dict.fromkeys(empty, "")
    kept = {name: value for name, value in row.items() if name not in without}
    path.write_text(f"{','.join(kept)}\n{','.join(kept.values())}\n", encoding="utf-8")
    return path


def held(server: SimulatorServer, gateway: str) -> dict[str, Any]:
    (customer,) = server.store.customers(gateway)
    return customer


@pytest.mark.parametrize("gateway", names())
async def test_emptied_row_leaves_no_personal_data_and_verify_confirms_it(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source, journal = tmp_path / "c.csv", open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(write(source, gateway)), journal)
    assert "ada@example.org" in str(held(server, gateway))
    cells = tuple(OPTIONAL[gateway])
    write(source, gateway, empty=cells)
    async with CustomerSession(account(gateway)) as session:
        planned = await plan(session, sources.read(source), journal=journal)
        assert dict(planned.clears) == dict.fromkeys(cells, 1)
        before = await verify(session, sources.read(source), journal=journal)
        assert dict(before.counts) == {"different": 1}
        _, (outcome,) = await run_job(account(gateway), sources.read(source), journal)
        assert (outcome.status, set(outcome.cleared)) == ("updated", set(cells))
        after = await verify(session, sources.read(source), journal=journal)
        assert (after.checked, after.wrong) == (1, 0)
    texts = str(held(server, gateway))
    assert not [value for value in OPTIONAL[gateway].values() if f"'{value}'" in texts and gateway != "wonder"]
    assert "ada@example.org" not in texts
    assert "Analytics" not in texts
    _, (again,) = await run_job(account(gateway), sources.read(source), journal)
    assert again.status == "unchanged"


@pytest.mark.parametrize("gateway", names())
async def test_field_that_the_source_never_filled_is_kept(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source, journal = tmp_path / "c.csv", open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(write(source, gateway)))  # another source, without this journal
    write(source, gateway, empty=("email",))
    for _ in range(2):
        await run_job(account(gateway), sources.read(source), journal, full=True)
    assert held(server, gateway)["email"] == "ada@example.org"


@pytest.mark.parametrize("gateway", names())
async def test_column_that_left_the_source_keeps_its_values(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source, journal = tmp_path / "c.csv", open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(write(source, gateway)), journal)
    await run_job(account(gateway), sources.read(write(source, gateway, without=("email",))), journal)
    assert held(server, gateway)["email"] == "ada@example.org"
    # The journal still records the value, so it is cleared when the column returns with an empty cell.
    await run_job(account(gateway), sources.read(write(source, gateway, empty=("email",))), journal)
    assert not held(server, gateway).get("email")


@pytest.mark.parametrize("gateway", names())
@pytest.mark.parametrize("rule", ["clear", "keep"])
async def test_other_rules_clear_every_empty_cell_or_none(
    rule: str, gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source, journal = tmp_path / "c.csv", open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(write(source, gateway)))  # another source, without this journal
    write(source, gateway, empty=("email",))
    _, (outcome,) = await run_job(account(gateway), sources.read(source), journal, empty=rule)
    assert bool(held(server, gateway).get("email")) == (rule == "keep")
    assert outcome.cleared == (("email",) if rule == "clear" else ())
    _, (again,) = await run_job(account(gateway), sources.read(source), journal, empty=rule)
    assert again.status == "unchanged"


@pytest.mark.parametrize("gateway", names())
async def test_empty_cell_after_a_run_that_kept_it_is_cleared_by_the_next_rule(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source, journal = tmp_path / "c.csv", open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(write(source, gateway)), journal)
    write(source, gateway, empty=("email",))
    await run_job(account(gateway), sources.read(source), journal, empty="keep")
    assert held(server, gateway)["email"] == "ada@example.org"
    await run_job(account(gateway), sources.read(source), journal)
    assert not held(server, gateway).get("email")


@pytest.mark.parametrize("gateway", names())
async def test_lost_clear_is_repeated_by_the_next_run(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    source, journal = tmp_path / "c.csv", open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), sources.read(write(source, gateway)), journal)
    write(source, gateway, empty=("email",))
    server.faults.add("server_error", gateway=gateway, method="POST", status=400)
    _, (failed,) = await run_job(account(gateway), sources.read(source), journal)
    assert (failed.status, failed.cleared) == ("failed", ())
    _, (outcome,) = await run_job(account(gateway), sources.read(source), journal)
    assert outcome.cleared == ("email",)
    assert not held(server, gateway).get("email")


@pytest.mark.parametrize("gateway", names())
async def test_draft_clears_the_fields_that_it_names(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account(gateway), gateway)
    full = draft(1)
    await run_job(account(gateway), [full])
    cleared = CustomerDraft(full.reference, full.name, phone=full.phone, email=CLEAR)
    for statuses in ({"created", "updated", "written"}, {"unchanged"}):
        _, (outcome,) = await run_job(account(gateway), [cleared], journal)
        assert outcome.status in statuses
    assert not held(server, gateway).get("email")


async def test_plan_names_the_fields_that_the_gateway_cannot_clear(account: AccountFactory, tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j", account("paydock"), "paydock")
    full = CustomerDraft("c-1", "Ada", default_payment_token="5" * 24)
    await run_job(account("paydock"), [full], journal)
    emptied = CustomerDraft("c-1", "Ada")
    async with CustomerSession(account("paydock")) as session:
        planned = await plan(session, [emptied], journal=journal)
    assert (dict(planned.clears), dict(planned.uncleared)) == ({}, {"default_payment_token": 1})


@pytest.mark.parametrize("gateway", names())
async def test_journal_of_the_earlier_format_keeps_its_rows(
    gateway: str, account: AccountFactory, tmp_path: Path
) -> None:
    source, path = write(tmp_path / "c.csv", gateway), tmp_path / "j"
    await run_job(account(gateway), sources.read(source), open_journal(path, account(gateway), gateway))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EARLIER_FORMAT)
    journal = open_journal(path, account(gateway), gateway)
    _, (outcome,) = await run_job(account(gateway), sources.read(source), journal)
    assert outcome.status == "unchanged"
    _, (again,) = await run_job(account(gateway), sources.read(source), journal, full=True)
    assert again.status == "updated"
    write(source, gateway, empty=("email",))
    _, (cleared,) = await run_job(account(gateway), sources.read(source), journal)
    assert cleared.cleared == ("email",)
