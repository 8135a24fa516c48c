"""Databases as sources, with SQLite; `test_postgresql.py` has those of a server."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources

pytest.importorskip("sqlalchemy", reason="needs the extra sql")


@pytest.fixture
def fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that fills the table `people` of the database that the variable SHOP names."""
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path / 'shop'}")

    def fill(rows: Iterable[tuple[str, str, int]]) -> None:
        with closing(sqlite3.connect(tmp_path / "shop")) as connection, connection:
            connection.execute("CREATE TABLE people (id TEXT, person TEXT, bad INTEGER)")
            connection.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)

    return fill


def test_database_is_read(fill: Any) -> None:
    fill((f"{it:05}", f"Žofie {it}", 0) for it in range(2500))
    query = "SELECT id AS reference, person AS name, '50%:x' AS description FROM people ORDER BY id"
    rows: list[Any] = list(sources.read("-", database="SHOP", query=query))
    assert [row.reference for row in rows] == [f"{it:05}" for it in range(2500)]
    assert (rows[7].draft.name, rows[7].draft.description) == ("Žofie 7", "50%:x")


@pytest.mark.parametrize(
    "name",
    ["CAST(x'5a6fe92043616e617279' AS TEXT)", "json_extract('{}', person)"],  # the first is in Latin-1
)
@pytest.mark.parametrize("rows", [0, 300])
def test_error_of_a_row_is_reported_without_its_values(name: str, rows: int, fill: Any) -> None:
    fill([*((f"r{n}", "Ada", 0) for n in range(rows)), ("last", "Zoë Canary", 1)])
    query = f"SELECT id AS reference, CASE bad WHEN 1 THEN {name} ELSE person END AS name FROM people"
    words = r"the database reported OperationalError\. Its message is not shown"
    with pytest.raises(ConfigurationError, match=words) as caught:
        list(sources.read("-", database="SHOP", query=query))
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("database", "query", "words"),
    [
        ("postgresql://u:secret@localhost/x", "SELECT 1", "contains a password"),
        ("postgresql://u@localhost/x?connect_timeout=1&password=secret", "SELECT 1", "contains a password"),
        ("mysql+pymysql://u@localhost/x?Passwd=secret", "SELECT 1", "contains a password"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Du%3BPWD%3Dsecret", "SELECT 1", "contains a password"),
        ("postgresql//u:secret@localhost/x", "SELECT 1", "database is neither a URL nor the name of an environment"),
        ("Server=h;Uid=u;Pwd=secret", "SELECT 1", "database is neither a URL nor the name of an environment"),
        ("NO_SUCH_VARIABLE", "SELECT 1", "'NO_SUCH_VARIABLE' is neither a URL nor the name of an environment variable"),
        ("://", "SELECT 1", "the URL of the database is invalid"),
        ("mysql://u:secret@h:notaport/x", "SELECT 1", "the URL of the database is invalid"),
        ("postgresql://u@[::1/x", "SELECT 1", "the URL of the database is invalid"),
        ("nonsense://x/y", "SELECT 1", "the database cannot be used"),
        ("sqlite:///x?uri=maybe", "SELECT 1", "the database cannot be used"),
        ("sqlite://", "SELECT * FROM no_such_table", "the query failed: no such table: no_such_table"),
        ("sqlite://", "CREATE TABLE x (y TEXT)", "exactly one SELECT statement, .* so it was not executed"),
        ("sqlite:////no/such/file.db", "SELECT 1", "unable to open database file"),
        ("sqlite://", None, "`database` requires `query`"),
    ],
)
def test_unusable_database_is_refused(database: str, query: str | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        list(sources.read("-", database=database, query=query))
    assert "secret" not in str(caught.value)
