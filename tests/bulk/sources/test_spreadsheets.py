"""Spreadsheets: sheets, cells and formulas; a file whose cells would be lost is refused."""

from datetime import date
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from bulk.sources.read_rows import open_table, read_rows
from bulk.sources.spreadsheet import with_parts, write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources

pytest.importorskip("python_calamine", reason="needs the extra excel")

CELL = '<row><c t="inlineStr"><is><t>reference</t></is></c></row>'


def from_xml(folder: Path, rows: str, encoding: str = "utf-8") -> Path:
    """Write a spreadsheet with the column `reference` and these rows in XML."""
    sheet = f"<worksheet><sheetData>{CELL}{rows}</sheetData></worksheet>"
    return write_xlsx(folder / "c.xlsx", {"A": []}, sheet.encode(encoding))


def test_spreadsheet_cells_are_read_as_they_are_stored(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["reference", "name", "phone", "metadata.since", "metadata.score", "metadata.vip"],
        [852123456789, "Žofie", 385912345678, date(2024, 2, 29), 1.5, True],
        [None, None, None, None, None, None],
        ["000123", "Bo", "+385 91 234 5678", None, 7, False],
        [1234567890123456789, "Cy", None, None, None, None],
        [12345.0, "Di", None, None, None, None],
        ["Total", None, None, None, 8.5, None],
        [" Total:", None, None, None, 8.5, None],
        [" ", "Total", None, None, 8.5, None],
    ]
    reader: Any = sources.read(write_xlsx(tmp_path / "c.xlsx", {"Customers": rows, "Empty": []}))
    first, second, third, fourth = reader
    assert (first.reference, first.draft.phone.number) == ("852123456789", "385912345678")
    assert first.draft.metadata == {"since": "2024-02-29", "score": "1.5", "vip": "TRUE"}
    assert (second.reference, second.place, fourth.reference) == ("000123", "line 4", "12345")
    assert "a spreadsheet shortened this number" in third.problem
    assert reader.notes.footers == 3


@pytest.mark.parametrize(
    ("sheets", "hidden", "words"),
    [
        ({"A": [["reference", "name"], ["c-1", "Ada"]]}, [], r"has more than one sheet with data: 'A', 'B'"),
        ({"A": []}, ["B"], r"has data only in hidden sheets: 'B'"),
    ],
    ids=["two sheets", "hidden sheet"],
)
def test_spreadsheet_without_one_visible_sheet_needs_a_choice(
    sheets: dict[str, list[list[str]]], hidden: list[str], words: str, tmp_path: Path
) -> None:
    path = write_xlsx(tmp_path / "c.xlsx", {**sheets, "B": [["reference"], ["c-2"]]}, hidden=hidden)
    with pytest.raises(ConfigurationError, match=rf"{words}.*Choose a sheet with `sheet`"):
        sources.read(path)
    assert [row.reference for row in sources.read(path, mapping=sources.ColumnMapping(sheet="B"))] == ["c-2"]
    with pytest.raises(ConfigurationError, match="does not have a sheet 'C'"):
        sources.read(path, mapping=sources.ColumnMapping(sheet="C"))


@pytest.mark.parametrize(
    ("merged", "refused"),
    [("D2:D3", ["2"]), ("D2:D4", ["2", "3"]), ("A2:A4", []), ("C2:D2", []), ("B4:D6", []), ("F2:F4", [])],
)
def test_row_whose_cells_are_merged_with_the_row_above_is_refused(
    merged: str, refused: list[str], tmp_path: Path
) -> None:
    table = [["Group", "reference", "name", "address.country"], *(["x", str(it), "Ada", "HR"] for it in (1, 2, 3))]
    path = write_xlsx(tmp_path / "c.xlsx", {"A": table}, merged=merged)
    rows = list(sources.read(path, mapping={"Group": ""}))
    assert [row.reference for row in rows] == ["1", "2", "3"]
    problems = {row.reference: row.problem for row in rows if row.problem}
    assert list(problems) == refused
    assert all("merged with cells above them" in it for it in problems.values())


def test_spreadsheet_with_a_header_only_shows_its_columns(tmp_path: Path) -> None:
    reader = sources.read(write_xlsx(tmp_path / "c.xlsx", {"Empty": [], "A": [["reference", "name"]]}))
    assert (list(reader), list(reader.notes.columns)) == ([], ["reference", "name"])
    with pytest.raises(ConfigurationError, match="unknown columns: 'Colour'"):
        open_table(tmp_path, [["reference", "Colour"]], "xlsx")


def test_numbers_are_names_of_columns(tmp_path: Path) -> None:
    table = [["reference", "name", 2023], ["1", "Ada", 7]]
    (row,) = open_table(tmp_path, table, "xlsx", mapping={"2023": "metadata.orders"})
    assert row.draft.metadata == {"orders": "7"}


@pytest.mark.parametrize("number", [4006381333931123, 1234567890123456.0, 10**20, -(10**16)])
def test_number_that_a_spreadsheet_cannot_store_is_refused_in_every_field(number: float, tmp_path: Path) -> None:
    head: list[object] = ["reference", "name", "description", "metadata.loyalty", "left out"]
    table = [head, [1, "Ada", number], [2, "Bo", None, number], [3, "Cy", None, None, number]]
    first, second, third = open_table(tmp_path, table, "xlsx", mapping={"left out": ""})
    assert first.problem.startswith("line 2, column description: a spreadsheet shortened this number")
    assert second.problem.startswith("line 3, column metadata.loyalty: a spreadsheet shortened this number")
    assert third.problem is None


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_spreadsheet_in_another_encoding_is_not_an_empty_table(encoding: str, tmp_path: Path) -> None:
    path = from_xml(tmp_path, "<row><c><v>7</v></c></row>", encoding)
    with ZipFile(path, "a") as file:
        file.writestr("customXml/item1.xml", "<DataMashup/>".encode("utf-16"))
    if encoding == "utf-8-sig":
        assert [row.reference for row in sources.read(path)] == ["7"]
    else:
        with pytest.raises(ConfigurationError, match=r"c\.xlsx contains XML that is not UTF-8.* save it as \.xlsx"):
            sources.read(path)


