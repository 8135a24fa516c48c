"""Formats: spreadsheets, JSON arrays, CSV options, lines after a table, queries over text, databases."""

import sqlite3
from datetime import date
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from bulk.sources.read_rows import read_drafts as drafts
from bulk.sources.read_rows import read_rows
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.sources.text import TextOptions

LONG = "12345678901234567890123"


def test_spreadsheet_cells_are_read_as_they_are_stored(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["reference", "name", "phone", "metadata.since", "metadata.score", "metadata.vip"],
        [852123456789, "Žofie", 385912345678, date(2024, 2, 29), 1.5, True],
        [None, None, None, None, None, None],
        ["000123", "Bo", "+385 91 234 5678", None, 7, False],
        [1234567890123456789, "Cy", None, None, None, None],
        ["Total", None, None, None, 8.5, None],
    ]
    reader = sources.read(write_xlsx(tmp_path / "c.xlsx", {"Customers": rows, "Empty": []}))
    first, second, third = list(reader)
    assert (first.reference, first.draft and first.draft.phone and first.draft.phone.number) == (
        "852123456789",
        "385912345678",
    )
    assert first.draft is not None
    assert first.draft.metadata == {"since": "2024-02-29", "score": "1.5", "vip": "TRUE"}
    assert (second.reference, second.place) == ("000123", "line 4")
    assert "a spreadsheet shortened this number" in (third.problem or "")
    assert reader.notes.footers == 1


def test_spreadsheet_with_several_sheets_needs_a_choice(tmp_path: Path) -> None:
    table = [["reference", "name"], ["c-1", "Ada"]]
    path = write_xlsx(tmp_path / "c.xlsx", {"A": table, "B": [["reference"], ["c-2"]]})
    with pytest.raises(
        ConfigurationError, match=r"has more than one sheet with data: 'A', 'B'.*Choose a sheet with `sheet`"
    ):
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
    path = write_xlsx(tmp_path / "c.xlsx", {"Empty": [], "A": [["reference", "name"]]})
    reader = sources.read(path)
    assert (list(reader), list(reader.notes.columns)) == ([], ["reference", "name"])
    with pytest.raises(ConfigurationError, match="unknown columns: 'Colour'"):
        sources.read(write_xlsx(tmp_path / "c.xlsx", {"A": [["reference", "Colour"]]}))


def test_spreadsheet_with_data_only_in_a_hidden_sheet_needs_a_choice(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "c.xlsx", {"A": [], "B": [["reference"], ["c-1"]]}, hidden=["B"])
    with pytest.raises(ConfigurationError, match=r"has data only in hidden sheets: 'B'\. Choose a sheet with `sheet`"):
        sources.read(path)
    assert [row.reference for row in sources.read(path, mapping=sources.ColumnMapping(sheet="B"))] == ["c-1"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_spreadsheet_in_another_encoding_is_not_an_empty_table(encoding: str, tmp_path: Path) -> None:
    sheet = (
        '<worksheet><sheetData><row><c t="inlineStr"><is><t>reference</t></is></c></row>'
        "<row><c><v>7</v></c></row></sheetData></worksheet>"
    )
    path = write_xlsx(tmp_path / "c.xlsx", {"A": []}, sheet.encode(encoding))
    with ZipFile(path, "a") as file:
        file.writestr("customXml/item1.xml", "<DataMashup/>".encode("utf-16"))
    if encoding == "utf-8-sig":
        assert [row.reference for row in sources.read(path)] == ["7"]
    else:
        with pytest.raises(ConfigurationError, match=r"c\.xlsx contains XML that is not UTF-8.* save it as \.xlsx"):
            sources.read(path)


def test_file_that_is_not_a_spreadsheet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.xlsx").write_bytes(b"PK\x03\x04 not a workbook")
    with pytest.raises(ConfigurationError, match=r"c\.xlsx cannot be read as a spreadsheet: .* Open the file"):
        sources.read(tmp_path / "c.xlsx")


@pytest.mark.parametrize(("encoding", "blank"), [("utf-8", ""), ("utf-8-sig", "\n  "), ("utf-16", "\n  ")])
def test_json_array_is_read_object_by_object(encoding: str, blank: str, tmp_path: Path) -> None:
    objects = [f'{{"reference":{blank} "é-{number}", "metadata": {{"a": [1, "]"]}}}}' for number in range(3000)]
    data = f"{blank}[{blank}{f',{blank}'.join(objects)}{blank}]\n"
    found = drafts(tmp_path, data.encode(encoding), "c.json")
    assert [draft.reference for draft in found] == [f"é-{number}" for number in range(3000)]
    assert found[0].metadata == {"a": [1, "]"]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('[\n{"reference": "1"},\n{"reference": \n', "line 4: the file is not valid JSON"),
        ('[\n{"reference": "1"}\n', "the array is not closed"),
        ('[{"reference": "1"}] x', "contains data after the end of the array"),
    ],
)
def test_array_that_is_cut_off_is_refused(data: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words):
        drafts(tmp_path, data, "c.json")


