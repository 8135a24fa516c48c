"""Dead letters: what is in them, and what never is."""

from pathlib import Path

import orjson

from wonder_customers.bulk import Outcome
from wonder_customers.bulk.dead_letters import DeadLetters
from wonder_customers.records import Address, CardSource, CustomerDraft, Phone

PERSON = CustomerDraft(
    "c-1",
    "Ada Lovelace",
    phone=Phone("+44", "2071838750"),
    address=Address(city="London"),
    payment_source=CardSource("4111111111111111", "12", "2030", cvv="123"),
)
FAILED = Outcome(3, "c-1", "failed", reason="line 4: refused", code="InvalidRequestError 400", draft=PERSON)


def lines(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_dead_letters_contain_values_on_request_and_no_cards(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    with DeadLetters(path) as letters:
        letters.add(FAILED)
    assert lines(path)[0].keys().isdisjoint({"values"})
    assert "Ada" not in path.read_text()
    with DeadLetters(path, values=True) as letters:
        letters.add(FAILED)
        letters.add(Outcome(4, None, "invalid", reason="line 5: is not JSON"))
    assert lines(path)[0]["values"] == {
        "reference": "c-1",
        "name": "Ada Lovelace",
        "phone": {"dial_code": "+44", "number": "2071838750"},
        "address": {"city": "London"},
    }
    assert "4111" not in path.read_text()
    assert "values" not in lines(path)[1]


def test_new_run_replaces_dead_letters_and_resumed_run_appends(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"row": 1, "reason": "old", "status": "failed"}\nhalf a li')
    with DeadLetters(path, append=True) as letters:
        letters.add(Outcome(1, "c-0", "failed", replayed=True))
        letters.add(FAILED)
        letters.add(Outcome(9, "c-9", "created"))
    assert letters.count == 2
    first, half, last = path.read_text().splitlines()
    assert (orjson.loads(first)["row"], half, orjson.loads(last)["row"]) == (1, "half a li", 3)
    with DeadLetters(path):
        pass
    assert not path.exists()
