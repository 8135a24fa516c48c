"""Parquet files, and SQL queries over files and databases, through DuckDB."""

import glob
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Columns, Reading
from wonder_customers.errors import ConfigurationError, needed

__all__ = ["glob_escaped", "opened", "query_rows", "quoted_name", "reference_of"]

_BATCH = 2000
_LOCKED = "; ".join(
    f"SET {setting}"
    for setting in (
        "allow_community_extensions = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "lock_configuration = true",
    )
)
"""Set after the source is attached, because a SQLite database needs an extension."""


def query_rows(
    sql: str,
    path: Path | None,
    number: int,
    reading: Reading,
    where: str = "",
    *,
    before: int = 0,
    parameters: Sequence[object] = (),
) -> Generator[Row, None, int]:
    """Read the rows of a query.

    Args:
        sql: Exactly one SELECT. The name ``source`` stands for `path`.
        path: A file that DuckDB can read, or a DuckDB or SQLite database; the query can read nothing else. None for a
            query that names its own files.
        number: The number of rows before.
        reading: How columns are read.
        where: Prefix for the row's place.
        before: The number of rows of the file or query before.
        parameters: The values for the placeholders in `sql`.

    Raises:
        ConfigurationError: DuckDB is not installed, the query is not one SELECT or fails, or its columns cannot be
            used.
    """
    with opened(path, sql) as connection:
        result = connection.execute(sql, list(parameters))
        names = [column[0] for column in result.description or ()]
        return (yield from _rows(result, Columns.match(names, reading), number, where, number - before))


@contextmanager
def opened(path: Path | None, query: str | None = None) -> Iterator[Any]:
    """Open a DuckDB connection in which ``source`` stands for `path`.

    The connection reads no other file, loads no extension, and its settings cannot be changed.

    Args:
        path: The source; None for a query that names its own files, which can read any file.
        query: The query that will be run.

    Raises:
        ConfigurationError: DuckDB is not installed, the query is not exactly one SELECT, or a query fails.
    """
    duckdb = _duckdb()
    with TemporaryDirectory(prefix="wonder-customers-") as folder, duckdb.connect() as connection:
        try:
            if query is not None:
                kinds = [it.type.name for it in connection.extract_statements(query)]
                if kinds != ["SELECT"]:
                    found = ", ".join(kinds) or "no statement"
                    raise ConfigurationError(f"the query must be exactly one SELECT, not {found}. Nothing was sent.")
            # One thread and insertion order, so that a second reading numbers the rows alike.
            connection.execute("SET threads = 1; SET preserve_insertion_order = true")
            # Large results are written to temporary files, which only this user can read.
            connection.execute(f"SET temp_directory = {_quoted(folder)}")
            _attach(connection, path)
            connection.execute(_LOCKED)
            yield connection
        except duckdb.Error as error:
            raise ConfigurationError(f"the query cannot be run: {_reason(error)}") from None


def _rows(result: Any, columns: Columns, number: int, where: str, start: int) -> Generator[Row, None, int]:
    while batch := result.fetchmany(_BATCH):
        for values in batch:
            number += 1
            place = f"{where}row {number - start}"
            key = values[columns.reference]
            yield Row(
                number,
                reference=None if columns.is_card(columns.reference, key) else reference_of(key),
                place=place,
                raw_values=columns.digestible(values, _material),
                build=partial(columns.draft, _texts(values), place),
            )
    return number


def _material(values: object) -> bytes:
    return orjson.dumps(values, default=str)


def reference_of(key: object) -> str | None:
    """Return the reference in a cell."""
    return None if key is None else str(key).strip() or None


def _texts(values: Any) -> list[Any]:
    """Return the values, with dates, decimals and UUIDs as text."""
    kept = (str, int, float, bool, dict, list, type(None))
    return [value if isinstance(value, kept) else str(value) for value in values]


def _attach(connection: Any, path: Path | None) -> None:
    """Make `path` available as ``source``, and forbid access to any other file."""
    if path is None:
        return
    pattern = _quoted(glob_escaped(path))
    connection.execute(f"SET allowed_paths = [{_quoted(path)}, {pattern}]")
    if path.suffix.lower() in {".db", ".sqlite", ".sqlite3", ".duckdb"}:
        kind = "" if path.suffix.lower() == ".duckdb" else ", TYPE sqlite"
        connection.execute(f"ATTACH {_quoted(path)} AS source (READ_ONLY{kind}); USE source")
    else:
        connection.execute(f"CREATE VIEW source AS SELECT * FROM {pattern}")  # noqa: S608 - quoted
    connection.execute("SET enable_external_access = false")


def glob_escaped(path: Path | str) -> str:
    """Return a path for DuckDB, which reads ``*``, ``?`` and ``[`` in paths as patterns of other files' names."""
    return glob.escape(str(path))


def _quoted(text: Path | str) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """Quote the name of a column for SQL."""
    return '"' + name.replace('"', '""') + '"'


_SQL_ERRORS = frozenset({
    "BinderException", "CatalogException", "IOException", "NotImplementedException", "OutOfMemoryException",
    "ParserException", "PermissionException", "SyntaxException",
})  # fmt: skip
"""DuckDB's exceptions that occur before a row is read; the messages of others may quote values."""


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    if kind in _SQL_ERRORS:
        return str(error).partition("\n")[0][:300]
    return f"a value could not be converted ({kind}); use TRY_CAST to read such values as NULL"


def _duckdb() -> Any:
    with needed("duckdb", "duckdb", by="reading Parquet files and queries"):
        import duckdb  # noqa: PLC0415 - optional dependency
    return duckdb
