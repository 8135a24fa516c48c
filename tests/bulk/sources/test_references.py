"""References of a file: their columns, and rows that repeat the reference of an invalid row."""

from pathlib import Path
from typing import Any

import pytest
from bulk.customers import AccountFactory, run_job
from bulk.sources.read_rows import open_rows, read_draft, read_rows

from wonder_customers.bulk import sources
from wonder_customers.bulk.rows import Row

INVALID = "a,+1 202 555 0123 x4\n"
VALID = "Ada,+385912345678\n"


async def statuses(account: Any, rows: Any) -> list[str]:
    _, outcomes = await run_job(account, rows)
    return [outcome.status for outcome in sorted(outcomes, key=lambda it: it.number)]


@pytest.mark.anyio
async def test_row_that_repeats_an_invalid_row_is_sent_once(account: AccountFactory, tmp_path: Path) -> None:
    lines = f"c-1,{INVALID}c-1,{INVALID}c-1,{VALID}c-1,{VALID}c-2,{VALID}c-1,{INVALID}"
    found = await statuses(account("monri"), open_rows(tmp_path, f"reference,name,phone\n{lines}"))
    assert found == ["invalid", "invalid", "created", "duplicate", "created", "duplicate"]


@pytest.mark.anyio
async def test_row_that_repeats_an_invalid_row_of_an_earlier_batch_is_sent(
    account: AccountFactory, tmp_path: Path
) -> None:
    sent = read_draft(tmp_path, f"reference,name,phone\nc-1,{VALID}")
    rows = [Row(number, problem="cannot be read", reference=f"c-{number}") for number in range(1, 61)]
    found = await statuses(account("monri"), [*rows, Row(61, sent), Row(62, sent)])
    assert found[60:] == ["created", "duplicate"]


def test_reference_with_a_nul_character_is_no_duplicate_of_its_start(tmp_path: Path) -> None:
    """SQLite ends a JSON string at a NUL character, so such a reference must not be looked up."""
    lines = '{"reference": "a", "name": "Ada"}\n{"reference": "a\\u0000b", "name": "Bo"}\n'
    first, second = read_rows(tmp_path, lines, "c.jsonl")
    assert (first.reference, second.reference) == ("a", None)
    assert second.draft is None or second.draft.reference != "a"


JOINED = sources.ColumnMapping(fields={"reference": {"join": ["shop", "id"], "separator": "-"}})


def test_joined_reference_needs_all_its_parts(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, "shop,id,name\nA,1,Ada\nA,,Bo\n,2,Cy\nNULL,3,Di\n", mapping=JOINED)
    assert [row.reference for row in rows] == ["A-1", None, None, None]
    assert [row.draft and row.draft.reference for row in rows] == ["A-1", None, None, None]
    rows = read_rows(tmp_path, '{"shop": "A", "id": 1}\n{"shop": "A"}\n', "c.jsonl", mapping=JOINED)
    assert [row.reference for row in rows] == ["A-1", None]
    assert rows[1].problem == "line 2: the row has no reference"


def test_reference_in_the_column_of_the_email_is_read_like_the_email(tmp_path: Path) -> None:
    data = "Mail,Name\nAda <ada@x.test>,Ada\nmailto:bo@x.test,Bo\ncy@x.test; di@x.test,Cy\neve@x.test,Eve\n"
    mapping: dict[str, Any] = {"columns": {"Mail": ["reference", "email"]}}
    rows = read_rows(tmp_path, data, mapping=sources.ColumnMapping(**mapping, several="first"))
    assert [row.reference for row in rows] == ["ada@x.test", "bo@x.test", "cy@x.test", "eve@x.test"]
    assert [row.draft and row.draft.reference for row in rows] == [row.reference for row in rows]
    rows = read_rows(tmp_path, data, mapping=sources.ColumnMapping(**mapping, transformations=[]))
    assert [row.reference for row in rows][:2] == ["Ada <ada@x.test>", "mailto:bo@x.test"]


PRESETS = {
    "Zendesk": ("ID,Name,Email,External ID,Role", ["5,Ada,a@x.test,,user", "6,Bo,b@x.test,5,user"], ["5", "6"]),
    "Square": (
        "Reference ID,First Name,Last Name,Square Customer ID",
        ["SQ2,Ada,L,SQ1", ",Bo,M,SQ2"],
        ["SQ1", "SQ2"],
    ),
    "WooCommerce": (
        "Username,Last active,Email,Orders,Total spend,AOV",
        ["ada,,a@x.test,1,1,1", ",,b@x.test,1,1,1"],
        ["a@x.test", "b@x.test"],
    ),
    "Xero": ("ContactName,AccountNumber,EmailAddress", ["Ada,Bo,a@x.test", "Bo,,b@x.test"], ["Bo", None]),
    "Intercom": ("Name,Email,User ID,Lead ID", ["Ada,a@x.test,7,8", "Bo,b@x.test,,7"], ["7", None]),
}


@pytest.mark.parametrize("program", PRESETS)
def test_reference_of_a_known_export_has_one_column(program: str, tmp_path: Path) -> None:
    names, lines, references = PRESETS[program]
    rows = read_rows(tmp_path, "\n".join([names, *lines]))
    assert [row.reference for row in rows] == [row.draft and row.draft.reference for row in rows] == references
