"""Partitions of a source, which can be sent to other machines."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import accumulate, chain, islice
from math import inf
from pathlib import Path
from typing import Any

import orjson
from attrs import asdict, define, evolve, field, frozen

from wonder_customers._core.arguments import check_type
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal.entries import RowJournal
from wonder_customers.bulk.local_job import LocalJob
from wonder_customers.bulk.options import Options, check_job
from wonder_customers.bulk.reference_index import ReferenceIndex
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources import ColumnMapping, Format, RowReader, files, fingerprint, rows_of_file
from wonder_customers.bulk.sources.columns import Columns
from wonder_customers.bulk.sources.nested import Structures
from wonder_customers.bulk.sources.reader import Source, encodings_of, sampled_file
from wonder_customers.bulk.sources.tables import glob_escaped, opened, query_rows, quoted_name
from wonder_customers.bulk.sources.text import ByteRange
from wonder_customers.bulk.sources.values import plain, sampled
from wonder_customers.errors import ConfigurationError
from wonder_customers.session import CustomerSession

__all__ = ["SIZE", "Index", "Partition", "run_partition"]

SIZE = 1000
"""The approximate number of rows per partition."""
_BATCH = 1000
_INTEGER = re.compile("U?(TINYINT|SMALLINT|INTEGER|BIGINT)")


@frozen(kw_only=True)
class Partition:
    """Consecutive rows of a source.

    Attributes:
        source: The source.
        place: The index of the partition in the source, from 0.
        number: The number of rows that precede the partition in the source.
        rows: The number of rows.
        file: The path of the file, and its format; None for a query.
        sql: SQL that selects the rows from a Parquet file or a query, between `begin` and `end`; empty for other files.
        begin: The start: a byte offset, a row index of a Parquet file or, for a query, the smallest reference in the
            partition; None for the start of the table, including rows without a reference.
        end: The start of the next partition, in the same unit; None for the end of the file or table.
        line: The number of lines or rows that precede the partition in its file or query.
        encoding: The encoding of the text file; None for other sources.
        where: Prefix for the rows' locations in messages.
        fingerprint: The result of `fingerprint` when the source was divided.
        repeats: The number of the first row with the same reference, anywhere in the source, by the number of each
            row that repeats a reference.
    """

    source: Source
    place: int
    number: int
    rows: int
    file: tuple[str, Format] | None = None
    sql: str = ""
    begin: Any = None
    end: Any = None
    line: int = 0
    encoding: str | None = None
    where: str = ""
    fingerprint: str = ""
    repeats: Mapping[int, int]

    def to_json(self) -> bytes:
        """Return the partition as JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_NON_STR_KEYS)

    @classmethod
    def from_json(cls, text: bytes | str) -> "Partition":
        """Return the partition from the output of `to_json`."""
        values = orjson.loads(text)
        source, file = values.pop("source"), values.pop("file")
        values["repeats"] = {int(number): first for number, first in values["repeats"].items()}
        source["mapping"] = ColumnMapping.from_dict(source["mapping"])
        return cls(source=Source(**source), file=file and (file[0], file[1]), **values)

    def read(self) -> RowReader:
        """Read the rows of the partition, with their numbers and locations in the whole source.

        Raises:
            ConfigurationError: The source cannot be read, or it changed after it was divided.
        """
        at, query = (self.source.path, self.source.query) if self.file is None else (self.file[0], None)
        if fingerprint(at, query) != self.fingerprint:
            raise ConfigurationError(self._changed())
        return RowReader(self._counted, None)

    def _counted(self, reader: RowReader) -> Iterator[Row]:
        """Yield the rows, and check their number."""
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
        reading, number, where = self.source.reading, self.number, self.where
        if self.file is None or self.sql:
            at = self.source.path if self.file is None else self.file[0]
            path = None if at == "-" else Path(at)
            if self.file is not None:
                reading = sampled_file(reading, (Path(at), self.file[1]), None)
            else:
                reading = sampled(reading, partial(query_rows, self.source.query or "", path, 0))
            limits = [limit for limit in (self.begin, self.end) if limit is not None]
            parameters = limits if path is None or self.file is None else [glob_escaped(path), *limits]
            own, before = self.file is None, self.line
            return query_rows(self.sql, path, number, reading, where, before=before, parameters=parameters, own=own)
        begin, end = self.begin or 0, inf if self.end is None else self.end
        byte_range = ByteRange(begin, self.line, self.encoding, end)
        file = (Path(self.file[0]), self.file[1])
        return rows_of_file(reader, file, number, reading, where=where, byte_range=byte_range)

    def _changed(self) -> str:
        name = "the result of the query" if self.file is None else self.file[0]
        return f"{name} changed after its rows were counted. Run the command again."


