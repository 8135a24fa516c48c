"""The rows of files, folders and queries as one stream, and the unpacking of what is packed."""

import gzip
import io
import sys
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from attrs import evolve

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.columns import Reading, Unknown
from wonder_customers.bulk.sources.csv_files import csv_rows
from wonder_customers.bulk.sources.json_lines import json_rows
from wonder_customers.bulk.sources.paths import Format, existing, files
from wonder_customers.bulk.sources.tables import query_rows
from wonder_customers.errors import ConfigurationError, MissingExtraError

__all__ = ["RowReader", "read", "rows_of_file"]


class RowReader(Iterator[Row]):
    """The rows of a file, a folder or a query, one after the other.

    Attributes:
        fraction: How much of the source was read so far, from 0 to 1; None where nobody knows.
        packed: The file that is open is packed.
    """

    def __init__(self, rows: Callable[["RowReader"], Iterator[Row]], size: int | None) -> None:
        self.file: BinaryIO | None = None
        self.packed = False
        self.before = 0
        self._size = size
        self._stack = ExitStack()
        self._closed = False
        # The first row is read at once, so that columns that cannot be used are told before anything begins.
        following = rows(self)
        try:
            first = next(following, None)
        except BaseException:
            self.close()
            raise
        self._rows = following if first is None else chain([first], following)

    def __iter__(self) -> "RowReader":
        return self

    def __next__(self) -> Row:
        return next(self._rows)

    def take(self, most: int) -> list[Row]:
        """The next rows, so many at most."""
        return list(islice(self._rows, most))

    @property
    def fraction(self) -> float | None:
        """How much of the source was read so far."""
        if not self._size:
            return None
        if self.file is None or self.file.closed:
            return 1.0 if self._closed else 0.0
        # The file may be closed by the thread that reads it between the question and the answer.
        with suppress(ValueError):
            return min(1.0, (self.before + self.file.tell()) / self._size)
        return 1.0

    def open(self, path: Path) -> BinaryIO:
        """Open and unpack the next file of the source, and close the one before.

        Raises:
            ConfigurationError: It cannot be read.
        """
        if self.file is not None:
            self.before += self.file.tell()
        self._stack.close()
        try:
            raw = self._stack.enter_context(path.open("rb"))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        self.file = raw
        contents = _unpacked(path, raw)
        self.packed = contents is not raw
        return self._stack.enter_context(contents)

    def close(self) -> None:
        """Close the files."""
        self._closed = True
        self._stack.close()


def read(
    path: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    unknown: Unknown = "refuse",
    query: str | None = None,
    form: Format | None = None,
) -> RowReader:
    """The rows of a file, a folder or a query, as a stream.

    CSV (comma, semicolon, tab or bar; UTF-8, UTF-16 or Windows-1252) and JSON lines need nothing installed, packed with
    gzip too; zstd needs the extra ``zstd``, Parquet and queries the extra ``duckdb``. A row that cannot be used is
    given with its `Row.problem`, which names line and column, and the next row follows.

    Args:
        path: A file; a folder, whose files are read in the order of their names; or ``-`` for a query that names its
            own tables.
        mapping: Their column name with our field, such as ``{"Stadt": "address.city"}``; an empty field leaves the
            column out. Columns named like fields need none: ``reference``, ``email``, ``phone`` (international),
            ``phone.number``, ``address.city``, ``metadata.tier``. A column that one table (CSV, Parquet, a query) does
            not have is refused.
        unknown: What to do with columns that are no field: ``refuse`` or ``ignore``.
        query: SQL that selects the rows. ``source`` stands for `path`.
        form: The format, where the name does not tell it.

    Raises:
        ConfigurationError: The source cannot be read, holds card data that was not asked for by name, or a security
            code.
    """
    where, reading = Path(path), Reading(mapping or {}, unknown, one_table=True)
    if query is not None:
        source = None if str(path) == "-" else existing(where)
        return RowReader(lambda _: query_rows(query, source, 0, reading), None)
    chosen = files(where, form)
    if len(chosen) > 1 or chosen[0][1] == "jsonl":
        reading = evolve(reading, one_table=False)
    size = sum(file.stat().st_size for file, _ in chosen)
    return RowReader(partial(_all_rows, chosen, reading), size)


def rows_of_file(
    reader: RowReader,
    file: tuple[Path, Format],
    number: int,
    reading: Reading,
    *,
    where: str = "",
    stretch: ByteRange | None = None,
) -> Generator[Row, None, int]:
    """The rows of one file, or of a stretch of it.

    Args:
        reader: Opens and closes it.
        file: The file and its format.
        number: How many rows went before.
        reading: How the columns are read.
        where: Goes before the line in a row's place.
        stretch: The part of a text file to read; afterwards, and between two rows, where the reading stands.

    Returns:
        The number of the last row.

    Raises:
        ConfigurationError: It cannot be read, or its columns cannot be used.
    """
    path, form = file
    try:
        if form == "parquet":
            return (yield from query_rows("SELECT * FROM source", path, number, reading, where))
        read_rows = csv_rows if form == "csv" else json_rows
        return (yield from read_rows(reader.open(path), number, reading, where, stretch))
    except _unreadable() as error:
        raise ConfigurationError(f"{path.name} cannot be read to its end: {error}") from None


def _all_rows(chosen: list[tuple[Path, Format]], reading: Reading, reader: RowReader) -> Iterator[Row]:
    number = 0
    try:
        for file in chosen:
            where = f"{file[0].name}, " if len(chosen) > 1 else ""
            number = yield from rows_of_file(reader, file, number, reading, where=where)
    finally:
        reader.close()


def _unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    """The file's contents; packed ones are known by their first bytes."""
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    if magic == b"\x28\xb5\x2f\xfd":
        return _zstd(path, raw)
    return raw


def _unreadable() -> tuple[type[Exception], ...]:
    """What a file that cannot be read, or unpacked, raises; zstd's error is known only where it was loaded."""
    loaded = [module for name in ("compression.zstd", "zstandard") if (module := sys.modules.get(name)) is not None]
    return (OSError, EOFError, zlib.error, *(module.ZstdError for module in loaded))


def _zstd(path: Path, raw: BinaryIO) -> BinaryIO:
    for module, name in (("compression.zstd", "ZstdFile"), ("zstandard", "open")):
        try:
            opener: Any = getattr(import_module(module), name)
        except ImportError:
            continue
        return io.BufferedReader(opener(raw, "rb"))
    raise MissingExtraError(path.name, ["zstandard"], "zstd")
