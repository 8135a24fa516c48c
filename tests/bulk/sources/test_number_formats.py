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
        ("[<=999]00000;00000-0000", "00123"),
        ("[<=99]00000;00000-0000", "00000-0123"),
        ("[>999]0;[>99]00000;0", "00123"),
        ('0#" "##" "##', "00 01 23"),
        ("[Red]00000", "00123"),
        ("?00000", "00123"),
        ('"0"#########', "0123"),
        ('"K-"0', "K-123"),
        ('"K-"#', "K-123"),
        ('"+"0', "+123"),
        ("+0;-0", "123"),
        ('"EUR "0', "123"),
        ('0" kg"', "123"),
        ("#-##", "123"),
        ("General", "123"),
        ("0", "123"),
        ("#,##0", "123"),
        ("0.00", "123"),
        ("[<=1.2.3]00000", "00123"),
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


def test_row_with_an_invalid_number_is_refused(tmp_path: Path) -> None:
    rows = '<row><c t="inlineStr"><is><t>reference</t></is></c></row><row r="A3"><c s="2"><v>42</v></c></row>'
    xml = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
    path = write_xlsx(tmp_path / "c.xlsx", {"A": []}, xml.encode(), number_format="0000")
    with pytest.raises(ConfigurationError, match="a row of the spreadsheet has an invalid number"):
        list(read(path))


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


@pytest.mark.parametrize("number", [4006381333931123, 1234567890123456.0, 10**20, -(10**16)])
def test_number_that_a_spreadsheet_cannot_store_is_refused_in_every_field(number: float, tmp_path: Path) -> None:
    head: list[object] = ["reference", "name", "description", "metadata.loyalty", "left out"]
    table = [head, [1, "Ada", number], [2, "Bo", None, number], [3, "Cy", None, None, number]]
    path = write_xlsx(tmp_path / "c.xlsx", {"A": table})
    first, second, third = sources.read(path, mapping={"left out": ""})
    assert first.problem is not None
    assert first.problem.startswith("line 2, column description: a spreadsheet shortened this number")
    assert second.problem is not None
    assert second.problem.startswith("line 3, column metadata.loyalty: a spreadsheet shortened this number")
    assert third.problem is None


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
    row = '<row><c t="inlineStr"><is><t>reference</t></is></c><c t="inlineStr"><is><t>name</t></is></c></row>'
    xml = f"<worksheet><sheetData>{row}<row><c><v>1</v></c>{cell}</row></sheetData></worksheet>"
    path = write_xlsx(tmp_path / "c.xlsx", {"A": []}, xml.encode())
    if RESULTS[cell]:
        assert [row.reference for row in read(path)] == ["1"]
        return
    with pytest.raises(ConfigurationError, match=r"c\.xlsx has formulas without results, .* and save it as \.xlsx"):
        read(path)


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
    ],
)
def test_cells_of_an_ods_file_that_would_be_lost_are_refused(cell: str, lost: str, tmp_path: Path) -> None:
    path = tmp_path / "c.ods"
    text = 'office:value-type="string"'
    with ZipFile(path, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        file.writestr("META-INF/manifest.xml", "<manifest:manifest/>")
        file.writestr(
            "content.xml",
            '<office:document-content><office:body><office:spreadsheet><table:table table:name="A">'
            f"<table:table-row><table:table-cell {text}><text:p>reference</text:p></table:table-cell></table:table-row>"
            f"<table:table-row><table:table-cell {cell}</table:table-cell></table:table-row></table:table>"
            "</office:spreadsheet></office:body></office:document-content>",
        )
    if not lost:
        assert [row.reference for row in sources.read(path)] == ["x"]
        return
    with pytest.raises(ConfigurationError, match=rf"c\.ods has {lost}.* save it as \.xlsx"):
        sources.read(path)


def test_web_page_under_the_name_of_a_spreadsheet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.xls").write_text("<html><table><tr><td>reference</td></tr></table></html>")
    with pytest.raises(ConfigurationError, match=r"c\.xls is a web page or XML .* save it as \.xlsx"):
        sources.read(tmp_path / "c.xls")


def with_parts(path: Path, given: dict[str, bytes]) -> Path:
    """Replace or add parts of a spreadsheet."""
    with ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()} | given
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for name, contents in parts.items():
            file.writestr(name, contents)
    return path


def with_styles(path: Path, styles: bytes) -> Path:
    """Write a spreadsheet with these styles."""
    return with_parts(write_xlsx(path, {"A": [HEAD, [(123,), "Ada", "10000"]]}), {"xl/styles.xml": styles})


@pytest.mark.parametrize("number_format", ['numFmtId="164"', 'formatCode="00000"', 'x="1"'])
def test_incomplete_number_format_is_ignored(number_format: str, tmp_path: Path) -> None:
    zeros, zero = '<numFmt numFmtId="165" formatCode="000"/>', '<xf numFmtId="165"/>'
    styles = f"<styleSheet><numFmts><numFmt {number_format}/>{zeros}</numFmts><cellXfs>{zero * 3}"
    path = with_styles(tmp_path / "c.xlsx", f"{styles}</cellXfs></styleSheet>".encode())
    assert [row.reference for row in read(path)] == ["123"]


@pytest.mark.long
def test_spreadsheet_with_gigantic_styles_is_refused(tmp_path: Path) -> None:
    path = with_styles(tmp_path / "c.xlsx", b"<styleSheet>" + b" " * (65 << 20) + b"</styleSheet>")
    with pytest.raises(ConfigurationError, match=r"xl/styles\.xml in the spreadsheet is larger than 64 MB"):
        read(path)


def test_numbers_are_names_of_columns(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "c.xlsx", {"A": [["reference", "name", 2023], ["1", "Ada", 7]]})
    (row,) = sources.read(path, mapping={"2023": "metadata.orders"})
    assert row.draft is not None
    assert row.draft.metadata == {"orders": "7"}
