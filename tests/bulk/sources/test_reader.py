"""The values of a row, and the problems of invalid rows."""

from pathlib import Path

import pytest
from bulk.customers import HEADER, line
from bulk.sources.read_rows import read_drafts
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources


def test_metadata_in_one_column_is_a_json_object(tmp_path: Path) -> None:
    data = """reference,metadata,metadata.tier
c-1,"{""a"": [1, {""b"": 2}], ""tier"": ""x""}",gold
c-2,{not json,
c-3,"[1, 2]",
c-4,,silver
"""
    first, second, third, fourth = read_drafts(tmp_path, data)
    assert first.metadata == {"a": [1, {"b": 2}], "tier": "gold"}
    assert second == "line 3, column metadata: the value must be a JSON object"
    assert third == "line 4, column metadata: the value must be a JSON object"
    assert fourth.metadata == {"tier": "silver"}


def test_row_with_vault_token_and_card_is_refused(tmp_path: Path) -> None:
    mapping = {"token": "payment_source.vault_token", "card": "payment_source.number"}
    (problem,) = read_drafts(tmp_path, "reference,token,card\nc-1,abc,4111111111111111\n", mapping=mapping)
    assert problem == "line 2: the row has both a vault token and a card"


def test_objects_with_many_sets_of_keys_are_read(tmp_path: Path) -> None:
    data = "".join(f'{{"reference": "c-{number}", "metadata.k{number}": "{number}"}}\n' for number in range(1100))
    found = read_drafts(tmp_path, data + data, "c.jsonl")
    assert [draft.metadata for draft in found] == [{f"k{number}": str(number)} for number in range(1100)] * 2


def test_file_deleted_while_reading_a_folder_is_reported(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"{HEADER}\n{line(1)}\n")
    rows = sources.read(tmp_path)
    assert next(rows).reference == "c-1"
    (tmp_path / "b.csv").unlink()
    with pytest.raises(ConfigurationError, match=r"b\.csv cannot be read: No such file or directory"):
        next(rows)


def test_row_repr_shows_only_number_and_reference(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(f"{HEADER}\n{line(7)}\n")
    (row,) = sources.read(tmp_path / "c.csv")
    assert repr(row) == "<Row 1 'c-7'>"


def test_fraction_of_a_query_is_none_and_of_a_closed_file_one(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    path = tmp_path / "c.csv"
    path.write_text(f"{HEADER}\n{line(1)}\n{line(2)}\n")
    assert sources.read(path, query="SELECT * FROM source").fraction is None
    rows = sources.read(path)
    assert len(list(rows)) == 2
    rows.close()
    assert rows.fraction == 1.0


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


def test_fraction_of_a_parquet_file_is_none(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    path = tmp_path / "c.parquet"
    duckdb.sql("SELECT 'c-1' AS reference, 'Ada' AS name").write_parquet(str(path))
    reader = sources.read(path)
    assert (reader.fraction, len(list(reader)), reader.fraction) == (None, 1, None)
