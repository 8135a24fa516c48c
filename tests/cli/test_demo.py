"""The command ``demo``, its customers and its comparisons."""

import multiprocessing
import multiprocessing.spawn
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import anyio
import phonenumbers
import pytest
from attrs import evolve
from cli.conftest import COMMAND
from rich.console import Console

from wonder_customers import Address, ConfigurationError, Customer, Phone
from wonder_customers.cli import demo as package
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.demo.gateway_run import (
    GatewayResult,
    changed_fields,
    run_gateway,
    unsupported_columns,
    write_csv,
)
from wonder_customers.cli.demo.people import COLUMNS, Person, people
from wonder_customers.cli.demo.report import print_report
from wonder_customers.cli.exit_codes import SUCCESS

DEMO = [*COMMAND, "demo"]
ROWS = 60
GATEWAYS = ["monri", "paydock", "wonder"]
START = """
import os, signal, sys
for name in ("SIGHUP", "SIGINT", "SIGTERM"):
    signal.signal(signal.Signals[name], signal.SIG_IGN if name == sys.argv[1] else signal.SIG_DFL)
os.execv(sys.executable, sys.argv[2:])
"""
"""Runs a command that ignores one signal and no other, whichever signals the tests ignore."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of the demo with `ROWS` customers, without a terminal, in a folder that it has to leave empty."""
    folder, output = tmp_path_factory.mktemp("temporary"), StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(output):
        patched.setattr(package, "CUSTOMERS", ROWS)
        patched.setattr(tempfile, "tempdir", str(folder))
        patched.setenv("COLUMNS", "200")
        assert package.demo() == SUCCESS, output.getvalue()
    assert list(folder.iterdir()) == []
    return output.getvalue()


def measures(shown: str) -> dict[str, list[str]]:
    """Return the figures of each gateway from the output of the demo, by their names."""
    return {line.split("  ")[0]: line.split()[-3:] for line in shown.splitlines() if line.count("  ")}


def test_demo_sends_customers_without_mismatches(shown: str) -> None:
    refused = [sum(it.defect is not None and it.defect.is_refused_by(name) for it in people(ROWS)) for name in GATEWAYS]
    accepted, rows = [ROWS - count for count in refused], measures(shown)
    assert rows["created"] == [str(accepted[0] - 25), str(accepted[1] - 25), f"{accepted[2]}*"]
    assert rows["updated"] == ["25", "25", "*"]
    assert rows["refused"] == [str(count) for count in refused]
    assert rows["read back"] == [str(count) for count in accepted]
    assert rows["mismatches"] == ["0", "0", "0"]
    assert f"0 mismatches in {sum(accepted):,} customers" in shown
    assert shown.index("* created or updated") < shown.index("columns not sent")  # directly below the table


def test_demo_lists_each_defect_with_its_reason(shown: str) -> None:
    for number, person in enumerate(people(ROWS), 1):
        defect = re.escape(person.defect.description) if person.defect else "$a"
        lines = re.findall(rf"^{number} +{defect}.*$", shown, re.MULTILINE)
        assert len(lines) == (person.defect is not None)
        assert all(len(re.split(r"\s{2,}", line.strip())) == 4 for line in lines)
    assert " accepted" not in shown


def test_pipe_gets_no_escape_codes(shown: str) -> None:
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_demo_ends_with_the_next_commands(shown: str) -> None:
    assert [line.split("   ")[0].strip() for line in shown.splitlines()[-2:]] == [
        "wonder-customers sync FILE --to wonder --simulator",
        "wonder-customers simulator",
    ]