@pytest.mark.parametrize(
    "cell", ["<row><c r='XFD1048576'>", '<row><c r="C322222222222222">', '<row r="66666666666666666666"><c>']
)
def test_spreadsheet_with_a_distant_cell_is_refused(cell: str, tmp_path: Path) -> None:
    """Reading it would need more memory than the machine has."""
    with pytest.raises(ConfigurationError, match=r"almost all of its cells are empty\. Delete the cells"):
        next(sources.read(from_xml(tmp_path, f"{cell}<v>2</v></c></row>")))


FORMULA = '<c><f>A1&amp;"x"</f>'
RESULTS = {
    f"{FORMULA}</c>": False,
    f"{FORMULA}<v/></c>": False,
    f"{FORMULA}<v></v></c>": False,
    '<c><f t="shared" si="0"/></c>': False,
    '<x:c r="A1"><x:f>B2</x:f><x:v /></x:c>': False,
    '<c t="str"><f>IF(A1,"x","")</f><v></v></c>': True,
    '<c t="str"><f>A1</f><v>Ada</v></c>': True,
    '<c><f t="shared" si="0"/><v>7</v></c>': True,
}


@pytest.mark.parametrize("cell", RESULTS)
def test_formula_without_a_result_is_refused(cell: str, tmp_path: Path) -> None:
    path = from_xml(tmp_path, f"<row><c><v>1</v></c>{cell}</row>")
    if RESULTS[cell]:
        assert [row.reference for row in sources.read(path, unknown="ignore")] == ["1"]
        return
    with pytest.raises(ConfigurationError, match=r"c\.xlsx has formulas without results, .* and save it as \.xlsx"):
        sources.read(path)


def test_formulas_outside_the_sheet_that_is_read_need_no_results(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "c.xlsx", {"A": [["reference", "name"], ["C1", "Ada"]], "Summary": []})
    summary = f"<worksheet><sheetData><row>{FORMULA}</c></row></sheetData></worksheet>"
    chart = "<c:chart><c:val><c:numRef><c:f>A!$A$1</c:f></c:numRef></c:val></c:chart>"
    with_parts(path, {"xl/worksheets/sheet2.xml": summary.encode(), "xl/charts/chart1.xml": chart.encode()})
    assert [row.reference for row in sources.read(path)] == ["C1"]


@pytest.mark.parametrize(
    ("cell", "lost"),
    [
        ('table:formula="of:=[.A1]&gt;1"><text:p>x</text:p>', "formulas without results"),
        ("table:style-name='c' table:formula='of:=1'>", "formulas without results"),
        ('table:formula="of:=[.A1]>1" office:value-type="string"><text:p>x</text:p>', ""),
        ('office:value-type="string"><text:p>A<text:tab/>B</text:p>', "tabs or line breaks in cells"),
        ('office:value-type="string"><text:p>A<text:line-break/>B</text:p>', "tabs or line breaks in cells"),
        ('office:value-type="string" table:number-rows-spanned="2"><text:p>x</text:p>', "cells merged with cells"),
        ('office:value-type="string" table:number-rows-spanned="1"><text:p>x</text:p>', ""),
    ],
)
def test_cells_of_an_ods_file_that_would_be_lost_are_refused(cell: str, lost: str, tmp_path: Path) -> None:
    path = tmp_path / "c.ods"
    with ZipFile(path, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        file.writestr("META-INF/manifest.xml", "<manifest:manifest/>")
        file.writestr(
            "content.xml",
            '<office:document-content><office:body><office:spreadsheet><table:table table:name="A"><table:table-row>'
            '<table:table-cell office:value-type="string"><text:p>reference</text:p></table:table-cell>'
            f"</table:table-row><table:table-row><table:table-cell {cell}</table:table-cell></table:table-row>"
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    if not lost:
        assert [row.reference for row in sources.read(path)] == ["x"]
        return
    with pytest.raises(ConfigurationError, match=rf"c\.ods has {lost}.* save it as \.xlsx"):
        sources.read(path)


TEXT = b"reference\tname\n1\tAda\n"
NOT_SPREADSHEETS: dict[str, tuple[bytes, str]] = {
    "damaged.xlsx": (b"PK\x03\x04 not a workbook", r"cannot be read as a spreadsheet: .* Open the file"),
    "page.xls": (b"<html><table><tr><td>reference</td></tr></table></html>", r"is a web page or XML .* save it as \."),
    **{f"text.{it}": (TEXT, "is not a spreadsheet: some programs export") for it in ("xls", "xlsx", "ods")},
}


@pytest.mark.parametrize("name", NOT_SPREADSHEETS)
def test_file_that_is_not_a_spreadsheet_is_refused(name: str, tmp_path: Path) -> None:
    data, words = NOT_SPREADSHEETS[name]
    with pytest.raises(ConfigurationError, match=f"{name} {words}"):
        read_rows(tmp_path, data, name)
    assert data != TEXT or len(read_rows(tmp_path, data, name, form="csv")) == 1


def test_reference_that_became_a_date_is_refused(tmp_path: Path) -> None:
    rows = list(open_table(tmp_path, [["reference", "name"], [date(2026, 3, 1), "Ada"], ["c-2", "Bo"]], "xlsx"))
    assert rows[0].problem.startswith("line 2: the reference is a date")
    assert rows[1].reference == "c-2"
