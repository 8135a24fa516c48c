"""Reads the rows of files, folders and queries."""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import GeneratorType, NoneType
from typing import Any, BinaryIO

from attrs import asdict, evolve, field, fields, frozen

from wonder_customers._core.arguments import check_account, check_type
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.assignment import known_fields
from wonder_customers.bulk.sources.columns import Reading
from wonder_customers.bulk.sources.csv_files import csv_rows
from wonder_customers.bulk.sources.databases import check_database, database_rows
from wonder_customers.bulk.sources.encodings import encoding_of
from wonder_customers.bulk.sources.json_files import json_rows
from wonder_customers.bulk.sources.mapping import ColumnMapping, Unknown
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.sources.packed import read_error, unpacked, unreadable
from wonder_customers.bulk.sources.paths import Format, check_version, existing, files, version
from wonder_customers.bulk.sources.spreadsheets import sheet_rows
from wonder_customers.bulk.sources.tables import query_rows
from wonder_customers.bulk.sources.text import ByteRange
from wonder_customers.bulk.sources.values import sampled
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError, InvalidRecordError
from wonder_customers.records import Address, CustomerDraft, Phone
from wonder_customers.secret import without_frames

__all__ = ["RowReader", "Source", "encodings_of", "read", "rows_of_file", "sampled_file", "unsupported_fields"]


class RowReader(Iterator[Row]):
    """An iterator over the rows of a file, a folder or a query.

    Attributes:
        packed: Whether the open file is compressed.
        notes: The decisions and changes made while reading.
    """

    def __init__(
        self, rows: Callable[["RowReader"], Iterator[Row]], size: int | None, notes: SourceNotes | None = None
    ) -> None:
        self.notes: SourceNotes = notes or SourceNotes()
        self.file: BinaryIO | None = None
        self.packed: bool = False
        # Bytes that were read before `file`. A spreadsheet counts in proportion to its lines.
        self.before: float = 0.0
        self._size = size
        self._stack = ExitStack()
        self._began = self._closed = False
        # The first row is read immediately, so that unusable columns are reported before the job starts.
        self._following = rows(self)
        following = _without_values(self._following)
        try:
            first = next(following, None)
        except BaseException:
            self.close()
            raise
        self._rows = following if first is None else chain([first], following)

    def __iter__(self) -> "RowReader":
        return self

    def __next__(self) -> Row:
        self._began = True
        return next(self._rows)

    def take(self, most: int) -> list[Row]:
        """Return up to `most` rows; an empty list at the end."""
        self._began = True
        return list(islice(self._rows, most))

    @property
    def used_up(self) -> bool:
        """Whether the rows were already read, so that none are left."""
        return self._began and self._closed

    @property
    def fraction(self) -> float | None:
        """The fraction of the source that was read, from 0 to 1; None if unknown."""
        if not self._size:
            return None
        # The thread that reads the file may close it at any time.
        with suppress(ValueError):
            place = 0 if self.file is None or self.file.closed else self.file.tell()
            return 1.0 if self._closed else min(1.0, (self.before + place) / self._size)
        return 1.0

    def open(self, path: Path) -> BinaryIO:
        """Close the current file, and open and unpack the file at `path`."""
        if self.file is not None:
            self.before += self.file.tell()
        self._stack.close()
        try:
            raw = self._stack.enter_context(path.open("rb"))
        except OSError as error:
            raise read_error(path, error) from None
        self.file = raw
        contents = unpacked(path, raw)
        self.packed = contents is not raw
        return self._stack.enter_context(contents)

    def close(self) -> None:
        """Close the files of the source."""
        self._closed = True
        if isinstance(self._following, GeneratorType) and not self._following.gi_running:
            self._following.close()
        self._stack.close()


def _without_values(rows: Iterator[Row]) -> Generator[Row]:
    """Yield the rows. Errors have no frames or causes, which contain values or the password of a database."""
    try:
        yield from rows
    except ConfigurationError as error:
        without_frames(error)
        raise


