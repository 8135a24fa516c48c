"""Reads JSON files and files of failed rows."""

import codecs
import json
import re
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache, partial
from shlex import quote
from typing import Any, BinaryIO

from attrs import define, field

from wonder_customers.bulk.rows import Row, RowProblem
from wonder_customers.bulk.sources.columns import INVALID_BYTES, Columns, Reading, UnknownColumns
from wonder_customers.bulk.sources.encodings import is_line_based
from wonder_customers.bulk.sources.nested import NOT_ROWS, check_rows, nested_names, parts, rows_hint
from wonder_customers.bulk.sources.other_lines import field_of
from wonder_customers.bulk.sources.text import ByteRange, decoded, has_invalid_bytes, text_lines
from wonder_customers.dialects.json import DEPTH, UnreadableJsonError, parse_source_json
from wonder_customers.errors import ConfigurationError

__all__ = ["DEAD_LETTER", "json_rows"]

DEAD_LETTER = frozenset({"row", "reason", "status"})
"""The keys that identify an entry of a file of failed rows."""

_FORMS = 256
"""The maximum number of sets of keys whose columns are cached. Optional keys produce many sets."""
_LONGEST = 16 << 20
_HEAD = 4096
_PIECE = 1 << 16
_BLANK = re.compile(r"[\s,]*")
_DOCUMENT = re.compile(r"\[\s*(\{|\]|$)|\{\s*\n\s+\"")
_LIST_OF_LISTS = re.compile(r"\[\s*\[")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # only finds ends; numbers may be too long to convert


@define
class _Forms:
    """How objects are read."""

    # Returns the columns of objects with some keys; None if their rows have no reference.
    of: Callable[[tuple[str, ...]], Columns | None]
    # Returns whether the parts of an object are columns.
    nested: Callable[..., bool]
    in_array: bool = False


def json_rows(
    file: BinaryIO, number: int, reading: Reading, where: str, byte_range: ByteRange
) -> Generator[Row, None, int]:
    """Yield the rows of a JSON file, and return the number of the last row.

    Raise `ConfigurationError` if the file cannot be read, or does not contain one object for each customer.
    """
    forms = _Forms(lru_cache(_FORMS)(partial(Columns.optional, reading=reading)), nested_names(reading, "metadata"))
    if byte_range.offset:
        file.seek(byte_range.offset)
        lines = decoded(file, byte_range)
    else:
        encoding = byte_range.encoding or "utf-8"
        head = file.read(_HEAD).decode(encoding, "ignore").removeprefix("\ufeff").lstrip()
        file.seek(0)
        if _LIST_OF_LISTS.match(head):
            raise ConfigurationError(NOT_ROWS)
        member = _list_member(file, encoding, where) if head.startswith("{") else None
        forms.in_array = head.startswith("[")
        if member is not None or _DOCUMENT.match(head):
            byte_range.whole, reading.notes.member = True, member
            buffer = _Buffer(_pieces(file, encoding), where)
            if member is not None:
                next(name for name, start in _lists(buffer) if name == member and start)
            for text, line in _objects(buffer, where, inside=member is not None):
                number += 1
                original = text.encode("utf-8", "surrogateescape")
                yield _row(text, number, f"{where}line {line}", forms, original)
            return number
        lines = text_lines(file, byte_range)
    for text in lines:
        byte_range.line += 1
        bare, original = text.strip(), byte_range.take_recent()
        if bare:
            number += 1
            yield _row(bare, number, f"{where}line {byte_range.line}", forms, original)
    return number


def _pieces(file: BinaryIO, encoding: str) -> Iterator[str]:
    """Decode a file piece by piece."""
    # An array may be one line of any length.
    errors = "surrogateescape" if is_line_based(encoding) else "strict"
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)(errors)
    for piece in iter(partial(file.read, _PIECE), b""):
        yield decoder.decode(piece)
    yield decoder.decode(b"", final=True)


def _list_member(file: BinaryIO, encoding: str, where: str) -> str | None:
    """Return the name of the member of a JSON object that lists the rows."""
    buffer, found, empty = _Buffer(_pieces(file, encoding), where), list[str](), list[str]()
    known = 0
    try:
        for name, start in _lists(buffer):
            known += field_of(name) is not None
            found += [name] if start == "{" else []
            empty += [name] if start == "]" else []
            if known > 1:
                break
        # The list of a page without customers is empty.
        found = found or (empty[:1] if not known else [])
        if known > 1 or not found or buffer.skip():
            return None
    except ConfigurationError:
        if not found:
            return None  # an invalid row, which is reported when it is read
        raise
    finally:
        file.seek(0)
    if len(found) > 1:
        command = f"jq {quote('.' + json.dumps(found[0]))} FILE > customers.json"
        raise ConfigurationError(
            f"{where}several members are lists of objects ({', '.join(map(repr, found))}), so the list of customers"
            f" cannot be determined. Save the list of customers to its own file. For {found[0]!r}, run: {command}"
        )
    return found[0]


def _lists(buffer: "_Buffer") -> Iterator[tuple[str, str]]:
    """Yield the name of each member, and the first character in it if it is a list: ``{`` in a list of objects."""
    buffer.skip()
    buffer.drop(1)
    while buffer.skip() == '"':
        name = json.loads(buffer.value())
        buffer.skip()
        buffer.drop(1)
        in_list = buffer.skip() == "["
        if in_list:
            buffer.drop(1)
        # If the member is a list, `buffer` is now at its first value.
        yield name, buffer.skip() if in_list else ""
        if not in_list:
            buffer.value()
            continue
        while buffer.skip() not in {"]", ""}:
            buffer.value()
        buffer.drop(1)
    buffer.drop(1)


