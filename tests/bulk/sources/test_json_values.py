"""JSON that a parser would change is refused in customer files: repeated keys, integers of more than 64 bits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from bulk.sources.read_rows import read_drafts

from wonder_customers.bulk.sources import ColumnMapping
from wonder_customers.dialects.coercion import coerce

LONG = 123456789012345678901234
SEVERAL = "the value is a list; keep one value, or set `several` to `first` in a mapping file"


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, LONG])
def test_long_whole_number_in_metadata_is_refused(number: int, tmp_path: Path) -> None:
    (lines,) = read_drafts(tmp_path, f'{{"reference":"c-1","metadata":{{"n":{number}}}}}\n', "c.jsonl")
    (table,) = read_drafts(tmp_path, f'reference,metadata\nc-1,"{{""n"":{number}}}"\n')
    assert lines == "line 1: the row contains an integer of more than 64 bits"
    assert table == "line 2, column metadata: the value contains an integer of more than 64 bits"


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0.5])
def test_other_numbers_in_metadata_are_exact(number: float, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, orjson.dumps({"reference": "c-1", "metadata": {"n": number}}), "c.jsonl")
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
        assert first == "line 1: the row contains JSON with a repeated key"
        assert second.reference == "c-3"


def test_repeated_key_in_metadata_column_is_refused(tmp_path: Path) -> None:
    (problem,) = read_drafts(tmp_path, 'reference,metadata\nc-1,"{""n"":1,""n"":2}"\n')
    assert problem == "line 2, column metadata: the value contains JSON with a repeated key"


def test_field_that_is_nested_and_dotted_is_refused(tmp_path: Path) -> None:
    row = '{"reference":"c-1","address.city":"Zagreb","address":{"city":"Split"}}'
    (problem,) = read_drafts(tmp_path, row, "c.jsonl")
    assert problem == "line 1: the row contains a field twice, in a nested object and with a dotted name"


def test_deeply_nested_row_is_refused(tmp_path: Path) -> None:
    (problem,) = read_drafts(tmp_path, '{"reference":"c-1","metadata":{"n":' + "[" * 500 + "]" * 500 + "}}", "c.jsonl")
    assert problem == "line 1: the row contains JSON with more than 64 nested levels"


@pytest.mark.parametrize("value", [[], {}, [None, ""], ["ada@example.test"], [None, "ada@example.test"]])
def test_list_with_at_most_one_value_is_this_value(value: list[str | None], tmp_path: Path) -> None:
    row = {"reference": "c-1", "email": value, "phone": [], "name": {}, "metadata": []}
    (draft,) = read_drafts(tmp_path, orjson.dumps(row), "c.jsonl")
    expected = "ada@example.test" if "ada@example.test" in value else None
    assert (draft.email, draft.phone, draft.metadata) == (expected, None, None)


def test_list_with_several_values_is_refused_or_the_first_is_used(tmp_path: Path) -> None:
    row = orjson.dumps({"reference": "c-1", "email": ["ada@example.test", "bo@example.test"]})
    assert read_drafts(tmp_path, row, "c.jsonl") == ["line 1, column email: " + SEVERAL]
    (draft,) = read_drafts(tmp_path, row, "c.jsonl", mapping=ColumnMapping(several="first"))
    assert draft.email == "ada@example.test"
    (problem,) = read_drafts(tmp_path, b'{"reference":"c-1","email":[{"work":"a@x.test"},null]}', "c.jsonl")
    assert problem.endswith("not an object; map its values with names such as COLUMN.KEY, or export them as text")
    row = orjson.dumps({"reference": "c-1", "name": ["Ada", "Bo"], "phone": [{"number": 1}]})
    assert read_drafts(tmp_path, row, "c.jsonl") == ["line 1, column name: the value is a list; keep one value"]