def read(
    path: str | Path,
    *,
    mapping: ColumnMapping | Mapping[str, str | Sequence[str]] | None = None,
    unknown: Unknown | None = None,
    query: str | None = None,
    form: Format | None = None,
    encoding: str | None = None,
    database: str | None = None,
    unsupported: Collection[str] = (),
    inspecting: bool = False,
) -> RowReader:
    """Read the rows of a file, a folder or a query as a stream.

    CSV files (comma, semicolon, tab or pipe) and JSON files may be compressed with gzip. Other sources need an extra:

    - ``zstd``: files compressed with zstd.
    - ``duckdb``: Parquet files, and queries over files.
    - ``excel``: spreadsheets.
    - ``sql``: databases.

    The result is an iterator. It reads the source as rows are consumed, so later errors are raised by the iteration. A
    row that cannot be used has a `Row.problem`.

    Columns named like fields need no mapping: ``reference``, ``email``, ``phone`` (international), ``phone.number``,
    ``address.city``, ``metadata.tier``. Common other names and the exports of other programs are recognised;
    `RowReader.notes` contains the fields of each column, also for a source without rows.

    Error messages name arguments, and attributes of `ColumnMapping` and of its ``text``.

    Args:
        path: A file; a folder, whose files are read in the order of their names; or ``-`` for a query that names its
            own files in quotes, and for a database.
        mapping: A mapping, such as ``ColumnMapping.load("mapping.toml")``; or the field of each column, such as
            ``{"Stadt": "address.city", "Mail": ["reference", "email"]}``, where an empty field leaves the column out.
            None to use the columns' own names.
        unknown: What to do with columns that do not match a field: ``refuse`` or ``ignore``; None for the rule of
            `mapping`.
        query: SQL that selects the rows; None to read all rows. In the query, the file is the table
            ``source``.
        form: The format; None to determine it from the name.
        encoding: The encoding of text files, as a Python codec such as ``cp1250``; ``detect`` accepts the most likely
            encoding. By default, files in UTF-8 and UTF-16 are read.
        database: The URL of a database without its password, or the name of an environment variable with the URL.
            Requires `query`.
        unsupported: The fields that the gateway does not have, as returned by `unsupported_fields`.
        inspecting: Whether to leave out unusable columns where possible, and to add masked samples and the mapping to
            the notes.

    Raises:
        ConfigurationError: The source cannot be read, an extra is not installed, the encoding has to be named, or
            columns cannot be used, such as security codes or card data that was not mapped explicitly.
    """
    for name, value in (("query", query), ("encoding", encoding), ("database", database)):
        check_type(name, value, (str, NoneType), "a str")
    check_type("unsupported", unsupported, (AbstractSet, list, tuple), "a set of field names")
    given = _mapping(mapping or {})
    given = evolve(given, unknown=given.unknown if unknown is None else unknown)
    if encoding is not None:
        given = evolve(given, text=evolve(given.text, encoding=encoding))
    reading = Reading(given, one_table=True, unsupported=frozenset(unsupported), inspecting=inspecting)
    if database is not None:
        check_database(database)
        if query is None:
            raise ConfigurationError("`database` requires `query`, a SELECT statement for the rows.")
    if query is not None:
        source = None if database is not None or str(path) == "-" else existing(path)
        own = partial(query_rows, query, source, 0) if database is None else partial(database_rows, database, query)
        found = own(sampled(reading, own))
        rows = found if source is None else _unchanged(source, version(source), found)
        return RowReader(lambda _: rows, None, reading.notes)
    chosen = files(path, form)
    if len(chosen) > 1 or chosen[0][1] == "jsonl":
        reading = evolve(reading, one_table=False)
    known = all(kind != "parquet" for _, kind in chosen)  # DuckDB does not report how much it has read
    size = sum(file.stat().st_size for file, _ in chosen) if known else None
    return RowReader(partial(_all_rows, chosen, reading), size, reading.notes)


def _mapping(given: ColumnMapping | Mapping[str, Any]) -> ColumnMapping:
    return given if isinstance(given, ColumnMapping) else ColumnMapping(columns=given)


def _sorted(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(given))


@frozen
class Source:
    """The arguments of `read` as data, to be sent to other processes.

    Attributes:
        path: A file, a folder, or ``-`` for a query that names its own files, or for a database.
        mapping: The field of each column; or a `ColumnMapping`, which also defines how values are read.
        query: SQL that selects the rows; None to read all rows.
        form: The format; None to determine it from the name.
        database: The database of the query, as for `read`; None for files.
        unsupported: The fields that the gateway does not have.
    """

    path: str
    mapping: ColumnMapping = field(factory=ColumnMapping, converter=_mapping)
    query: str | None = None
    form: Format | None = None
    database: str | None = None
    unsupported: tuple[str, ...] = field(default=(), converter=_sorted)

    @property
    def reading(self) -> Reading:
        """The settings for reading the columns."""
        return Reading(self.mapping, unsupported=frozenset(self.unsupported))

    def read(self) -> RowReader:
        """Return an iterator over all rows.

        Raises:
            ConfigurationError: The source cannot be read, or its columns cannot be used.
        """
        return read(**asdict(self, recurse=False))


def unsupported_fields(account: Account) -> frozenset[str]:
    """Return the fields of a customer that the account's gateway does not have."""
    check_account(account)
    texts: dict[str, Any] = dict.fromkeys((it for it in known_fields() - {"phone", "metadata"} if "." not in it), "x")
    draft = CustomerDraft(
        **texts,
        phone=Phone("+385", "912345678"),
        metadata={"key": "value"},
        address=Address(**{name.name: "x" for name in fields(Address)}),
    )
    try:
        account.dialect().validate(draft)
    except InvalidRecordError as error:
        # A full name together with its parts is reported in the same way, because they may contradict each other.
        names = {"name", "first_name", "last_name"}
        return frozenset(it.field for it in error.violations if it.wire_field is None) - names
    return frozenset()