def test_empty_array_has_no_rows(tmp_path: Path) -> None:
    assert drafts(tmp_path, "[]", "c.json") == []


def test_objects_of_several_lines_are_read(tmp_path: Path) -> None:
    data = '{\n  "reference": "1"\n}\n{\n  "reference": "2"\n}\n'
    assert [draft.reference for draft in drafts(tmp_path, data, "c.json")] == ["1", "2"]


def test_csv_options(tmp_path: Path) -> None:
    data = "Shop\n\nreference^name\nc-1^'Ada ^ Love'\n"
    mapping = sources.ColumnMapping(text=TextOptions(delimiter="^", quote="'", skip_lines=2))
    assert [draft.name for draft in drafts(tmp_path, data, mapping=mapping)] == ["Ada ^ Love"]


@pytest.mark.parametrize("options", [{"delimiter": ";;"}, {"quote": ""}, {"skip_lines": -1}, {"delimiter": '"'}])
def test_invalid_csv_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        TextOptions(**options)


@pytest.mark.parametrize(
    "footer",
    [
        "Total,,3",
        "Summa: 3;;",
        "TOTAL:,,",
        "Grand Totals (3 records)",
        "Summe;;",
        "(3 rows)",
        "(1 rows affected)",
        "1 row selected.",
        "Generated on 2026-11-28,,",
        "*** End of list ***,,",
        "Summe Kunden;1;",
        "Ukupno kupaca: 1;;",
        ",Total,3",
        "Total,2,1.250 €",
        "Insgesamt,,3",
        "Zwischensumme,,",
        "Итого,,3",
        "合计,,3",
        "Összesen: 3,,",
        "Toplam,,3",
        "Totalt,,-3",
        "Skupno,,3 EUR",
    ],
)
def test_lines_after_the_table_are_skipped(footer: str, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"reference,name,metadata.n\nc-1,Ada,1\n{footer.replace(';', ',')}\n", encoding="utf-8")
    reader = sources.read(path)
    assert [row.reference for row in reader] == ["c-1"]
    assert reader.notes.footers == 1


