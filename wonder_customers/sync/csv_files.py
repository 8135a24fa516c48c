"""CSV as real people have it: byte order marks, Windows-1252, semicolons, line breaks in quotes, rows of a megabyte."""

import csv
import io
import re
from collections.abc import Generator, Iterator
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

import orjson

from wonder_customers.errors import ConfigurationError
from wonder_customers.sync.columns import Columns, Reading, without
from wonder_customers.sync.rows import Row

__all__ = ["csv_rows"]

LONGEST_FIELD = 16 << 20
"""Characters a field may have. A quote that is never closed would otherwise swallow the rest of the file."""

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def csv_rows(file: BinaryIO, number: int, reading: Reading, where: str = "") -> Generator[Row, None, int]:
    """The rows of a CSV file, whose first line names the columns.

    Args:
        file: The bytes, unpacked.
        number: How many rows went before this file.
        reading: How the columns are read.
        where: Goes before the line in a row's place, such as ``customers.csv, ``.

    Returns:
        The number of the last row.

    Raises:
        ConfigurationError: The columns cannot be used.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        return number
    separator = _EXCEL_SEPARATOR.fullmatch(first)
    if separator is None:
        lines = chain([first], lines)
    reader = csv.reader(lines, delimiter=separator[1] if separator else _delimiter(first), strict=True)
    try:
        header = next(filter(None, reader), [])
    except csv.Error as error:
        raise ConfigurationError(f"{where}line 1: the column names cannot be read ({error})") from None
    columns = Columns.match(header, reading)
    return (yield from _rows(reader, columns, number, where, 1 if separator else 0))


def _rows(reader: Any, columns: Columns, number: int, where: str, before: int) -> Generator[Row, None, int]:
    width, key, cards = len(columns.names), columns.reference, columns.cards
    while True:
        line = before + reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return number
        except csv.Error as error:
            number += 1
            place = f"{where}line {line}"
            yield Row(number, problem=f"{place}: {_words(error)}", place=place)
            continue
        if not any(values):
            continue
        number += 1
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


def _lines(file: BinaryIO) -> Iterator[str]:
    """The file's lines as text: UTF-8, UTF-16 with its mark, else Windows-1252."""
    first = file.readline()
    if first.startswith(_UTF16):
        # The mark is read again by a text layer that knows it; the line just read goes before.
        text = io.TextIOWrapper(io.BufferedReader(_Rejoined(first, file)), "utf-16", "surrogateescape", newline="")
        return iter(text)
    if b"\r" in first.rstrip(b"\r\n"):
        return iter(
            io.TextIOWrapper(io.BufferedReader(_Rejoined(first, file)), "utf-8", "surrogateescape", newline=None)
        )
    return _decoded(chain([first.removeprefix(b"\xef\xbb\xbf")] if first else [], file))


def _decoded(lines: Iterator[bytes]) -> Iterator[str]:
    """Decode line by line: the first bytes beyond ASCII decide between UTF-8 and Windows-1252 for the whole file."""
    encoding, sure = "utf-8", False
    for line in lines:
        if line.isascii():
            yield line.decode("ascii")
            continue
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError:
            # Bytes that fit neither become lone surrogates, which the row is then refused for by its line.
            if not sure:
                encoding = "cp1252"
            yield line.decode(encoding, "surrogateescape")
        sure = True


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
