"""The journal in one SQLite file per source and gateway.

The file (WAL, synchronous FULL) holds references, keyed digests, states, the gateway's ids, attempts and codes; never a
payload, never anything of a card. ``sending`` is on the disk before the request goes out and ``done`` is written after
the answer, so a row that says ``sending`` when a process starts is one whose outcome only the gateway knows.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import orjson
from attrs import define, field, frozen

from wonder_customers.bulk.journal._lock import Lock
from wonder_customers.bulk.journal._writer import Writer
from wonder_customers.bulk.journal.digest import VARIABLE, Digests, key_mark, key_of
from wonder_customers.bulk.journal.entries import Entry, State
from wonder_customers.errors import BulkError, ConfigurationError

__all__ = ["Change", "Journal", "Run", "connect"]

Change = tuple[str, list[Any]]
"""One change of a row: ``sending``, ``done``, ``ended`` or ``same``, with what the method of that name takes."""

VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, ending TEXT, facts TEXT NOT NULL, counts TEXT
);
CREATE TABLE IF NOT EXISTS rows (
    reference TEXT PRIMARY KEY, number INTEGER NOT NULL, run INTEGER NOT NULL, state TEXT NOT NULL, result TEXT,
    raw BLOB, payload BLOB, id TEXT, attempts INTEGER NOT NULL, code TEXT, at REAL NOT NULL
) WITHOUT ROWID;
"""
_SENDING = """
INSERT INTO rows (reference, number, run, state, raw, payload, attempts, at) VALUES (?, ?, ?, 'sending', ?, ?, 0, ?)
ON CONFLICT (reference) DO UPDATE SET number = excluded.number, run = excluded.run, state = 'sending', result = NULL,
    raw = excluded.raw, payload = excluded.payload, attempts = 0, code = NULL, at = excluded.at
"""
_DONE = """
UPDATE rows SET state = 'done', result = ?, id = ?, attempts = ?, code = NULL, number = ?, run = ?, raw = ?,
    payload = ?, at = ? WHERE reference = ?
"""
_ENDED = "UPDATE rows SET state = ?, attempts = ?, code = ?, at = ? WHERE reference = ?"
_SEEN = "UPDATE rows SET raw = ? WHERE reference = ?"
_FIND = """
SELECT reference, number, run, state, result, raw, payload, id, attempts, code, at FROM rows
WHERE reference IN (SELECT value FROM json_each(?))
"""


@frozen
class Run:
    """One run over a source, resumed as often as need be.

    Attributes:
        number: Counts the runs of this journal.
        started: Unix time.
        ended: Unix time, None while it is unfinished.
        ending: How it ended: ``finished``, ``interrupted`` …; None when the process died.
        facts: How to do it again: source, mapping, query, options. No credential.
        counts: Rows by status, when it ended.
    """

    number: int
    started: float
    ended: float | None
    end_state: str | None
    facts: Mapping[str, Any]
    counts: Mapping[str, int]


