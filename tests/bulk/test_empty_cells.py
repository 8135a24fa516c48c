"""Empty cells: a source clears only the fields that it filled in an earlier run."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Literal

import pytest
from bulk.customers import EARLIER_FORMAT, Jobs, draft, open_journal, run_job

from wonder_customers import CLEAR, CustomerDraft
from wonder_customers.bulk import plan, verify
from wonder_customers.dialects import names

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("jobs", names(), indirect=True)]

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


def write(
    jobs: Jobs, *, empty: tuple[str, ...] = (), without: tuple[str, ...] = (), errors: Mapping[str, str] | None = None
) -> None:
    """Write a source of one customer with all fields, some cells empty or with errors, and some columns missing."""
    row = {"reference": "c-1"} | ({"name": "Ada", "phone": "+385912345678"} if jobs.gateway == "wonder" else {})
    row |= OPTIONAL[jobs.gateway] | dict.fromkeys(empty, "") | dict(errors or {})
    kept = {name: value for name, value in row.items() if name not in without}
    jobs.source.write_text(f"{','.join(kept)}\n{','.join(kept.values())}\n", encoding="utf-8")


def held(jobs: Jobs) -> dict[str, Any]:
    (customer,) = jobs.server.store.customers(jobs.gateway)
    return customer


@pytest.mark.parametrize("rule", ["own", "clear"])
async def test_error_of_a_spreadsheet_clears_nothing(rule: Literal["own", "clear"], jobs: Jobs) -> None:
    write(jobs)
    await jobs.run()
    before, cells = held(jobs), list(OPTIONAL[jobs.gateway])
    for number, error in enumerate(["#REF!", "#N/A", "#WERT!", "#NAME?"]):
        write(jobs, errors={name: error for name in cells if number or name != "email"})
        _, (outcome,) = await jobs.run(empty=rule)
        assert (outcome.ok, outcome.cleared) == (True, ())
        kept = {key: value for key, value in held(jobs).items() if not key.startswith("updated")}
        assert kept == {key: value for key, value in before.items() if not key.startswith("updated")}


async def test_emptied_row_leaves_no_personal_data_and_verify_confirms_it(jobs: Jobs) -> None:
    write(jobs)
    await jobs.run()
    assert "ada@example.org" in str(held(jobs))
    cells = tuple(OPTIONAL[jobs.gateway])
    write(jobs, empty=cells)
    async with jobs.session() as session:
        planned = await plan(session, jobs.rows(), journal=jobs.journal)
        assert dict(planned.clears) == dict.fromkeys(cells, 1)
        before = await verify(session, jobs.rows(), journal=jobs.journal)
        assert dict(before.counts) == {"different": 1}
        _, (outcome,) = await jobs.run()
        assert (outcome.status, set(outcome.cleared)) == ("updated", set(cells))
        after = await verify(session, jobs.rows(), journal=jobs.journal)
        assert (after.checked, after.wrong) == (1, 0)
    texts = str(held(jobs))
    assert jobs.gateway == "wonder" or not [it for it in OPTIONAL[jobs.gateway].values() if f"'{it}'" in texts]
    assert "ada@example.org" not in texts
    assert "Analytics" not in texts
    _, (again,) = await jobs.run()
    assert again.status == "unchanged"


async def test_field_that_the_source_never_filled_is_kept(jobs: Jobs) -> None:
    write(jobs)
    await run_job(jobs.account, jobs.rows())  # another source, without this journal
    write(jobs, empty=("email",))
    for _ in range(2):
        await jobs.run(full=True)
    assert held(jobs)["email"] == "ada@example.org"


@pytest.mark.parametrize("kept", ["column that left", "run with keep"])
async def test_kept_value_is_cleared_by_the_next_empty_cell(kept: str, jobs: Jobs) -> None:
    write(jobs)
    await jobs.run()
    if kept == "column that left":
        write(jobs, without=("email",))
        await jobs.run()
    else:
        write(jobs, empty=("email",))
        await jobs.run(empty="keep")
    assert held(jobs)["email"] == "ada@example.org"
    # The journal still records the value.
    write(jobs, empty=("email",))
    await jobs.run()
    assert not held(jobs).get("email")


@pytest.mark.parametrize("rule", ["clear", "keep"])
async def test_other_rules_clear_every_empty_cell_or_none(rule: str, jobs: Jobs) -> None:
    write(jobs)
    await run_job(jobs.account, jobs.rows())  # another source, without this journal
    write(jobs, empty=("email",))
    _, (outcome,) = await jobs.run(empty=rule)
    assert bool(held(jobs).get("email")) == (rule == "keep")
    assert outcome.cleared == (("email",) if rule == "clear" else ())
    _, (again,) = await jobs.run(empty=rule)
    assert again.status == "unchanged"


async def test_rule_that_clears_every_empty_cell_applies_to_unchanged_rows(jobs: Jobs) -> None:
    write(jobs)
    await run_job(jobs.account, jobs.rows())  # another source, without this journal
    write(jobs, empty=("email",))
    await jobs.run()
    assert held(jobs)["email"] == "ada@example.org"
    _, (outcome,) = await jobs.run(empty="clear")
    assert (outcome.status, outcome.cleared, held(jobs).get("email") or "") == ("updated", ("email",), "")
    _, (again,) = await jobs.run(empty="clear")
    assert again.status == "unchanged"


async def test_lost_clear_is_repeated_by_the_next_run(jobs: Jobs) -> None:
    write(jobs)
    await jobs.run()
    write(jobs, empty=("email",))
    jobs.server.faults.add("server_error", gateway=jobs.gateway, method="POST", status=400)
    _, (failed,) = await jobs.run()
    assert (failed.status, failed.cleared) == ("failed", ())
    _, (outcome,) = await jobs.run()
    assert outcome.cleared == ("email",)
    assert not held(jobs).get("email")


async def test_draft_clears_the_fields_that_it_names(jobs: Jobs) -> None:
    full = draft(1)
    await run_job(jobs.account, [full])
    cleared = CustomerDraft(full.reference, full.name, phone=full.phone, email=CLEAR)
    for statuses in ({"created", "updated", "written"}, {"unchanged"}):
        _, (outcome,) = await jobs.run([cleared])
        assert outcome.status in statuses
    assert not held(jobs).get("email")


async def test_journal_of_the_earlier_format_keeps_its_rows(jobs: Jobs) -> None:
    write(jobs)
    await jobs.run()
    with closing(sqlite3.connect(jobs.journal.path)) as connection:
        connection.executescript(EARLIER_FORMAT)
    jobs.journal = open_journal(jobs.journal.path, jobs.account, jobs.gateway)
    _, (outcome,) = await jobs.run()
    assert outcome.status == "unchanged"
    _, (again,) = await jobs.run(full=True)
    assert again.status == "updated"
    write(jobs, empty=("email",))
    _, (cleared,) = await jobs.run()
    assert cleared.cleared == ("email",)
