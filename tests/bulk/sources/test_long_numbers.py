"""Whole numbers of more than 64 bits in a customer file are refused, never rounded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from bulk.sources.read_rows import read_drafts

from wonder_customers.dialects.coercion import coerce

LONG = 123456789012345678901234


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
