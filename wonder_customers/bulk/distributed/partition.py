"""Partitions of a source, which can be sent to other machines, and the function that runs one.

A partition describes rows (a file and a byte range) and does not contain them. The same source is always divided in the
same way, so a worker that takes over a partition reads the same rows with the same numbers.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import orjson
from attrs import asdict, evolve, field, frozen

from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal.entries import RowJournal
from wonder_customers.bulk.local_job import LocalJob
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources import ColumnMapping, Format, RowReader, fingerprint, read, rows_of_file
from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.columns import Reading
from wonder_customers.bulk.sources.tables import glob_escaped, query_rows, quoted_name
from wonder_customers.errors import ConfigurationError
from wonder_customers.session import CustomerSession

__all__ = ["Kind", "Partition", "Source", "run_partition"]

Kind = Literal["source", "file", "bytes", "rows", "keys"]
"""A whole source, a whole file, bytes of a text file, rows of a Parquet file, or a range of a query's references."""


def _mapping(given: ColumnMapping | Mapping[str, Any]) -> ColumnMapping:
    return given if isinstance(given, ColumnMapping) else ColumnMapping(columns=given)


def _sorted(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(given))


@frozen
class Source:
    """The arguments of `sources.read` as data, to be sent to other processes.

    Attributes:
        path: A file, a folder, or ``-`` for a query that names its own tables.
        mapping: The field of each column; or a `ColumnMapping`, which also contains how values are read.
        query: SQL that selects the rows.
        form: The format, if it is not known from the name.
        database: The database of the query.
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
        """Read all rows.

        Raises:
            ConfigurationError: The source cannot be read.
        """
        return read(
            self.path,
            mapping=self.mapping,
            query=self.query,
            form=self.form,
            database=self.database,
            unsupported=self.unsupported,
        )


@frozen(kw_only=True)
class Partition:
    """Consecutive rows of a source. Without further arguments, it is the whole source.

    Attributes:
        source: The source.
        kind: The kind of the partition.
        place: The index of the partition in the source, from 0.
        number: The number of rows that precede the partition in the source.
        rows: The number of rows; None if they were not counted.
        file: The file and its format; None for a query.
        begin: The start: a byte, a row of the file, or the smallest reference (None includes rows without a reference).
        end: The start of the next partition, in the same unit; None for the end of the source.
        line: The number of lines (or rows) that precede the partition in the file.
        encoding: The encoding of the text file.
        key: The SQL expression of a query's references, followed by the names of all columns of the query.
        where: Prefix for the rows' locations in messages.
        fingerprint: Changes when the file changes.
        repeats: Pairs of row numbers: a row that repeats a reference, and the first row with that reference,
            anywhere in the source; None if they were not determined.
    """

    source: Source
    kind: Kind = "source"
    place: int = 0
    number: int = 0
    rows: int | None = None
    file: tuple[str, Format] | None = None
    begin: int | str | None = None
    end: int | str | None = None
    line: int = 0
    encoding: str | None = None
    key: tuple[str, ...] = ()
    where: str = ""
    fingerprint: str = ""
    repeats: tuple[tuple[int, int], ...] | None = None

    def to_json(self) -> bytes:
        """Return the partition as JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes | str) -> "Partition":
        """Return the partition from the output of `to_json`."""
        values = orjson.loads(text)
        file, repeats, source = values.pop("file"), values.pop("repeats"), values.pop("source")
        return cls(
            source=Source(**source | {"mapping": ColumnMapping.from_dict(source["mapping"])}),
            file=None if file is None else (file[0], file[1]),
            key=tuple(values.pop("key")),
            repeats=None if repeats is None else tuple((number, first) for number, first in repeats),
            **values,
        )

    def read(self) -> RowReader:
        """Read the rows of the partition, with their numbers and locations in the whole source.

        Raises:
            ConfigurationError: The source cannot be read, or it changed after it was divided.
        """
        if self.kind == "source":
            return self.source.read()
        at, query = (self.source.path, self.source.query) if self.file is None else (self.file[0], None)
        if fingerprint(at, query) != self.fingerprint:
            raise ConfigurationError(self._changed())
        return RowReader(self._counted, None)

    def _counted(self, reader: RowReader) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            ConfigurationError: There are fewer rows than the index pass counted.
        """
        count = 0
        try:
            for row in islice(self._rows(reader), self.rows):
                count += 1
                yield row
        finally:
            reader.close()
        if count != self.rows:
            raise ConfigurationError(self._changed())

    def _rows(self, reader: RowReader) -> Iterator[Row]:
        reading, number = self.source.reading, self.number
        if self.file is None:
            return self._query(reading)
        path, form = self.file
        if self.kind == "rows":
            sql = (
                "SELECT * EXCLUDE (file_row_number) FROM read_parquet(?, file_row_number = true)"
                " WHERE file_row_number >= ? AND file_row_number < ?"
            )
            limits = [glob_escaped(path), self.begin, self.end]
            return query_rows(sql, Path(path), number, reading, self.where, before=self.line, parameters=limits)
        byte_range = ByteRange(encoding=self.encoding)
        if self.kind == "bytes" and isinstance(self.begin, int) and isinstance(self.end, int):
            byte_range = ByteRange(self.begin, self.line, self.encoding, self.end)
        return rows_of_file(reader, (Path(path), form), number, reading, where=self.where, byte_range=byte_range)

    def _query(self, reading: Reading) -> Iterator[Row]:
        key = self.key[0]
        limits = [limit for limit in (self.begin, self.end) if limit is not None]
        tests = ([f"{key} >= ?"] if self.begin is not None else []) + ([f"{key} < ?"] if self.end is not None else [])
        test = " AND ".join(tests) or "true"
        if self.begin is None:
            test = f"{key} IS NULL OR {test}"
        order = ", ".join([f"{key} NULLS FIRST", *map(quoted_name, self.key[1:])])
        sql = f"SELECT * FROM (\n{bare(self.source.query)}\n) WHERE {test} ORDER BY {order}"  # noqa: S608 - their own SQL
        path = None if self.source.path == "-" else Path(self.source.path)
        return query_rows(sql, path, self.number, reading, before=self.line, parameters=limits)

    def _changed(self) -> str:
        name = "the result of the query" if self.file is None else self.file[0]
        return f"{name} changed after its rows were counted. Run the command again."


def bare(query: str | None) -> str:
    """Return a query without a trailing semicolon, so that it can be used as a subquery."""
    return (query or "").strip().rstrip(";")


def run_partition(
    partition: Partition,
    session: CustomerSession[Any],
    journal: RowJournal | None,
    *,
    options: Options | None = None,
) -> Job:
    """Upsert the rows of a partition. Use the returned job like that of `sync`.

    Every engine calls this function: the command line with a whole source, and workers on other machines with
    partitions of it. Any process that has the journal can call it again at any time: confirmed rows are not sent again,
    and unconfirmed rows are looked up first.

    Args:
        partition: The rows.
        session: An open session.
        journal: Records the rows in progress and the results; None for no journal.
        options: The settings of the job.

    Raises:
        ConfigurationError: The rows cannot be read, or the source changed.
    """
    chosen = options or Options()
    if partition.kind != "source":
        chosen = evolve(chosen, first=None)
    repeats = None if partition.repeats is None else dict(partition.repeats)
    return LocalJob(session, partition.read(), journal, chosen, repeats=repeats)
