"""Customers missing from the source are counted, and deleted on request within limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from bulk.customers import QUICK, Jobs, collect, count_statuses, draft, line, run_job, write_csv

from wonder_customers import BulkError, ConfigurationError, CustomerSession, RateLimit
from wonder_customers.bulk import Job, Options, Outcome, sources, sync
from wonder_customers.bulk.missing_from_source import MissingFromSource, RemovalLimit
from wonder_customers.dialects import names

pytestmark = pytest.mark.anyio

DELETING = ("paydock", "monri")
ROWS = 40


def write_without(jobs: Jobs, rows: int, *left: int) -> None:
    """Write a source of `rows` customers without those that left."""
    text = write_csv(jobs.source, rows).read_text(encoding="utf-8").splitlines(keepends=True)
    gone = {f"{line(number)}\n" for number in left}
    jobs.source.write_text("".join(it for it in text if it not in gone), encoding="utf-8")


def deleted(jobs: Jobs) -> dict[str, int]:
    """Return how often each deleted customer was deleted."""
    name = {"paydock": "archived", "monri": "deleted"}[jobs.gateway]
    reference = {"paydock": "reference", "monri": "merchant_customer_id"}[jobs.gateway]
    gone = [it[reference] for it in jobs.server.store.customers(jobs.gateway) if it[name]]
    return {it: deletions(jobs, it) for it in gone}


def deletions(jobs: Jobs, reference: str) -> int:
    return sum(it["action"] == "deleted" for it in jobs.server.store.history(jobs.gateway, reference))


def delete_requests(jobs: Jobs) -> int:
    return sum(count for key, count in jobs.server.store.requests.items() if key[1] == "DELETE")


async def first_run(jobs: Jobs, rows: int = ROWS) -> None:
    write_csv(jobs.source, rows)
    await jobs.run()


async def send_without(jobs: Jobs, *left: int) -> None:
    """Send customers, and then remove some of them from the source."""
    await first_run(jobs)
    write_without(jobs, ROWS, *left)


async def remove(jobs: Jobs, **options: Any) -> tuple[MissingFromSource, list[Outcome]]:
    """Run a job that deletes, and return what was missing from the source, with the outcomes."""
    job, outcomes = await jobs.run(removed="delete", **options)
    assert job.exit_status == "finished"
    return job.missing_from_source, outcomes


@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_customers_that_left_are_counted_and_stay_by_default(jobs: Jobs) -> None:
    await send_without(jobs, 3, 5)
    job, outcomes = await jobs.run()
    missing = job.missing_from_source
    assert (missing.counted, missing.count, missing.rows_before) == (True, 2, ROWS)
    assert [reference for reference, _ in missing.listed] == ["c-3", "c-5"]
    assert count_statuses(outcomes) == {"unchanged": ROWS - 2}
    assert job.exit_status == "finished"
    assert delete_requests(jobs) == 0


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_customers_that_left_are_deleted_once(jobs: Jobs) -> None:
    await send_without(jobs, 3, 5)
    for expected in ({"unchanged": ROWS - 2, "removed": 2}, {"unchanged": ROWS - 2}):
        job, outcomes = await jobs.run(removed="delete")
        assert count_statuses(outcomes) == expected
        missing = job.missing_from_source
        assert (missing.removed, missing.kept, job.unfinished) == (expected.get("removed", 0), 0, 0)
    assert deleted(jobs) == {"c-3": 1, "c-5": 1}
    assert delete_requests(jobs) == 2
    assert jobs.journal.states() == {"done": ROWS - 2, "removed": 2}


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_customer_with_an_unusable_id_is_kept(jobs: Jobs) -> None:
    await send_without(jobs, 3, 5)
    jobs.journal._execute("UPDATE rows SET id = '..' WHERE reference = ?", ["c-3"])
    missing, outcomes = await remove(jobs)
    assert count_statuses(outcomes) == {"unchanged": ROWS - 2, "kept": 1, "removed": 1}
    assert (missing.removed, missing.kept, deleted(jobs)) == (1, 1, {"c-5": 1})


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_customer_whose_line_looks_like_a_total_is_not_deleted(jobs: Jobs) -> None:
    head, *lines = write_csv(jobs.source, ROWS).read_text(encoding="utf-8").splitlines()
    jobs.source.write_text("\n".join([head, *lines, "Suma,Suma Ltd,suma@example.test"]) + "\n", encoding="utf-8")
    await jobs.run()
    jobs.source.write_text("\n".join([head, *lines[1:], "Suma,,"]) + "\n", encoding="utf-8")
    job, _ = await jobs.run(removed="delete")
    assert (job.missing_from_source.removed, job.notes.footers, deleted(jobs)) == (1, 1, {"c-0": 1})


async def test_removal_needs_a_journal(jobs: Jobs) -> None:
    with pytest.raises(ConfigurationError, match="only with a journal"):
        await run_job(jobs.account, [draft(1)], removed="delete")
    assert jobs.ledger() == {}


async def stopped(jobs: Jobs, source: Any = None, **options: Any) -> tuple[Job, str]:
    """Run a job that deletes and stops; return it with the message."""
    async with CustomerSession(jobs.account) as session:
        chosen = Options(retry=QUICK, failure_share=None, removed="delete", **options)
        job = sync(session, source or jobs.rows(), journal=jobs.journal, options=chosen)
        with pytest.raises(BulkError) as caught:
            await collect(job)
    return job, str(caught.value)


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_more_customers_than_the_limit_are_not_deleted(jobs: Jobs) -> None:
    await send_without(jobs, 3, 5, 7)
    job, message = await stopped(jobs)
    assert job.exit_status == "removal"
    reason = "the source no longer contains 3 customers (7.5%), more than the maximum of 5%"
    assert f"{reason}. No customer was removed." in message
    assert message.endswith("with: the same program with the same journal and max_removed=3")
    assert delete_requests(jobs) == 0
    job, _ = await jobs.run(removed="delete", max_removed=3, resume=True)
    assert (job.exit_status, job.missing_from_source.removed) == ("finished", 3)
    assert deleted(jobs) == {"c-3": 1, "c-5": 1, "c-7": 1}


@pytest.mark.parametrize(
    ("rows", "limit", "reason"),
    [
        (0, "100%", "the source has no rows; 40 customers (100.0%) would be removed"),
        (0, 100, "the source has no rows; 40 customers (100.0%) would be removed"),
        (10, "100%", "the source has only 10 rows, and the last finished run had 40; 30 customers"),
        (10, 29, "the source no longer contains 30 customers (75.0%), more than the maximum of 29"),
    ],
)
async def test_empty_or_half_source_deletes_nothing(rows: int, limit: int | str, reason: str, jobs: Jobs) -> None:
    await first_run(jobs)
    write_csv(jobs.source, rows)
    job, message = await stopped(jobs, max_removed=limit)
    assert (job.exit_status, delete_requests(jobs)) == ("removal", 0)
    assert reason in message


async def test_another_source_with_many_rows_deletes_nothing(jobs: Jobs) -> None:
    """Many new customers do not lower the percentage of customers that left."""
    await first_run(jobs, 2)
    other = jobs.source.parent / "other.csv"
    other.write_text("\n".join(["reference,name", *(f"x-{number},Ada" for number in range(60))]))
    job, message = await stopped(jobs, sources.read(other))
    assert "the source no longer contains 2 customers (100.0%)" in message
    assert (job.exit_status, delete_requests(jobs)) == ("removal", 0)


INCOMPLETE: dict[str, Callable[[Path], Any]] = {
    "invalid row": lambda path: path.write_text(path.read_text().replace("ada.2@example.com", "not an address")),
    "line without a reference": lambda path: path.write_text(path.read_text() + ",Ada,ada@example.com,\n"),
    "line that breaks off": lambda path: path.write_text(path.read_text() + "c-9"),
}


@pytest.mark.parametrize("change", INCOMPLETE)
async def test_source_with_failed_rows_deletes_nothing(change: str, jobs: Jobs) -> None:
    await send_without(jobs, 3)
    INCOMPLETE[change](jobs.source)
    missing, outcomes = await remove(jobs)
    assert delete_requests(jobs) == 0, outcomes
    # A line that breaks off may also be the rest of the row before it, which is therefore not read.
    failed = 2 if change == "line that breaks off" else 1
    assert missing.count == failed
    assert f"{failed} row{'s' if failed > 1 else ''} of the source failed" in (missing.problem or "")


async def test_limited_run_and_changed_source_count_nothing(jobs: Jobs) -> None:
    await send_without(jobs, 3)
    job, _ = await jobs.run(removed="delete", first=ROWS - 2)
    assert (job.exit_status, job.missing_from_source.counted) == ("paused", False)
    rows = jobs.rows()
    jobs.source.write_text(jobs.source.read_text() + f"{line(100)}\n")
    job, message = await stopped(jobs, rows)
    assert "changed while it was read" in message
    assert (job.exit_status, job.missing_from_source.counted, delete_requests(jobs)) == ("source", False, 0)
    job, _ = await jobs.run(removed="delete", only="failed")
    assert (job.missing_from_source.counted, delete_requests(jobs)) == (False, 0)


async def test_customer_that_was_given_another_reference_is_kept(jobs: Jobs) -> None:
    await send_without(jobs, 3)
    jobs.server.store._connection.execute(
        "UPDATE customers SET body = replace(body, 'c-3\"', 'z-3\"'), reference = 'z-3' WHERE reference = 'c-3'"
    ).close()
    missing, outcomes = await remove(jobs)
    (kept,) = [it for it in outcomes if it.status == "kept"]
    assert (kept.code, kept.ok, missing.kept, delete_requests(jobs)) == ("other reference", False, 1, 0)
    assert jobs.journal.states() == {"done": ROWS}


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_refused_deletion_is_tried_again_by_the_next_run(jobs: Jobs) -> None:
    await send_without(jobs, 3)
    jobs.server.faults.add("server_error", gateway=jobs.gateway, method="DELETE", status=400)
    missing, outcomes = await remove(jobs)
    (kept,) = [it for it in outcomes if it.status == "kept"]
    assert (kept.code, kept.applied) == ("InvalidRequestError 400", "no")
    assert "was not removed" in (kept.reason or "")
    assert (missing.kept, jobs.journal.states()) == (1, {"done": ROWS})
    missing, _ = await remove(jobs)
    assert (missing.removed, deleted(jobs)) == (1, {"c-3": 1})


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_unconfirmed_deletion_is_not_reported_as_a_kept_customer(jobs: Jobs) -> None:
    await send_without(jobs, 3)
    jobs.server.faults.add("read_close", times=None, gateway=jobs.gateway, method="DELETE", applied=False)
    _, outcomes = await remove(jobs, retry=evolve(QUICK, attempts=2))
    (kept,) = [it for it in outcomes if it.status == "kept"]
    reason = kept.reason or ""
    assert (kept.applied, "may have been applied" in reason, "was not removed" in reason) == ("unknown", True, False)


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_killed_removal_is_completed_without_a_second_deletion(jobs: Jobs) -> None:
    await send_without(jobs, 3, 5)
    # Two deletions were recorded; the process was killed after the gateway applied the first.
    jobs.journal._execute("UPDATE rows SET state = 'removing' WHERE reference IN (?, ?)", ["c-3", "c-5"])
    async with CustomerSession(jobs.account) as session:
        await session.delete((await session.get_by_reference("c-3")).id)
    missing, _ = await remove(jobs)
    assert (missing.removed, missing.kept, delete_requests(jobs)) == (2, 0, 2)
    assert deleted(jobs) == {"c-3": 1, "c-5": 1}


@pytest.mark.parametrize("jobs", DELETING, indirect=True)
async def test_late_deletion_does_not_undo_a_row_that_returned(jobs: Jobs) -> None:
    """Invariant: a deletion of a killed process is applied before the row is sent again, or not at all."""
    await first_run(jobs, 2)
    jobs.journal._execute("UPDATE rows SET state = 'removing' WHERE reference = ?", ["c-1"])
    async with CustomerSession(jobs.account) as killed:
        held = (await killed.get_by_reference("c-1")).id

        async def apply_late() -> None:
            await anyio.sleep(0.2)  # the confirmation window is 2 s
            await killed.delete(held)

        async with anyio.create_task_group() as group:
            group.start_soon(apply_late)
            write_csv(jobs.source, 2)
            patient = evolve(QUICK, confirmation_window=2.0)
            _, outcomes = await jobs.run(retry=patient)
        returned = next(it for it in outcomes if it.reference == "c-1")
        if jobs.gateway == "monri":  # a deleted customer keeps its reference
            assert (returned.status, returned.code) == ("failed", "ConflictError")
            return
        assert returned.status == "created"
        assert (await killed.get_by_reference("c-1")).id != held


async def test_row_that_returns_after_its_removal_is_created_again(jobs: Jobs) -> None:
    await send_without(jobs, 3)
    await remove(jobs)
    write_csv(jobs.source, ROWS)
    _, outcomes = await jobs.run()
    (created,) = [it for it in outcomes if it.status == "created"]
    assert (created.reference, created.cleared, jobs.ledger()["c-3"]) == ("c-3", (), 2)


async def test_unconfirmed_create_of_a_row_that_left_is_looked_up_and_deleted(jobs: Jobs) -> None:
    await send_without(jobs, 3, 4)
    jobs.journal._execute("UPDATE rows SET state = 'sending', id = NULL WHERE reference IN (?, ?)", ["c-3", "c-4"])
    async with CustomerSession(jobs.account) as session:
        await session.delete((await session.get_by_reference("c-4")).id)  # its create was never applied
    missing, _ = await remove(jobs)
    assert (missing.removed, deleted(jobs)) == (2, {"c-3": 1, "c-4": 1})


async def test_customer_that_a_killed_run_has_created_again_is_deleted(jobs: Jobs) -> None:
    """Invariant: a removed row has no customer. The journal has the id of the customer that was deleted first."""
    await first_run(jobs, 2)
    for state in ("removed", "removing"):
        write_without(jobs, 2, 1)
        await jobs.run(removed="delete", max_removed=1)
        jobs.journal._execute("UPDATE rows SET state = ? WHERE reference = 'c-1'", [state])
        jobs.server.faults.add("read_hang", method="POST")
        write_csv(jobs.source, 2)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(jobs.run)
                while jobs.server.faults.seen.count("read_hang") < 1 + (state == "removing"):  # noqa: ASYNC110 - in a thread
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
    write_without(jobs, 2, 1)
    job, _ = await jobs.run(removed="delete", max_removed=1)
    assert job.missing_from_source.removed == 1
    assert jobs.ledger()["c-1"] == 3
    assert [it["archived"] for it in jobs.server.store.customers("paydock") if it["reference"] == "c-1"] == [True] * 3


async def test_stopped_removal_deletes_nothing_more(jobs: Jobs) -> None:
    await first_run(jobs)
    write_csv(jobs.source, ROWS - 10)
    options = Options(retry=QUICK, removed="delete", max_removed=10, workers=1)
    async with CustomerSession(jobs.account, rate_limit=RateLimit(100)) as session:
        job = sync(session, jobs.rows(), journal=jobs.journal, options=options)
        async with job:
            async for outcome in job:
                if outcome.status == "removed":
                    job.stop()
    assert job.exit_status == "interrupted"
    done = len(deleted(jobs))
    assert 1 <= done <= 2
    assert jobs.journal.states() == {"done": ROWS - done, "removed": done}
    job, _ = await jobs.run(removed="delete", max_removed=10)
    assert len(deleted(jobs)) == delete_requests(jobs) == 10


@pytest.mark.parametrize("text", ["x", "-1", "101%", "5.5", ""])
def test_limit_is_a_number_or_a_percentage(text: str) -> None:
    with pytest.raises(ConfigurationError, match="the maximum number of customers to delete"):
        RemovalLimit.parse(text)


def test_advice_names_the_options_that_have_to_be_given_again() -> None:
    advice = MissingFromSource(count=3).advice("j", {"query": "digest", "on": "digest", "removed": "digest"}, rows=5)
    assert advice.endswith("resume j --removed delete --max-removed 3 (with the same --query and --on)")
    assert "resume" not in MissingFromSource(count=3).advice("j", {"temporary": True}, rows=5)


@pytest.mark.parametrize(("before", "shown"), [(None, ""), (0, ""), (4, " (75.0%)"), (3, " (100.0%)"), (2, "")])
def test_percentage_is_shown_up_to_a_hundred(before: int | None, shown: str) -> None:
    """A source of changes only has fewer rows than the customers that it does not contain."""
    assert MissingFromSource(count=3, rows_before=before).share == f"3 customers{shown}"
