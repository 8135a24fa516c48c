"""The options for reading a text file, and its decoded lines."""

import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

from attrs import field, frozen

from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.encodings import is_line_based
from wonder_customers.errors import ConfigurationError

__all__ = ["TextOptions", "decoded", "has_invalid_bytes", "text_lines"]


def _delimiter(value: Any) -> Any:
    return {"tab": "\t", "\\t": "\t"}.get(value, value) if isinstance(value, str) else value


@frozen
class TextOptions:
    """The settings for reading text files.

    Attributes:
        encoding: The encoding, as a Python codec; ``detect`` for the most likely encoding; None for UTF-8 or UTF-16.
        delimiter: The delimiter of CSV files; None to find it from the first line.
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


def text_lines(file: BinaryIO, head: ByteRange) -> Iterator[str]:
    """Decode the lines of a file from its start."""
    encoding = head.encoding or "utf-8"
    first = file.readline()
    if not is_line_based(encoding):
        # The text layer reads the byte order mark, so the line is put back.
        head.whole = True
        return _checked(_text_layer(first, file, encoding, "strict", ""), encoding, head)
    if b"\r" in first.rstrip(b"\r\n"):
        head.whole = True
        return _checked(_text_layer(first, file, encoding, "surrogateescape", None), encoding, head)
    bare = first.removeprefix(b"\xef\xbb\xbf") if encoding == "utf-8" else first
    head.offset = len(first) - len(bare)
    return decoded(chain([bare] if bare else [], file), head)


def decoded(lines: Iterable[bytes], byte_range: ByteRange) -> Iterator[str]:
    """Decode the lines up to the end of the byte range."""
    encoding, recent = byte_range.encoding or "utf-8", byte_range.recent
    for line in lines:
        recent.append(line)
        yield line.decode(encoding, "surrogateescape")
        if byte_range.offset >= byte_range.end:
            return


def has_invalid_bytes(text: str) -> bool:
    """Return whether a string contains lone surrogates, which replace invalid bytes."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _text_layer(first: bytes, file: BinaryIO, encoding: str, errors: str, newline: str | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(_Rejoined(first, file)), encoding, errors, newline=newline)


def _checked(lines: Iterable[str], encoding: str, head: ByteRange) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            head.recent.append(line.encode("utf-8", "surrogateescape"))
            yield line.removeprefix("\ufeff") if number == 1 else line
    except UnicodeError:
        raise ConfigurationError(
            f"the file is not valid {encoding} after line {number}. Export the data again as UTF-8."
        ) from None


class _Rejoined(io.RawIOBase):
    """A file whose first bytes have already been read."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first, self._rest = first, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._first[: len(buffer)] or self._rest.read(len(buffer))
        self._first = self._first[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
