"""Reads CSV files."""

import csv
import re
from collections.abc import Generator, Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO

from attrs import define, field

from wonder_customers._support.counted import counted
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.assignment import known_fields, plain
from wonder_customers.bulk.sources.columns import INVALID_BYTES, Columns, Reading, UnknownColumns
from wonder_customers.bulk.sources.presets import synonym
from wonder_customers.bulk.sources.text import ByteRange, TextOptions, decoded, has_invalid_bytes, text_lines
from wonder_customers.errors import ConfigurationError

__all__ = ["csv_rows", "is_blank", "is_footer", "is_remark", "title_hint"]

LONGEST_FIELD = 16 << 20
"""The maximum number of characters in a field, which limits a field with an unclosed quote."""

_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_FOOTER = re.compile(
    r"(page|seite|stranica|strana|pagina|página|pag\.?) \d+( (of|von|od|sur|de|di|van|/) \d+)?"
    r"|(number|anzahl|nombre|broj|liczba) (of |der |de )?\w+\s*:?\s*\d+|(stand|datum|date|as of)\b\s*:?\s*[\d./:\- ]+"
    r"|(grand |sub-?)?totals?( \w+)?\s*[:=]?\s*[\d.,]*( \w+)?|grand totals? \(.*\)"
    r"|(summe|gesamt(summe)?|ukupno|totale?|suma|somme|totaal|summa|celkem|razem|skupaj)\s*:?\s*[\d.,]*"
    r"|\(?\d+ (rows?|records?|customers?|entries|zeilen|lignes)( selected)?\)?|-+ ?end.*"
    r"|(generated|exported|printed|end of|copyright|confidential)\b.* .*"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day, \w+ \d+, \d{4}\b.*",
    re.IGNORECASE,
)
_FOOTER_WORDS = (
    "pag", "seite", "strana", "stranica", "pág", "number", "anzahl", "nombre", "broj", "liczba", "stand", "dat",
    "as of", "grand", "sub", "total", "sum", "gesamt", "ukupno", "somme", "totaal", "celkem", "razem", "skupaj",
    "generated", "exported", "printed", "end of", "copyright", "confidential", "mon", "tue", "wed", "thu", "fri",
    "sat", "sun",
)  # fmt: skip
_FOOTER_START = re.compile(r"[(-]|\d+ |" + "|".join(_FOOTER_WORDS))
"""The start of a footer in lower case. The pattern excludes most rows quickly."""
_FOOTER_LETTERS = frozenset(word[:2] for word in _FOOTER_WORDS)
"""The first two letters of a footer. They exclude most rows faster than the pattern."""
_TITLE_LINES = 30
_LONGEST_HEADER = 10_000
REMARK = (
    "only the first column has a value, which contains a space, so the line may not be a customer; delete the line, or"
    " add a value to another column"
)