def _objects(buffer: "_Buffer", where: str, *, inside: bool = False) -> Iterator[tuple[str, int]]:
    """Yield the text of each object, and the line where the object starts."""
    array = inside or buffer.skip() == "["
    if array and not inside:
        buffer.drop(1)
    while (following := buffer.skip()) and not (array and following == "]"):
        line = buffer.line
        yield buffer.value(), line
    if not array:
        return
    if not following:
        raise ConfigurationError(
            f"{where}line {buffer.line}: the array is not closed, so the file is incomplete. Save the complete file."
        )
    buffer.drop(1)
    if not inside and buffer.skip():
        raise ConfigurationError(
            f"{where}line {buffer.line}: the file contains data after the end of the array. Remove the data."
        )


@define
class _Buffer:
    """The text of a file from the current position."""

    pieces: Iterator[str]
    where: str
    line: int = 1
    _text: str = field(default="", init=False)
    _at: int = field(default=0, init=False)

    def drop(self, count: int) -> str:
        """Advance by `count` characters and return them."""
        found = self._text[self._at : self._at + count]
        self._at += count
        self.line += found.count("\n")
        return found

    def skip(self) -> str:
        """Advance to the next token and return its first character."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            self.drop(blank.end() - self._at if blank else 0)
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def value(self) -> str:
        """Advance past the next value and return its text."""
        while True:
            try:
                end = _DECODER.raw_decode(self._text, self._at)[1]
            except json.JSONDecodeError as error:
                # The text doubles before each attempt, so that a long value is parsed a few times only.
                too_long = len(self._text) - self._at > _LONGEST
                if too_long or not self._more(2 * (len(self._text) - self._at)):
                    line = self.line + self._text.count("\n", self._at, error.pos)
                    alternative = f", or a value is longer than {_LONGEST >> 20} MB" if too_long else ""
                    raise ConfigurationError(
                        f"{self.where}line {line}: the file is not valid JSON{alternative}. Export the data again."
                    ) from None
            except RecursionError:
                raise ConfigurationError(
                    f"{self.where}line {self.line}: a value has more than {DEPTH} nested levels. Export the data again"
                    " without this value."
                ) from None
            else:
                return self.drop(end - self._at)

    def _more(self, count: int = 1) -> bool:
        """Read more text; return whether any text was added."""
        self._text, self._at = self._text[self._at :], 0
        before = len(self._text)
        while len(self._text) <= count and (piece := next(self.pieces, None)) is not None:
            self._text += piece
        return len(self._text) > before


def _row(text: str, number: int, place: str, forms: _Forms, original: bytes) -> Row:
    """Convert the text of an object, or of an entry of a file of failed rows, into a row."""
    reference = None
    try:
        given = _parsed(text)
        if isinstance(given, dict) and given.keys() >= DEAD_LETTER:
            reference = given.get("reference") if isinstance(given.get("reference"), str) else None
            given = _failed_row(given)
        columns, values = _columns(given, forms, place, is_first=number == 1)
    except RowProblem as problem:
        return Row(number, problem=f"{place}: {problem}", reference=reference, place=place, original=original)
    kept = None if columns.with_cards else original
    return Row(number, None, None, columns.reference_of(values), place, kept, columns, values)


def _parsed(text: str) -> Any:
    try:
        return parse_source_json(text)
    except json.JSONDecodeError as error:
        position = f"is not valid JSON (at character {error.pos})"
        reason = f"contains {INVALID_BYTES}" if has_invalid_bytes(text) else position
    except UnreadableJsonError as error:
        reason = f"contains {error}"
    raise RowProblem(f"the row {reason}")


def _failed_row(entry: dict[str, Any]) -> Any:
    """Return the values of the row in an entry of a file of failed rows."""
    if entry.get("values") is not None:
        return entry["values"]
    what, alternative = "does not contain the values of the row", ", or repeat the earlier job with --failure-values"
    if not entry.keys().isdisjoint({"original", "original_base64"}):
        what, alternative = "contains only the text of the row, because the row could not be read", ""
    raise RowProblem(f"the list of failed rows {what}. Run `sync` with the corrected source{alternative}")


def _columns(given: Any, forms: _Forms, place: str, *, is_first: bool) -> tuple[Columns, list[Any]]:
    """Return the columns and the values of an object."""
    if not isinstance(given, dict):
        raise RowProblem("the row must be a JSON object")
    if is_first:  # a later row does not end a job
        check_rows(given)
    found = parts(given, forms.nested)
    record = dict(found)
    if len(record) != len(found):
        raise RowProblem("the row contains a field twice, in a nested object and with a dotted name")
    try:
        columns = forms.of(tuple(record))
    except UnknownColumns as error:
        where = "" if is_first else f"{place}: "
        raise UnknownColumns(f"{where}{error}{rows_hint(given, forms.nested, in_array=forms.in_array)}") from None
    if columns is None:
        hint = rows_hint(given, forms.nested, in_array=forms.in_array).removesuffix(".")
        raise RowProblem(f"the row has no reference{'.' if hint else ''}{hint}")
    return columns, list(record.values())
