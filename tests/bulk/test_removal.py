"""Customers missing from the source are counted, and deleted on request within limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from bulk.customers import QUICK, AccountFactory, collect, count_statuses, draft, line, open_journal, run_job, write_csv

from wonder_customers import BulkError, ConfigurationError, CustomerSession, RateLimit
from wonder_customers.bulk import Job, Journal, Options, sources, sync
from wonder_customers.bulk.left_customers import LeftCustomers, RemovalLimit
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio

DELETING = ("paydock", "monri")
ROWS = 40


def write_without(path: Path, rows: int, *left: int) -> Path:
    """Write a CSV file of `rows` customers without those that left."""
    text = write_csv(path, rows).read_text(encoding="utf-8").splitlines(keepends=True)
    gone = {f"{line(number)}\n" for number in left}
    path.write_text("".join(it for it in text if it not in gone), encoding="utf-8")
    return path


def deleted(server: SimulatorServer, gateway: str) -> dict[str, int]:
    """Return how often each deleted customer was deleted."""
    name = {"paydock": "archived", "monri": "deleted"}[gateway]
    reference = {"paydock": "reference", "monri": "merchant_customer_id"}[gateway]
    gone = [it[reference] for it in server.store.customers(gateway) if it[name]]
    return {it: deletions(server, gateway, it) for it in gone}


def deletions(server: SimulatorServer, gateway: str, reference: str) -> int:
    return sum(it["action"] == "deleted" for it in server.store.history(gateway, reference))


def delete_requests(server: SimulatorServer) -> int:
    return sum(count for key, count in server.store.requests.items() if key[1] == "DELETE")


async def first_run(account: Any, gateway: str, folder: Path, rows: int = ROWS) -> Journal:
    journal = open_journal(folder / "j", account, gateway)
    await run_job(account, sources.read(write_csv(folder / "c.csv", rows)), journal)
    return journal


@pytest.mark.parametrize("gateway", names())
async def test_customers_that_left_are_counted_and_stay_by_default(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account(gateway), gateway, tmp_path)
    job, outcomes = await run_job(
        account(gateway), sources.read(write_without(tmp_path / "c.csv", ROWS, 3, 5)), journal
    )
    assert (job.left.counted, job.left.count, job.left.rows_before) == (True, 2, ROWS)
    assert [reference for reference, _ in job.left.listed] == ["c-3", "c-5"]
    assert count_statuses(outcomes) == {"unchanged": ROWS - 2}
    assert job.exit_status == "finished"
    assert delete_requests(server) == 0


@pytest.mark.parametrize("gateway", DELETING)
async def test_customers_that_left_are_deleted_once(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account(gateway), gateway, tmp_path)
    source = write_without(tmp_path / "c.csv", ROWS, 3, 5)
    for expected in ({"unchanged": ROWS - 2, "removed": 2}, {"unchanged": ROWS - 2}):
        job, outcomes = await run_job(account(gateway), sources.read(source), journal, removed="delete")
        assert count_statuses(outcomes) == expected
        assert (job.left.removed, job.left.kept, job.unfinished) == (expected.get("removed", 0), 0, 0)
    assert deleted(server, gateway) == {"c-3": 1, "c-5": 1}
    assert delete_requests(server) == 2
    assert journal.states() == {"done": ROWS - 2, "removed": 2}


async def test_wonder_refuses_to_delete_before_anything_is_sent(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = open_journal(tmp_path / "j", account("wonder"), "wonder")
    with pytest.raises(ConfigurationError, match=r"wonder cannot delete customers.*--removed report"):
        await run_job(account("wonder"), [draft(1)], journal, removed="delete")
    assert server.store.ledger("wonder") == {}


async def test_removal_needs_a_journal(account: AccountFactory, server: SimulatorServer) -> None:
    with pytest.raises(ConfigurationError, match="only with a journal"):
        await run_job(account("paydock"), [draft(1)], removed="delete")
    assert server.store.ledger("paydock") == {}


async def stopped(account: Any, source: Any, journal: Journal, **options: Any) -> tuple[Job, str]:
    """Run a job that deletes and stops; return it with the message."""
    async with CustomerSession(account) as session:
        chosen = Options(retry=QUICK, failure_share=None, removed="delete", **options)
        job = sync(session, source, journal=journal, options=chosen)
        with pytest.raises(BulkError) as caught:
            await collect(job)
    return job, str(caught.value)


@pytest.mark.parametrize("gateway", DELETING)
async def test_more_customers_than_the_limit_are_not_deleted(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account(gateway), gateway, tmp_path)
    source = write_without(tmp_path / "c.csv", ROWS, 3, 5, 7)
    job, message = await stopped(account(gateway), sources.read(source), journal)
    assert job.exit_status == "removal"
    reason = "the source no longer contains 3 customers (7.5%), more than the maximum of 5%"
    assert f"{reason}. No customer was removed." in message
    assert message.endswith("with: the same program with the same journal and max_removed=3")
    assert delete_requests(server) == 0
    job, _ = await run_job(
        account(gateway), sources.read(source), journal, removed="delete", max_removed=3, resume=True
    )
    assert (job.exit_status, job.left.removed) == ("finished", 3)
    assert deleted(server, gateway) == {"c-3": 1, "c-5": 1, "c-7": 1}


@pytest.mark.parametrize(
    ("rows", "limit", "reason"),
    [
        (0, "100%", "the source has no rows; 40 customers (100.0%) would be removed"),
        (0, 100, "the source has no rows; 40 customers (100.0%) would be removed"),
        (10, "100%", "the source has only 10 rows, and the last finished run had 40; 30 customers"),
        (10, 29, "the source no longer contains 30 customers (75.0%), more than the maximum of 29"),
    ],
)
async def test_empty_or_half_source_deletes_nothing(
    rows: int, limit: int | str, reason: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account("paydock"), "paydock", tmp_path)
    source = write_csv(tmp_path / "c.csv", rows)
    job, message = await stopped(account("paydock"), sources.read(source), journal, max_removed=limit)
    assert (job.exit_status, delete_requests(server)) == ("removal", 0)
    assert reason in message


async def test_another_source_with_many_rows_deletes_nothing(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    """Many new customers do not lower the percentage of customers that left."""
    journal = await first_run(account("paydock"), "paydock", tmp_path, 2)
    other = tmp_path / "other.csv"
    other.write_text("\n".join(["reference,name", *(f"x-{number},Ada" for number in range(60))]))
    job, message = await stopped(account("paydock"), sources.read(other), journal)
    assert "the source no longer contains 2 customers (100.0%)" in message
    assert (job.exit_status, delete_requests(server)) == ("removal", 0)


INCOMPLETE: dict[str, Callable[[Path], Any]] = {
    "invalid row": lambda path: path.write_text(path.read_text().replace("ada.2@example.com", "not an address")),
    "line without a reference": lambda path: path.write_text(path.read_text() + ",Ada,ada@example.com,\n"),
    "line that breaks off": lambda path: path.write_text(path.read_text() + "c-9"),
}


@pytest.mark.parametrize("change", INCOMPLETE)
async def test_source_with_failed_rows_deletes_nothing(
    change: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account("paydock"), "paydock", tmp_path)
    INCOMPLETE[change](write_without(tmp_path / "c.csv", ROWS, 3))
    job, outcomes = await run_job(account("paydock"), sources.read(tmp_path / "c.csv"), journal, removed="delete")
    assert (job.exit_status, delete_requests(server)) == ("finished", 0), outcomes
    assert job.left.count == 1
    assert "1 row of the source failed" in (job.left.problem or "")


async def test_limited_run_and_changed_source_count_nothing(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account("paydock"), "paydock", tmp_path)
    source = write_without(tmp_path / "c.csv", ROWS, 3)
    job, _ = await run_job(account("paydock"), sources.read(source), journal, removed="delete", first=ROWS - 2)
    assert (job.exit_status, job.left.counted) == ("paused", False)
    rows = sources.read(source)
    source.write_text(source.read_text() + f"{line(100)}\n")
    job, message = await stopped(account("paydock"), rows, journal)
    assert "changed while it was read" in message
    assert (job.exit_status, job.left.counted, delete_requests(server)) == ("source", False, 0)
    job, _ = await run_job(account("paydock"), sources.read(source), journal, removed="delete", only="failed")
    assert (job.left.counted, delete_requests(server)) == (False, 0)


async def test_customer_that_was_given_another_reference_is_kept(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account("paydock"), "paydock", tmp_path)
    server.store._connection.execute(
        "UPDATE customers SET body = replace(body, 'c-3\"', 'z-3\"'), reference = 'z-3' WHERE reference = 'c-3'"
    ).close()
    source = write_without(tmp_path / "c.csv", ROWS, 3)
    job, outcomes = await run_job(account("paydock"), sources.read(source), journal, removed="delete")
    (kept,) = [it for it in outcomes if it.status == "kept"]
    assert (kept.code, kept.ok, job.left.kept, delete_requests(server)) == ("other reference", False, 1, 0)
    assert journal.states() == {"done": ROWS}


@pytest.mark.parametrize("gateway", DELETING)
async def test_refused_deletion_is_tried_again_by_the_next_run(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account(gateway), gateway, tmp_path)
    source = write_without(tmp_path / "c.csv", ROWS, 3)
    server.faults.add("server_error", gateway=gateway, method="DELETE", status=400)
    job, outcomes = await run_job(account(gateway), sources.read(source), journal, removed="delete")
    (kept,) = [it for it in outcomes if it.status == "kept"]
    assert (kept.code, kept.applied) == ("InvalidRequestError 400", "no")
    assert "was not removed" in (kept.reason or "")
    assert (job.left.kept, journal.states()) == (1, {"done": ROWS})
    job, _ = await run_job(account(gateway), sources.read(source), journal, removed="delete")
    assert (job.left.removed, deleted(server, gateway)) == (1, {"c-3": 1})


@pytest.mark.parametrize("gateway", DELETING)
async def test_unconfirmed_deletion_is_not_reported_as_a_kept_customer(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account(gateway), gateway, tmp_path)
    source = write_without(tmp_path / "c.csv", ROWS, 3)
    server.faults.add("read_close", times=None, gateway=gateway, method="DELETE", applied=False)
    retry = evolve(QUICK, attempts=2)
    _, outcomes = await run_job(account(gateway), sources.read(source), journal, removed="delete", retry=retry)
    (kept,) = [it for it in outcomes if it.status == "kept"]
    assert kept.applied == "unknown"
    assert "may have been applied" in (kept.reason or "")
    assert "was not removed" not in (kept.reason or "")


@pytest.mark.parametrize("gateway", DELETING)
async def test_killed_removal_is_completed_without_a_second_deletion(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account(gateway), gateway, tmp_path)
    source = write_without(tmp_path / "c.csv", ROWS, 3, 5)
    # Two deletions were recorded; the process was killed after the gateway applied the first.
    journal._execute("UPDATE rows SET state = 'removing' WHERE reference IN (?, ?)", ["c-3", "c-5"])
    async with CustomerSession(account(gateway)) as session:
        await session.delete((await session.get_by_reference("c-3")).id)
    job, _ = await run_job(account(gateway), sources.read(source), journal, removed="delete")
    assert (job.left.removed, job.left.kept) == (2, 0)
    assert deleted(server, gateway) == {"c-3": 1, "c-5": 1}
    assert delete_requests(server) == 2


@pytest.mark.parametrize("gateway", DELETING)
async def test_late_deletion_does_not_undo_a_row_that_returned(
    gateway: str, account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    """Invariant: a deletion of a killed process is applied before the row is sent again, or not at all."""
    journal = await first_run(account(gateway), gateway, tmp_path, 2)
    journal._execute("UPDATE rows SET state = 'removing' WHERE reference = ?", ["c-1"])
    async with CustomerSession(account(gateway)) as killed:
        held = (await killed.get_by_reference("c-1")).id

        async def apply_late() -> None:
            await anyio.sleep(0.2)  # the confirmation window is 2 s
            await killed.delete(held)

        async with anyio.create_task_group() as group:
            group.start_soon(apply_late)
            rows = sources.read(write_csv(tmp_path / "c.csv", 2))
            patient = evolve(QUICK, confirmation_window=2.0)
            _, outcomes = await run_job(account(gateway), rows, journal, retry=patient)
        returned = next(it for it in outcomes if it.reference == "c-1")
        if gateway == "monri":  # a deleted customer keeps its reference
            assert (returned.status, returned.code) == ("failed", "ConflictError")
            return
        assert returned.status == "created"
        assert (await killed.get_by_reference("c-1")).id != held


async def test_row_that_returns_after_its_removal_is_created_again(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account("paydock"), "paydock", tmp_path)
    source = write_without(tmp_path / "c.csv", ROWS, 3)
    await run_job(account("paydock"), sources.read(source), journal, removed="delete")
    _, outcomes = await run_job(account("paydock"), sources.read(write_csv(source, ROWS)), journal)
    (created,) = [it for it in outcomes if it.status == "created"]
    assert (created.reference, created.cleared) == ("c-3", ())
    assert server.store.ledger("paydock")["c-3"] == 2


async def test_unconfirmed_create_of_a_row_that_left_is_looked_up_and_deleted(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account("paydock"), "paydock", tmp_path)
    journal._execute("UPDATE rows SET state = 'sending', id = NULL WHERE reference IN (?, ?)", ["c-3", "c-4"])
    async with CustomerSession(account("paydock")) as session:
        await session.delete((await session.get_by_reference("c-4")).id)  # its create was never applied
    source = write_without(tmp_path / "c.csv", ROWS, 3, 4)
    job, _ = await run_job(account("paydock"), sources.read(source), journal, removed="delete")
    assert job.left.removed == 2
    assert deleted(server, "paydock") == {"c-3": 1, "c-4": 1}


async def test_customer_that_a_killed_run_has_created_again_is_deleted(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    """Invariant: a removed row has no customer. The journal has the id of the customer that was deleted first."""
    journal = await first_run(account("paydock"), "paydock", tmp_path, 2)
    source = tmp_path / "c.csv"
    for state in ("removed", "removing"):
        write_without(source, 2, 1)
        await run_job(account("paydock"), sources.read(source), journal, removed="delete", max_removed=1)
        journal._execute("UPDATE rows SET state = ? WHERE reference = 'c-1'", [state])
        server.faults.add("read_hang", method="POST")
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(run_job, account("paydock"), sources.read(write_csv(source, 2)), journal)
                while server.faults.seen.count("read_hang") < 1 + (state == "removing"):  # noqa: ASYNC110 - in a thread
                    await anyio.sleep(0.01)
                group.cancel_scope.cancel()
    write_without(source, 2, 1)
    job, _ = await run_job(account("paydock"), sources.read(source), journal, removed="delete", max_removed=1)
    assert job.left.removed == 1
    assert server.store.ledger("paydock")["c-1"] == 3
    assert [it["archived"] for it in server.store.customers("paydock") if it["reference"] == "c-1"] == [True] * 3


async def test_stopped_removal_deletes_nothing_more(
    account: AccountFactory, server: SimulatorServer, tmp_path: Path
) -> None:
    journal = await first_run(account("paydock"), "paydock", tmp_path)
    source = write_csv(tmp_path / "c.csv", ROWS - 10)
    options = Options(retry=QUICK, removed="delete", max_removed=10, workers=1)
    async with CustomerSession(account("paydock"), rate_limit=RateLimit(100)) as session:
        job = sync(session, sources.read(source), journal=journal, options=options)
        async with job:
            async for outcome in job:
                if outcome.status == "removed":
                    job.stop()
    assert job.exit_status == "interrupted"
    done = len(deleted(server, "paydock"))
    assert 1 <= done <= 2
    assert journal.states() == {"done": ROWS - done, "removed": done}
    job, _ = await run_job(account("paydock"), sources.read(source), journal, removed="delete", max_removed=10)
    assert len(deleted(server, "paydock")) == delete_requests(server) == 10


@pytest.mark.parametrize("text", ["x", "-1", "101%", "5.5", ""])
def test_limit_is_a_number_or_a_percentage(text: str) -> None:
    with pytest.raises(ConfigurationError, match="the maximum number of customers to delete"):
        RemovalLimit.parse(text)


def test_advice_names_the_options_that_have_to_be_given_again() -> None:
    advice = LeftCustomers(count=3).advice("j", {"query": "digest", "on": "digest", "removed": "digest"}, rows=5)
    assert advice.endswith("resume j --removed delete --max-removed 3 (with the same --query and --on)")
    assert "resume" not in LeftCustomers(count=3).advice("j", {"temporary": True}, rows=5)
