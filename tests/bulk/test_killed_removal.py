"""Killed jobs that clear fields and delete customers end with the state of a job that was not interrupted."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from bulk.customers import HEADER, QUICK, line, open_journal, run_job, write_csv
from bulk.test_killed_job import kill_after, start

from wonder_customers import Customer, CustomerSession, dialects
from wonder_customers.bulk import Journal, Options, sources, verify
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer


@pytest.fixture
def undisturbed() -> Iterator[SimulatorServer]:
    """Start a second simulator, for the job that is not interrupted."""
    with SimulatorServer([dialects.simulator(name) for name in names()]) as server:
        yield server


def write_changed(path: Path, rows: int) -> Path:
    """Write a source in which customers changed, lost their e-mail address, left, and were added."""
    lines = [HEADER]
    for number in range(rows + rows // 20):
        if number % 25 == 24 and number < rows:
            continue  # 4 % left
        text = line(number, version="2" if number % 7 == 0 else "1")
        lines.append(text.replace(f"ada.{number}@example.com", "") if number % 10 == 3 else text)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


async def held(account: Any) -> dict[str | None, Customer]:
    """Return what the gateway holds, without ids and times."""
    async with CustomerSession(account, retry=QUICK) as session:
        return {
            it.reference: evolve(it, id="", created_at=None, updated_at=None, extra={}, payment_tokens=())
            async for it in session.list()
        }


def deletions_of(server: SimulatorServer, gateway: str, reference: str) -> int:
    return sum(it["action"] == "deleted" for it in server.store.history(gateway, reference))


@pytest.mark.parametrize(
    ("gateway", "rows"),
    [
        *(pytest.param(it, 50, marks=[pytest.mark.long] * (it != "monri")) for it in names()),
        *(pytest.param(it, 5000, marks=pytest.mark.nightly) for it in names()),
    ],
)
def test_killed_job_clears_and_removes_like_an_uninterrupted_one(
    gateway: str, rows: int, server: SimulatorServer, undisturbed: SimulatorServer, tmp_path: Path
) -> None:
    def deletions() -> int:
        return sum(count for key, count in server.store.requests.copy().items() if key[1] == "DELETE")

    rng = random.Random(f"{gateway} {rows}")
    delete = ["delete"] if gateway != "wonder" else []
    accounts = {
        it: dialects.package(gateway).ACCOUNT.from_environment(it.environment()) for it in (server, undisturbed)
    }
    for name, it in (("killed", server), ("whole", undisturbed)):
        journal = open_journal(tmp_path / name, accounts[it], gateway)
        anyio.run(run_job, accounts[it], sources.read(write_csv(tmp_path / "c.csv", rows)), journal)
    source = write_changed(tmp_path / "c.csv", rows)
    words = list(delete)
    for _ in range(2):
        process = start(gateway, source, tmp_path / "killed", server, *words)
        assert kill_after(process, rng.randrange(1, rows // 5), server.faults.requests.total)
        words = ["resume", *delete]
    if delete:
        process = start(gateway, source, tmp_path / "killed", server, *words)
        assert kill_after(process, rng.randrange(1, max(rows // 40, 2)), deletions)
    process = start(gateway, source, tmp_path / "killed", server, *words)
    process.communicate(timeout=900)
    assert process.returncode == 0

    async def finish() -> tuple[Any, Any, Any]:
        options: dict[str, Any] = {"removed": "delete"} if delete else {}
        journal = open_journal(tmp_path / "whole", accounts[undisturbed], gateway)
        await run_job(accounts[undisturbed], sources.read(source), journal, **options)
        async with CustomerSession(accounts[server], retry=QUICK) as session:
            journal = Journal.existing(tmp_path / "killed")
            found = await verify(session, sources.read(source), journal=journal, options=Options(retry=QUICK))
        return await held(accounts[server]), await held(accounts[undisturbed]), found

    killed, whole, found = anyio.run(finish)
    assert killed == whole
    left = [f"c-{number}" for number in range(24, rows, 25)]
    assert (found.wrong, found.counts["removed"]) == (0, len(left) if delete else 0), found.findings[:5]
    assert Journal.existing(tmp_path / "killed").states() == Journal.existing(tmp_path / "whole").states()
    if delete:
        assert {reference: deletions_of(server, gateway, reference) for reference in left} == dict.fromkeys(left, 1)
    assert not [it for it in killed.values() if it.reference == "c-3" and it.email]
