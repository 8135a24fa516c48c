"""Killed jobs end with the state of other jobs: each customer exists exactly once, with the last payload."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from attrs import evolve
from bulk.customers import HEADER, QUICK, AccountFactory, line, open_journal, run_job, write_csv

from wonder_customers import Customer, CustomerSession, dialects
from wonder_customers.bulk import Journal, Options, sources, verify
from wonder_customers.dialects import names
from wonder_customers.simulator import FAULT_KINDS
from wonder_customers.simulator.server import SimulatorServer

PROGRAM = Path(__file__).with_name("bulk_process.py")
PARAMETERS: dict[str, dict[str, Any]] = {
    "zombie": {"delay": 0.2},
    "refuse": {"seconds": 0.1},
    "drip": {"interval": 0.002},
    "rate_limited": {"retry_after": 0.1},
}
# Responses that are too large are not requested again, so their rows fail; tests of the transports cover them.
ELSEWHERE = {"expired_tls", "gzip_bomb", "huge_headers", "refuse"}


def misbehave(server: SimulatorServer, gateway: str, proportion: float, seed: int) -> None:
    """Enable every kind of fault for some of the requests."""
    kinds = sorted(FAULT_KINDS.keys() - ELSEWHERE)
    for index, kind in enumerate(kinds):
        more = dict(PARAMETERS.get(kind, {}))
        if kind == "duplicate" and gateway == "paydock":
            # At Paydock, two customers may have one reference, so a create that is delivered twice creates two.
            more["method"] = "GET"
        server.faults.add(kind, times=None, probability=proportion / len(kinds), seed=seed + index, **more)


def start(gateway: str, source: Path, journal: Path, server: SimulatorServer, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PROGRAM), gateway, str(source), str(journal), *more]
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, **server.environment(), "PYTHONPATH": path}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())


def kill_after(process: "subprocess.Popen[str]", more: int, count: Callable[[], int]) -> bool:
    """Kill the process after `more` requests, which `count` counts; return False if it ended before."""
    goal = count() + more
    while process.poll() is None:
        if count() >= goal:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.001)
    process.communicate()
    return False


def finish(process: "subprocess.Popen[str]", rows: int) -> Any:
    """Wait for the end of a process, and return its report."""
    output, _ = process.communicate(timeout=600 + rows / 10)
    assert process.returncode == 0
    return orjson.loads(output)


async def _verified(account: Any, source: Path) -> Any:
    async with CustomerSession(account, retry=QUICK) as session:
        return await verify(session, sources.read(source), options=Options(retry=QUICK))


def run_with_kills(
    gateway: str, rows: int, kills: int, share: float, server: SimulatorServer, folder: Path, account: Any
) -> None:
    rng = random.Random(f"{gateway} {rows}")
    source, journal = write_csv(folder / "customers.csv", rows), folder / "journal"
    misbehave(server, gateway, share, seed=rows)
    steady = ["steady"] if rows < 1000 else []
    more = steady
    for _ in range(kills):
        process = start(gateway, source, journal, server, *more)
        assert kill_after(process, rng.randrange(1, rows // (kills + 1)), server.faults.requests.total)
        more = ["resume", *steady]
    report = finish(start(gateway, source, journal, server, *more), rows)
    assert (report["read"], report["unfinished"]) == (rows, 0)
    assert sum(report["counts"].values()) == rows
    # A write that is lost twice is not sent a third time in one run. The next run looks the customer up.
    assert set(report["failures"]) <= {"OutcomeUnknownError"}
    server.faults.clear()
    assert finish(start(gateway, source, journal, server, *steady), rows)["failures"] == []
    # Each customer was created exactly once.
    ledger = server.store.ledger(gateway)
    assert ledger == {f"c-{number}": 1 for number in range(rows)}
    # The gateway has the values of the source.
    found = anyio.run(_verified, account(gateway), source)
    assert (found.checked, found.counts["equal"]) == (rows, rows), found.findings[:5]
    states = Journal.existing(journal).states()
    assert states == {"done": rows}


@pytest.mark.parametrize(
    ("gateway", "rows", "kills", "share"),
    [
        *(pytest.param(it, 60, 2, 0.1, marks=[pytest.mark.long] * (it != "paydock")) for it in names()),
        *(pytest.param(it, 5000, 3, 0.02, marks=pytest.mark.nightly) for it in names()),
    ],
)
def test_killed_job_creates_each_customer_once(
    gateway: str, rows: int, kills: int, share: float, server: SimulatorServer, tmp_path: Path, account: AccountFactory
) -> None:
    run_with_kills(gateway, rows, kills, share, server, tmp_path, account)


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
