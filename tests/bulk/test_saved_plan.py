"""Saved plans: a job carries out the plan exactly, or sends nothing."""

import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from bulk.customers import (
    OPTIONS,
    AccountFactory,
    Jobs,
    collect,
    draft,
    drafts,
    line,
    once,
    open_journal,
    run_job,
    write_csv,
)

from wonder_customers import BulkError, ConfigurationError, CustomerDraft, CustomerSession, Paydock, Phone
from wonder_customers.bulk import Journal, check_plan, plan, save_plan, sources, sync
from wonder_customers.bulk.saved_plan import SavedPlan
from wonder_customers.dialects import names

pytestmark = pytest.mark.anyio

SOURCE = {"mapping": {}, "contents": "1"}


async def saved(jobs: Jobs) -> Path:
    """Save a plan of the source, and return its path."""
    file = jobs.source.with_name("plan")
    async with CustomerSession(jobs.account) as session:
        await save_plan(file, session, jobs.rows(), journal=jobs.journal, options=OPTIONS, source=SOURCE)
    return file


async def approved(jobs: Jobs, **how: Any) -> Any:
    """Check the plan and run the job."""
    async with CustomerSession(jobs.account) as session:
        given: dict[str, Any] = {"journal": jobs.journal, "options": OPTIONS, "source": SOURCE, **how}
        options = await check_plan(jobs.source.with_name("plan"), session, jobs.rows(), **given)
        return await collect(sync(session, jobs.rows(), journal=jobs.journal, options=options))


@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_approved_plan_is_carried_out_once(jobs: Jobs) -> None:
    write_csv(jobs.source, 12)
    jobs.source.write_text(jobs.source.read_text() + f"{line(3)}\nbad,Ada,not an address,+385 91 234 5678\n")
    await saved(jobs)
    assert jobs.ledger() == {}
    outcomes = await approved(jobs)
    assert len(outcomes) == 14
    assert jobs.ledger() == once(12)
    with pytest.raises(ConfigurationError, match=r"would make now: journal \(changed\)\."):
        await approved(jobs)


