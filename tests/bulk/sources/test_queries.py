"""Queries with DuckDB over CSV, JSON and Parquet files: texts stay texts, and no message contains a value."""

import gzip
import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import QUERY, open_rows, read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.sources.text import TextOptions

duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")

LONG = "12345678901234567890123"
VALUE = "Zoë Canary"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the working directory, because queries name files."""
    monkeypatch.chdir(tmp_path)


def named(rows: Iterable[Any]) -> list[tuple[str, str]]:
    return [(row.reference, row.draft and row.draft.name) for row in rows]


def test_parquet_file_and_its_query_are_read(tmp_path: Path) -> None:
    Path("c.csv").write_text("id,person,since\n1,Ada,2024-01-02\n2,Grace,2024-01-03\n")
    duckdb.execute("COPY (SELECT id AS reference, person AS name FROM 'c.csv') TO 'c.parquet' (FORMAT parquet)")
    assert named(sources.read("c.parquet")) == [("1", "Ada"), ("2", "Grace")]
    query = "SELECT id AS reference, person AS name, since AS 'metadata.since' FROM source WHERE CAST(id AS INT) > 1"
    rows: list[Any] = list(sources.read("c.csv", query=query))
    assert (rows[0].draft.metadata, rows[0].place) == ({"since": "2024-01-03"}, "row 1")
    own = sources.read("-", query="SELECT id AS reference FROM 'c.csv'")
    assert [row.reference for row in own] == ["1", "2"]


def test_damaged_parquet_file_is_reported_without_a_query(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"c\.parquet cannot be read: .* Export") as caught:
        read_rows(tmp_path, b"PAR1" + b"\0" * 64 + b"PAR1", "c.parquet")
    assert "query" not in str(caught.value)


def test_temporary_files_of_a_query_are_deleted_when_its_reader_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder := tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with closing(open_rows(tmp_path, "reference\nr-1\nr-2\n", query="FROM source")) as rows:
        assert next(rows).reference == "r-1"
        assert list(folder.iterdir())
    assert not list(folder.iterdir())


@pytest.mark.parametrize("encoding", ["utf-8", "cp1250"])
def test_query_over_csv_reads_text(encoding: str) -> None:
    Path("c.csv").write_bytes(f"id,who\n000123,Marić\n{LONG},Željko\n".encode(encoding))
    mapping = sources.ColumnMapping(text=TextOptions(encoding=None if encoding == "utf-8" else encoding))
    for path, table in (("c.csv", "source"), ("-", "'c.csv'")):
        rows = sources.read(path, query=f"SELECT id AS reference, who AS name FROM {table}", mapping=mapping)
        assert named(rows) == [("000123", "Marić"), (LONG, "Željko")]
    if encoding != "utf-8":
        with pytest.raises(ConfigurationError, match=r"c\.csv is not UTF-8"):
            sources.read("-", query="SELECT * FROM 'c.csv'")


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("c.csv", b"reference\nm\xe9\x81\n", r"c\.csv is not valid cp1252\."),
        ("c.csv.gz", gzip.compress(b"reference\nm\xe9\n")[:-9], r"c\.csv\.gz cannot be read: "),
        ("c.xlsx", b"PK", r"c\.xlsx is a spreadsheet, which a query cannot read\. Save the"),
    ],
    ids=["undefined byte", "incomplete file", "spreadsheet"],
)
def test_unreadable_file_of_a_query_is_refused(name: str, data: bytes, expected: str, tmp_path: Path) -> None:
    encoding = None if name == "c.xlsx" else "cp1252"
    with pytest.raises(ConfigurationError, match=expected):
        read_rows(tmp_path, data, name, encoding=encoding, query=QUERY)


QUERIED: dict[str, list[tuple[str, str | None]] | str] = {
    "reference,name\n#1001,Ada\n#1002,Bo\n1003,Cy\n": [("#1001", "Ada"), ("#1002", "Bo"), ("1003", "Cy")],
    "reference,name,email\n1,Ada\n2,Bo,b@example.test\n": [("1", "Ada"), ("2", "Bo")],
    'sep=;\n\nreference;name\n1;Ada, Countess\n;\n\n2;"B;o"\n': [("1", "Ada, Countess"), ("2", "B;o")],
    'reference,name\r1,"A\nda"\rreference,name\r2,Bo\\\r': [("1", "A\nda"), ("2", "Bo\\")],
    "reference,name,metadata.balance\n1,Ada,2\nTotal,,3\n\nTotal,Bo,\nPage 1 of 2,,\n,Sum,3": [
        ("1", "Ada"),
        ("Total", "Bo"),
    ],
    "id,name,phone\nTotal,,3\n": [("Total", None)],
    'reference,name\n1,Ada\n2,"Bo"x\n': "c.csv, line 3: a quote character within a value is not doubled",
    'reference,name\n1,"Ada,a\n2,Bo\n3,"Cy"\n': "c.csv, line 2: a quote character within a value is not doubled",
    "reference,name\n1,Ada\n2,Bo,x\n": "c.csv, line 3: the row has 3 values",
}


@pytest.mark.parametrize("data", QUERIED)
def test_query_reads_the_same_rows_of_a_csv_file(data: str) -> None:
    Path("c.csv").write_text(data, newline="")
    expected = QUERIED[data]
    for path, table in (("c.csv", "source"), ("-", "'c.csv'"), ("-", "'c*.csv'")):
        query = f"SELECT * FROM {table}"
        if isinstance(expected, str):
            with pytest.raises(ConfigurationError, match=expected):
                sources.read(path, query=query)
        else:
            assert named(sources.read(path, query=query)) == named(sources.read("c.csv")) == expected


def test_query_over_several_csv_files_matches_columns_by_name() -> None:
    for name, text in {"a1": "reference,name\n#1,Ada\n", "a2": "name;reference\nBo;2\n"}.items():
        Path(f"{name}.csv").write_text(text)
    assert named(sources.read("-", query="SELECT * FROM 'a*.csv'")) == [("#1", "Ada"), ("2", "Bo")]


def test_options_in_a_query_are_used() -> None:
    Path("b.csv").write_text('reference,name\n3,"Cy"x\n')
    assert named(sources.read("-", query="SELECT * FROM read_csv('b.csv', quote='')")) == [("3", '"Cy"x')]


def test_file_with_a_quote_in_its_name_is_queried(tmp_path: Path) -> None:
    (row,) = read_rows(tmp_path, "reference,name\n0007,Ada\n", "it's.csv", query=QUERY)
    assert row.reference == "0007"


def test_values_of_a_query_are_read_like_other_values() -> None:
    (row,) = sources.read("-", query=f"SELECT {LONG}::HUGEINT AS reference, 'Ada' AS name")
    assert (row.reference, row.raw_values is not None) == (LONG, True)
    query = "SELECT 'C1' AS reference, {'visit': {'day': DATE '2024-01-02', 'sum': 1.50::DECIMAL(5, 2)}} AS metadata"
    rows: list[Any] = list(sources.read("-", query=query))
    assert rows[0].draft.metadata == {"visit": {"day": "2024-01-02", "sum": "1.50"}}


UUID = "6F1C8E62-0000-4000-8000-00000000000A"
TABLES: dict[str, list[dict[str, Any]]] = {
    "numbers and strings": [{"reference": 1, "name": "A"}, {"reference": "002", "name": "B"}],
    "a string after many numbers": [*({"reference": it, "name": "A"} for it in range(25_000)), {"reference": "0042"}],
    "UUIDs": [{"reference": UUID, "name": UUID}],
    "dates": [{"reference": "2024-01-05", "name": "2024-01-02 10:00"}, {"reference": "2024-1-6", "name": "12:30"}],
    "nested": [
        {
            "reference": "1",
            "metadata": {"since": "2024-01-02T03:04:05+02:00", "id": UUID, "DATE": "2024-01-02", 'DATE, "x': "2024-01"},
        },
        {"reference": "2", "metadata": {"other": "x", "visits": 3, "last": {"shop": "A", "tags": [{"a": 1}]}}},
        {"reference": "3", "metadata": {"last": {"day": "2024-01-02", "tags": [{"b": "2"}]}}},
    ],
    "metadata of several kinds": [{"reference": "1", "metadata.a": 7}, {"reference": "2", "metadata.a": "07"}],
}


@pytest.mark.parametrize("name", ["c.jsonl", "c.json", "it's.jsonl", "c.jsonl.gz"])
@pytest.mark.parametrize(
    "table",
    [pytest.param(it, id=name, marks=pytest.mark.long if len(it) > 1000 else ()) for name, it in TABLES.items()],
)
def test_query_reads_the_strings_of_json(table: list[dict[str, Any]], name: str, tmp_path: Path) -> None:
    text = json.dumps(table) if name == "c.json" else "".join(json.dumps(row) + "\n" for row in table)
    data = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    expected = [row.draft for row in read_rows(tmp_path, data, name)]
    if table is TABLES["metadata of several kinds"]:
        expected = [row.draft for row in read_rows(tmp_path, text.replace(" 7}", ' "7"}'), "text.jsonl")]
    quoted = name.replace("'", "''")
    for path, source in ((name, "source"), ("-", f"'{quoted}'")):
        assert [row.draft for row in sources.read(path, query=f"SELECT * FROM {source}")] == expected


ERRORS = {
    # Errors of a row are reported without the message of DuckDB.
    "SELECT reference, timezone(name, TIMESTAMP '2026-01-01') AS name FROM source": "DuckDB reported NotImplementedExc",
    "SELECT reference, CAST(name AS INTEGER) AS name FROM source": "DuckDB reported ConversionException",
    "SELECT reference, error(name) AS name FROM source": "DuckDB reported InvalidInputException",
    # Errors of the query are reported with it.
    "SELECT nothing FROM source": 'Binder Error: Referenced column "nothing" not found',
    "SELECT FROM": "Parser Error: ",
    "SELECT nothing(name) FROM source": "Catalog Error: .* nothing does not exist",
    "SELECT name + 1 FROM source": "convert them with CAST",
    "SELECT * FROM customers": r"not exist\. The table `source` contains the rows of c\.csv; other tables",
    "SELECT * FROM 'c.csv'": r"disabled by configuration\. The table `source` contains the rows of c\.csv; other",
}


@pytest.mark.parametrize("query", ERRORS)
def test_error_of_a_query_is_reported_without_values(query: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"the query failed: .*{ERRORS[query]}") as caught:
        read_rows(tmp_path, f"reference,name\nc-1,{VALUE}\n", query=query)
    assert "Canary" not in str(caught.value)
