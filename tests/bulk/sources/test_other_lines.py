"""Lines that are not customers: repeated column names, descriptions of columns, headings of groups, totals."""

from pathlib import Path

import pytest
from bulk.sources.read_rows import QUERY, open_rows, open_table, read_rows

from wonder_customers import ConfigurationError

CSV_OR_QUERY = pytest.mark.parametrize("kind", ["csv", "query"])
CSV_OR_SPREADSHEET = pytest.mark.parametrize("kind", ["csv", "xlsx"])


FOOTERS = [
    "Total,,3", "Summa: 3;;", "TOTAL:,,", "Grand Totals (3 records)", "Summe;;", "(3 rows)", "(1 rows affected)",
    "1 row selected.", "Generated on 2026-11-28,,", "*** End of list ***,,", "Summe Kunden;1;", "Ukupno kupaca: 1;;",
    ",Total,3", "Total,2,1.250 €", "Insgesamt,,3", "Zwischensumme,,", "Итого,,3", "合计,,3", "Összesen: 3,,",
    "Toplam,,3", "Totalt,,-3", "Skupno,,3 EUR",
    "Total,2 customers,11", "Average,,5.5", "Durchschnitt;;5",
]  # fmt: skip


@pytest.mark.parametrize("footer", FOOTERS)
def test_line_after_the_table_is_skipped(footer: str, tmp_path: Path) -> None:
    reader = open_rows(tmp_path, f"reference,name,metadata.n\nc-1,Ada,1\n{footer.replace(';', ',')}\n")
    assert ([row.reference for row in reader], reader.notes.footers) == (["c-1"], 1)


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
        # Named like columns:
        ("reference,name,description", "acme,Business,Company"),
        ("reference,name,description", "acme,,Phone"),
        ("reference,name,description", "phone,Company,"),
        ("reference,name,description", "reference,Bo,"),
    ],
)
@CSV_OR_SPREADSHEET
def test_customer_with_a_similar_name_is_read(names: str, row: str, kind: str, tmp_path: Path) -> None:
    table = [names.split(","), row.split(","), ["z"] * len(names.split(","))]
    first, second = open_table(tmp_path, table, kind)
    assert (first.reference, first.problem, second.reference) == (table[1][table[0].index("reference")], None, "z")


@CSV_OR_SPREADSHEET
def test_heading_of_a_group_is_not_a_customer(kind: str, tmp_path: Path) -> None:
    table = [["reference", "name", "city"], ["Croatia", "", ""], ["ada", "", "Split"], ["c-2", "", ""]]
    rows = list(open_table(tmp_path, table, kind))
    assert [row.reference for row in rows] == [None, "ada", "c-2"]
    assert "line 2: only the first column has a value" in rows[0].problem


