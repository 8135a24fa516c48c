"""Queries over databases, through SQLAlchemy."""

import os
import re
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Columns, Reading
from wonder_customers.bulk.sources.running import ended_by_signal
from wonder_customers.bulk.sources.values import typed_rows
from wonder_customers.errors import ConfigurationError, needed

__all__ = ["check_database", "database_file", "database_rows"]

_BATCH = 1000
_EXPLAINED = frozenset({"sqlite", "postgresql"})
"""The databases that read rows while they execute a query, so that the query is first checked without rows."""
_SELECT = re.compile(r"(?:\s|\(|--[^\n]*\n|(?>/\*.*?\*/))*+(?:SELECT|WITH|VALUES|TABLE)\b", re.DOTALL | re.IGNORECASE)
"""The beginning of a statement that returns rows and changes nothing, except after WITH."""
_READ_ONLY = {
    "mariadb": "START TRANSACTION READ ONLY",
    "mysql": "START TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
    "postgresql": "SET TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}
"""The statements after which a database refuses changes."""
_REFUSED = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})
_PASSWORD_OPTION = re.compile(r"(?:^|[&;])\s*(?:ssl)?(?:password|passwd|pwd)\s*=", re.IGNORECASE)
"""A password in the options of a URL, also in the connection string of ODBC."""
PASSWORD = "WONDER_CUSTOMERS_DATABASE_PASSWORD"  # noqa: S105 - the name of a variable


def check_database(given: str) -> None:
    """Raise `ConfigurationError` if the URL of a database contains a password or cannot be used."""
    url = _url(given)
    options = unquote_plus(given.partition("?")[2])
    if "://" in given and (url.password is not None or _PASSWORD_OPTION.search(options)):
        raise ConfigurationError(
            "the URL of the database contains a password, which other users of this machine can read. Nothing was"
            " read. Put the URL into an environment variable and pass the variable's name, or put the password into"
            f" the environment variable {PASSWORD} or into ~/.pgpass."
        )


def database_file(given: str) -> Path | None:
    """Return the file of a database such as SQLite; None for a database on a server."""
    url = _url(given)
    name = (url.database or "").removeprefix("file:").partition("?")[0]
    return Path(name) if name and url.host is None and Path(name).is_file() else None


def database_rows(database: str, query: str, reading: Reading) -> Generator[Row, None, int]:
    """Yield the rows of a query, and return the number of the last row.

    Raise `ConfigurationError` if the database or its columns cannot be used, or the query fails.
    """
    several = ";" in query.rstrip().removesuffix(";")
    if several or not _SELECT.match(query):
        # A semicolon in a string is refused too, because databases differ in where a string ends.
        hint = " In a string, replace the semicolon with a function of the database, such as CHR(59)."
        raise ConfigurationError(
            "the query must be exactly one SELECT statement, with a semicolon only at its end, so it was not executed."
            f" Change the query.{hint if several else ''}"
        )
    with _result(database, query) as result:
        if not result.returns_rows:
            raise ConfigurationError("the query does not return rows. Use a SELECT statement.")
        columns = Columns.match(list(result.keys()), reading)
        return (yield from typed_rows(result, columns, 0, "", 0))


