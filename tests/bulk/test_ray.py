"""Distributed jobs on Ray, with killed actors."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import anyio
import orjson
import pytest
from bulk.customers import HEADER, QUICK, journal_rows, line, write_csv
from security import bulk_scenarios as canaries
from security.canary_values import CITY, EMAIL, NAME, Canaries
from security.captured_output import CapturedOutput

from wonder_customers import CustomerSession
from wonder_customers.bulk import Journal, Options, Source, Verification, sources, verify
from wonder_customers.bulk.journal.digest import VARIABLE
from wonder_customers.cli.app import run
from wonder_customers.dialects import package
from wonder_customers.dialects.paydock.simulator import PaydockSimulator
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator.gateway import ReceivedRequest
from wonder_customers.simulator.server import SimulatorServer

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.alone,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the actors' processes through /proc"),
]

DRIVER = Path(__file__).with_name("ray_driver.py")
MARK = "WONDER_CUSTOMERS_TEST"
KEY = "one key for all journals here"


class Timed(PaydockSimulator):
    """A simulated Paydock that records when each request arrives."""

    arrivals: ClassVar[list[float]] = []

    def authenticate(self, request: ReceivedRequest) -> str:
        Timed.arrivals.append(time.monotonic())
        return super().authenticate(request)


@pytest.fixture
def timed_server() -> Iterator[SimulatorServer]:
    Timed.arrivals.clear()
    with SimulatorServer([Timed], faults=True) as made:
        yield made


class Machine:
    """The processes of one test: those that it starts, and those that Ray starts for them."""

    def __init__(self, timed_server: SimulatorServer, folder: Path) -> None:
        self.mark = f"{MARK}={uuid4().hex}"
        name, _, value = self.mark.partition("=")
        path = os.pathsep.join(filter(None, sys.path))
        more = {"PYTHONPATH": path, VARIABLE: KEY, name: value, "COLUMNS": "200"}
        self.environment = {**os.environ, **timed_server.environment(), **more}
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, *words]
        with (self.folder / "err").open("a") as errors:
            (self.folder / "err").chmod(0o600)
            process = subprocess.Popen(
                command, env=self.environment, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=self.folder
            )
        self.started.append(process)
        return process

    def finish(self, process: "subprocess.Popen[str]", seconds: float = 400) -> str:
        """Wait until a process has ended successfully, and return its output."""
        output, _ = process.communicate(timeout=seconds)
        assert process.returncode == 0, output + (self.folder / "err").read_text()[-3000:]
        return output

    def processes(self, title: str) -> list[int]:
        """Return the ids of the processes of this test whose command line contains `title`."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                ours = self.mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                if ours and title.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (OSError, ValueError):
                continue
        return sorted(found)

    def kill(self, title: str, rng: random.Random) -> bool:
        """Kill one of the processes that `processes` returns; return False if it returns none."""
        found = self.processes(title)
        if found:
            os.kill(rng.choice(found), signal.SIGKILL)
        return bool(found)


