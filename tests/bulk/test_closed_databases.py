"""Failures leave no database open, although a reference to the error exists."""

import gc
import sqlite3
from pathlib import Path

import pytest
from bulk.customers import write_csv

from wonder_customers import BulkError, ConfigurationError
from wonder_customers.bulk import Journal, Options, Source
from wonder_customers.bulk.distributed.distributed_job import PartitionedSource


def open_databases() -> set[int]:
    found = set()
    for it in gc.get_objects():
        if isinstance(it, sqlite3.Connection):
            try:
                it.total_changes  # noqa: B018 - raises when it is closed
            except sqlite3.ProgrammingError:
                continue
            found.add(id(it))
    return found


def test_file_that_is_not_a_journal_is_closed(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("reference,name\n" * 1000)
    before = open_databases()
    with pytest.raises(ConfigurationError) as caught:
        Journal.existing(tmp_path / "j")
    assert open_databases() <= before
    assert "cannot be used as a journal" in str(caught.value)


def test_failed_partitioning_closes_its_database(tmp_path: Path) -> None:
    source = Source(str(write_csv(tmp_path / "c.csv", 3)))
    journal = Journal.open(tmp_path / "j", gateway="monri", endpoint="https://example.com/")
    journal.begin({})
    before = open_databases()
    with pytest.raises(BulkError) as caught:
        PartitionedSource.create(source, tmp_path / "j", Options(), size=1)
    assert open_databases() <= before
    assert "another run is using this journal" in str(caught.value)
    journal.release()
