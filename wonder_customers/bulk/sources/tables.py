"""Parquet files, and SQL queries over files and databases, through DuckDB."""

import csv
import glob
import re
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Columns, Reading
from wonder_customers.bulk.sources.csv_files import csv_records
from wonder_customers.bulk.sources.csv_parser import LONGEST_FIELD
from wonder_customers.bulk.sources.encodings import encoding_of
from wonder_customers.bulk.sources.nested import Structures
from wonder_customers.bulk.sources.packed import read_error, unpacked, unreadable
from wonder_customers.bulk.sources.running import ended_by_signal
from wonder_customers.bulk.sources.values import typed_rows
from wonder_customers.errors import ConfigurationError, needed

__all__ = ["glob_escaped", "named_files", "opened", "query_rows", "quoted_name", "reads_csv"]

_BATCH = 2000
_LOCKED = "; ".join(
    f"SET {setting}"
    for setting in (
        "enable_external_access = false",
        "allow_community_extensions = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "lock_configuration = true",
    )
)
"""Set after the source is attached, because a SQLite database needs an extension."""
_QUOTED = re.compile(r"--[^\n]*|/\*.*?\*/|'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"", re.DOTALL)
"""Comments, and strings and names in quotes."""
# DuckDB would take `#` for comments, and would accept other quotes than the parser of CSV files. Types would change ids
# such as 000123.
_CSV_OPTIONS = (
    "header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"', comment = '', skip = 0,"
    f" new_line = '\\n', max_line_size = {4 * LONGEST_FIELD}"
)
_JSON_NAME = re.compile(r".+\.(jsonl|ndjson|json)(\.gz|\.zstd?)?", re.IGNORECASE)
_CHANGED_TYPE = re.compile(r'("(?:[^"]|"")*")|\b(?:DATE|TIME|TIMESTAMP\w*(?: WITH TIME ZONE)?|UUID|JSON)(?=[,)\[]|$)')
"""Names in a structure, and the types of strings that DuckDB would write differently and of mixed values."""
_SPREADSHEETS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
_CSV_NAME = re.compile(r".+\.(csv|tsv|txt)(\.gz|\.zstd?)?", re.IGNORECASE)


def query_rows(
    sql: str,
    path: Path | None,
    number: int,
    reading: Reading,
    where: str = "",
    *,
    before: int = 0,
    parameters: Sequence[object] = (),
    own: bool = True,
) -> Generator[Row, None, int]:
    """Yield the rows of a query, and return the number of the last row."""
    with opened(path, sql, reading, own=own) as connection:
        table = Structures.of(connection, sql, parameters, reading)
        result = connection.execute(sql, list(parameters))
        records = map(table.values, chain.from_iterable(iter(lambda: result.fetchmany(_BATCH), [])))
        return (yield from typed_rows(records, Columns.match(table.names, reading), number, where, number - before))


@contextmanager
def opened(path: Path | None, query: str | None, reading: Reading, *, own: bool = True) -> Iterator[Any]:
    """Open a DuckDB connection that can read only the source.

    Raise `ConfigurationError` if the source cannot be read, or the query fails.
    """
    with needed("duckdb", "duckdb", by="reading Parquet files and queries"):
        import duckdb  # noqa: PLC0415 - optional dependency
    shown = _SQL_ERRORS
    with (
        TemporaryDirectory(prefix="wonder-customers-") as folder,
        duckdb.connect() as connection,
        ended_by_signal(partial(_end, connection, folder)),
    ):
        try:
            if query is not None:
                kinds = [it.type.name for it in connection.extract_statements(query)]
                if kinds != ["SELECT"]:
                    found = ", ".join(kinds) or "no statement"
                    raise ConfigurationError(f"the query must be exactly one SELECT statement, but contains {found}.")
            # One thread and insertion order, so that rows have the same numbers when they are read again.
            connection.execute("SET threads = 1; SET preserve_insertion_order = true")
            # Large results are written to temporary files, which only this user can read.
            connection.execute(f"SET temp_directory = {_quoted(folder)}")
            if path is None:
                allowed = _attach_named(connection, query or "", reading, Path(folder))
            else:
                allowed = _attach(connection, path, reading, Path(folder))
            connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, allowed))}]")
            connection.execute(_LOCKED)
            if query is not None:
                # Errors in the query are raised here. Later errors may quote values of rows.
                connection.execute(f"PREPARE query AS {query}")
            shown = _FILE_ERRORS
            yield connection
        except duckdb.Error as error:
            raise ConfigurationError(_message(error, path, shown, own=own)) from None


def _end(connection: Any, folder: str) -> None:
    connection.interrupt()
    rmtree(folder, ignore_errors=True)


def _attach(connection: Any, path: Path, reading: Reading, folder: Path) -> Iterable[str]:
    """Attach the source of a query, and return the paths that DuckDB may read."""
    if path.suffix.lower() in _SPREADSHEETS:
        raise ConfigurationError(
            f"{path.name} is a spreadsheet, which a query cannot read. Save the sheet as CSV (UTF-8), and use this file"
            " as the source."
        )
    file, table = _table(connection, path, reading, folder)
    if path.suffix.lower() in {".db", ".sqlite", ".sqlite3", ".duckdb"}:
        kind = "" if path.suffix.lower() == ".duckdb" else ", TYPE sqlite"
        connection.execute(f"ATTACH {_quoted(path)} AS source (READ_ONLY{kind}); USE source")
    else:
        _create_view(connection, "source", table)
    return str(file), glob_escaped(file)


