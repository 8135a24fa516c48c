"""Files that are made to take hours are read in a moment."""

import time
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers.bulk import sources

SIZE = 300_000
STYLES, SHEET = "xl/styles.xml", "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize(
    ("part", "before", "inserted"),
    [(STYLES, b"numFmtId", b"a" * SIZE + b" "), (SHEET, b"</sheetData>", b"<!--" + b"<c " * SIZE + b"-->")],
    ids=["attribute", "comment"],
)
def test_crafted_spreadsheet_is_read_quickly(tmp_path: Path, part: str, before: bytes, inserted: bytes) -> None:
    pytest.importorskip("python_calamine", reason="needs the extra excel")
    usual = write_xlsx(tmp_path / "a.xlsx", {"S": [["reference"], ["r-1"], [(7,)]]}, number_format="00000")
    with ZipFile(usual) as source, ZipFile(tmp_path / "b.xlsx", "w", ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(before, inserted + before, 1) if name == part else content)
    began = time.process_time()
    assert [row.reference for row in sources.read(tmp_path / "b.xlsx")] == ["r-1", "00007"]
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize(
    "names", [f'"{" " * SIZE}"', f'"phone (iso{" " * SIZE}"', "," * 60_000], ids=["spaces", "bracket", "commas"]
)
def test_crafted_column_names_are_read_quickly(tmp_path: Path, names: str) -> None:
    (tmp_path / "c.csv").write_text(f"reference,{names}\nr-1,{'x' * (',' not in names)}\n")
    began = time.process_time()
    assert len(list(sources.read(tmp_path / "c.csv", unknown="ignore"))) == 1
    assert time.process_time() - began < 5.0
