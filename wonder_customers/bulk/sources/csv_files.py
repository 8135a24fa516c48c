"""Reads CSV files."""

import csv
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO

from attrs import define

from wonder_customers._support.counted import counted
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import IDENTIFYING, INVALID_BYTES, Columns, Reading, UnknownColumns
from wonder_customers.bulk.sources.csv_parser import LONGEST_FIELD, CsvRecords
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.sources.other_lines import REMARK, OtherLines, field_of, is_blank, is_remark, title_hint
from wonder_customers.bulk.sources.text import ByteRange, TextOptions, decoded, has_invalid_bytes, text_lines
from wonder_customers.errors import ConfigurationError

__all__ = ["csv_records", "csv_rows"]

_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_LONGEST_HEADER = 10_000


@define
class _Opened:
    """A CSV file whose column names were read."""

    header: list[str]
    # The lines after the column names, the number of the lines before them, and the options of the parser.
    lines: Iterator[str]
    before: int
    dialect: dict[str, Any]
    head: ByteRange

    def records(self, file: BinaryIO, byte_range: ByteRange) -> CsvRecords:
        """Return the records in a byte range."""
        self.head.take_recent()
        if byte_range.offset:
            file.seek(byte_range.offset)
        else:
            byte_range.whole, byte_range.offset, byte_range.line = self.head.whole, self.head.offset, self.before
        if byte_range.whole:
            return CsvRecords(self.lines, self.dialect, byte_range, self.head)
        return CsvRecords(decoded(file, byte_range), self.dialect, byte_range, byte_range)


def _opened(file: BinaryIO, encoding: str | None, options: TextOptions, where: str) -> _Opened | None:
    """Read a file up to its column names; return None if it has none."""
    head = ByteRange(encoding=encoding)
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    lines = text_lines(file, head)
    skipped = sum(1 for _ in islice(lines, options.skip_lines))
    first = next(lines, "")
    separator = _EXCEL_SEPARATOR.fullmatch(first)
    skipped += separator is not None
    # The delimiter is not determined from blank lines.
    start = [] if separator else [first]
    while start and is_blank(start[-1:]) and (line := next(lines, None)) is not None:
        start.append(line)
    delimiter = options.delimiter or (separator[1] if separator else _delimiter(start[-1], options))
    lines = chain(start, lines)
    # Blanks around values are not part of the values; after a delimiter, they would hide a quote.
    dialect = {"delimiter": delimiter, "quotechar": options.quote or '"', "strict": True, "skipinitialspace": True}
    reader = csv.reader(lines, **dialect)  # type: ignore[arg-type]  # values of several types
    try:
        header = next((names for names in reader if not is_blank(names)), None)
    except csv.Error as error:
        raise ConfigurationError(
            f"{where}line {skipped + reader.line_num}: the column names cannot be read ({error}). Check the quotes and"
            " `delimiter`."
        ) from None
    if header is None:
        return None
    before = skipped + reader.line_num
    return _Opened(_valid(header, f"{where}line {before}: "), lines, before, dialect, head)


def csv_rows(
    file: BinaryIO, number: int, reading: Reading, where: str, byte_range: ByteRange
) -> Generator[Row, None, int]:
    """Yield the rows of a CSV file, and return the number of the last row.

    Raise `ConfigurationError` if the file or its columns cannot be read.
    """
    options = reading.mapping.text
    opened = _opened(file, byte_range.encoding, options, where)
    if opened is None:
        return number
    header = opened.header
    try:
        columns = Columns.match(header, reading)
    except UnknownColumns as error:
        hint = title_hint(_cells(opened.lines, options), opened.before, header)
        if not hint and len(header) == 1:
            hint = " If the columns are separated by another character, set this character with `delimiter`."
        raise ConfigurationError(f"{error}{hint}") from None
    records = opened.records(file, byte_range)
    lines = OtherLines(header, columns.identifying, where, reading.notes)
    for place, values, reference, problem in _classified(records, lines, columns.reference_of):
        number += 1
        original = None if columns.with_cards else records.original
        if problem is not None:
            yield Row(number, problem=f"{place}: {problem}", place=place, original=original)
        else:
            # Keywords are slower, and this is called for every row.
            yield Row(number, None, None, reference, place, original, columns, values)
    return number


def csv_records(
    file: BinaryIO, encoding: str, options: TextOptions, where: str, notes: SourceNotes
) -> Iterator[list[str]]:
    """Yield the column names of a CSV file, and its records with the same number of values.

    Raise `ConfigurationError` if a record cannot be read.
    """
    opened = _opened(file, encoding, options, where)
    if opened is None:
        return
    header = opened.header
    yield header
    identifying = [place for place, name in enumerate(header) if (field_of(name) or "").startswith(IDENTIFYING)]
    by_reference = field_of(header[0]) == "reference"
    lines = OtherLines(header, identifying, where, notes)
    records = opened.records(file, ByteRange(encoding=encoding))
    for place, values, _, problem in _classified(records, lines, _first):
        if problem is not None and (by_reference or problem is not REMARK):
            raise ConfigurationError(f"{place}: {problem}. Correct the line; a query needs all lines.")
        yield values


