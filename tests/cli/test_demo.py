"""The demo as a person runs it, and that its comparisons would notice."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

import anyio
import phonenumbers
import pytest
from attrs import evolve
from rich.console import Console

from wonder_customers import Address, Customer, Phone
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.demo.comparison import changed_fields
from wonder_customers.cli.demo.landing import Landing, land, left_out, write_csv
from wonder_customers.cli.demo.people import COLUMNS, Person, people
from wonder_customers.cli.demo.report import print_report

DEMO = [sys.executable, "-W", "error", "-m", "wonder_customers", "demo"]
GATEWAYS = ["monri", "paydock", "wonder"]
START = """
import os, signal, sys
for name in ("SIGHUP", "SIGINT", "SIGTERM"):
    signal.signal(signal.Signals[name], signal.SIG_IGN if name == sys.argv[1] else signal.SIG_DFL)
os.execv(sys.executable, sys.argv[2:])
"""
"""Starts a command that is deaf to one signal, whatever these tests themselves are deaf to."""


@pytest.fixture(scope="module")
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def shown(bare: dict[str, str], temporary_folder: Path) -> "CompletedProcess[str]":
    """The demo, run once, without a terminal and without a single variable of any gateway."""
    environment = bare | {"TMPDIR": str(temporary_folder)}
    return subprocess.run(DEMO, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_every_customer_lands_and_nothing_mismatches(shown: "CompletedProcess[str]") -> None:
    assert shown.stderr == ""
    assert shown.returncode == 0, shown.stdout
    rows = {line.split("  ")[0]: line.split()[-3:] for line in shown.stdout.splitlines() if line.count("  ")}
    assert rows["created"] == ["962", "963", "988*"]
    assert rows["updated"] == ["25", "25", "*"]
    assert rows["refused"] == ["13", "12", "12"]
    assert rows["read back"] == ["987", "988", "988"]
    assert rows["mismatches"] == ["0", "0", "0"]
    assert "0 mismatches in 2,963 customers" in shown.stdout


def test_each_broken_row_is_named_with_its_reason(shown: "CompletedProcess[str]") -> None:
    for number, person in enumerate(people(), 1):
        lines = re.findall(
            rf"^{number} +{re.escape(person.broken.what)}.*$" if person.broken else "^$a", shown.stdout, re.MULTILINE
        )
        assert len(lines) == (person.broken is not None)
        assert all(len(re.split(r"\s{2,}", line.strip())) == 4 for line in lines)
    assert "nobody refused it" not in shown.stdout


def test_a_pipe_gets_no_escape_codes(shown: "CompletedProcess[str]") -> None:
    assert "\x1b" not in shown.stdout
    assert "\r" not in shown.stdout


def test_it_ends_with_what_to_type_next(shown: "CompletedProcess[str]") -> None:
    assert [line.split("   ")[0].strip() for line in shown.stdout.splitlines()[-2:]] == [
        "wonder-customers sync FILE --to wonder --simulator",
        "wonder-customers simulator",
    ]


def test_nothing_is_left(shown: "CompletedProcess[str]", temporary_folder: Path) -> None:
    assert shown.returncode == 0
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "after", "code", "deaf_to"),
    [
        (signal.SIGINT, 0.0, 130, ""),
        (signal.SIGTERM, 2.5, 143, "SIGINT"),  # as a shell starts what it runs in the background
        (signal.SIGHUP, 0.5, 129, ""),
    ],
)
def test_an_interrupted_demo_ends_quietly_and_leaves_nothing(
    bare: dict[str, str], tmp_path: Path, how: signal.Signals, after: float, code: int, deaf_to: str
) -> None:
    environment = bare | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", START, deaf_to, *DEMO]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1,000 customers")
        while not list(tmp_path.glob("*/simulator.txt")):
            assert process.poll() is None
        time.sleep(after)
        process.send_signal(how)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, "")
    assert list(tmp_path.iterdir()) == []
    # The simulator was in the same process group, of which soon nobody may be left.
    until = time.monotonic() + 10
    while group_is_alive(process.pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# The customers


def test_the_same_people_come_every_time() -> None:
    assert people() == people()
    assert people(100, seed=1) != people(100, seed=2)


def test_people_write_in_many_scripts() -> None:
    text = "".join("".join(person.cells.values()) for person in people() if person.broken is None)
    scripts = Counter(unicodedata.name(letter, "").split()[0] for letter in text if letter.isalpha())
    wanted = {
        "LATIN",
        "CYRILLIC",
        "GREEK",
        "ARABIC",
        "HEBREW",
        "DEVANAGARI",
        "THAI",
        "CJK",
        "HANGUL",
        "HIRAGANA",
        "KATAKANA",
    }
    assert all(scripts[script] > 50 for script in wanted)
    assert {"é", "đ", "ß", "ł", "\N{LATIN SMALL LETTER DOTLESS I}", "Þ"} <= set(text)


def test_every_good_phone_is_valid_and_nobody_shares_one() -> None:
    phones = [person.cells["phone"] for person in people() if person.broken is None]
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(phone)) for phone in phones)
    assert len(set(phones)) == len(phones)


def test_a_gateway_gets_the_columns_that_it_has_fields_for(variables: dict[str, str]) -> None:
    missing = {name: left_out(account_from_environment(name, variables)) for name in GATEWAYS}
    addresses = tuple(column for column in COLUMNS if column.startswith("address."))
    assert missing == {
        "monri": ("company_name",),
        "paydock": addresses,
        "wonder": ("description", "metadata.plan", *addresses),
    }


# The comparisons


HELD = Customer(
    id="1",
    reference="HR-0001",
    name="Ana Horvat",
    email="ana@example.com",
    phone=Phone("+385", "912345678"),
    description="VIP",
    metadata={"plan": "pro"},
    address=Address(line1="Ilica 1", city="Zagreb", postcode="10000", country="HR"),
)
CELLS = {
    "reference": "HR-0001",
    "first_name": "Ana",
    "last_name": "Horvat",
    "email": "ana@example.com",
    "phone": "+385 91 234 5678",
    "description": "VIP",
    "metadata.plan": "pro",
    "address.line1": "Ilica 1",
    "address.city": "Zagreb",
    "address.postcode": "10000",
    "address.country": "HR",
}


def test_the_same_customer_is_like_its_row() -> None:
    assert changed_fields("monri", CELLS, HELD) == ()
    in_two = evolve(HELD, name=None, first_name="Ana", last_name="Horvat")
    assert changed_fields("paydock", CELLS, in_two) == ()
    whole = {name: text for name, text in CELLS.items() if name != "first_name"} | {
        "last_name": "",
        "name": "Ana Horvat",
    }
    assert changed_fields("paydock", whole, evolve(HELD, name=None, first_name="Ana Horvat")) == ()


@pytest.mark.parametrize("column", CELLS)
def test_every_column_is_compared(column: str) -> None:
    changed = CELLS | {column: CELLS[column] + "1"}
    expected = "name" if column in {"first_name", "last_name"} else column
    assert changed_fields("monri", changed, HELD) == (expected,)
    nothing = Customer(id="1", phone=None, address=None, metadata=None)
    assert set(changed_fields("monri", CELLS, nothing)) == set(CELLS) - {"first_name", "last_name"} | {"name"}


def test_a_mismatch_is_found_and_told(variables: dict[str, str], tmp_path: Path) -> None:
    persons = people(40)
    path = tmp_path / "customers.csv"
    write_csv(path, persons)
    good = [number for number, person in enumerate(persons) if person.broken is None]
    # The CSV says one thing and the demo believes another: that has to be noticed, as would be a change on the way.
    altered = list(persons)
    altered[good[0]] = evolve(persons[good[0]], cells={**persons[good[0]].cells, "email": "other@example.com"})
    broken = next(number for number, person in enumerate(persons) if person.broken is not None)
    altered[broken] = evolve(persons[broken], broken=None)
    account = account_from_environment("monri", variables)
    landing = anyio.run(partial(land, "monri", account, path, altered))
    assert landing.mismatches == {good[0] + 1: ("email",)}
    assert len(landing.surprises) == 1
    good_end, text = printed(landing, altered)
    assert not good_end
    assert f"row {good[0] + 1} differs in email" in text
    assert "1 mismatches" in text
    assert f"row {broken + 1} did not land" in text


def printed(landing: Landing, persons: Sequence[Person]) -> tuple[bool, str]:
    written = StringIO()
    good = print_report(Console(width=60, file=written), persons, [landing])
    return good, written.getvalue()