def csv_rows(
    file: BinaryIO, number: int, reading: Reading, where: str, byte_range: ByteRange
) -> Generator[Row, None, int]:
    """Yield the rows of a CSV file, and return the number of the last row.

    Raise `ConfigurationError` if the file or its columns cannot be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    head = ByteRange(encoding=byte_range.encoding)
    options = reading.mapping.text
    lines = text_lines(file, head)
    skipped = sum(1 for _ in islice(lines, options.skip_lines))
    first = next(lines, None)
    if first is None:
        return number
    separator = _EXCEL_SEPARATOR.fullmatch(first)
    if separator is None:
        lines = chain([first], lines)
    delimiter = options.delimiter or (separator[1] if separator else _delimiter(first, options))
    skipped += separator is not None
    # Blanks around values are not part of the values; after a delimiter, they would hide a quote.
    dialect = {"delimiter": delimiter, "quotechar": options.quote or '"', "strict": True, "skipinitialspace": True}
    reader = csv.reader(lines, **dialect)  # type: ignore[arg-type]  # values of several types
    try:
        header = next((names for names in reader if not is_blank(names)), None)
        if header is None:
            return number
        columns = Columns.match(_valid(header, f"{where}line {skipped + reader.line_num}: "), reading)
    except csv.Error as error:
        raise ConfigurationError(
            f"{where}line {skipped + reader.line_num}: the column names cannot be read ({error}). Check the quotes and"
            " `delimiter`."
        ) from None
    except UnknownColumns as error:
        hint = title_hint(_cells(lines, options), skipped + reader.line_num, header or [])
        if not hint and len(header or []) == 1:
            hint = " If the columns are separated by another character, set this character with `delimiter`."
        raise ConfigurationError(f"{error}{hint}") from None
    head.take_recent()
    if byte_range.offset:
        file.seek(byte_range.offset)
    else:
        byte_range.whole, byte_range.offset = head.whole, head.offset
        byte_range.line = reader.line_num + skipped
    if not byte_range.whole:
        reader = csv.reader(decoded(file, byte_range), **dialect)  # type: ignore[arg-type]
    before, ending = byte_range.line - reader.line_num, head if byte_range.whole else byte_range
    return (yield from _rows(_Records(reader, before, byte_range, ending), columns, number, where))


def is_blank(values: list[str]) -> bool:
    """Return whether a row contains neither a letter nor a digit."""
    return not any(map(str.isalnum, "".join(values)))


def is_footer(values: list[str]) -> bool:
    """Return whether a row seems to be a line after the table, such as ``Total``."""
    filled = [value.strip() for value in values if value.strip()]
    if not filled or not (_FOOTER.fullmatch(filled[0]) or _FOOTER.fullmatch(", ".join(filled))):
        return False
    if filled[0][-3:].lower() == "day":
        return True
    return not any(character.isalpha() for value in filled[1:] for character in value)


def _starts_like_footer(value: str) -> bool:
    may_be_footer = not value[0].isalpha() or value[:2].lower() in _FOOTER_LETTERS
    return may_be_footer and _FOOTER_START.match(value.lower()) is not None


def is_remark(values: Sequence[Any]) -> bool:
    """Return whether a row of several columns may be a remark in the first column."""
    return len(values) > 2 and bool(values[0]) and not any(it is not None and str(it).strip() for it in values[1:])


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


def _known(names: Sequence[str]) -> int:
    """Return the number of names that match a field or a synonym."""
    return sum(plain(name) in known_fields() or synonym(name) is not None for name in names)


def _cells(lines: Iterator[str], options: TextOptions) -> Iterator[list[str]]:
    """Yield the cells of lines."""
    for line in lines:
        start = line[:_LONGEST_HEADER].splitlines()[:1]
        # The delimiter of a title line may differ from that of the column names.
        yield next(csv.reader(start, delimiter=options.delimiter or _delimiter(line, options)), [])


def title_hint(lines: Iterator[list[str]], before: int, header: Sequence[str]) -> str:
    """Return a hint if a later line seems to contain the column names."""
    least = _known(header)
    for number, cells in enumerate(islice(lines, _TITLE_LINES), before):
        known = _known(cells)
        if known > max(least, 1) or (known > least and len(cells) == 1):
            return f" Line {number + 1} seems to contain the column names: add skip_lines={number}."
    return ""


@define
class _Records:
    """The records of a CSV file, with a lookahead of one record."""

    reader: Any
    # The number of lines of the file that the parser does not read.
    before: int
    # The position after the current record.
    byte_range: ByteRange
    # Its `recent` contains the lines of the current record.
    ending: ByteRange
    # The line of a record that continues the previous record; 0 if there is none.
    broken: int = field(default=0, init=False)
    line: int = field(default=0, init=False)
    original: bytes = field(default=b"", init=False)
    _ahead: tuple[list[str] | csv.Error | None, int, int, bytes] | None = field(default=None, init=False)

    def take(self) -> list[str] | csv.Error | None:
        """Return the next record, or the parser's error for it; None at the end."""
        at = self.byte_range
        at.broken, self.line = False, at.line + 1
        if self._ahead is not None:
            found, at.offset, at.line, self.original = self._ahead
            self._ahead = None
            return found
        try:
            found = next(self.reader)
        except StopIteration:
            return None
        except csv.Error as error:
            found = error
        at.line, self.original = self.before + self.reader.line_num, self.ending.take_recent()
        return found

    def peek(self) -> list[str] | csv.Error | None:
        """Return the next record without advancing."""
        at = self.byte_range
        before = at.offset, at.line, self.line, self.original
        found = self.take()
        self._ahead = found, at.offset, at.line, self.original
        at.offset, at.line, self.line, self.original = before
        return found


