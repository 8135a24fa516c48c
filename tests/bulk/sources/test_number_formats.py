"""Numbers of spreadsheets with leading zeros: the zeros belong to a number format, and not to the value."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from bulk.sources.spreadsheet import with_parts, write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources

HEAD = ["reference", "name", "address.postcode"]


def references(path: Path) -> list[str | None]:
    return [row.reference for row in sources.read(path)]


SHOWN = {
    "00000": "00123",
    "000000": "000123",
    "00000\\-0000": "00000-0123",
    "000-00-0000": "000-00-0123",
    '"C-"00000;-00000': "C-00123",
    "[$-407]00000_ ": "00123",
    "00": "123",
    "[<=999]00000;00000-0000": "00123",
    "[<=99]00000;00000-0000": "00000-0123",
    "[>999]0;[>99]00000;0": "00123",
    '0#" "##" "##': "00 01 23",
    "[Red]00000": "00123",
    "?00000": "00123",
    '"0"#########': "0123",
    '"K-"0': "K-123",
    '"K-"#': "K-123",
    '"+"0': "+123",
    "[<=1.2.3]00000": "00123",
    **dict.fromkeys(("+0;-0", '"EUR "0', '0" kg"', "#-##", "General", "0", "#,##0", "0.00"), "123"),
}


@pytest.mark.parametrize("code", SHOWN)
def test_number_is_read_as_it_is_shown(code: str, tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "c.xlsx", {"A": [HEAD, [(123,), "Ada", 2134]]}, number_format=code)
    (row,) = sources.read(path)
    assert (row.reference, shown_postcode(row)) == (SHOWN[code], "2134")


def shown_postcode(row: Any) -> str:
    return str(row.draft.address.postcode)


def test_each_cell_has_its_own_format(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        [*HEAD], [7, "Ada", (2134,)], [None, None, None], [(7,), "Bo", 2134], [(7.5,), "Cy", (10**15,)],
    ]  # fmt: skip
    first, second, third = sources.read(
        write_xlsx(tmp_path / "c.xlsx", {"Empty": [], "A": rows}, number_format="00000")
    )
    assert (first.reference, shown_postcode(first)) == ("7", "02134")
    assert (second.reference, shown_postcode(second), third.reference) == ("00007", "2134", "7.5")


REFERENCE = 't="inlineStr"><is><t>reference</t></is></c></row>'
NUMBERED_ROWS = {
    f'<row r="3"><c r="C3" {REFERENCE}<row r="9"><c r="C9" s="2"><v>42</v></c></row>': ["0042"],
    f'<row><c {REFERENCE}<row r="A3"><c s="2"><v>42</v></c></row>': None,
}


@pytest.mark.parametrize("rows", NUMBERED_ROWS)
def test_cells_are_found_by_their_addresses(rows: str, tmp_path: Path) -> None:
    xml = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
    path = write_xlsx(tmp_path / "c.xlsx", {"A": []}, xml.encode(), number_format="0000")
    if NUMBERED_ROWS[rows] is None:
        with pytest.raises(ConfigurationError, match="a row of the spreadsheet has an invalid number"):
            references(path)
        return
    assert [(row.reference, row.place) for row in sources.read(path)] == [("0042", "line 9")]


ZEROS = '<number:number-style><number:number number:min-integer-digits="5"/></number:number-style>'
PREFIX = "<number:number-style><number:text>K-</number:text><number:number/></number:number-style>"
CODE = "00000"
ZIPPED = {
    "zeros.ods": {"content.xml": f"<office:document-content>{ZEROS}<office:body/></office:document-content>".encode()},
    "prefix.ods": {
        "content.xml": f"<office:document-content>{PREFIX}<office:body/></office:document-content>".encode()
    },
    "named.ods": {"content.xml": b"<office:body/>", "styles.xml": f"<office:styles>{ZEROS}</office:styles>".encode()},
    "c.xlsb": {"xl/styles.bin": b"\x2c\x10\xaa\0\x05\0\0\0" + CODE.encode("utf-16-le") + b"\xe8\x04\0"},
}


@pytest.mark.parametrize("name", [*ZIPPED, "c.xls"])
def test_format_of_another_kind_of_spreadsheet_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "c.xls":
        path.write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 600 + b"\x1e\x04\x0a\0\xa4\0\x05\0\x0000000" + b"\0" * 600)
    else:
        with ZipFile(path, "w") as file:
            for part, contents in ZIPPED[name].items():
                file.writestr(part, contents)
    with pytest.raises(
        ConfigurationError, match=r"shows leading zeros or letters, such as 00000, .* save it as \.xlsx"
    ):
        sources.read(path)


def with_styles(path: Path, styles: bytes) -> Path:
    """Write a spreadsheet with these styles."""
    return with_parts(write_xlsx(path, {"A": [HEAD, [(123,), "Ada", "10000"]]}), {"xl/styles.xml": styles})


@pytest.mark.parametrize("number_format", ['numFmtId="164"', 'formatCode="00000"', 'x="1"'])
def test_incomplete_number_format_is_ignored(number_format: str, tmp_path: Path) -> None:
    zeros, zero = '<numFmt numFmtId="165" formatCode="000"/>', '<xf numFmtId="165"/>'
    styles = f"<styleSheet><numFmts><numFmt {number_format}/>{zeros}</numFmts><cellXfs>{zero * 3}"
    path = with_styles(tmp_path / "c.xlsx", f"{styles}</cellXfs></styleSheet>".encode())
    assert references(path) == ["123"]


@pytest.mark.long
def test_spreadsheet_with_gigantic_styles_is_refused(tmp_path: Path) -> None:
    path = with_styles(tmp_path / "c.xlsx", b"<styleSheet>" + b" " * (65 << 20) + b"</styleSheet>")
    with pytest.raises(ConfigurationError, match=r"xl/styles\.xml in the spreadsheet is larger than 64 MB"):
        references(path)
