"""CSV files: semicolons, line breaks in quotes, very long rows."""

import csv
import re
from collections.abc import Generator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

import orjson

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.columns import INVALID_BYTES, Columns, Reading
from wonder_customers.bulk.sources.text import decoded, has_invalid_bytes, text_lines
from wonder_customers.errors import ConfigurationError

__all__ = ["csv_rows"]

LONGEST_FIELD = 16 << 20
"""The maximum number of characters in a field. Without it, an unclosed quote would swallow the rest of the file."""

_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def csv_rows(
    file: BinaryIO, number: int, reading: Reading, where: str = "", byte_range: ByteRange | None = None
) -> Generator[Row, None, int]:
    """Read the rows of a CSV file, whose first line contains the column names.

    Args:
        file: The unpacked bytes.
        number: The number of rows before this file.
        reading: How columns are read.
        where: Prefix for the row's place, such as ``customers.csv, ``.
        byte_range: The part of the file to read; afterwards, and between two rows, the position of the reader.

    Returns:
        The number of the last row.

    Raises:
        ConfigurationError: The columns cannot be used.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    byte_range = byte_range or ByteRange()
    head = ByteRange(encoding=byte_range.encoding)
    lines = text_lines(file, head)
    first = next(lines, None)
    if first is None:
        return number
    separator = _EXCEL_SEPARATOR.fullmatch(first)
    if separator is None:
        lines = chain([first], lines)
    delimiter = separator[1] if separator else _delimiter(first)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = next(filter(None, reader), [])
        columns = Columns.match(_valid(header, where), reading)
    except (csv.Error, ConfigurationError) as error:
        if isinstance(error, csv.Error):
            raise ConfigurationError(f"{where}line 1: the column names cannot be read ({error})") from None
        raise
    if byte_range.offset:
        file.seek(byte_range.offset)
    else:
        byte_range.whole, byte_range.offset = head.whole, head.offset
        byte_range.line = reader.line_num + (1 if separator else 0)
    if not byte_range.whole:
        reader = csv.reader(decoded(file, byte_range), delimiter=delimiter, strict=True)
    return (yield from _rows(reader, columns, number, where, byte_range))


def _valid(header: list[str], where: str) -> list[str]:
    """Return the column names, if they can be decoded."""
    if any(map(has_invalid_bytes, header)):
        raise ConfigurationError(f"{where}line 1: the column names contain {INVALID_BYTES}. Nothing was sent.")
    return header


def _rows(reader: Any, columns: Columns, number: int, where: str, byte_range: ByteRange) -> Generator[Row, None, int]:
    width, key = len(columns.names), columns.reference
    before = byte_range.line - reader.line_num
    while True:
        line = before + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return number
        except csv.Error as error:
            number, byte_range.line = number + 1, before + reader.line_num
            place = f"{where}line {line}"
            yield Row(number, problem=f"{place}: {_reason(error)}", place=place)
            continue
        if not any(values):
            continue
        number, byte_range.line = number + 1, before + reader.line_num
        place = f"{where}line {line}"
        if len(values) > width:
            if any(map(str.strip, values[width:])):
                problem = f"{place}: has {len(values)} columns, but the first line has {width}"
                yield Row(number, problem=problem, place=place)
                continue
            del values[width:]
        yield Row(
            number,
            reference=None if key >= len(values) or columns.is_card(key, values[key]) else values[key].strip() or None,
            place=place,
            raw_values=columns.digestible(values, _material),
            build=partial(columns.draft, values, place),
            columns=columns.fields,
        )


def _material(values: object) -> bytes:
    try:
        return orjson.dumps(values)
    except TypeError:  # text that is not valid Unicode
        return repr(values).encode("utf-8", "backslashreplace")


def _reason(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quote is opened here and not closed"
    if "field limit" in text:
        return f"a field is longer than {LONGEST_FIELD >> 20} MB; probably a quote is opened and not closed"
    return f"is not valid CSV ({text})"


def _delimiter(line: str) -> str:
    """Return the delimiter that the first line uses most, outside quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(",;\t|", key=bare.count)
