"""Columns without a name: their values are not lost, and empty columns are ignored."""

from pathlib import Path

import pytest
from bulk.sources.read_rows import open_rows, open_table, read_draft, read_drafts, read_rows

from wonder_customers.bulk import sources

TABLE = "reference,name,Address,,\nc-1,Ada,Ilica 1,Zagreb,10000\nc-2,Bo,,,\n"
MAPPED = {"column 4": "address.city", "column 5": "address.postcode"}


def test_row_with_a_value_in_a_column_without_a_name_is_invalid(tmp_path: Path) -> None:
    first, second = read_rows(tmp_path, TABLE)
    assert first.problem.startswith("line 2, column 4: the column has a value, but no name; name the column")
    assert (first.code, "Zagreb" in first.problem, second.problem) == ("column without a name", False, None)


def test_cell_of_a_spreadsheet_below_a_merged_name_is_not_lost(tmp_path: Path) -> None:
    rows: list[list[object]] = [["reference", "name", "Address", None], ["c-1", "Ada", "Ilica 1", "Zagreb"]]
    (row,) = open_table(tmp_path, rows, "xlsx")
    assert "column 4: the column has a value" in row.problem


def test_value_added_in_a_column_without_a_name_is_a_change(tmp_path: Path) -> None:
    before, after = (read_rows(tmp_path, f"reference,name,\nc-1,Ada,{value}\n")[0] for value in ("", "x"))
    assert before.raw_values != after.raw_values


@pytest.mark.parametrize("data", ["reference,name,\nc-1,Ada, \n", ",reference,name\n,c-1,Ada\n"], ids=["last", "first"])
def test_empty_column_without_a_name_is_ignored(data: str, tmp_path: Path) -> None:
    draft = read_draft(tmp_path, data)
    assert (draft.reference, draft.name) == ("c-1", "Ada")


def test_column_without_a_name_can_be_mapped_left_out_and_ignored(tmp_path: Path) -> None:
    first, _ = read_drafts(tmp_path, TABLE, mapping=MAPPED)
    assert (first.address.city, first.address.postcode) == ("Zagreb", "10000")
    for how in ({"mapping": {"column 4": "", "column 5": ""}}, {"unknown": "ignore"}):
        first, _ = read_drafts(tmp_path, TABLE, **how)
        assert (first.address.line1, first.address.city) == ("Ilica 1", None)


def test_written_mapping_lists_columns_without_a_name_that_have_values(tmp_path: Path) -> None:
    reader = open_rows(tmp_path, "reference,name,,\nc-1,Ada,Zagreb,\n", inspecting=True)
    list(reader)
    assert dict(reader.notes.mapping.columns) == {"reference": ("reference",), "name": ("name",), "column 3": ()}
    assert reader.notes.columns["column 3"] == ((), "the column has no name")
    assert list(sources.read(tmp_path / "c.csv").notes.columns) == ["reference", "name"]


def test_row_numbers_in_a_first_column_without_a_name_are_ignored(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, ",reference,name\n0,c-1,Ada\n1,c-2,Bo\nx,c-3,Cy\n")
    assert [row.code for row in rows if row.problem] == ["column without a name"]
    assert rows[2].problem
