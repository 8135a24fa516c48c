"""A query over `-` reads the files that it names in quotes, and no others."""

from pathlib import Path

import pytest

from wonder_customers.bulk import sources
from wonder_customers.errors import ConfigurationError

pytest.importorskip("duckdb", reason="needs the extra duckdb")


@pytest.fixture
def customer_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three customer files and a file with a secret."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        (tmp_path / f"d{number}.csv").write_text(f"reference,name\nr-{number},Ada\n")
    (tmp_path / "secret.txt").write_text("reference\nhidden\n")
    return tmp_path


def references(query: str) -> list[str | None]:
    return [row.reference for row in sources.read("-", query=query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM 'd0.csv'", ["r-0"]),
        ("SELECT a.* FROM 'd0.csv' a JOIN 'd0.csv' b USING (reference)", ["r-0"]),
        ("FROM read_csv('d1.csv')", ["r-1"]),
        ("FROM read_csv('d[01].csv') ORDER BY reference", ["r-0", "r-1"]),
        ("FROM read_csv(['d0.csv', 'd2.csv']) ORDER BY reference", ["r-0", "r-2"]),
        ("SELECT 'x' AS reference", ["x"]),
        ("SELECT * FROM 'd0.csv' WHERE '' <> 'it''s' -- it's one file\n", ["r-0"]),
        ('SELECT \'x\' AS "name", reference FROM "d0.csv" /* \'x */', ["r-0"]),
    ],
)
def test_query_reads_the_files_that_it_names(customer_files: Path, query: str, expected: list[str]) -> None:
    assert references(query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('sec' || 'ret.txt')",
        "SELECT content AS reference FROM read_text('sec' || 'ret.txt')",
        "SELECT content AS reference FROM read_text(chr(115) || 'ecret.txt')",
        "SELECT d.*, content FROM 'd0.csv' d, read_text('secret' || '.txt')",
        "SELECT * FROM read_csv(concat('./', 'sec' || 'ret.txt'))",
        "SELECT * FROM read_csv('https://gateway.example/' || 'x.csv')",
    ],
)
def test_query_reads_no_other_file(customer_files: Path, query: str) -> None:
    with pytest.raises(ConfigurationError, match="the query failed"):
        references(query)
