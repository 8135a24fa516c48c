"""A row of a CSV file that cannot be parsed: the rest of its values never becomes a customer."""

from pathlib import Path

import pytest
from bulk.sources.read_rows import read_rows
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.distributed.partition import Index
from wonder_customers.bulk.sources.reader import Source

HEAD = "reference,name,description\n"
BROKEN = {
    "quotes in a value": '1,"Dwayne "The Rock" J","Main St 1\nFloor 2"\n',
    "the rest looks like a row": '1,"A "x" B","order\n2,Mallory,ok"\n',
    "the rest has a row without quotes": '1,"A "x" B","order\n2,Mallory,ok\nend"\n',
    "the rest has delimiters around its quote": '1,"A "x" B","order\n2,Mallory,",ok\n',
    "CR line break": '1,A\rB,"order\n2,Mallory,ok"\n',
    "two broken values": '1,"A "x" B","order\n2 "y" z","\n2,Mallory,ok"\n',
    "complete": '1,"A "x" B",order\n',
    "a single quote": '1,"5" pipe",order\n',
}
FOLLOWING = {
    "plain": ("2,Bo,x\n3,Cy,y\n", ["Bo", "Cy"]),
    "quoted": ('2,"Bo, B",x\n3,"Cy","y\nz"\n', ["Bo, B", "Cy"]),
    "quoted later": ('2,Bo,x\n3,"C ""y""",y\n', ["Bo", 'C "y"']),
    "broken": ('2,Bo,x\n3,"C "y" D","x\n2,Mallory,ok"\n4,Di,\n', ["Bo", "not doubled", "Di"]),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(("following", "names"), FOLLOWING.values(), ids=FOLLOWING)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_rest_of_a_broken_row_is_not_a_customer(
    broken: str, following: str, names: list[str], encoding: str, tmp_path: Path
) -> None:
    rows = read_rows(tmp_path, (HEAD + broken + following).encode(encoding))
    assert rows[0].problem is not None
    last = 1 + broken.count("\n")
    assert last == 2 or f"lines 2 to {last} were read as one row" in rows[0].problem
    for row, name in zip(rows[1:], names, strict=True):
        if row.draft is None:
            assert row.problem is not None
            assert name in row.problem
        else:
            assert row.draft.name == name
    # Each row has the number of its line in the file.
    assert rows[1].place == f"line {last + 1}"
    assert rows[0].original is None or rows[0].original.decode("utf-8") == broken


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_of_a_file_with_broken_rows_have_the_same_rows(size: int, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(HEAD + "".join(BROKEN.values()) + "8,Bo,x\n" * 5 + "".join(BROKEN.values()) + '9,"Cy",y\n')
    source = Source(str(path))
    whole = [(row.number, row.reference, row.place) for row in source.read()]
    parts = [(row.number, row.reference, row.place) for part in Index(source, size) for row in part.read()]
    assert parts == whole
    assert {reference for _, reference, _ in whole} == {None, "8", "9"}


@pytest.mark.parametrize("size", [1, 2])
def test_row_whose_last_value_continues_in_the_next_line_is_not_sent(size: int, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(HEAD + "1,Ada,first part\nsecond part\n2,Bo,\n\n3,Cy,one\ntwo\nthree\n4,Di,z\n\n5,Ed,y\nTotal: 5\n")
    rows = list(Source(str(path)).read())
    assert [row.reference for row in rows if row.problem is None] == ["2", "4", "5"]
    assert [row.problem for row in rows[:2]] == [
        (
            "line 2: the next line has 1 value, which seems to be the rest of the last value; put a value with a"
            " line break into quotes, or delete the next line if it is not a part of the table"
        ),
        "line 3: the line is probably the rest of the previous row",
    ]
    parts = [row.problem for part in Index(Source(str(path)), size) for row in part.read()]
    assert parts == [row.problem for row in rows]


REPEATED = ["REFERENCE,Name,description", "Reference,NAME,Description", "\ufeffReference,Name,Description"]


@pytest.mark.parametrize("line", REPEATED)
def test_repeated_column_names_in_another_case_are_not_a_customer(line: str, tmp_path: Path) -> None:
    rows = read_rows(tmp_path, HEAD + f"1,Ada,x\n{line}\n2,Bo,y\n")
    assert [row.reference for row in rows] == ["1", "2"]


@pytest.mark.parametrize("query", [None, "SELECT * FROM source"])
def test_repeated_column_names_in_another_order_are_refused(query: str | None, tmp_path: Path) -> None:
    if query is not None:
        pytest.importorskip("duckdb", reason="needs the extra duckdb")
    with pytest.raises(ConfigurationError, match="line 3: the column names are repeated in another order"):
        read_rows(tmp_path, HEAD + "1,Ada,x\nReference,description,name\n2,y,Bo\n", query=query)


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ("KUNNR;NAME;ORT", "Customer No;Full Name;City"),
        ("ID;Name;Note", "ID;Full Name;Remark"),
        ("Reference;Land;Note", "Reference;Country;"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_second_line_of_column_names_is_not_a_customer(names: str, line: str, kind: str, tmp_path: Path) -> None:
    table = [names.split(";"), line.split(";"), ["c", "DE", ""]]
    mapping = {"KUNNR": "reference"} if names.startswith("K") else {}
    if kind == "csv":
        path = tmp_path / "c.csv"
        path.write_text("".join(";".join(cells) + "\n" for cells in table), encoding="utf-8")
    else:
        pytest.importorskip("python_calamine", reason="needs the extra excel")
        path = write_xlsx(tmp_path / "c.xlsx", {"A": table})
    rows = list(sources.read(path, mapping=mapping))
    assert [row.reference for row in rows] == [None, "c"]
    assert rows[0].problem == "line 2: the line contains other names of the columns, not a customer; delete the line"


@pytest.mark.parametrize("query", [None, "SELECT * FROM source"])
@pytest.mark.parametrize("line", ["Vendor No,Name,Comment,City", "Reference,Phone,Name,City", "name,email,city,"])
def test_the_column_names_of_another_table_end_the_reading(line: str, query: str | None, tmp_path: Path) -> None:
    if query is not None:
        pytest.importorskip("duckdb", reason="needs the extra duckdb")
    data = f"reference,name,description,city\n1,Ada,x,y\n\n{line}\n2,Bo,y,z\n"
    with pytest.raises(ConfigurationError, match="line 4: the line seems to contain the column names of another table"):
        read_rows(tmp_path, data, query=query)


@pytest.mark.parametrize("row", ["acme,Business,Company", "acme,,Phone", "phone,Company,", "reference,Bo,"])
def test_customers_named_like_columns_are_read(row: str, tmp_path: Path) -> None:
    rows = read_rows(tmp_path, HEAD + row + "\n1,Ada,x\n")
    assert [(it.reference, it.problem) for it in rows] == [(row.partition(",")[0], None), ("1", None)]


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
def test_a_line_that_describes_the_columns_is_not_a_customer(line: str, kind: str, tmp_path: Path) -> None:
    table = [["reference", "name", "description", "note"], line.split(";"), ["1", "Ada", "", "x"]]
    refused = line in DESCRIPTIONS
    if kind == "xlsx":
        pytest.importorskip("python_calamine", reason="needs the extra excel")
        rows = list(sources.read(write_xlsx(tmp_path / "c.xlsx", {"A": table}), unknown="ignore"))
    else:
        data, query = "".join(";".join(cells) + "\n" for cells in table), None
        if kind == "query":
            pytest.importorskip("duckdb", reason="needs the extra duckdb")
            query = "SELECT * FROM source"
            if refused:
                with pytest.raises(ConfigurationError, match="line 2: the line describes the columns"):
                    read_rows(tmp_path, data, query=query)
                return
        rows = read_rows(tmp_path, data, query=query, unknown="ignore")
    assert [row.reference for row in rows] == [None if refused else line.partition(";")[0], "1"]
    assert [row.draft is None for row in rows] == [refused, False]


def test_damaged_line_is_refused_in_a_query(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(b"reference,name\nc-1,Ada\n\0\0,\n")
    with pytest.raises(ConfigurationError, match="line 3: the row contains NUL characters"):
        list(sources.read(path, query="SELECT * FROM source"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("rows", "short", "unended"),
    [("1,Ada,x\n", 0, 0), ("1,Ada\n2,Bo,y\n", 1, 0), ("1,Ada,x\n2,Bo,y", 0, 1), ("1,Ada,x\n2,Bo,", 0, 1)],
)
def test_missing_values_and_a_missing_line_break_are_counted(
    rows: str, short: int, unended: int, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_bytes((HEAD + rows).encode(encoding))
    reader = sources.read(tmp_path / "c.csv")
    assert all(row.draft is not None for row in reader)
    assert (reader.notes.short_rows, reader.notes.unended_files) == (short, unended)
    assert reader.notes.as_dict()["short_rows"] == short
