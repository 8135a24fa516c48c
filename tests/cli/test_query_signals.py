"""A signal ends a command during a query, and no copy of the source is left."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cli.conftest import start

from wonder_customers.simulator.server import SimulatorServer

pytest.importorskip("duckdb", reason="needs the extra duckdb")
pytest.importorskip("sqlalchemy", reason="needs the extra sql")
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the CPU time of a process in /proc")

ROWS = 3000
"""The rows of the file. The last batch is not complete when the query becomes slow."""
FILES = "SELECT 'c' AS reference, 'Ada' AS name, count(*) AS n FROM source, range({rows}) a, range({rows}) b"
LATE = (
    "SELECT * FROM source UNION ALL SELECT reference, name FROM (SELECT * FROM source LIMIT 1), range({rows}) a,"
    " range({rows}) b WHERE a.range * b.range = -1"
)
DATABASE = (
    "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < {rows}) SELECT count(*) AS reference,"
    " 'Ada' AS name FROM x"
)


@pytest.fixture
def query_environment(folder: Path, bare: dict[str, str], server: SimulatorServer) -> dict[str, str]:
    """The environment of a command in a folder with a file, a database and a folder for temporary files."""
    (folder / "c.csv").write_text("reference,name\n" + "".join(f"c-{it},Ada\n" for it in range(ROWS)))
    (folder / "tmp").mkdir()
    with closing(sqlite3.connect(folder / "c.db")):
        pass
    return {**bare, **server.environment(), "TMPDIR": str(folder / "tmp")}


def query(kind: str) -> list[str]:
    if kind == "database":
        return ["-", "--database", "sqlite:///c.db", "--query", DATABASE.format(rows=10**12)]
    return ["c.csv", "--query", (FILES if kind == "file" else LATE).format(rows=10**9)]


def cpu_time(process: "subprocess.Popen[str]") -> float:
    """Return the CPU time of a process in seconds; 0.0 if it has ended."""
    try:
        after_name = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_query(process: "subprocess.Popen[str]", started: Callable[[], object]) -> None:
    """Wait until a query uses the CPU, at most two minutes."""
    until, used = time.monotonic() + 120, 0.0
    # Nothing else uses half a second: the queries take years.
    while process.poll() is None and time.monotonic() < until and not (used and cpu_time(process) > used + 0.5):
        if not used and started():
            used = cpu_time(process)
        time.sleep(0.02)


def opened(process: "subprocess.Popen[str]", folder: Path) -> bool:
    """Return whether a process has opened the database, or written a copy of the source."""
    if list((folder / "tmp").glob("*/*.csv")):
        return True
    with suppress(OSError):
        return any(it.resolve() == folder / "c.db" for it in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


@pytest.mark.parametrize(
    ("command", "kind", "name"),
    [
        ("plan", "file", "SIGTERM"),
        ("plan", "file", "SIGINT"),
        ("sync", "file", "SIGHUP"),
        ("sync", "file", "SIGINT"),
        ("columns", "file", "SIGTERM"),
        ("columns", "file", "SIGINT"),
        ("plan", "late", "SIGTERM"),
        ("plan", "database", "SIGINT"),
        ("sync", "database", "SIGTERM"),
    ],
)
def test_signal_during_a_query_ends_the_command(
    command: str, kind: str, name: str, folder: Path, query_environment: dict[str, str]
) -> None:
    to = [] if command == "columns" else ["--to", "monri"]
    process = start(folder, query_environment, command, *query(kind), *to, "--ignore-unknown")
    wait_for_query(process, lambda: opened(process, folder))
    assert process.poll() is None
    process.send_signal(signal.Signals[name])
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.Signals[name]
    assert "Traceback" not in errors
    assert not list((folder / "tmp").iterdir())


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_between_the_rows_of_a_query_stops_the_job(
    name: str, folder: Path, query_environment: dict[str, str], server: SimulatorServer
) -> None:
    process = start(folder, query_environment, "sync", *query("late"), "--to", "monri", "--rate", "5000/s")
    wait_for_query(process, lambda: server.store.created("monri"))
    process.send_signal(signal.Signals[name])
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "To continue, run: wonder-customers resume" in errors
    assert "Traceback" not in errors
    assert not list((folder / "tmp").iterdir())
