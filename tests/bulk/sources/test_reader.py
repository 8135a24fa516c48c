"""The reader of a source: its fraction, its fingerprint and files that disappear."""

from pathlib import Path

import pytest
from bulk.customers import write_csv
from bulk.sources.read_rows import QUERY
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources


def test_file_deleted_while_reading_a_folder_is_reported(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / name, 1)
    rows = sources.read(tmp_path)
    assert next(rows).reference == "c-0"
    (tmp_path / "b.csv").unlink()
    with pytest.raises(ConfigurationError, match=r"b\.csv cannot be read: No such file or directory"):
        next(rows)


def test_row_repr_shows_only_number_and_reference(tmp_path: Path) -> None:
    (row,) = sources.read(write_csv(tmp_path / "c.csv", 1))
    assert repr(row) == "<Row 1 'c-0'>"


def test_fingerprint_changes_with_the_source(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", 1)
    before = sources.fingerprint(path)
    assert before == sources.fingerprint(path)
    write_csv(path, 2)
    assert sources.fingerprint(path) != before


def test_fraction_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    reader = sources.read(write_csv(tmp_path / "c.csv", 20_000))
    assert 0 < (reader.fraction or 0) < 0.5
    assert len(list(reader)) == 20_000
    reader.close()
    assert reader.fraction == 1.0


@pytest.mark.parametrize("kind", ["query", "parquet"])
def test_fraction_of_a_query_and_of_a_parquet_file_is_none(kind: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    path = write_csv(tmp_path / "c.csv", 1)
    if kind == "parquet":
        path = tmp_path / "c.parquet"
        duckdb.sql("SELECT 'c-1' AS reference, 'Ada' AS name").write_parquet(str(path))
    reader = sources.read(path, query=QUERY if kind == "query" else None)
    assert (reader.fraction, len(list(reader)), reader.fraction) == (None, 1, None)


def test_fraction_of_spreadsheets_is_that_of_their_lines(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="needs the extra excel")
    rows = [["reference", "name"], *([f"c-{number}", "Ada"] for number in range(99))]
    write_xlsx(tmp_path / "a.xlsx", {"customers": rows})
    (tmp_path / "b.csv").write_bytes(b"reference,name\n".ljust((tmp_path / "a.xlsx").stat().st_size, b"\n"))
    write_xlsx(tmp_path / "c.xlsx", {"customers": rows})
    alone, folder = sources.read(tmp_path / "a.xlsx"), sources.read(tmp_path)
    assert [alone.fraction for _ in alone] == pytest.approx([number / 100 for number in range(2, 101)])
    # The three files have the same size.
    expected = [(start + number / 100) / 3 for start in (0, 2) for number in range(2, 101)]
    assert [folder.fraction for _ in folder] == pytest.approx(expected)
    assert (alone.fraction, folder.fraction) == (1.0, 1.0)
    write_xlsx(tmp_path / "a.xlsx", {"customers": rows[:1]})
    assert list(sources.read(tmp_path / "a.xlsx", mapping=sources.ColumnMapping(sheet="customers"))) == []
