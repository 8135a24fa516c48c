"""Untrusted input of every entry point gives a result or an error of the library.

For long, coverage-guided fuzzing see ``python tests/security/fuzz.py --runs 4700000``.
"""

import json
import random
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mock_gateway import ACCOUNTS
from security import entry_points
from strategies import JSON

from wonder_customers import ConfigurationError
from wonder_customers.bulk.journal import Journal
from wonder_customers.dialects import responses

ROOT = Path(__file__).parents[2]
GOLDEN = sorted((ROOT / "wonder_customers" / "dialects").glob("*/golden/*response*.json"))
MANY = 25 if settings.get_current_profile_name() == "plain" else 2500

DISTINCT = list(dict.fromkeys(entry_points.ENTRY_POINTS))


@pytest.mark.parametrize("entry_point", DISTINCT, ids=lambda it: it.__name__)
@settings(max_examples=MANY)
@given(data=st.binary(max_size=2000))
@example(data=b"")
def test_entry_point_accepts_any_bytes(entry_point: Any, data: bytes) -> None:
    entry_point(data)


KEYS = [
    "code", "error_code", "message", "data", "customer", "customers", "payment_token", "payment_tokens", "success",
    "uuid", "name", "dial_code", "phone", "default_payment_token", "token", "default", "credit_card", "state",
    "status", "error", "error_summary", "details", "messages", "path", "resource", "count", "_id", "default_source",
    "payment_sources", "meta", "archived", "created_at", "id", "metadata", "deleted", "merchant_customer_id",
    "masked_pan", "access_token", "expires_in", "keep_until", "customer_uuid", "errors",
]  # fmt: skip
ENVELOPES = st.recursive(
    JSON
    | st.sampled_from(["approved", "200", 200, "2024-02-30T00:00:00Z", "9999-12-31T23:59:59-14:00", "active", 2**63]),
    lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize("account_context", range(4))
@given(
    operation=st.integers(0, len(entry_points.OPERATIONS) - 1),
    status=st.sampled_from(entry_points.STATUSES),
    body=ENVELOPES,
)
def test_operations_accept_any_json_with_the_gateways_keys(
    account_context: int, operation: int, status: int, body: Any
) -> None:
    entry_points.run_operation(
        entry_points.account_contexts()[account_context], operation, status, json.dumps(body).encode()
    )


@pytest.mark.parametrize("account_context", range(4))
@given(
    data=st.data(),
    operation=st.integers(0, len(entry_points.OPERATIONS) - 1),
    status=st.sampled_from(entry_points.STATUSES),
)
def test_operations_accept_documented_responses_with_changed_bytes(
    account_context: int, data: st.DataObject, operation: int, status: int
) -> None:
    body = bytearray(data.draw(st.sampled_from(GOLDEN)).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    entry_points.run_operation(entry_points.account_contexts()[account_context], operation, status, bytes(body))


@pytest.mark.parametrize("damages", [40, pytest.param(2000, marks=pytest.mark.long)])
def test_damaged_journal_raises_configuration_error(tmp_path: Path, damages: int) -> None:
    path, rng, results = tmp_path / "journal", random.Random(damages), Counter[str]()
    journal = Journal.open(path, gateway="monri", endpoint="https://gateway.example")
    journal.begin({"source": "customers.csv"})
    journal.end("finished", {"created": 1})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO rows (reference, number, run, state, attempts, at) VALUES ('r', 1, 1, 'done', 1, 0)"
        )
        connection.commit()
    content = path.read_bytes()
    for _ in range(damages):
        body = bytearray(content)
        for _ in range(rng.randrange(1, 40)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        for left in tmp_path.glob("journal-*"):
            left.unlink()
        path.write_bytes(body[: rng.choice([len(body), rng.randrange(len(body))])])
        try:
            journal = Journal.existing(path)
            journal.last_run(), journal.states(), journal.codes()
            with journal.reader() as lookup:
                lookup(["r"])
            results["read"] += 1
        except ConfigurationError as error:
            results[str(error)[-40:]] += 1
    assert len(results) > 2, "the damaged files must differ"


def test_fuzzing_detects_foreign_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(body: bytes, *, repair: bool) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(responses, "parse_json", breaks)
    for account_context in range(len(ACCOUNTS)):
        with pytest.raises(ZeroDivisionError):
            entry_points.fuzz_one(bytes([0, account_context, 2, 0]) + b"{}")


@pytest.mark.long
@pytest.mark.skipif(find_spec("atheris") is None, reason="the extra `fuzz` is not installed (atheris, on Linux only)")
def test_fuzz_script_runs_the_given_number_of_inputs(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tests/security/fuzz.py"), "--runs", "4000", "--findings", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    executed = re.search(r"stat::number_of_executed_units: ([0-9]+)", done.stderr)
    assert executed is not None
    assert int(executed[1]) >= 4000  # libFuzzer finishes the input that it is changing
    assert not list(tmp_path.iterdir())
