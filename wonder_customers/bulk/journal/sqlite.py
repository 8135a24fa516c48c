"""A journal in one SQLite file.

The file contains keyed digests of the rows, and neither request bodies nor card data.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import orjson
from attrs import define, field

from wonder_customers._core.arguments import check_account, checked_path
from wonder_customers._support import clock as system_clock
from wonder_customers.bulk.continuation import continuation
from wonder_customers.bulk.journal.database import (
    check_file,
    check_types,
    connect,
    connect_to_read,
    is_writable,
    parse_counts,
    reading,
    upgrade,
    writing,
)
from wonder_customers.bulk.journal.digest import VARIABLE, Digests, account_mark, key_mark, key_of
from wonder_customers.bulk.journal.entries import Change, Confirmed, Entry, RowJournal, Run
from wonder_customers.bulk.journal.file_lock import FileLock
from wonder_customers.bulk.journal.statements import ACCOUNT, CHANGES, CONFIRMED, ENTRY_TYPES, FIND, SCHEMA
from wonder_customers.bulk.journal.write_queue import WriteQueue
from wonder_customers.dialects.base import Account
from wonder_customers.errors import BulkError, ConfigurationError

__all__ = ["Journal", "Run"]

VERSION = 1
_RECORDED = "The results of all rows are in the journal, and only the end of the run is missing."


@define(eq=False)
class Journal(RowJournal):
    """A journal in one file. Create an instance with `Journal.open` or `Journal.existing`.

    The methods that read raise `ConfigurationError` if the file cannot be read.

    Attributes:
        path: The file.
        gateway: The gateway's name.
        endpoint: The gateway's base URL.
        digests: The digests with which rows are compared.
        clock: Returns Unix time in seconds.
        grace: Seconds for which workers of an earlier run may still send requests. Valid after `begin`.
    """

    path: Path
    gateway: str
    endpoint: str
    digests: Digests
    clock: Callable[[], float] = time
    grace: float = field(default=0.0, init=False)
    _began: float = field(default=0.0, init=False)
    writer: WriteQueue = field(init=False)
    run: int = field(default=0, init=False)
    _lock: FileLock = field(init=False)
    _mark: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.writer = WriteQueue(partial(connect, self.path), str(self.path))
        target = self.path.resolve()  # two links to a journal share its lock
        self._lock = FileLock(target.with_name(target.name + ".lock"))

    @classmethod
    def open(cls, path: str | Path, *, gateway: str, endpoint: str, clock: Callable[[], float] = time) -> "Journal":
        """Open the journal of a gateway; create it if it does not exist.

        Args:
            path: The file.
            gateway: The gateway's name.
            endpoint: The gateway's base URL; a journal is valid for one endpoint only.
            clock: Returns Unix time in seconds.

        Raises:
            ConfigurationError: The journal belongs to another gateway or endpoint, or the file or its key cannot be
                used.
        """
        where = checked_path(path)
        mine = {"version": str(VERSION), "gateway": gateway, "endpoint": endpoint}
        with reading(where):
            if where.is_dir():
                raise ConfigurationError(f"{path} is a folder. Give the path of a journal or of a new file.")
            check_file(where, may_be_new=True)
            digests = Digests(key_of(where))
            mark = key_mark(digests).hex()
            with closing(connect(where)) as connection:
                # Rolled back if the file is another database.
                connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA}" if is_writable(where) else "BEGIN")
                upgrade(connection, where, SCHEMA)
                if is_writable(where):
                    # A journal of an older version has no mark, and gets that of the key with which it is opened.
                    given = {**mine, "key": mark}.items()
                    connection.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", given)
                held = {"key": mark} | dict(connection.execute("SELECT name, value FROM about"))
                connection.execute("COMMIT")
        wrong = [name for name, value in mine.items() if held.get(name) != value]
        if wrong:
            raise ConfigurationError(
                f"{where} is the journal of {held.get('gateway')} at {held.get('endpoint')} (format"
                f" {held.get('version')}), not of {gateway} at {endpoint} (format {VERSION}). Check the gateway and"
                " its base URL, or use another file as the journal."
            )
        if held["key"] != mark:
            raise ConfigurationError(
                f"{where} was written with another key, so every row would appear changed and would be sent again. If"
                f" the key was a file, restore {where.name}.key and unset {VARIABLE}. If the key was in the"
                f" environment, set {VARIABLE}. If the key is lost, use another file as the journal."
            )
        return cls(where, gateway, endpoint, digests, clock)

    @classmethod
    def existing(cls, path: str | Path) -> "Journal":
        """Open an existing journal of any gateway.

        Raises:
            ConfigurationError: The file does not exist, or the file or its key cannot be used.
        """
        where = checked_path(path)
        with reading(where):
            if not where.exists():
                raise ConfigurationError(
                    f"the journal {where} does not exist. Check the path, or create a journal with `sync`."
                )
            check_file(where)
            with closing(connect(where)) as connection:
                connection.execute("BEGIN")  # rolled back, because `open` also upgrades the journal
                upgrade(connection, where, SCHEMA)
                about = dict(connection.execute("SELECT name, value FROM about"))
            gateway, endpoint = about["gateway"], about["endpoint"]
        return cls.open(where, gateway=gateway, endpoint=endpoint)

    @property
    def name(self) -> str:
        """The journal's path, for messages."""
        return str(self.path)

    # Runs

    def check(self, account: Account) -> None:
        """Check that the journal belongs to an account. The merchant is compared if both merchants are known.

        Raises:
            ConfigurationError: The journal belongs to another gateway, base URL or merchant.
        """
        self._check_place(account)
        self._check_mark(account_mark(account, self.digests))

    def confirm(self, account: Account) -> None:
        """Record that an account with other credentials, such as a renewed key, is the journal's account.

        Raises:
            ConfigurationError: The journal belongs to another gateway or base URL.
            BulkError: The journal cannot be written.
        """
        self._check_place(account)
        if mark := account_mark(account, self.digests):
            self._execute("INSERT OR REPLACE INTO about VALUES ('account', ?)", [mark])

    def admit(self, mark: str | None) -> None:
        """Check the digest of a merchant as `check` does, and record it."""
        self._check_mark(mark)
        if mark is not None:
            self._execute("INSERT OR REPLACE INTO about VALUES ('account', ?)", [mark])
            self._mark = mark

    def _check_place(self, account: Account) -> None:
        check_account(account)
        gateway, endpoint = account.dialect().gateway, account.base_url
        if (gateway, endpoint) != (self.gateway, self.endpoint):
            raise ConfigurationError(
                f"{self.path} is the journal of {self.gateway} at {self.endpoint}, not of {gateway} at {endpoint}."
                " Check the gateway and its base URL, or use another file as the journal."
            )

    def _check_mark(self, mark: str | None) -> None:
        # During a run, all workers must have the same account, also before the first row.
        for (held,) in self._query(ACCOUNT) if self._mark is None else [(self._mark,)]:
            if mark not in {held, None}:
                raise ConfigurationError(
                    f"{self.path} is the journal of another {self.gateway} account: its rows were sent with other"
                    " credentials. Use these credentials, or another file as the journal. If the credentials of the"
                    " same account were renewed, add --renewed-credentials once (in Python: `Journal.confirm`)."
                )

    def begin(
        self, facts: Mapping[str, Any], *, resume: bool = False, leased: float = 0.0, account: Account | None = None
    ) -> Run:
        """Acquire the journal for this process, start a run or continue the last run, and return the run.

        Args:
            facts: The settings for repeating the run.
            resume: Whether to continue the last run.
            leased: Seconds for which workers on other machines may send requests after this process was killed.
            account: The account of the run; None if only the workers have it.

        Raises:
            ConfigurationError: The journal belongs to another account.
            BulkError: Another run uses the journal, the journal cannot be written, or it has no run to resume.
        """
        self.hold()
        try:
            if account is not None:
                self._check_place(account)
                self.admit(account_mark(account, self.digests))
            return self._begin(facts, resume, leased)
        except BaseException:
            self.release()
            raise

    def _begin(self, facts: Mapping[str, Any], resume: bool, leased: float) -> Run:
        about = dict(self._query("SELECT name, value FROM about"))
        with reading(self.path):
            self.grace, self._began = float(about.get("leased", 0.0)), system_clock.monotonic()
        if leased:
            self._execute("INSERT OR REPLACE INTO about VALUES ('leased', ?)", [str(leased)])
        last = self.last_run()
        if resume and last is None:
            raise BulkError(f"{self.path} contains no run to resume. Start a run with `sync`.")
        continued = last.facts if last is not None and resume else facts
        self.writer.again = continuation(self.name, continued, gateway=self.gateway)
        if last is not None and resume:
            self.run = last.number
            self._execute("UPDATE runs SET ended = NULL, ending = NULL WHERE run = ?", [self.run])
            return last
        self.run = 1 if last is None else last.number + 1
        started = self.clock()
        self._execute(
            "INSERT INTO runs (run, started, facts) VALUES (?, ?, ?)", [self.run, started, _json(dict(facts))]
        )
        return Run(self.run, started, None, None, facts, {})

    def end(self, exit_status: str, counts: Mapping[str, int], *, leased: bool = False) -> None:
        """Record how the run ended, unless an earlier write failed, and release the journal.

        Args:
            exit_status: How the run ended.
            counts: Rows by status.
            leased: Whether workers on other machines may still send requests.

        Raises:
            BulkError: The end of the run could not be recorded.
        """
        try:
            if self.writer.failure is None:
                if not leased and system_clock.monotonic() - self._began >= self.grace:
                    self._execute("DELETE FROM about WHERE name = 'leased'", [], _RECORDED)
                self._execute(
                    "UPDATE runs SET ended = ?, ending = ?, counts = ? WHERE run = ?",
                    [self.clock(), exit_status, _json(dict(counts)), self.run],
                    _RECORDED,
                )
        finally:
            self.release()

    def hold(self) -> None:
        """Acquire the journal for this process, without starting a run, or raise `BulkError` if it is in use.

        Raises:
            ConfigurationError: The file is a hard link. Each name would have its own lock and its own SQLite log.
        """
        if self.path.exists() and self.path.stat().st_nlink > 1:
            raise ConfigurationError(
                f"the journal {self.path} has a second name (a hard link), and two jobs with different names would"
                " damage it. Replace one of the names by a copy of the file."
            )
        self._lock.take()

    def release(self) -> None:
        """Release the journal."""
        self.run, self._mark = 0, None
        self._lock.release()

    def last_run(self) -> Run | None:
        """Return the last run; None if the journal has no run."""
        rows = self._query("SELECT run, started, ended, ending, facts, counts FROM runs ORDER BY run DESC LIMIT 1")
        with reading(self.path):
            check_types(rows, (int, float, float, str, str, str))
            for number, started, ended, exit_status, facts, counts in rows:
                found = orjson.loads(facts)
                check_types([[found]], (dict,))
                return Run(number, started, ended, exit_status, found, parse_counts(counts))
        return None

    def states(self) -> dict[str, int]:
        """Return the number of references in each state."""
        return self._counts("SELECT state, count(*) FROM rows GROUP BY state ORDER BY state")

    def codes(self) -> dict[str, int]:
        """Return the number of references that are ``failed`` or ``unknown`` by code, the most frequent code first."""
        failed = "FROM rows WHERE state IN ('failed', 'unknown')"
        sql = f"SELECT coalesce(nullif(code, ''), '?'), count(*) {failed} GROUP BY 1 ORDER BY 2 DESC"
        return self._counts(sql)

    def _counts(self, sql: str) -> dict[str, int]:
        found = self._query(sql)
        with reading(self.path):
            check_types(found, (str, int))
        return dict(found)

    def ids(self) -> list[tuple[str, str | None, str, float]]:
        """Return the reference, the gateway's id, the state and the Unix time of each row, ordered by reference."""
        found = self._query("SELECT reference, id, state, at FROM rows ORDER BY reference")
        with reading(self.path):
            check_types(found, (str, str, str, float))
            for *_, at in found:
                datetime.fromtimestamp(at, UTC)  # raises an error for an impossible time
        return found

    # Rows

    async def merge(self, changes: Sequence[Change]) -> None:
        """Write changes in order, and wait until they are on disk, or raise `BulkError`."""
        if changes:
            begin = (self.run, self.clock())
            await self.writer.commit([(CHANGES[kind], (*begin, *values)) for kind, values in changes])

    def _post(self, kind: str, values: Sequence[Any]) -> None:
        self.writer.post((CHANGES[kind], (self.run, self.clock(), *values)))

    async def serve(self) -> None:
        """Write queued entries until `stop` is called. Raise `BulkError` at the end if an entry was not written."""
        await self.writer.serve()
        self.writer.check()

    def stop(self) -> None:
        """End `serve` after the last queued entry."""
        self.writer.stop()

    @contextmanager
    def reader(self) -> Iterator[Callable[[Sequence[str]], dict[str, Entry]]]:
        """Provide a function that finds the entries of references, for one thread at a time."""
        with closing(connect_to_read(self.path)) as connection:

            def find(references: Sequence[str]) -> dict[str, Entry]:
                with reading(self.path):
                    rows = connection.execute(FIND, [orjson.dumps(references).decode()]).fetchall()
                    check_types(rows, ENTRY_TYPES)
                    return {row[0]: Entry._make(row) for row in rows}

            yield find

    @contextmanager
    def confirmations(self) -> Iterator[Callable[[Mapping[str, bytes]], dict[str, Confirmed]]]:
        """Provide a function that finds confirmed rows by their reference and the digest of their raw values."""
        with closing(connect_to_read(self.path)) as connection:

            def find(digests: Mapping[str, bytes]) -> dict[str, Confirmed]:
                with reading(self.path):
                    rows = connection.execute(CONFIRMED, [self.run, orjson.dumps([*digests]).decode()]).fetchall()
                    check_types(rows, (str, bytes, str, str))
                    return {it[0]: it for it in rows if it[1] == digests[it[0]]}

            yield find

    def _execute(self, sql: str, parameters: Sequence[object], effect: str = "Nothing was sent.") -> None:
        with writing(self.path, effect), closing(connect(self.path)) as connection:
            connection.execute(sql, parameters)

    def _query(self, sql: str) -> list[Any]:
        with reading(self.path), closing(connect(self.path)) as connection:
            return connection.execute(sql).fetchall()


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()