def _attach_named(connection: Any, query: str, reading: Reading, folder: Path) -> Iterable[str]:
    """Attach the files that a query names in quotes, and return the paths that DuckDB may read."""
    allowed: dict[str, None] = {}
    for name in _quoted_names(query):
        matches = _matches(name)
        allowed |= dict.fromkeys([*matches, *map(glob_escaped, matches), *([name] if matches else [])])
        # An argument of `read_csv` or `read_json` is read with the options in the query.
        known = _is_csv(name) or _JSON_NAME.fullmatch(name)
        if matches and known and not any(f"{it}{_quoted(name)}" in query for it in "(["):
            tables = [_table(connection, Path(match), reading, folder) for match in matches]
            allowed |= dict.fromkeys(it for file, _ in tables for it in (str(file), glob_escaped(file)))
            _create_view(connection, name, " UNION ALL BY NAME SELECT * FROM ".join(table for _, table in tables))
    return allowed


def _matches(name: str) -> list[str]:
    """Return the files that a name in a query matches."""
    return [name] if Path(name).is_file() else sorted(glob.glob(name))  # noqa: PTH207 - DuckDB's paths are texts


def named_files(query: str) -> list[Path]:
    """Return the files that a query names in quotes."""
    return [Path(match) for name in _quoted_names(query) for match in _matches(name)]


def reads_csv(path: Path, query: str) -> bool:
    """Return whether the options for CSV files have an effect on a query. `path` is ``-`` if the query names files."""
    return any(map(_is_csv, _quoted_names(query) if str(path) == "-" else [path.name]))


def _quoted_names(query: str) -> list[str]:
    found = (it[1].replace("''", "'") if it[1] else it[2] for it in _QUOTED.finditer(query))
    return list(dict.fromkeys(filter(None, found)))


def _is_csv(name: str) -> bool:
    return _CSV_NAME.fullmatch(name) is not None


def _create_view(connection: Any, name: str, table: str) -> None:
    connection.execute(f"CREATE VIEW {quoted_name(name)} AS SELECT * FROM {table}")  # noqa: S608 - quoted


def _table(connection: Any, path: Path, reading: Reading, folder: Path) -> tuple[Path, str]:
    """Return the file that DuckDB reads for `path`, and its table in SQL."""
    if _JSON_NAME.fullmatch(path.name):
        return path, _json_table(connection, _quoted(glob_escaped(path)))
    if not _is_csv(path.name):
        return path, _quoted(glob_escaped(path))
    text, file = reading.mapping.text, folder / f"{len(list(folder.iterdir()))}.csv"
    try:
        with path.open("rb") as raw, closing(unpacked(path, raw)) as contents:
            encoding = encoding_of(contents, text.encoding, path.name)
            reading.notes.add_encoding(path.name, text.encoding, encoding)
            contents.seek(0)
            records = csv_records(contents, encoding, text, f"{path.name}, ", reading.notes)
            with file.open("w", encoding="utf-8", newline="") as copy:
                csv.writer(copy, lineterminator="\n").writerows(records)
    except UnicodeError:
        raise ConfigurationError(f"{path.name} is not valid {encoding}. Export the data again as UTF-8.") from None
    except unreadable() as error:
        raise read_error(path, error) from None
    return file, f"read_csv({_quoted(glob_escaped(file))}, {_CSV_OPTIONS})"


def _json_table(connection: Any, file: str) -> str:
    """Return the table of a JSON file, in which strings stay strings."""
    # All objects are examined: a later string such as "002" would be converted to the type of the first objects.
    found = connection.execute(f"DESCRIBE FROM read_json({file}, sample_size = -1)").fetchall()
    kinds = ((name, _CHANGED_TYPE.sub(lambda it: it[1] or "VARCHAR", kind)) for name, kind, *_ in found)
    types = (f"{_quoted(name)}: {_quoted(kind)}" for name, kind in kinds)
    return f"read_json({file}, columns = {{{', '.join(types)}}})"


def glob_escaped(path: Path | str) -> str:
    """Escape the pattern characters of a path."""
    return glob.escape(str(path))


def _quoted(text: Path | str) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """Quote the name of a column or table for SQL."""
    return '"' + name.replace('"', '""') + '"'


_SQL_ERRORS = frozenset({
    "BinderException", "CatalogException", "IOException", "NotImplementedException", "OutOfMemoryException",
    "ParserException", "PermissionException", "SyntaxException",
})  # fmt: skip
"""DuckDB's exceptions whose messages do not quote values before rows are read."""
_FILE_ERRORS = frozenset({"IOException", "OutOfMemoryException"})
"""DuckDB's exceptions whose messages do not quote values while rows are read."""


def _message(error: Exception, path: Path | None, shown: Collection[str], *, own: bool) -> str:
    """Return the message for an error of DuckDB, with the text of the exceptions in `shown`."""
    kind = type(error).__name__
    reason = str(error).partition("\n")[0][:300].rstrip(".!") if kind in shown else None
    if path is not None and not own:
        reason = reason or f"the contents are damaged or not supported ({kind})"
        return f"{path.name} cannot be read: {reason}. Export the data again."
    if reason is None:
        reason = f"DuckDB reported {kind}"
        advice = (
            "Check that the files are valid. If a value cannot be converted, use TRY_CAST to read such values as NULL."
        )
    elif "VARCHAR" in reason:
        advice = "The columns of CSV files contain strings: convert them with CAST."
    elif path is not None and (kind == "PermissionException" or "Table with name" in reason):
        advice = f"The table `source` contains the rows of {path.name}; other tables and files cannot be read."
    else:
        advice = "Check the query and its files."
    return f"the query failed: {reason}. {advice}"
