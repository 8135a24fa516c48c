"""References of a file: ids that look like numbers, and rows that repeat the reference of an invalid row."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk.customers import QUICK, collect
from bulk.sources.read_rows import read_drafts, read_rows

from wonder_customers import CustomerSession
from wonder_customers.bulk import Options, sources, sync
from wonder_customers.bulk.rows import Row


@pytest.mark.parametrize("reference", ["12E45678", "1E10", "7e3", "12E4+5", "00E1", "123456789012345678901234"])
def test_hexadecimal_and_long_ids_are_references(reference: str, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, f"reference,name\n{reference},Ada\n")
    assert draft.reference == reference


@pytest.mark.parametrize("reference", ["8.52E+11", "1E+15", '"3,85913E+11"'])
def test_number_that_a_spreadsheet_shortened_is_not_a_reference(reference: str, tmp_path: Path) -> None:
    (problem,) = read_drafts(tmp_path, f"reference,name\n{reference},Ada\n")
    assert problem.startswith("line 2, column reference: a spreadsheet shortened this number")


INVALID = "a,+1 202 555 0123 x4\n"
VALID = "Ada,+385912345678\n"


async def statuses(account: Any, rows: Any) -> list[tuple[int, str]]:
    async with CustomerSession(account) as session:
        job = sync(session, rows, options=Options(retry=QUICK, failure_share=None))
        return sorted((outcome.number, outcome.status) for outcome in await collect(job))


@pytest.mark.anyio
async def test_row_that_repeats_an_invalid_row_is_sent_once(account: Callable[[str], Any], tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"reference,name,phone\nc-1,{INVALID}c-1,{INVALID}c-1,{VALID}c-1,{VALID}c-2,{VALID}c-1,{INVALID}")
    found = await statuses(account("monri"), sources.read(path))
    assert [status for _, status in found] == ["invalid", "invalid", "created", "duplicate", "created", "duplicate"]


@pytest.mark.anyio
async def test_row_that_repeats_an_invalid_row_of_an_earlier_batch_is_sent(
    account: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text(f"reference,name,phone\nc-1,{VALID}", encoding="utf-8")
    (sent,) = sources.read(tmp_path / "c.csv")
    rows = [Row(number, problem="cannot be read", reference=f"c-{number}") for number in range(1, 61)]
    repeated = [Row(number, sent.draft) for number in (61, 62)]
    found = await statuses(account("monri"), [*rows, *repeated])
    assert [status for _, status in found[60:]] == ["created", "duplicate"]


def test_reference_with_a_nul_character_is_no_duplicate_of_its_start(tmp_path: Path) -> None:
    """SQLite ends a JSON string at a NUL character, so such a reference must not be looked up."""
    lines = '{"reference": "a", "name": "Ada"}\n{"reference": "a\\u0000b", "name": "Bo"}\n'
    first, second = read_rows(tmp_path, lines, "c.jsonl")
    assert (first.reference, second.reference) == ("a", None)
    assert second.draft is None or second.draft.reference != "a"
