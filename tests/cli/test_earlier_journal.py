"""Journals of version 0.1.0, and journals in a read-only folder, with each command that reads a journal."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from bulk.customers import EARLIER_FORMAT, write_csv
from cli.conftest import Terminal

from wonder_customers.cli.exit_codes import FAILED

LATER = ("empty", "removed", "give_up_after", "database")
"""The settings of a run that 0.1.0 did not record."""


@pytest.mark.parametrize("words", ["status", "ids", "verify", "forget c-1", "retry-failed", "resume"])
def test_command_accepts_a_journal_of_0_1_0(words: str, terminal: Terminal) -> None:
    journal = terminal.sync("monri")
    with closing(sqlite3.connect(terminal.folder / journal)) as database, database:
        database.executescript(EARLIER_FORMAT)
        facts = orjson.loads(database.execute("SELECT facts FROM runs").fetchone()[0])
        earlier = {name: value for name, value in facts.items() if name not in LATER}
        database.execute("UPDATE runs SET facts = ?", [orjson.dumps(earlier).decode()])
    name, *more = words.split()
    assert "Traceback" not in terminal.ends(0, name, journal, *more)


def test_commands_that_write_nothing_read_a_journal_in_a_read_only_folder(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data := terminal.folder / "data").mkdir()
    write_csv(data / "c.csv", 3)
    terminal.ends(0, "sync", "data/c.csv", "--to", "monri")
    journal, before = "data/c.csv.monri.journal", sorted(data.iterdir())
    data.chmod(0o500)
    usual = os.access
    # The user root can write to every folder.
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (mode & os.W_OK and data in Path(path, "x").parents) and usual(path, mode)
    )
    try:
        for words in (
            ("status", journal),
            ("ids", journal),
            ("verify", journal),
            ("plan", "data/c.csv", "--to", "monri"),
        ):
            code, _, err = terminal.run(*words)
            assert (code, err) == (0, "")
        assert sorted(data.iterdir()) == before
        text = (
            "could not be written: attempt to write a readonly database. Nothing was sent. The journal and its folder"
        )
        assert text in terminal.ends(FAILED, "verify", journal, "--renewed-credentials")
    finally:
        data.chmod(0o700)
