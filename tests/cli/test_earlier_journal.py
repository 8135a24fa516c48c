"""A journal of version 0.1.0 can be used by each command that reads a journal."""

import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from bulk.customers import EARLIER_FORMAT, write_csv
from cli.conftest import Command

LATER = ("empty", "removed", "give_up_after", "database")
"""The settings of a run that 0.1.0 did not record."""


@pytest.mark.parametrize(
    "words", [("status",), ("ids",), ("verify",), ("forget", "c-1"), ("retry-failed",), ("resume",)], ids="-".join
)
def test_command_accepts_a_journal_of_0_1_0(words: tuple[str, ...], at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 3)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == 0
    journal = folder / "c.csv.monri.journal"
    with closing(sqlite3.connect(journal)) as database, database:
        database.executescript(EARLIER_FORMAT)
        facts = orjson.loads(database.execute("SELECT facts FROM runs").fetchone()[0])
        earlier = {name: value for name, value in facts.items() if name not in LATER}
        database.execute("UPDATE runs SET facts = ?", [orjson.dumps(earlier).decode()])
    code, out, err = at_simulator(words[0], journal.name, *words[1:])
    assert (code, "Traceback" in err) == (0, False), out + err
