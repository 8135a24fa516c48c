"""The journal: durability, key and lock; failures leave no database open, although a reference to the error exists."""

import gc
import hmac
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import pytest
from bulk.customers import write_csv

from wonder_customers import BulkError, ConfigurationError
from wonder_customers.bulk import Journal, Options, Source
from wonder_customers.bulk.distributed.distributed_job import PartitionedSource
from wonder_customers.bulk.journal.database import reading
from wonder_customers.bulk.journal.digest import VARIABLE, Digests, key_of
from wonder_customers.bulk.journal.entries import Announcement
from wonder_customers.bulk.journal.removals import Removals


def opened(folder: Path) -> Journal:
    return Journal.open(folder / "j", gateway="monri", endpoint="https://example.com/", clock=lambda: 1000.0)


@contextmanager
def database(folder: Path, name: str = "j") -> Iterator[sqlite3.Connection]:
    """Open the journal's database as another process, and commit."""
    with closing(sqlite3.connect(folder / name)) as connection, connection:
        yield connection


@asynccontextmanager
async def writing(journal: Journal) -> AsyncIterator[None]:
    """Write the journal's entries while the block runs."""
    async with anyio.create_task_group() as group:
        group.start_soon(journal.serve)
        yield
        journal.stop()


def announcement(number: int, raw: bytes | None = b"raw") -> Announcement:
    return f"c-{number}", number, raw, b"payload", "{}"


def rows_on_disk(folder: Path) -> int:
    """Count the rows that another process can read."""
    with database(folder) as connection:
        count: int = connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    return count


