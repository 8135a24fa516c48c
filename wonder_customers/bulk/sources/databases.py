"""Queries over databases, through SQLAlchemy."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Columns, Reading
from wonder_customers.bulk.sources.values import typed_rows
from wonder_customers.errors import ConfigurationError, needed

__all__ = ["check_database", "database_rows"]

_BATCH = 1000
PASSWORD = "WONDER_CUSTOMERS_DATABASE_PASSWORD"  # noqa: S105 - the name of a variable


def check_database(given: str) -> None:
    """Raise `ConfigurationError` if the URL of a database contains a password or cannot be used."""
    url = _url(given)
    if "://" in given and url.password is not None:
        raise ConfigurationError(
            "the URL of the database contains a password, which other users of this machine can read. Nothing was"
            " read. Put the URL into an environment variable and pass the variable's name, or put the password into"
            f" the environment variable {PASSWORD} or into ~/.pgpass."
        )


def database_rows(database: str, query: str, reading: Reading) -> Generator[Row, None, int]:
    """Yield the rows of a query, and return the number of the last row.

    Raise `ConfigurationError` if the database or its columns cannot be used, or the query fails.
    """
    with _connected(database) as connection:
        import sqlalchemy  # noqa: PLC0415 - optional dependency

        # Without parameters, so that a colon in the query is not read as a parameter.
        result = (
            connection.exec_driver_sql(query)
            if "%" not in query
            else connection.execute(sqlalchemy.text(query.replace(":", "\\:")))
        )
        if not result.returns_rows:
            raise ConfigurationError(
                "the query does not return rows. Its transaction was rolled back. Use a SELECT statement."
            )
        columns = Columns.match(list(result.keys()), reading)
        return (yield from typed_rows(result, columns, 0, "", 0))


@contextmanager
def _connected(database: str) -> Iterator[Any]:
    url, password = _url(database), os.environ.get(PASSWORD)
    if password and url.password is None:
        url = url.set(password=password)
    import sqlalchemy  # noqa: PLC0415 - optional dependency
    from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError  # noqa: PLC0415 - optional

    try:
        engine = sqlalchemy.create_engine(url)
    except (ImportError, SQLAlchemyError) as error:
        raise ConfigurationError(
            f"the database cannot be used: {error}. Nothing was read. Check the URL, and that the driver of the"
            " database is installed."
        ) from None
    try:
        with engine.connect() as connection:
            yield connection.execution_options(stream_results=True, yield_per=_BATCH)
    except SQLAlchemyError as error:
        # The messages of all other errors may quote values.
        reason = f"the database reported {type(error).__name__}"
        if isinstance(error, (OperationalError, ProgrammingError)):
            reason = str(error.orig).partition("\n")[0][:300]
        raise ConfigurationError(f"the query failed: {reason}. Check the query and the database.") from None
    finally:
        engine.dispose()


def _url(given: str) -> Any:
    """Return the parsed URL of a database."""
    with needed("sql", "sqlalchemy", by="reading databases"):
        from sqlalchemy.engine import make_url  # noqa: PLC0415 - optional dependency
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - optional dependency
    text = given if "://" in given else os.environ.get(given, "")
    if not text:
        raise ConfigurationError(
            f"{given!r} is neither the URL of a database nor the name of an environment variable that contains a URL."
            " Set the variable, or give a URL such as postgresql://user@host/name."
        )
    try:
        url = make_url(text)
    except SQLAlchemyError:
        raise ConfigurationError(
            "the URL of the database is invalid. Nothing was read. Use a URL such as postgresql://user@host/name."
        ) from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url
