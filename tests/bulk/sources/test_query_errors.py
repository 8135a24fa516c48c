"""Messages about queries contain no value of a row."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources

VALUE = "Zoë Canary"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CAST(x'5a6fe92043616e617279' AS TEXT)", "OperationalError"),  # in Latin-1
        ("json_extract('{}', name)", "OperationalError"),
    ],
)
@pytest.mark.parametrize("rows", [0, 300])
def test_error_of_a_row_of_a_database_is_reported_without_its_values(
    name: str, kind: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sqlalchemy", reason="needs the extra sql")
    with closing(sqlite3.connect(tmp_path / "shop")) as connection:
        connection.execute("CREATE TABLE people (reference TEXT, name TEXT, bad INTEGER)")
        connection.executemany("INSERT INTO people VALUES (?, ?, 0)", [(f"r{n}", "Ada") for n in range(rows)])
        connection.execute("INSERT INTO people VALUES ('last', ?, 1)", [VALUE])
        connection.commit()
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path / 'shop'}")
    query = f"SELECT reference, CASE bad WHEN 1 THEN {name} ELSE name END AS name FROM people"
    with pytest.raises(ConfigurationError, match=rf"the database reported {kind}\. Its message is not shown") as caught:
        list(sources.read("-", database="SHOP", query=query))
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("timezone(name, TIMESTAMP '2026-01-01')", "NotImplementedException"),
        ("CAST(name AS INTEGER)", "ConversionException"),
        ("error(name)", "InvalidInputException"),
    ],
)
def test_error_of_a_row_of_a_file_is_reported_without_its_values(name: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    source = tmp_path / "c.csv"
    source.write_text(f"reference,name\nc-1,{VALUE}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"the query failed: DuckDB reported {kind}") as caught:
        list(sources.read(source, query=f"SELECT reference, {name} AS name FROM source"))
    assert "Canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nothing FROM source", 'Binder Error: Referenced column "nothing" not found'),
        ("SELECT FROM", "Parser Error: "),
        ("SELECT nothing(name) FROM source", "Catalog Error: .* nothing does not exist"),
        ("SELECT name + 1 FROM source", "convert them with CAST"),
        ("SELECT * FROM customers", r"not exist\. The table `source` contains the rows of c\.csv; other tables"),
        ("SELECT * FROM 'c.csv'", r"disabled by configuration\. The table `source` contains the rows of c\.csv; other"),
    ],
)
def test_error_in_a_query_is_reported_with_its_text(query: str, words: str, tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    source = tmp_path / "c.csv"
    source.write_text("reference,name\nc-1,Ada\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=words):
        list(sources.read(source, query=query))