@pytest.mark.anyio
async def test_announced_rows_are_on_the_disk(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin({})
    async with writing(journal):
        for number in range(5):
            await journal.announce([announcement(number)])
            assert rows_on_disk(tmp_path) == number + 1
        journal.done(announcement(0), result="created", id="x", attempts=1, late=False)
        journal.ended("c-1", "unknown", 2, "OutcomeUnknownError")
    assert journal.states() == {"done": 1, "sending": 3, "unknown": 1}
    with journal.confirmations() as find_confirmed:
        digests = {"c-0": b"raw", "c-1": b"raw", "missing": b"raw"}
        assert find_confirmed(digests) == {"c-0": ("c-0", b"raw", "x", "created")}
        journal.end("finished", {"created": 1})
        assert find_confirmed(digests) == {"c-0": ("c-0", b"raw", "x", None)}
        assert find_confirmed({"c-0": b"other"}) == {}
    with journal.reader() as find:
        found = find(["c-0", "c-1", "missing"])
    done = found["c-0"]
    assert (done.state, done.id, done.result, done.at) == ("done", "x", "created", 1000.0)
    assert (found["c-1"].code, found["c-1"].attempts) == ("OutcomeUnknownError", 2)
    assert "missing" not in found


@pytest.mark.anyio
async def test_cancellation_does_not_lose_journal_entries(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin({})
    async with anyio.create_task_group() as outer:
        outer.start_soon(journal.writer.serve)
        with anyio.CancelScope() as scope:
            for number in range(300):
                journal.writer.post(("INSERT INTO about VALUES (?, 'x')", [str(number)]))
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        outer.cancel_scope.cancel()
        journal.writer.stop()
    with database(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM about WHERE value = 'x'").fetchone() == (300,)
    assert threading.active_count() < 50
    journal.release()


@pytest.mark.anyio
async def test_journal_uses_no_thread_of_the_default_limiter(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin({})
    async with writing(journal):
        await journal.announce([announcement(1)])
        assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    journal.release()


@pytest.mark.anyio
async def test_rows_without_a_waiting_task_are_committed_in_order_with_the_next_announcement(tmp_path: Path) -> None:
    journal, statements = opened(tmp_path), list[str]()
    connect = journal.writer.connect

    def traced() -> sqlite3.Connection:
        connection = connect()
        connection.set_trace_callback(statements.append)
        return connection

    journal.writer.connect = traced
    journal.begin({})
    rows = [announcement(number) for number in range(40)]
    async with writing(journal):
        await journal.announce(rows[:20])
        for row in rows[:20]:
            journal.done(row, result="created", id="x", attempts=1, late=False)
        journal.ended("c-0", "done", 1, "late attempt")
        await journal.announce(rows[:1] + rows[20:])
    journal.end("finished", {})
    assert statements.count("COMMIT") < 5
    assert journal.states() == {"done": 19, "sending": 21}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("facts", "command"),
    [
        ({}, "run: the same program with the same journal"),
        ({"source": "c.csv"}, "run: wonder-customers resume"),
        ({"temporary": True}, "run: the same command"),
    ],
)
async def test_failed_journal_write_fails_all_later_writes(facts: dict[str, Any], command: str, tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin(facts)
    async with anyio.create_task_group() as group:
        group.start_soon(journal.writer.serve)
        journal.writer.post(("INSERT INTO nowhere VALUES (1)", []))
        for number in range(2):
            with pytest.raises(BulkError, match=command):
                await journal.announce([announcement(number, None)])
        journal.writer.stop()
    journal.end("journal", {})
    assert rows_on_disk(tmp_path) == 0


def test_journal_is_released_if_the_end_of_the_run_cannot_be_recorded(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.begin({})
    with database(tmp_path) as connection:
        connection.execute("DROP TABLE runs")
    with pytest.raises(BulkError, match="only the end of the run is missing"):
        journal.end("finished", {})
    journal.hold()
    journal.release()


def test_journal_is_released_if_the_run_cannot_be_recorded(tmp_path: Path) -> None:
    journal, full = opened(tmp_path), "SELECT RAISE(ABORT, 'the disk is full')"
    with database(tmp_path) as connection:
        connection.execute(f"CREATE TRIGGER full BEFORE INSERT ON runs BEGIN {full}; END")
    with pytest.raises(BulkError, match="the disk is full"):
        journal.begin({})
    with database(tmp_path) as connection:
        connection.execute("DROP TRIGGER full")
    assert journal.begin({}).number == 1
    journal.end("finished", {})


@pytest.mark.parametrize("key", [b"k" * 32, b"k" * 100])
def test_digest_of_a_body_is_hmac_sha256(key: bytes) -> None:
    expected = hmac.digest(key, b'{"a":1,"b":2}', "sha256")[:16]
    digests, other = Digests(key), Digests(b"b" * 32)
    assert [it.payload({"b": 2, "a": 1}) for it in (digests, digests, Digests(key))] == [expected] * 3
    assert digests.payload({"a": 1, "b": 2}) == expected != other.payload({"a": 1, "b": 2})
    assert digests.row(b"x") == Digests(key).row(b"x") != other.row(b"x")
    assert len(digests.row(b"x")) == len(digests.payload({})) == 16
    assert "kkkk" not in repr(digests)


def test_key_is_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(ConfigurationError, match="at least 16"):
        opened(tmp_path)
    monkeypatch.setenv(VARIABLE, "long enough to be a key")
    assert opened(tmp_path).digests.key == opened(tmp_path).digests.key
    assert not (tmp_path / "j.key").exists()


def test_key_in_the_environment_is_random_or_derived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "ab" * 32)
    assert key_of(tmp_path / "j") == bytes([0xAB]) * 32
    monkeypatch.setenv(VARIABLE, "correct horse battery staple")
    derived = key_of(tmp_path / "j")
    assert len(derived) == 32
    assert derived == key_of(tmp_path / "other")
    assert derived not in {b"correct horse battery staple", sha256(b"correct horse battery staple").digest()}


@pytest.mark.parametrize("content", ["", "zz", "z" * 64, "ž" * 64], ids=["empty", "short", "not hex", "not ASCII"])
def test_broken_key_is_reported(content: str, tmp_path: Path) -> None:
    (tmp_path / "j.key").write_text(content)
    with pytest.raises(ConfigurationError, match="does not contain a key"):
        opened(tmp_path)


def test_damaged_journal_is_reported_with_the_advice_to_restore_it(tmp_path: Path) -> None:
    opened(tmp_path)
    with (tmp_path / "j").open("r+b") as file:
        file.seek(100)
        file.write(b"damaged" * 100)
    with pytest.raises(
        ConfigurationError, match=r"malformed\. The file is damaged\. Restore the journal from a backup\.$"
    ):
        Journal.existing(tmp_path / "j")


@pytest.mark.parametrize("counts", ['{"created": "x"}', "5"])
def test_damaged_values_of_a_journal_are_reported(tmp_path: Path, counts: str) -> None:
    journal = opened(tmp_path)
    journal.begin({})
    journal.end("finished", {})
    with database(tmp_path) as connection:
        connection.execute("UPDATE runs SET counts = ?", [counts])
        connection.execute("INSERT INTO about VALUES ('leased', 'x')")
    damaged = r"j is damaged \(ValueError\)\. Restore the journal from a backup\.$"
    for call in (Removals(journal).rows_before, lambda: journal.begin({})):
        with pytest.raises(ConfigurationError, match=damaged):
            call()


OPENINGS: list[Callable[[Path], object]] = [opened, lambda folder: Journal.existing(folder / "j")]


def test_database_of_another_program_is_refused_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "k" * 32)
    path = tmp_path / "j"
    with database(tmp_path) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    path.chmod(0o644)
    before = path.read_bytes()
    for open_it in OPENINGS:
        with pytest.raises(ConfigurationError, match="it is another database"):
            open_it(tmp_path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, 0o644)
    with database(tmp_path) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("invoices",)]


@pytest.mark.parametrize(("content", "reason"), [(b"", "it is empty"), (b"reference,name\n" * 99, "not a database")])
def test_file_that_is_not_a_journal_is_refused_unchanged(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(content)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match=reason):
        Journal.existing(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (content, 0o644)


def test_journal_with_another_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(tmp_path).digests.key == opened(tmp_path).digests.key
    key = (tmp_path / "j.key").read_text()
    (tmp_path / "j.key").write_text("ab" * 32)
    for open_again in OPENINGS:
        with pytest.raises(ConfigurationError, match=r"another key.* restore j\.key") as caught:
            open_again(tmp_path)
        assert key not in str(caught.value)
    (tmp_path / "j.key").write_text(key)
    assert opened(tmp_path).digests.key.hex() == key
    monkeypatch.setenv(VARIABLE, "long enough to be a key")
    with pytest.raises(ConfigurationError, match=VARIABLE):
        opened(tmp_path)


def test_journal_without_key_mark_uses_the_first_key(tmp_path: Path) -> None:
    opened(tmp_path)._execute("DELETE FROM about WHERE name = 'key'", [])
    (tmp_path / "j.key").write_text("ab" * 32)
    opened(tmp_path)
    (tmp_path / "j.key").write_text("cd" * 32)
    with pytest.raises(ConfigurationError, match="another key"):
        opened(tmp_path)


def test_links_to_a_journal_share_its_lock_and_key(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "j")
    linked = Journal.open(tmp_path / "link", gateway="monri", endpoint="https://example.com/")
    assert linked.digests.key == journal.digests.key
    journal.begin({})
    with pytest.raises(BulkError, match="another run is using this journal"):
        linked.begin({})
    journal.release()


def test_journal_with_a_hard_link_is_only_read(tmp_path: Path) -> None:
    """SQLite keeps its log beside the name with which a file is opened: two names would damage the file."""
    journal = opened(tmp_path)
    (tmp_path / "second").hardlink_to(tmp_path / "j")
    assert Journal.existing(tmp_path / "j").last_run() is None
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="second name"):
            journal.begin({})
    (tmp_path / "second").unlink()
    journal.begin({})
    journal.release()


def test_full_disk_is_named_as_the_cause_of_an_input_error(tmp_path: Path) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR | (4 << 8)
    with pytest.raises(ConfigurationError, match="Check the disk, which may be full"), reading(tmp_path / "j"):
        raise error


def test_key_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power failure must not leave a journal with an empty key: its unconfirmed rows would be lost."""
    calls: list[str] = []

    def recorded(name: str) -> Callable[..., Any]:
        original = getattr(os, name)

        def call(*arguments: Any) -> Any:
            calls.append(name)
            return original(*arguments)

        return call

    for name in ("fsync", "link"):
        monkeypatch.setattr(os, name, recorded(name))
    opened(tmp_path)
    assert calls == ["fsync", "link", "fsync"]
    assert len((tmp_path / "j.key").read_text()) == 64


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
    with pytest.raises(ConfigurationError, match="cannot be used as a journal") as caught:
        Journal.existing(tmp_path / "j")
    assert open_databases() <= before
    assert caught.type is ConfigurationError  # a reference to the error exists


def test_failed_partitioning_closes_its_database(tmp_path: Path) -> None:
    source, journal = Source(str(write_csv(tmp_path / "c.csv", 3))), opened(tmp_path)
    journal.begin({})
    before = open_databases()
    with pytest.raises(BulkError, match="another run is using this journal") as caught:
        PartitionedSource.create(source, tmp_path / "j", Options(), size=1)
    assert open_databases() <= before
    assert caught.type is BulkError
    journal.release()