@pytest.fixture
def machine(timed_server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setenv(VARIABLE, KEY)
    made = Machine(timed_server, tmp_path)
    yield made
    for _ in range(100):
        left = made.processes("")
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
        time.sleep(0.1)
    for process in made.started:
        process.communicate(timeout=300)


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the condition did not become true in time"
        assert process.poll() is None, "the job ended before the condition became true"
        time.sleep(0.01)


def arrived(goal: int) -> bool:
    return len(Timed.arrivals) >= goal


def check_rate(rate: float) -> None:
    """Check that no second after the first has more requests than the rate plus five per cent."""
    times = sorted(Timed.arrivals)
    begin = bisect_left(times, times[0] + 1)
    worst = max(bisect_left(times, at + 1) - index for index, at in enumerate(times) if index >= begin)
    assert worst <= rate * 1.05, (worst, rate)


async def read_back(account: Any, source: Path) -> Verification:
    async with CustomerSession(account, retry=QUICK) as session:
        return await verify(session, sources.read(source), options=Options(retry=QUICK))


def check_end(timed_server: SimulatorServer, source: Path, journal: Path, rows: int) -> None:
    """Check that no row was lost and that no customer was created twice."""
    assert timed_server.store.ledger("paydock") == {f"c-{number}": 1 for number in range(rows)}
    assert Journal.existing(journal).states() == {"done": rows}
    account = package("paydock").ACCOUNT.from_environment(timed_server.environment())
    found = anyio.run(read_back, account, source)
    assert (found.checked, found.counts["equal"]) == (rows, rows), found.findings[:5]


def run_both_ways(machine: Machine, timed_server: SimulatorServer, folder: Path, rows: int) -> None:
    """Run a job in one process and on two workers, and compare their reports, files and customers."""
    lines = [line(number) for number in range(rows)]
    lines[rows // 5], lines[rows * 4 // 5], lines[77] = line(3), line(50), "c-77,Bad,bad@example.com,no-phone"
    (folder / "c.csv").write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    found: dict[str, Any] = {}
    for name, more in {"one": (), "two": ("--on", "ray", "--processes", "2")}.items():
        timed_server.store._connection.executescript("DELETE FROM customers; DELETE FROM history")
        files = ["--journal", f"{name}.journal", "--report", f"{name}.json", "--failures", f"{name}.failed.jsonl"]
        process = machine.start("-m", "wonder_customers", "sync", "c.csv", "--to", "paydock", *files, *more)
        output, _ = process.communicate(timeout=300 + rows / 20)
        assert process.returncode == 2, output + (folder / "err").read_text()
        report = orjson.loads((folder / f"{name}.json").read_bytes())
        letters = sorted(
            re.sub(r'"at":"[^"]+",', "", line) for line in (folder / f"{name}.failed.jsonl").read_text().splitlines()
        )
        facts = {key: report[key] for key in ("rows", "adds_up", "failures", "exit_status", "reason")}
        held = sorted(body["reference"] for body in timed_server.store.customers("paydock"))
        sent = report["requests"]["sent"]
        found[name] = (
            facts,
            letters,
            held,
            sent,
            journal_rows(folder / f"{name}.journal"),
            timed_server.store.ledger("paydock"),
        )
    assert found["one"][:5] == found["two"][:5]
    assert set(found["two"][5].values()) == {1}
    assert found["two"][0]["rows"]["created"] == rows - 3


def test_five_thousand_rows_on_two_workers_are_as_in_one_process(
    machine: Machine, timed_server: SimulatorServer, tmp_path: Path
) -> None:
    run_both_ways(machine, timed_server, tmp_path, 5000)
    assert list(tmp_path.glob("*.partitions*")) == []


def test_job_on_ray_leaks_no_personal_data(machine: Machine, timed_server: SimulatorServer, tmp_path: Path) -> None:
    rows = [canaries.ROW.format(f"c-{number}") for number in range(200)]
    rows[50] = f'bad-1,{NAME},{EMAIL},"{NAME}"'
    rows[150] = f"c-8,{NAME},x,,{EMAIL},{CITY}"
    (tmp_path / "c.csv").write_text("\n".join([canaries.HEADER, *rows]) + "\n", encoding="utf-8")
    timed_server.faults.add("server_error", gateway="paydock", method="POST", status=400, times=1)
    outputs = ("--report", "r.json", "--html", "r.html", "--debug")
    process = machine.start("-m", "wonder_customers", "sync", "c.csv", "--to", "paydock", "--on", "ray", *outputs)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output + (tmp_path / "err").read_text()
    assert orjson.loads((tmp_path / "r.json").read_bytes())["rows"]["created"] == 197
    (tmp_path / "c.csv").unlink()
    written = CapturedOutput()
    written.add(output)
    written.folder(tmp_path)
    ours = len(written.pieces)
    written.folder(Path("/tmp/ray/session_latest/logs"), private=False)
    assert len(written.pieces) > ours
    keys = {"secret key": timed_server.environment()["PAYDOCK_SECRET_KEY"], "journal's key": KEY}
    # No row contains a security code, and a process of Ray may have its four digits as its id.
    assert Canaries(keys).found(*written.pieces) - {"security code"} == set()


def test_killed_actors_lose_no_row_and_keep_the_rate(
    machine: Machine, timed_server: SimulatorServer, tmp_path: Path
) -> None:
    rows, rate, rng = 2000, 200, random.Random(20)
    source, journal = write_csv(tmp_path / "c.csv", rows), tmp_path / "journal"
    words = [str(DRIVER), "paydock", str(source), str(journal), str(rate)]
    victims = ["ray::_Worker", "ray::PermitServer", "ray::Coordinator", "ray::_Worker"]
    rng.shuffle(victims)
    process = machine.start(*words)
    goal = 0
    for victim in (*victims[:2], "driver", *victims[2:]):
        goal += rng.randrange(400, 680)
        wait_for(partial(arrived, goal), process)
        if victim == "driver":
            process.send_signal(signal.SIGKILL)
            process.communicate()
            process = machine.start(*words, "resume")
        else:
            wait_for(partial(machine.kill, victim, rng), process)
    # Ray itself prints a line for each process that died.
    report = orjson.loads(machine.finish(process).splitlines()[-1])
    assert (report["read"], report["unfinished"], report["failed"]) == (rows, 0, [])
    assert sum(report["counts"].values()) == rows
    check_rate(rate)
    check_end(timed_server, source, journal, rows)


def test_interrupted_job_on_a_cluster_is_resumed(
    machine: Machine, timed_server: SimulatorServer, tmp_path: Path
) -> None:
    rows = 400
    write_csv(tmp_path / "c.csv", rows)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    # A local Ray is configured by --on; a cluster has to be configured by its operator.
    machine.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid4().hex, "RAY_USAGE_STATS_ENABLED": "0"}
    ray = str(Path(sys.executable).with_name("ray"))
    head = ["start", "--head", f"--port={port}", "--include-dashboard=false", "--object-store-memory=80000000"]
    subprocess.run([ray, *head], env=machine.environment, check=True, stdout=subprocess.DEVNULL, cwd=tmp_path)
    command = ["-m", "wonder_customers", "sync", "c.csv", "--to", "paydock", "--rate", "150/s"]
    process = machine.start(*command, "--on", f"ray://127.0.0.1:{port}", "--report", "r.json")
    wait_for(partial(arrived, 150), process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode == 130
    report = orjson.loads((tmp_path / "r.json").read_bytes())
    assert (report["exit_status"], report["adds_up"]) == ("interrupted", True)
    assert 0 < report["rows"]["created"] < rows
    journal = tmp_path / "c.csv.paydock.journal"
    again = ("resume", journal.name, "--on", f"ray://127.0.0.1:{port}", "--report", "r.json")
    machine.finish(machine.start("-m", "wonder_customers", *again))
    report = orjson.loads((tmp_path / "r.json").read_bytes())
    assert (report["exit_status"], report["rows"]["created"], report["rows"]["read"]) == ("finished", rows, rows)
    check_end(timed_server, tmp_path / "c.csv", journal, rows)


def test_failed_start_leaves_neither_actors_nor_a_local_ray(machine: Machine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 3)
    process = machine.start(str(DRIVER), "paydock", str(source), str(tmp_path / "journal"), "0", "fail")
    assert orjson.loads(machine.finish(process).splitlines()[-1]) == [[True, [], []], [False, [], []]]
    assert machine.processes("ray::") == []


def test_address_is_not_ignored_if_the_process_is_already_connected(machine: Machine, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 3)
    process = machine.start(str(DRIVER), "paydock", str(source), str(tmp_path / "journal"), "0", "elsewhere")
    connected, refused, *read = orjson.loads(machine.finish(process).splitlines()[-1])
    assert refused.startswith(
        f"this process is already connected to Ray at {connected}, not at other.example:6379. Nothing was sent."
    )
    assert read == [3, 3]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dask"], "`on` (--on) must be ray (this machine) or ray://HOST:PORT (a cluster), not 'dask'"),
        (["ray://"], "not 'ray://'"),
        (["ray", "--processes", "0"], "Must be >= 1."),
        (["ray", "--simulator"], "--simulator cannot be used with --on"),
        (["ray", "--shared-limit", "redis://127.0.0.1", "--rate", "5"], "--shared-limit cannot be used with --on"),
    ],
)
def test_invalid_ray_options_are_refused_before_starting(
    words: list[str],
    expected: str,
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in machine.environment.items():
        monkeypatch.setenv(name, value)
    source = write_csv(tmp_path / "c.csv", 3)
    assert run(["sync", str(source), "--to", "paydock", "--on", *words]) == 1
    assert expected in capsys.readouterr().err.replace("\n", " ")
    assert machine.processes("ray::") == []


def test_saved_plan_is_refused_before_starting(tmp_path: Path) -> None:
    from wonder_customers.bulk.ray import sync_on_ray

    options = Options(inspect=lambda _outcomes, _pending: None)  # as `check_plan` returns
    start = partial(sync_on_ray, Source(str(tmp_path / "c.csv")), tmp_path / "j", options=options)
    with pytest.raises(ConfigurationError, match="a saved plan cannot be carried out on Ray"):
        anyio.run(start)