def _rows(records: _Records, columns: Columns, number: int, where: str) -> Generator[Row, None, int]:
    width, reference_of, take, with_cards = len(columns.names), columns.reference_of, records.take, columns.with_cards
    while (values := take()) is not None:
        place, original = f"{where}line {records.line}", None if with_cards else records.original
        if isinstance(values, csv.Error):
            problem, reference, values = _reason(values, records), None, list[str]()
        else:
            problem, reference = None, reference_of(values)
            # A reference without letters and digits, or without other cells, may be a line that is not a row.
            if (reference is None or not reference[0].isalnum()) and is_blank(values):
                if "\0" not in "".join(values):
                    continue
                problem = "the row contains NUL characters, so the file is damaged"
            elif (not values[0] or _starts_like_footer(values[0])) and is_footer(values):
                columns.cleaner.notes.footers += 1
                continue
            elif len(values) != width:
                problem = _width_problem(values, width, records)
            elif reference is not None and " " in reference and is_remark(values):
                problem = REMARK
        number += 1
        if problem is not None:
            yield Row(number, problem=f"{place}: {problem}", place=place, original=original)
            continue
        # Keywords are slower, and this is called for every row.
        yield Row(number, None, None, reference, place, original, columns, values)
    return number


def _width_problem(values: list[str], width: int, records: _Records) -> str | None:
    """Return the problem of a row with a wrong number of values."""
    if len(values) > width:
        if any(map(str.strip, values[width:])):
            return f"the row has {len(values)} values, but the table has {counted(width, 'column', 'columns')}"
        del values[width:]
        return None
    # Spreadsheets omit empty values at the end of a row.
    continues = records.broken == records.line
    if continues or len(values) == 1:
        part = "the line is the rest of the previous row, which contains a line break outside quotes"
        return part if continues else f"the row has 1 value, but the table has {width} columns"
    following = records.peek()
    if following is None and not records.original.endswith(b"\n"):
        return "the last line is incomplete; another program may still be writing to the file"
    if isinstance(following, list) and not is_blank(following) and len(values) + len(following) - 1 == width:
        records.broken, records.byte_range.broken = records.byte_range.line + 1, True
        return "the line is a part of a row, because the row contains a line break outside quotes"
    return None


def _reason(error: csv.Error, records: _Records) -> str:
    text, last = str(error), records.byte_range.line
    if "unexpected end" in text:
        return "a quoted value starts here and is not closed"
    if "field limit" in text:
        return f"a value is longer than {LONGEST_FIELD >> 20} MB; a quoted value is probably not closed"
    if "new-line" in text:
        return "the line contains a CR line break, but the first line does not; use one kind of line break in the file"
    joined = f"; lines {records.line} to {last} were read as one row" if last > records.line else ""
    return f"a quote character within a value is not doubled, or a quoted value is not closed{joined}"


def _delimiter(line: str, options: TextOptions) -> str:
    """Return the most frequent delimiter outside quotes; a comma by default."""
    quote = re.escape(options.quote or '"')
    bare = re.sub(f"{quote}[^{quote}]*{quote}", "", line)
    return max(",;\t|", key=bare.count)
