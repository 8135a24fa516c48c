"""The options for reading a text file, and its decoded lines."""

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from math import inf
from typing import Any, BinaryIO

from attrs import define, field, frozen

from wonder_customers.bulk.sources.encodings import is_line_based
from wonder_customers.errors import ConfigurationError

__all__ = ["ByteRange", "TextOptions", "decoded", "has_invalid_bytes", "text_lines"]


def _delimiter(value: Any) -> Any:
    return {"tab": "\t", "\\t": "\t"}.get(value, value) if isinstance(value, str) else value


@frozen
class TextOptions:
    """The settings for reading text files.

    Attributes:
        encoding: The encoding, as a Python codec; ``detect`` for the most likely encoding; None for UTF-8 or UTF-16.
        delimiter: The delimiter of CSV files; None to find it from the first line
            that is not blank.
        quote: The quote character of CSV files; None for the double quote.
        skip_lines: The number of lines before the column names of CSV files and spreadsheets.

    Raises:
        ConfigurationError: An option has an invalid value.
    """

    encoding: str | None = None
    delimiter: str | None = field(default=None, converter=_delimiter)
    quote: str | None = None
    skip_lines: int = 0

    def __attrs_post_init__(self) -> None:
        given: dict[str, Any] = {"delimiter": self.delimiter, "quote": self.quote}
        for name, value in given.items():
            if value is not None and not (isinstance(value, str) and len(value) == 1 and value not in "\r\n"):
                raise ConfigurationError(f"{name} must be one character other than a line break, not {value!r}")
        if self.delimiter is not None and self.delimiter == (self.quote or '"'):
            raise ConfigurationError(f"delimiter and quote must be different characters, not both {self.delimiter!r}")
        if self.encoding is not None and not isinstance(self.encoding, str):
            raise ConfigurationError(f"encoding must be a string, not {self.encoding!r}")
        if type(self.skip_lines) is not int or self.skip_lines < 0:
            raise ConfigurationError(f"skip_lines must be a non-negative integer, not {self.skip_lines!r}")


@define
class ByteRange:
    """A byte range of a text file, and the position of its reader.

    Attributes:
        offset: The byte at which the next row starts; 0 for the start of the file, including its column names.
        line: The number of lines before `offset`.
        encoding: The encoding of the file; None for a format that is not text.
        end: The byte after the range; `inf` for the end of the file.
        whole: Whether the file can be read only from its start.
        broken: Whether the next row is the rest of the current row.
        recent: The lines read since the last call of `take_recent`.
    """

    offset: int = 0
    line: int = 0
    encoding: str | None = None
    end: float = inf
    whole: bool = False
    broken: bool = False
    recent: list[bytes] = field(factory=list)

    def take_recent(self) -> bytes:
        """Return the recent lines, and add their length to `offset`."""
        recent = self.recent
        found = recent[0] if len(recent) == 1 else b"".join(recent)
        recent.clear()
        self.offset += len(found)
        return found


def text_lines(file: BinaryIO, head: ByteRange) -> Iterator[str]:
    """Decode the lines of a file from its start."""
    encoding = head.encoding or "utf-8"
    first = file.readline()
    by_line = is_line_based(encoding)
    if not by_line or b"\r" in first.rstrip(b"\r\n"):
        head.whole = True
        file.seek(0)
        errors = "surrogateescape" if by_line else "strict"
        newline = None if by_line else _newline(file, encoding)
        return _checked(io.TextIOWrapper(file, encoding, errors, newline), encoding, head)
    bare = first.removeprefix(b"\xef\xbb\xbf") if encoding == "utf-8" else first
    head.offset = len(first) - len(bare)
    return decoded(chain([bare] if bare else [], file), head)


def _newline(file: BinaryIO, encoding: str) -> str:
    """Return the argument ``newline`` for a file, so that a CR within a line is kept if the first line ends with LF."""
    lines = io.TextIOWrapper(file, encoding, "replace", "")
    ends_with_lf = lines.readline().endswith("\n")
    lines.detach()
    file.seek(0)
    return "\n" if ends_with_lf else ""


def decoded(lines: Iterable[bytes], byte_range: ByteRange) -> Iterator[str]:
    """Decode the lines up to the end of the byte range.

    Concatenated files have a byte order mark before a later line, where it would hide a quote.
    """
    encoding, recent = byte_range.encoding or "utf-8", byte_range.recent
    for line in lines:
        recent.append(line)
        yield line.decode(encoding, "surrogateescape").lstrip("\ufeff")
        if byte_range.offset >= byte_range.end:
            return


def has_invalid_bytes(text: str) -> bool:
    """Return whether a string contains lone surrogates, which replace invalid bytes."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _checked(lines: io.TextIOWrapper, encoding: str, head: ByteRange) -> Iterator[str]:
    number = 0
    try:
        for line in lines:
            number += 1
            head.recent.append(line.encode("utf-8", "surrogateescape"))
            yield line.lstrip("\ufeff")
    except UnicodeError:
        raise ConfigurationError(
            f"the file is not valid {encoding} after line {number}. Export the data again as UTF-8."
        ) from None
    finally:
        # The reader closes the file. It may have done so already.
        with suppress(ValueError):
            lines.detach()
