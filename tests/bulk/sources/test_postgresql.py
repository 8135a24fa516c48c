"""PostgreSQL as a source, on a server of its own: Debian's package ``postgresql``."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources

PASSWORD = "s3cret"
QUERY = (
    'SELECT id AS reference, person AS name, score AS "metadata.score", since AS "metadata.since" FROM people'
    " WHERE person LIKE '%' ORDER BY id"
)
MANY = (
    "SELECT lpad(n::text, 7, '0') AS reference, 'Žofie ' || n AS name, 'p' || n || '@example.test' AS email"
    " FROM generate_series(1, {rows}) AS n"
)
MEMORY = """
import resource, sys
from wonder_customers.bulk import sources
count = sum(1 for row in sources.read("-", database="SHOP", query=sys.argv[1]) if row.draft)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server with a database of 300 customers; yield its URL without the password."""
    pytest.importorskip("sqlalchemy", reason="needs the extra sql")
    psycopg = pytest.importorskip("psycopg", reason="needs the driver of PostgreSQL")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    # pytest's folders are closed to other users, and the server refuses to run as root.
    who = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with TemporaryDirectory(prefix="postgresql-") as name:
        if who:
            shutil.chown(name, **who)
        yield from serve(psycopg, programs[-1], Path(name), who)


def serve(psycopg: Any, programs: Path, folder: Path, who: Mapping[str, Any]) -> Iterator[str]:
    """Run a server in a folder; yield the URL of its database without the password."""
    (folder / "password").write_text(PASSWORD, encoding="ascii")
    data, options = folder / "data", f"-k {folder} -p 54321 -c listen_addresses= -c fsync=off"
    setup = [f"{programs}/initdb", "-D", str(data), "-U", "reader", "-A", "scram-sha-256"]
    setup += ["--pwfile", str(folder / "password")]
    control = [f"{programs}/pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log")]
    subprocess.run(setup, check=True, capture_output=True, cwd=folder, **who)
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **who)
    try:
        with psycopg.connect(host=str(folder), port=54321, user="reader", password=PASSWORD, dbname="postgres") as made:
            made.execute(
                "CREATE TABLE people AS SELECT lpad(n::text, 6, '0') AS id, 'Žofie ' || n AS person,"
                " n::numeric AS score, DATE '2024-02-29' AS since FROM generate_series(1, 300) AS n"
            )
            made.execute("CREATE SEQUENCE numbers")
        yield f"postgresql://reader@/postgres?host={folder}&port=54321"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, cwd=folder, **who)


def with_password(url: str) -> str:
    return url.replace("reader@", f"reader:{PASSWORD}@")


@pytest.mark.parametrize("source", ["variable with the URL", "variable", "password file"])
def test_postgresql_is_read(source: str, postgresql: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    database = postgresql
    if source == "variable with the URL":
        database = "SHOP"
        monkeypatch.setenv("SHOP", with_password(postgresql))
    elif source == "variable":
        monkeypatch.setenv("WONDER_CUSTOMERS_DATABASE_PASSWORD", PASSWORD)
    else:
        passwords = tmp_path / "pgpass"
        passwords.write_text(f"*:*:*:reader:{PASSWORD}\n", encoding="ascii")
        passwords.chmod(0o600)
        monkeypatch.setenv("PGPASSFILE", str(passwords))
    rows = list(sources.read("-", database=database, query=QUERY))
    assert (rows[0].reference, len(rows)) == ("000001", 300)
    assert rows[0].draft is not None
    assert rows[0].draft.metadata == {"score": 1, "since": "2024-02-29"}


def test_postgresql_without_its_password_is_refused(postgresql: str) -> None:
    with pytest.raises(ConfigurationError, match="the query failed"):
        sources.read("-", database=postgresql, query=QUERY)
    with pytest.raises(ConfigurationError, match="contains a password, which other users"):
        sources.read("-", database=with_password(postgresql), query=QUERY)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quote_ident(person)::regclass::text", r"the database reported UndefinedTable\. Its message is not shown"),
        ("person::int", r"the database reported InvalidTextRepresentation\. Its message is not shown"),
        ("no_function(person)", r"the query failed: function no_function\(text\) does not exist"),
    ],
)
def test_error_of_a_row_of_postgresql_is_reported_without_its_values(
    name: str, words: str, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP", with_password(postgresql))
    with pytest.raises(ConfigurationError, match=words) as caught:
        list(sources.read("-", database="SHOP", query=f"SELECT id AS reference, {name} AS name FROM people"))
    assert "ofie" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM people RETURNING id AS reference",
        "WITH x AS (DELETE FROM people RETURNING id) SELECT id AS reference FROM x",
        "WITH x AS (SELECT 1) DELETE FROM people RETURNING id AS reference",
        "SELECT id AS reference INTO copy FROM people",
        "SELECT 1 AS reference; COMMIT; DELETE FROM people",
        "DROP TABLE people",
        "SELECT nextval('numbers')::text AS reference",
    ],
)
def test_query_changes_nothing_in_postgresql(query: str, postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", with_password(postgresql))
    with pytest.raises(ConfigurationError, match="the query"):
        list(sources.read("-", database="SHOP", query=query))
    facts = "(SELECT count(*) FROM people), (SELECT is_called FROM numbers), to_regclass('copy') IS NULL"
    found = sources.read("-", database="SHOP", query=f"SELECT concat_ws(' ', {facts}) AS reference")
    assert [row.reference for row in found] == ["300 f t"]


def test_password_of_a_database_is_written_nowhere(postgresql: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wonder_customers", "sync", "-", "--database", "SHOP", "--query", QUERY]
    command += ["--to", "monri", "--simulator", "--journal", "shop.journal", "--report", "report.json"]
    environment = {**os.environ, "SHOP": with_password(postgresql)}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert b"300" in found.stdout
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert PASSWORD.encode() not in found.stdout + found.stderr + written


@pytest.mark.nightly
def test_million_rows_of_postgresql_fit_into_200_megabytes(postgresql: str) -> None:
    environment = {**os.environ, "SHOP": with_password(postgresql)}
    command = [sys.executable, "-c", MEMORY, MANY.format(rows=1_000_000)]
    found = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
    count, megabytes = map(int, found.stdout.split())
    assert count == 1_000_000
    assert megabytes < 200
