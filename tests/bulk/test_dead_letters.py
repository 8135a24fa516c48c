"""Dead letters: their contents with and without values, and the entries of earlier runs that are kept."""

import time
import tracemalloc
from base64 import b64decode
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from wonder_customers.bulk import Outcome
from wonder_customers.bulk.dead_letters import DeadLetters, check_dead_letters
from wonder_customers.bulk.sources import read
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import Address, CardSource, CustomerDraft, Phone

PERSON = CustomerDraft(
    "c-1",
    "Ada Lovelace",
    phone=Phone("+44", "2071838750"),
    address=Address(city="London"),
    payment_source=CardSource("4111111111111111", "12", "2030", cvv="123"),
)
FAILED = Outcome(3, "c-1", "failed", reason="line 4: refused", code="InvalidRequestError 400", draft=PERSON)


def invalid(number: int, reference: str | None) -> Outcome:
    return Outcome(number, reference, "invalid", reason=f"line {number + 1}: invalid")


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def run(
    path: Path, *outcomes: Outcome, complete: bool = True, whole: bool = False, find: Any = None, **options: Any
) -> DeadLetters:
    """Write the outcomes of one run."""
    with DeadLetters(path, **options) as letters:
        for outcome in outcomes:
            letters.add(outcome)
    letters.settle(complete=complete, whole=whole, find=find)
    return letters


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a list of failed rows."""
    return tmp_path / "f.jsonl"


def rows(path: Path) -> list[tuple[str | None, int]]:
    return [(letter["reference"], letter["row"]) for letter in lines(path)] if path.exists() else []


def created(number: int, reference: str) -> Outcome:
    return Outcome(number, reference, "created")


def test_dead_letters_contain_values_on_request_and_no_cards(path: Path) -> None:
    run(path, FAILED)
    assert "values" not in lines(path)[0]
    assert "Ada" not in path.read_text()
    run(path, FAILED, Outcome(4, None, "invalid", reason="line 5: is not JSON"), values=True)
    assert lines(path)[0]["values"] == {
        "reference": "c-1",
        "name": "Ada Lovelace",
        "phone": {"dial_code": "+44", "number": "2071838750"},
        "address": {"city": "London"},
    }
    assert "4111" not in path.read_text()
    assert "values" not in lines(path)[1]


def test_resumed_run_keeps_entries_and_an_incomplete_line(path: Path) -> None:
    path.write_text('{"row": 1, "reference": "c-0", "reason": "old", "status": "failed"}\nhalf a li')
    letters = run(path, Outcome(1, "c-0", "failed", replayed=True), FAILED, created(9, "c-9"))
    assert (letters.count, letters.earlier) == (2, 0)
    first, half, last = path.read_text().splitlines()
    assert (orjson.loads(first)["reason"], half, orjson.loads(last)["row"]) == ("old", "half a li", 3)


def test_entries_stay_until_their_rows_arrive(path: Path) -> None:
    run(path, FAILED, invalid(4, "c-4"), invalid(5, None), Outcome(6, "c-1", "duplicate", reason="of row 3"))
    first = rows(path)
    assert first == [("c-1", 3), ("c-4", 4), (None, 5), ("c-1", 6)]
    letters = run(path, complete=False)  # stopped before the first row
    assert (rows(path), letters.earlier) == (first, 4)
    run(path, created(3, "c-1"), complete=False)  # `retry-failed` reads neither invalid rows nor duplicates
    assert rows(path) == first[1:]
    letters = run(path, created(4, "c-4"), invalid(5, None), Outcome(3, "c-1", "unchanged"))
    assert (rows(path), letters.count, letters.earlier) == ([(None, 5)], 1, 0)
    letters = run(path, created(5, "c-5"))  # the source may be another one: the entry has no reference
    assert (rows(path), letters.earlier) == ([(None, 5)], 1)


@pytest.mark.parametrize(
    ("complete", "whole", "outcome", "kept"),
    [
        (True, True, created(5, "c-5"), []),
        (True, False, created(5, "c-5"), [("c-1", 3), (None, 6)]),
        (False, True, created(5, "c-5"), [("c-1", 3), (None, 6)]),
        (True, True, invalid(7, "c-7"), [("c-1", 3), (None, 6), ("c-7", 7)]),
    ],
    ids=["the whole source", "possibly a part", "stopped", "a row failed"],
)
def test_entries_go_when_all_rows_of_the_whole_source_arrived(
    complete: bool, whole: bool, outcome: Outcome, kept: list[tuple[str | None, int]], path: Path
) -> None:
    run(path, FAILED, invalid(6, None), source="a.csv")
    run(path, FAILED, source="b.csv")
    run(path, outcome, complete=complete, whole=whole, source="a.csv")
    assert sorted(rows(path), key=str) == sorted([*kept, ("c-1", 3)], key=str)


def test_newer_entry_replaces_an_earlier_one_of_the_same_reference(path: Path) -> None:
    run(path, invalid(4, "c-4"), invalid(7, "c-7"))
    run(path, invalid(6, "c-4"), complete=False)
    assert rows(path) == [("c-4", 4), ("c-7", 7), ("c-4", 6)]  # row 4 may be one that the run did not reach
    run(path, invalid(6, "c-4"), Outcome(7, "c-7", "updated"))
    assert rows(path) == [("c-4", 6)]
    run(path, Outcome(6, "c-4", "updated"))
    assert not path.exists()


def test_several_rows_of_one_reference_are_kept_apart(path: Path) -> None:
    run(path, *(invalid(number, "c-4") for number in (4, 5, 6, 5)))
    assert rows(path) == [("c-4", 4), ("c-4", 5), ("c-4", 6), ("c-4", 5)]
    replayed = [Outcome(number, "c-4", "failed", replayed=True) for number in (5, 6, 7)]
    run(path, *replayed, invalid(4, "c-4"), invalid(8, "c-4"), complete=False)
    assert rows(path) == [("c-4", 5), ("c-4", 6), ("c-4", 5), ("c-4", 7), ("c-4", 4), ("c-4", 8)]


def test_failed_row_needs_little_memory(tmp_path: Path) -> None:
    count = 20_000
    references = [f"c-{number}" for number in range(count)]
    with DeadLetters(tmp_path / "f.jsonl") as letters:
        letters.add(invalid(0, "first"))
        tracemalloc.start()
        try:
            for number, reference in enumerate(references, 1000):
                letters.add(invalid(number, reference))
            needed = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert needed < 160 * count


def test_entries_of_another_source_or_gateway_stay(path: Path) -> None:
    run(path, FAILED, source="a.csv", gateway="monri sandbox")
    for source, gateway in (("a.csv", "paydock sandbox"), ("a.csv", "monri production"), ("b.csv", "monri sandbox")):
        letters = run(path, created(3, "c-1"), source=source, gateway=gateway)
        assert (rows(path), letters.earlier) == ([("c-1", 3)], 0)
    run(path, created(3, "c-1"), source="a.csv", gateway="monri sandbox")
    assert not path.exists()


def test_entries_of_another_journal_stay_when_all_rows_of_the_source_arrived(path: Path) -> None:
    for journal, reference in (("j", "c-1"), ("another", "c-2")):
        run(path, Outcome(3, reference, "invalid", reason="refused"), source="a.csv", journal=journal)
    letters = run(path, created(1, "c-3"), whole=True, source="a.csv", journal="j")
    assert (rows(path), letters.earlier) == ([("c-2", 3)], 1)


@pytest.mark.parametrize("state", ["done", "failed"])
@pytest.mark.parametrize("late", [False, True])
def test_row_without_an_outcome_arrived_if_the_journal_says_so(path: Path, state: str, late: bool) -> None:
    run(path, FAILED, invalid(5, "c-5"))
    entry = SimpleNamespace(state=state, at=time.time() + (60 if late else -60))
    run(path, find=lambda references: dict.fromkeys(references, entry))
    assert rows(path) == ([("c-5", 5)] if late and state == "done" else [("c-1", 3), ("c-5", 5)])


def test_lines_of_another_job_are_not_lost(path: Path) -> None:
    def find(_: object) -> dict[str, Any]:
        with path.open("a") as other:
            other.write('{"row": 8, "status": "failed", "reason": "of the other job"}\n')
        return {}

    run(path, FAILED)
    run(path, created(3, "c-1"), find=find)
    assert [letter["row"] for letter in lines(path)] == [3, 8]
    assert [it.name for it in path.parent.iterdir()] == ["f.jsonl"]


@pytest.mark.parametrize("content", ["reference,name\n", '{"reference": "c-1"}\n', "[]\n"])
def test_file_with_another_content_is_refused(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="is not a list of failed rows"):
        check_dead_letters(path)
    path.write_text("")
    check_dead_letters(path)


UNREADABLE = {
    "a quote without an end": ("c.csv", b'reference,name\nc-1,"Ada\nLovelace\r\n', b'c-1,"Ada\nLovelace\r\n'),
    "too many cells": ("c.csv", b"reference,name\nc-0,Eve\nc-1,Ada,x\nc-2,Eve\n", b"c-1,Ada,x\n"),
    "a part of a row": ("c.csv", b"reference,name,email\nc-1,Ada\nLovelace,a@b.org\n", b"c-1,Ada\n"),
    "a phone with two numbers": ("c.csv", b"reference,phone\nc-1,+38591234567 / 8\r\n", b"c-1,+38591234567 / 8\r\n"),
    "bytes in another encoding": (
        "c.csv",
        b"reference,name\n" + "c-0,čć\n".encode() * 50 + b"c-1,\xe8\n",
        b"c-1,\xe8\n",
    ),
    "a line that is not JSON": ("c.jsonl", b'{"reference": "c-1", }\n', b'{"reference": "c-1", }\n'),
    "an object without a reference": ("c.json", b'[{"name": "Ada"}]', b'{"name": "Ada"}'),
}


def original(letter: dict[str, Any]) -> bytes | None:
    if "original_base64" in letter:
        return b64decode(letter["original_base64"])
    return letter["original"].encode() if "original" in letter else None


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_row_is_kept_byte_for_byte(tmp_path: Path, case: str) -> None:
    name, content, expected = UNREADABLE[case]
    (tmp_path / name).write_bytes(content)
    found = [row for row in read(tmp_path / name) if row.draft is None or row.draft.reference is None]
    outcomes = [Outcome(row.number, None, "invalid", reason=row.problem, original=row.original) for row in found]
    run(tmp_path / "f", *outcomes)
    assert b"Ada" not in (tmp_path / "f").read_bytes()
    run(tmp_path / "f", *outcomes, values=True)
    assert original(lines(tmp_path / "f")[0]) == expected
    (tmp_path / "f").rename(tmp_path / "f.jsonl")
    problem = next(iter(read(tmp_path / "f.jsonl"))).problem
    assert problem is not None
    assert problem.endswith("because the row could not be read. Run `sync` with the corrected source")


CARD = b"4111 1111 1111 1111"
WITH_CARDS = {
    "a card number in a line that is not JSON": ("c.jsonl", b'{"note": "' + CARD + b'", }\n'),
    "a security code in a line that is not JSON": ("c.jsonl", b'{"card_cvc" : "917", }\n'),
    "a card column in a line that is not JSON": ("c.jsonl", b'{"card_number" : "4111 11", }\n'),
    "a column of cards": ("c.csv", b"reference,payment_source.number,name\nc-1,4111 11,Ada,x\n"),
    "a card number in a row with too many cells": ("c.csv", b"reference,name\nc-1,Ada," + CARD + b"\n"),
}


@pytest.mark.parametrize("case", WITH_CARDS)
def test_unreadable_row_with_card_data_is_not_kept(tmp_path: Path, case: str) -> None:
    name, content = WITH_CARDS[case]
    (tmp_path / name).write_bytes(content)
    mapping = {"payment_source.number": "payment_source.number"} if b"payment_source" in content else None
    (row,) = read(tmp_path / name, mapping=mapping)
    assert row.problem is not None
    outcome = Outcome(row.number, None, "invalid", reason=row.problem, original=row.original)
    run(tmp_path / "f", outcome, values=True)
    assert original(lines(tmp_path / "f")[0]) is None