def _first(values: Sequence[str]) -> str | None:
    return values[0] or None if values else None


def _valid(header: list[str], where: str) -> list[str]:
    """Check the column names and return them."""
    if any(map(has_invalid_bytes, header)):
        raise ConfigurationError(
            f"{where}the column names contain {INVALID_BYTES}. Correct the encoding if you named it; otherwise, export"
            " the data again as UTF-8."
        )
    if all(len(name) > 2 and name[0] == name[-1] == "'" for name in map(str.strip, header)):
        raise ConfigurationError(f"{where}the quote character of the column names is '. Add quote=\"'\".")
    return header


def _cells(lines: Iterator[str], options: TextOptions) -> Iterator[list[str]]:
    """Yield the cells of lines."""
    for line in lines:
        start = line[:_LONGEST_HEADER].splitlines()[:1]
        # The delimiter of a title line may differ from that of the column names.
        yield next(csv.reader(start, delimiter=options.delimiter or _delimiter(line, options)), [])


def _classified(
    records: CsvRecords, lines: OtherLines, reference_of: Callable[[list[str]], str | None]
) -> Iterator[tuple[str, list[str], str | None, str | None]]:
    """Yield the location, the values, the reference and the problem of each record that is a row."""
    width, take = len(lines.names), records.take
    while (values := take()) is not None:
        line = records.line
        place = f"{lines.where}line {line}"
        if isinstance(values, csv.Error):
            yield place, [], None, records.reason(values)
            continue
        problem, reference = None, reference_of(values)
        # A reference without letters and digits, or without other cells, may be a line that is not a row.
        if (reference is None or not reference[0].isalnum()) and is_blank(values):
            if "\0" not in "".join(values):
                following = records.peek()
                is_row = isinstance(following, list) and not is_blank(following) and not lines.is_footer(following)
                lines.notes.gaps += is_row
                continue
            problem = "the row contains NUL characters, so the file is damaged"
        elif lines.skips(values, line, reference_of):
            continue
        elif (problem := lines.problem(values, line)) is not None:
            pass
        elif len(values) != width:
            missing = len(values) < width
            problem = _width_problem(values, width, records)
            lines.notes.short_rows += missing and problem is None
        elif not values[-1].strip():
            problem = REMARK if reference is not None and is_remark(values) else None
        elif width > 1:
            problem = _continued(records, lines)
        yield place, values, reference, problem
    lines.notes.unended_files += records.original != b"" and not records.original.endswith((b"\n", b"\r"))


def _width_problem(values: list[str], width: int, records: CsvRecords) -> str | None:
    """Return the problem of a row with a wrong number of values; without a problem, correct the number."""
    if len(values) > width:
        if any(map(str.strip, values[width:])):
            return f"the row has {len(values)} values, but the table has {counted(width, 'column', 'columns')}"
        del values[width:]
        return None
    # Spreadsheets omit empty values at the end of a row.
    continues = records.broken == records.line
    if continues or len(values) == 1:
        part = "the line is probably the rest of the previous row"
        return part if continues else f"the row has 1 value, but the table has {width} columns"
    following = records.peek()
    if following is None and not records.original.endswith(b"\n"):
        return "the last line is incomplete; another program may still be writing to the file"
    if isinstance(following, list) and not is_blank(following) and len(values) + len(following) - 1 == width:
        records.mark_broken()
        return (
            f"the row has {len(values)} values, but the table has {width} columns, and the next line seems to be the"
            " rest of the row; put a value with a line break into quotes, or add the delimiters of empty values"
        )
    values += [""] * (width - len(values))
    return None


def _continued(records: CsvRecords, lines: OtherLines) -> str | None:
    """Return the problem of a complete row whose last value seems to continue in the next line."""
    following = records.peek()
    if not isinstance(following, list) or len(following) > 1 or is_blank(following) or lines.is_footer(following):
        return None
    records.mark_broken()
    return (
        "the next line has 1 value, which seems to be the rest of the last value; put a value with a line break into"
        " quotes, or delete the next line if it is not a part of the table"
    )


def _delimiter(line: str, options: TextOptions) -> str:
    """Return the most frequent delimiter outside quotes; a comma by default."""
    quote = re.escape(options.quote or '"')
    bare = re.sub(f"{quote}[^{quote}]*{quote}", "", line)
    return max(",;\t|", key=bare.count)
