"""Killed jobs: each customer exists exactly once, with the last payload."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from bulk.customers import QUICK, AccountFactory, write_csv

from wonder_customers import CustomerSession
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