@pytest.mark.parametrize(
    ("sent", "after", "code", "ignored"),
    [
        (signal.SIGINT, 0.0, 130, ""),
        pytest.param(signal.SIGTERM, 2.5, 143, "SIGINT", marks=pytest.mark.long),  # as shells start background jobs
        pytest.param(signal.SIGHUP, 0.5, 129, "", marks=pytest.mark.long),
    ],
)
def test_interrupted_demo_leaves_no_files(
    bare: dict[str, str], tmp_path: Path, sent: signal.Signals, after: float, code: int, ignored: str
) -> None:
    environment = bare | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    # Without -W error: Python warns about the file of a module whose import is interrupted.
    command = [sys.executable, "-c", START, ignored, sys.executable, "-m", "wonder_customers", "demo"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("The CSV file has 1,000 customers")
        time.sleep(after)
        process.send_signal(sent)
        _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (code, "")
    assert list(tmp_path.iterdir()) == []
    # The simulator is in the same process group, which must be empty soon.
    until = time.monotonic() + 120
    while group_is_alive(process.pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_simulator_ignores_ctrl_c_from_its_start() -> None:
    def interrupt() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        assert children[0].pid is not None
        os.kill(children[0].pid, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with package._running_simulator(None) as variables:
        assert variables
    thread.join()


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


# The customers


@pytest.fixture(scope="module")
def everyone() -> tuple[Person, ...]:
    """The customers of the whole demo, whose phone numbers take a second to compute."""
    return people()


def test_people_are_reproducible() -> None:
    assert people(100) == people(100)
    assert people(100, seed=1) != people(100, seed=2)


def test_people_cover_many_scripts(everyone: tuple[Person, ...]) -> None:
    text = "".join("".join(person.cells.values()) for person in everyone if person.defect is None)
    scripts = Counter(unicodedata.name(letter, "").split()[0] for letter in text if letter.isalpha())
    wanted = "LATIN CYRILLIC GREEK ARABIC HEBREW DEVANAGARI THAI CJK HANGUL HIRAGANA KATAKANA"
    assert all(scripts[script] > 50 for script in wanted.split())
    assert {"é", "đ", "ß", "ł", "\N{LATIN SMALL LETTER DOTLESS I}", "Þ"} <= set(text)


def test_valid_phones_are_unique(everyone: tuple[Person, ...]) -> None:
    phones = [person.cells["phone"] for person in everyone if person.defect is None]
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(phone)) for phone in phones)
    assert len(set(phones)) == len(phones)


def test_unsupported_columns_per_gateway(variables: dict[str, str]) -> None:
    missing = {name: unsupported_columns(account_from_environment(name, variables)) for name in GATEWAYS}
    addresses = tuple(column for column in COLUMNS if column.startswith("address."))
    assert missing == {
        "monri": ("company_name",),
        "paydock": addresses,
        "wonder": ("description", "metadata.plan", *addresses),
    }


# The comparisons


ACTUAL = Customer(
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


def test_equal_customer_has_no_changed_fields() -> None:
    assert changed_fields("monri", CELLS, ACTUAL) == ()
    in_two = evolve(ACTUAL, name=None, first_name="Ana", last_name="Horvat")
    assert changed_fields("paydock", CELLS, in_two) == ()
    whole = {name: text for name, text in CELLS.items() if name != "first_name"} | {
        "last_name": "",
        "name": "Ana Horvat",
    }
    assert changed_fields("paydock", whole, evolve(ACTUAL, name=None, first_name="Ana Horvat")) == ()


@pytest.mark.parametrize("column", CELLS)
def test_every_column_is_compared(column: str) -> None:
    changed = CELLS | {column: CELLS[column] + "1"}
    expected = "name" if column in {"first_name", "last_name"} else column
    assert changed_fields("monri", changed, ACTUAL) == (expected,)
    nothing = Customer(id="1", phone=None, address=None, metadata=None)
    assert set(changed_fields("monri", CELLS, nothing)) == set(CELLS) - {"first_name", "last_name"} | {"name"}


def test_mismatch_is_reported(variables: dict[str, str], tmp_path: Path) -> None:
    persons = people(40)
    path = tmp_path / "customers.csv"
    write_csv(path, persons)
    good = [number for number, person in enumerate(persons) if person.defect is None]
    # The expected people differ from the CSV file; the demo must report the difference.
    altered = list(persons)
    altered[good[0]] = evolve(persons[good[0]], cells={**persons[good[0]].cells, "email": "other@example.com"})
    broken = next(number for number, person in enumerate(persons) if person.defect is not None)
    altered[broken] = evolve(persons[broken], defect=None)
    account = account_from_environment("monri", variables)
    result = anyio.run(partial(run_gateway, "monri", account, path, altered))
    assert result.mismatches == {good[0] + 1: ("email",)}
    assert len(result.unexpected) == 1
    good_end, text = printed(result, altered)
    assert not good_end
    assert f"row {good[0] + 1} differs in email" in text
    assert "1 mismatches" in text
    assert f"row {broken + 1} failed" in text


def printed(result: GatewayResult, persons: Sequence[Person]) -> tuple[bool, str]:
    written = StringIO()
    good = print_report(Console(width=60, file=written), persons, [result])
    return good, written.getvalue()


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--quirks", "all")], ids=["documented", "quirks"])
def test_whole_demo_has_no_mismatches(bare: dict[str, str], options: tuple[str, ...]) -> None:
    done = subprocess.run([*DEMO, *options], env=bare, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "0 mismatches in 2,963 customers" in done.stdout


def test_simulator_that_ends_before_its_start_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nsleep 0.2\n")
    program.chmod(0o700)
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(program))
    with pytest.raises(ConfigurationError, match="the process of the simulator ended before"):
        package.demo()
