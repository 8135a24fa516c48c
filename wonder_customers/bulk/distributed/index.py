"""The index pass: reads a source once and divides it into partitions.

Quoted values of a CSV file may contain line breaks, so the end of a row can be found only by parsing the file from its
start. The index pass therefore uses the same reader as the workers, and splits the file only at boundaries between the
rows that this reader finds. It also records which rows repeat an earlier reference, because a worker reads only its own
partition.
"""

from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from wonder_customers.bulk.change_filter import ReferenceIndex
from wonder_customers.bulk.distributed.partition import Partition, Source, bare
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources import Format, RowReader, files, fingerprint, rows_of_file
from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.columns import Columns
from wonder_customers.bulk.sources.reader import encodings_of
from wonder_customers.bulk.sources.tables import glob_escaped, opened, quoted_name
from wonder_customers.errors import ConfigurationError

__all__ = ["SIZE", "Index"]

SIZE = 1000
"""The approximate number of rows per partition."""
_BATCH = 1000
_INTEGERS = frozenset(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG")) | {
    "INTEGER",
    "UINTEGER",
}


@define(eq=False)
class Index:
    """The partitions of a source. Iterate over it once.

    Text files are divided into byte ranges, Parquet files into row groups, and queries into ranges of their references
    (their rows are numbered in that order). Compressed files, UTF-16 files and files with CR line endings are not
    divided, because they cannot be read from the middle.

    Attributes:
        source: The source.
        size: The approximate number of rows per partition; larger row groups are not divided, and rows with the same
            reference stay together.
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
                    "a database cannot be divided between workers. Nothing was sent. Run without --on, or save the"
                    " result of the query to a file and use this file as the source."
                )
            if self.source.query is not None:
                yield from self._query(self.source.query)
                return
            chosen = files(Path(self.source.path), self.source.form)
            # All files are checked first, so that no worker starts if one of them is refused.
            encodings = encodings_of(chosen, self.source.reading)
            for file, encoding in zip(chosen, encodings, strict=True):
                where = f"{file[0].name}, " if len(chosen) > 1 else ""
                yield from self._row_groups(file, where) if file[1] == "parquet" else self._file(file, where, encoding)
                if self.cut_short:
                    return

    def _take(self, reference: str | None) -> bool:
        """Count a row; return False if it exceeds `first`."""
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

    def _partition(self, **what: Any) -> Partition:
        """Return a partition of the rows that were counted since the previous partition."""
        self._note()
        repeats = tuple(sorted(self._repeats.items()))
        made = Partition(
            source=self.source, place=self._made, number=self._cut, rows=self.rows - self._cut, repeats=repeats, **what
        )
        self._repeats, self._cut, self._made = {}, self.rows, self._made + 1
        return made

    def _file(self, file: tuple[Path, Format], where: str, encoding: str | None) -> Iterator[Partition]:
        facts = {"file": (str(file[0]), file[1]), "where": where, "fingerprint": fingerprint(file[0])}
        byte_range = ByteRange(encoding=encoding)

        def rows(reader: RowReader) -> Iterator[Row]:
            return rows_of_file(reader, file, self.rows, self.source.reading, where=where, byte_range=byte_range)

        with closing(RowReader(rows, None)) as reader:
            begin = end = evolve(byte_range, offset=0, line=0)
            for row in reader:
                if not self._take(row.reference):
                    break
                end = evolve(byte_range)
                divisible = not (reader.packed or byte_range.whole or byte_range.broken or file[1] == "excel")
                if divisible and self.rows - self._cut >= self.size:
                    yield self._bytes(begin, end, facts)
                    begin = end
            if self.rows > self._cut:
                whole = reader.packed or byte_range.whole or file[1] == "excel"
                yield (
                    self._partition(kind="file", **facts, encoding=begin.encoding)
                    if whole
                    else self._bytes(begin, end, facts)
                )

    def _bytes(self, begin: ByteRange, end: ByteRange, facts: dict[str, Any]) -> Partition:
        return self._partition(
            kind="bytes", **facts, begin=begin.offset, end=end.offset, line=begin.line, encoding=begin.encoding
        )

    def _row_groups(self, file: tuple[Path, Format], where: str) -> Iterator[Partition]:
        facts = {"file": (str(file[0]), file[1]), "where": where, "fingerprint": fingerprint(file[0])}
        with opened(file[0], None, self.source.reading) as connection:
            names = [column[0] for column in connection.execute("SELECT * FROM source LIMIT 0").description]
            columns = Columns.match(names, self.source.reading)
            sizes = connection.execute(
                "SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata(?) ORDER BY row_group_id",
                [glob_escaped(file[0])],
            ).fetchall()
            found = connection.execute("SELECT * FROM source")
            records = chain.from_iterable(iter(lambda: found.fetchmany(_BATCH), []))
            references = (columns.reference_of(record) for record in records)
            begin = end = 0
            for _, size in sizes:
                for reference in islice(references, size):
                    if not self._take(reference):
                        break
                    end += 1
                if self.rows - self._cut >= self.size or (self.cut_short and self.rows > self._cut):
                    yield self._partition(kind="rows", **facts, begin=begin, end=end, line=begin)
                    begin = end
                if self.cut_short:
                    return
        if self.rows > self._cut:
            yield self._partition(kind="rows", **facts, begin=begin, end=end, line=begin)

    def _query(self, query: str) -> Iterator[Partition]:
        path = None if self.source.path == "-" else Path(self.source.path)
        mark = fingerprint(self.source.path, query)
        with opened(path, query, self.source.reading) as connection:
            described = connection.execute(f"SELECT * FROM (\n{bare(query)}\n) LIMIT 0").description  # noqa: S608 - theirs
            names = [column[0] for column in described]
            columns = Columns.match(names, self.source.reading)
            place = columns.reference
            key = quoted_name(names[place])
            if str(described[place][1]) not in _INTEGERS:
                key = f"CAST({key} AS VARCHAR)"
            facts = {"key": (key, *names), "fingerprint": mark}
            found = connection.execute(f"SELECT {key} FROM (\n{bare(query)}\n) ORDER BY 1 NULLS FIRST")  # noqa: S608
            begin = last = None
            for batch in iter(lambda: found.fetchmany(_BATCH), []):
                for (value,) in batch:
                    if self.rows - self._cut >= self.size and value != last and last is not None:
                        line = self._cut
                        yield self._partition(kind="keys", **facts, begin=begin, end=value, line=line)
                        begin = value
                    if not self._take(columns.cleaner.reference(value)):
                        break
                    last = value
                if self.cut_short:
                    break
            if self.rows > self._cut:
                line = self._cut
                yield self._partition(kind="keys", **facts, begin=begin, end=None, line=line)
