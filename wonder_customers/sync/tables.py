"""Parquet files, and any SQL over files and databases, through DuckDB."""

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from wonder_customers.errors import ConfigurationError
from wonder_customers.sync.columns import Columns, Reading, without
from wonder_customers.sync.rows import Row

__all__ = ["query_rows"]

_BATCH = 2000


def query_rows(
    sql: str, path: Path | None, number: int, reading: Reading, where: str = ""
) -> Generator[Row, None, int]:
    """The rows of a query.

    Args:
        sql: One SELECT; without a `path`, it names its own files or tables. The name ``source`` stands for `path`.
        path: A file that DuckDB can read, or a DuckDB or SQLite database to look into.
        number: How many rows went before.
        reading: How the columns are read.
        where: Goes before the row in its place.

    Raises:
        ConfigurationError: DuckDB is not installed, the query fails, or its columns cannot be used.
    """
    duckdb = _duckdb()
    connection = duckdb.connect()
    try:
        # One thread and insertion order, so that a second reading numbers the rows alike.
        connection.execute("SET threads = 1; SET preserve_insertion_order = true")
        _attach(connection, path)
        result = connection.execute(sql)
        names = [column[0] for column in result.description or ()]
        return (yield from _rows(result, Columns.match(names, reading), number, where))
    except duckdb.Error as error:
        raise ConfigurationError(f"the query cannot be run: {_first_line(error)}") from None
    finally:
        connection.close()


def _rows(result: Any, columns: Columns, number: int, where: str) -> Generator[Row, None, int]:
    start = number
    while batch := result.fetchmany(_BATCH):
        for values in batch:
            number += 1
            place = f"{where}row {number - start}"
            key = values[columns.reference]
            shown = without(values, columns.cards)
            yield Row(
                number,
                reference=None if key is None else str(key).strip() or None,
                place=place,
                material=orjson.dumps(shown, default=str) + columns.mark,
                build=partial(columns.draft, _texts(values), place),
            )
    return number


def _texts(values: Any) -> list[Any]:
    """The values with dates, decimals and UUIDs as the text that people write for them."""
    kept = (str, int, float, bool, dict, list, type(None))
    return [value if isinstance(value, kept) else str(value) for value in values]


def _attach(connection: Any, path: Path | None) -> None:
    if path is None:
        return
    if path.suffix.lower() in {".db", ".sqlite", ".sqlite3", ".duckdb"}:
        kind = "" if path.suffix.lower() == ".duckdb" else ", TYPE sqlite"
        connection.execute(f"ATTACH {_quoted(path)} AS source (READ_ONLY{kind}); USE source")
    else:
        connection.execute(f"CREATE VIEW source AS SELECT * FROM {_quoted(path)}")  # noqa: S608 - quoted


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def _duckdb() -> Any:
    try:
        import duckdb  # noqa: PLC0415 - an extra, imported where it is needed
    except ImportError:
        raise ConfigurationError(
            "reading this needs DuckDB: pip install 'wonder-customers[duckdb]'. CSV and JSON lines need nothing."
        ) from None
    return duckdb