@contextmanager
def _result(database: str, query: str) -> Iterator[Any]:
    """Provide the result of a query."""
    url, password = _url(database), os.environ.get(PASSWORD)
    if password and url.password is None:
        url = url.set(password=password)
    import sqlalchemy  # noqa: PLC0415 - optional dependency
    from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError, SQLAlchemyError  # noqa: PLC0415 - optional

    try:
        engine = sqlalchemy.create_engine(_existing(url) if url.get_backend_name() == "sqlite" else url)
    except (ImportError, SQLAlchemyError, TypeError, ValueError) as error:  # the last two: an option of the URL
        raise ConfigurationError(
            f"the database cannot be used: {error}. Nothing was read. Check the URL, and that the driver of the"
            " database is installed."
        ) from None
    # The errors whose messages cannot quote values of rows.
    shown: tuple[type[Exception], ...] = (OperationalError, ProgrammingError)
    driver: Any = None
    try:
        # Without a driver, the connection is being opened.
        with ended_by_signal(lambda: _end(driver, engine.dialect.loaded_dbapi.Error)), engine.connect() as connection:
            if engine.dialect.name in _READ_ONLY:
                _execute(connection, _READ_ONLY[engine.dialect.name]).close()
            driver = connection.connection.driver_connection
            if engine.dialect.name == "sqlite":
                driver.set_authorizer(_authorized)
                shown = (DatabaseError,)  # nothing is executed yet
            if engine.dialect.name in _EXPLAINED:
                _execute(connection, f"EXPLAIN {query}").close()
                shown = ()
            else:
                shown = (ProgrammingError,)
            result = _execute(connection.execution_options(stream_results=True, yield_per=_BATCH), query)
            shown = ()
            yield result
    except (SQLAlchemyError, UnicodeError) as error:
        raise ConfigurationError(f"the query failed: {_reason(error, shown)}") from None
    finally:
        engine.dispose()


def _end(driver: Any, error: type[Exception]) -> None:
    """End a query, if the driver can do this in another thread. Otherwise the query ends with its connection."""
    with suppress(error):
        if hasattr(driver, "interrupt"):  # sqlite3
            driver.interrupt()
        elif hasattr(driver, "cancel_safe"):  # psycopg
            driver.cancel_safe(timeout=1)


def _existing(url: Any) -> Any:
    """Return the URL of an SQLite database with which a missing file is not created."""
    from sqlalchemy.util import asbool  # noqa: PLC0415 - optional dependency

    asbool(url.query.get("uri"))  # raises ValueError
    if not url.database or url.database == ":memory:":
        return url
    file = url.database if url.database.startswith("file:") else f"file:{quote(str(Path(url.database).absolute()))}"
    return url.set(database=file, query={"mode": "rw", **url.query, "uri": "true"})


def _authorized(action: int, name: str | None, value: str | None, *_: str | None) -> int:
    """Return whether SQLite may compile a part of a statement."""
    if action == sqlite3.SQLITE_PRAGMA:
        allowed = (name, value) == ("data_version", None)  # of tables for full-text search
    else:
        # A table-valued function such as `json_each` declares its columns in `sqlite_master`, without writing there.
        allowed = action not in _REFUSED or name == "sqlite_master"
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _execute(connection: Any, query: str) -> Any:
    import sqlalchemy  # noqa: PLC0415 - optional dependency

    # Without parameters, so that a colon in the query is not read as a parameter.
    if "%" not in query:
        return connection.exec_driver_sql(query)
    return connection.execute(sqlalchemy.text(query.replace(":", "\\:")))


def _reason(error: Exception, shown: tuple[type[Exception], ...]) -> str:
    """Return why a query failed, and what to do."""
    original = getattr(error, "orig", None) or error
    if isinstance(error, shown):
        text = str(original).partition("\n")[0][:300]
        return f"{text}. Check the database, and that the query is one SELECT statement that changes nothing."
    name = " ".join([type(original).__name__, *(str(it) for it in original.args if type(it) is int)])
    return (
        f"the database reported {name}. Its message is not shown, because it may contain values of rows. Run the query"
        " in another program to see the message, and correct the query or the value."
    )


def _url(given: str) -> Any:
    """Return the parsed URL of a database."""
    with needed("sql", "sqlalchemy", by="reading databases"):
        from sqlalchemy.engine import make_url  # noqa: PLC0415 - optional dependency
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - optional dependency
    text = given if "://" in given else os.environ.get(given, "")
    if not text:
        shown = repr(given) if given.isidentifier() else "the database"  # other text may contain a password
        raise ConfigurationError(
            f"{shown} is neither a URL nor the name of an environment variable that contains the URL of a database."
            " Set the variable, or give a URL such as postgresql://user@host/name."
        )
    try:
        url = make_url(text)
    except (SQLAlchemyError, ValueError):  # ValueError: the port is not a number
        raise ConfigurationError(
            "the URL of the database is invalid. Nothing was read. Use a URL such as postgresql://user@host/name."
        ) from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url