@pytest.mark.parametrize(
    ("names", "row"),
    [
        ("reference,name,description", "Total,Total Energies,x"),
        ("reference,name,description", "total-1,,"),
        ("reference,name,description", "Summer,Ann,"),
        ("reference,name,description", "12 rows,Ann,"),
        ("name,reference,phone", "Total Energies,1001,+33147444546"),
        ("name,reference,phone", "Suma,1001,"),
        ("name,reference", "Total,1001"),
        ("reference,phone", "Total,33147444546"),
        ("reference,address.postcode", "Suma,10000"),
        ("reference,description", "Total,+33147444546"),
        ("reference,description", "Total,0147444546"),
        ("reference,description", "Total Access,100"),
        ("reference,description", "Printed Matter,"),
        ("reference,description", "Confidential Records,"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_customers_with_similar_names_are_read(names: str, row: str, kind: str, tmp_path: Path) -> None:
    after = ",".join("z" for _ in names.split(","))
    if kind == "csv":
        rows = list(read_rows(tmp_path, f"{names}\n{row}\n{after}\n"))
    else:
        pytest.importorskip("python_calamine", reason="needs the extra excel")
        table = [line.split(",") for line in (names, row, after)]
        rows = list(sources.read(write_xlsx(tmp_path / "c.xlsx", {"A": table})))
    expected = row.split(",")[names.split(",").index("reference")]
    assert [it.reference for it in rows] == [expected, "z"]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_headings_of_groups_are_not_customers(kind: str, tmp_path: Path) -> None:
    table = [["reference", "name", "city"], ["Croatia", "", ""], ["ada", "", "Split"], ["c-2", "", ""]]
    if kind == "csv":
        rows = read_rows(tmp_path, "".join(",".join(cells) + "\n" for cells in table))
    else:
        pytest.importorskip("python_calamine", reason="needs the extra excel")
        rows = list(sources.read(write_xlsx(tmp_path / "c.xlsx", {"A": table})))
    assert [row.reference for row in rows] == [None, "ada", "c-2"]
    assert "line 2: only the first column has a value" in (rows[0].problem or "")


@pytest.mark.parametrize("first", ["reference", "Customer ID"])
def test_heading_of_a_group_stops_a_query(first: str, tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    query = f'SELECT "{first}" AS reference, name, city FROM source'
    with pytest.raises(ConfigurationError, match="line 2: only the first column has a value"):
        read_rows(tmp_path, f"{first},name,city\nCroatia,,\nada,,Split\n", query=query)
    assert len(read_rows(tmp_path, f"{first},name,city\nada,,Split\nc-2,,\n", query=query)) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_repeated_column_names_are_not_a_customer(encoding: str, tmp_path: Path) -> None:
    head = 'reference,"name",\n'
    path = tmp_path / "c.csv"
    path.write_bytes(f"{head}1,Ada,\n{head}2,reference,\n\ufeff{head}reference,Bo,\n".encode(encoding))
    reader = sources.read(path, unknown="ignore")
    assert [row.reference for row in reader] == ["1", "2", "reference"]
    assert (reader.notes.repeated_headers, reader.notes.as_dict()["repeated_headers"]) == (2, 2)


def test_repeated_column_names_of_a_spreadsheet_are_not_a_customer(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="needs the extra excel")
    table = [["reference", "name"], ["1", "Ada"], ["reference", "name"], ["2", "Bo"]]
    reader = sources.read(write_xlsx(tmp_path / "c.xlsx", {"A": table}))
    assert ([row.reference for row in reader], reader.notes.repeated_headers) == (["1", "2"], 1)


def test_blank_lines_before_the_column_names_do_not_determine_the_delimiter(tmp_path: Path) -> None:
    (draft,) = drafts(tmp_path, "\n , \nreference;name;email\n1;Ada, Countess;a@example.test\n")
    assert (draft.reference, draft.name) == ("1", "Ada, Countess")


def test_row_with_a_line_break_outside_quotes_is_refused(tmp_path: Path) -> None:
    data = "reference,name,email\nc-1,Ada,a@example.test\nc-2,Grace\nHopper,g@example.test\nc-3,Joan,j@example.test\n"
    found = drafts(tmp_path, data)
    assert [getattr(it, "reference", it) for it in found] == [
        "c-1",
        (
            "line 3: the row has 2 values, but the table has 3 columns, and the next line seems to be the rest of the"
            " row; put a value with a line break into quotes, or add the delimiters of empty values"
        ),
        "line 4: the line is probably the rest of the previous row",
        "c-3",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1250"])
def test_query_over_csv_reads_text(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    monkeypatch.chdir(tmp_path)
    Path("c.csv").write_bytes(f"id,who\n000123,Marić\n{LONG},Željko\n".encode(encoding))
    mapping = sources.ColumnMapping(text=TextOptions(encoding=None if encoding == "utf-8" else encoding))
    for path, table in (("c.csv", "source"), ("-", "'c.csv'")):
        query = f"SELECT id AS reference, who AS name FROM {table}"
        rows = list(sources.read(path, query=query, mapping=mapping))
        assert [(row.reference, row.draft and row.draft.name) for row in rows] == [
            ("000123", "Marić"),
            (LONG, "Željko"),
        ]
    if encoding != "utf-8":
        with pytest.raises(ConfigurationError, match=r"c\.csv is not UTF-8"):
            sources.read("-", query="SELECT * FROM 'c.csv'")


QUERIED = {
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
def test_query_reads_the_same_rows_of_a_csv_file(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    monkeypatch.chdir(tmp_path)
    Path("c.csv").write_text(data, newline="")
    expected = QUERIED[data]
    for path, table in (("c.csv", "source"), ("-", "'c.csv'"), ("-", "'c*.csv'")):
        query = f"SELECT * FROM {table}"
        if isinstance(expected, str):
            with pytest.raises(ConfigurationError, match=expected):
                sources.read(path, query=query)
            continue
        assert [(row.reference, row.draft and row.draft.name) for row in sources.read(path, query=query)] == expected
    if not isinstance(expected, str):
        plain = list(sources.read("c.csv"))
        assert [(row.reference, row.draft and row.draft.name) for row in plain] == expected


def test_query_over_several_csv_files_matches_columns_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    monkeypatch.chdir(tmp_path)
    Path("a1.csv").write_text("reference,name\n#1,Ada\n")
    Path("a2.csv").write_text("name;reference\nBo;2\n")
    Path("b.csv").write_text('reference,name\n3,"Cy"x\n')
    rows = list(sources.read("-", query="SELECT * FROM 'a*.csv'"))
    assert [(row.reference, row.draft and row.draft.name) for row in rows] == [("#1", "Ada"), ("2", "Bo")]
    # The options in a query are the user's own.
    (row,) = sources.read("-", query="SELECT * FROM read_csv('b.csv', quote='')")
    assert row.draft is not None
    assert row.draft.name == '"Cy"x'


def test_long_integer_of_a_query_is_a_reference(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    query = f"SELECT {LONG}::HUGEINT AS reference, 'Ada' AS name"
    (row,) = sources.read("-", query=query)
    assert (row.reference, row.raw_values is not None) == (LONG, True)


QUERY = "SELECT id AS reference, person AS name, '50%:x' AS description FROM people ORDER BY id"


def sqlite_url(folder: Path) -> str:
    path = folder / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (id TEXT, person TEXT)")
        connection.executemany("INSERT INTO people VALUES (?, ?)", [(f"{it:05}", f"Žofie {it}") for it in range(2500)])
    connection.close()
    return f"sqlite:///{path}"


def test_database_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy", reason="needs the extra sql")
    monkeypatch.setenv("SHOP_DATABASE", sqlite_url(tmp_path))
    rows = list(sources.read("-", database="SHOP_DATABASE", query=QUERY))
    assert [row.reference for row in rows] == [f"{it:05}" for it in range(2500)]
    assert rows[7].draft is not None
    assert (rows[7].draft.name, rows[7].draft.description) == ("Žofie 7", "50%:x")


@pytest.mark.parametrize(
    ("database", "query", "words"),
    [
        ("postgresql://u:secret@localhost/x", "SELECT 1", "contains a password"),
        ("postgresql://u@localhost/x?connect_timeout=1&password=secret", "SELECT 1", "contains a password"),
        ("mysql+pymysql://u@localhost/x?Passwd=secret", "SELECT 1", "contains a password"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Du%3BPWD%3Dsecret", "SELECT 1", "contains a password"),
        ("postgresql//u:secret@localhost/x", "SELECT 1", "database is neither a URL nor the name of an environment"),
        ("Server=h;Uid=u;Pwd=secret", "SELECT 1", "database is neither a URL nor the name of an environment"),
        ("NO_SUCH_VARIABLE", "SELECT 1", "'NO_SUCH_VARIABLE' is neither a URL nor the name of an environment variable"),
        ("://", "SELECT 1", "the URL of the database is invalid"),
        ("mysql://u:secret@h:notaport/x", "SELECT 1", "the URL of the database is invalid"),
        ("postgresql://u@[::1/x", "SELECT 1", "the URL of the database is invalid"),
        ("nonsense://x/y", "SELECT 1", "the database cannot be used"),
        ("sqlite:///x?uri=maybe", "SELECT 1", "the database cannot be used"),
        ("sqlite://", "SELECT * FROM no_such_table", "the query failed: no such table: no_such_table"),
        ("sqlite://", "CREATE TABLE x (y TEXT)", "exactly one SELECT statement, .* so it was not executed"),
        ("sqlite:////no/such/file.db", "SELECT 1", "unable to open database file"),
        ("sqlite://", None, "`database` requires `query`"),
    ],
)
def test_unusable_database_is_refused(database: str, query: str | None, words: str) -> None:
    pytest.importorskip("sqlalchemy", reason="needs the extra sql")
    with pytest.raises(ConfigurationError, match=words) as caught:
        list(sources.read("-", database=database, query=query))
    assert "secret" not in str(caught.value)
