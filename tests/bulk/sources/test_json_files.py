"""JSON files: lines, arrays and objects with a list; values that a parser would change are refused."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from bulk.sources.read_rows import open_rows, read_draft, read_drafts, read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk.sources import ColumnMapping
from wonder_customers.dialects.coercion import coerce
from wonder_customers.records import Phone

OBJECTS = '[{"reference": "1", "name": "Ada"}, {"reference": "2", "name": "Bo"}]'
DEEP = "[" * 200_000 + "]" * 200_000


def test_json_lines_are_read(tmp_path: Path) -> None:
    data = """{"reference": "c-1", "name": "Ada", "address": {"city": "Wien"}, "metadata": {"a": [1, {"b": 2}]}}

{"reference": 7, "phone": {"dial_code": "+385", "number": "91"}, "address.city": "Split"}
{"reference": "c-3", "name": 5.5}
{"name": "Grace"}
[1]
{"reference": "c-4"
{"reference": "c-5", "phone": "+43 1 2345678", "phone.number": "1"}
"""
    rows = read_rows(tmp_path, data, "c.jsonl")
    assert [row.reference for row in rows] == ["c-1", "7", "c-3", None, None, None, "c-5"]
    assert (rows[0].draft.metadata, rows[1].draft.phone) == ({"a": [1, {"b": 2}]}, Phone("+385", "91"))
    assert [row.problem for row in rows[2:]] == [
        "line 4, column name: the value must be a string or an integer, not a decimal number",
        "line 5: the row has no reference",
        "line 6: the row must be a JSON object",
        "line 7: the row is not valid JSON (at character 19)",
        "line 8: the row has both phone and a part of phone, such as phone.number",
    ]


@pytest.mark.parametrize("row", ['{"error": "rate limited"}', '{"reference": "2", "extra": 1}'])
def test_error_of_a_later_row_with_unknown_keys_names_its_line(row: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^line 3: "):
        read_rows(tmp_path, f'{{"reference": "1"}}\n\n{row}\n', "c.jsonl")


def test_invalid_first_line_of_json_lines_is_a_row(tmp_path: Path) -> None:
    problem, draft = read_drafts(tmp_path, '{"reference": }\n{"reference": "2", "name": "Bo"}\n', "c.jsonl")
    assert (problem, draft.name) == ("line 1: the row is not valid JSON (at character 14)", "Bo")


@pytest.mark.parametrize(("encoding", "blank"), [("utf-8", ""), ("utf-8-sig", "\n  "), ("utf-16", "\n  ")])
def test_json_array_is_read_object_by_object(encoding: str, blank: str, tmp_path: Path) -> None:
    objects = [f'{{"reference":{blank} "é-{number}", "metadata": {{"a": [1, "]"]}}}}' for number in range(3000)]
    data = f"{blank}[{blank}{f',{blank}'.join(objects)}{blank}]\n"
    found = read_drafts(tmp_path, data.encode(encoding), "c.json")
    assert [draft.reference for draft in found] == [f"é-{number}" for number in range(3000)]
    assert found[0].metadata == {"a": [1, "]"]}


@pytest.mark.parametrize(
    ("data", "references"),
    [("[]", []), ("", []), ('{\n  "reference": "1"\n}\n{\n  "reference": "2"\n}\n', ["1", "2"])],
    ids=["empty array", "empty file", "objects of several lines"],
)
def test_other_json_is_read(data: str, references: list[str], tmp_path: Path) -> None:
    assert [draft.reference for draft in read_drafts(tmp_path, data, "c.json")] == references


@pytest.mark.parametrize(
    ("data", "member"),
    [
        (f'{{"customers": {OBJECTS}, "total": 2}}', "customers"),
        (f'{{\n  "object": "list",\n  "data": {OBJECTS},\n  "more": {{"next": null}}\n}}\n', "data"),
        (f'{{"meta": {{"page": 1}}, "tags": ["a"], "none": [], "items": {OBJECTS}}}', "items"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_list_in_a_json_object_is_read(data: str, member: str, encoding: str, tmp_path: Path) -> None:
    with closing(open_rows(tmp_path, data.encode(encoding), "c.json")) as reader:
        assert [row.draft.name for row in reader] == ["Ada", "Bo"]
        assert reader.notes.member == member


REFUSED = {
    "array that is cut off": ('[\n{"reference": "1"},\n{"reference": \n', "line 4: the file is not valid JSON"),
    "array that is not closed": ('[\n{"reference": "1"}\n', "the array is not closed"),
    "data after an array": ('[{"reference": "1"}] x', "contains data after the end of the array"),
    "several lists": (
        f'{{"new customers": {OBJECTS}, "orders": [{{"id": 1}}]}}',
        r"several members are lists of objects \('new customers', 'orders'\).* jq '.\"new customers\"' FILE >",
    ),
    "list that is cut off": (f'{{"customers": {OBJECTS[:-3]}', "line 1: the file is not valid JSON"),
    "deep row": (f'[\n{{"reference": {DEEP}}}]', "line 2: a value has more than 64 nested levels"),
    "deep member": (f'{{"customers": {OBJECTS}, "x": {DEEP}}}', "a value has more than 64 nested levels"),
    "customer": ('{"reference": "1", "name": "Ada", "orders": [{"id": 1}]}', "unknown columns: 'orders'"),
    "no customers": ('{"x": [{"a": 1}]}\n{"x": [{"a": 1}]}\n', "no column of the source"),
    "security code": ('{"reference": "c", "payment_source": {"cvv": "123"}}\n', "security codes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_json_is_refused_before_the_first_row(case: str, tmp_path: Path) -> None:
    data, words = REFUSED[case]
    with pytest.raises(ConfigurationError, match=words):
        read_rows(tmp_path, data, "c.json")


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ('[{{"reference": {}}}, {{"reference": "2"}}]', ["line 1: the row is not valid JSON (at character 14)"]),
        ('{{"customers": [{{"reference": "2"}}], "x": {}}}', []),
    ],
)
def test_integer_of_thousands_of_digits_does_not_hide_other_rows(
    data: str, problems: list[str], tmp_path: Path
) -> None:
    *before, last = read_drafts(tmp_path, data.format("9" * 5000), "c.json")
    assert (before, last.reference) == (problems, "2")


def test_objects_with_many_sets_of_keys_are_read(tmp_path: Path) -> None:
    data = "".join(f'{{"reference": "c-{number}", "metadata.k{number}": "{number}"}}\n' for number in range(1100))
    found = read_drafts(tmp_path, data + data, "c.jsonl")
    assert [draft.metadata for draft in found] == [{f"k{number}": str(number)} for number in range(1100)] * 2


LONG = 123456789012345678901234
SEVERAL = "the value is a list; keep one value, or set `several` to `first` in a mapping file"


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, LONG])
def test_long_whole_number_in_metadata_is_refused(number: int, tmp_path: Path) -> None:
    problem = read_draft(tmp_path, f'{{"reference":"c-1","metadata":{{"n":{number}}}}}\n', "c.jsonl")
    assert problem == "line 1: the row contains an integer of more than 64 bits"
    problem = read_draft(tmp_path, f'reference,metadata\nc-1,"{{""n"":{number}}}"\n')
    assert problem == "line 2, column metadata: the value contains an integer of more than 64 bits"


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0.5])
def test_other_numbers_in_metadata_are_exact(number: float, tmp_path: Path) -> None:
    draft = read_draft(tmp_path, orjson.dumps({"reference": "c-1", "metadata": {"n": number}}), "c.jsonl")
    assert draft.metadata == {"n": number}


def test_metadata_in_a_text_with_a_long_number_is_not_rounded() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        coerce(Mapping[str, Any], f'{{"n":{LONG}}}')


@pytest.mark.parametrize(
    "row",
    [
        '{"reference":"c-1","email":"a@example.com","email":"b@example.com"}',
        '{"reference": "c-1", "reference": "c-2"}',
        '{"reference":"c-1","metadata":{"n":1,"n":1}}',
        '{"reference":"c-1","name":"\\u0022","\\u006eame":"Ada"}',
    ],
)
def test_repeated_key_is_refused(row: str, tmp_path: Path) -> None:
    for data in (f'{row}\n{{"reference":"c-3"}}\n', f'[{row},\n{{"reference":"c-3"}}]'):
        first, second = read_drafts(tmp_path, data, "c.jsonl")
        assert (first, second.reference) == ("line 1: the row contains JSON with a repeated key", "c-3")


INVALID = {
    "repeated key in a column": (
        'reference,metadata\nc-1,"{""n"":1,""n"":2}"\n',
        "line 2, column metadata: the value contains JSON with a repeated key",
    ),
    "field that is nested and dotted": (
        '{"reference":"c-1","address.city":"Zagreb","address":{"city":"Split"}}',
        "line 1: the row contains a field twice, in a nested object and with a dotted name",
    ),
    "many nested levels": (
        '{"reference":"c-1","metadata":{"n":' + "[" * 500 + "]" * 500 + "}}",
        "line 1: the row contains JSON with more than 64 nested levels",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_row_with_ambiguous_json_is_invalid(case: str, tmp_path: Path) -> None:
    data, problem = INVALID[case]
    assert read_draft(tmp_path, data, "c.jsonl" if data.startswith("{") else "c.csv") == problem


@pytest.mark.parametrize("value", [[], {}, [None, ""], ["ada@example.test"], [None, "ada@example.test"]])
def test_list_with_at_most_one_value_is_this_value(value: list[str | None], tmp_path: Path) -> None:
    row = {"reference": "c-1", "email": value, "phone": [], "name": {}, "metadata": []}
    draft = read_draft(tmp_path, orjson.dumps(row), "c.jsonl")
    expected = "ada@example.test" if "ada@example.test" in value else None
    assert (draft.email, draft.phone, draft.metadata) == (expected, None, None)


def test_list_with_several_values_is_refused_or_the_first_is_used(tmp_path: Path) -> None:
    row = orjson.dumps({"reference": "c-1", "email": ["ada@example.test", "bo@example.test"]})
    assert read_draft(tmp_path, row, "c.jsonl") == f"line 1, column email: {SEVERAL}"
    assert read_draft(tmp_path, row, "c.jsonl", mapping=ColumnMapping(several="first")).email == "ada@example.test"
    problem = read_draft(tmp_path, b'{"reference":"c-1","email":[{"work":"a@x.test"},null]}', "c.jsonl")
    assert problem.endswith("not an object; map its values with names such as COLUMN.KEY, or export them as text")
    row = orjson.dumps({"reference": "c-1", "name": ["Ada", "Bo"], "phone": [{"number": 1}]})
    assert read_draft(tmp_path, row, "c.jsonl") == "line 1, column name: the value is a list; keep one value"


@pytest.mark.parametrize(("given", "reference"), [('"r-1"', "r-1"), ("7", None), ("[]", None)])
def test_entry_of_failed_rows_keeps_its_reference(given: str, reference: str | None, tmp_path: Path) -> None:
    entry = f'{{"row": 7, "reason": "x", "status": "invalid", "reference": {given}, "values": {{"name": "Ada"}}}}\n'
    (row,) = read_rows(tmp_path, entry, "c.jsonl")
    assert (row.reference, row.problem) == (reference, "line 1: the row has no reference")