@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_plan_is_private_and_contains_no_personal_data(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    file = await saved(jobs)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text(encoding="utf-8")
    assert not [
        it for it in ("Ada", "example", "912340", "c-1", "c.csv", jobs.account.merchant_key.reveal()) if it in text
    ]
    loaded = SavedPlan.load(file, Journal.existing(jobs.journal.path).digests)
    assert loaded.counts == {
        "rows": 3, "creates": 3, "updates": 0, "open": 0, "unchanged": 0, "invalid": 0, "duplicates": 0,
        "unconfirmed": 0, "missing_from_source": 0,
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="already exists"):
        await saved(jobs)


async def test_plan_appears_when_it_is_complete(jobs: Jobs) -> None:
    """A process that is killed does not leave an incomplete plan, whose path could not be used again."""
    file, seen = jobs.source.with_name("plan"), list[bool]()

    def rows() -> Iterator[CustomerDraft]:
        for number in range(3):
            seen.append(file.exists())
            yield draft(number)

    async with CustomerSession(jobs.account) as session:
        await save_plan(file, session, rows(), journal=jobs.journal, options=OPTIONS)
    assert seen == [False] * 3
    assert SavedPlan.load(file, jobs.journal.digests).counts["rows"] == 3
    assert [it.name for it in file.parent.glob(".plan*")] == []


@pytest.mark.parametrize("same_object", [True, False])
@pytest.mark.parametrize(
    ("how", "counts", "sent"),
    [
        ({}, (5, 3), 5),
        ({"full": True}, (8, 0), 8),
        ({"first": 4}, (1, 3), 1),
        ({"only": "failed"}, (1, 0), 1),
        ({"removed": "delete", "max_removed": 9}, (5, 3), 5),
        ({"removed": "delete", "max_removed": 9, "first": 4}, (1, 3), 1),
    ],
)
async def test_plan_has_the_rows_of_a_job_with_the_same_options(
    how: dict[str, Any], counts: tuple[int, int], sent: int, same_object: bool, jobs: Jobs
) -> None:
    """Also if the journal object is that of an earlier run. One row failed in that run, and one is missing now."""
    await jobs.run([*iter(drafts(3)), draft(9)])
    jobs.server.faults.add("server_error", times=None, status=400)
    await jobs.run([draft(7)])
    jobs.server.faults.clear()
    if not same_object:
        jobs.journal = Journal.existing(jobs.journal.path)
    options, file = evolve(OPTIONS, **how), jobs.source.with_name("plan")
    rows = drafts(8)
    async with CustomerSession(jobs.account) as session:
        made = await save_plan(file, session, rows, journal=jobs.journal, options=options)
        assert (made.creates + made.updates + made.open, made.unchanged) == counts
        assert made.adds_up
        missing = made.missing_from_source
        assert (missing.count, missing.problem) == (int("removed" in how and "first" not in how), None)
        chosen = await check_plan(file, session, rows, journal=jobs.journal, options=options)
        job = sync(session, rows, journal=jobs.journal, options=chosen)
        outcomes = await collect(job)
    assert sum(outcome.applied == "yes" and outcome.status != "removed" for outcome in outcomes) == sent
    assert job.missing_from_source.removed == made.missing_from_source.count


CHANGED_SOURCES: dict[str, tuple[Callable[[str], str], str]] = {
    "value": (lambda text: text.replace("Ada Nr 3 v1", "Eve"), r"row 4 \(other values\)"),
    "new row": (lambda text: f"{text}{line(100)}\n", r"row 31 \(not in the plan\)"),
    "missing row": (lambda text: text.replace(f"{line(29)}\n", ""), r"the source has 29 rows \(30 in the plan\)"),
    "invalid row": (lambda text: text.replace("ada.3@", ""), r"row 4 \(send in the plan, now invalid\)"),
}


@pytest.mark.parametrize("change", CHANGED_SOURCES)
async def test_changed_row_is_refused_before_anything_is_sent(change: str, jobs: Jobs) -> None:
    write_csv(jobs.source, 30)
    await saved(jobs)
    edit, reason = CHANGED_SOURCES[change]
    jobs.source.write_text(edit(jobs.source.read_text()))
    with pytest.raises(ConfigurationError, match=rf"{reason}\."):
        await approved(jobs)
    assert jobs.ledger() == {}


async def test_row_that_changes_after_the_check_is_not_sent(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    file = await saved(jobs)
    async with CustomerSession(jobs.account) as session:
        rows = sources.read(jobs.source)
        options = await check_plan(file, session, rows, journal=jobs.journal, options=OPTIONS, source=SOURCE)
        write_csv(jobs.source, 3, version="2")
        job = sync(session, jobs.rows(), journal=jobs.journal, options=options)
        with pytest.raises(BulkError, match=r"after 0 rows: the plan .*row 1 \(other values\).* Nothing was sent\."):
            await collect(job)
    assert job.exit_status == "source"
    assert jobs.ledger() == {}


def open_files() -> list[str]:
    """Return the paths of the files that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found.append(str(descriptor.readlink()))
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list open files")
async def test_saved_plan_is_not_kept_open_between_rows(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    file = await saved(jobs)
    rows = SavedPlan.load(file, jobs.journal.digests)._rows()
    assert next(rows)[0] == 1
    assert str(file) not in open_files()
    assert [number for number, *_ in rows] == [2, 3]


async def test_other_facts_are_refused_by_name(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    await saved(jobs)
    owner = jobs.account
    cases: list[tuple[dict[str, Any], Any, str]] = [
        ({"options": evolve(OPTIONS, empty="clear")}, owner, r"--empty \(own in the plan, now clear\)"),
        ({"options": evolve(OPTIONS, removed="delete", max_removed=9)}, owner, "--max-removed .*--removed "),
        ({"options": evolve(OPTIONS, full=True)}, owner, "--full"),
        ({"options": evolve(OPTIONS, first=1)}, owner, "--first"),
        ({"source": {**SOURCE, "mapping": {"a": 1}}}, owner, r"would make now: mapping \(changed\)\."),
        ({"source": {**SOURCE, "contents": "2"}}, owner, r"would make now: contents \(changed\)\."),
        ({}, Paydock(secret_key="another", base_url=owner.base_url), r"would make now: account \(changed\)\."),
        ({}, Paydock(secret_key=owner.secret_key, base_url="https://api.paydock.com/v1/"), "endpoint .*environment "),
    ]
    for how, user, reason in cases:
        jobs.account = user
        with pytest.raises(ConfigurationError, match=reason):
            await approved(jobs, **how)
    jobs.account = owner
    write_csv(jobs.source, 2)
    await jobs.run()
    with pytest.raises(ConfigurationError, match=r"would make now: journal \(changed\)\."):
        await approved(jobs)


@pytest.mark.parametrize("changed", ["app", "function"])
@pytest.mark.parametrize("jobs", ["wonder"], indirect=True)
async def test_plan_of_another_account_with_secret_functions_is_refused(changed: str, jobs: Jobs) -> None:
    """The two functions of the modules `one` and `other` have the same name."""
    key = str(jobs.account.private_key.reveal())

    def read_key() -> str:
        return key

    def same_name() -> str:
        return read_key()

    read_key.__module__, same_name.__module__, same_name.__qualname__ = "one", "other", read_key.__qualname__
    write_csv(jobs.source, 3)
    jobs.account = evolve(jobs.account, private_key=read_key)
    change = {"app_id": "another"} if changed == "app" else {"private_key": same_name}
    await saved(jobs)
    jobs.account = evolve(jobs.account, **change)
    with pytest.raises(ConfigurationError, match=r"would make now: account \(changed\)\."):
        await approved(jobs)


async def test_edited_foreign_and_incomplete_plans_are_refused(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    file = await saved(jobs)
    text = file.read_text()
    cases = {
        text.replace('"send"', '"unchanged"', 1): "was changed after the plan was saved",
        "\n".join(text.splitlines()[:-1]): "is not a complete saved plan",
        "": "is not a complete saved plan",
        "reference,name\n": "is not a complete saved plan",
    }
    for content, reason in cases.items():
        file.write_text(content)
        with pytest.raises(ConfigurationError, match=reason):
            SavedPlan.load(file, jobs.journal.digests)
    file.write_text(text)
    other = open_journal(file.with_name("other"), jobs.account, "paydock")
    with pytest.raises(ConfigurationError, match="with another key"):
        SavedPlan.load(file, other.digests)
    file.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        SavedPlan.load(file, jobs.journal.digests)


@pytest.mark.parametrize("gateway", names())
async def test_diff_has_masked_values(gateway: str, account: AccountFactory, tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "j", account(gateway), gateway)
    await run_job(account(gateway), [draft(1)], journal)
    changed = evolve(draft(1), email="eve@example.org")
    async with CustomerSession(account(gateway)) as session:
        (difference, new) = (await plan(session, [changed, draft(2)], journal=journal, diff=True)).differences
    found = dict(zip(difference.fields, difference.values, strict=True))
    assert found == {"email": ("axx.9@xxxxxxx.xxx", "exx@xxxxxxx.xxx")}
    assert dict(zip(new.fields, new.values, strict=True))["email"] == ("", "axx.9@xxxxxxx.xxx")


async def test_diff_shows_a_national_phone_number_without_a_dial_code(account: AccountFactory) -> None:
    changed, new = (evolve(draft(number), phone=Phone(number="0912345678")) for number in (1, 2))
    await run_job(account("monri"), [evolve(changed, phone=Phone(number="0911111111"))])
    async with CustomerSession(account("monri")) as session:
        found = (await plan(session, [changed, new], diff=True)).differences
    shown = [dict(zip(it.fields, it.values, strict=True))["phone"] for it in found]
    assert shown == [("0999999999", "0999999999"), ("", "0999999999")]
