"""Numbers of spreadsheets with leading zeros: the zeros belong to a number format, and not to the value."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers.bulk import Row, sources

HEAD = ["reference", "name", "address.postcode"]


def read(path: Path) -> list[Row]:
    return list(sources.read(path))


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("00000", "00123"),
        ("000000", "000123"),
        ("00000\\-0000", "00000-0123"),
        ("000-00-0000", "000-00-0123"),
        ('"C-"00000;-00000', "C-00123"),
        ("[$-407]00000_ ", "00123"),
        ("00", "123"),
        ("General", "123"),
        ("0", "123"),
        ("#,##0", "123"),
        ("0.00", "123"),
    ],
)
def test_number_is_read_as_it_is_shown(code: str, shown: str, tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "c.xlsx", {"A": [HEAD, [(123,), "Ada", 2134]]}, number_format=code)
    (row,) = read(path)
    assert row.draft is not None
    assert row.draft.address is not None
    assert (row.reference, row.draft.address.postcode) == (shown, "2134")


def test_each_cell_has_its_own_format(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        [*HEAD],
        [7, "Ada", (2134,)],
        [None, None, None],
        [(7,), "Bo", 2134],
        [(7.5,), "Cy", (10**15,)],
    ]
    first, second, third = read(write_xlsx(tmp_path / "c.xlsx", {"Empty": [], "A": rows}, number_format="00000"))
    assert (first.reference, first.draft and first.draft.address and first.draft.address.postcode) == ("7", "02134")
    assert (second.reference, second.draft and second.draft.address and second.draft.address.postcode) == (
        "00007",
        "2134",
    )
    assert third.reference == "7.5"


def test_cells_with_addresses_are_found_by_them(tmp_path: Path) -> None:
    texts = ('<c r="C3" t="inlineStr"><is><t>reference</t></is></c>', '<c r="C9" s="2"><v>42</v></c>')
    xml = f'<worksheet><sheetData><row r="3">{texts[0]}</row><row r="9">{texts[1]}</row></sheetData></worksheet>'
    path = write_xlsx(tmp_path / "c.xlsx", {"A": []}, xml.encode(), number_format="0000")
    assert [(row.reference, row.place) for row in read(path)] == [("0042", "line 9")]


@pytest.mark.parametrize("name", ["c.ods", "c.xls"])
def test_format_of_another_kind_of_spreadsheet_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "c.ods":
        zeros = '<number:number-style><number:number number:min-integer-digits="5"/></number:number-style>'
        with ZipFile(path, "w") as file:
            file.writestr("content.xml", f"<office:document-content>{zeros}<office:body/></office:document-content>")
    else:
        path.write_bytes(b"\xd0\xcf\x11\xe0" + b"\0" * 600 + b"\x1e\x04\x0a\0\xa4\0\x05\0\x0000000" + b"\0" * 600)
    with pytest.raises(ConfigurationError, match=r"shows leading zeros, such as 00000, .* save it as \.xlsx"):
        sources.read(path)


def with_styles(path: Path, styles: bytes) -> Path:
    """Write a spreadsheet with these styles."""
    write_xlsx(path, {"A": [HEAD, [(123,), "Ada", "10000"]]})
    with ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, contents in parts.items():
            file.writestr(name, styles if name == "xl/styles.xml" else contents)
    return path


@pytest.mark.parametrize("number_format", ['numFmtId="164"', 'formatCode="00000"', 'x="1"'])
def test_incomplete_number_format_is_ignored(number_format: str, tmp_path: Path) -> None:
    zeros, zero = '<numFmt numFmtId="165" formatCode="000"/>', '<xf numFmtId="165"/>'
    styles = f"<styleSheet><numFmts><numFmt {number_format}/>{zeros}</numFmts><cellXfs>{zero * 3}"
    path = with_styles(tmp_path / "c.xlsx", f"{styles}</cellXfs></styleSheet>".encode())
    assert [row.reference for row in read(path)] == ["123"]


def test_spreadsheet_with_gigantic_styles_is_refused(tmp_path: Path) -> None:
    path = with_styles(tmp_path / "c.xlsx", b"<styleSheet>" + b" " * (65 << 20) + b"</styleSheet>")
    with pytest.raises(ConfigurationError, match=r"xl/styles\.xml in the spreadsheet is larger than 64 MB"):
        read(path)