@define(eq=False)
class Index:
    """The partitions of a source. Iterate over an instance once.

    Text files are divided into byte ranges, Parquet files into row groups, and queries into ranges of their references.
    The rows of a query are numbered in the order of the references. Files that cannot be read from the middle, such as
    compressed files, are not divided. Iterating raises `ConfigurationError` if the source cannot be read or divided.

    Attributes:
        source: The source.
        size: The approximate number of rows per partition; larger row groups are not divided, and rows of a query with
            the same reference stay together.
        first: The maximum number of rows; None for all.
        rows: The number of rows counted so far.
        cut_short: Whether the source has more rows than `first`.
    """

    source: Source
    size: int = SIZE
    first: int | None = None
    rows: int = field(default=0, init=False)
    cut_short: bool = field(default=False, init=False)
    _made: int = field(default=0, init=False)
    _cut: int = field(default=0, init=False)
    _named: list[tuple[str, int]] = field(factory=list, init=False)
    _repeats: dict[int, int] = field(factory=dict, init=False)
    _seen: ReferenceIndex = field(init=False)

    def __iter__(self) -> Iterator[Partition]:
        with closing(ReferenceIndex()) as self._seen:
            if self.source.database is not None:
                raise ConfigurationError(
                    "a database cannot be divided between workers. Run `sync` without --on, or save the result of the"
                    " query to a file and use this file as the source."
                )
            if self.source.query is not None:
                yield from self._query(self.source.query)
                return
            chosen = files(Path(self.source.path), self.source.form)
            # All files are checked first, so that no worker starts if one of them is refused.
            encodings = encodings_of(chosen, self.source.reading)
            for file, encoding in zip(chosen, encodings, strict=True):
                where = f"{file[0].name}, " if len(chosen) > 1 else ""
                facts = {"file": (str(file[0]), file[1]), "where": where, "fingerprint": fingerprint(file[0])}
                yield from self._parquet(facts) if file[1] == "parquet" else self._file(file, facts, encoding)
                if self.cut_short:
                    return

    def _take(self, reference: str | None) -> bool:
        """Count a row and record its reference; return whether it is within `first`."""
        if self.rows == self.first:
            self.cut_short = True
            return False
        self.rows += 1
        # `Row` drops references that cannot be looked up.
        if reference is not None and Row(self.rows, reference=reference).reference is not None:
            self._named.append((reference, self.rows))
        if len(self._named) >= _BATCH:
            self._note()
        return True

    def _note(self) -> None:
        self._repeats |= self._seen.find_repeats(self._named)
        self._named.clear()

    def _partition(self, facts: dict[str, Any], **limits: Any) -> Partition:
        """Return a partition of the rows that were counted since the previous partition."""
        self._note()
        place, number, rows, repeats = self._made, self._cut, self.rows - self._cut, self._repeats
        made = Partition(source=self.source, place=place, number=number, rows=rows, repeats=repeats, **facts, **limits)
        self._repeats, self._cut, self._made = {}, self.rows, self._made + 1
        return made

    def _file(self, file: tuple[Path, Format], facts: dict[str, Any], encoding: str | None) -> Iterator[Partition]:
        # Quoted values may contain line breaks, so only parsing from the start finds the ends of rows.
        byte_range = ByteRange(encoding=encoding)

        def rows(reader: RowReader) -> Iterator[Row]:
            reading = self.source.reading
            return rows_of_file(reader, file, self.rows, reading, where=facts["where"], byte_range=byte_range)

        with closing(RowReader(rows, None)) as reader:
            begin = evolve(byte_range, offset=0, line=0)
            facts["encoding"] = begin.encoding
            for row in reader:
                if not self._take(row.reference):
                    break
                divisible = not (reader.packed or byte_range.whole or byte_range.broken or file[1] == "excel")
                if divisible and self.rows - self._cut >= self.size:
                    end = byte_range.offset
                    yield self._partition(facts, begin=begin.offset, end=end, line=begin.line)
                    begin = evolve(byte_range)
            if self.rows > self._cut:
                yield self._partition(facts, begin=begin.offset, line=begin.line)

    def _parquet(self, facts: dict[str, Any]) -> Iterator[Partition]:
        path = facts["file"][0]
        with opened(Path(path), None, self.source.reading, own=False) as connection:
            sizes = connection.execute(
                "SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata(?) ORDER BY row_group_id",
                [glob_escaped(path)],
            ).fetchall()
            table = "* EXCLUDE (file_row_number) FROM read_parquet(?, file_row_number = true)"
            parameters, begins = [glob_escaped(path)], set(accumulate(size for _, size in sizes))
            yield from self._ranges(connection, table, "file_row_number", facts, parameters=parameters, begins=begins)

    def _query(self, query: str) -> Iterator[Partition]:
        path, bare = None if self.source.path == "-" else Path(self.source.path), query.strip().rstrip(";")
        facts = {"fingerprint": fingerprint(self.source.path, query)}
        with opened(path, query, self.source.reading) as connection:
            empty = f"SELECT * FROM (\n{bare}\n) LIMIT 0"  # noqa: S608 - theirs
            described = connection.execute(empty).description
            names = [quoted_name(column[0]) for column in described]
            table = Structures.of(connection, empty, (), self.source.reading)
            place, _ = table.places[Columns.match(table.names, self.source.reading).reference]
            # The limits are stored as JSON, which has integers and strings.
            key = names[place] if _INTEGER.fullmatch(str(described[place][1])) else f"CAST({names[place]} AS VARCHAR)"
            order = f" ORDER BY {', '.join([f'{key} NULLS FIRST', *names])}"
            yield from self._ranges(connection, f"* FROM (\n{bare}\n)", key, facts, order=order)

    def _ranges(
        self,
        connection: Any,
        table: str,
        key: str,
        facts: dict[str, Any],
        *,
        order: str = "",
        parameters: Sequence[str] = (),
        begins: Collection[int] | None = None,
    ) -> Iterator[Partition]:
        """Divide the rows of a table into ranges of `key`, an SQL expression."""
        structures = Structures.of(connection, f"SELECT {table}", parameters, self.source.reading)
        columns = Columns.match(structures.names, self.source.reading)
        # With all columns, because a reference can be taken from several columns.
        found = connection.execute(f"SELECT {key}, {table}{order}", list(parameters))
        begin: Any = None
        previous, before = None, self.rows

        def made(end: Any) -> Partition:
            first = "true" if begin is None else f"{key} >= ?"
            last = "true" if end is None else f"({key} < ? OR {key} IS NULL)" if begin is None else f"{key} < ?"
            sql, line = f"SELECT {table} WHERE {first} AND {last}{order}", self._cut - before
            return self._partition(facts, sql=sql, begin=begin, end=end, line=line)

        for value, *record in chain.from_iterable(iter(lambda: found.fetchmany(_BATCH), [])):
            full = self.rows - self._cut >= self.size and value != previous is not None
            if full and (begins is None or value in begins):
                yield made(value)
                begin = value
            if not self._take(columns.reference_of(list(map(plain, structures.values(record))))):
                break
            previous = value
        if self.rows > self._cut:
            yield made(None)


def run_partition(
    partition: Partition, session: CustomerSession[Any], journal: RowJournal | None, *, options: Options | None = None
) -> Job:
    """Upsert the rows of a partition. Use the returned job like a job returned by `sync`.

    With a journal, a partition can be run again, for example after the process was killed.

    Args:
        partition: The rows.
        session: An open session.
        journal: Records the rows in progress and the results; None for no journal.
        options: The settings of the job. `Options.first` has no effect.

    Raises:
        ConfigurationError: The rows cannot be read, or the source changed.
    """
    check_type("partition", partition, (Partition,), "a Partition")
    check_job(session, journal, options)
    chosen = evolve(options or Options(), first=None)
    # The job finds the repeats within its partition, where an invalid row does not count.
    repeats = {number: first for number, first in partition.repeats.items() if first <= partition.number}
    return LocalJob(session, partition.read(), journal, chosen, repeats=repeats)