@pytest.mark.parametrize("first", ["reference", "Customer ID"])
def test_heading_of_a_group_stops_a_query(first: str, tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    query = f'SELECT "{first}" AS reference, name, city FROM source'
    with pytest.raises(ConfigurationError, match="line 2: only the first column has a value"):
        read_rows(tmp_path, f"{first},name,city\nCroatia,,\nada,,Split\n", query=query)
    assert len(read_rows(tmp_path, f"{first},name,city\nada,,Split\nc-2,,\n", query=query)) == 2


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_rows_after_blank_lines_are_counted_because_they_may_belong_to_another_table(kind: str, tmp_path: Path) -> None:
    blank = ["", "", ""]
    table = [
        ["reference", "name", "metadata.n"],
        ["1", "Ada", "x"],
        blank,
        blank,
        ["product", "price", "stock"],
        ["2", "Bo", "y"],
    ]
    reader = open_table(tmp_path, [*table, blank, ["3", "Cy", "z"], blank, ["Total", "", "3"], blank], kind)
    assert len(list(reader)) == 4
    assert reader.notes.gaps == reader.notes.as_dict()["gaps"] == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_repeated_column_names_are_not_a_customer(encoding: str, tmp_path: Path) -> None:
    head, other_case = 'reference,"name",\n', "REFERENCE,Name,\n\ufeffReference,NAME,\n"
    text = f"{head}1,Ada,\n{head}2,reference,\n\ufeff{head}{other_case}reference,Bo,\n"
    reader = open_rows(tmp_path, text.encode(encoding), unknown="ignore")
    assert [row.reference for row in reader] == ["1", "2", "reference"]
    assert reader.notes.repeated_headers == reader.notes.as_dict()["repeated_headers"] == 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_mark_between_concatenated_files_is_not_a_part_of_a_row(encoding: str, tmp_path: Path) -> None:
    text = 'reference,name\n"c-1","Ada"\n\ufeff"c-2","Love, Bo"\n\ufeffc-3,Cy\n'
    rows = read_rows(tmp_path, text.encode(encoding))
    assert [(row.reference, row.draft.name) for row in rows] == [("c-1", "Ada"), ("c-2", "Love, Bo"), ("c-3", "Cy")]
    rows = read_rows(tmp_path, '{"reference": "c-1"}\n\ufeff{"reference": "c-2"}\n'.encode(encoding), "c.jsonl")
    assert [row.reference for row in rows] == ["c-1", "c-2"]


def test_repeated_column_names_of_a_spreadsheet_are_not_a_customer(tmp_path: Path) -> None:
    reader = open_table(tmp_path, [["reference", "name"], ["1", "Ada"], ["reference", "name"], ["2", "Bo"]], "xlsx")
    assert ([row.reference for row in reader], reader.notes.repeated_headers) == (["1", "2"], 1)


@CSV_OR_QUERY
def test_repeated_column_names_in_another_order_are_refused(kind: str, tmp_path: Path) -> None:
    table = [["reference", "name", "city"], ["1", "Ada", "x"], ["Reference", "City", "name"], ["2", "y", "Bo"]]
    with pytest.raises(ConfigurationError, match="line 3: the column names are repeated in another order"):
        list(open_table(tmp_path, table, kind))


@pytest.mark.parametrize("line", ["Vendor No,Name,Comment,City", "Reference,Phone,Name,City", "name,email,city,"])
@CSV_OR_QUERY
def test_column_names_of_another_table_end_the_reading(line: str, kind: str, tmp_path: Path) -> None:
    lines = ("reference,name,description,city", "1,Ada,x,y", "", line, "2,Bo,y,z")
    with pytest.raises(ConfigurationError, match="line 4: the line seems to contain the column names of another table"):
        list(open_table(tmp_path, [it.split(",") for it in lines], kind))


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ("KUNNR;NAME;ORT", "Customer No;Full Name;City"),
        ("ID;Name;Note", "ID;Full Name;Remark"),
        ("Reference;Land;Note", "Reference;Country;"),
    ],
)
@CSV_OR_SPREADSHEET
def test_second_line_of_column_names_is_not_a_customer(names: str, line: str, kind: str, tmp_path: Path) -> None:
    mapping = {"KUNNR": "reference"} if names.startswith("K") else {}
    table = [names.split(";"), line.split(";"), ["c", "DE", ""]]
    first, second = open_table(tmp_path, table, kind, mapping=mapping)
    assert (first.reference, second.reference) == (None, "c")
    assert first.problem == "line 2: the line contains other names of the columns, not a customer; delete the line"


DESCRIPTIONS = [
    "string;string;string;date", "Text;Text(50);E-Mail;", "VARCHAR(20);varchar2(255);char(3);DECIMAL(10,2)",
    "Required;Optional;optional*;", "(text);<text>;[email];(date)", "e.g. C-001;e.g. Ada;ada@example.com;",
    "z.B. 4711;Max Muster;;", "max. 20 characters;max 50;max 50;",
]  # fmt: skip
NOT_DESCRIPTIONS = [
    "text;Ada;;", "string;Bo;Required;", "Max 20;Max;;", "max;Mustermann;Text;", "e.g.1;Ada;;", "np.17;Ada;;",
    "example:1;Ada;;", "date;2020;;", "in-1;Date;Text;", "Optional;Jones;text;", "int-1;string;string;string",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "query", "xlsx"])
@pytest.mark.parametrize("line", [*DESCRIPTIONS, *NOT_DESCRIPTIONS])
def test_line_that_describes_the_columns_is_not_a_customer(line: str, kind: str, tmp_path: Path) -> None:
    table = [["reference", "name", "description", "note"], line.split(";"), ["1", "Ada", "", "x"]]
    refused = line in DESCRIPTIONS
    if refused and kind == "query":
        with pytest.raises(ConfigurationError, match="line 2: the line describes the columns"):
            open_table(tmp_path, table, kind)
        return
    rows = list(open_table(tmp_path, table, kind, unknown="ignore"))
    assert [row.reference for row in rows] == [None if refused else line.partition(";")[0], "1"]
    assert [row.draft is None for row in rows] == [refused, False]


def test_damaged_line_is_refused_in_a_query(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    with pytest.raises(ConfigurationError, match="line 3: the row contains NUL characters"):
        read_rows(tmp_path, b"reference,name\nc-1,Ada\n\0\0,\n", query=QUERY)
