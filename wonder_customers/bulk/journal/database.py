"""Connections to a journal's database."""

import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from glob import escape
from pathlib import Path
from types import NoneType
from typing import Any

import orjson

from wonder_customers.bulk.continuation import as_argument
from wonder_customers.bulk.private_files import check_trusted, make_private
from wonder_customers.errors import BulkError, ConfigurationError

__all__ = [
    "check_file",
    "check_types",
    "connect",
    "connect_to_read",
    "is_writable",
    "parse_counts",
    "reading",
    "upgrade",
    "writing",
]

_SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""The last bytes of a rollback journal that names another file (https://sqlite.org/fileformat.html#the_rollback_journal)."""

_UNUSABLE = " Check the permissions, and that no other program has locked the file."
_NOT_WRITABLE = (
    " The journal and its folder must be writable for a job, and also to read a journal of an older version or of a run"
    " that did not end. Check the permissions, or copy the journal, its -wal file and its .key file to another folder."
)
_ADVICE = {
    sqlite3.SQLITE_NOTADB: " Give the path of a journal, such as FILE.GATEWAY.journal, or of a new file.",
    sqlite3.SQLITE_CORRUPT: " The file is damaged. Restore the journal from a backup.",
    sqlite3.SQLITE_FULL: " Free space on the disk, then run the command again.",
    sqlite3.SQLITE_IOERR: " Check the disk, which may be full, then run the command again.",
    sqlite3.SQLITE_BUSY: _UNUSABLE,
    sqlite3.SQLITE_LOCKED: _UNUSABLE,
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _UNUSABLE,
    sqlite3.SQLITE_CANTOPEN: _NOT_WRITABLE,
}
"""What the user can do, by SQLite's primary error code."""
_CONNECTION: Any = {"isolation_level": None, "check_same_thread": False, "timeout": 10}
_OTHER = (
    "{} cannot be used as a journal: it is another database, or a journal of another version of"
    " wonder-customers. Choose another file."
)


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection to a journal's database. A missing file is created, and a file that is not writable is read."""
    check_trusted(path)
    _check_files_beside(path.resolve())
    if not is_writable(path):
        return _read_only(path)
    make_private(path)
    return _set_up(sqlite3.connect(path, **_CONNECTION), "journal_mode = WAL", "synchronous = FULL")


def _read_only(path: Path) -> sqlite3.Connection:
    """Open a connection that only reads a database."""
    target = path.resolve()
    logs = [target.with_name(target.name + suffix) for suffix in ("-wal", "-journal")]
    # Without a log, nothing can change the file if it is not writable. Otherwise, SQLite needs its files beside it.
    changing = is_writable(path) or any(log.exists() and log.stat().st_size for log in logs)
    location = f"{target.as_uri()}?{'mode=ro' if changing else 'immutable=1'}"
    return _set_up(sqlite3.connect(location, uri=True, **_CONNECTION))


def _set_up(connection: sqlite3.Connection, *settings: str) -> sqlite3.Connection:
    try:
        # The schema of an untrusted file must not call functions with effects outside of the database.
        for setting in ("trusted_schema = OFF", *settings):
            connection.execute(f"PRAGMA {setting}").close()
    except BaseException:
        connection.close()
        raise
    return connection


def is_writable(path: Path) -> bool:
    """Return whether a journal and its folder can be written. A missing file can be created."""
    target = path.resolve()
    return not target.exists() or (os.access(target, os.W_OK) and os.access(target.parent, os.W_OK | os.X_OK))


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a connection to a journal's database, or raise `ConfigurationError`."""
    with reading(path):
        return connect(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Convert errors in reading a journal into `ConfigurationError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be used as a journal: {error}.{_advice(error, path)}") from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be used as a journal: {error.strerror} ({error.filename or path}). Fix the cause, such"
            " as the permissions of the file or of its folder, or use another file as the journal."
        ) from None
    except (ValueError, KeyError, OverflowError) as error:  # invalid Unicode, invalid JSON, missing names
        reason = type(error).__name__
        raise ConfigurationError(
            f"the journal {path} is damaged ({reason}). Restore the journal from a backup."
        ) from None


@contextmanager
def writing(path: Path, effect: str) -> Iterator[None]:
    """Convert errors in writing a journal into `BulkError`."""
    if not path.exists():  # `connect` would create an empty file
        raise BulkError(f"the journal {path} was moved or deleted during the run. Restore it before the next run.")
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise BulkError(f"the journal {path} could not be written: {error}. {effect}{_advice(error)}") from None


def _advice(error: Exception, source: Path | None = None) -> str:
    # Errors of the module itself have no code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    found = [] if source is None else sorted(it.name for it in source.parent.glob(f"{escape(source.name)}.*.journal"))
    if code == sqlite3.SQLITE_NOTADB and source is not None and found:
        return f" Journals of {source.name}: {', '.join(found)}."
    return _ADVICE.get(code, "")


def check_file(path: Path, *, may_be_new: bool = False) -> None:
    """Raise `ConfigurationError` if an existing file cannot be used as a journal."""
    if not path.exists():
        return
    check_trusted(path)
    _check_files_beside(path.resolve())
    with closing(_read_only(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables and not may_be_new:
        raise ConfigurationError(f"{path} cannot be used as a journal: it is empty. Give the path of a journal.")
    if tables and not {"about", "rows"} <= tables:
        raise ConfigurationError(_OTHER.format(path))


def upgrade(connection: sqlite3.Connection, path: Path, schema: str) -> None:
    """Upgrade the tables of an older version. Raise `ConfigurationError` if the result differs from `schema`."""
    if "fields" not in {row[1] for row in connection.execute("PRAGMA table_info(rows)")}:
        # A journal of 0.1.0. The schema has a line break at the position where SQLite adds this column.
        connection.execute("ALTER TABLE rows ADD COLUMN fields TEXT")
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(schema)
        if _objects(ours) != _objects(connection):
            raise ConfigurationError(_OTHER.format(path))


def check_types(rows: Sequence[Sequence[object]], types: Sequence[type]) -> None:
    """Raise `ValueError` if a value has neither the type of its column nor is None."""
    # SQLite stores any value in any column.
    columns = zip(*rows, strict=True)
    if any(set(map(type, values)) - {kind, NoneType} for values, kind in zip(columns, types, strict=False)):
        raise ValueError("a value has an unexpected type")


def parse_counts(text: str | None) -> dict[str, int]:
    """Parse the counts that a run recorded when it ended. Raise `ValueError` if they are invalid."""
    found = orjson.loads(text or "{}")
    if not isinstance(found, dict) or not all(isinstance(count, int) for count in found.values()):
        raise ValueError("a value has an unexpected type")
    return found


def _objects(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    found = connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema").fetchall()
    return {(*names, " ".join(str(sql).split())) for *names, sql in found}


def _check_files_beside(path: Path) -> None:
    """Check and protect the files that SQLite uses together with a database."""
    for suffix in ("-wal", "-shm", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.is_symlink():
            raise ConfigurationError(
                f"{beside} is a symbolic link, but SQLite creates a regular file. Remove the link."
            )
        check_trusted(beside)
        try:
            if stat.S_IMODE(beside.stat().st_mode) & 0o077:
                beside.chmod(0o600)
            if suffix == "-journal" and _names_other_file(beside):
                raise ConfigurationError(
                    f"{beside} contains the name of another file, which SQLite could delete. This library does not"
                    f" write such names. If you trust {path.name}, run: rm {as_argument(beside)}"
                )
        except FileNotFoundError:  # also if another process has just closed the database
            continue


def _names_other_file(beside: Path) -> bool:
    with beside.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_SUPER_JOURNAL)))
        return file.read() == _SUPER_JOURNAL