def rows_of_file(
    reader: RowReader,
    file: tuple[Path, Format],
    number: int,
    reading: Reading,
    *,
    where: str,
    byte_range: ByteRange,
) -> Generator[Row, None, int]:
    """Yield the rows of one file, and return the number of the last row.

    Raise `ConfigurationError` if the file or its columns cannot be read. `where` is the prefix for the rows' locations
    in messages. `byte_range` is the part of a text file to read, and is updated while the file is read.
    """
    path, form = file
    reading = sampled_file(reading, file, byte_range.encoding)
    try:
        if form == "parquet":
            with path.open("rb") as file_start:
                if file_start.read(4) not in {b"PAR1", b"PARE"}:  # PARE: an encrypted file
                    raise ConfigurationError(
                        f"{path.name} is not a Parquet file. Export the data again, or set the actual format with"
                        " `form`."
                    )
            return (yield from query_rows("SELECT * FROM source", path, number, reading, where, own=False))
        if form == "excel":
            begin, size = reader.before, path.stat().st_size

            def advance(part: float) -> None:
                reader.before = begin + part * size

            return (yield from sheet_rows(path, number, reading, where, advance=advance))
        read_rows, before = csv_rows if form == "csv" else json_rows, version(path)
        rows = read_rows(reader.open(path), number, reading, where, byte_range)
        return (yield from _unchanged(path, before, rows))
    except unreadable() as error:
        raise read_error(path, error) from None


def sampled_file(reading: Reading, file: tuple[Path, Format], encoding: str | None) -> Reading:
    """Return settings with which values of a file can be compared with other values of their columns."""

    def rows(apart: Reading) -> RowReader:
        byte_range = ByteRange(encoding=encoding)
        each = partial(rows_of_file, file=file, number=0, reading=apart, where="", byte_range=byte_range)
        return RowReader(each, None)

    return sampled(reading, rows)


def _unchanged(path: Path, before: tuple[int, ...], rows: Generator[Row, None, int]) -> Generator[Row, None, int]:
    """Yield the rows of a file, and check that the file did not change."""
    number = yield from rows
    check_version(path, before)
    return number


def encodings_of(chosen: list[tuple[Path, Format]], reading: Reading) -> list[str | None]:
    """Return the encodings of text files; None for other formats."""
    return [_file_encoding(path, reading) if form in {"csv", "jsonl"} else None for path, form in chosen]


def _file_encoding(path: Path, reading: Reading) -> str:
    """Determine the encoding of a text file."""
    try:
        with path.open("rb") as raw, closing(unpacked(path, raw)) as contents:
            given = reading.mapping.text.encoding
            found = encoding_of(contents, given, path.name)
    except unreadable() as error:
        raise read_error(path, error) from None
    except ConfigurationError as error:
        without_frames(error)  # they contain the first rows
        raise
    reading.notes.add_encoding(path.name, given, found)
    return found


def _all_rows(chosen: list[tuple[Path, Format]], reading: Reading, reader: RowReader) -> Iterator[Row]:
    number, before = 0, [version(path) for path, _ in chosen]
    several = len(chosen) > 1
    try:
        # All files are checked before the first row, so that nothing is sent if one of them is refused.
        each = list(zip(chosen, encodings_of(chosen, reading), strict=True))
        for file, encoding in each[1:]:
            apart = evolve(reading, notes=SourceNotes())
            RowReader(partial(_named_rows, file, encoding, apart, several=True), None).close()
        for file, encoding in each:
            begin = number
            number = yield from _named_rows(file, encoding, reading, reader, number, several=several)
            if several and number == begin:
                reading.notes.empty_files.append(file[0].name)
        for (path, _), earlier in zip(chosen, before, strict=True):
            # Formats without a check of their own, and files that changed while a later file was read.
            check_version(path, earlier)
    finally:
        reader.close()


def _named_rows(
    file: tuple[Path, Format],
    encoding: str | None,
    reading: Reading,
    reader: RowReader,
    number: int = 0,
    *,
    several: bool,
) -> Generator[Row, None, int]:
    """Yield the rows of a file. If there are several files, an error names the file."""
    name, byte_range = file[0].name, ByteRange(encoding=encoding)
    where = f"{name}, " if several else ""
    try:
        return (yield from rows_of_file(reader, file, number, reading, where=where, byte_range=byte_range))
    except ConfigurationError as error:
        if not several or name in str(error):
            raise
        raise ConfigurationError(f"{name}: {error}") from None
