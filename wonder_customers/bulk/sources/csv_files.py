"""CSV as real people have it: byte order marks, Windows-1252, semicolons, line breaks in quotes, rows of a megabyte."""

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
"""Characters a field may have. A quote that is never closed would otherwise swallow the rest of the file."""

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Control characters that UTF-32, UTF-16 without its mark and binary files are full of, and texts have none of."""
_LOOK = 4096
"""Bytes behind the first line in which they are looked for."""
_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def csv_rows(
    file: BinaryIO, number: int, reading: Reading, where: str = "", stretch: ByteRange | None = None
) -> Generator[Row, None, int]:
    """The rows of a CSV file, whose first line names the columns.

    Args:
        file: The bytes, unpacked.
        number: How many rows went before this file.
        reading: How the columns are read.
        where: Goes before the line in a row's place, such as ``customers.csv, ``.
        stretch: The part of the file whose rows are read; afterwards, and between two rows, where the reading stands.

    Returns:
        The number of the last row.

    Raises:
        ConfigurationError: The columns cannot be used.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    stretch = stretch or ByteRange()
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
                f"{where}line 1: this does not look like text in UTF-8, UTF-16 or Windows-1252: export it as CSV again,"
                " best in UTF-8. Nothing was sent."
            ) from None
        if isinstance(error, csv.Error):
            raise ConfigurationError(f"{where}line 1: the column names cannot be read ({error})") from None
        raise
    if stretch.offset:
        file.seek(stretch.offset)
    else:
        stretch.whole, stretch.offset, stretch.encoding = head.whole, head.offset, head.encoding
        stretch.line = reader.line_num + (1 if separator else 0)
    if not stretch.whole:
        reader = csv.reader(_decoded(file, stretch), delimiter=delimiter, strict=True)
    return (yield from _rows(reader, columns, number, where, stretch))


def _rows(reader: Any, columns: Columns, number: int, where: str, stretch: ByteRange) -> Generator[Row, None, int]:
    width, key, cards = len(columns.names), columns.reference, columns.cards
    before = stretch.line - reader.line_num
    while True:
        line = before + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return number
        except csv.Error as error:
            number, stretch.line = number + 1, before + reader.line_num
            place = f"{where}line {line}"
            yield Row(number, problem=f"{place}: {_words(error)}", place=place)
            continue
        if not any(values):
            continue
        number, stretch.line = number + 1, before + reader.line_num
        place = f"{where}line {line}"
        if len(values) > width:
            if any(map(str.strip, values[width:])):
                problem = f"{place}: has {len(values)} columns where the first line names {width}"
                yield Row(number, problem=problem, place=place)
                continue
            del values[width:]
        yield Row(
            number,
            reference=(values[key].strip() or None) if key < len(values) else None,
            place=place,
            material=_material(without(values, cards) if cards else values) + columns.mark,
            build=partial(columns.draft, values, place),
        )


def _material(values: object) -> bytes:
    try:
        return orjson.dumps(values)
    except TypeError:  # text that is not valid Unicode
        return repr(values).encode("utf-8", "backslashreplace")


def _words(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quote is opened here and never closed"
    if "field limit" in text:
        return f"a field is longer than {LONGEST_FIELD >> 20} MB; probably a quote is opened and never closed"
    return f"is not CSV ({text})"


def _delimiter(line: str) -> str:
    """The separator that the first line uses most, outside quotes."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(",;\t|", key=bare.count)


def _lines(file: BinaryIO, head: ByteRange) -> Iterator[str]:
    """The file's lines as text: UTF-8, UTF-16 with its mark, else Windows-1252."""
    first = file.readline()
    if first.startswith(_UTF16):
        # The mark is read again by a text layer that knows it; the line just read goes before.
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
        for number, line in enumerate(lines, 1):  # noqa: B007 - told below
            yield line
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"the file begins as UTF-16 text and is none after line {number}: export it again, best as UTF-8"
        ) from None


def _decoded(lines: Iterable[bytes], stretch: ByteRange) -> Iterator[str]:
    """Decode line by line: the first bytes beyond ASCII decide between UTF-8 and Windows-1252 for the whole file."""
    for line in lines:
        stretch.offset += len(line)
        if line.isascii():
            yield line.decode("ascii")
        else:
            try:
                yield line.decode(stretch.encoding or "utf-8")
            except UnicodeDecodeError:
                # Bytes that fit neither become lone surrogates, which the row is then refused for by its line.
                stretch.encoding = stretch.encoding or "cp1252"
                yield line.decode(stretch.encoding, "surrogateescape")
            stretch.encoding = stretch.encoding or "utf-8"
        if stretch.offset >= stretch.end:
            return


class _Rejoined(io.RawIOBase):
    """A file whose beginning was read already."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give the beginning, then the rest."""
        piece = self._first[: len(buffer)] or self._rest.read(len(buffer))
        self._first = self._first[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