@define(eq=False)
class Journal:
    """The journal in one file. Open it with `Journal.open` for a run, or with `Journal.existing` to look.

    Attributes:
        path: The file.
        gateway: The gateway's name.
        endpoint: Where the gateway listens.
        digests: Makes the digests it is compared by.
        clock: Unix time.
    """

    path: Path
    gateway: str
    endpoint: str
    digests: Digests
    clock: Callable[[], float] = time
    writer: Writer = field(init=False)
    run: int = field(default=0, init=False)
    _lock: Lock = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.writer = Writer(partial(connect, self.path), str(self.path))
        self._lock = Lock(self.path.with_name(self.path.name + ".lock"))

    @classmethod
    def open(cls, path: str | Path, *, gateway: str, endpoint: str, clock: Callable[[], float] = time) -> "Journal":
        """Open a journal for a gateway, and make it when there is none.

        Args:
            path: The file.
            gateway: The gateway's name.
            endpoint: Where the gateway listens; a journal vouches for one place only.
            clock: Unix time.

        Raises:
            ConfigurationError: The journal belongs to another gateway, its key is missing or another one, or it is no
                journal.
        """
        where = Path(path)
        if where.is_dir():
            raise ConfigurationError(f"{where} is a folder and no journal. Name a file with --journal.")
        mine = {"version": str(VERSION), "gateway": gateway, "endpoint": endpoint}
        with _reading(where):
            digests = Digests(key_of(where))
            mark = key_mark(digests).hex()
            with closing(connect(where)) as connection:
                connection.executescript(_SCHEMA)
                connection.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", mine.items())
                # A journal of before there were marks takes the key that it is opened with.
                connection.execute("INSERT OR IGNORE INTO about VALUES ('key', ?)", [mark])
                held = dict(connection.execute("SELECT name, value FROM about"))
        wrong = [name for name, value in mine.items() if held.get(name) != value]
        if wrong:
            raise ConfigurationError(
                f"{where} is the journal of {held.get('gateway')} at {held.get('endpoint')} (format"
                f" {held.get('version')}), not of {gateway} at {endpoint}: name another one with --journal"
            )
        if held["key"] != mark:
            raise ConfigurationError(
                f"{where} was written under another key, by which every row would look changed and be sent again."
                f" Nothing was sent. Restore {where.name}.key, or {VARIABLE} in the environment if the key was kept"
                " there (and unset it if not); without that key, name another journal with --journal."
            )
        return cls(where, gateway, endpoint, digests, clock)

    @classmethod
    def existing(cls, path: str | Path, *, clock: Callable[[], float] = time) -> "Journal":
        """Open a journal that is there, for whatever gateway it was made.

        Raises:
            ConfigurationError: There is none.
        """
        where = Path(path)
        if not where.exists():
            raise ConfigurationError(f"there is no journal {where}")
        about = facts_about(where)
        return cls.open(where, gateway=about["gateway"], endpoint=about["endpoint"], clock=clock)

    @property
    def name(self) -> str:
        """How a person names it when going on after an interruption."""
        return str(self.path)

    # Runs

    def check(self, gateway: str, endpoint: str) -> None:
        """Hold the journal against the place where a job sends its rows.

        Raises:
            ConfigurationError: It vouches for another one, whose customers this one does not know.
        """
        if (gateway, endpoint) != (self.gateway, self.endpoint):
            raise ConfigurationError(
                f"{self.path} is the journal of {self.gateway} at {self.endpoint}, not of {gateway} at {endpoint}: open"
                " another one. Nothing was sent."
            )

    def begin(self, facts: Mapping[str, Any], *, resume: bool = False) -> Run:
        """Take the journal for this process, and begin a run or go on with the last one.

        Raises:
            BulkError: Another process uses it, or there is nothing to resume.
        """
        self.hold()
        last = self.last_run()
        if resume:
            if last is None:
                raise BulkError(f"{self.path} holds no run to resume. Start one with `sync`.")
            self.run = last.number
            self._execute("UPDATE runs SET ended = NULL, ending = NULL WHERE run = ?", [self.run])
            return last
        self.run = 1 if last is None else last.number + 1
        started = self.clock()
        self._execute(
            "INSERT INTO runs (run, started, facts) VALUES (?, ?, ?)", [self.run, started, _json(dict(facts))]
        )
        return Run(self.run, started, None, None, facts, {})

    def end(self, end_state: str, counts: Mapping[str, int]) -> None:
        """Write how the run ended, and let go of the journal."""
        if self.writer.failure is None:
            self._execute(
                "UPDATE runs SET ended = ?, ending = ?, counts = ? WHERE run = ?",
                [self.clock(), end_state, _json(dict(counts)), self.run],
            )
        self.release()

    def hold(self) -> None:
        """Take the journal for this process, without beginning a run.

        Raises:
            BulkError: Another process uses it.
        """
        self._lock.take()

    def release(self) -> None:
        """Let go of the journal."""
        self._lock.release()

    def last_run(self) -> Run | None:
        """The latest run, None when there was none."""
        rows = self._query("SELECT run, started, ended, ending, facts, counts FROM runs ORDER BY run DESC LIMIT 1")
        with _reading(self.path):
            for run, started, ended, end_state, facts, counts in rows:
                return Run(run, started, ended, end_state, orjson.loads(facts), orjson.loads(counts or "{}"))
        return None

    def states(self) -> dict[str, int]:
        """How many references are in each state."""
        return dict(self._query("SELECT state, count(*) FROM rows GROUP BY state ORDER BY state"))

    def codes(self) -> dict[str, int]:
        """How many references failed for each reason."""
        sql = "SELECT code, count(*) FROM rows WHERE state IN ('failed', 'unknown') GROUP BY code ORDER BY 2 DESC"
        return {code or "?": count for code, count in self._query(sql)}

    # Rows

    async def sending(self, reference: str, number: int, raw: bytes | None, payload: bytes) -> None:
        """Write that a request is about to go out; returns when that is on the disk.

        Raises:
            BulkError: It could not be written, so the request must not go out.
        """
        await self.writer.commit(*self._statement("sending", [reference, number, raw, payload]))

    def done(
        self, reference: str, number: int, raw: bytes | None, payload: bytes, *, result: str, id: str, attempts: int
    ) -> None:
        """Write that the gateway holds the row."""
        self.writer.post(*self._statement("done", [reference, number, raw, payload, result, id, attempts]))

    def ended(self, reference: str, state: State, attempts: int, code: str | None) -> None:
        """Write how a row ended that the gateway did not take for certain."""
        self.writer.post(*self._statement("ended", [reference, state, attempts, code]))

    def same(self, reference: str, raw: bytes) -> None:
        """Write that other raw values make the same payload, so that the next run sees it at a glance."""
        self.writer.post(*self._statement("same", [reference, raw]))

    async def merge(self, changes: Sequence[Change]) -> None:
        """Write what another process tells of its rows, in that order; returns when it is on the disk.

        Raises:
            BulkError: It could not be written.
        """
        statements = [self._statement(*change) for change in changes]
        for statement in statements[:-1]:
            self.writer.post(*statement)
        for statement in statements[-1:]:
            await self.writer.commit(*statement)

    def _statement(self, kind: str, values: list[Any]) -> tuple[str, list[Any]]:
        now = self.clock()
        if kind == "sending":
            reference, number, raw, payload = values
            return _SENDING, [reference, number, self.run, raw, payload, now]
        if kind == "done":
            reference, number, raw, payload, result, held, attempts = values
            return _DONE, [result, held, attempts, number, self.run, raw, payload, now, reference]
        if kind == "ended":
            reference, *how = values
            return _ENDED, [*how, now, reference]
        return _SEEN, values[::-1]

    async def serve(self) -> None:
        """Write what is handed over, until `stop` and everything before it."""
        await self.writer.serve()

    def stop(self) -> None:
        """Let `serve` end after the last row."""
        self.writer.stop()

    @contextmanager
    def reader(self) -> Iterator[Callable[[Sequence[str]], dict[str, Entry]]]:
        """A function that finds the entries of many references at once, usable in one thread at a time."""
        with closing(connect(self.path)) as connection:

            def find(references: Sequence[str]) -> dict[str, Entry]:
                with _reading(self.path):
                    rows = connection.execute(_FIND, [orjson.dumps(references).decode()])
                    return {row[0]: Entry._make(row) for row in rows}

            yield find

    def _execute(self, sql: str, parameters: Sequence[object]) -> None:
        with _writing(self.path), closing(connect(self.path)) as connection:
            connection.execute(sql, parameters)

    def _query(self, sql: str) -> list[Any]:
        with _reading(self.path), closing(connect(self.path)) as connection:
            return connection.execute(sql).fetchall()


def facts_about(path: Path) -> dict[str, str]:
    """What a journal says about itself: ``gateway``, ``endpoint``, ``version``.

    Raises:
        ConfigurationError: It is no journal.
    """
    with _reading(path), closing(connect(path)) as connection:
        found = dict(connection.execute("SELECT name, value FROM about"))
        return {name: found[name] for name in ("gateway", "endpoint", "version")}


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a journal: what it commits has survived a power cut."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode = WAL").close()
        connection.execute("PRAGMA synchronous = FULL").close()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be used as a journal: {error}. Name another with --journal.") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be used as a journal: {error.strerror}. Name another with --journal."
        ) from None
    except (ValueError, KeyError) as error:  # texts that are no Unicode, facts that are no JSON, names that are gone
        reason = type(error).__name__
        raise ConfigurationError(f"the journal {path} is damaged ({reason}): restore it from a copy.") from None


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BulkError(f"the journal {path} could not be written: {error}. Nothing was sent.") from None


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
