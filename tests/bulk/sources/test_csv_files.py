"""CSV files: variants, options, and rows that cannot be parsed, the rest of which never becomes a customer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import open_rows, read_draft, read_drafts, read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk.distributed.partition import Index
from wonder_customers.bulk.sources import ColumnMapping
from wonder_customers.bulk.sources.csv_parser import LONGEST_FIELD
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.bulk.sources.text import TextOptions

VARIANTS: Mapping[str, bytes] = {
    "utf-8": "reference,name\nc-1,Žofie Ünal\n".encode(),
    "byte order mark": "\ufeffreference,name\nc-1,Žofie Ünal\n".encode(),
    "semicolons": "reference;name\r\nc-1;Žofie Ünal\r\n".encode(),
    "utf-16 with tabs": "reference\tname\nc-1\tŽofie Ünal\n".encode("utf-16"),
    "sep=": "sep=|\nreference|name\nc-1|Žofie Ünal\n".encode(),
    "old Mac": "reference,name\rc-1,Žofie Ünal\r".encode(),
    "spaces around names": ' Reference ,NAME\n"c-1","Žofie Ünal"\n'.encode(),
    "empty lines": "\nreference,name\n\n\n,\nc-1,Žofie Ünal\n,,\n".encode(),
    "blank line with a comma before the names": "\n , \nreference;name\nc-1;Žofie Ünal\n".encode(),
}


@pytest.mark.parametrize("data", VARIANTS.values(), ids=VARIANTS)
def test_csv_variant_is_read(data: bytes, tmp_path: Path) -> None:
    (row,) = read_rows(tmp_path, data)
    assert (row.number, row.reference, row.draft.name) == (1, "c-1", "Žofie Ünal")


def test_csv_options_are_used(tmp_path: Path) -> None:
    mapping = ColumnMapping(text=TextOptions(delimiter="^", quote="'", skip_lines=2))
    assert read_draft(tmp_path, "Shop\n\nreference^name\nc-1^'Ada ^ Love'\n", mapping=mapping).name == "Ada ^ Love"


@pytest.mark.parametrize("options", [{"delimiter": ";;"}, {"quote": ""}, {"skip_lines": -1}, {"delimiter": '"'}])
def test_invalid_csv_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        TextOptions(**options)


def test_file_without_rows_has_no_rows(tmp_path: Path) -> None:
    assert [read_rows(tmp_path, data) for data in (b"", "\n \n")] == [[], []]


def test_two_hundred_columns_are_read(tmp_path: Path) -> None:
    head = ",".join(["reference", *(f"metadata.k{number}" for number in range(199))])
    draft = read_draft(tmp_path, f"{head}\n" + ",".join(["c-1", *map(str, range(199))]) + "\n")
    assert draft.metadata == {f"k{number}": str(number) for number in range(199)}


UNTIDY: Mapping[str, tuple[str | bytes, Sequence[str]]] = {
    "spaces before quotes": ('reference, name\n1, "Love, Ada"\n2, Bo\n', ["Love, Ada", "Bo"]),
    "line breaks in quotes": (
        'reference,name\n1,"one\ntwo\nthree"\n2,x,too,much\n',
        ["one\ntwo\nthree", "line 5: the row has 4 values, but the table has 2 columns"],
    ),
    "too few and too many values": (
        "reference,name,email\n1,Ada\n2,Bo,b@b.test,1,2\n3,Cy,c@b.test,,,\n4\n,,,\n ; \n  , , \n5,Di,d@b.test\n",
        ["Ada", "has 5 values", "Cy", "has 1 value", "Di"],
    ),
    "line break outside quotes": (
        "reference,name,email\n1,Ada,a@example.test\n2,Grace\nHopper,g@example.test\n3,Joan,j@example.test\n",
        [
            "Ada",
            (
                "line 3: the row has 2 values, but the table has 3 columns, and the next line seems to be the rest of"
                " the row; put a value with a line break into quotes, or add the delimiters of empty values"
            ),
            "line 4: the line is probably the rest of the previous row",
            "Joan",
        ],
    ),
    "quote that is not closed": (
        'reference,name\n1,Ada\n2,"Grace\n3,Joan\n', ["Ada", "line 3: a quoted value starts here and is not closed"]
    ),
    "quote that is not closed before another": (
        'reference,name\n1,Ada\n2,"Bo\n3,"Cy"\n', ["Ada", "not closed; lines 3 to 4 were read as one row"]
    ),
    "quotes with backslashes": (
        'reference,name\n1,"Ada \\"Countess\\" Love"\n2,Bo\n',
        ["a quote character within a value is not doubled", "Bo"],
    ),
    "CR in a line": (
        "reference,name\n1,Ada\r2,Bo\n", ["the line contains a CR line break, but the first line does not"]
    ),
    "NUL": (b"reference,name\n1,A\0da\n2,Bo\n", ["contains a NUL character", "Bo"]),
    "NULs after the last row": (
        b"reference,name\n1,Ada\n" + b"\0" * 400, ["Ada", "the row contains NUL characters, so the file is damaged"]
    ),
    "NUL in a reference": (
        "reference,name\nč\0,Ada\nMar\ufffdc,Bo\n", ["a NUL character", "contains the replacement character U+FFFD"]
    ),
    "replacement character": (
        "reference,name\n1,Mar\ufffdc\n2,»VILLA Å«\n", ["contains the replacement character U+FFFD", "»VILLA Å«"]
    ),
    "UTF-8 decoded wrongly": (
        "reference,name\n1,Å½eljko MariÄ‡\n2,Petri\u00c4\u008d\n",
        ["the value was decoded with another encoding"] * 2,
    ),
    "date after the table": ("reference,name,email\n1,Ada,\nFriday, Nov 27, 2026 10:00 AM\n", ["Ada"]),
    "value of 5 MB": (f"reference,name\n1,{'x' * 5_000_000}\n2,Bo\n", ["x" * 5_000_000, "Bo"]),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTIDY)
def test_untidy_row_is_read_or_refused(case: str, tmp_path: Path) -> None:
    data, found = UNTIDY[case]
    for draft, expected in zip(read_drafts(tmp_path, data), found, strict=True):
        assert expected in draft if isinstance(draft, str) else draft.name == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("rows", "short", "unended"),
    [("1,Ada,x\n", 0, 0), ("1,Ada\n2,Bo,y\n", 1, 0), ("1,Ada,x\n2,Bo,y", 0, 1), ("1,Ada,x\n2,Bo,", 0, 1)],
)
def test_missing_values_and_a_missing_line_break_are_counted(
    rows: str, short: int, unended: int, encoding: str, tmp_path: Path
) -> None:
    reader = open_rows(tmp_path, f"reference,name,description\n{rows}".encode(encoding))
    assert all(row.draft is not None for row in reader)
    assert (reader.notes.short_rows, reader.notes.unended_files) == (short, unended)
    assert reader.notes.as_dict()["short_rows"] == short


def test_value_of_more_than_16_megabytes_is_refused(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, f'reference,name\nc-2,"{"x" * (LONGEST_FIELD + 10)}\nc-3,Joan\n')
    assert rows[0].problem.startswith("line 2: a value is longer than 16 MB")


def test_half_written_line_is_not_a_customer(tmp_path: Path) -> None:
    lines = "".join(f"ap-{it},Person {it},p{it}@example.test,+3859100000{it:02}\n" for it in range(20))
    for cut in range(15, 45):
        for row in read_rows(tmp_path, f"reference,name,email,phone\n{lines}"[:-cut]):
            assert row.problem is not None or row.draft.phone is not None


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
    first, *rest = read_rows(tmp_path, (HEAD + broken + following).encode(encoding))
    last = 1 + broken.count("\n")
    assert last == 2 or f"lines 2 to {last} were read as one row" in first.problem
    for row, name in zip(rest, names, strict=True):
        assert name in row.problem if row.draft is None else row.draft.name == name
    assert (first.draft, rest[0].place) == (None, f"line {last + 1}")  # a row has the number of its line in the file
    assert first.original is None or first.original.decode("utf-8") == broken


@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_of_a_file_with_broken_rows_have_the_same_rows(size: int, tmp_path: Path) -> None:
    broken = "".join(BROKEN.values())
    rows = read_rows(tmp_path, HEAD + broken + "8,Bo,x\n" * 5 + broken + '9,"Cy",y\n')
    whole = [(row.number, row.reference, row.place) for row in rows]
    index = Index(Source(str(tmp_path / "c.csv")), size)
    assert [(row.number, row.reference, row.place) for part in index for row in part.read()] == whole
    assert {reference for _, reference, _ in whole} == {None, "8", "9"}


@pytest.mark.parametrize("size", [1, 2])
def test_row_whose_last_value_continues_in_the_next_line_is_not_sent(size: int, tmp_path: Path) -> None:
    text = "1,Ada,first part\nsecond part\n2,Bo,\n\n3,Cy,one\ntwo\nthree\n4,Di,z\n\n5,Ed,y\nTotal: 5\n"
    rows = read_rows(tmp_path, HEAD + text)
    assert [row.reference for row in rows if row.problem is None] == ["2", "4", "5"]
    assert [row.problem for row in rows[:2]] == [
        (
            "line 2: the next line has 1 value, which seems to be the rest of the last value; put a value with a"
            " line break into quotes, or delete the next line if it is not a part of the table"
        ),
        "line 3: the line is probably the rest of the previous row",
    ]
    parts = [row.problem for part in Index(Source(str(tmp_path / "c.csv")), size) for row in part.read()]
    assert parts == [row.problem for row in rows]


def test_metadata_in_one_column_is_a_json_object(tmp_path: Path) -> None:
    data = """reference,metadata,metadata.tier
c-1,"{""a"": [1, {""b"": 2}], ""tier"": ""x""}",gold
c-2,{not json,
c-3,"[1, 2]",
c-4,,silver
"""
    first, second, third, fourth = read_drafts(tmp_path, data)
    assert (first.metadata, fourth.metadata) == ({"a": [1, {"b": 2}], "tier": "gold"}, {"tier": "silver"})
    assert (second, third) == tuple(f"line {it}, column metadata: the value must be a JSON object" for it in (3, 4))
