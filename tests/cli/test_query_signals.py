"""A signal ends a command during a query, and no copy of the source is left."""

import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from cli.conftest import start

from wonder_customers.simulator.server import SimulatorServer

pytest.importorskip("duckdb", reason="needs the extra duckdb")
pytest.importorskip("sqlalchemy", reason="needs the extra sql")

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


def wait_for_query(process: "subprocess.Popen[str]", folder: Path) -> None:
    """Wait until DuckDB executes a query."""
    until = time.monotonic() + 60
    while not list((folder / "tmp").glob("*/*.csv")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)


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
    if kind == "database":
        time.sleep(3)
    else:
        wait_for_query(process, folder)
    assert process.poll() is None
    process.send_signal(signal.Signals[name])
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 2
    assert process.returncode == 128 + signal.Signals[name]
    assert "Traceback" not in errors
    assert not list((folder / "tmp").iterdir())


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_between_the_rows_of_a_query_stops_the_job(
    name: str, folder: Path, query_environment: dict[str, str], server: SimulatorServer
) -> None:
    process = start(folder, query_environment, "sync", *query("late"), "--to", "monri", "--rate", "5000/s")
    until = time.monotonic() + 60
    while len(server.store.created("monri")) < 2000 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.Signals[name])
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 4
    assert process.returncode == 130, errors
    assert "To continue, run: wonder-customers resume" in errors
    assert "Traceback" not in errors
    assert not list((folder / "tmp").iterdir())
