"""Parts of a source, small enough to travel, and the one way to bring such a part to a gateway.

A partition says which rows it means and holds none of them: a file and a stretch of it. It is the same however often
the source is cut, so that whoever takes it over from somebody who died reads the same rows under the same numbers.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import orjson
from attrs import asdict, evolve, field, frozen

from wonder_customers.bulk.engine import LocalJob
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal.entries import RowJournal
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.pace import Limiter
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources import Format, RowReader, fingerprint, read, rows_of_file
from wonder_customers.bulk.sources.byte_range import ByteRange, Encoding
from wonder_customers.bulk.sources.columns import Reading, Unknown
from wonder_customers.bulk.sources.tables import query_rows, quoted_name
from wonder_customers.errors import ConfigurationError
from wonder_customers.session import CustomerSession

__all__ = ["Kind", "Partition", "Source", "run_partition", "whole"]

Kind = Literal["source", "file", "bytes", "rows", "keys"]
"""What a partition is: a whole source; a whole file; a byte range of a text file; a row range of a Parquet file; a
range of a query's references."""


@frozen
class Source:
    """Where rows come from, and how they are read: the arguments of `sources.read`, to be sent somewhere else.

    Attributes:
        path: A file, a folder, or ``-`` for a query that names its own tables.
        mapping: Their column name with our field.
        unknown: What to do with columns that are no field.
        query: SQL that selects the rows.
        form: The format, where the name does not tell it.
    """

    path: str
    mapping: Mapping[str, str] = field(factory=dict)
    unknown: Unknown = "refuse"
    query: str | None = None
    form: Format | None = None

    @property
    def reading(self) -> Reading:
        """How its columns are read."""
        return Reading(self.mapping, self.unknown)

    def read(self) -> RowReader:
        """All its rows.

        Raises:
            ConfigurationError: It cannot be read.
        """
        return read(self.path, mapping=self.mapping, unknown=self.unknown, query=self.query, form=self.form)


@frozen(kw_only=True)
class Partition:
    """Some rows of a source that follow each other.

    Attributes:
        source: The source.
        kind: What the partition is.
        place: Counts the partitions of the source from 0.
        number: Rows of the source before the first one.
        rows: How many there are; None where nobody has counted.
        file: The file they are in, and its format; None for a query.
        begin: Where they begin: byte, row of the file, or least reference (None for those without one, too).
        end: Where the next partition begins, in the same unit; None for the end.
        line: Lines of the file, or rows of it, before the first one.
        encoding: What the text before it has shown the file's encoding to be.
        key: The column of a query's references, and all its columns.
        where: Goes before the line in a row's place.
        fingerprint: Changes when the file does.
        repeats: The rows that repeat the reference of an earlier one, anywhere in the source, with that one; None where
            nobody has looked.
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
    encoding: Encoding | None = None
    key: tuple[str, ...] = ()
    where: str = ""
    fingerprint: str = ""
    repeats: tuple[tuple[int, int], ...] | None = None

    def to_json(self) -> bytes:
        """The partition as JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: bytes | str) -> "Partition":
        """The partition that `to_json` wrote."""
        values = orjson.loads(text)
        file, repeats = values.pop("file"), values.pop("repeats")
        return cls(
            source=Source(**values.pop("source")),
            file=None if file is None else (file[0], file[1]),
            key=tuple(values.pop("key")),
            repeats=None if repeats is None else tuple((number, first) for number, first in repeats),
            **values,
        )

    def read(self) -> RowReader:
        """Its rows, with the numbers and places that they have when the source is read as a whole.

        Raises:
            ConfigurationError: It cannot be read, or it is not what it was when it was cut.
        """
        if self.kind == "source":
            return self.source.read()
        at, query = (self.source.path, self.source.query) if self.file is None else (self.file[0], None)
        if fingerprint(at, query) != self.fingerprint:
            raise ConfigurationError(self._changed())
        return RowReader(self._counted, None)

    def _counted(self, reader: RowReader) -> Iterator[Row]:
        """Its rows, and an error when there are fewer than there were."""
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
            limits = [path, self.begin, self.end]
            return query_rows(sql, None, number, reading, self.where, before=self.line, parameters=limits)
        stretch = ByteRange()
        if self.kind == "bytes" and isinstance(self.begin, int) and isinstance(self.end, int):
            stretch = ByteRange(self.begin, self.line, self.encoding, self.end)
        return rows_of_file(reader, (Path(path), form), number, reading, where=self.where, stretch=stretch)

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
        name = self.source.path if self.file is None else self.file[0]
        return f"{name} is not what it was when its rows were counted: it has changed since. Run the command again."


def bare(query: str | None) -> str:
    """A query without the semicolon after it, so that it can stand inside another one."""
    return (query or "").strip().rstrip(";")


def whole(source: Source) -> Partition:
    """The partition that is a whole source."""
    return Partition(source=source)


def run_partition(
    partition: Partition,
    session: CustomerSession[Any],
    journal: RowJournal | None,
    limiter: Limiter | None = None,
    *,
    options: Options | None = None,
) -> Job:
    """Bring the rows of a partition to the gateway. Iterate over what this returns, as over a `sync`.

    This is the unit that every engine runs: the command line with a whole file, workers on other machines with parts
    of it. It may be run again at any time, by anybody who has the journal: rows that were confirmed are not sent
    again, and rows in doubt are looked up before anything is sent.

    Args:
        partition: Which rows.
        session: An open session, best with ``retry=BULK``.
        journal: Remembers what was confirmed and what is under way.
        limiter: Keeps the rate that all engines have together.
        options: How the rows are sent.

    Raises:
        ConfigurationError: The rows cannot be read, or are not what they were.
    """
    chosen = options or Options()
    if partition.kind != "source":
        chosen = evolve(chosen, first=None)
    repeats = None if partition.repeats is None else dict(partition.repeats)
    return LocalJob(session, partition.read(), journal, chosen, limiter=limiter, repeats=repeats)
