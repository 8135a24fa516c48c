"""A query over a database is one SELECT statement, which changes nothing and opens no other file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from wonder_customers.bulk import sources
from wonder_customers.errors import ConfigurationError

pytest.importorskip("sqlalchemy", reason="needs the extra sql")


@pytest.fixture
def customer_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of three customers in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "shop 100%#.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE c (reference TEXT, name TEXT)")
        connection.executemany("INSERT INTO c VALUES (?, 'Ada')", [(f"c-{it}",) for it in range(3)])
        connection.commit()
    return path


def references(query: str, database: str = "sqlite:///shop 100%#.db") -> list[str | None]:
    return [row.reference for row in sources.read("-", database=database, query=query)]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM c",
        "DELETE FROM c RETURNING reference, name",
        "UPDATE c SET name = 'x' RETURNING reference, name",
        "INSERT INTO c VALUES ('c-9', 'x') RETURNING reference, name",
        "WITH x AS (SELECT 1) DELETE FROM c",
        "WITH x AS (SELECT 1) DELETE FROM c RETURNING reference, name",
        "WITH x AS (SELECT 1) INSERT INTO c SELECT 'c-9', 'x' RETURNING reference",
        "/* SELECT */ UPDATE c SET name = 'x' RETURNING *",
        "DROP TABLE c",
        "ALTER TABLE c RENAME TO d",
        "CREATE TABLE d (e TEXT)",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "ATTACH 'other.db' AS other",
        "PRAGMA user_version = 7",
        "PRAGMA journal_mode = WAL",
        "SELECT * FROM pragma_journal_mode('WAL')",
        "EXPLAIN SELECT 1",
        "SELECT * FROM c; DROP TABLE c",
        "SELECT load_extension('x') AS reference",
    ],
)
def test_statement_that_can_change_something_is_refused(query: str, customer_database: Path) -> None:
    before = customer_database.read_bytes()
    with pytest.raises(ConfigurationError, match="the query") as caught:
        references(query)
    assert "rolled back" not in str(caught.value)
    assert customer_database.read_bytes() == before
    assert list(customer_database.parent.iterdir()) == [customer_database]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("-- all\n SELECT * FROM c", ["c-0", "c-1", "c-2"]),
        ("/* one */ /* two */ select * from c where reference = 'c-1' ;\n", ["c-1"]),
        ("SELECT value AS reference FROM json_each('[1, 2]')", ["1", "2"]),
        (
            "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x WHERE n < 3) SELECT n AS reference FROM x",
            ["1", "2", "3"],
        ),
    ],
)
def test_select_is_read(query: str, expected: list[str], customer_database: Path) -> None:
    assert references(query) == expected


def test_missing_database_is_not_created(customer_database: Path) -> None:
    for database in ("sqlite:///missing.db", "sqlite:///file:missing.db?uri=true"):
        with pytest.raises(ConfigurationError, match="unable to open database file"):
            list(sources.read("-", database=database, query="SELECT * FROM c"))
    assert list(customer_database.parent.iterdir()) == [customer_database]


def test_many_comments_do_not_take_long(customer_database: Path) -> None:
    with pytest.raises(ConfigurationError, match="exactly one SELECT"):
        references("/* a */" * 200 + "DELETE FROM c")
