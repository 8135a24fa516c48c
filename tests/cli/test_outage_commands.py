"""Outages, signals and closed outputs of the bulk commands."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from bulk.customers import write_csv
from cli.conftest import Command, start

from wonder_customers.cli import progress
from wonder_customers.simulator.server import SimulatorServer

SECONDS = 25.0
"""The longest time from a signal to the end of the process on a busy machine; the waits of the tests are longer."""


def test_refused_connection_is_shown_and_ends_the_job(folder: Path, server: SimulatorServer, command: Command) -> None:
    write_csv(folder / "c.csv", 20)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {**server.environment(), "MONRI_BASE_URL": f"http://127.0.0.1:{port}"}
    words = ("sync", "c.csv", "--to", "monri", "--give-up-after", "3s", "--report", "r.json", "--html", "r.html")
    code, output, errors = command(*words, env=variables)
    # The first line of JSON is written because of the outage.
    outage = orjson.loads(next(it for it in errors.splitlines() if it.startswith("{")))["outage"]
    assert outage["reason"] == "the connection was refused"
    assert outage["text"] == f"the connection was refused ({outage['requests']} times), waiting"
    assert code == 3
    assert "stopped by an outage" in output
    assert "the job stopped after 0 rows: the connection was refused (" in errors
    assert "wonder-customers resume c.csv.monri.journal" in errors
    report = orjson.loads((folder / "r.json").read_bytes())
    assert (report["exit_status"], report["rows"]["unfinished"]) == ("outage", 20)
    assert report["outages"][0]["reason"] == "the connection was refused"
    assert "the connection was refused" in (folder / "r.html").read_text()


FAULTS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "503": ("server_error", {"status": 503}),
    "a gateway that does not respond": ("read_hang", {}),
    "429 with a Retry-After of an hour": ("rate_limited", {"retry_after": 3600}),
    "a rate limit of one request per minute": (None, {}),
}


@pytest.mark.parametrize(
    ("case", "name"),
    [
        pytest.param("503", "SIGTERM", marks=pytest.mark.long),
        ("a gateway that does not respond", "SIGHUP"),
        pytest.param("429 with a Retry-After of an hour", "SIGINT", marks=pytest.mark.long),
        pytest.param("a rate limit of one request per minute", "SIGTERM", marks=pytest.mark.long),
    ],
)
def test_stop_ends_every_wait(
    tmp_path: Path, server: SimulatorServer, bare: dict[str, str], name: str, case: str
) -> None:
    write_csv(tmp_path / "c.csv", 40)
    fault, parameters = FAULTS[case]
    if fault is not None:
        server.faults.add(fault, times=None, method="POST", **parameters)
    limit = () if fault is not None else ("--rate", "1/min")
    with start(tmp_path, {**bare, **server.environment()}, "sync", "c.csv", "--to", "wonder", *limit) as process:
        until = time.monotonic() + 120
        while not server.faults.requests and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)  # the process waits now
        began = time.monotonic()
        process.send_signal(signal.Signals[name])
        _, errors = process.communicate(timeout=300)
        assert time.monotonic() - began < SECONDS
    assert process.returncode == 130
    assert "To continue, run: wonder-customers resume c.csv.wonder.journal" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("closed", [pytest.param("stdout", marks=pytest.mark.long), "both"])
def test_closed_output_does_not_end_the_job(
    tmp_path: Path, server: SimulatorServer, bare: dict[str, str], closed: str
) -> None:
    write_csv(tmp_path / "c.csv", 30)
    reading, writing = os.pipe()
    os.close(reading)
    err = writing if closed == "both" else subprocess.PIPE
    words = ("sync", "c.csv", "--to", "monri", "--rate", "25/s", "--report", "r.json")
    with start(tmp_path, {**bare, **server.environment()}, *words, out=writing, err=err) as process:
        os.close(writing)
        output = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "Traceback" not in f"{output}"
    assert orjson.loads((tmp_path / "r.json").read_bytes())["rows"]["created"] == 30


@pytest.mark.parametrize("redirections", [">&-", ">&- 2>&-"])
def test_job_runs_without_standard_output(
    tmp_path: Path, server: SimulatorServer, bare: dict[str, str], redirections: str
) -> None:
    write_csv(tmp_path / "c.csv", 3)
    shell = ["sh", "-c", f'"$@" {redirections}', "sh", sys.executable, "-m", "wonder_customers"]
    variables = {**bare, **server.environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*shell, "sync", "c.csv", "--to", "monri", "--report", "r.json"],
        cwd=tmp_path,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert orjson.loads((tmp_path / "r.json").read_bytes())["rows"]["created"] == 3


def test_closed_terminal_stops_the_job_in_order(tmp_path: Path, server: SimulatorServer, bare: dict[str, str]) -> None:
    write_csv(tmp_path / "c.csv", 2000)
    master, terminal = pty.openpty()
    words = ("sync", "c.csv", "--to", "monri", "--rate", "20/s", "--report", "r.json")
    with start(tmp_path, {**bare, **server.environment()}, *words, out=terminal, err=terminal) as process:
        os.close(terminal)
        until = time.monotonic() + 120
        while len(server.store.created("monri")) < 10 and time.monotonic() < until:
            time.sleep(0.02)
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.wait(300) == 130
    report = orjson.loads((tmp_path / "r.json").read_bytes())
    assert (report["exit_status"], report["adds_up"]) == ("interrupted", True)


def test_progress_bar_names_the_outage_below_the_bar() -> None:
    outage = {"reason": "the gateway responds with 503", "requests": 432, "seconds": 41.2}
    facts = {"outage": {**outage, "text": "the gateway responds with 503 (432 times), waiting"}}
    assert progress._outage_line(facts) == "the gateway responds with 503 (432 times), waiting for 41 s"
    assert progress._outage_line({"outage": None}) == ""
