"""CSV files: byte order marks, Windows-1252, semicolons, line breaks in quotes, very long rows."""

import csv
import io
import re
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

import orjson

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.columns import Columns, Reading, without
from wonder_customers.errors import ConfigurationError

__all__ = ["csv_rows"]

LONGEST_FIELD = 16 << 20
"""The maximum number of characters in a field. Without it, an unclosed quote would swallow the rest of the file."""

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Control characters that occur in UTF-32, UTF-16 without a byte order mark and binary files, and not in text."""
_LOOK = 4096
"""The number of bytes after the first line that are searched for them."""
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
    head = ByteRange()
    lines = _lines(file, head)
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
        columns = Columns.match(header, reading)
    except (csv.Error, ConfigurationError) as error:
        if _NO_TEXT.search(first) or (not head.whole and _NO_TEXT.search(file.read(_LOOK).decode("latin-1"))):
            raise ConfigurationError(
                f"{where}line 1: not text in UTF-8, UTF-16 or Windows-1252. Export the file as CSV in UTF-8. Nothing"
                " was sent."
            ) from None
        if isinstance(error, csv.Error):
            raise ConfigurationError(f"{where}line 1: the column names cannot be read ({error})") from None
        raise
    if byte_range.offset:
        file.seek(byte_range.offset)
    else:
        byte_range.whole, byte_range.offset, byte_range.encoding = head.whole, head.offset, head.encoding
        byte_range.line = reader.line_num + (1 if separator else 0)
    if not byte_range.whole:
        reader = csv.reader(_decoded(file, byte_range), delimiter=delimiter, strict=True)
    return (yield from _rows(reader, columns, number, where, byte_range))


def _rows(reader: Any, columns: Columns, number: int, where: str, byte_range: ByteRange) -> Generator[Row, None, int]:
    width, key, cards = len(columns.names), columns.reference, columns.cards
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
            reference=(values[key].strip() or None) if key < len(values) else None,
            place=place,
            raw_values=_material(without(values, cards) if cards else values) + columns.mark,
            build=partial(columns.draft, values, place),
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


def _lines(file: BinaryIO, head: ByteRange) -> Iterator[str]:
    """Decode the file's lines: UTF-8, UTF-16 with a byte order mark, otherwise Windows-1252."""
    first = file.readline()
    if first.startswith(_UTF16):
        # The text layer has to read the byte order mark again, so the line is put back.
        head.whole = True
        return _utf16(io.TextIOWrapper(io.BufferedReader(_Rejoined(first, file)), "utf-16", newline=""))
    if b"\r" in first.rstrip(b"\r\n"):
        head.whole = True
        return iter(
            io.TextIOWrapper(io.BufferedReader(_Rejoined(first, file)), "utf-8", "surrogateescape", newline=None)
        )
    bare = first.removeprefix(b"\xef\xbb\xbf")
    head.offset = len(first) - len(bare)
    return _decoded(chain([bare] if bare else [], file), head)


def _utf16(lines: Iterable[str]) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):  # noqa: B007 - used in the message
            yield line
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the file starts as UTF-16 text but is invalid after line {number}. Export it again, in UTF-8"
        ) from None


def _decoded(lines: Iterable[bytes], byte_range: ByteRange) -> Iterator[str]:
    """Decode line by line: the first non-ASCII bytes decide between UTF-8 and Windows-1252 for the whole file."""
    for line in lines:
        byte_range.offset += len(line)
        if line.isascii():
            yield line.decode("ascii")
        else:
            try:
                yield line.decode(byte_range.encoding or "utf-8")
            except UnicodeDecodeError:
                # Bytes that fit neither encoding become lone surrogates, for which the row is refused later.
                byte_range.encoding = byte_range.encoding or "cp1252"
                yield line.decode(byte_range.encoding, "surrogateescape")
            byte_range.encoding = byte_range.encoding or "utf-8"
        if byte_range.offset >= byte_range.end:
            return


class _Rejoined(io.RawIOBase):
    """A file whose first bytes were read already."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the first bytes, then the rest."""
        piece = self._first[: len(buffer)] or self._rest.read(len(buffer))
        self._first = self._first[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
