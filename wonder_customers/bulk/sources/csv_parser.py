"""The records of a CSV file, and the lines of records that cannot be parsed."""

import csv
import re
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

from attrs import define, field

from wonder_customers.bulk.sources.text import ByteRange

__all__ = ["LONGEST_FIELD", "CsvRecords"]

LONGEST_FIELD = 16 << 20
"""The maximum number of characters in a field, which limits a field with an unclosed quote."""


@define
class CsvRecords:
    """The records of a CSV file, with a lookahead of one record."""

    # The lines after the column names, and the options of the parser.
    lines: Iterator[str]
    dialect: dict[str, Any]
    # The position after the current record.
    byte_range: ByteRange
    # Its `recent` contains the lines of the current record.
    ending: ByteRange
    # The line of a record that continues the previous record; 0 if there is none.
    broken: int = field(default=0, init=False)
    line: int = field(default=0, init=False)
    original: bytes = field(default=b"", init=False)
    _reader: Any = field(init=False)
    # The number of lines of the file that `_reader` does not read.
    _before: int = field(init=False)
    _ahead: tuple[list[str] | csv.Error | None, int, int, bytes] | None = field(default=None, init=False)
    # Lines that were read to find the end of a broken record, but do not belong to it.
    _returned: deque[tuple[str, bytes]] = field(factory=deque, init=False)
    _quotes: re.Pattern[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reader, self._before = csv.reader(self.lines, **self.dialect), self.byte_range.line
        delimiter, quote = re.escape(self.dialect["delimiter"]), re.escape(self.dialect["quotechar"])
        # Quotes with the start of a value before them, if it is there, and the end of a value after them.
        ends = rf"(?=( *(?:{delimiter}|[\r\n]|\Z))?)"
        self._quotes = re.compile(rf"((?:^|\r|{delimiter}) *)?({quote}+){ends}", re.MULTILINE)

    def take(self) -> list[str] | csv.Error | None:
        """Return the next record, or the parser's error for it; None at the end."""
        at = self.byte_range
        at.broken, self.line = False, at.line + 1
        if self._ahead is not None:
            found, at.offset, at.line, self.original = self._ahead
            self._ahead = None
            return found
        try:
            found = next(self._reader)
        except StopIteration:
            return None
        except csv.Error as error:
            found = error
            self._take_rest()
        at.line, self.original = self._before + self._reader.line_num, self.ending.take_recent()
        return found

    def peek(self) -> list[str] | csv.Error | None:
        """Return the next record without advancing."""
        at = self.byte_range
        before = at.offset, at.line, self.line, self.original
        found = self.take()
        self._ahead = found, at.offset, at.line, self.original
        at.offset, at.line, self.line, self.original = before
        return found

    def mark_broken(self) -> None:
        """Record that the next record is the rest of the current record."""
        self.broken, self.byte_range.broken = self.byte_range.line + 1, True

    def reason(self, error: csv.Error) -> str:
        """Return why the current record cannot be read."""
        text, last = str(error), self.byte_range.line
        if "unexpected end" in text:
            return "a quoted value starts here and is not closed"
        if "field limit" in text:
            return f"a value is longer than {LONGEST_FIELD >> 20} MB; a quoted value is probably not closed"
        joined = f"; lines {self.line} to {last} were read as one row" if last > self.line else ""
        if "new-line" in text:
            return (
                "the line contains a CR line break, but the first line does not; use one kind of line break in the"
                f" file{joined}"
            )
        return f"a quote character within a value is not doubled, or a quoted value is not closed{joined}"

    def _take_rest(self) -> None:
        """Read the other lines of a record that cannot be parsed.

        Its last value may continue in the next lines, which must not be read as customers. The first quote in these
        lines shows whether it ends this value or starts another one.
        """
        recent, source = self.ending.recent, chain(self._again(), self.lines)
        encoding = "utf-8" if self.byte_range.whole else self.byte_range.encoding or "utf-8"
        record, quote = b"".join(recent).decode(encoding, "surrogateescape"), self.dialect["quotechar"]
        inside, before = self._is_open(record, inside=False), self._before + self._reader.line_num
        # A record without quotes does not continue.
        searching = quote in record
        while searching:
            lines, size = list[str](), 0
            for line in source:
                lines.append(line)
                size += len(line)
                if quote in line or size > LONGEST_FIELD:
                    break
            first = self._quotes.search(lines[-1]) if lines else None
            if first is not None and len(first[2]) % 2 and (first[1] is None) != (first[3] is None):
                inside = first[1] is None
            searching = inside and first is not None
            if searching:
                inside = self._is_open(lines[-1], inside=True)
                before += len(lines)
            elif lines:
                self._returned.extendleft(reversed(list(zip(lines, recent[-len(lines) :], strict=True))))
                del recent[-len(lines) :]
        self._reader, self._before = csv.reader(chain(self._again(), self.lines), **self.dialect), before

    def _again(self) -> Iterator[str]:
        """Yield the returned lines."""
        while self._returned and self.byte_range.offset < self.byte_range.end:
            line, original = self._returned.popleft()
            self.ending.recent.append(original)
            yield line

    def _is_open(self, text: str, *, inside: bool) -> bool:
        """Return whether a quoted value continues after `text`, if quotes within values are not doubled."""
        for found in self._quotes.finditer(text):
            count = len(found[2])
            if not inside:
                if found[1] is None:
                    continue
                inside, count = True, count - 1
            if count % 2 and found[3] is not None:
                inside = False
        return inside
